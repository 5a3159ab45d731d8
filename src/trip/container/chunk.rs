//! The chunk that is being filled, and the indexes of its messages.

use super::compressor::Compressor;
use super::record::{list, record, text};
use super::wider;
use crate::trip::chunk::RECORD_HEAD;
use crate::trip::messages::MESSAGE_HEAD;
use crate::trip::writer::Compression;
use crc32fast::Hasher;
use mcap::records::op;
use std::io::{self, Write as _};

/// Bytes of a chunk's fields before its name of compression, and behind it.
const CHUNK_HEAD: usize = 8 + 8 + 8 + 4;
const CHUNK_LENGTH: usize = 8;
/// Bytes of an entry of a message index: log time and place.
const ENTRY: usize = 8 + 8;
/// Entries that there is room for from the start: messages of a channel in a second of a full 1 Mbit/s bus.
const ENTRIES: usize = 8192;

/// What MCAP says of a message besides its bytes.
#[derive(Clone, Copy, Debug)]
pub(in crate::trip) struct Message {
    pub(in crate::trip) channel: u16,
    pub(in crate::trip) sequence: u32,
    pub(in crate::trip) log_time: u64,
    pub(in crate::trip) publish_time: u64,
}

/// A chunk, empty or not. Its buffers serve the next one.
pub(super) struct Chunk {
    compressor: Compressor,
    /// Bytes before compression, and their checksum.
    len: u64,
    crc: Hasher,
    span: Option<(u64, u64)>,
    is_open: bool,
    /// By channel, the first one being 1: where its messages are.
    entries: Vec<Vec<u8>>,
    /// The fields of the record that indexes this chunk in the summary.
    index: Vec<u8>,
}

/// A chunk that is complete.
pub(super) struct Closed<'a> {
    /// The chunk's record and the records of its message indexes.
    pub(super) bytes: &'a [u8],
    /// The fields of its record in the summary.
    pub(super) index: &'a [u8],
}

impl Chunk {
    pub(super) fn new(compression: Compression, room: usize) -> io::Result<Self> {
        let compressor = Compressor::new(compression, room)?;
        let (crc, entries, index) = (Hasher::new(), Vec::new(), Vec::new());
        Ok(Self { compressor, len: 0, crc, span: None, is_open: false, entries, index })
    }

    /// Bytes in it, before compression.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Adds a record that describes a schema or a channel.
    pub(super) fn define(&mut self, record: &[u8]) -> io::Result<()> {
        self.begin()?;
        self.put(record)
    }

    pub(super) fn message(&mut self, head: &Message, data: &[u8]) -> io::Result<()> {
        self.begin()?;
        self.note(head);
        self.span = Some(wider(self.span, head.log_time));
        let mut bytes = [0; RECORD_HEAD as usize + MESSAGE_HEAD];
        bytes[0] = op::MESSAGE;
        bytes[1..9].copy_from_slice(&((MESSAGE_HEAD + data.len()) as u64).to_le_bytes());
        bytes[9..11].copy_from_slice(&head.channel.to_le_bytes());
        bytes[11..15].copy_from_slice(&head.sequence.to_le_bytes());
        bytes[15..23].copy_from_slice(&head.log_time.to_le_bytes());
        bytes[23..].copy_from_slice(&head.publish_time.to_le_bytes());
        self.put(&bytes)?;
        self.put(data)
    }

    /// Completes the chunk, which begins at byte `at` of the file; nothing if it is empty.
    pub(super) fn close(&mut self, at: u64) -> io::Result<Option<Closed<'_>>> {
        if !std::mem::take(&mut self.is_open) {
            return Ok(None);
        }
        let head = self.head_len();
        let name = self.compressor.name();
        let crc = self.crc.clone().finalize();
        let (first, last) = self.span.unwrap_or_default();
        let bytes = self.compressor.end()?;
        let (chunk, packed) = (bytes.len(), (bytes.len() - head) as u64);
        let mut fields = bytes.as_mut_slice();
        fields.write_all(&[op::CHUNK])?;
        for number in [chunk as u64 - RECORD_HEAD, first, last, self.len] {
            fields.write_all(&number.to_le_bytes())?;
        }
        fields.write_all(&crc.to_le_bytes())?;
        fields.write_all(&(name.len() as u32).to_le_bytes())?;
        fields.write_all(name.as_bytes())?;
        fields.write_all(&packed.to_le_bytes())?;

        self.index.clear();
        for number in [first, last, at, chunk as u64] {
            self.index.extend(number.to_le_bytes());
        }
        let filled = (1_u16..).zip(&mut self.entries).filter(|(_, entries)| !entries.is_empty());
        list(&mut self.index, |index| {
            for (channel, entries) in filled {
                index.extend(channel.to_le_bytes());
                index.extend((at + bytes.len() as u64).to_le_bytes());
                record(bytes, op::MESSAGE_INDEX, |out| {
                    out.extend(channel.to_le_bytes());
                    list(out, |out| out.extend_from_slice(entries));
                });
                entries.clear();
            }
        });
        self.index.extend(((bytes.len() - chunk) as u64).to_le_bytes());
        text(&mut self.index, name);
        self.index.extend(packed.to_le_bytes());
        self.index.extend(self.len.to_le_bytes());
        Ok(Some(Closed { bytes, index: &self.index }))
    }

    fn begin(&mut self) -> io::Result<()> {
        if !std::mem::replace(&mut self.is_open, true) {
            (self.len, self.crc, self.span) = (0, Hasher::new(), None);
            self.compressor.begin(self.head_len())?;
        }
        Ok(())
    }

    /// Bytes of the chunk's record before the compressed ones.
    fn head_len(&self) -> usize {
        RECORD_HEAD as usize + CHUNK_HEAD + 4 + self.compressor.name().len() + CHUNK_LENGTH
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.len += bytes.len() as u64;
        self.crc.update(bytes);
        self.compressor.write(bytes)
    }

    fn note(&mut self, head: &Message) {
        let place = usize::from(head.channel) - 1;
        while self.entries.len() <= place {
            self.entries.push(Vec::with_capacity(ENTRY * ENTRIES));
        }
        self.entries[place].extend(head.log_time.to_le_bytes());
        self.entries[place].extend(self.len.to_le_bytes());
    }
}
