//! The engine for machines with an NVIDIA GPU.
//!
//! ```text
//! image ─upload, once─▶ preprocess ─▶ View ─networks─▶ Features ─head, decode─▶ labels ─download
//!                       planes, glance, pyramid └─flow, warp, residual, blend──▲
//! ```
//!
//! The same steps as the CPU's, by the kernels of `kernels/`, with features in half precision. Nothing but the picture goes up
//! and nothing but the mask comes down, except for what networks that run on the host ask for ([`nets`]).
//!
//! Work is asked for on one stream and done in that order, beside the host's: only what is downloaded is waited for, so
//! the time of a frame shows where its mask is fetched, in `decode`. Kernels between two of these are asked for at once, as
//! one CUDA graph, unless the configuration says otherwise.

mod convert;
mod nets;
#[cfg(feature = "tensorrt")]
pub(crate) mod trial;

pub use convert::{device_camera, device_motion, device_picture, preparation};

#[cfg(feature = "tensorrt")]
use super::cpu::RuntimeChoice;
use super::cpu::pictures::Pictures;
use super::cpu::{Carried, MASKS_IN_USE};
use super::network::{Chain, InputSpec, Network, RESIDUAL_STRIDE};
use super::{Config, Decoded, Engine, EngineError, EngineInfo, Watch};
use crate::data::{BufferPool, Calibration, Image, LabelMask, MaskError, PixelFormat, Plane, Size};
use crate::flow::{EgoFlow, EgoMotion, GreyPyramid};
use crate::sys::cuda::{
    CudaError, Device, DeviceBuffer, DeviceCamera, DeviceMap, DevicePyramid, FlowScratch, Half, Preparation, Stream,
};
#[cfg(feature = "tensorrt")]
use nets::TensorRtNets;
use nets::{HostNets, Logits, Nets, Picture, Planes, Residual};
use std::sync::Arc;

/// The engine.
pub struct CudaEngine {
    info: EngineInfo,
    stream: Stream,
    nets: Box<dyn Nets>,
    carried: Carried,
    input: InputSpec,
    preparation: Preparation,
    jpeg: Pictures,
    /// Where it is known how the camera sees.
    camera: Option<DeviceCamera>,
    search: FlowScratch,
    /// The sum of a residual: one number.
    sum: DeviceBuffer<f32>,
    /// Views handed out so far: the number of the next one.
    views: u64,
    masks: BufferPool,
    confidences: BufferPool,
}

/// A frame on the device: as the network wants it, small, and its brightness at several scales.
#[derive(Debug)]
pub struct View {
    picture: Picture,
    /// Shared with the features that the network has of it.
    glance: Arc<DeviceMap<f32>>,
    pyramid: DevicePyramid,
}

/// What the network knows of a frame.
#[derive(Debug)]
pub struct Features {
    /// On the grid that is carried along.
    carried: DeviceMap<Half>,
    /// A key frame's logits at full detail, where the carried ones are coarser.
    detailed: Option<DeviceMap<Half>>,
    /// A key frame's picture, small: to tell what has changed since.
    glance: Option<Arc<DeviceMap<f32>>>,
    /// What is left of a later frame's picture when the key frame's, carried there, is taken away; where it was asked for.
    residual: Option<Residual>,
}

/// A key frame that the backbone works on beside the frames that follow.
#[derive(Debug)]
pub struct Pending {
    number: u64,
    glance: Arc<DeviceMap<f32>>,
}

impl From<CudaError> for EngineError {
    fn from(error: CudaError) -> Self {
        let reason = error.to_string();
        if error.is_absence() {
            Self::Unavailable { runtime: "cuda", reason }
        } else {
            Self::Failed { runtime: "cuda", reason }
        }
    }
}

impl CudaEngine {
    /// Opens the first GPU and loads `network` as `config` says: into TensorRT, if it is asked for, or `auto` finds it, else
    /// into a runtime of the CPU.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`] where there is no GPU, no driver or one that is too old, or no TensorRT where it is asked
    /// for by name.
    pub fn new(network: &Network, config: &Config) -> Result<Self, EngineError> {
        Self::watched(network, config, &|_| true)
    }

