//! NVIDIA's driver, before anything is asked of it: cudarc panics over a library that lacks a call.

use super::device::spelled;
use super::error::{At, CudaError};
use crate::sys::library_file;
use cudarc::driver::DriverError;
use cudarc::driver::sys::{self, CUresult};
use std::path::Path;

/// The oldest driver with all the calls that are made here, in CUDA's counting: 12.0.
const OLDEST: i32 = 12_000;

/// The names by which it is looked for, of those that there are.
const NAMES: [&str; 2] = ["libcuda.so", "libcuda.so.1"];

const VERSION: &str = "cuDriverGetVersion";

/// Every other call that is made here.
pub const CALLS: [&str; 48] = [
    "cuCtxGetCurrent",
    "cuCtxGetStreamPriorityRange",
    "cuCtxSetCurrent",
    "cuCtxSynchronize",
    "cuDeviceGet",
    "cuDeviceGetAttribute",
    "cuDeviceGetCount",
    "cuDeviceGetName",
    "cuDevicePrimaryCtxRelease_v2",
    "cuDevicePrimaryCtxRetain",
    "cuDeviceTotalMem_v2",
    "cuEventCreate",
    "cuEventDestroy_v2",
    "cuEventElapsedTime",
    "cuEventQuery",
    "cuEventRecord",
    "cuEventSynchronize",
    "cuGetErrorName",
    "cuGetErrorString",
    "cuGraphAddKernelNode_v2",
    "cuGraphCreate",
    "cuGraphDestroy",
    "cuGraphExecDestroy",
    "cuGraphExecKernelNodeSetParams_v2",
    "cuGraphInstantiateWithFlags",
    "cuGraphLaunch",
    "cuInit",
    "cuLaunchKernel",
    "cuMemAlloc_v2",
    "cuMemFreeHost",
    "cuMemFree_v2",
    "cuMemGetInfo_v2",
    "cuMemHostAlloc",
    "cuMemcpyDtoDAsync_v2",
    "cuMemcpyDtoHAsync_v2",
    "cuMemcpyHtoDAsync_v2",
    "cuMemsetD8Async",
    "cuModuleGetFunction",
    "cuModuleLoadData",
    "cuModuleUnload",
    "cuStreamBeginCapture_v2",
    "cuStreamCreate",
    "cuStreamCreateWithPriority",
    "cuStreamDestroy_v2",
    "cuStreamEndCapture",
    "cuStreamIsCapturing",
    "cuStreamSynchronize",
    "cuStreamWaitEvent",
];

/// The newest CUDA that the driver knows, as `1000 major + 10 minor`; an error if it cannot serve.
pub(super) fn version() -> Result<i32, CudaError> {
    for name in NAMES {
        library_file::check_is_whole(Path::new(name)).map_err(CudaError::Cut)?;
    }
    // SAFETY: loads and unloads libcuda, whose initialisers and finalisers are made for that; nothing is called.
    if !unsafe { sys::is_culib_present() } {
        return Err(CudaError::NoDriver);
    }
    insist_on(&[VERSION])?;
    let mut version = 0;
    // SAFETY: the pointer is to a live integer, which is all that the call writes to; it needs no initialised driver.
    match unsafe { sys::cuDriverGetVersion(&raw mut version) } {
        CUresult::CUDA_ERROR_STUB_LIBRARY => return Err(CudaError::Stub),
        CUresult::CUDA_SUCCESS => (),
        error => {
            // What it means is asked of the library, too.
            insist_on(&CALLS)?;
            Err(DriverError(error)).at("asking for the driver's version")?;
        }
    }
    if version < OLDEST {
        let reason = "its calls are older than those of this program".to_owned();
        return Err(CudaError::DriverTooOld { driver: spelled(version), needed: spelled(OLDEST), reason });
    }
    insist_on(&CALLS)?;
    Ok(version)
}

/// Says which call the library lacks.
fn insist_on(calls: &[&'static str]) -> Result<(), CudaError> {
    // SAFETY: the library was found, and runs initialisers that are made for that.
    let library = unsafe { sys::culib() };
    let lacks = |call: &&&'static str| {
        // SAFETY: asked for its presence only; nothing is called or read through it.
        unsafe { library.get::<*const ()>(call.as_bytes()) }.is_err()
    };
    match calls.iter().find(lacks) {
        Some(call) => Err(CudaError::NoCall(call)),
        None => Ok(()),
    }
}
