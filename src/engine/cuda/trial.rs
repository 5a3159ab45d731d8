//! TensorRT on trial: what it says to a network, and how fast the network's plans are on the GPU, apart from the engine's loop.

use super::super::cpu::FeatureMap;
use super::super::network::Network;
use super::super::tensorrt::{BuildStep, Gpu, Options, PlanStore, Plans, TensorRtGraphs};
use super::super::{Config, EngineError, Watch};
use super::nets::{room, upload_singles};
use crate::sys::cuda::{CudaError, Device, DeviceMap, Half, Stream, to_singles};
use crate::sys::tensorrt::{Capability, Flavour, Library};
use std::sync::Arc;

/// TensorRT-RTX is asked to build for this GPU where none is here.
const ELSEWHERE: Capability = Capability { major: 8, minor: 9 };

/// TensorRT's libraries, and the GPU that is here.
pub(crate) struct PlanTrial {
    library: Arc<Library>,
    device: Result<Device, CudaError>,
    plans: Plans,
}

/// A network's plans on the GPU, and memory for their inputs and outputs.
pub(crate) struct LoadedPlans {
    stream: Stream,
    graphs: TensorRtGraphs,
    picture: DeviceMap<Half>,
    features: DeviceMap<Half>,
    corrected: DeviceMap<Half>,
    residual: Option<DeviceMap<Half>>,
    logits: DeviceMap<Half>,
}

impl PlanTrial {
    /// Finds the libraries.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`] without any, and without a GPU where they build for the one that is here alone.
    pub(crate) fn new(config: &Config) -> Result<Self, EngineError> {
        let unavailable = |reason: String| EngineError::Unavailable { runtime: "tensorrt", reason };
        let told = |error: &dyn std::fmt::Display| unavailable(error.to_string());
        let library = Library::open(config.tensorrt_libraries.as_deref()).map_err(|error| told(&error))?;
        let store = PlanStore::new(config.plans.as_deref()).map_err(|error| told(&error))?;
        let device = Device::open(0);
        let options = Options::configured(config);
        let (gpu, options) = match &device {
            Ok(device) => (Gpu::from(device), options),
            Err(error) if library.flavour() == Flavour::TensorRt => return Err(told(error)),
            Err(_) => {
                let capability = Some(ELSEWHERE);
                (
                    Gpu { name: "any".into(), capability: ELSEWHERE, multiprocessors: None },
                    Options { capability, ..options },
                )
            }
        };
        Ok(Self { plans: Plans::new(Arc::clone(&library), gpu, store, options), library, device })
    }

    /// Name and version.
    pub(crate) fn describe(&self) -> String {
        format!("tensorrt ({} {})", self.library.flavour(), self.library.version())
    }

    /// Builds what is missing; each graph that is refused, with its nodes.
    pub(crate) fn build(&self, network: &Network, watch: Watch<'_>) -> Result<(), EngineError> {
        let told = |step: BuildStep<'_>| watch(&format!("{}: plan of {}", network.name(), step.graph));
        let refused: Vec<EngineError> =
            self.plans.attempt(network, &told)?.into_iter().filter_map(Result::err).collect();
        if refused.iter().any(|error| matches!(error, EngineError::GivenUp)) {
            return Err(EngineError::GivenUp);
        }
        let reasons: Vec<String> = refused.iter().map(ToString::to_string).collect();
        match refused.into_iter().next() {
            None => Ok(()),
            Some(EngineError::Network { path, .. }) => {
                Err(EngineError::Network { reason: reasons.join("; ").replace(&format!("network {path}: "), ""), path })
            }
            Some(error) => Err(error),
        }
    }

    /// The plans, ready to run with `picture` `[3, rows, cols]`; what is missing where there is no GPU.
    pub(crate) fn load(&self, network: &Network, picture: &[f32]) -> Result<Result<LoadedPlans, String>, EngineError> {
        let device = match &self.device {
            Ok(device) => device,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let graphs = TensorRtGraphs::load(network, &self.plans, &|_| true)?;
        let stream = device.stream()?;
        let residual = graphs.residual().map(|shape| room(&stream, shape)).transpose()?;
        Ok(Ok(LoadedPlans {
            picture: upload_singles(&stream, graphs.image(), picture)?,
            features: room(&stream, graphs.features())?,
            corrected: room(&stream, graphs.features())?,
            residual,
            logits: room(&stream, graphs.logits())?,
            graphs,
            stream,
        }))
    }
}

impl std::fmt::Display for PlanTrial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "its builder takes every graph, for compute capability {ELSEWHERE}")
    }
}

impl LoadedPlans {
    /// Runs the backbone on the picture, and waits for it.
    pub(crate) fn run_backbone(&mut self) -> Result<(), EngineError> {
        self.graphs.run_backbone(&self.stream, self.picture.span(), self.features.span())?;
        Ok(self.stream.synchronize()?)
    }

    /// Runs the head on the backbone's answer, and waits for it.
    pub(crate) fn run_head(&mut self) -> Result<(), EngineError> {
        self.graphs.run_head(&self.stream, self.features.span(), self.logits.span())?;
        Ok(self.stream.synchronize()?)
    }

    /// Whether there is a correction to [run](Self::run_correction).
    pub(crate) fn has_correction(&self) -> bool {
        self.graphs.has_correction()
    }

    /// Runs the correction on the backbone's answer, and waits for it.
    pub(crate) fn run_correction(&mut self) -> Result<(), EngineError> {
        let residual = self.residual.as_ref().map(DeviceMap::span);
        let inputs = (self.features.span(), self.picture.span(), residual);
        self.graphs.run_correction(&self.stream, inputs, self.corrected.span())?;
        Ok(self.stream.synchronize()?)
    }

    /// What the head said last.
    pub(crate) fn logits(&self) -> Result<FeatureMap, EngineError> {
        let mut halves = vec![Half::default(); self.logits.len()];
        self.stream.download(self.logits.buffer(), &mut halves)?;
        let [channels, rows, cols] = self.logits.shape();
        let mut map = FeatureMap::default();
        map.reshape(channels, rows, cols);
        to_singles(&halves, &mut map.values);
        Ok(map)
    }
}

impl Drop for LoadedPlans {
    /// Contexts go after what they run.
    fn drop(&mut self) {
        // What failed was told by who waited for it.
        let _ = self.stream.synchronize();
    }
}
