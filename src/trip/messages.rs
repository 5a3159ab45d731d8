//! The messages of a trip in order of log time, a few chunks in memory at once.
//!
//! Chunks are opened in order of their first message; a heap merges those that overlap. Messages
//! share their chunk's memory: nothing is copied.

use super::TripError;
use super::chunk::Records;
use super::contents::ChunkPlace;
use super::file::TripFile;
use super::message::{Head, Kind};
use crate::data::Stamp;
use mcap::records::{MessageHeader, Record, op};
use prost::bytes::Bytes;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Bytes of overlapping chunks that may be open at once: four of the largest.
const MAX_OPEN_BYTES: u64 = 1 << 30;
/// The longest that a picture takes from its exposure to its arrival, for the choice of chunks.
const MAX_LATENCY: Duration = Duration::from_secs(10);

/// A message of a channel of ours.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) kind: Kind,
    pub(super) topic: Arc<str>,
    pub(super) header: MessageHeader,
    pub(super) classes: Option<Arc<str>>,
    pub(super) data: Bytes,
}

impl Message {
    pub(super) fn head(&self) -> Head<'_> {
        Head {
            sequence: self.header.sequence,
            arrival: Stamp::from_ns(self.header.log_time),
            capture: Stamp::from_ns(self.header.publish_time),
            classes: self.classes.as_ref(),
        }
    }

    /// The error of this message.
    pub(super) fn refuse(&self, reason: String) -> TripError {
        let stamp = Stamp::from_ns(self.header.log_time);
        TripError::Message { topic: self.topic.to_string(), stamp, reason }
    }
}

/// Which messages are wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) from: Stamp,
    pub(super) until: Stamp,
    pub(super) kinds: fn(Kind) -> bool,
}

impl Wanted {
    /// All messages of the kinds that `kinds` accepts.
    pub(super) fn all(kinds: fn(Kind) -> bool) -> Self {
        Self { from: Stamp::ZERO, until: Stamp::MAX, kinds }
    }

    /// Whether a chunk may hold such messages. Pictures arrive after their stamps, by which they are chosen.
    fn may_be_in(&self, place: &ChunkPlace) -> bool {
        place.end >= self.from && place.start <= self.until.after(MAX_LATENCY)
    }

    /// Whether a message belongs: all that is of a frame by that frame's stamp, so that it stays together.
    fn has(&self, kind: Kind, header: &MessageHeader) -> bool {
        let at = if is_of_a_frame(kind) { header.publish_time } else { header.log_time };
        (self.kinds)(kind) && (self.from.ns()..=self.until.ns()).contains(&at)
    }
}

/// Whether a message is a frame or something that is said of one, whose `publish_time` is the frame's stamp.
fn is_of_a_frame(kind: Kind) -> bool {
    !matches!(kind, Kind::Can | Kind::State | Kind::Lost | Kind::Tick)
}

/// A stream over an open file.
#[derive(Debug)]
pub(super) struct Messages {
    pub(super) trip: Arc<TripFile>,
    wanted: Wanted,
    /// Not opened yet, by first log time.
    closed: VecDeque<ChunkPlace>,
    open: BTreeMap<u64, OpenChunk>,
    /// The next message of each open chunk: `(log time, chunk offset)`.
    heads: BinaryHeap<Reverse<(u64, u64)>>,
    open_bytes: u64,
}

#[derive(Debug)]
struct OpenChunk {
    size: u64,
    messages: VecDeque<Message>,
}

impl Messages {
    pub(super) fn new(trip: Arc<TripFile>, wanted: Wanted) -> Self {
        let mut places: Vec<_> = trip.contents.chunks.clone();
        places.retain(|place| wanted.may_be_in(place));
        places.sort_by_key(|place| (place.start, place.offset));
        let (open, heads) = (BTreeMap::new(), BinaryHeap::new());
        Self { trip, wanted, closed: places.into(), open, heads, open_bytes: 0 }
    }

    /// The next message; an error that [`TripError::is_skippable`] may be followed by more.
    pub(super) fn next(&mut self) -> Result<Option<Message>, TripError> {
        while let Some(place) = self.closed.front().copied().filter(|place| self.is_due(place)) {
            self.closed.pop_front();
            self.open_chunk(&place)?;
        }
        let Some(Reverse((_, offset))) = self.heads.pop() else { return Ok(None) };
        Ok(self.take_from(offset))
    }

    fn is_due(&self, place: &ChunkPlace) -> bool {
        self.heads.peek().is_none_or(|Reverse((log_time, _))| place.start.ns() <= *log_time)
    }

    fn open_chunk(&mut self, place: &ChunkPlace) -> Result<(), TripError> {
        let bytes = self.trip.chunk(place)?;
        let size = bytes.len() as u64;
        if self.open_bytes + size > MAX_OPEN_BYTES {
            let (needed, limit) = (self.open_bytes + size, MAX_OPEN_BYTES);
            self.closed.clear();
            return Err(TripError::Overlap { path: self.trip.path.clone(), needed, limit });
        }
        let messages = wanted_messages(&self.trip, &bytes, &self.wanted);
        let mut messages = messages.map_err(|reason| self.trip.damaged(place.offset, reason))?;
        messages.make_contiguous().sort_by_key(|message| message.header.log_time);
        if let Some(first) = messages.front() {
            self.heads.push(Reverse((first.header.log_time, place.offset)));
            self.open.insert(place.offset, OpenChunk { size, messages });
            self.open_bytes += size;
        }
        Ok(())
    }

    fn take_from(&mut self, offset: u64) -> Option<Message> {
        let chunk = self.open.get_mut(&offset)?;
        let message = chunk.messages.pop_front();
        if let Some(next) = chunk.messages.front() {
            self.heads.push(Reverse((next.header.log_time, offset)));
        } else {
            self.open_bytes -= chunk.size;
            self.open.remove(&offset);
        }
        message
    }
}

/// The wanted messages of one opened chunk, in file order.
pub(super) fn wanted_messages(trip: &TripFile, bytes: &Bytes, wanted: &Wanted) -> Result<VecDeque<Message>, String> {
    let mut messages = VecDeque::new();
    for record in Records::new(bytes) {
        let (opcode, body) = record?;
        if opcode != op::MESSAGE {
            continue;
        }
        let header = message_header(&bytes[body.clone()])?;
        let Some(channel) = trip.contents.kinds.get(&header.channel_id) else {
            return Err(format!("a message of channel {}, which nothing describes", header.channel_id));
        };
        let Some(kind) = channel.kind.filter(|&kind| wanted.has(kind, &header)) else {
            continue;
        };
        let data = bytes.slice(body.start + MESSAGE_HEAD..body.end);
        let (topic, classes) = (Arc::clone(&channel.topic), channel.classes.clone());
        messages.push_back(Message { kind, topic, header, classes, data });
    }
    Ok(messages)
}

/// Bytes of a message's header: channel, sequence and two times.
pub(super) const MESSAGE_HEAD: usize = 2 + 4 + 8 + 8;

/// The header of a message record.
pub(super) fn message_header(body: &[u8]) -> Result<MessageHeader, String> {
    match mcap::parse_record(op::MESSAGE, body).map_err(|error| error.to_string())? {
        Record::Message { header, .. } => Ok(header),
        _ => Err("not a message".into()),
    }
}
