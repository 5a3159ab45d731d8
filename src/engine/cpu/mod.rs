//! The engine for machines without a GPU: ONNX by `rten` or onnxruntime, the rest in plain Rust.
//!
//! ```text
//! image ─JPEG decoding, grey pyramid─▶ View ─preprocess, backbone─▶ Features ─head, decode─▶ labels
//!                    preprocess, residual, correction or disocclusion─▲ (carried ones, blended into a key frame's)
//! ```
//!
//! Its own buffers are pooled: after the first frames only the ONNX runtimes allocate. Masks are
//! the same, bit for bit, at any number of threads (`docs/engines.md` says how far that holds).

pub(in crate::engine) mod backbone;
pub mod blend;
mod blocks;
mod config;
pub mod decode;
pub mod disocclusion;
pub(in crate::engine) mod features;
pub(in crate::engine) mod graphs;
mod input;
pub mod jpeg;
pub mod learner;
pub mod nearest;
mod onnxruntime;
pub(in crate::engine) mod pictures;
pub mod preprocess;
pub mod reference;
pub mod residual;
mod rten;
mod runtime;
mod shuffle;
mod taps;
pub(crate) mod trial;
pub mod warp;
mod worker;

pub use blocks::average_blocks;
pub(super) use config::no_such_threads;
pub use config::{Config, MAX_THREADS, RuntimeChoice};
pub use features::{FeatureMap, Pooled};
pub use input::round_to_bytes;

use super::network::{Chain, Network};
use super::{Decoded, Engine, EngineError, EngineInfo};
use crate::data::{BufferPool, Calibration, Image, LabelMask, MaskError, PixelFormat, Plane, Size};
use crate::flow::{DenseFlow, EgoFlow, EgoMotion, FlowField, GreyPyramid};
use crate::sys::workers::Workers;
use backbone::Backbone;
use blend::Blender;
use decode::Decoder;
use disocclusion::Disocclusion;
use features::Pool;
use graphs::{Again, LoadedGraphs};
use input::NetworkInput;
use learner::Learner;
use nearest::NearestDecoder;
use pictures::Pictures;
use residual::Residual;
pub(in crate::engine) use runtime::LoadedGraph;
use runtime::Runtime;
use std::num::NonZeroUsize;
use std::sync::Arc;
use warp::Warper;

/// Masks that may be in use at a time without a new allocation: the queues of all sinks and one being made.
pub(in crate::engine) const MASKS_IN_USE: usize = 16;

/// The fewest cells of a key frame that are learnt from: fewer say too little of a drive.
const LEAST_LEARNT_FROM: usize = 8192;

/// Threads that share a frame's own work, where the runtime has as many: a third would mostly wait for the two.
const HANDS: usize = 2;

/// A plain network's logits are carried at this fraction of its input's grid, or coarser.
///
/// Finer costs more for every frame and gains nothing that flow of that grid could keep.
const CARRIED_STRIDE: usize = 4;

/// The engine.
pub struct CpuEngine {
    info: EngineInfo,
    backbone: Backbone,
    again: Again,
    head: Option<LoadedGraph>,
    correction: Option<LoadedGraph>,
    /// Whether the correction wants the residual.
    wants_residual: bool,
    carried: Carried,
    input: NetworkInput,
    jpeg: Pictures,
    flow: DenseFlow,
    /// Where it is known how the camera sees.
    camera: Option<EgoFlow>,
    /// What the vehicle's motion says of the flow.
    prior: FlowField,
    /// `[classes, rows, cols] f32`, the head's output.
    logits: FeatureMap,
    decoder: Decoder,
    nearest: NearestDecoder,
    residual: Residual,
    warper: Warper,
    blender: Blender,
    disocclusion: Disocclusion,
    learner: Learner,
    /// Views handed out so far: the number of the next one.
    views: u64,
    maps: Pool<FeatureMap>,
    /// What a backbone says at full detail, where what is carried of it is coarser.
    details: Pool<FeatureMap>,
    /// Pictures, small, and what is left of them.
    glances: Pool<FeatureMap>,
    /// Prepared pictures on their way to the backbone.
    pictures: Pool<FeatureMap>,
    pyramids: Pool<GreyPyramid>,
    fields: Pool<FlowField>,
    masks: BufferPool,
    confidences: BufferPool,
}

/// The grid on which features are carried from frame to frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Carried {
    pub(in crate::engine) rows: usize,
    pub(in crate::engine) cols: usize,
    /// Cells of the backbone's output in one carried cell, along each axis.
    pub(in crate::engine) reduction: usize,
}

