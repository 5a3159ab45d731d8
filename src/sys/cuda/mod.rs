//! The edge to an NVIDIA GPU: its driver, its memory, and the kernels of `kernels/`.
//!
//! ```text
//! Device::open ─▶ Stream ─▶ DeviceBuffer ─upload─▶ kernel launches ─download─▶ host
//!                   └ capture ─▶ Graph, launched as one          └ Event: order and time
//! ```
//!
//! The driver is looked for when it is asked for: a program with this inside starts without one. Kernels are embedded
//! as machine code for the GPUs that are known and as PTX for others, so that nothing is compiled on a vehicle's GPU.
//! Each kernel is launched by one safe function that checks every size first.

mod decode_mask;
mod device;
mod disocclusion;
mod driver;
mod ego_flow;
mod error;
mod flow;
mod half;
mod image;
mod launch;
#[cfg(feature = "tensorrt")]
mod lend;
mod map;
mod memory;
mod preprocess;
mod replay;
mod residual;
mod stream;
mod warp_features;

pub use device::{Device, DeviceInfo};
pub use driver::CALLS as DRIVER_CALLS;
pub use ego_flow::{DeviceCamera, DeviceMotion};
pub use error::CudaError;
pub use flow::{DevicePyramid, FlowScratch};
pub use half::{to_halves, to_singles};
pub use launch::Sample;
#[cfg(feature = "tensorrt")]
pub use lend::{MOST_TENSORS, On, PlanRuns};
pub use map::DeviceMap;
pub use memory::{DeviceBuffer, Element, Half};
pub use preprocess::{DevicePicture, PictureFormat, Preparation};
pub use stream::{Event, Graph, Stream};
