//! From aligned frames to masks: which frames are key frames, and what happens to the others.

use crate::data::{AlignedFrame, Perception};
use crate::engine::EngineError;

/// Turns aligned frames into perceptions, one for one.
///
/// The pipeline sees only this, so that it neither knows nor names an engine.
pub trait Perceive {
    /// The mask of the next frame. Frames come in order of their stamps.
    fn perceive(&mut self, frame: &AlignedFrame) -> Result<Perception, EngineError>;
}