/// A decoded frame and its brightness at several scales.
#[derive(Debug)]
pub struct View {
    number: u64,
    /// Until its frame is answered.
    image: Option<Image>,
    grey: Pooled<GreyPyramid>,
}

impl View {
    fn image(&self) -> Result<&Image, EngineError> {
        let gone = || EngineError::Failed { runtime: "cpu", reason: "the picture of a past frame is gone".to_owned() };
        self.image.as_ref().ok_or_else(gone)
    }
}

/// What the network knows of a frame.
#[derive(Debug)]
pub struct Features {
    /// On the grid that is carried along.
    carried: Pooled<FeatureMap>,
    /// A key frame's logits at full detail, where the carried ones are coarser.
    detailed: Option<Pooled<FeatureMap>>,
    /// A key frame's picture, small: to tell what has changed since.
    glance: Option<Pooled<FeatureMap>>,
    /// What is left of a later frame's picture when the key frame's, carried there, is taken away; where it was asked for.
    residual: Option<Pooled<FeatureMap>>,
    /// A plain network's logits as they were carried to a later frame, before what was learnt was heard.
    unmended: Option<Pooled<FeatureMap>>,
}

/// A key frame that the backbone works on beside the frames that follow.
#[derive(Debug)]
pub struct Pending {
    number: u64,
    glance: Pooled<FeatureMap>,
}

impl CpuEngine {
    /// Loads `network` and runs it until it is warm, so that whatever is wrong with it is told now.
    pub fn new(network: &Network, config: &Config) -> Result<Self, EngineError> {
        config.check().map_err(|reason| EngineError::Unavailable { runtime: "cpu", reason })?;
        let runtime = Runtime::choose(config)?;
        let described = runtime.describe();
        let workers = start_workers(config)?;
        let LoadedGraphs { backbone, head, correction, residual, again } = LoadedGraphs::load(runtime, network)?;
        let info = EngineInfo { runtime: described, network: network.name().to_owned(), network_hash: network.hash() };
        tracing::info!(runtime = info.runtime, network = info.network, "engine ready");
        let mut engine = Self {
            info,
            carried: Carried::choose(backbone.input, backbone.output, head.is_some()),
            backbone: Backbone::new(backbone, again.backbone()),
            again,
            head,
            correction,
            wants_residual: residual.is_some(),
            input: NetworkInput::new(network.input()),
            jpeg: Pictures::default(),
            flow: DenseFlow::new(),
            camera: None,
            prior: FlowField::default(),
            logits: FeatureMap::default(),
            decoder: Decoder::new(),
            nearest: NearestDecoder::default(),
            residual: Residual::default(),
            warper: Warper::new(),
            blender: Blender::default(),
            disocclusion: Disocclusion::default(),
            learner: Learner::new(),
            views: 0,
            maps: Pool::new(),
            details: Pool::new(),
            glances: Pool::new(),
            pictures: Pool::new(),
            pyramids: Pool::new(),
            fields: Pool::new(),
            masks: BufferPool::made_at_once(MASKS_IN_USE),
            confidences: BufferPool::made_at_once(MASKS_IN_USE),
        };
        engine.share_with(workers);
        Ok(engine)
    }

    /// Shares the work on frames with other helpers from now on.
    fn share_with(&mut self, workers: Workers) {
        let workers = Arc::new(workers);
        self.flow = DenseFlow::shared_with(Arc::clone(&workers));
        self.decoder = Decoder::shared_with(Arc::clone(&workers));
        self.residual = Residual::shared_with(Arc::clone(&workers));
        self.warper = Warper::shared_with(Arc::clone(&workers));
        self.input.share_with(workers);
    }

    /// Tells how the camera sees, so that the vehicle's motion can say where flow is to be looked for.
    ///
    /// # Errors
    /// A sentence that names the value that no camera has.
    pub fn set_camera(&mut self, camera: Option<&Calibration>) -> Result<(), String> {
        self.camera = camera.map(EgoFlow::new).transpose()?;
        Ok(())
    }

    /// Room for what the backbone says: of one size in each pool, so that none has to grow.
    fn answer_room(&self) -> Pooled<FeatureMap> {
        if self.carried.reduction == 1 { self.maps.take() } else { self.details.take() }
    }

