//! Key frames that the network works on beside the frames that follow.
//!
//! ```text
//! overlapped:3:2   frame    0    1    2    3    4    5    6    7    8
//!                  network  key            begun ──▶ │    begun ──▶ │
//!                  mask of  0    0    0    0    0    3    3    3    6
//! ```
//!
//! Every mask but the first is out within the time of a carried one. A key frame's features serve from exactly `delay`
//! frames later on, or from the first frame behind that if it was lost; if they are not there by then they are waited
//! for, so that masks do not depend on how fast the network was.

use super::{KeyFrame, Perceiver, Way};
use crate::data::FrameId;
use crate::engine::{Engine, EngineError};

/// A key frame that the network works on.
pub(super) struct Coming<E: Engine> {
    /// To it from the latest frame.
    pub(super) way: Way<E>,
    pending: E::Pending,
    /// What was carried to it, compared with it.
    known: E::Features,
}

impl<E: Engine> Coming<E> {
    pub(super) fn begun(key: FrameId, pending: E::Pending, known: E::Features) -> Self {
        Self { way: Way::none(key), pending, known }
    }
}

impl<E: Engine> Perceiver<E> {
    /// The key frame that frame `id` is answered from: what was `coming` if its delay is over, else `key` still.
    pub(super) fn arrive(
        &mut self,
        key: KeyFrame<E>,
        coming: Option<Coming<E>>,
        id: FrameId,
    ) -> Result<(KeyFrame<E>, Option<Coming<E>>), EngineError> {
        let (Some(mut coming), Some(delay)) = (coming, self.schedule.delay()) else { return Ok((key, None)) };
        let behind = coming.way.distance_to(id);
        if behind < delay.get() {
            coming.way.distance = behind;
            return Ok((key, Some(coming)));
        }
        let fresh = self.engine.finish(coming.pending)?;
        let features = self.engine.blend(fresh, &coming.known)?;
        Ok((KeyFrame { way: coming.way, features, turned: 0.0 }, None))
    }

    /// Begins the network on a frame if it is due.
    pub(super) fn begin(
        &mut self,
        key: &KeyFrame<E>,
        coming: Option<&Coming<E>>,
        (view, id): (&E::View, FrameId),
    ) -> Result<Option<E::Pending>, EngineError> {
        let due = self.schedule.delay().is_some() && coming.is_none() && self.is_far(key.way.distance_to(id));
        due.then(|| self.engine.begin(view)).transpose()
    }
}
