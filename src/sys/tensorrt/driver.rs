//! What the NVIDIA driver says of itself and of its first GPU, without CUDA's runtime.

use super::library::load;
use std::ffi::{CStr, c_char, c_int};
use std::fmt;
use std::path::Path;
use std::str::FromStr;

const LIBRARY: &str = "libcuda.so.1";
const SUCCESS: c_int = 0;
const NO_DEVICE: c_int = 100;
const NAME_BYTES: usize = 256;
/// `CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR` and `_MINOR`.
const CAPABILITY: [c_int; 2] = [75, 76];

/// What a GPU can do, by NVIDIA's count: 8.7 is Jetson Orin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    /// 8 of 8.7.
    pub major: i32,
    /// 7 of 8.7.
    pub minor: i32,
}

impl Capability {
    /// 87 of 8.7, as compilers name it.
    pub fn number(self) -> i32 {
        self.major * 10 + self.minor
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for Capability {
    type Err = String;
    /// Reads `8.7`.
    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('.').and_then(|(major, minor)| {
            let digits = |part: &str| part.parse::<u8>().ok().map(i32::from);
            Some(Self { major: digits(major)?, minor: digits(minor).filter(|minor| *minor < 10)? })
        });
        parts.ok_or_else(|| format!("'{text}' is no compute capability: write one such as 8.7"))
    }
}

/// The first GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its product name.
    pub name: String,
    /// Its compute capability.
    pub capability: Capability,
    /// Its memory.
    pub memory_bytes: u64,
    /// The newest CUDA that the driver knows: (13, 0).
    pub cuda_version: (i32, i32),
}

/// Why there is no GPU to be had.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// Install NVIDIA's driver.
    #[error("no NVIDIA driver: {reason}; install it (on a Jetson it comes with JetPack), or run where there is one")]
    NoDriver {
        /// What the loader said.
        reason: String,
    },
    /// The driver is there.
    #[error(
        "the NVIDIA driver (for CUDA {}.{}) finds no GPU: check that one is there, that its kernel module is loaded \
         (nvidia-smi), and that this process may see it (CUDA_VISIBLE_DEVICES, the container's devices)",
        .cuda_version.0, .cuda_version.1
    )]
    NoDevice {
        /// The newest CUDA that the driver knows.
        cuda_version: (i32, i32),
    },
    /// The driver does not work.
    #[error("the NVIDIA driver fails: {call} gave error {code}; restart the computer or install the driver anew")]
    Failed {
        /// The function.
        call: &'static str,
        /// Its `CUresult`.
        code: i32,
    },
}

/// The first GPU.
pub fn device() -> Result<Device, DriverError> {
    let driver = Driver::open()?;
    let cuda_version = driver.cuda_version()?;
    let initialized = driver.call::<unsafe extern "C" fn(u32) -> c_int>("cuInit", |init| {
        // SAFETY: flags must be zero, and are.
        unsafe { init(0) }
    });
    match initialized {
        Err(DriverError::Failed { code: NO_DEVICE, .. }) => return Err(DriverError::NoDevice { cuda_version }),
        other => other?,
    }
    let handle = driver.number("cuDeviceGet", |number, get: unsafe extern "C" fn(*mut c_int, c_int) -> c_int| {
        // SAFETY: the number may be written; devices are counted from zero.
        unsafe { get(number, 0) }
    })?;
    let [major, minor] = CAPABILITY.map(|attribute| {
        let get = |number: *mut c_int, get: unsafe extern "C" fn(*mut c_int, c_int, c_int) -> c_int| {
            // SAFETY: the number may be written, and the handle is the driver's.
            unsafe { get(number, attribute, handle) }
        };
        driver.number("cuDeviceGetAttribute", get)
    });
    let capability = Capability { major: major?, minor: minor? };
    Ok(Device { name: driver.name(handle)?, capability, memory_bytes: driver.memory_bytes(handle)?, cuda_version })
}

struct Driver(&'static libloading::Library);

impl Driver {
    fn open() -> Result<Self, DriverError> {
        load(Path::new(LIBRARY)).map(Self).map_err(|reason| DriverError::NoDriver { reason })
    }

    /// Calls a function of type `F`, which must be the type that cuda.h gives to `name`.
    fn call<F: Copy>(&self, name: &'static str, run: impl FnOnce(F) -> c_int) -> Result<(), DriverError> {
        // SAFETY: the callers below name functions with their types as in cuda.h.
        let function = unsafe { self.0.get::<F>(name.as_bytes()) };
        let function = function.map_err(|_| DriverError::NoDriver { reason: format!("{LIBRARY} has no {name}") })?;
        match run(*function) {
            SUCCESS => Ok(()),
            code => Err(DriverError::Failed { call: name, code }),
        }
    }

    fn number<F: Copy>(
        &self,
        name: &'static str,
        run: impl FnOnce(*mut c_int, F) -> c_int,
    ) -> Result<c_int, DriverError> {
        let mut number = 0;
        self.call(name, |function| run(&raw mut number, function))?;
        Ok(number)
    }

    fn cuda_version(&self) -> Result<(i32, i32), DriverError> {
        let get = |number: *mut c_int, get: unsafe extern "C" fn(*mut c_int) -> c_int| {
            // SAFETY: the number may be written.
            unsafe { get(number) }
        };
        let number = self.number("cuDriverGetVersion", get)?;
        Ok((number / 1000, number % 1000 / 10))
    }

    fn name(&self, device: c_int) -> Result<String, DriverError> {
        let mut name = [0_u8; NAME_BYTES];
        self.call("cuDeviceGetName", |get: unsafe extern "C" fn(*mut c_char, c_int, c_int) -> c_int| {
            // SAFETY: as many bytes as are said may be written, one less so that a zero stays at the end.
            unsafe { get(name.as_mut_ptr().cast(), NAME_BYTES as c_int - 1, device) }
        })?;
        let name = CStr::from_bytes_until_nul(&name).unwrap_or_default();
        Ok(name.to_string_lossy().into_owned())
    }

    fn memory_bytes(&self, device: c_int) -> Result<u64, DriverError> {
        let mut bytes = 0_usize;
        self.call("cuDeviceTotalMem_v2", |get: unsafe extern "C" fn(*mut usize, c_int) -> c_int| {
            // SAFETY: the number may be written, and the handle is the driver's.
            unsafe { get(&raw mut bytes, device) }
        })?;
        Ok(bytes as u64)
    }
}
