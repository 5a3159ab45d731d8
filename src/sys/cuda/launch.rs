//! What every launch has in common: the kernels that are loaded, the grid, the arguments.

use super::device::DeviceInfo;
use super::error::{At, CudaError};
use super::image::Module;
use super::memory::{Element, Half};
use super::stream::Stream;
use cudarc::driver::{CudaContext, result, sys};
use std::ffi::c_void;
use std::sync::Arc;

/// The longest side of a picture or grid that the kernels count right.
pub(super) const MAX_SIDE: usize = 16_384;

/// A kernel that is loaded.
#[derive(Debug)]
pub(super) struct Kernel {
    pub(super) name: &'static str,
    function: sys::CUfunction,
}

// SAFETY: a handle that any thread may launch from whose current context is the module's; `launch` binds it first.
unsafe impl Send for Kernel {}
// SAFETY: as above; launching does not change the handle.
unsafe impl Sync for Kernel {}

/// The same kernel for both kinds of numbers.
#[derive(Debug)]
pub(super) struct Pair {
    half: Kernel,
    single: Kernel,
}

/// Numbers that features, planes and logits may be of.
pub trait Sample: Element + chosen::Chosen {}

impl Sample for Half {}
impl Sample for f32 {}

pub(super) mod chosen {
    use super::{Kernel, Pair};

    /// Which of a pair is for these numbers.
    pub trait Chosen {
        #[allow(private_interfaces, reason = "sealed: only this folder calls it")]
        fn of(pair: &Pair) -> &Kernel;
    }

    impl Chosen for super::Half {
        #[allow(private_interfaces, reason = "sealed: only this folder calls it")]
        fn of(pair: &Pair) -> &Kernel {
            &pair.half
        }
    }

    impl Chosen for f32 {
        #[allow(private_interfaces, reason = "sealed: only this folder calls it")]
        fn of(pair: &Pair) -> &Kernel {
            &pair.single
        }
    }
}

/// Every kernel of a device.
#[derive(Debug)]
pub(super) struct Kernels {
    pub(super) preprocess: Pair,
    pub(super) build_pyramid: Kernel,
    pub(super) match_patches: Kernel,
    pub(super) sample_flow: Kernel,
    pub(super) compose_flow: Kernel,
    pub(super) ego_flow: Kernel,
    pub(super) warp_features: Pair,
    pub(super) warp_features_hwc8: Kernel,
    pub(super) residual: Kernel,
    pub(super) sum_residual: Kernel,
    pub(super) blend_features: Pair,
    pub(super) blend_features_hwc8: Kernel,
    pub(super) average_blocks: Pair,
    pub(super) decode_mask: Pair,
    pub(super) decode_nearest: Pair,
    /// Unloaded last, after every handle above is of no more use.
    modules: [Module; 6],
}

impl Kernels {
    /// Loads all of them.
    pub(super) fn load(context: &Arc<CudaContext>, info: &DeviceInfo) -> Result<Self, CudaError> {
        let load = |name| Module::load(context, name, info);
        let (preprocess, flow, ego) = (load("preprocess")?, load("flow")?, load("ego_flow")?);
        let (warp, residual, decode) = (load("warp_features")?, load("residual")?, load("decode_mask")?);
        let kernel = |module: &Module, name| Ok(Kernel { name, function: module.function(name)? });
        let pair = |module, half, single| Ok(Pair { half: kernel(module, half)?, single: kernel(module, single)? });
        Ok(Self {
            preprocess: pair(&preprocess, "preprocess_f16", "preprocess_f32")?,
            build_pyramid: kernel(&flow, "build_pyramid")?,
            match_patches: kernel(&flow, "match_patches")?,
            sample_flow: kernel(&flow, "sample_flow")?,
            compose_flow: kernel(&flow, "compose_flow")?,
            ego_flow: kernel(&ego, "ego_flow")?,
            warp_features: pair(&warp, "warp_features_f16", "warp_features_f32")?,
            warp_features_hwc8: kernel(&warp, "warp_features_f16_hwc8")?,
            residual: kernel(&residual, "residual")?,
            sum_residual: kernel(&residual, "sum_residual")?,
            blend_features: pair(&residual, "blend_features_f16", "blend_features_f32")?,
            blend_features_hwc8: kernel(&residual, "blend_features_f16_hwc8")?,
            average_blocks: pair(&residual, "average_blocks_f16", "average_blocks_f32")?,
            decode_mask: pair(&decode, "decode_mask_f16", "decode_mask_f32")?,
            decode_nearest: pair(&decode, "decode_nearest_f16", "decode_nearest_f32")?,
            modules: [preprocess, flow, ego, warp, residual, decode],
        })
    }

