//! Other recordings brought into a trip: pictures, a video, a comma2k19 folder, a candump log.
//!
//! Each importer is a [`Source`]; [`Merged`] puts several in one order of time,
//! [`crate::source::can::Decoding`] adds what CAN frames mean, [`write_trip`] writes the result.
//!
//! ```no_run
//! use segfuse::trip::{Config, TripWriter, import};
//! let mut log = import::CandumpLog::open("drive.log".as_ref(), &import::CandumpConfig::default())?;
//! let writer = TripWriter::create("drive.mcap".as_ref(), &log.metadata(), &Config::default())?;
//! let report = import::write_trip(&mut log, writer, &mut |_event| ())?;
//! println!("{} messages", report.summary.messages.values().sum::<u64>());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod candump;
mod comma2k19;
mod images;
mod merged;
mod video;

pub use candump::{CandumpConfig, CandumpLog, Jumps};
pub use comma2k19::Comma2k19;
pub use images::{ImageFolder, ImagesConfig, RATES_HZ};
pub use merged::Merged;
pub use video::{VideoFile, VideoTools};

use super::{TripError, TripSummary, TripWriter};
use crate::data::{Ending, Event};
use crate::source::{Source, SourceError};
use serde::Serialize;
use std::path::PathBuf;

/// Problems that a report lists one by one; more are only counted.
const MAX_PROBLEMS: usize = 20;

/// Why a recording cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The operating system refused. Recovery: stop; mend the path.
    #[error("{path}: cannot {action}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The system's answer.
        source: std::io::Error,
    },
    /// Not a recording of the sort that was said. Recovery: stop.
    #[error("{path}: {reason}")]
    Recording {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// A program that this needs is not there. Recovery: install it.
    #[error(
        "{path}: cannot start `{program}`, which reads videos: {source}; install FFmpeg (Debian: apt install ffmpeg)"
    )]
    Program {
        /// The file that it was to read.
        path: PathBuf,
        /// The program tried.
        program: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The recording ended early; what came before is in the trip, which is whole. Recovery: stop, and tell.
    #[error("{source}")]
    Cut {
        /// What was imported.
        report: Box<ImportReport>,
        /// Why there is no more.
        source: SourceError,
    },
    /// The trip could not be written. Recovery: stop.
    #[error(transparent)]
    Trip(#[from] TripError),
}

impl ImportError {
    fn io(path: &std::path::Path, action: &'static str, source: std::io::Error) -> Self {
        Self::Io { path: path.to_owned(), action, source }
    }

    fn recording(path: &std::path::Path, reason: impl Into<String>) -> Self {
        Self::Recording { path: path.to_owned(), reason: reason.into() }
    }
}

/// What an import did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ImportReport {
    /// What the trip holds.
    pub summary: TripSummary,
    /// Whether the user ended it early.
    pub interrupted: bool,
    /// Frames that there would have been in all, where that is known.
    pub frames_expected: Option<u64>,
    /// Items that could not be read or stored.
    pub skipped: u64,
    /// The first 20 of them, in words. To be told: the log has them only at `debug`.
    pub problems: Vec<String>,
}

impl ImportReport {
    fn skip(&mut self, reason: String) {
        tracing::debug!(%reason, "import");
        self.skipped += 1;
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(reason);
        }
    }
}

/// Writes all events of `source`; `progress` sees each before it is written. The trip is finished also where the source
/// stops early.
pub fn write_trip(
    source: &mut dyn Source,
    mut writer: TripWriter,
    progress: &mut dyn FnMut(&Event),
) -> Result<ImportReport, ImportError> {
    let mut report = ImportReport::default();
    let copied = copy(source, &mut writer, progress, &mut report);
    let ending = match &copied {
        Err(error) => Ending::Failed(error.to_string()),
        Ok(None) if source.was_interrupted() => Ending::Interrupted,
        Ok(None) => Ending::Complete,
        Ok(Some(cut)) => Ending::Failed(cut.to_string()),
    };
    // Only at its end a source knows what it should have held: a cut video promised more than it has.
    let frames_expected = source.frames();
    writer.note_ending(&ending, frames_expected);
    let finished = writer.finish();
    let cut = copied?;
    report.summary = finished?;
    (report.interrupted, report.frames_expected) = (ending == Ending::Interrupted, frames_expected);
    match cut {
        Some(source) => Err(ImportError::Cut { report: Box::new(report), source }),
        None => Ok(report),
    }
}

/// Copies all that comes; gives the error that ended the source early, if one did.
fn copy(
    source: &mut dyn Source,
    writer: &mut TripWriter,
    progress: &mut dyn FnMut(&Event),
    report: &mut ImportReport,
) -> Result<Option<SourceError>, ImportError> {
    loop {
        let event = match source.next() {
            Ok(Some(event)) => event,
            Ok(None) => return Ok(None),
            Err(SourceError::Skipped(reason)) => {
                report.skip(reason);
                continue;
            }
            Err(error) => return Ok(Some(error)),
        };
        progress(&event);
        match writer.write_event(&event) {
            Err(error) if error.is_skippable() => report.skip(error.to_string()),
            written => written?,
        }
    }
}
