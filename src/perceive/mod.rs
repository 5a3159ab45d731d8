//! From aligned frames to masks: which frames are key frames, and what happens to the others.
//!
//! ```text
//! every:3   key ──flow──▶ propagated ──flow──▶ propagated ──flow──▶ key ──flow──▶ …
//!            ├──────────────── composed ────────▲                    ▲
//!            └──────────────── composed ─────────────────────blended─┘
//! every:1   key           key                  key                  key           …
//!
//! adaptive  picture differs ──Relation──▶ labels expected to, beyond the bound ──▶ key; turned away or long ago ──▶ key
//! overlapped:3:2   begun beside ───────────────────▶ serves two frames later (overlapped.rs)
//! ```
//!
//! Features are carried once along the whole composed way; what the engine mends by looking at the frame they
//! arrive at serves that frame alone. `every:1` knows no past. Lost and unreadable frames count; a frame that cannot
//! be carried to (the first one, another size, one after a failure) becomes a key frame. `docs/engines.md` has the reasons and
//! figures. No clock is read: the same frames give the same masks, and where a vehicle does not wait for its network
//! ([`Lateness`]) what came late is recorded with them.

mod driving;
mod overlapped;
mod relation;
mod schedule;

pub use driving::Bicycle;
pub use overlapped::Lateness;
pub use schedule::{Bound, Schedule};

use crate::data::{
    AlignedFrame, BufferPool, Disagreement, FrameId, Image, LabelMask, Origin, Perception, Plane, Size, Stamp,
};
pub use crate::engine::EngineError;

use crate::engine::{Decoded, Engine};
use driving::Driving;
use overlapped::{Arrival, Coming};
use relation::Relation;
use serde::{Deserialize, Serialize};

/// Age planes that may be in use at a time without a new allocation: as many as masks.
const AGES_IN_USE: usize = 16;
/// Labels are compared on a grid this much coarser than the frame's, along each axis.
const COMPARED_STRIDE: u32 = 8;
/// An adaptive schedule has a key frame before the vehicle has turned by this angle, in rad, since the last one: about
/// a quarter of what a common camera sees is new by then, also where the picture is too dark or blurred to show it.
const MOST_TURNED: f64 = 0.25;

/// Turns aligned frames into perceptions, one for one.
///
/// The pipeline sees only this, so that it neither knows nor names an engine.
pub trait Perceive {
    /// Says that `image` is that of a frame that comes soon. Changes no mask.
    fn foresee(&mut self, image: &Image) {
        let _ = image;
    }

    /// The mask of the next frame. Frames come in order of their stamps.
    fn perceive(&mut self, frame: &AlignedFrame) -> Result<Perception, EngineError>;
}

/// How frames are perceived.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Which frames the whole network runs on, such as `every:5`.
    pub schedule: Schedule,
    /// Whether flow is looked for where the vehicle's own motion says; it needs a calibrated camera.
    pub ego_motion: bool,
    /// How the vehicle steers: for the yaw rate where the bus has none.
    pub bicycle: Option<Bicycle>,
}

impl Default for Config {
    fn default() -> Self {
        Self { schedule: Schedule::default(), ego_motion: true, bicycle: None }
    }
}

impl Config {
    /// Says which value is outside its bounds.
    pub fn check(&self) -> Result<(), String> {
        self.bicycle.map_or(Ok(()), Bicycle::check)
    }
}

/// Perceives with one engine.
pub struct Perceiver<E: Engine> {
    engine: E,
    schedule: Schedule,
    ego_motion: bool,
    lateness: Lateness,
    relation: Relation,
    driving: Driving,
    /// What the next frame can be carried from; nothing before the first frame and after a failure.
    previous: Option<Previous<E>>,
    ages: BufferPool,
}

/// The frame before, as far as the next one needs it.
struct Previous<E: Engine> {
    view: E::View,
    size: Size,
    stamp: Stamp,
    key: KeyFrame<E>,
    coming: Option<Coming<E>>,
}

/// The key frame that a frame is answered from.
struct KeyFrame<E: Engine> {
    way: Way<E>,
    features: E::Features,
    /// The vehicle's heading less that at the key frame, in rad, left positive, as far as it is known.
    turned: f64,
}

/// How a frame lies to a key frame.
struct Way<E: Engine> {
    key: FrameId,
    /// Back to the key frame; nothing if this is it.
    flow: Option<E::Flow>,
    distance: u32,
}

