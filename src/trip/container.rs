//! An MCAP file that is being written: chunks with their indexes, then the summary.
//!
//! ```text
//! magic · header · [metadata | chunk · message indexes]… · data end
//!       · schemas · channels · statistics · chunk indexes · metadata indexes · summary offsets · footer · magic
//! ```
//!
//! The `mcap` crate's own writer asks for new memory with every chunk. Here the chunk's buffer, the indexes and the
//! compressor's state are kept from chunk to chunk, so that a recording takes none once it runs. A chunk and its indexes go
//! to the system in one piece.

mod chunk;
mod compressor;
mod record;

use super::writer::Compression;
use chunk::{Chunk, Closed, Message};
use crc32fast::Hasher;
use mcap::MAGIC;
use mcap::records::op;
use record::{list, record, text};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};

pub(super) use chunk::Message as MessageHead;

/// Room for the index of chunks: several thousand of them, more than a file of the default size has.
const CHUNK_INDEX_BYTES: usize = 1 << 20;

/// A file that is open for writing. Dropping it finishes the file as well as it can.
pub(super) struct Container {
    file: File,
    /// Bytes written so far, and their checksum.
    len: u64,
    crc: Hasher,
    chunk: Chunk,
    chunk_bytes: u64,
    schemas: Group,
    channels: Group,
    chunks: Group,
    metadata: Group,
    /// Messages by channel: the first one is 1.
    counts: Vec<u64>,
    /// The first and the last log time.
    span: Option<(u64, u64)>,
    out: Vec<u8>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// A write failed: what follows would stand behind a part of a record.
    Failed,
    Finished,
}

/// Records of one kind for the summary, as they are written there.
#[derive(Default)]
struct Group {
    records: Vec<u8>,
    count: u32,
}

impl Container {
    /// Begins an MCAP file in `file`, which is empty.
    pub(super) fn create(file: File, compression: Compression, chunk_bytes: u64) -> io::Result<Self> {
        let mut container = Self {
            file,
            len: 0,
            crc: Hasher::new(),
            chunk: Chunk::new(compression, chunk_bytes as usize)?,
            chunk_bytes,
            schemas: Group::default(),
            channels: Group::default(),
            chunks: Group { records: Vec::with_capacity(CHUNK_INDEX_BYTES), count: 0 },
            metadata: Group::default(),
            counts: Vec::new(),
            span: None,
            out: Vec::new(),
            state: State::Open,
        };
        let mut head = MAGIC.to_vec();
        record(&mut head, op::HEADER, |out| {
            text(out, "segfuse");
            text(out, concat!("segfuse ", env!("CARGO_PKG_VERSION")));
        });
        container.write(&head)?;
        Ok(container)
    }

    /// The file.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Describes messages; the schema's number.
    pub(super) fn add_schema(&mut self, name: &str, encoding: &str, data: &[u8]) -> io::Result<u16> {
        let id = self.schemas.next_id()?;
        let from = self.schemas.add(op::SCHEMA, |out| {
            out.extend(id.to_le_bytes());
            text(out, name);
            text(out, encoding);
            list(out, |out| out.extend(data));
        });
        self.chunk.define(&self.schemas.records[from..])?;
        Ok(id)
    }

    /// A stream of messages described by the schema with this number; the channel's number.
    pub(super) fn add_channel(
        &mut self,
        schema: u16,
        topic: &str,
        encoding: &str,
        notes: &BTreeMap<String, String>,
    ) -> io::Result<u16> {
        let id = self.channels.next_id()?;
        let from = self.channels.add(op::CHANNEL, |out| {
            out.extend(id.to_le_bytes());
            out.extend(schema.to_le_bytes());
            text(out, topic);
            text(out, encoding);
            map(out, notes);
        });
        self.counts.push(0);
        self.chunk.define(&self.channels.records[from..])?;
        Ok(id)
    }

    /// Writes a message of a channel that was added. A chunk that is full is closed before it.
    pub(super) fn message(&mut self, head: &Message, data: &[u8]) -> io::Result<()> {
        self.check()?;
        if self.chunk.len() > self.chunk_bytes {
            self.close_chunk()?;
        }
        self.chunk.message(head, data)?;
        self.counts[usize::from(head.channel) - 1] += 1;
        self.span = Some(wider(self.span, head.log_time));
        Ok(())
    }

    /// Writes a record of metadata, after all that was written before.
    pub(super) fn metadata(&mut self, name: &str, entries: &BTreeMap<String, String>) -> io::Result<()> {
        self.close_chunk()?;
        let at = self.len;
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        record(&mut out, op::METADATA, |out| {
            text(out, name);
            map(out, entries);
        });
        self.write(&out)?;
        self.metadata.add(op::METADATA_INDEX, |to| {
            to.extend(at.to_le_bytes());
            to.extend((out.len() as u64).to_le_bytes());
            text(to, name);
        });
        self.out = out;
        Ok(())
    }

