//! A recorded trip as a source: its events in order of arrival, as they were.
//!
//! Masks inside are answers, not events: [`super::Perceptions`] reads them.

use super::file::TripFile;
use super::losses::{Losses, is_frame};
use super::message::{Kind, decode_event, decode_late, decode_sequence};
use super::messages::{Message, Messages, Wanted};
use super::metadata::RECORD;
use super::names::{FrameNames, NAMES_RECORD};
use super::zero;
use super::{RecordedEnding, SourceCondition, TripError, TripMetadata};
use crate::data::{Event, FrameId, LateKeys, Stamp};
use crate::source::{Source, SourceError};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A part of a trip, counted from its zero ([`TripReader::zero`]). Default: all of it.
///
/// Frames, their labels and their masks belong to it by the frame's stamp, everything else by its arrival.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// Leaves out what is earlier; zero leaves out nothing.
    pub from: Option<Duration>,
    /// Leaves out what is later.
    pub until: Option<Duration>,
}

impl Range {
    pub(super) fn wanted(self, trip: &Arc<TripFile>, kinds: fn(Kind) -> bool) -> Wanted {
        // What the vehicle said before the first frame belongs to a part that begins with it.
        let from = self.from.filter(|from| !from.is_zero());
        if from.or(self.until).is_none() {
            return Wanted::all(kinds);
        }
        let zero = zero::zero(trip);
        let at = |offset: Option<Duration>, open: Stamp| offset.map_or(open, |offset| zero.after(offset));
        Wanted { from: at(from, Stamp::ZERO), until: at(self.until, Stamp::MAX), kinds }
    }
}

/// The events of a trip file.
///
/// ```no_run
/// use segfuse::source::Source;
/// use segfuse::trip::{Range, TripReader};
/// let mut trip = TripReader::open("drive.mcap".as_ref(), Range::default())?;
/// while let Some(event) = trip.next()? {
///     println!("{}", event.arrival());
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct TripReader {
    messages: Messages,
    wanted: Wanted,
    metadata: TripMetadata,
    whole: bool,
    /// A message that waits until what was lost before it is told.
    held: Option<Message>,
    /// The frame that comes next and its driver's number.
    sequence: Option<(FrameId, u32)>,
    last: Stamp,
}

impl TripReader {
    /// Opens `path`; an unfinished or damaged file as far as it is readable, with a warning.
    pub fn open(path: &Path, range: Range) -> Result<Self, TripError> {
        let trip = Arc::new(TripFile::open(path)?);
        let (metadata, notes) = read_metadata(&trip);
        for note in &notes {
            tracing::warn!(path = %path.display(), %note, "trip metadata");
        }
        let wanted = range.wanted(&trip, is_event);
        let whole = range == Range::default();
        let (messages, last) = (Messages::new(trip, wanted), Stamp::ZERO);
        Ok(Self { messages, wanted, metadata, whole, held: None, sequence: None, last })
    }

    /// What the trip says of itself.
    pub fn metadata(&self) -> &TripMetadata {
        &self.metadata
    }

    /// Whether its writer finished it and no damage was seen on opening.
    pub fn is_complete(&self) -> bool {
        let contents = &self.messages.trip.contents;
        contents.finished && contents.damage.is_empty()
    }

    /// Whether its writer finished it: a file that was cut ends where its last whole chunk does.
    pub fn is_finished(&self) -> bool {
        self.messages.trip.contents.finished
    }

    /// What became of this file and of those that it was made from, as far as it has been read.
    pub fn condition(&self) -> SourceCondition {
        let found = self.losses();
        let own = SourceCondition {
            finished: self.is_finished(),
            lost_frames: found.frames,
            lost_messages: found.messages.values().sum(),
            uncounted_parts: found.uncounted,
        };
        SourceCondition::recorded(&self.messages.trip.contents).map_or(own, |earlier| own.after(earlier))
    }

    /// Whether a camera frame that can be read lies in the part asked for. Reads up to the first one.
    pub fn has_frame(&self) -> Result<bool, TripError> {
        let mut frames = Messages::new(Arc::clone(&self.messages.trip), Wanted { kinds: is_frame, ..self.wanted });
        loop {
            match frames.next() {
                Ok(None) => return Ok(false),
                Ok(Some(frame)) if decode_event(frame.kind, frame.head(), frame.data.clone()).is_ok() => {
                    return Ok(true);
                }
                Err(error) if !error.is_skippable() => return Err(error),
                Ok(Some(_)) | Err(_) => (),
            }
        }
    }

    /// Arrival of the first and last message of the whole file; `None` if there is none.
    pub fn span(&self) -> Option<(Stamp, Stamp)> {
        self.messages.trip.contents.span()
    }

    /// From where the trip's seconds are counted: the stamp of its first frame, or, of a run made from a part of
    /// another trip, that trip's zero.
    pub fn zero(&self) -> Stamp {
        zero::zero(&self.messages.trip)
    }

