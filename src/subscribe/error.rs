//! Why there is no mask, and what to do about it.

use super::MAX_QUEUE;
use crate::wire::session::SessionError;
use crate::wire::{KeysError, WireError};
use std::time::Duration;

/// Why there is no mask, or no answer.
#[derive(Debug, thiserror::Error)]
pub enum SubscribeError {
    /// No session: mend the configuration or start the publisher, then open again.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// A name that cannot be in a key: mend the configuration.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// An option out of range: mend the configuration.
    #[error("queue of {0} masks: expected 1 to {MAX_QUEUE}")]
    Queue(usize),
    /// Nothing came in time: try again; see [`super::Subscriber::publishers`].
    #[error("no mask on '{key}' within {waited:?}: {publishers} publishers are alive there")]
    Timeout {
        /// The key listened to.
        key: String,
        /// How long.
        waited: Duration,
        /// Publishers alive.
        publishers: usize,
    },
    /// Nobody answered a request in time: try again.
    #[error("no answer from '{key}' within {waited:?}")]
    NoAnswer {
        /// The key asked.
        key: String,
        /// How long.
        waited: Duration,
    },
    /// The answer cannot be read: skip it.
    #[error("answer from '{key}': {source}")]
    Answer {
        /// The key asked.
        key: String,
        /// What is wrong with it.
        source: WireError,
    },
    /// The session is closed: open again.
    #[error("zenoh session closed: {0}")]
    Closed(String),
}

impl SubscribeError {
    /// Whether nobody answers at the endpoints yet: try again later.
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Session(SessionError::Refused { .. }))
    }
}
