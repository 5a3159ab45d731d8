//! One GPU, opened.

use super::driver;
use super::error::{At, CudaError, name, words};
use super::launch::Kernels;
use super::stream::Stream;
use cudarc::driver::sys::{CUdevice_attribute, CUresult};
use cudarc::driver::{CudaContext, result};
use std::sync::Arc;

/// What a GPU says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Such as `NVIDIA H100 80GB HBM3` or `Orin`.
    pub name: String,
    /// Compute capability: major, minor.
    pub capability: (u32, u32),
    /// The newest CUDA that the driver knows: major, minor.
    pub driver: (u32, u32),
    /// Bytes.
    pub memory: usize,
    /// Streaming multiprocessors.
    pub multiprocessors: u32,
    /// Which of the embedded kernels were loaded: `sm_90`, or `PTX of compute_87` compiled by the driver.
    pub kernels: String,
}

/// A GPU with the kernels loaded: who holds one has one. Clones are the same device.
#[derive(Clone, Debug)]
pub struct Device {
    pub(super) context: Arc<CudaContext>,
    pub(super) kernels: Arc<Kernels>,
    info: Arc<DeviceInfo>,
}

impl Device {
    /// Opens the GPU with this number, the first being 0, and loads the kernels onto it.
    ///
    /// # Errors
    /// Each of those that [are absences](CudaError::is_absence), by name.
    pub fn open(number: usize) -> Result<Self, CudaError> {
        let driver = driver::version()?;
        let context = CudaContext::new(number).map_err(|error| match error.0 {
            CUresult::CUDA_ERROR_OUT_OF_MEMORY => CudaError::driver("opening the GPU", error),
            // None is there, or the driver does not give it: not allowed, in use, or not ready.
            _ => CudaError::NoDevice(format!("{}: {}", name(error), words(error))),
        })?;
        // SAFETY: asks to track no buffer's use from stream to stream. None is tracked: this module has buffers of its
        // own (`memory`), each of one stream, and no `CudaSlice`.
        unsafe { context.disable_event_tracking() };
        let mut info = describe(&context, driver)?;
        let kernels = Kernels::load(&context, &info)?;
        kernels.image().clone_into(&mut info.kernels);
        Ok(Self { context, kernels: Arc::new(kernels), info: Arc::new(info) })
    }

    /// What it says of itself.
    pub fn info(&self) -> &DeviceInfo {
        &self.info
    }

    /// A stream for the frame's own work: before that of any [low-priority](Self::low_priority_stream) one.
    pub fn stream(&self) -> Result<Stream, CudaError> {
        Stream::new(self, self.priorities()?.1)
    }

    /// The same, which puts launches off until somebody waits for them or copies anything, and then asks for them as one CUDA
    /// graph. What is computed is the same; a launch that fails is told later, by what waits.
    pub fn stream_of_graphs(&self) -> Result<Stream, CudaError> {
        Ok(self.stream()?.in_graphs())
    }

    /// A stream whose work gives way to that of the others: for a network that runs beside the frames.
    pub fn low_priority_stream(&self) -> Result<Stream, CudaError> {
        Stream::new(self, self.priorities()?.0)
    }

    /// The lowest and the highest, which is the smaller number.
    fn priorities(&self) -> Result<(i32, i32), CudaError> {
        self.context.bind_to_thread().at("choosing the GPU")?;
        result::stream::get_priority_range().at("asking for the priorities of streams")
    }

    /// Waits until everything that was asked of the device is done.
    pub fn synchronize(&self) -> Result<(), CudaError> {
        self.context.synchronize().at("waiting for the GPU")
    }
}

impl std::fmt::Display for DeviceInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, capability: (major, minor), driver, kernels, .. } = self;
        write!(
            f,
            "{name} (compute capability {major}.{minor}, driver for CUDA {}.{}, kernels: {kernels})",
            driver.0, driver.1
        )
    }
}

fn describe(context: &Arc<CudaContext>, driver: i32) -> Result<DeviceInfo, CudaError> {
    let asking = "asking what the GPU is";
    let (major, minor) = context.compute_capability().at(asking)?;
    let multiprocessors = context.attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT).at(asking)?;
    Ok(DeviceInfo {
        name: context.name().at(asking)?,
        capability: (major as u32, minor as u32),
        driver: (driver as u32 / 1000, driver as u32 % 1000 / 10),
        memory: context.total_mem().at(asking)?,
        multiprocessors: multiprocessors as u32,
        kernels: String::new(),
    })
}

/// `12060` as `12.6`.
pub(super) fn spelled(version: i32) -> String {
    format!("{}.{}", version / 1000, version % 1000 / 10)
}
