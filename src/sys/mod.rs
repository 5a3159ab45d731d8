//! The edge to the operating system: the only place with unsafe code.
//!
//! Thin and safe on the outside: a function here makes one system call, checks its arguments, and gives what the kernel
//! said. What to do about it is decided elsewhere.

#![allow(unsafe_code, reason = "this is where it lives; each block proves itself")]

#[cfg(feature = "can")]
pub mod can;
pub mod clock;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod library_file;
pub mod process;
#[cfg(feature = "tensorrt")]
pub mod tensorrt;
#[cfg(feature = "camera")]
pub mod v4l2;
pub mod workers;