/// What a frame is told by the key frame before it.
struct Carried<E: Engine> {
    key: KeyFrame<E>,
    /// Mended by what the frame shows.
    features: E::Features,
    residual: Option<f32>,
    coming: Option<Coming<E>>,
    /// The network was begun on this frame.
    begun: Option<E::Pending>,
    /// The key frame that was due and not there.
    late: Option<FrameId>,
}

impl<E: Engine> Perceiver<E> {
    /// A perceiver that has seen nothing yet.
    pub fn new(mut engine: E, config: Config) -> Self {
        let Config { schedule, ego_motion, bicycle } = config;
        engine.forget();
        if let Schedule::Overlapped { .. } = schedule {
            engine.overlap();
        }
        let (relation, driving) = (Relation::default(), Driving::new(bicycle));
        let (lateness, ages) = (Lateness::default(), BufferPool::made_at_once(AGES_IN_USE));
        Self { engine, schedule, ego_motion, lateness, relation, driving, previous: None, ages }
    }

    /// The same, with another answer to features that are not there when they are due.
    #[must_use]
    pub fn with_lateness(self, lateness: Lateness) -> Self {
        Self { lateness, ..self }
    }

    /// The engine, for what it says of itself.
    pub fn engine(&self) -> &E {
        &self.engine
    }

    /// Brings the key frame's features to `view`, `frame`'s.
    fn carry(
        &mut self,
        previous: Previous<E>,
        view: &E::View,
        frame: &AlignedFrame,
    ) -> Result<Carried<E>, EngineError> {
        let (id, stamp) = (frame.frame.id, frame.frame.stamp);
        let Previous { key, coming, .. } = previous;
        let Arrival { mut key, mut coming, late } = self.arrive(key, coming, id)?;
        let begun = self.begin(&key, coming.as_ref(), (view, id))?;
        let motion = self.driving.moved(previous.stamp, stamp).filter(|_| self.ego_motion);
        let step = self.engine.flow(&previous.view, view, motion)?;
        let flow = self.follow(&key.way, &mut coming, step)?;
        let mut features = self.engine.propagate(&key.features, &flow, view)?;
        key.turned += self.driving.turned(previous.stamp, stamp);
        key.way.distance = key.way.distance_to(id);
        // Not for every frame of every:K: only key frames, which are blended, need it there.
        let compared = match self.schedule {
            Schedule::Every(_) => self.is_far(key.way.distance),
            Schedule::Adaptive { .. } => true,
            Schedule::Overlapped { .. } => begun.is_some(),
        };
        let residual = if compared { self.engine.compare(&key.features, &flow, view, &mut features)? } else { None };
        key.way.flow = Some(flow);
        Ok(Carried { key, features, residual, coming, begun, late })
    }

    /// From the current frame, a `step` behind the frame before, back to the key frame; the way of what is `coming`, too.
    fn follow(&mut self, way: &Way<E>, coming: &mut Option<Coming<E>>, step: E::Flow) -> Result<E::Flow, EngineError> {
        // If the key frame is the frame before, no other one came after it.
        let Some(earlier) = &way.flow else { return Ok(step) };
        let flow = self.engine.compose(earlier, &step)?;
        if let Some(Coming { way, .. }) = coming {
            way.flow = Some(match &way.flow {
                Some(earlier) => self.engine.compose(earlier, &step)?,
                None => step,
            });
        }
        Ok(flow)
    }

    /// What is thought of the labels that were carried; nothing where the schedule does not go by it.
    fn judge(&self, carried: &Carried<E>) -> Option<Disagreement> {
        self.schedule.bound()?;
        let residual = carried.residual?;
        Some(Disagreement { residual, expected: self.relation.expected(residual), measured: None })
    }

    fn is_far(&self, distance: u32) -> bool {
        distance >= self.schedule.longest().get()
    }

    /// Whether the network must run on the frame before it can be answered.
    fn is_key(&self, carried: &Carried<E>, judged: Option<Disagreement>) -> bool {
        let wrong = |bound: Bound| {
            carried.key.turned.abs() >= MOST_TURNED || judged.is_none_or(|found| found.expected > bound.share())
        };
        match self.schedule {
            Schedule::Every(_) => self.is_far(carried.key.way.distance),
            Schedule::Adaptive { bound, .. } => self.is_far(carried.key.way.distance) || wrong(bound),
            Schedule::Overlapped { .. } => false,
        }
    }