    /// [`CudaEngine::new`], whose building of plans is watched.
    ///
    /// # Errors
    /// [`EngineError::GivenUp`] too, if `watch` says so.
    pub fn watched(network: &Network, config: &Config, watch: Watch<'_>) -> Result<Self, EngineError> {
        config.check().map_err(|reason| EngineError::Unavailable { runtime: "cpu", reason })?;
        let device = Device::open(0)?;
        let nets = nets_for(network, config, &device, watch)?;
        let stream = if config.cuda_graphs { device.stream_of_graphs()? } else { device.stream()? };
        let info = EngineInfo {
            runtime: format!("cuda on {}, network by {}", device.info().name, nets.info().runtime),
            network: network.name().to_owned(),
            network_hash: network.hash(),
        };
        tracing::info!(device = %device.info(), runtime = info.runtime, network = info.network, "engine ready");
        if !nets.info().has_head {
            tracing::info!("a plain network's key frames teach nothing here: on the CPU engine they do");
        }
        let input = *network.input();
        Ok(Self {
            info,
            carried: Carried::choose(nets.info().input, nets.info().output, nets.info().has_head),
            nets,
            preparation: preparation(&input),
            input,
            jpeg: Pictures::default(),
            camera: None,
            search: FlowScratch::default(),
            sum: stream.buffer(1)?,
            stream,
            views: 0,
            masks: BufferPool::made_at_once(MASKS_IN_USE),
            confidences: BufferPool::made_at_once(MASKS_IN_USE),
        })
    }

    /// Tells how the camera sees, so that the vehicle's motion can say where flow is to be looked for.
    ///
    /// # Errors
    /// A sentence that names the value that no camera has.
    pub fn set_camera(&mut self, camera: Option<&Calibration>) -> Result<(), String> {
        self.camera = camera.map(EgoFlow::new).transpose()?.as_ref().map(device_camera);
        Ok(())
    }

    /// What the backbone said of a key frame, as it is carried on.
    fn key_features(&self, map: DeviceMap<Half>, glance: Arc<DeviceMap<f32>>) -> Result<Features, EngineError> {
        let glance = Some(glance);
        let side = self.carried.reduction;
        if side == 1 {
            return Ok(Features { carried: map, detailed: None, glance, residual: None });
        }
        let [channels, rows, cols] = map.shape();
        let mut carried = self.stream.map([channels, rows / side, cols / side])?;
        self.stream.average_blocks(&map, side, &mut carried)?;
        Ok(Features { carried, detailed: Some(map), glance, residual: None })
    }

    /// What is left of `current` when the picture of `key`, carried along `flow`, is taken away.
    fn residual(&self, key: &Features, flow: &DeviceMap<f32>, current: &View) -> Result<Residual, EngineError> {
        let Some(earlier) = &key.glance else {
            let reason = "features that were propagated are no key frame's".to_owned();
            return Err(EngineError::Failed { runtime: "cuda", reason });
        };
        let _span = tracing::debug_span!("residual").entered();
        let [_, rows, cols] = current.glance.shape();
        let mut map = self.stream.map([1, rows, cols])?;
        let wanted = self.nets.info().wants_residual && self.nets.info().takes_halves;
        let mut half = if wanted { Some(self.stream.map([1, rows, cols])?) } else { None };
        self.stream.residual(earlier, &current.glance, flow, &mut map, half.as_mut())?;
        Ok(Residual { map, half })
    }

    /// One of a residual in parts of the range of colours: the mean over the three.
    fn unit(&self) -> f32 {
        self.input.std.iter().sum::<f32>() / 3.0
    }

    /// Where the vehicle's motion says that flow is to be looked for, on the grid of the features.
    fn prior(&self, motion: Option<EgoMotion>) -> Result<Option<DeviceMap<f32>>, EngineError> {
        let (Some(camera), Some(motion)) = (&self.camera, motion) else { return Ok(None) };
        let mut prior = self.stream.map([2, self.carried.rows, self.carried.cols])?;
        self.stream.ego_flow(camera, &device_motion(motion), &mut prior)?;
        Ok(Some(prior))
    }

    /// A new field on the grid of the features.
    fn field(&self) -> Result<DeviceMap<f32>, EngineError> {
        Ok(self.stream.map([2, self.carried.rows, self.carried.cols])?)
    }

