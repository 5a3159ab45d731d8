//! onnxruntime, loaded at run time from its shared library.
//!
//! Looked for in this order: the configured path (a file, or a folder holding `libonnxruntime.so*`),
//! the environment variable `ORT_DYLIB_PATH`, beside the executable, then as any shared library by
//! the names `libonnxruntime.so` and `libonnxruntime.so.1`.

use super::FeatureMap;
use super::runtime::{Session, guard, zeros};
use crate::engine::EngineError;
use crate::engine::network::Graph;
use crate::engine::onnx::GraphInput;
use crate::sys::library_file::check_is_whole;
use ort::environment::{Environment, EnvironmentBuilder};
use ort::session::{Session as OrtSession, SessionInputs};
use ort::value::TensorRef;
use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

const NAME: &str = "onnxruntime";
/// Its file name, which the loader looks for; or this with `.1` behind it.
pub(super) const LIBRARY: &str = "libonnxruntime.so";
const REMEDY: &str = "install onnxruntime 1.17 or newer and name its libonnxruntime.so (option --onnxruntime-library, variable ORT_DYLIB_PATH, \
     or engine.onnxruntime_library in a configuration), or choose rten";

/// What the library's own one-per-process rule forces on its users: it is loaded once, its
/// environment can be made once, and both stay for the life of the process.
static LOADED: Mutex<Option<Loaded>> = Mutex::new(None);

#[derive(Clone)]
struct Loaded {
    library: PathBuf,
    environment: Environment,
}

/// The loaded library.
#[derive(Clone)]
pub(in crate::engine) struct OnnxRuntime {
    environment: Environment,
    version: String,
    threads: usize,
    /// Whether threads wait by spinning during a run.
    spins: bool,
}

struct OnnxRuntimeSession {
    session: OrtSession,
    inputs: Vec<GraphInput>,
}

impl OnnxRuntime {
    /// Loads `library`, or the one found. Fails cleanly on anything that is not a fitting onnxruntime.
    pub(super) fn load(library: Option<&Path>, threads: usize) -> Result<Self, EngineError> {
        // A library that claims to be what it is not makes the binding panic.
        let environment =
            guard(|| environment(library)).map_err(|reason| EngineError::Unavailable { runtime: NAME, reason })?;
        // More threads than cores: one that spins would take the core of one that has work.
        let spins = std::thread::available_parallelism().is_ok_and(|cores| threads <= cores.get());
        Ok(Self { environment, version: version(), threads, spins })
    }

    /// The same with other threads: every session has its own. They run beside other work, and wait asleep.
    pub(super) fn anew(&self, threads: Option<usize>) -> Self {
        let (environment, version) = (self.environment.clone(), self.version.clone());
        Self { environment, version, threads: threads.unwrap_or(self.threads), spins: false }
    }

    pub(super) fn describe(&self) -> String {
        format!("{NAME} {}", self.version)
    }

    pub(super) fn session(&self, graph: &Graph) -> Result<Box<dyn Session>, String> {
        let session = self.build(&graph.bytes).map_err(|error| error.to_string())?;
        Ok(Box::new(OnnxRuntimeSession { session, inputs: graph.inputs.clone() }))
    }

    /// Runs an ONNX file whose outputs are lists of int64.
    pub(super) fn whole_numbers(&self, onnx: &[u8], inputs: &[GraphInput]) -> Result<Vec<Vec<i64>>, String> {
        let words = |error: ort::Error| error.to_string();
        let mut session = self.build(onnx).map_err(words)?;
        let zeros = zeros(inputs);
        let tensors = tensors(inputs, zeros.iter().map(Vec::as_slice)).map_err(words)?;
        let answers = session.run(tensors).map_err(words)?;
        let numbers = |index: usize| {
            let (_, numbers) = answers[index].try_extract_tensor::<i64>().map_err(words)?;
            Ok(numbers.to_vec())
        };
        (0..answers.len()).map(numbers).collect()
    }

    /// Threads that wait by spinning are a tenth faster, each on a core of its own; once a run is over, the cores are for
    /// the pipeline's other work.
    fn build(&self, bytes: &[u8]) -> ort::Result<OrtSession> {
        let builder = OrtSession::builder(&self.environment)?;
        let builder = builder.with_intra_threads(self.threads)?.with_inter_threads(1)?;
        let builder =
            builder.with_deterministic_compute(true)?.with_config_entry("session.force_spinning_stop", "1")?;
        builder.with_intra_op_spinning(self.spins)?.commit_from_memory(bytes)
    }
}

/// Views of `values`, by the names of `inputs`: a file may list them in any order.
fn tensors<'a>(
    inputs: &'a [GraphInput],
    values: impl Iterator<Item = &'a [f32]>,
) -> ort::Result<SessionInputs<'a, 'a>> {
    let tensor = |(input, values): (&'a GraphInput, &'a [f32])| {
        let tensor = TensorRef::from_array_view((input.shape, values))?;
        Ok((Cow::Borrowed(input.name.as_str()), tensor.into()))
    };
    Ok(SessionInputs::ValueMap(inputs.iter().zip(values).map(tensor).collect::<ort::Result<_>>()?))
}