    /// What the backbone said of a key frame, as it is carried on.
    fn key_features(&mut self, map: Pooled<FeatureMap>, glance: Pooled<FeatureMap>) -> Features {
        if self.carried.reduction == 1 {
            return self.taught(map, None, glance);
        }
        let mut carried = self.maps.take();
        average_blocks(&map, self.carried.reduction, &mut carried);
        self.taught(carried, Some(map), glance)
    }

    /// A key frame's features, of which the first one teaches.
    fn taught(
        &mut self,
        carried: Pooled<FeatureMap>,
        detailed: Option<Pooled<FeatureMap>>,
        glance: Pooled<FeatureMap>,
    ) -> Features {
        let features = Features { carried, detailed, glance: Some(glance), residual: None, unmended: None };
        if !self.learner.has_learnt() {
            self.learn(&features, None);
        }
        features
    }

    /// Learns from a key frame, and what was carried there, what is wrong with carried logits.
    fn learn(&mut self, key: &Features, carried: Option<&Features>) {
        let (Some(glance), true) = (&key.glance, self.learns()) else { return };
        let (unmended, residual) = match carried {
            None => (None, None),
            Some(Features { unmended: Some(unmended), residual: Some(residual), .. }) => {
                (Some(&**unmended), Some(&**residual))
            }
            Some(_) => return,
        };
        let _span = tracing::debug_span!("learn").entered();
        let grid = (key.carried.rows, key.carried.cols);
        if let Some(seen) = self.disocclusion.look(grid, glance, residual, self.input.unit()) {
            self.learner.learn(&key.carried, unmended, &seen);
        }
    }

    /// What is carried of a plain network are logits, which can be voted on and learnt from.
    fn is_plain(&self) -> bool {
        self.head.is_none()
    }

    /// Whether key frames have enough cells to be learnt from.
    fn learns(&self) -> bool {
        self.is_plain() && self.carried.rows * self.carried.cols >= LEAST_LEARNT_FROM
    }

    fn carry(&mut self, features: &Features, flow: &FlowField) -> Pooled<FeatureMap> {
        let _span = tracing::debug_span!("propagate").entered();
        let mut carried = self.maps.take();
        self.warper.warp(&features.carried, flow, &mut carried);
        carried
    }

    /// Fills in logits that were `carried` to the prepared picture where it is another, and mends them by what was learnt;
    /// gives them as they were before that, where key frames are learnt from.
    fn fill_in(&mut self, carried: &mut FeatureMap, residual: &FeatureMap) -> Option<Pooled<FeatureMap>> {
        let (glance, learns, unit) = (self.glance(), self.learns(), self.input.unit());
        let span = tracing::debug_span!("fill").entered();
        let seen = self.disocclusion.fill(carried, &glance, residual, unit).filter(|_| learns)?;
        drop(span);
        let _span = tracing::debug_span!("mend").entered();
        let mut unmended = self.maps.take();
        unmended.reshape(carried.channels, carried.rows, carried.cols);
        unmended.values.copy_from_slice(&carried.values);
        self.learner.mend(carried, &seen);
        Some(unmended)
    }

    /// The prepared picture, small.
    fn glance(&self) -> Pooled<FeatureMap> {
        let mut glance = self.glances.take();
        residual::glance(self.input.prepared(), self.input.shape(), &mut glance);
        glance
    }

    /// What is left of `current` when the picture of `key`, carried along `flow`, is taken away.
    fn residual(
        &mut self,
        key: &Features,
        flow: &FlowField,
        current: &View,
    ) -> Result<Pooled<FeatureMap>, EngineError> {
        let Some(earlier) = &key.glance else {
            let reason = "features that were propagated are no key frame's".to_owned();
            return Err(EngineError::Failed { runtime: "cpu", reason });
        };
        self.input.prepare(current.number, current.image()?)?;
        let _span = tracing::debug_span!("residual").entered();
        let (glance, mut residual) = (self.glance(), self.glances.take());
        self.residual.between(earlier, &glance, flow, &mut residual);
        Ok(residual)
    }

    /// `carried` mended by what `current` shows, and by the residual, where the network knows how.
    fn correct(
        &mut self,
        carried: Pooled<FeatureMap>,
        residual: Option<&FeatureMap>,
        current: &View,
    ) -> Result<Pooled<FeatureMap>, EngineError> {
        let Some(correction) = &mut self.correction else { return Ok(carried) };
        self.input.prepare(current.number, current.image()?)?;
        let _span = tracing::debug_span!("correct").entered();
        let (mut corrected, image) = (self.maps.take(), self.input.prepared());
        match residual {
            Some(residual) => correction.run(&[&carried.values, image, &residual.values], &mut corrected)?,
            None => correction.run(&[&carried.values, image], &mut corrected)?,
        }
        Ok(corrected)
    }

