//! The trip file: everything that was seen and everything that was answered, in one MCAP file.
//!
//! ```text
//! events ─▶ Recorder ─queue─▶ TripWriter ─▶ trip.mcap ─▶ TripReader ─▶ events, as they were
//! masks  ─▶     (a Sink)                        ├──────▶ Perceptions, Lookup  (evaluation)
//! other recordings ─▶ import ─▶ TripWriter      └──────▶ info, export, recover
//! ```
//!
//! A file cut at any byte opens up to its last complete chunk. What the bytes mean is in
//! `docs/trip-format.md`; the messages of our own are in `proto/segfuse.proto`.

mod chunk;
mod container;
mod contents;
mod ending;
mod export;
mod file;
pub mod import;
mod info;
mod label_png;
mod losses;
mod message;
mod messages;
mod metadata;
mod names;
mod pace;
mod perceptions;
mod queue;
mod reader;
mod recorder;
mod recover;
pub mod rotation;
mod summary;
mod writer;
mod zero;

pub use crate::data::Calibration;
pub use ending::{RecordedEnding, SourceCondition};
pub use export::{ExportReport, Selection, export, export_states, export_until, read_label_png, write_label_png};
pub use info::{Condition, ImageInfo, ImageKind, TopicInfo, TripInfo, info, info_unless};
pub use label_png::encode_label_png;
pub use losses::Losses;
pub use metadata::{DbcText, FORMAT_VERSION, NetworkIdentity, TripMetadata};
pub use names::FrameNames;
pub use perceptions::{Lookup, Perceptions};
pub use reader::{Range, TripReader};
pub use recorder::{Recorder, RecorderHandle, RecordingReport};
pub use recover::{LostSpan, RecoveryReport, recover, recover_unless};
pub use summary::TripSummary;
pub use writer::{Compression, Config, TripWriter, WhenFull};

use crate::data::Stamp;
use std::path::{Path, PathBuf};

/// Why a trip cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum TripError {
    /// The operating system refused. Recovery: stop; mend the path or free space.
    #[error("{path}: cannot {action}: {source}{}", remedy(action, source))]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The system's answer.
        source: std::io::Error,
    },
    /// Not an MCAP file, or one that no trip reader can use. Recovery: stop.
    #[error("{path}: not a trip: {reason}")]
    NotATrip {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// A part of the file is damaged. Recovery: skip it and count.
    #[error("{path}: damaged at byte {offset}: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the damaged record starts.
        offset: u64,
        /// What does not fit.
        reason: String,
    },
    /// One message does not hold what its topic says. Recovery: skip it and count.
    #[error("{topic} at {stamp} s: {reason}")]
    Message {
        /// The topic.
        topic: String,
        /// The message's log time.
        stamp: Stamp,
        /// What does not fit.
        reason: String,
    },
    /// More overlapping chunks than fit in memory. Recovery: stop; `segfuse trip recover` rewrites the file.
    #[error(
        "{path}: overlapping chunks need {needed} bytes at once, at most {limit}: rewrite it with `segfuse trip recover`"
    )]
    Overlap {
        /// The file.
        path: PathBuf,
        /// Bytes that would have to be open.
        needed: u64,
        /// The bound.
        limit: u64,
    },
    /// A value cannot be stored. Recovery: skip it and count.
    #[error("cannot be stored: {0}")]
    Unstorable(String),
    /// The file could not be written. Recovery: stop writing; what was written stays readable.
    #[error("{path}: cannot write: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// The writer's or the system's answer.
        source: mcap::McapError,
    },
    /// Nothing of the file is readable. Recovery: stop.
    #[error("{path}: nothing can be recovered: {reason}")]
    Unrecoverable {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Two programs would remove each other's files. Recovery: stop.
    #[error("{folder}: another program records into this folder: end it, or give this one a folder of its own")]
    FolderTaken {
        /// The folder.
        folder: PathBuf,
    },
    /// Whoever asked for it does not wait any more. Recovery: stop; nothing was left half made.
    #[error("stopped before its end")]
    Stopped,
}

/// What to do about a path that is not there.
fn remedy(action: &str, error: &std::io::Error) -> &'static str {
    match (error.kind(), action) {
        (std::io::ErrorKind::NotFound, "record into") => "; make the folder, or mount its disk",
        (std::io::ErrorKind::PermissionDenied, "record into") => "; let the user that runs this program write there",
        (std::io::ErrorKind::NotADirectory, "record into") => "; name a folder",
        (std::io::ErrorKind::NotFound, "create") => "; make its folder first",
        (std::io::ErrorKind::NotFound, "open") => {
            "; look at the path, or make a trip with `segfuse render` or `segfuse trip import`"
        }
        _ => "",
    }
}

impl TripError {
    fn io(path: &Path, action: &'static str, source: std::io::Error) -> Self {
        Self::Io { path: path.to_owned(), action, source }
    }

    fn unless(stopped: &dyn Fn() -> bool) -> Result<(), Self> {
        if stopped() { Err(Self::Stopped) } else { Ok(()) }
    }

    /// Whether reading can go on after it.
    pub fn is_skippable(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Message { .. } | Self::Unstorable(_))
    }
}
