//! Plans at hand: kept ones taken, missing ones built, unfit ones told, removed and built again.

use super::graph::check_file;
use super::key::{Gpu, PlanKey};
use super::store::{Found, PlanStore, StoreError};
use super::{NAME, unavailable};
use crate::engine::network::{Graph, Graphs, Network};
use crate::engine::{Config, EngineError};
use crate::sys::tensorrt::{self, BuildOptions, Built, Capability, Engine, Library, Runtime, Step, TensorRtError};
use std::sync::Arc;

/// How plans are built.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The most device memory that a layer may take for itself: bytes; all there is if absent.
    pub workspace_bytes: Option<u64>,
    /// The deep-learning accelerator that runs what it can (Jetson, TensorRT 10).
    pub dla_core: Option<u8>,
    /// A kind of GPU to build for that need not be there (TensorRT-RTX).
    pub capability: Option<Capability>,
    /// Runs are not captured as CUDA graphs: each is enqueued.
    pub without_graphs: bool,
}

impl Options {
    /// As `config` says, for the GPU that is there.
    pub fn configured(config: &Config) -> Self {
        let workspace_bytes = config.workspace_mib.map(|mib| mib << 20);
        Self { workspace_bytes, dla_core: config.dla_core, capability: None, without_graphs: !config.cuda_graphs }
    }
}

/// What a build is at.
#[derive(Clone, Copy, Debug)]
pub struct BuildStep<'a> {
    /// The graph: `backbone`, `head` or `correction`.
    pub graph: &'a str,
    /// TensorRT's own step.
    pub step: Step<'a>,
}

/// What was done for a graph's plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was there.
    Kept,
    /// It was built.
    Built,
}

/// A library, a GPU, and the plans that are kept for them.
#[derive(Debug)]
pub struct Plans {
    library: Arc<Library>,
    gpu: Gpu,
    store: PlanStore,
    options: Options,
}

impl Plans {
    /// Plans of `library` for `gpu`.
    pub fn new(library: Arc<Library>, gpu: Gpu, store: PlanStore, options: Options) -> Self {
        Self { library, gpu, store, options }
    }

    /// Whether runs are captured as CUDA graphs.
    pub(super) fn captures(&self) -> bool {
        !self.options.without_graphs
    }

    /// What builds and runs them.
    pub fn library(&self) -> &Arc<Library> {
        &self.library
    }

