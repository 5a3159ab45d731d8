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
use super::network::Network;
use crate::sys::cuda::On;
use crate::sys::tensorrt::{DeviceSpan, Runtime, TensorRtError};
use graph::PlannedGraph;
use plans::{HalfGraph, graphs_of};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

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
        let graphs = graphs_of(network)?;
        let library = plans.library();
        let runtime = Runtime::new(library).map_err(|error| unavailable(&error))?;
        let captures = Arc::new(AtomicBool::new(plans.captures()));
        let load = |graph: &HalfGraph<'_>| {
            let engine = plans.engine(&runtime, network, *graph, progress)?;
            let &(name, _, stated) = graph;
            PlannedGraph::new(&engine, stated, &captures).map_err(|reason| EngineError::Network {
                path: network.path().to_owned(),
                reason: format!("the plan of {name}: {reason}"),
            })
        };
        let mut loaded = graphs.iter().map(load).collect::<Result<Vec<_>, _>>()?.into_iter();
        let mut next = || loaded.next().expect("a split network has a backbone and a head, in this order");
        let (backbone, head) = (next(), next());
        let runtime = format!("{} {}", library.flavour(), library.version());
        Ok(Self { runtime, backbone, head, correction: loaded.next() })
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
    pub fn run_backbone<'a>(
        &mut self,
        on: impl Into<On<'a>>,
        image: DeviceSpan<'_>,
        features: DeviceSpan<'_>,
    ) -> Result<(), EngineError> {
        self.backbone.run(on.into(), &[image], features).map_err(|error| failed(&error))
    }

    /// Enqueues the head: features to logits.
    pub fn run_head<'a>(
        &mut self,
        on: impl Into<On<'a>>,
        features: DeviceSpan<'_>,
        logits: DeviceSpan<'_>,
    ) -> Result<(), EngineError> {
        self.head.run(on.into(), &[features], logits).map_err(|error| failed(&error))
    }

    /// Enqueues the correction: carried `features`, the current `image` and, where there is a
    /// [`residual`](Self::residual), that, to features.
    pub fn run_correction<'a>(
        &mut self,
        on: impl Into<On<'a>>,
        (features, image, residual): (DeviceSpan<'_>, DeviceSpan<'_>, Option<DeviceSpan<'_>>),
        corrected: DeviceSpan<'_>,
    ) -> Result<(), EngineError> {
        let graph = self.correction.as_mut().ok_or_else(|| EngineError::Failed {
            runtime: NAME,
            reason: "the network has no correction: ask `has_correction` first".into(),
        })?;
        let inputs = [features, image, residual.unwrap_or(image)];
        let given = if residual.is_some() { 3 } else { 2 };
        graph.run(on.into(), &inputs[..given], corrected).map_err(|error| failed(&error))
    }
}

/// Something is missing: install it or choose another engine.
fn unavailable(error: &TensorRtError) -> EngineError {
    EngineError::Unavailable { runtime: NAME, reason: error.to_string() }
}

fn failed(error: &TensorRtError) -> EngineError {
    EngineError::Failed { runtime: NAME, reason: error.to_string() }
}
