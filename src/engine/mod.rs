//! One device's way of doing the steps from a picture to a mask.
//!
//! ```text
//! key frame:   image ─observe─▶ View ─extract─▶ Features ─────────────▶ decode ─▶ mask
//!                                └────────┐          └──────────┐    ▲
//! next frame:  image ─observe─▶ View ─────┴─flow─▶ Flow ─── propagate┘
//!                                └───── what it shows ──────────┘
//! one more:    image ─observe─▶ View ───────flow─▶ Flow ─── compose ─▶ Flow from the key frame ─── propagate ─▶ …
//! key frame:   the same, and   View ─extract─▶ Features ─blend with what was propagated and compared─▶ Features ─▶ …
//! beside:                      View ─begin─▶ Pending ─frames later: finish─▶ Features
//! ```
//!
//! What is behind [`Engine::Features`], [`Engine::View`] and [`Engine::Flow`] (host or device
//! memory) the caller cannot tell. All are returned to the engine's pools when dropped.

pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
mod device;
pub mod fake;
pub mod network;
mod onnx;
#[cfg(feature = "tensorrt")]
pub mod tensorrt;

pub use device::{Config, DLA_CORES, DeviceChoice, WORKSPACES_MIB};

use crate::data::{Image, LabelMask, Plane, Size};
use crate::flow::EgoMotion;

/// Why an engine could not do a step.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The network cannot be used: mend or replace it.
    #[error("network {path}: {reason}")]
    Network {
        /// The file or folder.
        path: String,
        /// What is wrong with it and what to do.
        reason: String,
    },
    /// The runtime asked for is not there: install it or choose another.
    #[error("engine {runtime}: {reason}")]
    Unavailable {
        /// The runtime asked for.
        runtime: &'static str,
        /// Why it cannot be used and the remedy.
        reason: String,
    },
    /// What takes minutes was given up before the engine was there, as its [watch](Watch) asked: stop.
    #[error("given up, as asked: plans that were finished are kept")]
    GivenUp,
    /// This one frame cannot be worked on (a broken JPEG, say): skip it and count.
    #[error("frame: {0}")]
    Frame(String),
    /// The runtime failed in the middle of the work: stop.
    #[error("engine {runtime} failed: {reason}")]
    Failed {
        /// The runtime.
        runtime: &'static str,
        /// Its own words.
        reason: String,
    },
}

impl EngineError {
    /// Whether the next frame may well succeed: skip this one and count it.
    pub fn is_about_one_frame(&self) -> bool {
        matches!(self, Self::Frame(_))
    }
}

/// Watches what takes minutes before an engine is there: called at each step, from any thread, with what is worked on, such as
/// `small: plan of backbone`; `false` gives it up.
pub type Watch<'a> = &'a (dyn Fn(&str) -> bool + Sync);

/// What an engine says of itself, for summaries and published headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineInfo {
    /// The runtime and its version, such as `rten 0.27` or `onnxruntime 1.32.0`.
    pub runtime: String,
    /// The network's name.
    pub network: String,
    /// XXH3-64 over the network's files: masks are comparable between equal hashes only.
    pub network_hash: u64,
}

/// A decoded frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// A class for every pixel.
    pub mask: LabelMask,
    /// Margin between the two best classes of each pixel: 0 none, 255 sure.
    pub confidence: Plane,
}

/// The steps. An engine works on one frame at a time and may keep buffers between calls.
pub trait Engine {
    /// What the network knows of a frame, on its feature grid.
    type Features;
    /// A frame made ready once for both the backbone and optical flow.
    type View;
    /// For each cell of the feature grid, where in the earlier view its content was.
    type Flow;
    /// A run of the backbone that goes on beside other steps. Dropped, its features are never seen.
    type Pending;

    /// The runtime and network.
    fn info(&self) -> &EngineInfo;

    /// Says that `image` will be observed soon, so that it may be made ready beside other work. Changes no result.
    fn foresee(&mut self, image: &Image) {
        let _ = image;
    }

    /// Reads `image`: every frame, once.
    fn observe(&mut self, image: &Image) -> Result<Self::View, EngineError>;

    /// Lets go of the picture of `view`, whose frame is answered, so that a camera gets its buffer back. All that is asked
    /// of the view from then on is flow from it.
    fn let_go(&mut self, view: &mut Self::View) {
        let _ = view;
    }

    /// Runs the whole backbone: key frames.
    fn extract(&mut self, view: &Self::View) -> Result<Self::Features, EngineError>;

    /// The same on a key frame whose features are [blended](Self::blend) before anything else is asked of them; what
    /// blending leaves out need not be there.
    fn extract_to_blend(&mut self, view: &Self::View) -> Result<Self::Features, EngineError> {
        self.extract(view)
    }

    /// Begins a run: what the frames of another one taught is forgotten, so that every run of the same frames is alike.
    fn forget(&mut self) {}

    /// Says that key frames will be [begun](Self::begin), so that what runs them may be made to give way to the frames
    /// meanwhile. Changes no result.
    fn overlap(&mut self) {}

