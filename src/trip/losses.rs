//! What could not be read of a trip: a damaged chunk is counted, not only told.
//!
//! ```text
//! chunk (damaged) · message index · message index · chunk …
//!                   └─ lies outside the chunk and says which messages were in it
//! ```
//!
//! Where the index is gone too, the totals of the summary or the gap in the frames' numbers tell.

use super::contents::{ChunkPlace, Contents};
use super::file::TripFile;
use super::message::Kind;
use super::messages::Wanted;
use serde::Serialize;
use std::collections::BTreeMap;

/// In place of the topic, which is lost.
const UNDESCRIBED: &str = "(unknown topic)";

/// Damaged and unreadable parts met so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Losses {
    /// Chunks that could not be read.
    pub chunks: u64,
    /// Bytes of the file that they take.
    pub bytes: u64,
    /// Messages of the wanted topics in them.
    pub messages: BTreeMap<&'static str, u64>,
    /// Of those, camera frames, and camera frames whose own message is damaged.
    pub frames: u64,
    /// Chunks of which nothing tells what they held: the counts above are too low.
    pub uncounted: u64,
}

/// Messages by channel.
pub(super) type ChannelCounts = BTreeMap<u16, u64>;

/// Counts losses along a stream of messages.
#[derive(Clone, Debug, Default)]
pub(super) struct LossCounter {
    found: Losses,
    /// Frames lost that nobody has been told of yet.
    untold: u64,
    seen: BTreeMap<&'static str, u64>,
    last_frame: Option<u32>,
    /// Frames counted as lost since `last_frame`.
    since_last: u64,
}

impl LossCounter {
    /// A counter for a file in which `uncounted` damaged places are known already.
    pub(super) fn new(uncounted: u64) -> Self {
        Self { found: Losses { uncounted, ..Losses::default() }, ..Self::default() }
    }

    pub(super) fn found(&self) -> &Losses {
        &self.found
    }

    /// Notes a chunk that could not be read, and what its index says was in it.
    pub(super) fn add_chunk(&mut self, bytes: u64, held: Option<BTreeMap<Kind, u64>>) {
        self.found.chunks += 1;
        self.found.bytes += bytes;
        match held {
            Some(held) => held.into_iter().for_each(|(kind, count)| self.add(kind, count)),
            None => self.found.uncounted += 1,
        }
    }

    /// Notes messages that nothing describes.
    pub(super) fn add_undescribed(&mut self, count: u64) {
        if count == 0 {
            return;
        }
        if !self.found.messages.contains_key(UNDESCRIBED) {
            tracing::warn!("what some messages are is not known: the chunk that told it is lost; they are left out");
        }
        *self.found.messages.entry(UNDESCRIBED).or_default() += count;
    }

    /// Notes a frame's message that cannot be understood.
    pub(super) fn add_frame(&mut self) {
        self.found.frames += 1;
        self.untold += 1;
    }

    /// Notes a message that was read. Numbers of frames that are missing before it tell what an uncounted chunk held.
    pub(super) fn pass(&mut self, kind: Kind, sequence: u32) {
        *self.seen.entry(kind.topic()).or_default() += 1;
        if !is_frame(kind) {
            return;
        }
        let expected = self.last_frame.map_or(sequence, |last| last.saturating_add(1));
        let missing = u64::from(sequence.saturating_sub(expected)).saturating_sub(self.since_last);
        if self.found.uncounted > 0 && missing > 0 {
            self.add(kind, missing);
        }
        (self.last_frame, self.since_last) = (Some(sequence), 0);
    }

    /// At the end of a whole file: what its summary promised and nothing else accounted for.
    pub(super) fn settle(&mut self, contents: &Contents, wanted: &Wanted) {
        if self.found.uncounted == 0 || !contents.has_statistics || !wanted.is_whole() {
            return;
        }
        let mut promised = BTreeMap::<&str, (Kind, u64)>::new();
        for kind in Kind::ALL.into_iter().filter(|&kind| (wanted.kinds)(kind)) {
            promised.entry(kind.topic()).or_insert((kind, 0)).1 += contents.count(kind);
        }
        for (topic, (kind, promised)) in promised {
            let known = [&self.seen, &self.found.messages].map(|counts| counts.get(topic).copied().unwrap_or(0));
            self.add(kind, promised.saturating_sub(known.iter().sum()));
        }
        self.found.uncounted = 0;
    }

    /// Frames lost since this was last asked.
    pub(super) fn take_frames(&mut self) -> Option<u32> {
        let frames = u32::try_from(std::mem::take(&mut self.untold)).unwrap_or(u32::MAX);
        (frames > 0).then_some(frames)
    }

    fn add(&mut self, kind: Kind, count: u64) {
        if count == 0 {
            return;
        }
        *self.found.messages.entry(kind.topic()).or_default() += count;
        if is_frame(kind) {
            self.found.frames += count;
            self.untold += count;
            self.since_last += count;
        }
    }
}

/// Whether messages of `kind` are camera frames.
pub(super) fn is_frame(kind: Kind) -> bool {
    matches!(kind, Kind::Jpeg | Kind::Raw)
}

/// Wanted messages in the damaged chunk at `place`, by the index behind it; `None` if that is gone too.
pub(super) fn held(trip: &TripFile, place: &ChunkPlace, wanted: &Wanted) -> Option<BTreeMap<Kind, u64>> {
    let range = wanted.from.ns()..=wanted.until.ns();
    let counts = trip.indexed_messages(place.offset + place.length, |log_time| range.contains(&log_time))?;
    let mut held = BTreeMap::new();
    for (channel, count) in counts {
        let kind = trip.contents.kinds.get(&channel).and_then(|channel| channel.kind);
        if let Some(kind) = kind.filter(|&kind| (wanted.kinds)(kind)) {
            *held.entry(kind).or_default() += count;
        }
    }
    Some(held)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_numbers_count_once_and_only_behind_damage_that_nothing_else_counts() {
        let mut counter = LossCounter::default();
        counter.pass(Kind::Jpeg, 5);
        counter.pass(Kind::Jpeg, 9);
        assert_eq!(
            (counter.found().frames, counter.take_frames()),
            (0, None),
            "a recorder that dropped tells so itself"
        );
        counter.add_chunk(100, Some(BTreeMap::from([(Kind::Raw, 2), (Kind::Can, 7)])));
        counter.add_chunk(100, None);
        assert_eq!(counter.take_frames(), Some(2));
        counter.pass(Kind::Jpeg, 15);
        assert_eq!((counter.take_frames(), counter.take_frames()), (Some(3), None), "10 to 14, of which 2 were told");
        counter.add_frame();
        assert_eq!((counter.found().frames, counter.found().messages["/vehicle/can"]), (6, 7));
    }
}
