//! The messages of a trip in order of log time, a few chunks in memory at once.
//!
//! Chunks are opened in order of their first message; a heap merges those that overlap. Messages
//! share their chunk's memory: nothing is copied.

use super::TripError;
use super::chunk::Records;
use super::contents::ChunkPlace;
use super::file::TripFile;
use super::losses::{LossCounter, held, is_frame};
use super::message::{Head, Kind};
use crate::data::Stamp;
use mcap::records::{MessageHeader, Record, op};
use prost::bytes::Bytes;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::Arc;

/// Bytes of overlapping chunks that may be open at once: four of the largest.
const MAX_OPEN_BYTES: u64 = 1 << 30;

/// The longest that a picture may take from its exposure to its arrival and still be found by the former in a range.
const MAX_LATENCY_NS: i64 = 10_000_000_000;

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
    /// Whether nothing is left out for its time.
    pub(super) fn is_whole(&self) -> bool {
        self.from == Stamp::ZERO && self.until == Stamp::MAX
    }

    /// Whether `chunk` may hold wanted messages. Pictures are wanted by their capture time, which is not the log time
    /// that chunks state.
    fn may_be_in(&self, chunk: &ChunkPlace) -> bool {
        chunk.end >= self.from.offset_ns(-MAX_LATENCY_NS) && chunk.start <= self.until.offset_ns(MAX_LATENCY_NS)
    }

    /// Whether a message of `kind` lies in the range: pictures, labels and answers by the capture time that belongs to
    /// all of one frame, everything else by its arrival.
    fn takes(&self, kind: Kind, header: &MessageHeader) -> bool {
        let at = if kind.is_of_a_frame() { header.publish_time } else { header.log_time };
        (self.kinds)(kind) && (self.from.ns()..=self.until.ns()).contains(&at)
    }

    /// All messages of the kinds that `kinds` accepts.
    pub(super) fn all(kinds: fn(Kind) -> bool) -> Self {
        Self { from: Stamp::ZERO, until: Stamp::MAX, kinds }
    }
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
    pub(super) losses: LossCounter,
}

#[derive(Debug)]
struct OpenChunk {
    size: u64,
    messages: VecDeque<Message>,
}

impl Messages {
    pub(super) fn new(trip: Arc<TripFile>, wanted: Wanted) -> Self {
        let contents = &trip.contents;
        let mut places: Vec<_> = contents.chunks.iter().chain(&contents.damaged_chunks).copied().collect();
        places.retain(|place| wanted.may_be_in(place));
        places.sort_by_key(|place| (place.start, place.offset));
        let (open, heads) = (BTreeMap::new(), BinaryHeap::new());
        let losses = LossCounter::new(contents.unplaced_damage());
        Self { trip, wanted, closed: places.into(), open, heads, open_bytes: 0, losses }
    }

    /// The same without the chunks in which an index tells of no messages of `kind`.
    pub(super) fn of_kind(trip: Arc<TripFile>, kind: Kind, wanted: Wanted) -> Self {
        let mut messages = Self::new(trip, wanted);
        messages.closed.retain(|place| messages.trip.contents.may_hold(place.offset, kind));
        messages
    }

    /// The next message; an error that [`TripError::is_skippable`] may be followed by more.
    pub(super) fn next(&mut self) -> Result<Option<Message>, TripError> {
        while let Some(place) = self.closed.front().copied().filter(|place| self.is_due(place)) {
            self.closed.pop_front();
            self.open_chunk(&place)?;
        }
        let Some(Reverse((_, offset))) = self.heads.pop() else {
            self.losses.settle(&self.trip.contents, &self.wanted);
            return Ok(None);
        };
        let message = self.take_from(offset);
        if let Some(message) = &message {
            self.losses.pass(message.kind, message.header.sequence);
        }
        Ok(message)
    }

    fn is_due(&self, place: &ChunkPlace) -> bool {
        self.heads.peek().is_none_or(|Reverse((log_time, _))| place.start.ns() <= *log_time)
    }

    fn open_chunk(&mut self, place: &ChunkPlace) -> Result<(), TripError> {
        let bytes = self.trip.chunk(place).map_err(|error| self.lose(place, error))?;
        let size = bytes.len() as u64;
        if self.open_bytes + size > MAX_OPEN_BYTES {
            let (needed, limit) = (self.open_bytes + size, MAX_OPEN_BYTES);
            self.closed.clear();
            return Err(TripError::Overlap { path: self.trip.path.clone(), needed, limit });
        }
        let messages = wanted_messages(&self.trip, &bytes, &self.wanted);
        let (mut messages, undescribed) =
            messages.map_err(|reason| self.lose(place, self.trip.damaged(place.offset, reason)))?;
        self.losses.add_undescribed(undescribed);
        messages.make_contiguous().sort_by_key(|message| message.header.log_time);
        if let Some(first) = messages.front() {
            self.heads.push(Reverse((first.header.log_time, place.offset)));
            self.open.insert(place.offset, OpenChunk { size, messages });
            self.open_bytes += size;
        }
        Ok(())
    }

    /// Counts what the chunk at `place` held; the error says it too.
    fn lose(&mut self, place: &ChunkPlace, error: TripError) -> TripError {
        let held = held(&self.trip, place, &self.wanted);
        let TripError::Damaged { path, offset, reason } = error else { return error };
        let told = held.as_ref().map_or_else(|| "what it held is not known".to_owned(), told);
        self.losses.add_chunk(place.length, held);
        TripError::Damaged { path, offset, reason: format!("{reason}; {told}") }
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

/// In words, what a lost chunk held.
fn told(held: &BTreeMap<Kind, u64>) -> String {
    let frames: u64 = held.iter().filter(|(kind, _)| is_frame(**kind)).map(|(_, count)| count).sum();
    format!("lost {} messages, {frames} of them frames", held.values().sum::<u64>())
}

/// The wanted messages of one opened chunk, in file order, and how many there are that nothing describes: the chunk
/// that told what their channel is was lost.
pub(super) fn wanted_messages(
    trip: &TripFile,
    bytes: &Bytes,
    wanted: &Wanted,
) -> Result<(VecDeque<Message>, u64), String> {
    let (mut messages, mut undescribed) = (VecDeque::new(), 0);
    for record in Records::new(bytes) {
        let (opcode, body) = record?;
        if opcode != op::MESSAGE {
            continue;
        }
        let header = message_header(&bytes[body.clone()])?;
        let Some(channel) = trip.contents.kinds.get(&header.channel_id) else {
            undescribed += 1;
            continue;
        };
        let Some(kind) = channel.kind.filter(|&kind| wanted.takes(kind, &header)) else {
            continue;
        };
        let data = bytes.slice(body.start + MESSAGE_HEAD..body.end);
        let (topic, classes) = (Arc::clone(&channel.topic), channel.classes.clone());
        messages.push_back(Message { kind, topic, header, classes, data });
    }
    Ok((messages, undescribed))
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
