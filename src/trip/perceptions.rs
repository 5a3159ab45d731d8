//! The answers recorded in a trip, and the frames and truth that belong to them.
//!
//! [`Perceptions`] streams in order; [`Lookup`] finds single frames by their stamp, for pictures
//! of the worst of them.

use super::file::TripFile;
use super::losses::Losses;
use super::message::{Kind, PerceptionHead, decode_event, decode_late, decode_mask, decode_plane};
use super::messages::{Message, Messages, Wanted, wanted_messages};
use super::reader::{Range, read_metadata};
use super::zero;
use super::{RecordedEnding, SourceCondition, TripError, TripMetadata};
use crate::data::{Event, Frame, FrameId, GroundTruth, LabelMask, Perception, Plane, Stamp};
use prost::bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;

/// Opened chunks that a lookup keeps: neighbours in time mostly share one.
const KEPT_CHUNKS: usize = 4;

/// Every recorded perception, in order. An error that [`TripError::is_skippable`] may be followed by more.
#[derive(Debug)]
pub struct Perceptions {
    messages: Messages,
    metadata: TripMetadata,
    gathered: Option<Gathered>,
    /// The frame that comes next and the key frame that was late on it.
    late: Option<(FrameId, FrameId)>,
}

/// A perception whose planes have not all come yet.
#[derive(Debug)]
struct Gathered {
    head: PerceptionHead,
    late: Option<FrameId>,
    mask: Option<LabelMask>,
    age: Option<Plane>,
    confidence: Option<Plane>,
}

impl Perceptions {
    /// Opens the masks of `path`.
    pub fn open(path: &Path, range: Range) -> Result<Self, TripError> {
        let trip = Arc::new(TripFile::open(path)?);
        let (metadata, _) = read_metadata(&trip);
        let wanted = range
            .wanted(&trip, |kind| matches!(kind, Kind::Info | Kind::Late | Kind::Mask | Kind::Confidence | Kind::Age));
        Ok(Self { messages: Messages::new(trip, wanted), metadata, gathered: None, late: None })
    }

    /// What the trip says of itself.
    pub fn metadata(&self) -> &TripMetadata {
        &self.metadata
    }

    /// From where the trip's seconds are counted.
    pub fn zero(&self) -> Stamp {
        zero::zero(&self.messages.trip)
    }

    /// What could not be read so far.
    pub fn losses(&self) -> &Losses {
        self.messages.losses.found()
    }

    /// In what condition the trip was that this one was made from, if the file says so.
    pub fn source_condition(&self) -> Option<SourceCondition> {
        SourceCondition::recorded(&self.messages.trip.contents)
    }

    /// How the run ended, if the file says so.
    pub fn ending(&self) -> Option<RecordedEnding> {
        RecordedEnding::read(&self.messages.trip.contents)
    }

    fn advance(&mut self) -> Result<Option<Perception>, TripError> {
        while let Some(message) = self.messages.next()? {
            let taken = self.take(&message).map_err(|reason| message.refuse(reason));
            if let Some(perception) = taken? {
                return Ok(Some(perception));
            }
        }
        let unfinished = self.gathered.take();
        unfinished.map_or(Ok(None), |gathered| Err(gathered.incomplete()))
    }

    fn take(&mut self, message: &Message) -> Result<Option<Perception>, String> {
        if message.kind == Kind::Late {
            self.late = Some(decode_late(message.data.clone())?);
            return Ok(None);
        }
        if message.kind == Kind::Info {
            let head = PerceptionHead::decode(message.data.clone())?;
            let late = self.late.take().filter(|(frame, _)| *frame == head.frame).map(|(_, key)| key);
            let new = Gathered { head, late, mask: None, age: None, confidence: None };
            let unfinished = self.gathered.replace(new);
            return unfinished.map_or(Ok(None), |gathered| Err(gathered.incomplete().to_string()));
        }
        let Some(gathered) = &mut self.gathered else { return Err("a plane without its /perception/info".into()) };
        gathered.add(message)?;
        if !gathered.is_whole() {
            return Ok(None);
        }
        self.gathered.take().map(Gathered::into_perception).transpose()
    }
}

impl Iterator for Perceptions {
    type Item = Result<Perception, TripError>;
    fn next(&mut self) -> Option<Self::Item> {
        self.advance().transpose()
    }
}

impl Gathered {
    fn add(&mut self, message: &Message) -> Result<(), String> {
        if message.header.publish_time != self.head.stamp.ns() {
            return Err(format!("a plane of another frame than the one at {} s", self.head.stamp));
        }
        match message.kind {
            Kind::Mask => self.mask = Some(decode_mask(message.data.clone())?),
            Kind::Age => self.age = Some(decode_plane(message.data.clone())?),
            _ => self.confidence = Some(decode_plane(message.data.clone())?),
        }
        Ok(())
    }

    fn is_whole(&self) -> bool {
        self.mask.is_some()
            && self.age.is_some() == self.head.has_age
            && self.confidence.is_some() == self.head.has_confidence
    }

