//! From aligned frames to masks: which frames are key frames, and what happens to the others.
//!
//! ```text
//! every:3   key ──flow──▶ propagated ──flow──▶ propagated ──flow──▶ key ──flow──▶ …
//!            ├──────────────── composed ────────▲                    ▲
//!            └──────────────── composed ─────────────────────blended─┘
//! every:1   key           key                  key                  key           …
//! ```
//!
//! Flow is estimated between neighbours, where it is small, and composed; the key frame's features are
//! carried once along the whole way, so that they are not blurred anew at each step. What the engine mends
//! by looking at the frame they arrive at serves that frame alone.
//! The next key frame's features are blended with what was carried there, where the picture agrees: looking twice
//! is better than once. `every:1` knows no past: each mask is the network's answer to that frame alone.
//! A frame that cannot be carried to (the first one, another size, one after a failure) becomes a
//! key frame. No clock is read: the same frames give the same masks.

mod schedule;

pub use schedule::Schedule;

use crate::data::{AlignedFrame, BufferPool, FrameId, Origin, Perception, Plane, Size};
pub use crate::engine::EngineError;

use crate::engine::{Decoded, Engine};
use serde::{Deserialize, Serialize};

/// Age planes that may be in use at a time without a new allocation: as many as masks.
const AGES_IN_USE: usize = 16;

/// Turns aligned frames into perceptions, one for one.
///
/// The pipeline sees only this, so that it neither knows nor names an engine.
pub trait Perceive {
    /// The mask of the next frame. Frames come in order of their stamps.
    fn perceive(&mut self, frame: &AlignedFrame) -> Result<Perception, EngineError>;
}

/// How frames are perceived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Which frames the whole network runs on, such as `every:5`.
    pub schedule: Schedule,
}

/// Perceives with one engine.
pub struct Perceiver<E: Engine> {
    engine: E,
    schedule: Schedule,
    /// What the next frame can be carried from; nothing before the first frame and after a failure.
    previous: Option<Previous<E>>,
    ages: BufferPool,
}

/// The frame before, as far as the next one needs it.
struct Previous<E: Engine> {
    view: E::View,
    size: Size,
    key: FrameId,
    /// Of the key frame.
    features: E::Features,
    /// From this frame back to the key frame; nothing if this is it.
    flow: Option<E::Flow>,
    distance: u32,
}

impl<E: Engine> Perceiver<E> {
    /// A perceiver that has seen nothing yet.
    pub fn new(engine: E, config: Config) -> Self {
        Self { engine, schedule: config.schedule, previous: None, ages: BufferPool::new(AGES_IN_USE) }
    }

    /// The engine, for what it says of itself.
    pub fn engine(&self) -> &E {
        &self.engine
    }

    fn key(&mut self, view: E::View, frame: FrameId, size: Size) -> Result<(Previous<E>, Decoded), EngineError> {
        let features = self.engine.extract(&view)?;
        self.begin(features, view, frame, size)
    }

    fn renewed(
        &mut self,
        previous: &Previous<E>,
        view: E::View,
        frame: FrameId,
    ) -> Result<(Previous<E>, Decoded), EngineError> {
        let flow = self.flow_from_key(previous, &view)?;
        let features = self.engine.renew(&previous.features, &flow, &view)?;
        self.begin(features, view, frame, previous.size)
    }

    fn begin(
        &mut self,
        features: E::Features,
        view: E::View,
        key: FrameId,
        size: Size,
    ) -> Result<(Previous<E>, Decoded), EngineError> {
        let decoded = self.engine.decode(&features, size)?;
        Ok((Previous { view, size, key, features, flow: None, distance: 0 }, decoded))
    }

    fn carried(&mut self, previous: Previous<E>, view: E::View) -> Result<(Previous<E>, Decoded), EngineError> {
        let flow = self.flow_from_key(&previous, &view)?;
        let carried = self.engine.propagate(&previous.features, &flow, &view)?;
        let decoded = self.engine.decode(&carried, previous.size)?;
        let distance = previous.distance.saturating_add(1);
        Ok((Previous { view, flow: Some(flow), distance, ..previous }, decoded))
    }

    /// From `current` back to the key frame that `previous` was carried from, or is.
    fn flow_from_key(&mut self, previous: &Previous<E>, current: &E::View) -> Result<E::Flow, EngineError> {
        let step = self.engine.flow(&previous.view, current)?;
        match &previous.flow {
            Some(earlier) => self.engine.compose(earlier, &step),
            None => Ok(step),
        }
    }

    fn age(&mut self, size: Size, distance: u32) -> Plane {
        let age = u8::try_from(distance).unwrap_or(u8::MAX);
        let bytes = self.ages.fill(size.pixels(), |ages| ages.fill(age));
        Plane::new(size, bytes).expect("one byte was filled in for each pixel")
    }
}

impl<E: Engine> Perceive for Perceiver<E> {
    fn perceive(&mut self, frame: &AlignedFrame) -> Result<Perception, EngineError> {
        let (frame, size) = (&frame.frame, frame.frame.image.size());
        // Taken, not borrowed: if any step fails, the next frame finds nothing and becomes a key frame.
        let previous = self.previous.take().filter(|previous| previous.size == size && self.schedule.carries());
        let view = self.engine.observe(&frame.image)?;
        let (current, Decoded { mask, confidence }) = match previous {
            None => self.key(view, frame.id, size)?,
            Some(previous) if self.schedule.is_key(previous.distance.saturating_add(1)) => {
                self.renewed(&previous, view, frame.id)?
            }
            Some(previous) => self.carried(previous, view)?,
        };
        let (origin, age) = (current.origin(), self.age(size, current.distance));
        self.previous = Some(current);
        Ok(Perception {
            frame: frame.id,
            stamp: frame.stamp,
            origin,
            mask,
            age: Some(age),
            confidence: Some(confidence),
        })
    }
}

impl<E: Engine> Previous<E> {
    fn origin(&self) -> Origin {
        match self.distance {
            0 => Origin::Key,
            distance => Origin::Propagated { from: self.key, distance },
        }
    }
}