    /// Which images were taken.
    pub(super) fn image(&self) -> &str {
        &self.modules[0].image
    }
}

/// Blocks of threads: `(x, y, z)` each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grid {
    pub(super) blocks: (usize, usize, usize),
    pub(super) threads: (u32, u32),
}

impl Grid {
    /// `items` along x, so many a block.
    pub(super) fn line(items: usize, block: u32) -> Self {
        Self { blocks: (items.div_ceil(block as usize), 1, 1), threads: (block, 1) }
    }

    /// CUDA's bounds; within them every count is a `u32`.
    fn fits(&self) -> bool {
        let (x, y, z) = self.blocks;
        i32::try_from(x).is_ok() && y <= 65_535 && z <= 65_535
    }
}

/// What a kernel takes by value: the type says it, so that a 64-bit count is never given for an `int`.
pub(super) trait Argument {}
impl Argument for i32 {}
impl Argument for f32 {}
/// An address of the device's memory.
impl Argument for u64 {}

/// Where an argument lies, as the driver takes it. It only reads there, before the launch returns.
pub(super) fn argument<T: Argument>(value: &T) -> *mut c_void {
    std::ptr::from_ref(value).cast_mut().cast::<c_void>()
}

/// A count as a kernel takes it.
pub(super) fn int(kernel: &'static str, what: &'static str, count: usize) -> Result<i32, CudaError> {
    i32::try_from(count).map_err(|_| CudaError::shape(kernel, what, "at most 2147483647", count))
}

/// Refuses a side that the kernels would count wrong.
pub(super) fn side(kernel: &'static str, what: &'static str, count: usize) -> Result<i32, CudaError> {
    if (1..=MAX_SIDE).contains(&count) {
        return Ok(count as i32);
    }
    Err(CudaError::shape(kernel, what, format!("1 to {MAX_SIDE}"), count))
}

impl Stream {
    /// Asks for a kernel to be run. A grid without blocks is nothing to do.
    ///
    /// # Safety
    /// `arguments` point to values of the kernel's parameters' types, in their order; every address among them is of
    /// memory that the kernel stays within, given the counts among them, and that is allocated until the stream is
    /// through: buffers are, for freeing them waits.
    pub(super) unsafe fn launch(
        &self,
        kernel: &Kernel,
        grid: Grid,
        arguments: &mut [*mut c_void],
    ) -> Result<(), CudaError> {
        let Some((blocks, threads)) = self.counted(kernel, grid)? else { return Ok(()) };
        // SAFETY: the kernel's module is loaded while the device is, the stream is of the same context, and the caller
        // answers for the arguments.
        let launched = unsafe { result::launch_kernel(kernel.function, blocks, threads, 0, self.handle(), arguments) };
        launched.map_err(|error| CudaError::driver(format!("launching {}", kernel.name), error))
    }

    /// [`Stream::launch`] of a kernel whose blocks wait for each other: all have to fit on the device at once.
    ///
    /// # Safety
    /// As for `launch`.
    pub(super) unsafe fn launch_together(
        &self,
        kernel: &Kernel,
        grid: Grid,
        arguments: &mut [*mut c_void],
    ) -> Result<(), CudaError> {
        let Some((blocks, threads)) = self.counted(kernel, grid)? else { return Ok(()) };
        // SAFETY: as in `launch`; the driver refuses more blocks than fit at once.
        let launched =
            unsafe { result::launch_cooperative_kernel(kernel.function, blocks, threads, 0, self.handle(), arguments) };
        launched.map_err(|error| CudaError::driver(format!("launching {} ({} blocks)", kernel.name, blocks.0), error))
    }

    /// The grid as the driver takes it; nothing if there is nothing to do.
    #[allow(clippy::type_complexity, reason = "CUDA's own two triples")]
    fn counted(&self, kernel: &Kernel, grid: Grid) -> Result<Option<((u32, u32, u32), (u32, u32, u32))>, CudaError> {
        let (x, y, z) = grid.blocks;
        if !grid.fits() {
            return Err(CudaError::shape(
                kernel.name,
                "blocks",
                "at most 2147483647, 65535, 65535",
                format!("{x}, {y}, {z}"),
            ));
        }
        self.device().context.bind_to_thread().at("choosing the GPU")?;
        let some = x > 0 && y > 0 && z > 0;
        Ok(some.then_some(((x as u32, y as u32, z as u32), (grid.threads.0, grid.threads.1, 1))))
    }
}
