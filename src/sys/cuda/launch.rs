//! What every launch has in common: the kernels that are loaded, the grid, the arguments.

use super::device::DeviceInfo;
use super::error::{At, CudaError};
use super::image::Module;
use super::memory::{Element, Half};
use super::stream::Stream;
use cudarc::driver::{CudaContext, result, sys};
use std::ffi::c_void;
use std::marker::PhantomData;
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
    pub(super) look_around: Pair,
    pub(super) fill_in: Pair,
    pub(super) decode_mask: Pair,
    pub(super) decode_nearest: Pair,
    /// Unloaded last, after every handle above is of no more use.
    modules: [Module; 7],
}

impl Kernels {
    /// Loads all of them.
    pub(super) fn load(context: &Arc<CudaContext>, info: &DeviceInfo) -> Result<Self, CudaError> {
        let load = |name| Module::load(context, name, info);
        let (preprocess, flow, ego) = (load("preprocess")?, load("flow")?, load("ego_flow")?);
        let (warp, residual, decode) = (load("warp_features")?, load("residual")?, load("decode_mask")?);
        let disocclusion = load("disocclusion")?;
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
            look_around: pair(&disocclusion, "look_around_f16", "look_around_f32")?,
            fill_in: pair(&disocclusion, "fill_in_f16", "fill_in_f32")?,
            decode_mask: pair(&decode, "decode_mask_f16", "decode_mask_f32")?,
            decode_nearest: pair(&decode, "decode_nearest_f16", "decode_nearest_f32")?,
            modules: [preprocess, flow, ego, warp, residual, disocclusion, decode],
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

/// Where an argument lies, and how long it is.
pub(super) struct Passed<'a> {
    at: *const u8,
    bytes: usize,
    value: PhantomData<&'a ()>,
}

/// An argument of a launch, which copies it.
pub(super) fn argument<T: Argument>(value: &T) -> Passed<'_> {
    Passed { at: std::ptr::from_ref(value).cast(), bytes: size_of::<T>(), value: PhantomData }
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

/// Words of all arguments of a launch: the vehicle's camera and motion are the most.
const MOST_WORDS: usize = 48;
const MOST_ARGUMENTS: usize = 16;

/// A launch with its arguments, made or put off.
#[derive(Clone, Debug)]
pub(super) struct Launch {
    pub(super) name: &'static str,
    function: sys::CUfunction,
    blocks: (u32, u32, u32),
    threads: (u32, u32),
    /// The arguments, each from the beginning of a word on, the rest of its last word zero.
    words: heapless::Vec<u64, MOST_WORDS>,
    /// The word at which each begins.
    places: heapless::Vec<usize, MOST_ARGUMENTS>,
}

// SAFETY: a kernel's handle, which any thread may use (see `Kernel`), and plain numbers.
unsafe impl Send for Launch {}

impl Launch {
    /// Copies the arguments; nothing if there is nothing to do.
    ///
    /// # Safety
    /// As for [`Stream::launch`].
    unsafe fn new(kernel: &Kernel, grid: Grid, arguments: &[Passed<'_>]) -> Result<Option<Self>, CudaError> {
        let Some(blocks) = grid.counted(kernel.name)? else { return Ok(None) };
        let (words, places) = (heapless::Vec::new(), heapless::Vec::new());
        let mut launch =
            Self { name: kernel.name, function: kernel.function, blocks, threads: grid.threads, words, places };
        for argument in arguments {
            // SAFETY: the argument is borrowed, and is read for its own length.
            let bytes = unsafe { std::slice::from_raw_parts(argument.at, argument.bytes) };
            launch.add(bytes)?;
        }
        Ok(Some(launch))
    }

    fn add(&mut self, argument: &[u8]) -> Result<(), CudaError> {
        let place = self.words.len();
        let words = argument.chunks(8).map(|bytes| {
            let mut word = [0; 8];
            word[..bytes.len()].copy_from_slice(bytes);
            u64::from_ne_bytes(word)
        });
        let fitted = words.into_iter().try_for_each(|word| self.words.push(word).map_err(drop));
        fitted.and_then(|()| self.places.push(place).map_err(drop)).map_err(|()| {
            let most = format!("at most {MOST_ARGUMENTS} of {MOST_WORDS} words in all");
            CudaError::shape(self.name, "arguments", most, "more")
        })
    }

    /// Whether it is the same work on other memory, or with other numbers.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        (self.function, self.blocks, self.threads) == (other.function, other.blocks, other.threads)
    }