    /// Labels and margins of logits, interpolated or of the nearest cell, on the host.
    fn decoded(&mut self, logits: &Logits<'_>, nearest: bool, size: Size) -> Result<Decoded, EngineError> {
        let _span = tracing::debug_span!("decode").entered();
        let shape = [1, size.height as usize, size.width as usize];
        let (mut labels, mut margins) = (self.stream.map(shape)?, self.stream.map(shape)?);
        match (logits, nearest) {
            (Logits::Carried(map), true) => self.stream.decode_nearest(map, &mut labels, &mut margins)?,
            (Logits::Carried(map), false) => self.stream.decode_mask(map, &mut labels, &mut margins)?,
            (Logits::Half(map), _) => self.stream.decode_mask(map, &mut labels, &mut margins)?,
            (Logits::Single(map), _) => self.stream.decode_mask(map, &mut labels, &mut margins)?,
        }
        let Self { stream, masks, confidences, .. } = self;
        let (mut fetched, mut confidence) = (Ok(()), None);
        let labels = masks.fill(size.pixels(), |into_labels| {
            confidence = Some(confidences.fill(size.pixels(), |into_margins| {
                fetched = stream.download_both((labels.buffer(), into_labels), (margins.buffer(), into_margins));
            }));
        });
        fetched?;
        let confidence = confidence.expect("fill calls its writer once");
        let planes = || Ok(Decoded { mask: LabelMask::new(size, labels)?, confidence: Plane::new(size, confidence)? });
        planes().map_err(|error: MaskError| EngineError::Frame(error.to_string()))
    }
}

impl Drop for CudaEngine {
    /// Networks must not be taken away while they run.
    fn drop(&mut self) {
        // What failed is of no more interest.
        let _ = self.stream.synchronize();
    }
}

/// What runs the network: TensorRT where it is asked for or found, else the CPU.
fn nets_for(
    network: &Network,
    config: &Config,
    device: &Device,
    watch: Watch<'_>,
) -> Result<Box<dyn Nets>, EngineError> {
    #[cfg(not(feature = "tensorrt"))]
    let _ = (device, watch);
    #[cfg(feature = "tensorrt")]
    match config.runtime {
        RuntimeChoice::Tensorrt => return Ok(Box::new(TensorRtNets::load(network, config, device, watch)?)),
        // A library of onnxruntime that is named is asked for.
        RuntimeChoice::Auto if config.onnxruntime_library.is_none() => {
            match TensorRtNets::load(network, config, device, watch) {
                Ok(nets) => return Ok(Box::new(nets)),
                Err(EngineError::GivenUp) => return Err(EngineError::GivenUp),
                Err(error) => tracing::warn!("the network runs on the processor: {error}"),
            }
        }
        _ => (),
    }
    Ok(Box::new(HostNets::load(network, &config.cpu())?))
}

impl Engine for CudaEngine {
    type Features = Features;
    type View = View;
    type Flow = DeviceMap<f32>;
    type Pending = Pending;

    fn info(&self) -> &EngineInfo {
        &self.info
    }

    fn foresee(&mut self, image: &Image) {
        if image.format() == PixelFormat::Jpeg {
            self.jpeg.foresee(image);
        }
    }

    fn observe(&mut self, image: &Image) -> Result<View, EngineError> {
        let image = match image.format() {
            PixelFormat::Jpeg => self.jpeg.decode(image)?,
            _ => image.clone(),
        };
        let _span = tracing::debug_span!("pyramid").entered();
        let picture = device_picture(&self.stream, &image)?;
        let InputSpec { rows, cols, .. } = self.input;
        let mut glance = self.stream.map([3, rows / RESIDUAL_STRIDE, cols / RESIDUAL_STRIDE])?;
        let reduction = GreyPyramid::reduction_of(image.size());
        let mut pyramid = self.stream.pyramid((picture.width, picture.height), reduction)?;
        let how = (&self.preparation, self.nets.info());
        let planes = Planes::prepare(&self.stream, &picture, how, (&mut glance, &mut pyramid))?;
        self.views += 1;
        let picture = Picture { number: self.views, planes: Arc::new(planes) };
        Ok(View { picture, glance: Arc::new(glance), pyramid })
    }

