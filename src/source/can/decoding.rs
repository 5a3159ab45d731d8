//! A source whose CAN frames are followed by what they mean.

use super::CanDecoder;
use crate::data::Event;
use crate::source::{Source, SourceError};

/// Passes the events of another source on, each [`Event::Can`] followed by the [`Event::State`] decoded from it.
///
/// For sources that hold raw frames only: states that the inner source gives itself pass as well.
#[derive(Debug)]
pub struct Decoding<S> {
    source: S,
    decoder: CanDecoder,
    decoded: Option<Event>,
}

impl<S: Source> Decoding<S> {
    /// `source`, decoded by `decoder`.
    pub fn new(source: S, decoder: CanDecoder) -> Self {
        Self { source, decoder, decoded: None }
    }

    /// The inner source.
    pub fn source(&self) -> &S {
        &self.source
    }

    /// The decoder, for its counts.
    pub fn decoder(&self) -> &CanDecoder {
        &self.decoder
    }
}

impl<S: Source> Source for Decoding<S> {
    fn next(&mut self) -> Result<Option<Event>, SourceError> {
        if let Some(event) = self.decoded.take() {
            return Ok(Some(event));
        }
        let event = self.source.next()?;
        if let Some(Event::Can(frame)) = &event {
            self.decoded = self.decoder.decode(frame).map(Event::State);
        }
        Ok(event)
    }

    fn frames(&self) -> Option<u64> {
        self.source.frames()
    }
}
