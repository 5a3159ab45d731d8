//! CAN: decoding raw frames into vehicle state by a DBC file and signals named in configuration.
//!
//! ```text
//! Event::Can ─▶ length ─▶ checksum ─▶ counter ─▶ bits ─▶ unit, range ─▶ Event::State
//!                 └──────────┴───────────┴── refused: counted; in a row: Faulty or Frozen
//! ```
//!
//! A frame that fails a check never changes a value. A live bus is read by `bus`. Not here: silence (the aligner's
//! business: it sees time).

#[cfg(feature = "can")]
pub mod bus;
mod checksum;
mod config;
mod counter;
mod database;
mod decoder;
mod decoding;
mod layout;

pub use checksum::ChecksumRule;
pub use config::{Checksum, Config, Counter, MessageConfig, Range, SignalConfig, Unit, builtin_signals};
pub use decoder::{CanDecoder, Counts};
pub use decoding::Decoding;

/// Why frames cannot be decoded. Recovery for all: mend the file that the message names, and start again.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CanError {
    /// The DBC text is not one.
    #[error("{file}:{line}: {reason}; mend or remove that line")]
    Database {
        /// The DBC file.
        file: String,
        /// Its line, from 1; 0 where the parser cannot tell.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// More text than any DBC file has.
    #[error("{file}: {bytes} bytes are too many for a DBC file; at most {limit} are read")]
    TooLong {
        /// The DBC file.
        file: String,
        /// Its length.
        bytes: usize,
        /// The longest accepted.
        limit: usize,
    },
    /// The configuration names a message that the DBC does not have.
    #[error("{file}: no message '{message}'{close}")]
    UnknownMessage {
        /// The DBC file.
        file: String,
        /// The message named.
        message: String,
        /// Names that are close to it, as a question; empty if there are none.
        close: String,
    },
    /// The configuration names a signal that its message does not have.
    #[error("{file}: message '{message}' has no signal '{signal}'{close}")]
    UnknownSignal {
        /// The DBC file.
        file: String,
        /// The message.
        message: String,
        /// The signal named.
        signal: String,
        /// Names that are close to it, as a question; empty if there are none.
        close: String,
    },
    /// The DBC describes something that would not be decoded rightly.
    #[error("{file}: message '{message}': {reason}")]
    Unsupported {
        /// The DBC file.
        file: String,
        /// The message.
        message: String,
        /// What it is, with its numbers.
        reason: String,
    },
    /// The signals configuration contradicts itself.
    #[error("signals: {0}")]
    Config(String),
    /// No built-in signal set has this name.
    #[error("no built-in signal set '{name}'; there are: {known}")]
    UnknownSet {
        /// The name asked for.
        name: String,
        /// The names that exist.
        known: &'static str,
    },
}
