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
const SOURCE_FINISHED: &str = "source_finished";
const SOURCE_LOST_FRAMES: &str = "source_lost_frames";
const SOURCE_LOST_MESSAGES: &str = "source_lost_messages";
const SOURCE_UNCOUNTED_PARTS: &str = "source_uncounted_parts";

/// The condition of the trip that a run was made from. Whole: finished, and nothing lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SourceCondition {
    /// Its writer finished it; otherwise it was cut, and nothing tells what would have come.
    pub finished: bool,
    /// Camera frames in damaged parts of it.
    pub lost_frames: u64,
    /// Messages in damaged parts of it, frames included.
    pub lost_messages: u64,
    /// Damaged parts of which nothing tells what they held.
    pub uncounted_parts: u64,
}

impl SourceCondition {
    /// This one's condition together with that of the trip that it was made from.
    pub(super) fn after(self, earlier: Self) -> Self {
        Self {
            finished: self.finished && earlier.finished,
            lost_frames: self.lost_frames + earlier.lost_frames,
            lost_messages: self.lost_messages + earlier.lost_messages,
            uncounted_parts: self.uncounted_parts + earlier.uncounted_parts,
        }
    }

    /// Whether the run was made from all that there was.
    pub fn is_whole(&self) -> bool {
        self.finished && self.lost_frames + self.lost_messages + self.uncounted_parts == 0
    }

    /// What a file says of the one that it was made from: a run of a trip, or a trip that was recovered.
    pub(super) fn recorded(contents: &Contents) -> Option<Self> {
        Self::read(&contents.metadata_record(END_RECORD)?.metadata)
    }

    fn read(map: &BTreeMap<String, String>) -> Option<Self> {
        let count = |key: &str| map.get(key).and_then(|count| count.parse().ok()).unwrap_or(0);
        Some(Self {
            finished: map.get(SOURCE_FINISHED)? == "true",
            lost_frames: count(SOURCE_LOST_FRAMES),
            lost_messages: count(SOURCE_LOST_MESSAGES),
            uncounted_parts: count(SOURCE_UNCOUNTED_PARTS),
        })
    }

    /// What the record says of it.
    pub(super) fn entries(self) -> [(String, String); 4] {
        [
            (SOURCE_FINISHED, self.finished.to_string()),
            (SOURCE_LOST_FRAMES, self.lost_frames.to_string()),
            (SOURCE_LOST_MESSAGES, self.lost_messages.to_string()),
            (SOURCE_UNCOUNTED_PARTS, self.uncounted_parts.to_string()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
    }
}

impl fmt::Display for SourceCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { finished, lost_frames, lost_messages, uncounted_parts } = self;
        let cut = (!finished).then(|| "cut before its end".to_owned());
        let lost = lost_frames + lost_messages > 0;
        let lost = lost.then(|| format!("damaged: {lost_frames} frames, {lost_messages} messages in all are lost"));
        let uncounted = *uncounted_parts > 0;
        let uncounted = uncounted.then(|| format!("{uncounted_parts} damaged parts of unknown content"));
        let told: Vec<String> = [cut, lost, uncounted].into_iter().flatten().collect();
        if told.is_empty() { f.write_str("whole") } else { f.write_str(&told.join("; ")) }
    }
}

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
    /// The condition of the trip that it was made from; `None` where it was not made from a trip.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceCondition>,
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
            source: SourceCondition::read(map),
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
        let Self { ending, frames_expected, frames_recorded, .. } = self;
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