    /// Begins what [`extract`](Self::extract) does, beside whatever is asked of the engine next: key frames of an
    /// overlapped schedule. One run at a time: another begins when the one before is through.
    fn begin(&mut self, view: &Self::View) -> Result<Self::Pending, EngineError>;

    /// Whether [`finish`](Self::finish) would not have to wait.
    fn is_through(&mut self, pending: &Self::Pending) -> bool;

    /// Waits for what was begun: the very features that `extract` gives.
    fn finish(&mut self, pending: Self::Pending) -> Result<Self::Features, EngineError>;

    /// Flow `[2, rows, cols]` (x then y, in feature cells) that points from `current` back into `earlier`; `motion` is
    /// what is known of how the vehicle moved between the two.
    fn flow(
        &mut self,
        earlier: &Self::View,
        current: &Self::View,
        motion: Option<EgoMotion>,
    ) -> Result<Self::Flow, EngineError>;

    /// Two motions as one: `later` leads from a frame to another, `earlier` from that one further back.
    fn compose(&mut self, earlier: &Self::Flow, later: &Self::Flow) -> Result<Self::Flow, EngineError>;

    /// Carries features along a flow that leads to `current`, and mends them by what `current` shows where the
    /// network knows how. What is mended is for decoding: carried on are a key frame's own features.
    fn propagate(
        &mut self,
        features: &Self::Features,
        flow: &Self::Flow,
        current: &Self::View,
    ) -> Result<Self::Features, EngineError>;

    /// Compares `current` with the key frame's picture carried to it along `flow`, for `propagated`, what `key` became
    /// on the same way: the mean difference in parts of the range of colours, 0 to 1; nothing where the engine cannot
    /// tell. Costs nothing where `propagate` has looked already.
    fn compare(
        &mut self,
        key: &Self::Features,
        flow: &Self::Flow,
        current: &Self::View,
        propagated: &mut Self::Features,
    ) -> Result<Option<f32>, EngineError>;

    /// Blends what was `propagated` to a frame and [compared](Self::compare) with it into features `fresh` from that
    /// same frame, as far as it shows what the key frame did: two looks at a thing err less than one. An engine may learn
    /// from what the two say; later frames hear of that.
    fn blend(&mut self, fresh: Self::Features, propagated: &Self::Features) -> Result<Self::Features, EngineError>;

    /// Head, upsampling to `size` and arg-max in one.
    fn decode(&mut self, features: &Self::Features, size: Size) -> Result<Decoded, EngineError>;
}

/// An engine on loan does the same.
impl<E: Engine> Engine for &mut E {
    type Features = E::Features;
    type View = E::View;
    type Flow = E::Flow;
    type Pending = E::Pending;

    fn info(&self) -> &EngineInfo {
        (**self).info()
    }

    fn foresee(&mut self, image: &Image) {
        (**self).foresee(image);
    }

    fn observe(&mut self, image: &Image) -> Result<Self::View, EngineError> {
        (**self).observe(image)
    }

    fn let_go(&mut self, view: &mut Self::View) {
        (**self).let_go(view);
    }

    fn extract(&mut self, view: &Self::View) -> Result<Self::Features, EngineError> {
        (**self).extract(view)
    }

    fn extract_to_blend(&mut self, view: &Self::View) -> Result<Self::Features, EngineError> {
        (**self).extract_to_blend(view)
    }

    fn forget(&mut self) {
        (**self).forget();
    }

    fn overlap(&mut self) {
        (**self).overlap();
    }

    fn begin(&mut self, view: &Self::View) -> Result<Self::Pending, EngineError> {
        (**self).begin(view)
    }

    fn is_through(&mut self, pending: &Self::Pending) -> bool {
        (**self).is_through(pending)
    }

    fn finish(&mut self, pending: Self::Pending) -> Result<Self::Features, EngineError> {
        (**self).finish(pending)
    }

    fn flow(
        &mut self,
        earlier: &Self::View,
        current: &Self::View,
        motion: Option<EgoMotion>,
    ) -> Result<Self::Flow, EngineError> {
        (**self).flow(earlier, current, motion)
    }

    fn compose(&mut self, earlier: &Self::Flow, later: &Self::Flow) -> Result<Self::Flow, EngineError> {
        (**self).compose(earlier, later)
    }

    fn propagate(
        &mut self,
        features: &Self::Features,
        flow: &Self::Flow,
        current: &Self::View,
    ) -> Result<Self::Features, EngineError> {
        (**self).propagate(features, flow, current)
    }

    fn compare(
        &mut self,
        key: &Self::Features,
        flow: &Self::Flow,
        current: &Self::View,
        propagated: &mut Self::Features,
    ) -> Result<Option<f32>, EngineError> {
        (**self).compare(key, flow, current, propagated)
    }

    fn blend(&mut self, fresh: Self::Features, propagated: &Self::Features) -> Result<Self::Features, EngineError> {
        (**self).blend(fresh, propagated)
    }

    fn decode(&mut self, features: &Self::Features, size: Size) -> Result<Decoded, EngineError> {
        (**self).decode(features, size)
    }
}