    /// Whether it is the same work on the same memory.
    pub(super) fn equals(&self, other: &Self) -> bool {
        self.is_like(other) && self.words == other.words
    }

    /// The arguments as the driver takes them; it reads there only, before its call returns.
    fn pointers(&self) -> heapless::Vec<*mut c_void, MOST_ARGUMENTS> {
        let word = |place: &usize| std::ptr::from_ref(&self.words[*place]).cast_mut().cast::<c_void>();
        self.places.iter().map(word).collect()
    }

    /// Asks for it on `stream`.
    pub(super) fn ask(&self, stream: &Stream) -> Result<(), CudaError> {
        let (x, y) = self.threads;
        let mut pointers = self.pointers();
        // SAFETY: the kernel's module is loaded while the device is, the stream is of the same context; who made the launch
        // answered for the arguments, and what they point to stays allocated until the stream was asked for it.
        let launched =
            unsafe { result::launch_kernel(self.function, self.blocks, (x, y, 1), 0, stream.handle(), &mut pointers) };
        launched.map_err(|error| CudaError::driver(format!("launching {}", self.name), error))
    }

    /// Calls `work` with the launch as graphs take it; the arguments live as long as the call.
    pub(super) fn as_node<R>(&self, work: impl FnOnce(&sys::CUDA_KERNEL_NODE_PARAMS) -> R) -> R {
        let ((grid_x, grid_y, grid_z), (block_x, block_y)) = (self.blocks, self.threads);
        let mut pointers = self.pointers();
        work(&sys::CUDA_KERNEL_NODE_PARAMS {
            func: self.function,
            gridDimX: grid_x,
            gridDimY: grid_y,
            gridDimZ: grid_z,
            blockDimX: block_x,
            blockDimY: block_y,
            blockDimZ: 1,
            sharedMemBytes: 0,
            kernelParams: pointers.as_mut_ptr(),
            extra: std::ptr::null_mut(),
            kern: std::ptr::null_mut(),
            ctx: std::ptr::null_mut(),
        })
    }
}

impl Grid {
    /// The blocks as the driver takes them; nothing if there are none.
    fn counted(&self, kernel: &'static str) -> Result<Option<(u32, u32, u32)>, CudaError> {
        let (x, y, z) = self.blocks;
        if !self.fits() {
            let most = "at most 2147483647, 65535, 65535";
            return Err(CudaError::shape(kernel, "blocks", most, format!("{x}, {y}, {z}")));
        }
        Ok((x > 0 && y > 0 && z > 0).then_some((x as u32, y as u32, z as u32)))
    }
}

impl Stream {
    /// Asks for a kernel to be run, at once or, on a stream that puts its launches off, when it is next waited for. A grid
    /// without blocks is nothing to do.
    ///
    /// # Safety
    /// `arguments` are of the kernel's parameters' types, in their order; every address among them is of memory that the
    /// kernel stays within, given the counts among them, and that is allocated until the stream is through: buffers are,
    /// for freeing them waits, and waits for launches that were put off, too.
    pub(super) unsafe fn launch(&self, kernel: &Kernel, grid: Grid, arguments: &[Passed<'_>]) -> Result<(), CudaError> {
        // SAFETY: the caller says so.
        let Some(launch) = unsafe { Launch::new(kernel, grid, arguments) }? else { return Ok(()) };
        self.device().context.bind_to_thread().at("choosing the GPU")?;
        self.ask(launch)
    }
}
