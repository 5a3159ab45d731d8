//! What runs an ONNX graph: a small trait with two implementations, and the choice between them.
//!
//! `rten` is built in. `onnxruntime` is faster (`docs/engines.md` says how much) and used where its library is present.

use super::onnxruntime::{LIBRARY, OnnxRuntime};
use super::rten::Rten;
use super::{Config, FeatureMap, RuntimeChoice};
use crate::engine::EngineError;
use crate::engine::network::Graph;
use crate::engine::onnx::GraphInput;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A loaded graph: `[1, channels, rows, cols] f32` in and out.
pub(super) trait Session: Send {
    /// The runtime's name.
    fn runtime(&self) -> &'static str;

    /// Runs the graph on `inputs`, in order and laid out as the graph's input shapes say; `output` takes the answer's shape.
    fn run(&mut self, inputs: &[&[f32]], output: &mut FeatureMap) -> Result<(), String>;

    /// The same; the answer is only looked at, where the runtime has it: its shape `[channels, rows, cols]`, and its values.
    fn read(&mut self, inputs: &[&[f32]], look: &mut dyn FnMut([usize; 3], &[f32])) -> Result<(), String>;
}

/// A runtime that graphs can be loaded into.
#[derive(Clone)]
pub(in crate::engine) enum Runtime {
    Rten(Rten),
    OnnxRuntime(OnnxRuntime),
}

impl Runtime {
    /// The runtime that `config` asks for; `auto` falls back to rten and says so.
    pub(super) fn choose(config: &Config) -> Result<Self, EngineError> {
        let threads = threads(config);
        let library = config.onnxruntime_library.as_deref();
        match config.runtime {
            RuntimeChoice::Rten => Ok(Self::Rten(Rten::new(threads))),
            RuntimeChoice::Onnxruntime => OnnxRuntime::load(library, threads).map(Self::OnnxRuntime),
            // A library named in the configuration is asked for: without it there is no going on.
            RuntimeChoice::Auto if library.is_some() => OnnxRuntime::load(library, threads).map(Self::OnnxRuntime),
            RuntimeChoice::Auto => Ok(Self::prefer_onnxruntime(threads)),
            RuntimeChoice::Tensorrt => Err(no_tensorrt()),
        }
    }

    fn prefer_onnxruntime(threads: usize) -> Self {
        match OnnxRuntime::load(None, threads) {
            Ok(found) => Self::OnnxRuntime(found),
            Err(error) => {
                tracing::warn!(
                    "{LIBRARY} cannot be loaded: using rten, about half as fast (--onnxruntime-library names one)"
                );
                tracing::debug!("{error}");
                Self::Rten(Rten::new(threads))
            }
        }
    }

    /// The same runtime; graphs that are loaded into it have threads of their own, which the calling thread starts: so
    /// many, or as many as before.
    pub(super) fn anew(&self, threads: Option<usize>) -> Self {
        match self {
            Self::Rten(rten) => Self::Rten(rten.anew(threads)),
            Self::OnnxRuntime(onnxruntime) => Self::OnnxRuntime(onnxruntime.anew(threads)),
        }
    }

    /// Name and version.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Rten(rten) => rten.describe(),
            Self::OnnxRuntime(onnxruntime) => onnxruntime.describe(),
        }
    }

    fn session(&self, graph: &Graph) -> Result<Box<dyn Session>, String> {
        match self {
            Self::Rten(rten) => rten.session(graph),
            Self::OnnxRuntime(onnxruntime) => onnxruntime.session(graph),
        }
    }

    /// Runs an ONNX file whose outputs are lists of int64, on zeros of the shapes of `inputs`.
    pub(super) fn whole_numbers(&self, onnx: &[u8], inputs: &[GraphInput]) -> Result<Vec<Vec<i64>>, String> {
        match self {
            Self::Rten(rten) => rten.whole_numbers(onnx, inputs),
            Self::OnnxRuntime(onnxruntime) => onnxruntime.whole_numbers(onnx, inputs),
        }
    }

    /// onnxruntime lays its memory out by what the first run needed, and takes it in the second.
    fn runs_until_warm(&self) -> usize {
        match self {
            Self::Rten(_) => 1,
            Self::OnnxRuntime(_) => 2,
        }
    }

    /// Loads `graph` and runs it on zeros until it is warm: what a file does not state is found out here,
    /// not in the middle of a drive, and the first frame is as fast as the others.
    pub(super) fn load(&self, graph: &Graph) -> Result<LoadedGraph, EngineError> {
        let refuse = |reason: String| EngineError::Network {
            path: graph.path.clone(),
            reason: format!("{} cannot run it: {reason}", self.describe()),
        };
        let session = guard(|| self.session(graph)).map_err(refuse)?;
        let mut loaded = LoadedGraph { session, input: graph.input(), output: [0; 4] };
        let mut answer = FeatureMap::default();
        let zeros = zeros(&graph.inputs);
        let zeros: Vec<&[f32]> = zeros.iter().map(Vec::as_slice).collect();
        for _ in 0..self.runs_until_warm() {
            loaded.run_any(&zeros, &mut answer).map_err(refuse)?;
        }
        loaded.output = [1, answer.channels, answer.rows, answer.cols];
        match graph.output {
            Some(stated) if stated != loaded.output => {
                Err(refuse(format!("output: expected {stated:?} from model.toml, got {:?}", loaded.output)))
            }
            _ => Ok(loaded),
        }
    }
}

