//! Networks run by TensorRT on the device: nothing crosses the bus.

use super::super::super::network::Network;
use super::super::super::tensorrt::{BuildStep, Gpu, Options, PlanStore, Plans, TensorRtGraphs};
use super::super::super::{Config, EngineError, Watch};
use super::{Logits, Nets, NetsInfo, Picture, Planes, Residual, other_planes};
use crate::sys::cuda::{CudaError, Device, DeviceMap, Event, Half, Stream, to_halves};
use crate::sys::tensorrt::Library;
use std::sync::Arc;

const NAME: &str = "tensorrt";

/// A network as plans, and the run of its backbone that goes on beside the frames.
pub(in super::super) struct TensorRtNets {
    info: NetsInfo,
    graphs: TensorRtGraphs,
    /// Gives way to the frames' own work.
    beside: Stream,
    begun: u64,
    run: Option<Run>,
}

/// A run of the backbone on the other stream.
struct Run {
    number: u64,
    features: DeviceMap<Half>,
    done: Event,
    /// What it reads.
    _planes: Arc<Planes>,
}

impl TensorRtNets {
    /// Loads the network's plans; builds those that are missing, which takes minutes.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`] without TensorRT; [`EngineError::Network`] if it has no graphs in half precision.
    pub(in super::super) fn load(
        network: &Network,
        config: &Config,
        device: &Device,
        watch: Watch<'_>,
    ) -> Result<Self, EngineError> {
        let unavailable = |reason: String| EngineError::Unavailable { runtime: NAME, reason };
        let library =
            Library::open(config.tensorrt_libraries.as_deref()).map_err(|error| unavailable(error.to_string()))?;
        let store = PlanStore::new(config.plans.as_deref()).map_err(|error| unavailable(error.to_string()))?;
        let plans = Plans::new(library, Gpu::from(device), store, Options::configured(config));
        let told = |step: BuildStep<'_>| watch(&format!("{}: plan of {}", network.name(), step.graph));
        let graphs = TensorRtGraphs::load(network, &plans, &told)?;
        let info = NetsInfo {
            runtime: graphs.runtime().to_owned(),
            input: graphs.image(),
            output: graphs.features(),
            has_head: true,
            wants_residual: graphs.residual().is_some(),
            takes_halves: true,
        };
        Ok(Self { info, graphs, beside: device.low_priority_stream()?, begun: 0, run: None })
    }

    /// Lets `stream` wait for what goes on beside it: its buffers are then used again in the order of `stream`.
    fn end_run(&mut self, stream: &Stream) -> Result<Option<Run>, CudaError> {
        if let Some(run) = &self.run {
            stream.wait_for(&run.done)?;
        }
        Ok(self.run.take())
    }
}

/// Room for a graph's output of this shape.
pub(in super::super) fn room(
    stream: &Stream,
    [_, channels, rows, cols]: [usize; 4],
) -> Result<DeviceMap<Half>, CudaError> {
    stream.map([channels, rows, cols])
}

/// Values of this shape, rounded.
pub(in super::super) fn upload_singles(
    stream: &Stream,
    [_, channels, rows, cols]: [usize; 4],
    values: &[f32],
) -> Result<DeviceMap<Half>, CudaError> {
    let mut halves = Vec::new();
    to_halves(values, &mut halves);
    stream.map_of([channels, rows, cols], &halves)
}

fn halves(picture: &Picture) -> Result<&DeviceMap<Half>, EngineError> {
    match &*picture.planes {
        Planes::Half(planes) => Ok(planes),
        Planes::Single(_) => Err(other_planes()),
    }
}

impl Nets for TensorRtNets {
    fn info(&self) -> &NetsInfo {
        &self.info
    }

    fn backbone(&mut self, stream: &Stream, picture: &Picture) -> Result<DeviceMap<Half>, EngineError> {
        let _span = tracing::debug_span!("backbone").entered();
        // A context runs one thing at a time.
        self.end_run(stream)?;
        let features = room(stream, self.info.output)?;
        self.graphs.run_backbone(stream, halves(picture)?.span(), features.span())?;
        Ok(features)
    }

    fn begin(&mut self, stream: &Stream, picture: &Picture) -> Result<u64, EngineError> {
        // A run that nobody has asked for again; its buffers wait for it.
        self.end_run(stream)?;
        let features = room(stream, self.info.output)?;
        self.beside.wait_for(&stream.mark()?)?;
        self.graphs.run_backbone(&self.beside, halves(picture)?.span(), features.span())?;
        self.begun += 1;
        let done = self.beside.mark()?;
        self.run = Some(Run { number: self.begun, features, done, _planes: Arc::clone(&picture.planes) });
        Ok(self.begun)
    }

    fn is_through(&mut self, number: u64) -> bool {
        // What has failed, or was given up, is told by `finish`.
        let run = self.run.as_ref().filter(|run| run.number == number);
        run.is_none_or(|run| run.done.has_passed().unwrap_or(true))
    }

    fn finish(&mut self, stream: &Stream, number: u64) -> Result<DeviceMap<Half>, EngineError> {
        let _span = tracing::debug_span!("wait").entered();
        let run = self.end_run(stream)?.filter(|run| run.number == number);
        let given_up = || EngineError::Failed { runtime: NAME, reason: "another run was begun meanwhile".to_owned() };
        run.map(|run| run.features).ok_or_else(given_up)
    }

    fn correct(
        &mut self,
        stream: &Stream,
        carried: DeviceMap<Half>,
        picture: &Picture,
        residual: Option<&Residual>,
    ) -> Result<DeviceMap<Half>, EngineError> {
        if !self.graphs.has_correction() {
            return Ok(carried);
        }
        let _span = tracing::debug_span!("correct").entered();
        let corrected = room(stream, self.info.output)?;
        let residual = residual.and_then(|residual| residual.half.as_ref()).map(DeviceMap::span);
        let inputs = (carried.span(), halves(picture)?.span(), residual);
        self.graphs.run_correction(stream, inputs, corrected.span())?;
        Ok(corrected)
    }

    fn head(&mut self, stream: &Stream, features: &DeviceMap<Half>) -> Result<Option<Logits<'static>>, EngineError> {
        let _span = tracing::debug_span!("head").entered();
        let logits = room(stream, self.graphs.logits())?;
        self.graphs.run_head(stream, features.span(), logits.span())?;
        Ok(Some(Logits::Half(logits)))
    }
}

impl Drop for TensorRtNets {
    /// Buffers go back to a stream that does not wait for the other one: wait here.
    fn drop(&mut self) {
        // What failed is of no more interest.
        let _ = self.beside.synchronize();
    }
}