    /// Hands the open chunk to the system, if there is one.
    pub(super) fn close_chunk(&mut self) -> io::Result<()> {
        self.check()?;
        let Some(closed) = self.chunk.close(self.len)? else { return Ok(()) };
        let Closed { bytes, index } = closed;
        self.chunks.add(op::CHUNK_INDEX, |out| out.extend(index));
        put(&mut self.file, &mut self.state, bytes)?;
        self.crc.update(bytes);
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Ends the file with its summary.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.close_chunk()?;
        let crc = self.crc.clone().finalize();
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        record(&mut out, op::DATA_END, |out| out.extend(crc.to_le_bytes()));
        let from = out.len();
        self.write_summary(&mut out, from);
        self.write(&out)?;
        self.state = State::Finished;
        Ok(())
    }

    /// Appends what comes behind the data section; the summary begins at byte `from` of `out`.
    fn write_summary(&self, out: &mut Vec<u8>, from: usize) {
        let mut statistics = Group::default();
        statistics.add(op::STATISTICS, |out| self.write_statistics(out));
        let groups = [
            (op::SCHEMA, &self.schemas),
            (op::CHANNEL, &self.channels),
            (op::STATISTICS, &statistics),
            (op::CHUNK_INDEX, &self.chunks),
            (op::METADATA_INDEX, &self.metadata),
        ];
        let mut offsets = Vec::new();
        for (opcode, group) in groups.into_iter().filter(|(_, group)| group.count > 0) {
            let start = self.len + out.len() as u64;
            out.extend(&group.records);
            record(&mut offsets, op::SUMMARY_OFFSET, |to| {
                to.push(opcode);
                to.extend(start.to_le_bytes());
                to.extend((group.records.len() as u64).to_le_bytes());
            });
        }
        let offsets_at = self.len + out.len() as u64;
        out.extend(&offsets);
        record(out, op::FOOTER, |out| {
            out.extend((self.len + from as u64).to_le_bytes());
            out.extend(offsets_at.to_le_bytes());
            out.extend(0_u32.to_le_bytes());
        });
        // The checksum is over the summary and over all of the footer before itself.
        let crc_at = out.len() - 4;
        let crc = crc32fast::hash(&out[from..crc_at]);
        out[crc_at..].copy_from_slice(&crc.to_le_bytes());
        out.extend(MAGIC);
    }

    fn write_statistics(&self, out: &mut Vec<u8>) {
        let (first, last) = self.span.unwrap_or_default();
        out.extend(self.counts.iter().sum::<u64>().to_le_bytes());
        out.extend((self.schemas.count as u16).to_le_bytes());
        let attachments = 0;
        for count in [self.channels.count, attachments, self.metadata.count, self.chunks.count] {
            out.extend(count.to_le_bytes());
        }
        out.extend(first.to_le_bytes());
        out.extend(last.to_le_bytes());
        list(out, |out| {
            for (channel, count) in (1_u16..).zip(&self.counts).filter(|(_, count)| **count > 0) {
                out.extend(channel.to_le_bytes());
                out.extend(count.to_le_bytes());
            }
        });
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.check()?;
        put(&mut self.file, &mut self.state, bytes)?;
        self.crc.update(bytes);
        self.len += bytes.len() as u64;
        Ok(())
    }

    fn check(&self) -> io::Result<()> {
        match self.state {
            State::Open => Ok(()),
            State::Failed => Err(io::Error::other("an earlier write has failed")),
            State::Finished => Err(io::Error::other("the file is finished")),
        }
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if self.state == State::Open {
            // Nobody is left to be told: the file opens up to its last whole chunk.
            let _ = self.finish();
        }
    }
}

impl Group {
    fn next_id(&self) -> io::Result<u16> {
        u16::try_from(self.count + 1).map_err(|_| io::Error::other("more than 65535 of a kind"))
    }

    /// Adds a record; where it begins.
    fn add(&mut self, opcode: u8, write: impl FnOnce(&mut Vec<u8>)) -> usize {
        let from = self.records.len();
        record(&mut self.records, opcode, write);
        self.count += 1;
        from
    }
}

fn put(file: &mut File, state: &mut State, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes).inspect_err(|_| *state = State::Failed)
}

fn map(out: &mut Vec<u8>, entries: &BTreeMap<String, String>) {
    list(out, |out| {
        for (key, value) in entries {
            text(out, key);
            text(out, value);
        }
    });
}

/// A span of times, and one more.
fn wider(span: Option<(u64, u64)>, time: u64) -> (u64, u64) {
    span.map_or((time, time), |(first, last)| (first.min(time), last.max(time)))
}
