//! The kernels' images in the program, and which of them a GPU runs.
//!
//! `build.rs` writes the table: for each file of `kernels/`, machine code for some compute capabilities and PTX for all
//! newer ones. Machine code runs on GPUs of the same major and the same or a newer minor capability, but a Jetson's on that
//! one alone, and no other on a Jetson (CUDA C++ Programming Guide, Binary Compatibility); where none fits the driver
//! compiles the PTX, once, and keeps it in its own cache.

use super::device::DeviceInfo;
use super::error::{CudaError, is_unknown_image, name, words};
use cudarc::driver::{CudaContext, DriverError, result, sys};
use std::ffi::{CString, c_void};
use std::sync::Arc;

/// Images of one file of `kernels/`.
pub(super) struct Images {
    /// The file's name, without `.cu`.
    pub(super) name: &'static str,
    /// Machine code by compute capability, `87` for 8.7.
    pub(super) cubins: &'static [(u32, &'static [u8])],
    /// PTX for one capability and all newer ones, closed by a zero byte.
    pub(super) ptx: (u32, &'static [u8]),
}

include!(concat!(env!("OUT_DIR"), "/cuda_images.rs"));

/// Jetsons.
const TEGRA: [u32; 2] = [87, 110];

/// The images of the file called `name`.
pub(super) fn images(name: &'static str) -> Result<&'static Images, CudaError> {
    let found = IMAGES.iter().find(|images| images.name == name);
    found.ok_or_else(|| CudaError::shape("loading the kernels", "file", name, "none in this program"))
}

/// What could run on a device, the best first: machine code, then PTX.
fn fitting(images: &Images, capability: (u32, u32)) -> Vec<(String, &'static [u8])> {
    let whole = capability.0 * 10 + capability.1;
    let fits = |made_for: u32| {
        let is_alike = made_for / 10 == capability.0 && made_for <= whole;
        made_for == whole || is_alike && ![made_for, whole].iter().any(|capability| TEGRA.contains(capability))
    };
    let mut cubins: Vec<_> = images.cubins.iter().filter(|(made_for, _)| fits(*made_for)).collect();
    cubins.sort_by_key(|(made_for, _)| std::cmp::Reverse(*made_for));
    let cubins = cubins.into_iter().map(|(made_for, bytes)| (format!("sm_{made_for}"), *bytes));
    let (made_for, bytes) = images.ptx;
    let ptx = (made_for <= whole).then(|| (format!("PTX of compute_{made_for}"), bytes));
    cubins.chain(ptx).collect()
}

/// Images loaded onto a device.
#[derive(Debug)]
pub(super) struct Module {
    handle: sys::CUmodule,
    context: Arc<CudaContext>,
    /// Which of the images it is.
    pub(super) image: String,
}

// SAFETY: a module is a handle that the driver lets any thread use whose current context is the module's; every use
// here binds that context first.
unsafe impl Send for Module {}
// SAFETY: as above; looking up a function changes nothing.
unsafe impl Sync for Module {}

impl Module {
    /// Loads the best image of a file for a device.
    pub(super) fn load(context: &Arc<CudaContext>, name: &'static str, info: &DeviceInfo) -> Result<Self, CudaError> {
        let images = images(name)?;
        let mut refused = None;
        for (image, bytes) in fitting(images, info.capability) {
            match load_data(context, bytes) {
                Ok(handle) => return Ok(Self { handle, context: Arc::clone(context), image }),
                Err(error) if is_unknown_image(error) => refused = refused.or(Some((image, error))),
                Err(error) => return Err(CudaError::driver(format!("loading {name}.cu ({image})"), error)),
            }
        }
        Err(match refused {
            Some((image, error)) => CudaError::DriverTooOld {
                driver: format!("{}.{}", info.driver.0, info.driver.1),
                needed: COMPILER.to_owned(),
                reason: format!("{name}.cu for {image}: {}: {}", self::name(error), words(error)),
            },
            None => CudaError::NoKernels {
                device: info.name.clone(),
                capability: format!("{}.{}", info.capability.0, info.capability.1),
                embedded: embedded(images),
            },
        })
    }

    /// A kernel of the module; the handle lives as long as the module.
    pub(super) fn function(&self, name: &'static str) -> Result<sys::CUfunction, CudaError> {
        let refused = |error| CudaError::driver(format!("looking for the kernel {name} ({})", self.image), error);
        self.context.bind_to_thread().map_err(refused)?;
        let name = CString::new(name).expect("a kernel's name has no zero byte");
        // SAFETY: the module is loaded, for it is unloaded only when this value is dropped.
        unsafe { result::module::get_function(self.handle, name) }.map_err(refused)
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        if self.context.bind_to_thread().is_ok() {
            // SAFETY: loaded in `load` and unloaded only here. No kernel of it runs any more: streams wait for their
            // work before they let go of the device.
            let _ = unsafe { result::module::unload(self.handle) };
        }
    }
}

fn load_data(context: &Arc<CudaContext>, image: &'static [u8]) -> Result<sys::CUmodule, DriverError> {
    context.bind_to_thread()?;
    // SAFETY: the image is a whole cubin, which states its own length, or PTX that ends with a zero byte; the driver
    // copies what it needs, and the bytes are static.
    unsafe { result::module::load_data(image.as_ptr().cast::<c_void>()) }
}

/// What a file's images are for, in words.
fn embedded(images: &Images) -> String {
    let cubins = images.cubins.iter().map(|(made_for, _)| format!("{}.{}", made_for / 10, made_for % 10));
    let cubins: Vec<String> = cubins.collect();
    let ptx = images.ptx.0;
    format!("{} and, compiled by the driver, {}.{} and newer", cubins.join(", "), ptx / 10, ptx % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGES: Images =
        Images { name: "test", cubins: &[(87, b"87"), (80, b"80"), (90, b"90"), (110, b"110")], ptx: (80, b"ptx\0") };

    #[test]
    fn the_newest_machine_code_of_the_same_major_comes_first_and_ptx_last() {
        for (capability, expected) in [
            ((8, 7), vec!["sm_87", "PTX of compute_80"]),
            ((8, 6), vec!["sm_80", "PTX of compute_80"]),
            ((8, 9), vec!["sm_80", "PTX of compute_80"]),
            ((9, 0), vec!["sm_90", "PTX of compute_80"]),
            ((11, 0), vec!["sm_110", "PTX of compute_80"]),
            ((12, 1), vec!["PTX of compute_80"]),
            ((7, 2), vec![]),
        ] {
            let found: Vec<String> = fitting(&IMAGES, capability).into_iter().map(|(image, _)| image).collect();
            assert_eq!(found, expected, "{capability:?}");
        }
    }

    #[test]
    fn every_embedded_image_is_whole() {
        for images in super::IMAGES {
            assert!(images.ptx.1.ends_with(b"\0"), "{}: PTX is closed by a zero", images.name);
            for (made_for, bytes) in images.cubins {
                assert_eq!(&bytes[..4], b"\x7fELF", "{} for {made_for}", images.name);
            }
        }
    }
}
