//! How a recording ended, as its record `segfuse.end` tells it.
//!
//! Not whether the file is whole: a run that was interrupted leaves a whole file of a part.

use super::contents::Contents;
use super::message::Kind;
use super::metadata::END_RECORD;
use crate::data::Ending;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;

const ENDED: &str = "ended";
const REASON: &str = "ended_reason";
const FRAMES_EXPECTED: &str = "frames_expected";

/// How a recording ended. Files of other programs, and those that were cut, do not say it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecordedEnding {
    /// `complete`, `interrupted`, or `failed` and why.
    #[serde(serialize_with = "in_words")]
    pub ending: Ending,
    /// Frames that it was to have, where that was known.
    pub frames_expected: Option<u64>,
    /// Frames that it has, or answers where it was told to leave out the frames.
    pub frames_recorded: u64,
}

fn in_words<S: Serializer>(ending: &Ending, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(ending)
}

impl RecordedEnding {
    pub(super) fn read(contents: &Contents) -> Option<Self> {
        let map = &contents.metadata_record(END_RECORD)?.metadata;
        let ending = Ending::from_words(map.get(ENDED)?, map.get(REASON).map(String::as_str))?;
        let frames = contents.count(Kind::Jpeg) + contents.count(Kind::Raw);
        Some(Self {
            ending,
            frames_expected: map.get(FRAMES_EXPECTED).and_then(|count| count.parse().ok()),
            frames_recorded: frames.max(contents.count(Kind::Mask)),
        })
    }

    /// Whether it has all that it was to have, as far as that is known.
    pub fn is_whole(&self) -> bool {
        self.ending == Ending::Complete && self.frames_expected.is_none_or(|expected| self.frames_recorded >= expected)
    }
}

/// What the record says of `ending`.
pub(super) fn to_map(ending: &Ending, frames_expected: Option<u64>) -> BTreeMap<String, String> {
    let reason = ending.reason().map(|reason| (REASON.to_owned(), reason.to_owned()));
    let frames = frames_expected.map(|frames| (FRAMES_EXPECTED.to_owned(), frames.to_string()));
    [(ENDED.to_owned(), ending.word().to_owned())].into_iter().chain(reason).chain(frames).collect()
}

impl fmt::Display for RecordedEnding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ending, frames_expected, frames_recorded } = self;
        match frames_expected {
            // A recording of a run whose trip was damaged: nobody ended it early, and still it is not whole.
            Some(expected) if *ending == Ending::Complete && frames_recorded < expected => {
                let missing = expected - frames_recorded;
                write!(f, "it ran to its end, but {missing} of {expected} frames are missing")
            }
            Some(expected) => write!(f, "{ending} ({frames_recorded} of {expected} frames)"),
            None => write!(f, "{ending} ({frames_recorded} frames)"),
        }
    }
}
