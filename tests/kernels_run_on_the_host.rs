//! The device's kernels, compiled as host C++ with the address and undefined behaviour sanitizers, give what their Rust
//! twins give.
//!
//! No GPU and no CUDA compiler is needed: `kernels/host/` runs the very sources. Tolerances stand with each comparison;
//! most are none.

mod kernels;
