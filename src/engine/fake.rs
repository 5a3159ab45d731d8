//! An engine that computes next to nothing: the fake beside the trait, for tests of what is above.
//!
//! A pixel's class is its luma modulo 8 on a key frame; propagation carries the labels unchanged.
//! A flow is how many frames it spans. Decoding to another size takes the nearest pixel.
//! So a mask tells which frame's pixels it was made of, and [`FakeEngine::steps`] what it took.

use super::{Decoded, Engine, EngineError, EngineInfo};
use crate::data::{Image, LabelMask, Plane, Size, to_grey8};
use crate::flow::EgoMotion;

/// How often each step has run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// Frames read.
    pub observed: u64,
    /// Key frames.
    pub extracted: u64,
    /// Of these, those that were worked on beside other frames.
    pub begun: u64,
    /// Of these, those into which what was known before was blended.
    pub blended: u64,
    /// Flows estimated.
    pub flows: u64,
    /// Propagated frames compared with their key frame.
    pub compared: u64,
    /// Frames decoded.
    pub decoded: u64,
}

/// A deterministic engine without a network.
#[derive(Clone, Debug)]
pub struct FakeEngine {
    info: EngineInfo,
    /// What has run so far.
    pub steps: Steps,
    /// The next `extract` fails once, as a runtime would.
    pub fail_next_extract: bool,
    /// The next run that is begun fails once, when it is finished.
    pub fail_next_begun: bool,
    /// Frames that follow on one that was begun before its run is through.
    pub run_takes: u64,
    /// What the latest flow was told of the vehicle's motion.
    pub motion: Option<EgoMotion>,
}

/// Labels and luma of a key frame, how many frames far they have been carried, and whether that was looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct FakeFeatures {
    labels: Vec<u8>,
    luma: Vec<u8>,
    size: Size,
    carried: u8,
    compared: bool,
}

/// What a run that was begun will give.
#[derive(Debug)]
pub struct FakePending {
    features: Result<FakeFeatures, EngineError>,
    /// Frames read by then.
    begun_at: u64,
}

/// Luma of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FakeView {
    luma: Vec<u8>,
    size: Size,
}

impl Default for FakeEngine {
    fn default() -> Self {
        let info = EngineInfo { runtime: "fake".into(), network: "luma modulo 8".into(), network_hash: 8 };
        let steps = Steps::default();
        Self { info, steps, fail_next_extract: false, fail_next_begun: false, run_takes: 0, motion: None }
    }
}

impl Engine for FakeEngine {
    type Features = FakeFeatures;
    type View = FakeView;
    type Flow = u8;
    type Pending = FakePending;

    fn info(&self) -> &EngineInfo {
        &self.info
    }

    fn observe(&mut self, image: &Image) -> Result<FakeView, EngineError> {
        self.steps.observed += 1;
        let luma = to_grey8(image).map_err(|error| EngineError::Frame(error.to_string()))?;
        Ok(FakeView { luma, size: image.size() })
    }

    fn extract(&mut self, view: &FakeView) -> Result<FakeFeatures, EngineError> {
        self.steps.extracted += 1;
        if std::mem::take(&mut self.fail_next_extract) {
            return Err(EngineError::Failed { runtime: "fake", reason: "asked to fail".into() });
        }
        let FakeView { luma, size } = view.clone();
        Ok(FakeFeatures { labels: luma.iter().map(|luma| luma % 8).collect(), luma, size, carried: 0, compared: false })
    }

    fn begin(&mut self, view: &FakeView) -> Result<FakePending, EngineError> {
        self.steps.begun += 1;
        self.fail_next_extract |= std::mem::take(&mut self.fail_next_begun);
        Ok(FakePending { features: self.extract(view), begun_at: self.steps.observed })
    }

    fn is_through(&mut self, pending: &FakePending) -> bool {
        self.steps.observed > pending.begun_at + self.run_takes
    }

    fn finish(&mut self, pending: FakePending) -> Result<FakeFeatures, EngineError> {
        pending.features
    }

    fn flow(&mut self, earlier: &FakeView, current: &FakeView, motion: Option<EgoMotion>) -> Result<u8, EngineError> {
        self.steps.flows += 1;
        self.motion = motion;
        assert_eq!(earlier.size, current.size, "flow is asked for between frames of one size only");
        Ok(1)
    }

    fn compose(&mut self, earlier: &u8, later: &u8) -> Result<u8, EngineError> {
        Ok(earlier.saturating_add(*later))
    }

    fn propagate(
        &mut self,
        features: &FakeFeatures,
        flow: &u8,
        current: &FakeView,
    ) -> Result<FakeFeatures, EngineError> {
        assert_eq!(features.size, current.size, "features are carried between frames of one size only");
        Ok(FakeFeatures { carried: features.carried.saturating_add(*flow), ..features.clone() })
    }

    fn compare(
        &mut self,
        key: &FakeFeatures,
        _: &u8,
        current: &FakeView,
        propagated: &mut FakeFeatures,
    ) -> Result<Option<f32>, EngineError> {
        self.steps.compared += 1;
        let apart: f32 = key.luma.iter().zip(&current.luma).map(|(one, two)| f32::from(one.abs_diff(*two))).sum();
        propagated.compared = true;
        Ok(Some(apart / 255.0 / key.luma.len() as f32))
    }

    fn blend(&mut self, fresh: FakeFeatures, propagated: &FakeFeatures) -> Result<FakeFeatures, EngineError> {
        assert!(propagated.compared, "only what was compared is blended");
        assert_eq!(fresh.size, propagated.size, "features are blended between frames of one size only");
        self.steps.blended += 1;
        Ok(fresh)
    }

    fn decode(&mut self, features: &FakeFeatures, size: Size) -> Result<Decoded, EngineError> {
        self.steps.decoded += 1;
        let failed = |error: crate::data::MaskError| EngineError::Failed { runtime: "fake", reason: error.to_string() };
        let of = |index: usize| {
            let (row, col) = (index / size.width as usize, index % size.width as usize);
            let (wide, high) = (features.size.width as usize, features.size.height as usize);
            features.labels[row * high / size.height as usize * wide + col * wide / size.width as usize]
        };
        let labels: Vec<u8> = (0..size.pixels()).map(of).collect();
        let mask = LabelMask::new(size, labels.into()).map_err(failed)?;
        let confidence = Plane::new(size, vec![255 - features.carried; size.pixels()].into()).map_err(failed)?;
        Ok(Decoded { mask, confidence })
    }
}
