//! Key frames that the network works on beside the frames that follow.
//!
//! ```text
//! overlapped:3:2   frame    0    1    2    3    4    5    6    7    8
//!                  network  key            begun ──▶ │    begun ──▶ │
//!                  mask of  0    0    0    0    0    3    3    3    6
//! ```
//!
//! Every mask but the first is out within the time of a carried one. A key frame's features serve from exactly `delay`
//! frames later on, or from the first frame behind that if it was lost. If they are not there by then, [`Lateness`] says
//! what happens: recordings are answered alike however fast a machine is, and a vehicle does not wait.

use super::{KeyFrame, Perceiver, Way};
use crate::data::{FrameId, LateKeys};
use crate::engine::{Engine, EngineError};

/// What happens on a frame by which a key frame's features are due and not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lateness {
    /// They are waited for, but for frames on which they were late in the run that is repeated.
    Repeated(LateKeys),
    /// The frame is answered from the key frame before; they serve from the first frame by which they are there.
    Allowed,
}

impl Default for Lateness {
    /// All are waited for.
    fn default() -> Self {
        Self::Repeated(LateKeys::new())
    }
}

/// A key frame that the network works on.
pub(super) struct Coming<E: Engine> {
    /// To it from the latest frame.
    pub(super) way: Way<E>,
    pending: E::Pending,
    /// What was carried to it, compared with it.
    known: E::Features,
}

/// What a frame finds when the delays are over that end with it.
pub(super) struct Arrival<E: Engine> {
    pub(super) key: KeyFrame<E>,
    pub(super) coming: Option<Coming<E>>,
    /// The key frame that is due and not there.
    pub(super) late: Option<FrameId>,
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
    ) -> Result<Arrival<E>, EngineError> {
        let (Some(mut coming), Some(delay)) = (coming, self.schedule.delay()) else {
            return Ok(Arrival { key, coming: None, late: None });
        };
        let behind = coming.way.distance_to(id);
        let late = (behind >= delay.get() && self.is_late(&coming, id)).then_some(coming.way.key);
        if behind < delay.get() || late.is_some() {
            coming.way.distance = behind;
            return Ok(Arrival { key, coming: Some(coming), late });
        }
        let fresh = self.engine.finish(coming.pending)?;
        let features = self.engine.blend(fresh, &coming.known)?;
        let key = KeyFrame { way: coming.way, features, turned: 0.0 };
        Ok(Arrival { key, coming: None, late: None })
    }

    /// Whether frame `id` is answered without what is `coming`, which is due.
    fn is_late(&mut self, coming: &Coming<E>, id: FrameId) -> bool {
        match &self.lateness {
            Lateness::Repeated(late) => late.get(&id) == Some(&coming.way.key),
            Lateness::Allowed => !self.engine.is_through(&coming.pending),
        }
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