    /// Runs the network on `view`; learns from what was `carried` to it, and blends it in.
    fn fresh(
        &mut self,
        view: &E::View,
        size: Size,
        carried: Option<(Carried<E>, Option<Disagreement>)>,
    ) -> Result<(E::Features, Option<Disagreement>), EngineError> {
        let Some((carried, judged)) = carried else { return Ok((self.engine.extract(view)?, None)) };
        let (fresh, measured) = match judged {
            None => (self.engine.extract_to_blend(view)?, None),
            Some(judged) => {
                let fresh = self.engine.extract(view)?;
                let differing = self.differing(&fresh, &carried.features, size)?;
                self.relation.learn(judged.residual, differing);
                (fresh, Some(Disagreement { measured: Some(differing), ..judged }))
            }
        };
        Ok((self.engine.blend(fresh, &carried.features)?, measured))
    }

    /// The share of labels in which two sets of features differ.
    fn differing(&mut self, one: &E::Features, other: &E::Features, size: Size) -> Result<f32, EngineError> {
        let coarse = Size::new((size.width / COMPARED_STRIDE).max(1), (size.height / COMPARED_STRIDE).max(1));
        let [one, other] = [self.engine.decode(one, coarse)?, self.engine.decode(other, coarse)?];
        Ok(share_differing(&one.mask, &other.mask))
    }

    fn age(&mut self, size: Size, distance: u32) -> Plane {
        let age = u8::try_from(distance).unwrap_or(u8::MAX);
        let bytes = self.ages.fill(size.pixels(), |ages| ages.fill(age));
        Plane::new(size, bytes).expect("one byte was filled in for each pixel")
    }
}

impl<E: Engine> Perceive for Perceiver<E> {
    fn foresee(&mut self, image: &Image) {
        self.engine.foresee(image);
    }

    fn perceive(&mut self, frame: &AlignedFrame) -> Result<Perception, EngineError> {
        let (size, stamp) = (frame.frame.image.size(), frame.frame.stamp);
        self.driving.note(frame);
        // A frame that cannot be read is as one that was lost.
        let mut view = self.engine.observe(&frame.frame.image)?;
        // Taken, not borrowed: if any further step fails, the next frame finds nothing and becomes a key frame.
        let previous = self.previous.take().filter(|previous| previous.size == size && self.schedule.carries());
        let carried = match previous {
            Some(previous) => Some(self.carry(previous, &view, frame)?),
            None => None,
        };
        let late = carried.as_ref().and_then(|carried| carried.late);
        let judged = carried.as_ref().and_then(|carried| self.judge(carried));
        let (key, coming, decoded, disagreement) = match carried {
            Some(carried) if !self.is_key(&carried, judged) => {
                let Carried { key, features, coming, begun, .. } = carried;
                let decoded = self.engine.decode(&features, size)?;
                let coming = begun.map(|pending| Coming::begun(frame.frame.id, pending, features)).or(coming);
                (key, coming, decoded, judged)
            }
            carried => {
                let (features, measured) = self.fresh(&view, size, carried.map(|carried| (carried, judged)))?;
                let decoded = self.engine.decode(&features, size)?;
                (KeyFrame { way: Way::none(frame.frame.id), features, turned: 0.0 }, None, decoded, measured)
            }
        };
        let (origin, age) = (key.way.origin(), self.age(size, key.way.distance));
        self.engine.let_go(&mut view);
        self.previous = Some(Previous { view, size, stamp, key, coming });
        let Decoded { mask, confidence } = decoded;
        let (age, confidence) = (Some(age), Some(confidence));
        Ok(Perception { frame: frame.frame.id, stamp, origin, mask, age, confidence, disagreement, late })
    }
}

/// Of masks of one size.
fn share_differing(one: &LabelMask, other: &LabelMask) -> f32 {
    let (one, other) = (one.labels(), other.labels());
    let differing = one.iter().zip(other.iter()).filter(|(one, other)| one != other).count();
    differing as f32 / one.len().max(1) as f32
}

impl<E: Engine> Way<E> {
    /// Of the key frame itself.
    fn none(key: FrameId) -> Self {
        Self { key, flow: None, distance: 0 }
    }

    /// Frames from the key frame to the `next` one, those that were lost between counted.
    fn distance_to(&self, next: FrameId) -> u32 {
        let numbered = u32::try_from(next.0.saturating_sub(self.key.0)).unwrap_or(u32::MAX);
        numbered.max(self.distance.saturating_add(1))
    }

    fn origin(&self) -> Origin {
        match self.distance {
            0 => Origin::Key,
            distance => Origin::Propagated { from: self.key, distance },
        }
    }
}
