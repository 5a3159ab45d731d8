//! Why the GPU cannot be used, or did not do what it was asked.

use cudarc::driver::DriverError;
use cudarc::driver::sys::CUresult;

/// The GPU's answer, or what was missing before it could be asked.
///
/// Recovery: the first seven are told once when the engine is chosen and the CPU is taken where that is allowed; the
/// others stop the run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CudaError {
    /// No `libcuda.so.1`.
    #[error("no NVIDIA driver: libcuda.so.1 cannot be loaded: install the driver (on a Jetson it comes with JetPack)")]
    NoDriver,
    /// A library of that name that is none, or not a whole one.
    #[error(
        "the libcuda.so.1 that is loaded is no NVIDIA driver: it has no {0}: install the driver, or take that file away"
    )]
    NoCall(&'static str),
    /// A driver's library of which only a part is there.
    #[error("{0}: install the driver anew")]
    Cut(String),
    /// What programs are linked against where there is no driver.
    #[error(
        "the libcuda.so.1 that is loaded is the stub of the CUDA toolkit: install the driver, or take the stub's folder out of \
         LD_LIBRARY_PATH"
    )]
    Stub,
    /// A driver, and nothing that it drives, or that it lets this process use.
    #[error(
        "the NVIDIA driver finds no GPU to use ({0}): look at nvidia-smi, /dev/nvidia* and the rights of this user"
    )]
    NoDevice(String),
    /// A driver that does not know what these kernels were made for.
    #[error(
        "the NVIDIA driver is too old: it knows CUDA {driver}, and the kernels in this program need {needed} ({reason}): \
         update the driver, or build the program with this machine's own CUDA compiler (SEGFUSE_NVCC)"
    )]
    DriverTooOld {
        /// Such as `12.6`.
        driver: String,
        /// Such as `13.0`.
        needed: String,
        /// The driver's words.
        reason: String,
    },
    /// A GPU older than the oldest that the kernels are made for.
    #[error("{device} has compute capability {capability}, and the kernels in this program are for {embedded}")]
    NoKernels {
        /// Its name.
        device: String,
        /// Such as `7.2`.
        capability: String,
        /// What is embedded.
        embedded: String,
    },
    /// The device's memory, or what may be pinned of the host's, is used up.
    #[error("out of {what} memory: {bytes} bytes more were asked for, {free} are free on the device")]
    OutOfMemory {
        /// `device` or `pinned host`.
        what: &'static str,
        /// The bytes asked for.
        bytes: usize,
        /// The bytes that the device has left.
        free: usize,
    },
    /// A launch with sizes that do not fit together, stopped before it was made.
    #[error("{kernel}: {what}: expected {expected}, got {got}")]
    Shape {
        /// The kernel.
        kernel: &'static str,
        /// Which of its arguments.
        what: &'static str,
        /// What would have fitted.
        expected: String,
        /// What was given.
        got: String,
    },
    /// Another library's work on a stream, in its own words.
    #[error("{0}")]
    Foreign(String),
    /// Anything else that the driver refuses; after an illegal access every later call is refused too.
    #[error("{step}: the CUDA driver answers {name}: {words}")]
    Driver {
        /// What was being done.
        step: String,
        /// Such as `CUDA_ERROR_ILLEGAL_ADDRESS`.
        name: String,
        /// Its meaning, in the driver's words.
        words: String,
    },
}

impl CudaError {
    pub(super) fn driver(step: impl Into<String>, error: DriverError) -> Self {
        Self::Driver { step: step.into(), name: name(error), words: words(error) }
    }

    /// A size that does not fit.
    #[expect(clippy::needless_pass_by_value, reason = "numbers, and texts made for it")]
    pub(super) fn shape(kernel: &'static str, what: &'static str, expected: impl ToString, got: impl ToString) -> Self {
        Self::Shape { kernel, what, expected: expected.to_string(), got: got.to_string() }
    }

    /// Whether the driver answers nothing else from now on, until the program starts anew: a kernel or the device has failed.
    pub(super) fn is_lasting(&self) -> bool {
        let lasting = [
            "ILLEGAL_ADDRESS",
            "MISALIGNED_ADDRESS",
            "INVALID_ADDRESS_SPACE",
            "INVALID_PC",
            "ILLEGAL_INSTRUCTION",
            "HARDWARE_STACK_ERROR",
            "LAUNCH_FAILED",
            "LAUNCH_TIMEOUT",
            "ASSERT",
            "ECC_UNCORRECTABLE",
            "CONTEXT_IS_DESTROYED",
        ];
        let Self::Driver { name, .. } = self else { return false };
        name.strip_prefix("CUDA_ERROR_").is_some_and(|name| lasting.contains(&name))
    }

    /// Whether there is nothing to compute on, so that another device may be taken instead.
    pub fn is_absence(&self) -> bool {
        !matches!(self, Self::OutOfMemory { .. } | Self::Shape { .. } | Self::Foreign(_) | Self::Driver { .. })
    }
}

/// The driver's name of an error.
pub(super) fn name(error: DriverError) -> String {
    error.error_name().map_or_else(|_| format!("error {}", error.0 as u32), |name| name.to_string_lossy().into_owned())
}

/// What the driver says of it.
pub(super) fn words(error: DriverError) -> String {
    error.error_string().map_or_else(|_| "no words for it".to_owned(), |words| words.to_string_lossy().into_owned())
}

/// Says at which step a call was refused.
pub(super) trait At<T> {
    fn at(self, step: &str) -> Result<T, CudaError>;
}

impl<T> At<T> for Result<T, DriverError> {
    fn at(self, step: &str) -> Result<T, CudaError> {
        self.map_err(|error| CudaError::driver(step, error))
    }
}

/// Whether a driver that answers so does not know the kind of image that it was given.
pub(super) fn is_unknown_image(error: DriverError) -> bool {
    matches!(
        error.0,
        CUresult::CUDA_ERROR_NO_BINARY_FOR_GPU
            | CUresult::CUDA_ERROR_INVALID_IMAGE
            | CUresult::CUDA_ERROR_INVALID_PTX
            | CUresult::CUDA_ERROR_UNSUPPORTED_PTX_VERSION
            | CUresult::CUDA_ERROR_JIT_COMPILER_NOT_FOUND
            | CUresult::CUDA_ERROR_INVALID_SOURCE
    )
}
