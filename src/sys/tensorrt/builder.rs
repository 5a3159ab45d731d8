//! From an ONNX graph to a plan.

use super::shim::{self, BuildEvents, BuildRequest};
use super::{Capability, Flavour, Library, OnnxFault, TensorRtError};
use std::any::Any;
use std::ffi::{CStr, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How a plan is built.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuildOptions {
    /// The most device memory that a layer may take for itself; all there is if absent.
    pub workspace_bytes: Option<u64>,
    /// The deep-learning accelerator that runs what it can; family 10 only. The GPU runs the rest.
    pub dla_core: Option<u8>,
    /// GPUs to build for that need not be there; TensorRT-RTX only. The GPU that is there if empty.
    pub capabilities: Vec<Capability>,
}

/// A plan, and what was learnt on the way.
#[derive(Clone, Debug)]
pub struct Built {
    /// What [`deserialize`](super::Runtime::deserialize) takes.
    pub plan: Vec<u8>,
    /// Timings that make the next build on this GPU faster; TensorRT-RTX has none.
    pub timing_cache: Option<Vec<u8>>,
}

/// A step of a build that is done.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// TensorRT's name of the phase; phases are nested and may run beside one another.
    pub phase: &'a str,
    /// Steps done of it.
    pub done: i32,
    /// Steps in all, told as the phase begins; 0 later on.
    pub of: i32,
}

/// What goes on during a build; TensorRT's threads reach it by a pointer.
struct Building<'a> {
    went_on: Mutex<Progress>,
    progress: &'a (dyn Fn(Step<'_>) -> bool + Sync),
}

#[derive(Default)]
struct Progress {
    faults: Vec<OnnxFault>,
    plan: Vec<u8>,
    timing_cache: Option<Vec<u8>>,
    is_cancelled: bool,
    panic: Option<Box<dyn Any + Send>>,
}

impl Building<'_> {
    fn went_on(&self) -> MutexGuard<'_, Progress> {
        self.went_on.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Builds a plan of a graph whose file states its element types, such as a half-precision one or one with int8 scales