    fn extract(&mut self, view: &View) -> Result<Features, EngineError> {
        let map = self.nets.backbone(&self.stream, &view.picture)?;
        self.key_features(map, Arc::clone(&view.glance))
    }

    fn overlap(&mut self) {
        self.nets.overlap();
    }

    fn begin(&mut self, view: &View) -> Result<Pending, EngineError> {
        let number = self.nets.begin(&self.stream, &view.picture)?;
        Ok(Pending { number, glance: Arc::clone(&view.glance) })
    }

    fn is_through(&mut self, pending: &Pending) -> bool {
        self.nets.is_through(pending.number)
    }

    fn finish(&mut self, pending: Pending) -> Result<Features, EngineError> {
        let map = self.nets.finish(&self.stream, pending.number)?;
        self.key_features(map, pending.glance)
    }

    fn flow(
        &mut self,
        earlier: &View,
        current: &View,
        motion: Option<EgoMotion>,
    ) -> Result<DeviceMap<f32>, EngineError> {
        let _span = tracing::debug_span!("flow").entered();
        let (prior, mut field) = (self.prior(motion)?, self.field()?);
        let pyramids = (&earlier.pyramid, &current.pyramid);
        self.stream.estimate_flow(pyramids, prior.as_ref(), &mut self.search, &mut field)?;
        Ok(field)
    }

    fn compose(&mut self, earlier: &DeviceMap<f32>, later: &DeviceMap<f32>) -> Result<DeviceMap<f32>, EngineError> {
        let _span = tracing::debug_span!("compose").entered();
        let mut field = self.field()?;
        self.stream.compose_flow(earlier, later, &mut field)?;
        Ok(field)
    }

    fn propagate(
        &mut self,
        features: &Features,
        flow: &DeviceMap<f32>,
        current: &View,
    ) -> Result<Features, EngineError> {
        // What is carried of a plain network are logits, which their surroundings can vote on.
        let plain = !self.nets.info().has_head;
        let wanted = self.nets.info().wants_residual || plain;
        let residual = if wanted { Some(self.residual(features, flow, current)?) } else { None };
        let mut carried = self.stream.map(features.carried.shape())?;
        tracing::debug_span!("propagate")
            .in_scope(|| self.stream.warp_features(&features.carried, flow, &mut carried))?;
        if let Some(residual) = residual.as_ref().filter(|_| plain) {
            let _span = tracing::debug_span!("fill").entered();
            self.stream.fill_in(&mut carried, &current.glance, &residual.map, self.unit())?;
        }
        let carried = self.nets.correct(&self.stream, carried, &current.picture, residual.as_ref())?;
        Ok(Features { carried, detailed: None, glance: None, residual })
    }

    fn compare(
        &mut self,
        key: &Features,
        flow: &DeviceMap<f32>,
        current: &View,
        propagated: &mut Features,
    ) -> Result<Option<f32>, EngineError> {
        let residual = match propagated.residual.take() {
            Some(residual) => residual,
            None => self.residual(key, flow, current)?,
        };
        let count = residual.map.len();
        let mut sum = [0.0];
        if count > 0 {
            self.stream.sum_residual(&residual.map, &mut self.sum)?;
            self.stream.download(&self.sum, &mut sum)?;
        }
        propagated.residual = Some(residual);
        Ok((count > 0).then(|| sum[0] / count as f32 * self.unit()))
    }

    fn blend(&mut self, mut fresh: Features, propagated: &Features) -> Result<Features, EngineError> {
        let Some(residual) = &propagated.residual else { return Ok(fresh) };
        let _span = tracing::debug_span!("blend").entered();
        // A plain network's logits at full detail are of this look alone: decoded is what several looks say.
        fresh.detailed = None;
        self.stream.blend_features(&mut fresh.carried, &propagated.carried, &residual.map, self.unit())?;
        Ok(fresh)
    }

    fn decode(&mut self, features: &Features, size: Size) -> Result<Decoded, EngineError> {
        if let Some(logits) = self.nets.head(&self.stream, &features.carried)? {
            return self.decoded(&logits, false, size);
        }
        match &features.detailed {
            Some(map) => self.decoded(&Logits::Carried(map), self.input.chain == Chain::Common, size),
            None => self.decoded(&Logits::Carried(&features.carried), false, size),
        }
    }
}
