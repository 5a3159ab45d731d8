//! The networks of the CUDA engine: who runs them, and what has to cross the bus for it.

use super::super::EngineError;
use super::super::cpu::backbone::Backbone;
use super::super::cpu::features::Pool;
use super::super::cpu::graphs::LoadedGraphs;
use super::super::cpu::{Config, FeatureMap, LoadedGraph};
use super::super::network::Network;
use crate::sys::cuda::{DeviceMap, Half, Stream, to_halves, to_singles};

/// A picture as networks want it.
#[derive(Debug)]
pub(super) struct Picture {
    /// Its view's.
    pub(super) number: u64,
    /// `[3, rows, cols]`.
    pub(super) planes: DeviceMap<f32>,
}

/// Logits `[classes, rows, cols]`.
pub(super) enum Logits<'a> {
    /// As they are carried.
    Half(&'a DeviceMap<Half>),
    /// As a network on the host gave them.
    Single(DeviceMap<f32>),
}

impl<'a> Logits<'a> {
    pub(super) fn of(map: &'a DeviceMap<Half>) -> Self {
        Self::Half(map)
    }
}

/// Who runs the networks.
pub(super) enum Nets {
    /// The CPU's runtimes: planes and features come down, features and logits go up.
    Host(Box<HostNets>),
}

impl Nets {
    /// Loads `network` into a runtime of the CPU.
    pub(super) fn on_host(network: &Network, config: &Config) -> Result<Self, EngineError> {
        HostNets::load(network, config).map(|nets| Self::Host(Box::new(nets)))
    }

    /// The runtime and its version.
    pub(super) fn describe(&self) -> &str {
        let Self::Host(nets) = self;
        &nets.runtime
    }

    /// The backbone's input, `[1, 3, rows, cols]`.
    pub(super) fn input(&self) -> [usize; 4] {
        let Self::Host(nets) = self;
        nets.shapes.0
    }

    /// The backbone's output, `[1, channels, rows, cols]`.
    pub(super) fn output(&self) -> [usize; 4] {
        let Self::Host(nets) = self;
        nets.shapes.1
    }

    /// Whether features become logits by a graph of their own.
    pub(super) fn has_head(&self) -> bool {
        let Self::Host(nets) = self;
        nets.head.is_some()
    }

    /// Whether the correction wants the residual.
    pub(super) fn wants_residual(&self) -> bool {
        let Self::Host(nets) = self;
        nets.wants_residual
    }

    /// Runs the backbone: features `[channels, rows, cols]`.
    pub(super) fn backbone(&mut self, stream: &Stream, picture: &Picture) -> Result<DeviceMap<Half>, EngineError> {
        let Self::Host(nets) = self;
        nets.backbone(stream, picture)
    }

    /// Begins to run the backbone beside whatever is asked for next; the number to finish it by.
    pub(super) fn begin(&mut self, stream: &Stream, picture: &Picture) -> Result<u64, EngineError> {
        let Self::Host(nets) = self;
        nets.begin(stream, picture)
    }

    /// Whether [`finish`](Self::finish) would not have to wait.
    pub(super) fn is_through(&mut self, number: u64) -> bool {
        let Self::Host(nets) = self;
        nets.backbone.is_through(number)
    }

    /// Waits for the features of the run with this number.
    pub(super) fn finish(&mut self, stream: &Stream, number: u64) -> Result<DeviceMap<Half>, EngineError> {
        let Self::Host(nets) = self;
        nets.finish(stream, number)
    }

    /// `carried` mended by what `picture` shows, where the network knows how.
    pub(super) fn correct(
        &mut self,
        stream: &Stream,
        carried: DeviceMap<Half>,
        picture: &Picture,
        residual: Option<&DeviceMap<f32>>,
    ) -> Result<DeviceMap<Half>, EngineError> {
        let Self::Host(nets) = self;
        nets.correct(stream, carried, picture, residual)
    }

    /// Logits of features, by a network that has a head.
    pub(super) fn head(
        &mut self,
        stream: &Stream,
        features: &DeviceMap<Half>,
    ) -> Result<Option<Logits<'static>>, EngineError> {
        let Self::Host(nets) = self;
        nets.head(stream, features)
    }
}

/// A network in a runtime of the CPU, and what is on its way to it and back.
pub(super) struct HostNets {
    runtime: String,
    /// The backbone's input and output.
    shapes: ([usize; 4], [usize; 4]),
    backbone: Backbone,
    head: Option<LoadedGraph>,
    correction: Option<LoadedGraph>,
    wants_residual: bool,
    /// The planes of the picture with this number.
    picture: FeatureMap,
    holds: Option<u64>,
    features: FeatureMap,
    residual: FeatureMap,
    answer: FeatureMap,
    halves: Vec<Half>,
    maps: Pool<FeatureMap>,
    pictures: Pool<FeatureMap>,
}

