//! The network's input tensor: where every frame that a graph looks at is prepared.

#![allow(clippy::inline_always, reason = "only what is inlined into dispatch! is compiled for its instructions")]

use super::preprocess::{ChannelOrder, Normalization, Preprocessor};
use crate::data::Image;
use crate::engine::EngineError;
use crate::engine::network::{Chain, Channels, InputSpec};
use crate::sys::workers::Workers;
use fearless_simd::{Level, dispatch};
use std::sync::Arc;

/// Prepares pictures as a network wants them, in a buffer of its own.
pub(super) struct NetworkInput {
    spec: InputSpec,
    preprocessor: Preprocessor,
    /// `[3, rows, cols] f32`.
    tensor: Vec<f32>,
    /// The number of the view that is prepared.
    holds: Option<u64>,
}

impl NetworkInput {
    pub(super) fn new(spec: &InputSpec) -> Self {
        Self {
            spec: *spec,
            preprocessor: preprocessor(spec),
            tensor: vec![0.0; 3 * spec.rows * spec.cols],
            holds: None,
        }
    }

    /// Shares its work with other helpers from now on.
    pub(super) fn share_with(&mut self, workers: Arc<Workers>) {
        self.preprocessor = preprocessor(&self.spec).shared_with(workers);
    }

    pub(super) fn chain(&self) -> Chain {
        self.spec.chain
    }

    /// `[3, rows, cols]` of what is [prepared](Self::prepared).
    pub(super) fn shape(&self) -> [usize; 3] {
        [3, self.spec.rows, self.spec.cols]
    }

    /// Prepares `image` as `[3, rows, cols] f32`, unless it is that of the view prepared last.
    pub(super) fn prepare(&mut self, view: u64, image: &Image) -> Result<(), EngineError> {
        if self.holds == Some(view) {
            return Ok(());
        }
        let _span = tracing::debug_span!("preprocess").entered();
        self.holds = None;
        self.preprocessor.run(image, &mut self.tensor)?;
        if self.spec.chain == Chain::Common {
            round_to_bytes(&mut self.tensor, &self.spec);
        }
        self.holds = Some(view);
        Ok(())
    }

    /// The picture prepared last.
    pub(super) fn prepared(&self) -> &[f32] {
        &self.tensor
    }

    /// What a difference of 1 in prepared colours is in parts of the range of colours: the mean over the three.
    pub(super) fn unit(&self) -> f32 {
        self.spec.std.iter().sum::<f32>() / 3.0
    }
}

fn preprocessor(spec: &InputSpec) -> Preprocessor {
    Preprocessor::new(spec.rows, spec.cols, normalization(spec))
}

pub(super) fn normalization(input: &InputSpec) -> Normalization {
    let order = match input.channels {
        Channels::Rgb => ChannelOrder::Rgb,
        Channels::Bgr => ChannelOrder::Bgr,
    };
    Normalization { mean: input.mean, std: input.std, order }
}

/// Rounds prepared colours `[3, rows, cols]` to what they would be had the resized picture been one of bytes.
pub fn round_to_bytes(tensor: &mut [f32], input: &InputSpec) {
    let cells = input.rows * input.cols;
    for ((plane, mean), std) in tensor.chunks_exact_mut(cells).zip(input.mean).zip(input.std) {
        dispatch!(Level::new(), _simd => round_plane(plane, mean, std));
    }
}

#[inline(always)]
fn round_plane(plane: &mut [f32], mean: f32, std: f32) {
    /// 1.5 * 2^23: adding it leaves no bits below 1, so that the sum is rounded to a whole number.
    const WHOLE: f32 = 12_582_912.0;
    for value in plane {
        let byte = (*value * std + mean) * 255.0 + WHOLE - WHOLE;
        *value = (byte / 255.0 - mean) / std;
    }
}
