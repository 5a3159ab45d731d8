//! What a trip file holds, gathered from its summary or, where it has none, from its chunks.

use super::chunk::Records;
use super::message::Kind;
use crate::data::Stamp;
use mcap::records::{self, Record, op};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Channels, schemas and metadata records that are kept: a trip of ours has about a dozen of each.
const MAX_DEFINITIONS: usize = 1024;
/// Bytes of metadata and attachments that are kept.
const MAX_SIDE_BYTES: usize = 64 << 20;

/// Where a chunk record lies and the log times in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ChunkPlace {
    pub(super) offset: u64,
    /// The whole record, opcode and length included.
    pub(super) length: u64,
    pub(super) start: Stamp,
    pub(super) end: Stamp,
}

/// Bytes that no chunk could be read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Damage {
    pub(super) offset: u64,
    pub(super) bytes: u64,
    pub(super) reason: String,
}

/// A channel as readers need it.
#[derive(Clone, Debug)]
pub(super) struct ChannelKind {
    pub(super) topic: Arc<str>,
    /// `None`: not a channel of ours.
    pub(super) kind: Option<Kind>,
    pub(super) classes: Option<Arc<str>>,
}

/// Everything but the messages.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) schemas: BTreeMap<u16, (records::SchemaHeader, Vec<u8>)>,
    pub(super) channels: BTreeMap<u16, records::Channel>,
    pub(super) kinds: BTreeMap<u16, ChannelKind>,
    pub(super) chunks: Vec<ChunkPlace>,
    /// Chunks that a walk could not open, but whose frame is sound.
    pub(super) damaged_chunks: Vec<ChunkPlace>,
    pub(super) metadata: Vec<records::Metadata>,
    pub(super) attachments: Vec<(records::AttachmentHeader, Vec<u8>)>,
    pub(super) counts: BTreeMap<u16, u64>,
    /// The channels that have messages in a chunk, by its offset; of chunks that an index tells of.
    pub(super) indexed: BTreeMap<u64, Vec<u16>>,
    /// Places of metadata records named by a summary: `(offset, length)`.
    pub(super) metadata_places: Vec<(u64, u64)>,
    pub(super) damage: Vec<Damage>,
    /// Whether the writer finished the file.
    pub(super) finished: bool,
    pub(super) has_statistics: bool,
    side_bytes: usize,
}