    fn decoded(&mut self, logits: &Logits<'_>, size: Size) -> Result<Decoded, EngineError> {
        let _span = tracing::debug_span!("decode").entered();
        let Self { masks, confidences, decoder, nearest, logits: from_head, .. } = self;
        let mut confidence = None;
        let labels = masks.fill(size.pixels(), |labels| {
            let write = |margin: &mut [u8]| match logits {
                Logits::FromHead => decoder.run(from_head, size, labels, margin),
                Logits::Carried(map) => decoder.run(map, size, labels, margin),
                Logits::Picked(map) => nearest.run(map, size, labels, margin),
            };
            confidence = Some(confidences.fill(size.pixels(), write));
        });
        let confidence = confidence.expect("fill calls its writer once");
        let planes = || Ok(Decoded { mask: LabelMask::new(size, labels)?, confidence: Plane::new(size, confidence)? });
        planes().map_err(|error: MaskError| EngineError::Frame(error.to_string()))
    }
}

/// What helps the thread that has the frame.
fn start_workers(config: &Config) -> Result<Workers, EngineError> {
    let threads = NonZeroUsize::new(runtime::threads(config).min(HANDS)).unwrap_or(NonZeroUsize::MIN);
    Workers::new(threads).map_err(|error| {
        let remedy = "allow this user or service more (ulimit -u, TasksMax), or give the engine one thread";
        EngineError::Failed { runtime: "cpu", reason: format!("the system starts no more threads ({error}): {remedy}") }
    })
}