impl Session for OnnxRuntimeSession {
    fn runtime(&self) -> &'static str {
        NAME
    }

    fn run(&mut self, inputs: &[&[f32]], output: &mut FeatureMap) -> Result<(), String> {
        self.read(inputs, &mut |[channels, rows, cols], values| {
            output.reshape(channels, rows, cols);
            output.values.copy_from_slice(values);
        })
    }

    fn read(&mut self, inputs: &[&[f32]], look: &mut dyn FnMut([usize; 3], &[f32])) -> Result<(), String> {
        let words = |error: ort::Error| error.to_string();
        let tensors = tensors(&self.inputs, inputs.iter().copied()).map_err(words)?;
        let answers = self.session.run(tensors).map_err(words)?;
        let (shape, values) = answers[0].try_extract_tensor::<f32>().map_err(words)?;
        let &[1, channels, rows, cols] = &shape[..] else {
            return Err(format!("output: expected [1, channels, rows, cols], got {:?}", &shape[..]));
        };
        look([channels as usize, rows as usize, cols as usize], values);
        Ok(())
    }
}

fn environment(library: Option<&Path>) -> Result<Environment, String> {
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    let candidates = candidates(library)?;
    match loaded.as_ref() {
        Some(present) if library.is_none() || candidates.contains(&present.library) => Ok(present.environment.clone()),
        Some(present) => Err(format!(
            "{} is already loaded and a process can load only one: name the same `onnxruntime_library` everywhere",
            present.library.display()
        )),
        None => {
            let found = load_first(&candidates)?;
            Ok(loaded.insert(found).environment.clone())
        }
    }
}

/// The libraries to try, in order.
fn candidates(library: Option<&Path>) -> Result<Vec<PathBuf>, String> {
    let from_environment = || std::env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty()).map(PathBuf::from);
    match library.map(Path::to_path_buf).or_else(from_environment) {
        Some(folder) if folder.is_dir() => in_folder(&folder),
        Some(file) => shared_library(&file).map(|file| vec![file]),
        None => Ok(vec![LIBRARY.into(), format!("{LIBRARY}.1").into()]),
    }
}

fn in_folder(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let cannot = |error: std::io::Error| format!("{}: cannot be read: {error}", folder.display());
    let entries = std::fs::read_dir(folder).map_err(cannot)?.filter_map(Result::ok);
    let is_library = |entry: &std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with("libonnxruntime.so");
    let mut paths: Vec<PathBuf> = entries.filter(is_library).map(|entry| entry.path()).collect();
    paths.sort();
    let newest = paths.pop().ok_or_else(|| format!("{} holds no libonnxruntime.so*; {REMEDY}", folder.display()))?;
    shared_library(&newest).map(|file| vec![file])
}

/// The absolute path of `file` if it is an ELF file, which only the loader itself can judge further.
fn shared_library(file: &Path) -> Result<PathBuf, String> {
    let cannot = |error: std::io::Error| format!("{}: cannot be read: {error}; {REMEDY}", file.display());
    let mut magic = [0; 4];
    File::open(file).and_then(|mut file| file.read_exact(&mut magic)).map_err(cannot)?;
    if &magic != b"\x7fELF" {
        return Err(format!("{} is no shared library (no ELF header); {REMEDY}", file.display()));
    }
    file.canonicalize().map_err(cannot)
}

fn load_first(candidates: &[PathBuf]) -> Result<Loaded, String> {
    let mut faults = Vec::new();
    for library in candidates {
        if let Err(reason) = check_is_whole(library) {
            faults.push(reason);
            continue;
        }
        match ort::init_from(library) {
            Ok(builder) => return make_environment(builder, library),
            Err(error) => faults.push(error.to_string()),
        }
    }
    Err(format!("{}; {REMEDY}", faults.join("; ")))
}

fn make_environment(builder: EnvironmentBuilder, library: &Path) -> Result<Loaded, String> {
    let builder = builder.with_name("segfuse").with_telemetry(false);
    let environment = builder.build().map_err(|error| format!("{}: {error}", library.display()))?;
    Ok(Loaded { library: library.to_owned(), environment })
}

/// The version, out of the library's own words (`… git-branch=rel-1.32.0, …`) or its file's name.
fn version() -> String {
    let info = ort::info();
    let released = info.split("git-branch=rel-").nth(1).and_then(|rest| rest.split(',').next());
    released.map(str::to_owned).or_else(mapped_version).unwrap_or_else(|| info.to_owned())
}

/// The ending of the library's file name in this process's memory map: `libonnxruntime.so.1.32.0` is 1.32.0.
fn mapped_version() -> Option<String> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let version = maps.lines().find_map(|line| line.split_once("/libonnxruntime.so."))?.1;
    Some(version.trim_end().to_owned())
}
