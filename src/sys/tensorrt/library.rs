//! TensorRT's libraries, found and loaded once.

use super::TensorRtError;
use super::journal::{self, Journal};
use super::shim::{self, MakeParser, Shim};
use crate::sys::library_file;
use std::ffi::{CStr, c_void};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

type Factory = unsafe extern "C" fn(logger: *mut c_void, version: i32) -> *mut c_void;
type GetVersion = unsafe extern "C" fn() -> i32;

/// The lean runtime gives 0x228 instead of an object where there is no GPU. No object lies in the first page.
const FIRST_PAGE: usize = 4096;

/// What a library that computes on the host's own memory has: the stand-in of the tests.
const HOST_MARK: &CStr = c"segfuse_computes_on_the_host";

/// TensorRT, or TensorRT-RTX for desktop GPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// `libnvinfer`.
    TensorRt,
    /// `libtensorrt_rtx`.
    Rtx,
}

impl fmt::Display for Flavour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TensorRt => "TensorRT",
            Self::Rtx => "TensorRT-RTX",
        })
    }
}

/// Libraries and their ONNX parsers, in the order in which they are looked for.
pub const LIBRARIES: [(&str, &str); 3] = [
    ("libnvinfer.so.10", "libnvonnxparser.so.10"),
    ("libnvinfer.so.11", "libnvonnxparser.so.11"),
    ("libtensorrt_rtx.so.1", "libtensorrt_onnxparser_rtx.so.1"),
];

/// Before 10.1, family 10 lacks functions that the shim calls.
const OLDEST_OF_10: i32 = 100_100;
const FAMILY_10: i32 = 100_000;

/// `10.3.0` as 100300.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version(i32);

impl Version {
    /// The family: 10, 11, or 1 for TensorRT-RTX.
    pub fn major(self) -> i32 {
        self.0 / 10_000
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major(), self.0 / 100 % 100, self.0 % 100)
    }
}

/// A TensorRT library. It stays loaded for the life of the process: TensorRT keeps threads and a pointer to its logger.
pub struct Library {
    path: PathBuf,
    version: Version,
    parser: Result<Parser, String>,
    pub(super) shim: &'static Shim,
    pub(super) journal: &'static Journal,
    pub(super) logger: Object,
    make_runtime: Factory,
    /// The lean runtime has none.
    make_builder: Option<Factory>,
    is_on_host: bool,
}

/// The ONNX parser's library.
pub(super) struct Parser {
    pub(super) make: MakeParser,
    pub(super) version: i32,
}

/// One of TensorRT's objects, never null.
#[derive(Clone, Copy, Debug)]
pub(super) struct Object(pub(super) std::ptr::NonNull<c_void>);

// SAFETY: TensorRT's objects are bound to no thread. Who shares one says for itself why it may.
unsafe impl Send for Object {}

impl Object {
    pub(super) fn raw(self) -> *mut c_void {
        self.0.as_ptr()
    }
}

// SAFETY: it is constant once loaded; the logger may be used from any thread, for the journal locks; the factories may too.
unsafe impl Sync for Library {}
// SAFETY: as above.
unsafe impl Send for Library {}

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Library({} {})", self.path.display(), self.version)
    }
}