    /// Where the part asked for begins on the timeline.
    pub fn start(&self) -> Stamp {
        self.span().map_or(self.wanted.from, |(first, _)| first.max(self.wanted.from))
    }

    /// Frames a second in the part asked for, by the median interval of its first frames; `None` below two frames.
    pub fn frame_rate_hz(&self) -> Option<f64> {
        zero::frame_rate_hz(&self.messages.trip, self.wanted)
    }

    /// How the recording ended, if the file says so.
    pub fn ending(&self) -> Option<RecordedEnding> {
        RecordedEnding::read(&self.messages.trip.contents)
    }

    /// Masks recorded in the whole file.
    pub fn masks(&self) -> u64 {
        self.messages.trip.contents.count(Kind::Mask)
    }

    /// Camera frames recorded in the whole file.
    pub fn frame_count(&self) -> u64 {
        let contents = &self.messages.trip.contents;
        contents.count(Kind::Jpeg) + contents.count(Kind::Raw)
    }

    /// What could not be read so far.
    pub fn losses(&self) -> &Losses {
        self.messages.losses.found()
    }

    /// The key frames that were late in the run that this trip records, by the frames that were answered without them.
    /// What cannot be read is left out with a warning.
    pub fn late_keys(&self) -> Result<LateKeys, TripError> {
        let trip = &self.messages.trip;
        let mut late = LateKeys::new();
        if trip.contents.count(Kind::Late) == 0 {
            return Ok(late);
        }
        let mut messages = Messages::of_kind(Arc::clone(trip), Kind::Late, Wanted::all(|kind| kind == Kind::Late));
        loop {
            let read = messages.next().and_then(|message| message.map(|message| decode_late_key(&message)).transpose());
            match read {
                Ok(None) => return Ok(late),
                Ok(Some((frame, key))) => _ = late.insert(frame, key),
                Err(error) if error.is_skippable() => tracing::warn!(%error, "a late key frame is not repeated"),
                Err(error) => return Err(error),
            }
        }
    }

    /// The next event. After an error that [`TripError::is_skippable`] more may follow.
    ///
    /// Frames of a damaged part come as [`Event::Lost`], as those that the camera lost do.
    pub fn next_event(&mut self) -> Result<Option<Event>, TripError> {
        loop {
            let message = match self.held.take() {
                Some(message) => Some(message),
                None => self.messages.next()?,
            };
            self.last = message.as_ref().map_or(self.last, |message| message.head().arrival);
            if let Some(frames) = self.messages.losses.take_frames() {
                self.held = message;
                return Ok(Some(Event::Lost { stamp: self.last, frames }));
            }
            let Some(message) = message else { return Ok(None) };
            if let Some(event) = self.decode(&message)? {
                return Ok(Some(event));
            }
        }
    }

    fn decode(&mut self, message: &Message) -> Result<Option<Event>, TripError> {
        if message.kind == Kind::Sequence {
            let read = decode_sequence(message.data.clone());
            self.sequence = Some(read.map_err(|reason| message.refuse(reason))?);
            return Ok(None);
        }
        let mut event = decode_event(message.kind, message.head(), message.data.clone());
        if let Ok(Some(Event::Frame(frame))) = &mut event {
            frame.sequence = self.sequence.take().filter(|(id, _)| *id == frame.id).map(|(_, number)| number);
        }
        event.map_err(|reason| {
            if is_frame(message.kind) {
                self.messages.losses.add_frame();
            }
            message.refuse(reason)
        })
    }
}

impl Source for TripReader {
    fn next(&mut self) -> Result<Option<Event>, SourceError> {
        self.next_event().map_err(source_error)
    }

    fn frames(&self) -> Option<u64> {
        self.whole.then(|| self.frame_count())
    }
}

fn source_error(error: TripError) -> SourceError {
    if error.is_skippable() { SourceError::Skipped(error.to_string()) } else { SourceError::Stopped(Box::new(error)) }
}

fn decode_late_key(message: &Message) -> Result<(FrameId, FrameId), TripError> {
    decode_late(message.data.clone()).map_err(|reason| message.refuse(reason))
}

/// Whether messages of `kind` are events.
pub(super) fn is_event(kind: Kind) -> bool {
    !matches!(kind, Kind::Mask | Kind::Confidence | Kind::Age | Kind::Info | Kind::Late)
}

/// The metadata of `trip`, and what could not be read of it.
pub(super) fn read_metadata(trip: &TripFile) -> (TripMetadata, Vec<String>) {
    let (mut metadata, notes) = match trip.contents.metadata_record(RECORD) {
        Some(record) => TripMetadata::from_map(&record.metadata),
        None => (TripMetadata::default(), vec!["it has no metadata record of segfuse".into()]),
    };
    let names = trip.contents.metadata_record(NAMES_RECORD);
    metadata.frame_names = names.map(|record| FrameNames::from_map(&record.metadata)).unwrap_or_default();
    (metadata, notes)
}