    /// Builds a network's plans that are missing, or all of them anew; what was done for each graph, in order. Each is loaded
    /// once, unless it is for a GPU that is elsewhere: what no drive could run is told now.
    pub fn build(
        &self,
        network: &Network,
        anew: bool,
        progress: &(dyn Fn(BuildStep<'_>) -> bool + Sync),
    ) -> Result<Vec<(PlanKey, Outcome)>, EngineError> {
        let graphs = graphs_of(network)?;
        let is_here = self.options.capability.is_none();
        let runtime = is_here.then(|| Runtime::new(&self.library)).transpose().map_err(|error| unavailable(&error))?;
        let built = graphs.into_iter().map(|(graph, onnx, _)| {
            let key = self.key(network, graph, onnx);
            let outcome = match &runtime {
                Some(runtime) => self.loaded(runtime, &key, onnx, anew, progress)?.1,
                None => self.plan(&key, onnx, anew, progress)?.1,
            };
            Ok((key, outcome))
        });
        built.collect()
    }

    /// Builds each graph's plan that is not there, also where another graph is refused; what was said of each. For a GPU that
    /// is elsewhere plans are not kept.
    pub(crate) fn attempt(
        &self,
        network: &Network,
        progress: &(dyn Fn(BuildStep<'_>) -> bool + Sync),
    ) -> Result<Vec<Result<(), EngineError>>, EngineError> {
        let attempt = |(graph, onnx, _): HalfGraph<'_>| {
            let key = self.key(network, graph, onnx);
            if self.options.capability.is_some() {
                return self.build_one(&key, onnx, progress).map(drop);
            }
            self.plan(&key, onnx, false, progress).map(drop)
        };
        Ok(graphs_of(network)?.into_iter().map(attempt).collect())
    }

    /// Loads a graph's plan. One that TensorRT refuses is built again, once; where the device is at fault it is kept.
    pub(super) fn engine(
        &self,
        runtime: &Arc<Runtime>,
        network: &Network,
        (graph, onnx, _): HalfGraph<'_>,
        progress: &(dyn Fn(BuildStep<'_>) -> bool + Sync),
    ) -> Result<Arc<Engine>, EngineError> {
        let key = self.key(network, graph, onnx);
        self.loaded(runtime, &key, onnx, false, progress).map(|(engine, _)| engine)
    }

    fn loaded(
        &self,
        runtime: &Arc<Runtime>,
        key: &PlanKey,
        onnx: &[u8],
        anew: bool,
        progress: &(dyn Fn(BuildStep<'_>) -> bool + Sync),
    ) -> Result<(Arc<Engine>, Outcome), EngineError> {
        let load = |plan: &[u8]| runtime.deserialize(plan, self.options.dla_core);
        let (plan, outcome) = self.plan(key, onnx, anew, progress)?;
        let loaded = match load(&plan) {
            Err(error) if error.is_about_the_plan() && outcome == Outcome::Kept => {
                self.tell_unfit(key, &error.to_string());
                load(&self.built(key, onnx, progress)?.0).map(|engine| (engine, Outcome::Built))
            }
            other => other.map(|engine| (engine, outcome)),
        };
        loaded.map_err(|error| refused(key, &error))
    }

    fn key(&self, network: &Network, graph: &str, onnx: &[u8]) -> PlanKey {
        PlanKey::new((network.name(), graph, onnx), &self.library, &self.gpu, self.options.dla_core)
    }

    /// The plan that is kept, or a new one. What is kept stays until the new one is whole.
    fn plan(
        &self,
        key: &PlanKey,
        onnx: &[u8],
        anew: bool,
        progress: &(dyn Fn(BuildStep<'_>) -> bool + Sync),
    ) -> Result<(Vec<u8>, Outcome), EngineError> {
        if !anew {
            match self.store.find(key).map_err(unkept)? {
                Found::Plan(plan) => return Ok((plan, Outcome::Kept)),
                Found::Nothing => (),
                Found::Unfit(reason) => self.tell_unfit(key, &reason),
            }
        }
        self.built(key, onnx, progress)
    }

    /// A new plan, kept in the place of an older one.
    fn built(
        &self,
        key: &PlanKey,
        onnx: &[u8],
        progress: &(dyn Fn(BuildStep<'_>) -> bool + Sync),
    ) -> Result<(Vec<u8>, Outcome), EngineError> {
        self.store.check_is_writable().map_err(unkept)?;
        let built = self.build_one(key, onnx, progress)?;
        self.store.keep(key, &built.plan).map_err(unkept)?;
        // Without them the next build takes longer, and no more.
        if let Some(Err(error)) = built.timing_cache.as_ref().map(|timings| self.store.keep_timings(key, timings)) {
            tracing::warn!("what this build has measured is not kept: {error}");
        }
        Ok((built.plan, Outcome::Built))
    }

    fn build_one(
        &self,
        key: &PlanKey,
        onnx: &[u8],
        progress: &(dyn Fn(BuildStep<'_>) -> bool + Sync),
    ) -> Result<Built, EngineError> {
        let options = BuildOptions {
            workspace_bytes: self.options.workspace_bytes,
            dla_core: self.options.dla_core,
            capabilities: self.options.capability.into_iter().collect(),
        };
        tracing::info!(graph = key.graph, gpu = %self.gpu, "building a plan: this may take minutes");
        let told = |step: Step<'_>| progress(BuildStep { graph: &key.graph, step });
        let attempt = |timings: &[u8]| tensorrt::build(&self.library, onnx, timings, &options, &told);
        let timings = self.store.timings(key).unwrap_or_else(|error| {
            tracing::warn!("{error}: going on without what earlier builds have measured");
            Vec::new()
        });
        let built = match attempt(&timings) {
            Err(TensorRtError::TimingCacheRefused { told }) => {
                let path = self.store.timings_path(key);
                tracing::warn!("{}: timing cache refused: {told}: it is begun anew", path.display());
                attempt(&[])
            }
            other => other,
        };
        built.map_err(|error| refused(key, &error))
    }

    fn tell_unfit(&self, key: &PlanKey, reason: &str) {
        tracing::warn!("{}: {reason}: building it again", self.store.path(key).display());
    }
}

/// A graph's name, its half-precision file, and what `model.toml` states of it.
pub(super) type HalfGraph<'a> = (&'static str, &'a [u8], &'a Graph);

/// The graphs of a network that TensorRT can build: those that fit what the network states.
pub(super) fn graphs_of(network: &Network) -> Result<Vec<HalfGraph<'_>>, EngineError> {
    let halves = network.half_graphs()?;
    let Graphs::Split { backbone, head, correction } = network.graphs() else {
        let reason = "a plain ONNX file: make a network folder of it and export it in half precision".into();
        return Err(EngineError::Network { path: network.path().into(), reason });
    };
    let mut graphs = vec![("backbone", halves.backbone, backbone), ("head", halves.head, head)];
    if let (Some(half), Some(graph)) = (halves.correction, correction) {
        graphs.push(("correction", half, graph));
    }
    graphs.iter().try_for_each(|graph| check_shapes(network, *graph))?;
    Ok(graphs)
}

fn check_shapes(network: &Network, (graph, onnx, stated): HalfGraph<'_>) -> Result<(), EngineError> {
    check_file(onnx, stated).map_err(|reason| EngineError::Network {
        path: network.path().to_owned(),
        reason: format!("{graph}.fp16.onnx is not what model.toml says: {reason}; export the network again"),
    })
}

/// Whose fault it is that there is no plan: the network's, or what is installed.
fn refused(key: &PlanKey, error: &TensorRtError) -> EngineError {
    let reason = format!("{}: {error}", key.graph);
    match error {
        TensorRtError::Cancelled => EngineError::GivenUp,
        TensorRtError::OnnxRefused { .. } => EngineError::Network { path: key.network.clone(), reason },
        _ => EngineError::Unavailable { runtime: NAME, reason },
    }
}

#[expect(clippy::needless_pass_by_value, reason = "given to map_err")]
fn unkept(error: StoreError) -> EngineError {
    EngineError::Unavailable { runtime: NAME, reason: error.to_string() }
}
