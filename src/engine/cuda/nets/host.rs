//! Networks run by the CPU's runtimes: planes and features come down, features and logits go up.

use super::super::super::EngineError;
use super::super::super::cpu::backbone::Backbone;
use super::super::super::cpu::features::Pool;
use super::super::super::cpu::graphs::LoadedGraphs;
use super::super::super::cpu::{Config, FeatureMap, LoadedGraph};
use super::super::super::network::Network;
use super::{Logits, Nets, NetsInfo, Picture, Planes, Residual, other_planes};
use crate::sys::cuda::{DeviceMap, Half, Stream, to_halves, to_singles};

/// A network in a runtime of the CPU, and what is on its way to it and back.
pub(in super::super) struct HostNets {
    info: NetsInfo,
    backbone: Backbone,
    head: Option<LoadedGraph>,
    correction: Option<LoadedGraph>,
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
    /// Loads `network` into the runtime that `config` asks for.
    pub(in super::super) fn load(network: &Network, config: &Config) -> Result<Self, EngineError> {
        let (runtime, graphs) = LoadedGraphs::choose(network, config)?;
        let LoadedGraphs { backbone, head, correction, residual, again } = graphs;
        let info = NetsInfo {
            runtime,
            input: backbone.input,
            output: backbone.output,
            has_head: head.is_some(),
            wants_residual: residual.is_some(),
            takes_halves: false,
        };
        Ok(Self {
            info,
            backbone: Backbone::new(backbone, again.backbone()),
            head,
            correction,
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
        let Planes::Single(planes) = &*picture.planes else { return Err(other_planes()) };
        download(stream, planes, &mut self.picture)?;
        self.holds = Some(picture.number);
        Ok(())
    }
}

impl Nets for HostNets {
    fn info(&self) -> &NetsInfo {
        &self.info
    }

    fn backbone(&mut self, stream: &Stream, picture: &Picture) -> Result<DeviceMap<Half>, EngineError> {
        self.fetch(stream, picture)?;
        let _span = tracing::debug_span!("backbone").entered();
        let mut map = self.maps.take();
        self.backbone.run(&self.picture.values, &mut map)?;
        upload(stream, &map, &mut self.halves)
    }

    fn overlap(&mut self) {
        if let Err(error) = self.backbone.overlap() {
            tracing::warn!("{error}");
        }
    }

    fn begin(&mut self, stream: &Stream, picture: &Picture) -> Result<u64, EngineError> {
        self.fetch(stream, picture)?;
        let mut copy = self.pictures.take();
        copy.clone_from(&self.picture);
        self.backbone.begin(copy, self.maps.take())
    }

    fn is_through(&mut self, number: u64) -> bool {
        self.backbone.is_through(number)
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
        residual: Option<&Residual>,
    ) -> Result<DeviceMap<Half>, EngineError> {
        if self.correction.is_none() {
            return Ok(carried);
        }
        self.fetch(stream, picture)?;
        let _span = tracing::debug_span!("correct").entered();
        download_halves(stream, &carried, &mut self.halves, &mut self.features)?;
        if let Some(residual) = residual {
            download(stream, &residual.map, &mut self.residual)?;
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