impl HostNets {
    fn load(network: &Network, config: &Config) -> Result<Self, EngineError> {
        let (runtime, graphs) = LoadedGraphs::choose(network, config)?;
        let LoadedGraphs { backbone, head, correction, residual } = graphs;
        Ok(Self {
            runtime,
            shapes: (backbone.input, backbone.output),
            backbone: Backbone::new(backbone),
            head,
            correction,
            wants_residual: residual.is_some(),
            picture: FeatureMap::default(),
            holds: None,
            features: FeatureMap::default(),
            residual: FeatureMap::default(),
            answer: FeatureMap::default(),
            halves: Vec::new(),
            maps: Pool::new(),
            pictures: Pool::new(),
        })
    }

    /// Fetches a picture's planes, unless they are here.
    fn fetch(&mut self, stream: &Stream, picture: &Picture) -> Result<(), EngineError> {
        if self.holds == Some(picture.number) {
            return Ok(());
        }
        let _span = tracing::debug_span!("preprocess").entered();
        self.holds = None;
        download(stream, &picture.planes, &mut self.picture)?;
        self.holds = Some(picture.number);
        Ok(())
    }

    fn backbone(&mut self, stream: &Stream, picture: &Picture) -> Result<DeviceMap<Half>, EngineError> {
        self.fetch(stream, picture)?;
        let _span = tracing::debug_span!("backbone").entered();
        let mut map = self.maps.take();
        self.backbone.run(&self.picture.values, &mut map)?;
        upload(stream, &map, &mut self.halves)
    }

    fn begin(&mut self, stream: &Stream, picture: &Picture) -> Result<u64, EngineError> {
        self.fetch(stream, picture)?;
        let mut copy = self.pictures.take();
        copy.clone_from(&self.picture);
        self.backbone.begin(copy, self.maps.take())
    }

    fn finish(&mut self, stream: &Stream, number: u64) -> Result<DeviceMap<Half>, EngineError> {
        let _span = tracing::debug_span!("wait").entered();
        let map = self.backbone.finish(number)?;
        upload(stream, &map, &mut self.halves)
    }

    fn correct(
        &mut self,
        stream: &Stream,
        carried: DeviceMap<Half>,
        picture: &Picture,
        residual: Option<&DeviceMap<f32>>,
    ) -> Result<DeviceMap<Half>, EngineError> {
        if self.correction.is_none() {
            return Ok(carried);
        }
        self.fetch(stream, picture)?;
        let _span = tracing::debug_span!("correct").entered();
        download_halves(stream, &carried, &mut self.halves, &mut self.features)?;
        if let Some(residual) = residual {
            download(stream, residual, &mut self.residual)?;
        }
        let inputs = [&self.features.values[..], &self.picture.values, &self.residual.values];
        let inputs = if residual.is_some() { &inputs[..] } else { &inputs[..2] };
        if let Some(correction) = &mut self.correction {
            correction.run(inputs, &mut self.answer)?;
        }
        upload(stream, &self.answer, &mut self.halves)
    }

    fn head(&mut self, stream: &Stream, features: &DeviceMap<Half>) -> Result<Option<Logits<'static>>, EngineError> {
        let Some(head) = &mut self.head else { return Ok(None) };
        let _span = tracing::debug_span!("head").entered();
        download_halves(stream, features, &mut self.halves, &mut self.features)?;
        head.run(&[&self.features.values], &mut self.answer)?;
        let FeatureMap { channels, rows, cols, values } = &self.answer;
        Ok(Some(Logits::Single(stream.map_of([*channels, *rows, *cols], values)?)))
    }
}

fn upload(stream: &Stream, map: &FeatureMap, halves: &mut Vec<Half>) -> Result<DeviceMap<Half>, EngineError> {
    to_halves(&map.values, halves);
    Ok(stream.map_of([map.channels, map.rows, map.cols], halves)?)
}

fn download(stream: &Stream, from: &DeviceMap<f32>, to: &mut FeatureMap) -> Result<(), EngineError> {
    let [channels, rows, cols] = from.shape();
    to.reshape(channels, rows, cols);
    Ok(stream.download(from.buffer(), &mut to.values)?)
}

fn download_halves(
    stream: &Stream,
    from: &DeviceMap<Half>,
    halves: &mut Vec<Half>,
    to: &mut FeatureMap,
) -> Result<(), EngineError> {
    let [channels, rows, cols] = from.shape();
    halves.resize(from.len(), Half::default());
    stream.download(from.buffer(), halves)?;
    to.reshape(channels, rows, cols);
    to_singles(halves, &mut to.values);
    Ok(())
}
