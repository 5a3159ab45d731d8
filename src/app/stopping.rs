//! A source that ends when the user says so, so that what was written until then is a whole trip.
//!
//! Labels come before their frame: it goes on until the frame of the last ones has come too.

use super::session::Session;
use crate::data::{Event, Stamp};
use crate::source::{Source, SourceError};

/// Events that are waited for a frame whose labels have come; past that the frame is not coming.
const MAX_OWED: u32 = 1000;

/// Ends `source` at the user's wish.
pub(super) struct Stopping<'a> {
    source: Box<dyn Source>,
    session: &'a Session,
    /// The frame that labels have come for, and how many events it may still take.
    owed: Option<(Stamp, u32)>,
}

impl<'a> Stopping<'a> {
    pub(super) fn new(source: Box<dyn Source>, session: &'a Session) -> Self {
        Self { source, session, owed: None }
    }

    fn note(&mut self, event: &Event) {
        self.owed = match (event, self.owed) {
            (Event::Truth(truth), _) => Some((truth.stamp, MAX_OWED)),
            (Event::Frame(frame), Some((stamp, _))) if frame.stamp >= stamp => None,
            (_, owed) => owed.and_then(|(stamp, left)| Some((stamp, left.checked_sub(1)?))),
        };
    }
}

impl Source for Stopping<'_> {
    fn next(&mut self) -> Result<Option<Event>, SourceError> {
        if self.owed.is_none() && self.session.interrupt.asked() {
            return Ok(None);
        }
        let event = self.source.next()?;
        if let Some(event) = &event {
            self.note(event);
        }
        Ok(event)
    }

    fn frames(&self) -> Option<u64> {
        self.source.frames()
    }

    fn was_interrupted(&self) -> bool {
        self.session.interrupt.asked()
    }
}
