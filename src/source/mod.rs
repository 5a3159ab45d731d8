//! Where events come from: a camera and a bus, a recorded trip, a rendered scene.
//!
//! A source hands out [`Event`]s in order of arrival. Live or recorded makes no difference to
//! anything after it.

#[cfg(feature = "camera")]
pub mod camera;
pub mod can;
pub mod inbox;
pub mod synthetic;

use crate::data::{Event, Image};
use std::sync::Arc;

/// What a thread of a live source does first, told the thread's name: taking its priority and its processors.
pub type Prepare = Arc<dyn Fn(&str) + Send + Sync>;

/// Why a source cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// One item was unreadable and has been skipped: count it and call `next` again.
    #[error("skipped: {0}")]
    Skipped(String),
    /// Nothing more will come: stop and tell the user.
    #[error("{0}")]
    Stopped(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A stream of events in order of [`Event::arrival`].
pub trait Source {
    /// The next event; `None` after the last.
    fn next(&mut self) -> Result<Option<Event>, SourceError>;

    /// The picture of the frame that comes next, if that is known already; each is told once.
    fn upcoming(&mut self) -> Option<Image> {
        None
    }

    /// Frames that the stream will hold in all, if that is known: for progress only.
    fn frames(&self) -> Option<u64> {
        None
    }

    /// Whether it ended because the user asked it to, and not because there was nothing more.
    fn was_interrupted(&self) -> bool {
        false
    }
}

/// Events from memory: the fake beside the trait.
impl Source for std::vec::IntoIter<Event> {
    fn next(&mut self) -> Result<Option<Event>, SourceError> {
        Ok(Iterator::next(self))
    }
}