impl Contents {
    /// Takes in one record of a summary, or a definition met while scanning.
    pub(super) fn absorb(&mut self, opcode: u8, body: &[u8]) -> Result<(), String> {
        if opcode == op::ATTACHMENT && !attachment_is_framed(body) {
            return Err("attachment is shorter than it says".into());
        }
        let record = mcap::parse_record(opcode, body).map_err(|error| error.to_string())?;
        match record {
            Record::Schema { header, data } => self.keep_schema(header, &data),
            Record::Channel(channel) => self.keep_channel(channel),
            Record::Metadata(metadata) => self.keep_metadata(metadata, body.len()),
            Record::Attachment { header, data, .. } => self.keep_attachment(header, &data),
            Record::Statistics(statistics) => {
                self.counts = statistics.channel_message_counts;
                self.has_statistics = true;
                Ok(())
            }
            Record::ChunkIndex(index) => {
                self.indexed.insert(index.chunk_start_offset, index.message_index_offsets.keys().copied().collect());
                self.chunks.push(ChunkPlace {
                    offset: index.chunk_start_offset,
                    length: index.chunk_length,
                    start: Stamp::from_ns(index.message_start_time),
                    end: Stamp::from_ns(index.message_end_time),
                });
                Ok(())
            }
            Record::MetadataIndex(index) => {
                self.metadata_places.push((index.offset, index.length));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Takes in the definitions of an opened chunk and counts its messages.
    pub(super) fn absorb_chunk(&mut self, bytes: &[u8]) -> Result<(), String> {
        for record in Records::new(bytes) {
            let (opcode, body) = record?;
            match opcode {
                op::MESSAGE => {
                    let channel = bytes.get(body.start..body.start + 2).ok_or("message without a channel")?;
                    *self.counts.entry(u16::from_le_bytes([channel[0], channel[1]])).or_default() += 1;
                }
                op::SCHEMA | op::CHANNEL => self.absorb(opcode, &bytes[body])?,
                _ => (),
            }
        }
        Ok(())
    }

    /// Messages of `kind` in all.
    pub(super) fn count(&self, kind: Kind) -> u64 {
        let of_kind = self.kinds.iter().filter(|(_, channel)| channel.kind == Some(kind));
        of_kind.filter_map(|(id, _)| self.counts.get(id)).sum()
    }

    /// Whether messages of `kind` may be in the chunk at `offset`.
    pub(super) fn may_hold(&self, offset: u64, kind: Kind) -> bool {
        let Some(indexed) = self.indexed.get(&offset).filter(|indexed| !indexed.is_empty()) else { return true };
        indexed.iter().any(|id| self.kinds.get(id).is_some_and(|channel| channel.kind == Some(kind)))
    }

    /// Takes over schemas and channels that are only in `summary`: the chunk that defined them may be damaged.
    pub(super) fn adopt_definitions(&mut self, summary: &Self) {
        for (id, schema) in &summary.schemas {
            self.schemas.entry(*id).or_insert_with(|| schema.clone());
        }
        for (id, channel) in &summary.channels {
            self.channels.entry(*id).or_insert_with(|| channel.clone());
        }
        for (id, kind) in &summary.kinds {
            self.kinds.entry(*id).or_insert_with(|| kind.clone());
        }
    }

    /// Damaged places of which nothing tells whether they were chunks, let alone what they held.
    pub(super) fn unplaced_damage(&self) -> u64 {
        self.damage.iter().filter(|damage| !self.is_placed(damage)).count() as u64
    }

    /// Whether `damage` is one of the damaged chunks.
    pub(super) fn is_placed(&self, damage: &Damage) -> bool {
        self.damaged_chunks.iter().any(|chunk| chunk.offset == damage.offset)
    }

    /// Log times of the first and last message.
    pub(super) fn span(&self) -> Option<(Stamp, Stamp)> {
        // A chunk of definitions alone states 0 for both.
        let filled = || self.chunks.iter().filter(|chunk| chunk.end > Stamp::ZERO);
        let start = filled().map(|chunk| chunk.start).min()?;
        Some((start, filled().map(|chunk| chunk.end).max()?))
    }

    /// The metadata record called `name`; of several the last.
    pub(super) fn metadata_record(&self, name: &str) -> Option<&records::Metadata> {
        self.metadata.iter().rev().find(|record| record.name == name)
    }

    fn keep_schema(&mut self, header: records::SchemaHeader, data: &[u8]) -> Result<(), String> {
        self.room(self.schemas.len(), data.len())?;
        if !self.schemas.contains_key(&header.id) {
            self.side_bytes += data.len();
            self.schemas.insert(header.id, (header, data.to_vec()));
        }
        Ok(())
    }

    fn keep_channel(&mut self, channel: records::Channel) -> Result<(), String> {
        self.room(self.channels.len(), 0)?;
        let schema = self.schemas.get(&channel.schema_id).map_or("", |(header, _)| &header.name);
        let kind = ChannelKind {
            topic: channel.topic.as_str().into(),
            kind: Kind::of(&channel.topic, schema).filter(|_| channel.message_encoding == "protobuf"),
            classes: channel.metadata.get("classes").map(|name| name.as_str().into()),
        };
        self.kinds.entry(channel.id).or_insert(kind);
        self.channels.entry(channel.id).or_insert(channel);
        Ok(())
    }

    fn keep_metadata(&mut self, metadata: records::Metadata, bytes: usize) -> Result<(), String> {
        self.room(self.metadata.len(), bytes)?;
        self.side_bytes += bytes;
        self.metadata.push(metadata);
        Ok(())
    }

    fn keep_attachment(&mut self, header: records::AttachmentHeader, data: &[u8]) -> Result<(), String> {
        self.room(self.attachments.len(), data.len())?;
        self.side_bytes += data.len();
        self.attachments.push((header, data.to_vec()));
        Ok(())
    }

    fn room(&self, entries: usize, bytes: usize) -> Result<(), String> {
        if entries >= MAX_DEFINITIONS {
            return Err(format!("more than {MAX_DEFINITIONS} definitions of one sort"));
        }
        if self.side_bytes.saturating_add(bytes) > MAX_SIDE_BYTES {
            return Err(format!("more than {MAX_SIDE_BYTES} bytes of schemas, metadata and attachments"));
        }
        Ok(())
    }
}

/// Whether an attachment's strings, length and checksum lie inside its body: `mcap::parse_record` takes that on trust.
fn attachment_is_framed(body: &[u8]) -> bool {
    let string_end = |at: usize| {
        let len = body.get(at..at + 4)?;
        (at + 4).checked_add(u32::from_le_bytes(len.try_into().ok()?) as usize)
    };
    let head = string_end(16).and_then(string_end).and_then(|end| end.checked_add(8 + 4));
    head.is_some_and(|head| head <= body.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_attachment_that_ends_before_its_checksum_is_refused() {
        let mut body = vec![0; 16 + 4 + 4 + 8];
        assert!(Contents::default().absorb(op::ATTACHMENT, &body).is_err());
        body.extend([0; 4]);
        assert_eq!(Contents::default().absorb(op::ATTACHMENT, &body), Ok(()));
    }

    #[test]
    fn definitions_without_end_are_refused() {
        let mut contents = Contents::default();
        let named = |id: u16| records::Channel {
            id,
            schema_id: 0,
            topic: id.to_string(),
            message_encoding: String::new(),
            metadata: BTreeMap::new(),
        };
        let kept = (0..2000).filter(|&id| contents.keep_channel(named(id)).is_ok()).count();
        assert_eq!(kept, MAX_DEFINITIONS);
    }

    proptest! {
        #[test]
        fn no_record_makes_it_panic(opcode in 0u8..=16, body in proptest::collection::vec(any::<u8>(), 0..120)) {
            let mut contents = Contents::default();
            let _ = contents.absorb(opcode, &body);
            let _ = contents.absorb_chunk(&body);
        }

        #[test]
        fn no_record_of_small_numbers_makes_it_panic(opcode in 0u8..=16, body in proptest::collection::vec(0u8..4, 0..120)) {
            let _ = Contents::default().absorb(opcode, &body);
        }
    }
}
