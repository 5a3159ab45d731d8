//! Where events and perceptions go: a trip file, Zenoh, an overlay video, statistics.

pub mod overlay;
pub mod statistics;
#[cfg(feature = "zenoh")]
pub mod zenoh;

use crate::data::{AlignedFrame, Ending, Event, Perception};

/// Why a sink could not take something.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// This one item was not taken and is counted: go on.
    #[error("{sink}: not taken: {reason}")]
    Dropped {
        /// The sink's name.
        sink: &'static str,
        /// Why, with the numbers.
        reason: String,
    },
    /// The sink can take nothing more: stop and tell the user.
    #[error("{sink}: {source}")]
    Failed {
        /// The sink's name.
        sink: &'static str,
        /// What failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A place that results go to. Calls come from the pipeline's thread, in order; none may block for long.
pub trait Sink {
    /// An event, before the perception made from it.
    fn on_event(&mut self, _event: &Event) -> Result<(), SinkError> {
        Ok(())
    }

    /// The answer for one frame, with the frame itself.
    fn on_perception(&mut self, frame: &AlignedFrame, perception: &Perception) -> Result<(), SinkError>;

    /// How the run ended: told once, before `finish`.
    fn on_ending(&mut self, _ending: &Ending) {}

    /// Nothing more will come: write what is pending. Called once.
    fn finish(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}