/// around its operators (QDQ). Seconds to minutes.
///
/// `timing_cache` is what an earlier build gave, or empty. `progress` is called from any thread; `false` gives up.
pub fn build(
    library: &Library,
    onnx: &[u8],
    timing_cache: &[u8],
    options: &BuildOptions,
    progress: &(dyn Fn(Step<'_>) -> bool + Sync),
) -> Result<Built, TensorRtError> {
    library.check_parser()?;
    let parser = library.parser()?;
    let building = Building { went_on: Mutex::default(), progress };
    let events = BuildEvents {
        user: std::ptr::from_ref(&building).cast_mut().cast(),
        refused,
        plan,
        timing_cache: learnt,
        progress: step,
    };
    let capabilities: Vec<i32> = options.capabilities.iter().map(|capability| capability.number()).collect();
    let request = BuildRequest {
        onnx: onnx.as_ptr().cast(),
        onnx_len: onnx.len(),
        timing_cache: timing_cache.as_ptr().cast(),
        timing_cache_len: timing_cache.len(),
        workspace_bytes: options.workspace_bytes.unwrap_or(0),
        dla_core: options.dla_core.map_or(-1, i32::from),
        capabilities: capabilities.as_ptr(),
        capability_count: capabilities.len() as i32,
        make_parser: parser.make,
        logger: library.logger.raw(),
        parser_version: parser.version,
        events: &raw const events,
    };
    library.journal.tell();
    let builder = library.make_builder()?;
    // SAFETY: the builder is alive, not shared, and nobody's after the call, which frees it; the request and all that it
    // points to outlive the call, and the events get the pointer that they expect.
    let outcome = unsafe { (library.shim.build)(builder.raw(), &raw const request) };
    let went_on = building.went_on.into_inner().unwrap_or_else(PoisonError::into_inner);
    concluded(library, options, outcome, went_on)
}

fn concluded(
    library: &Library,
    options: &BuildOptions,
    outcome: i32,
    went_on: Progress,
) -> Result<Built, TensorRtError> {
    if let Some(panic) = went_on.panic {
        resume_unwind(panic);
    }
    if outcome == shim::BUILT {
        library.journal.tell();
        return Ok(Built { plan: went_on.plan, timing_cache: went_on.timing_cache });
    }
    let told = library.journal.take();
    let version = || format!("{} ({})", library.version(), library.flavour());
    match outcome {
        _ if went_on.is_cancelled => Err(TensorRtError::Cancelled),
        shim::ONNX_REFUSED => Err(TensorRtError::OnnxRefused { faults: went_on.faults, told }),
        shim::NO_PARSER => Err(library.no_parser(told)),
        shim::TIMING_CACHE_REFUSED => Err(TensorRtError::TimingCacheRefused { told }),
        shim::NO_DLA_IN_FAMILY => Err(TensorRtError::NoDla { version: version() }),
        shim::NO_SUCH_DLA => {
            Err(TensorRtError::NoSuchDla { core: options.dla_core.unwrap_or_default(), version: version() })
        }
        shim::CAPABILITY_REFUSED => {
            let capabilities: Vec<_> = options.capabilities.iter().map(ToString::to_string).collect();
            let told = match library.flavour() {
                Flavour::TensorRt => "only TensorRT-RTX builds for GPUs that are elsewhere; \
                                      leave --compute-capability out"
                    .into(),
                Flavour::Rtx => told,
            };
            Err(TensorRtError::CapabilityRefused { version: version(), capabilities: capabilities.join(", "), told })
        }
        shim::NO_NETWORK => {
            Err(TensorRtError::NotBuilt { told: format!("an empty network could not be made: {told}") })
        }
        _ => Err(TensorRtError::NotBuilt { told }),
    }
}

/// Runs `work` on what goes on; a panic is kept for the thread that builds.
///
/// # Safety
/// `user` points to the [`Building`] of a build that goes on.
unsafe fn guarded(user: *mut c_void, work: impl FnOnce(&Building<'_>)) {
    // SAFETY: the caller says so.
    let building = unsafe { &*user.cast::<Building<'_>>() };
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| work(building))) {
        building.went_on().panic = Some(panic);
    }
}

/// # Safety
/// As [`guarded`]; the texts end with a zero byte or are null.
unsafe extern "C" fn refused(
    user: *mut c_void,
    node: i32,
    name: *const c_char,
    operator: *const c_char,
    reason: *const c_char,
) {
    // SAFETY: the caller says so.
    let [name, operator, reason] = [name, operator, reason].map(|text| unsafe { text_of(text) });
    // SAFETY: the caller says so.
    unsafe { guarded(user, |building| building.went_on().faults.push(OnnxFault { node, name, operator, reason })) }
}

/// # Safety
/// As [`guarded`]; `len` bytes can be read.
unsafe extern "C" fn plan(user: *mut c_void, bytes: *const c_void, len: usize) {
    // SAFETY: the caller says so.
    let bytes = unsafe { bytes_of(bytes, len) };
    // SAFETY: the caller says so.
    unsafe { guarded(user, |building| building.went_on().plan = bytes) }
}

/// # Safety
/// As [`plan`].
unsafe extern "C" fn learnt(user: *mut c_void, bytes: *const c_void, len: usize) {
    // SAFETY: the caller says so.
    let bytes = unsafe { bytes_of(bytes, len) };
    // SAFETY: the caller says so.
    unsafe { guarded(user, |building| building.went_on().timing_cache = Some(bytes)) }
}

/// # Safety
/// As [`guarded`], from any thread; `phase` ends with a zero byte.
unsafe extern "C" fn step(user: *mut c_void, phase: *const c_char, done: i32, of: i32) -> i32 {
    // SAFETY: the caller says so.
    let phase = unsafe { text_of(phase) };
    let mut goes_on = false;
    // SAFETY: the caller says so; what it points to may be shared between threads: a mutex and a `Sync` function.
    unsafe {
        guarded(user, |building| {
            goes_on = (building.progress)(Step { phase: &phase, done, of });
            building.went_on().is_cancelled |= !goes_on;
        });
    }
    goes_on.into()
}

/// # Safety
/// `text` ends with a zero byte, or is null.
unsafe fn text_of(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: the caller says so.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// # Safety
/// `len` bytes can be read, or `bytes` is null.
unsafe fn bytes_of(bytes: *const c_void, len: usize) -> Vec<u8> {
    if bytes.is_null() {
        return Vec::new();
    }
    // SAFETY: the caller says so.
    unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), len) }.to_vec()
}