    fn into_perception(self) -> Result<Perception, String> {
        let mask = self.mask.ok_or("no mask")?;
        if mask.hash() != self.head.mask_hash {
            return Err(format!("mask hash {:016x}, recorded {:016x}", mask.hash(), self.head.mask_hash));
        }
        let other = [&self.age, &self.confidence].into_iter().flatten().find(|plane| plane.size() != mask.size());
        if let Some(plane) = other {
            return Err(format!("a plane of {} beside a mask of {}", plane.size(), mask.size()));
        }
        let (frame, stamp, origin) = (self.head.frame, self.head.stamp, self.head.origin);
        let (age, confidence, disagreement) = (self.age, self.confidence, self.head.disagreement);
        Ok(Perception { frame, stamp, origin, mask, age, confidence, disagreement, late: self.late })
    }

    fn incomplete(&self) -> TripError {
        let reason = format!("the planes of frame {} are not all there", self.head.frame.0);
        TripError::Message { topic: Kind::Info.topic().into(), stamp: self.head.stamp, reason }
    }
}

/// Frames and truth by stamp. Reads the file once on opening, then single chunks.
#[derive(Debug)]
pub struct Lookup {
    trip: Arc<TripFile>,
    metadata: TripMetadata,
    frames: BTreeMap<Stamp, usize>,
    truths: BTreeMap<Stamp, usize>,
    kept: VecDeque<(usize, Bytes)>,
}

impl Lookup {
    /// Opens `path`; chunks that cannot be read are left out with a warning.
    pub fn open(path: &Path) -> Result<Self, TripError> {
        let trip = Arc::new(TripFile::open(path)?);
        let (metadata, _) = read_metadata(&trip);
        let (frames, truths, kept) = (BTreeMap::new(), BTreeMap::new(), VecDeque::new());
        let mut lookup = Self { trip, metadata, frames, truths, kept };
        (0..lookup.trip.contents.chunks.len()).for_each(|chunk| lookup.index(chunk));
        Ok(lookup)
    }

    /// What the trip says of itself.
    pub fn metadata(&self) -> &TripMetadata {
        &self.metadata
    }

    /// How many frames there are.
    pub fn frame_count(&self) -> u64 {
        self.frames.len() as u64
    }

    /// Whether there is a frame stamped `stamp`.
    pub fn has_frame(&self, stamp: Stamp) -> bool {
        self.frames.contains_key(&stamp)
    }

    /// Stamps of all frames that have truth, in order.
    pub fn truth_stamps(&self) -> impl Iterator<Item = Stamp> {
        self.truths.keys().copied()
    }

    /// The frame stamped `stamp`.
    pub fn frame(&mut self, stamp: Stamp) -> Result<Option<Frame>, TripError> {
        let Some(&chunk) = self.frames.get(&stamp) else { return Ok(None) };
        match self.event(chunk, stamp, |kind| matches!(kind, Kind::Jpeg | Kind::Raw))? {
            Some(Event::Frame(frame)) => Ok(Some(frame)),
            _ => Ok(None),
        }
    }

    /// The true labels of the frame stamped `stamp`.
    pub fn truth(&mut self, stamp: Stamp) -> Result<Option<GroundTruth>, TripError> {
        let Some(&chunk) = self.truths.get(&stamp) else { return Ok(None) };
        match self.event(chunk, stamp, |kind| kind == Kind::Truth)? {
            Some(Event::Truth(truth)) => Ok(Some(truth)),
            _ => Ok(None),
        }
    }

    fn index(&mut self, chunk: usize) {
        let wanted = Wanted::all(|kind| matches!(kind, Kind::Jpeg | Kind::Raw | Kind::Truth));
        match self.messages(chunk, &wanted) {
            Ok(messages) => messages.iter().for_each(|message| self.note(chunk, message)),
            Err(error) => tracing::warn!(%error, "left out"),
        }
    }

    fn note(&mut self, chunk: usize, message: &Message) {
        let stamps = if message.kind == Kind::Truth { &mut self.truths } else { &mut self.frames };
        stamps.insert(message.head().capture, chunk);
    }

    fn event(&mut self, chunk: usize, stamp: Stamp, kinds: fn(Kind) -> bool) -> Result<Option<Event>, TripError> {
        let messages = self.messages(chunk, &Wanted::all(kinds))?;
        let Some(message) = messages.iter().rev().find(|message| message.head().capture == stamp) else {
            return Ok(None);
        };
        let event = decode_event(message.kind, message.head(), message.data.clone());
        event.map_err(|reason| message.refuse(reason))
    }

    fn messages(&mut self, chunk: usize, wanted: &Wanted) -> Result<VecDeque<Message>, TripError> {
        let bytes = self.open_chunk(chunk)?;
        let damaged = |reason| self.trip.damaged(self.trip.contents.chunks[chunk].offset, reason);
        wanted_messages(&self.trip, &bytes, wanted).map(|(messages, _)| messages).map_err(damaged)
    }

    fn open_chunk(&mut self, chunk: usize) -> Result<Bytes, TripError> {
        if let Some((_, bytes)) = self.kept.iter().find(|(kept, _)| *kept == chunk) {
            return Ok(bytes.clone());
        }
        let bytes = self.trip.chunk(&self.trip.contents.chunks[chunk])?;
        self.kept.truncate(KEPT_CHUNKS - 1);
        self.kept.push_front((chunk, bytes.clone()));
        Ok(bytes)
    }
}
