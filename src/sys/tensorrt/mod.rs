//! NVIDIA TensorRT: loaded when the program runs, driven through a narrow C++ shim.
//!
//! ```text
//! Library ─build─▶ plan (bytes) ─Runtime::deserialize─▶ Engine ─Context::new─▶ Context ─enqueue─▶ stream
//! libnvinfer       of one GPU and one version           its weights            its buffers
//! ```
//!
//! Families 10 and 11 of TensorRT and TensorRT-RTX have the same classes with other layouts; `build.rs` compiles
//! `shim.cpp` for each family whose headers it finds. Whatever TensorRT logs goes to `tracing` under the target
//! `tensorrt`, and the last warnings and errors are told with the call that failed. Which plan belongs to which network
//! is none of its business: see `engine::tensorrt`.

mod builder;
mod capability;
mod context;
mod element;
mod error;
mod host;
mod journal;
mod library;
mod plan;
mod shim;
mod span;

pub use builder::{BuildOptions, Built, Step, build};
pub use capability::Capability;
pub use context::Context;
pub use element::{Element, Tensor};
pub use error::{OnnxFault, TensorRtError};
pub use host::HostMemory;
pub use library::{Flavour, LIBRARIES, Library, Version};
pub use plan::{Engine, Runtime};
pub use span::{DeviceSpan, Stream};