/// What the CPU says when it is asked for TensorRT.
pub(super) fn no_tensorrt() -> EngineError {
    let reason = "it runs on an NVIDIA GPU, in a build with the feature tensorrt and with device auto or cuda \
                  (docs/engines.md): choose auto, rten or onnxruntime here";
    EngineError::Unavailable { runtime: "tensorrt", reason: reason.to_owned() }
}

/// A tensor of zeros for each of `inputs`.
pub(super) fn zeros(inputs: &[GraphInput]) -> Vec<Vec<f32>> {
    inputs.iter().map(|input| vec![0.0; input.shape.iter().product()]).collect()
}

/// The threads that `config` asks for, or one a core.
pub(super) fn threads(config: &Config) -> usize {
    let threads = config.threads.or_else(|| std::thread::available_parallelism().ok());
    threads.map_or(1, NonZeroUsize::get)
}

/// A graph in a runtime, its shapes known.
pub(crate) struct LoadedGraph {
    session: Box<dyn Session>,
    /// `[1, channels, rows, cols]` of the first input.
    pub(crate) input: [usize; 4],
    /// `[1, channels, rows, cols]`.
    pub(crate) output: [usize; 4],
}

impl LoadedGraph {
    /// Runs the graph on its inputs in order; an answer of another shape than the first one is a failure.
    pub(crate) fn run(&mut self, inputs: &[&[f32]], output: &mut FeatureMap) -> Result<(), EngineError> {
        let runtime = self.session.runtime();
        let failed = |reason: String| EngineError::Failed { runtime, reason };
        self.run_any(inputs, output).map_err(failed)?;
        insist([1, output.channels, output.rows, output.cols], self.output).map_err(failed)
    }

    /// Runs the graph, and looks at the answer `[channels, rows, cols]` without taking it: it may be large.
    pub(crate) fn read(
        &mut self,
        inputs: &[&[f32]],
        look: &mut dyn FnMut([usize; 3], &[f32]),
    ) -> Result<(), EngineError> {
        let (expected, session) = (self.output, &mut self.session);
        let runtime = session.runtime();
        let mut got = expected;
        let mut look_if_right = |[channels, rows, cols]: [usize; 3], values: &[f32]| {
            got = [1, channels, rows, cols];
            if got == expected {
                look([channels, rows, cols], values);
            }
        };
        let ran = guard(|| session.read(inputs, &mut look_if_right));
        let failed = |reason: String| EngineError::Failed { runtime, reason };
        ran.map_err(failed)?;
        insist(got, expected).map_err(failed)
    }

    fn run_any(&mut self, inputs: &[&[f32]], output: &mut FeatureMap) -> Result<(), String> {
        let session = &mut self.session;
        guard(|| session.run(inputs, output))
    }
}

fn insist(got: [usize; 4], expected: [usize; 4]) -> Result<(), String> {
    if got == expected { Ok(()) } else { Err(format!("output: expected {expected:?}, got {got:?}")) }
}

/// A runtime that panics over a graph has refused it: the program goes on to say so.
pub(super) fn guard<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    // What a panic leaves half done is dropped with the session or overwritten by the next run.
    let caught = catch_unwind(AssertUnwindSafe(work));
    caught.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given");
        Err(format!("the runtime gave up: {text}"))
    })
}
