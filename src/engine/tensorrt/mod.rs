//! Networks on NVIDIA GPUs by TensorRT: plans built once, kept, and run.
//!
//! ```text
//! backbone.fp16.onnx ─┐                     ┌─▶ backbone's context ─▶ run_backbone
//! head.fp16.onnx ─────┼─ kept plan, or ─────┼─▶ head's ─────────────▶ run_head
//! correction.fp16.onnx┘  built and kept     └─▶ correction's ───────▶ run_correction
//! ```
//!
//! A plan serves one graph, one version of TensorRT and one kind of GPU ([`PlanKey`]); building one takes seconds to
//! minutes. Everything else of a frame (preparing it, flow, decoding) is not done here.

mod graph;
mod key;
mod plans;
mod store;

pub use key::{Gpu, PlanKey};
pub use plans::{BuildStep, Options, Outcome, Plans};
pub use store::{Entry, PlanStore, StoreError};

use super::EngineError;
use super::network::{Graphs, Network};
use crate::sys::tensorrt::{DeviceSpan, Runtime, Stream, TensorRtError};
use graph::PlannedGraph;

const NAME: &str = "tensorrt";

/// A network's graphs as plans, ready to run. All tensors are `[1, channels, rows, cols] f16` in rows, without gaps.
#[derive(Debug)]
pub struct TensorRtGraphs {
    runtime: String,
    backbone: PlannedGraph,
    head: PlannedGraph,
    correction: Option<PlannedGraph>,
}

impl TensorRtGraphs {
    /// Takes the network's plans from where they are kept, builds those that are missing, and makes them ready.
    ///
    /// `progress` is told of builds, from any thread; `false` gives up.
    pub fn load(
        network: &Network,
        plans: &Plans,
        progress: &(dyn Fn(BuildStep<'_>) -> bool + Sync),
    ) -> Result<Self, EngineError> {
        let halves = network.half_graphs()?;
        let Graphs::Split { backbone, head, correction } = network.graphs() else {
            let reason = "a plain ONNX file: make a network folder of it and export it in half precision".into();
            return Err(EngineError::Network { path: network.path().into(), reason });
        };
        let library = plans.library();
        let runtime = Runtime::new(library).map_err(|error| unavailable(&error))?;
        let load = |name: &'static str, half: &[u8], graph| {
            let engine = plans.engine(&runtime, network, name, half, progress)?;
            PlannedGraph::new(&engine, graph).map_err(|reason| EngineError::Network {
                path: network.path().to_owned(),
                reason: format!("the plan of {name}: {reason}"),
            })
        };
        let correction = match (halves.correction, correction) {
            (Some(half), Some(graph)) => Some(load("correction", half, graph)?),
            _ => None,
        };
        Ok(Self {
            runtime: format!("{} {}", library.flavour(), library.version()),
            backbone: load("backbone", halves.backbone, backbone)?,
            head: load("head", halves.head, head)?,
            correction,
        })
    }

    /// The library and its version, such as `TensorRT 10.3.0`.
    pub fn runtime(&self) -> &str {
        &self.runtime
    }

    /// Shape of the backbone's input.
    pub fn image(&self) -> [usize; 4] {
        self.backbone.input(0).expect("a graph has an input: they are compared as it is loaded")
    }

    /// Shape of the backbone's output, which is the head's input.
    pub fn features(&self) -> [usize; 4] {
        self.backbone.output()
    }

    /// Shape of the head's output.
    pub fn logits(&self) -> [usize; 4] {
        self.head.output()
    }

    /// Shape of the residual; nothing where there is no correction, or one that does not want it.
    pub fn residual(&self) -> Option<[usize; 4]> {
        self.correction.as_ref().and_then(|graph| graph.input(2))
    }

    /// Whether carried features are mended.
    pub fn has_correction(&self) -> bool {
        self.correction.is_some()
    }

    /// Enqueues the backbone: image to features.
    pub fn run_backbone(
        &mut self,
        stream: Stream<'_>,
        image: DeviceSpan<'_>,
        features: DeviceSpan<'_>,
    ) -> Result<(), EngineError> {
        self.backbone.run(stream, &[image], features).map_err(|error| failed(&error))
    }

    /// Enqueues the head: features to logits.
    pub fn run_head(
        &mut self,
        stream: Stream<'_>,
        features: DeviceSpan<'_>,
        logits: DeviceSpan<'_>,
    ) -> Result<(), EngineError> {
        self.head.run(stream, &[features], logits).map_err(|error| failed(&error))
    }

    /// Enqueues the correction: carried `features`, the current `image` and, where there is a
    /// [`residual`](Self::residual), that, to features.
    pub fn run_correction(
        &mut self,
        stream: Stream<'_>,
        (features, image, residual): (DeviceSpan<'_>, DeviceSpan<'_>, Option<DeviceSpan<'_>>),
        corrected: DeviceSpan<'_>,
    ) -> Result<(), EngineError> {
        let graph = self.correction.as_mut().ok_or_else(|| EngineError::Failed {
            runtime: NAME,
            reason: "the network has no correction: ask `has_correction` first".into(),
        })?;
        let inputs = [features, image, residual.unwrap_or(image)];
        let given = if residual.is_some() { 3 } else { 2 };
        graph.run(stream, &inputs[..given], corrected).map_err(|error| failed(&error))
    }
}

/// Something is missing: install it or choose another engine.
fn unavailable(error: &TensorRtError) -> EngineError {
    EngineError::Unavailable { runtime: NAME, reason: error.to_string() }
}

fn failed(error: &TensorRtError) -> EngineError {
    EngineError::Failed { runtime: NAME, reason: error.to_string() }
}