impl Library {
    /// Loads the first of [`LIBRARIES`] that is in `folder`, or else known to the system's loader.
    ///
    /// What it runs when it is loaded is trusted as the program is.
    pub fn open(folder: Option<&Path>) -> Result<Arc<Self>, TensorRtError> {
        if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
            let what = if folder.exists() { "no folder, and a folder is to be named" } else { "no such folder" };
            return Err(TensorRtError::NoLibrary { looked: format!("{}: {what}", folder.display()) });
        }
        let mut faults = Vec::new();
        for (name, parser) in LIBRARIES {
            let at = |name: &str| folder.map_or_else(|| PathBuf::from(name), |folder| folder.join(name));
            match load(&at(name)) {
                Ok(loaded) => return Self::new(loaded, &at(name), &at(parser)).map(Arc::new),
                Err(reason) => faults.push(reason),
            }
        }
        Err(TensorRtError::NoLibrary { looked: faults.join("; ") })
    }

    fn new(loaded: &'static libloading::Library, path: &Path, parser: &Path) -> Result<Self, TensorRtError> {
        let version: GetVersion = symbol(loaded, path, c"getInferLibVersion", "getInferLibVersion")?;
        // SAFETY: the function takes nothing and gives a number, in every version since 5.
        let version = Version(unsafe { version() });
        let shim = shim::of_family(version.major());
        let no_shim = || TensorRtError::NoShim { library: path.to_owned(), version: version.to_string() };
        let shim = shim.ok_or_else(no_shim)?;
        if (FAMILY_10..OLDEST_OF_10).contains(&version.0) {
            return Err(TensorRtError::TooOld { library: path.to_owned(), version: version.to_string() });
        }
        let make_runtime = symbol(loaded, path, c"createInferRuntime_INTERNAL", "createInferRuntime_INTERNAL")?;
        let make_builder = symbol(loaded, path, c"createInferBuilder_INTERNAL", "createInferBuilder_INTERNAL").ok();
        // TensorRT may log to it until the process ends.
        let journal: &'static Journal = Box::leak(Box::default());
        // SAFETY: `log` and the pointer belong together, and the journal lives for ever.
        let logger = unsafe { (shim.logger_new)(journal::log, journal.user()) };
        let logger = std::ptr::NonNull::new(logger).expect("a few bytes of memory: allocation does not fail on Linux");
        let is_on_host = {
            // SAFETY: asked for its presence only.
            unsafe { loaded.get::<*const c_void>(HOST_MARK.to_bytes_with_nul()) }.is_ok()
        };
        let parser = Parser::open(parser);
        let logger = Object(logger);
        Ok(Self { path: whole(path), version, parser, shim, journal, logger, make_runtime, make_builder, is_on_host })
    }

    /// The file, in full where it can be found out.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The version of the headers that drive it.
    pub fn header_version(&self) -> Version {
        Version(self.shim.header_version)
    }

    /// TensorRT or TensorRT-RTX.
    pub fn flavour(&self) -> Flavour {
        if self.version.major() == 1 { Flavour::Rtx } else { Flavour::TensorRt }
    }

    /// Why plans cannot be built with it, if they cannot for want of a parser or of a builder.
    pub fn check_parser(&self) -> Result<(), TensorRtError> {
        match self.make_builder {
            Some(_) => self.parser().map(drop),
            None => Err(TensorRtError::NoBuilder { library: self.path.clone() }),
        }
    }

    pub(super) fn parser(&self) -> Result<&Parser, TensorRtError> {
        self.parser.as_ref().map_err(|reason| self.no_parser(reason.clone()))
    }

    /// That there is no parser, for this reason, and where one comes from.
    pub(super) fn no_parser(&self, reason: String) -> TensorRtError {
        let remedy = match self.flavour() {
            Flavour::TensorRt => format!("install it: apt install libnvonnxparsers{}", self.version.major()),
            Flavour::Rtx => "it comes with TensorRT-RTX, in NVIDIA's archive and in the Python packages \
                             tensorrt-rtx-cu12-libs and tensorrt-rtx-cu13-libs: put it there"
                .into(),
        };
        TensorRtError::NoParser { library: self.path.clone(), reason, remedy }
    }

    /// Whether it is a stand-in, whose answers have nothing to do with a network.
    pub fn computes_on_the_host(&self) -> bool {
        self.is_on_host
    }

    pub(super) fn make_runtime(&self) -> Result<Object, TensorRtError> {
        self.make(self.make_runtime, "createInferRuntime")
    }

    pub(super) fn make_builder(&self) -> Result<Object, TensorRtError> {
        let factory = self.make_builder.ok_or_else(|| TensorRtError::NoBuilder { library: self.path.clone() })?;
        self.make(factory, "createInferBuilder")
    }

    fn make(&self, factory: Factory, name: &'static str) -> Result<Object, TensorRtError> {
        self.journal.tell();
        // SAFETY: the logger is of the library's family and lives for ever; the version is the library's own, so that it
        // takes what comes for its own headers.
        let made = unsafe { factory(self.logger.raw(), self.version.0) };
        match std::ptr::NonNull::new(made) {
            Some(object) if made.addr() >= FIRST_PAGE => Ok(Object(object)),
            _ => Err(TensorRtError::NoObject {
                library: self.path.clone(),
                factory: name,
                pointer: made.addr(),
                told: self.journal.take(),
            }),
        }
    }
}

impl Parser {
    fn open(path: &Path) -> Result<Self, String> {
        let loaded = load(path)?;
        let told = |error: TensorRtError| error.to_string();
        let version: GetVersion =
            symbol(loaded, path, c"getNvOnnxParserVersion", "getNvOnnxParserVersion").map_err(told)?;
        let make = symbol(loaded, path, c"createNvOnnxParser_INTERNAL", "createNvOnnxParser_INTERNAL").map_err(told)?;
        // SAFETY: the function takes nothing and gives a number.
        Ok(Self { make, version: unsafe { version() } })
    }
}

/// Loads a library for the life of the process.
fn load(path: &Path) -> Result<&'static libloading::Library, String> {
    library_file::check_is_whole(path)?;
    // SAFETY: NVIDIA's libraries run nothing but their own set-up when they are loaded; who names a folder trusts it.
    let loaded = unsafe { libloading::Library::new(path) };
    let loaded = loaded.map_err(|error| match std::error::Error::source(&error) {
        Some(cause) => cause.to_string(),
        None => error.to_string(),
    })?;
    Ok(Box::leak(Box::new(loaded)))
}

/// A function of a library.
fn symbol<F: Copy>(
    loaded: &'static libloading::Library,
    library: &Path,
    name: &CStr,
    symbol: &'static str,
) -> Result<F, TensorRtError> {
    // SAFETY: every caller names a function and its type as TensorRT's headers declare them.
    let found = unsafe { loaded.get::<F>(name.to_bytes_with_nul()) };
    found.map(|found| *found).map_err(|_| TensorRtError::NoSymbol { library: library.to_owned(), symbol })
}

/// Where the loader found a library that was named without a folder.
fn whole(path: &Path) -> PathBuf {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let name = path.to_string_lossy();
    let mapped = maps.lines().filter_map(|line| line.find('/').map(|start| &line[start..]));
    let found = mapped.into_iter().find(|mapped| mapped.contains(&*name)).map(PathBuf::from);
    if path.components().count() > 1 { path.to_owned() } else { found.unwrap_or_else(|| path.to_owned()) }
}