/// Where the logits of a mask lie, and how they become labels.
enum Logits<'a> {
    /// In the engine's own buffer; interpolated.
    FromHead,
    /// Interpolated.
    Carried(&'a FeatureMap),
    /// The nearest cell's label.
    Picked(&'a FeatureMap),
}

impl Engine for CpuEngine {
    type Features = Features;
    type View = View;
    type Flow = Pooled<FlowField>;
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
        let mut grey = self.pyramids.take();
        grey.fill(&image).map_err(|error| EngineError::Frame(error.to_string()))?;
        self.views += 1;
        Ok(View { number: self.views, image: Some(image), grey })
    }

    fn let_go(&mut self, view: &mut View) {
        view.image = None;
    }

    fn extract(&mut self, view: &View) -> Result<Features, EngineError> {
        self.input.prepare(view.number, view.image()?)?;
        let glance = self.glance();
        let mut map = self.answer_room();
        tracing::debug_span!("backbone").in_scope(|| self.backbone.run(self.input.prepared(), &mut map))?;
        Ok(self.key_features(map, glance))
    }

    fn extract_to_blend(&mut self, view: &View) -> Result<Features, EngineError> {
        let side = self.carried.reduction;
        if side == 1 {
            return self.extract(view);
        }
        self.input.prepare(view.number, view.image()?)?;
        let glance = self.glance();
        let span = tracing::debug_span!("backbone").entered();
        let mut carried = self.maps.take();
        let mut reduce = |shape: [usize; 3], values: &[f32]| blocks::average(shape, values, side, &mut carried);
        self.backbone.read(self.input.prepared(), &mut reduce)?;
        drop(span);
        Ok(self.taught(carried, None, glance))
    }

    fn forget(&mut self) {
        self.learner.forget();
    }

    fn overlap(&mut self) {
        if let Err(error) = self.backbone.overlap() {
            tracing::warn!("{error}");
        }
        // The other threads belong to what runs beside.
        self.share_with(Workers::alone());
        match self.again.light_on_one_thread() {
            Ok((head, correction)) => (self.head, self.correction) = (head, correction),
            Err(error) => tracing::warn!("head and correction keep all threads beside the backbone: {error}"),
        }
    }

    fn begin(&mut self, view: &View) -> Result<Pending, EngineError> {
        self.input.prepare(view.number, view.image()?)?;
        let (glance, mut picture) = (self.glance(), self.pictures.take());
        let [channels, rows, cols] = self.input.shape();
        picture.reshape(channels, rows, cols);
        picture.values.copy_from_slice(self.input.prepared());
        let number = self.backbone.begin(picture, self.answer_room())?;
        Ok(Pending { number, glance })
    }

    fn is_through(&mut self, pending: &Pending) -> bool {
        self.backbone.is_through(pending.number)
    }

    fn finish(&mut self, pending: Pending) -> Result<Features, EngineError> {
        let _span = tracing::debug_span!("wait").entered();
        let map = self.backbone.finish(pending.number)?;
        Ok(self.key_features(map, pending.glance))
    }

    fn flow(
        &mut self,
        earlier: &View,
        current: &View,
        motion: Option<EgoMotion>,
    ) -> Result<Pooled<FlowField>, EngineError> {
        let _span = tracing::debug_span!("flow").entered();
        let mut field = self.fields.take();
        let Carried { rows, cols, .. } = self.carried;
        let prior = match (&mut self.camera, motion) {
            (Some(camera), Some(motion)) => {
                camera.predict_into(motion, (rows, cols), &mut self.prior);
                Some(&self.prior)
            }
            _ => None,
        };
        self.flow.estimate_into((&earlier.grey, &current.grey), (rows, cols), prior, &mut field);
        Ok(field)
    }

    fn compose(
        &mut self,
        earlier: &Pooled<FlowField>,
        later: &Pooled<FlowField>,
    ) -> Result<Pooled<FlowField>, EngineError> {
        let _span = tracing::debug_span!("compose").entered();
        let mut field = self.fields.take();
        earlier.compose_into(later, &mut field);
        Ok(field)
    }

    fn propagate(
        &mut self,
        features: &Features,
        flow: &Pooled<FlowField>,
        current: &View,
    ) -> Result<Features, EngineError> {
        let wanted = self.wants_residual || self.is_plain();
        let residual = if wanted { Some(self.residual(features, flow, current)?) } else { None };
        let mut carried = self.carry(features, flow);
        let mut unmended = None;
        if let Some(residual) = residual.as_deref().filter(|_| self.is_plain()) {
            unmended = self.fill_in(&mut carried, residual);
        }
        let carried = self.correct(carried, residual.as_deref(), current)?;
        Ok(Features { carried, detailed: None, glance: None, residual, unmended })
    }

    fn compare(
        &mut self,
        key: &Features,
        flow: &Pooled<FlowField>,
        current: &View,
        propagated: &mut Features,
    ) -> Result<Option<f32>, EngineError> {
        let residual = match propagated.residual.take() {
            Some(residual) => residual,
            None => self.residual(key, flow, current)?,
        };
        let count = residual.values.len();
        let mean = residual.values.iter().sum::<f32>() / count as f32 * self.input.unit();
        propagated.residual = Some(residual);
        Ok((count > 0).then_some(mean))
    }

    fn blend(&mut self, mut fresh: Features, propagated: &Features) -> Result<Features, EngineError> {
        let Some(residual) = &propagated.residual else { return Ok(fresh) };
        let _span = tracing::debug_span!("blend").entered();
        // A plain network's logits at full detail are of this look alone: decoded is what several looks say.
        fresh.detailed = None;
        self.blender.blend(&mut fresh.carried, &propagated.carried, residual, self.input.unit());
        self.learn(&fresh, Some(propagated));
        Ok(fresh)
    }

    fn decode(&mut self, features: &Features, size: Size) -> Result<Decoded, EngineError> {
        if let Some(head) = &mut self.head {
            tracing::debug_span!("head").in_scope(|| head.run(&[&features.carried.values], &mut self.logits))?;
            return self.decoded(&Logits::FromHead, size);
        }
        let logits = match &features.detailed {
            Some(map) if self.input.chain() == Chain::Common => Logits::Picked(map),
            Some(map) => Logits::Carried(map),
            None => Logits::Carried(&features.carried),
        };
        self.decoded(&logits, size)
    }
}

impl Carried {
    /// A split network's features as they are; plain logits averaged down to the carried stride. Of a backbone's `input`
    /// and `output` `[1, channels, rows, cols]`.
    pub(in crate::engine) fn choose(input: [usize; 4], output: [usize; 4], split: bool) -> Self {
        let [_, _, rows, cols] = output;
        let wanted = if split { 1 } else { CARRIED_STRIDE * rows / input[2] };
        let fits = |factor: &usize| rows.is_multiple_of(*factor) && cols.is_multiple_of(*factor);
        let reduction = (1..=wanted).rev().find(fits).unwrap_or(1);
        Self { rows: rows / reduction, cols: cols / reduction, reduction }
    }
}
