//! A trip file opened for reading: through its summary, or by walking its chunks where it has none.
//!
//! ```text
//! magic · header · metadata · [chunk · message indexes]… · data end · summary · footer · magic
//!                              └─ walked one by one if what follows is missing or damaged
//! ```

use super::TripError;
use super::chunk::{self, MAX_CHUNK_BYTES, RECORD_HEAD, Records, body_len, looks_like_chunk};
use super::contents::{ChunkPlace, Contents, Damage};
use super::losses::ChannelCounts;
use super::metadata::{FORMAT_VERSION, RECORD, format_version};
use crate::data::Stamp;
use mcap::MAGIC;
use mcap::records::{Footer, Record, op};
use prost::bytes::Bytes;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The footer record and the magic behind it.
const TAIL: u64 = RECORD_HEAD + 20 + MAGIC.len() as u64;
/// The largest summary: two million chunk indexes.
const MAX_SUMMARY_BYTES: u64 = 256 << 20;
/// Damaged places that a scan goes on after: bounds the work that a crafted file can ask for.
const MAX_DAMAGE: usize = 1000;
/// Bytes searched at once for the next chunk.
const SEARCH_WINDOW: u64 = 1 << 20;
/// Message indexes behind one chunk: one a channel.
const MAX_INDEXES: usize = 1024;
/// The largest message index: a million messages of one channel in one chunk.
const MAX_INDEX_BYTES: u64 = 16 << 20;
/// Enough of a record to tell whether it looks like a chunk.
const CHUNK_LOOK: u64 = 48;

/// A trip file and what is in it.
#[derive(Debug)]
pub(super) struct TripFile {
    pub(super) path: PathBuf,
    pub(super) len: u64,
    pub(super) contents: Contents,
    file: File,
}

impl TripFile {
    /// Opens `path`, by its summary if that is whole.
    pub(super) fn open(path: &Path) -> Result<Self, TripError> {
        Self::open_unless(path, &|| false)
    }

    /// The same, unless `stopped` says that nobody waits for it any more.
    pub(super) fn open_unless(path: &Path, stopped: &dyn Fn() -> bool) -> Result<Self, TripError> {
        let mut trip = Self::start(path)?;
        match trip.read_summary() {
            Ok(contents) => trip.contents = contents,
            Err(reason) => {
                trip.walk(stopped)?;
                tracing::warn!(path = %path.display(), %reason, chunks = trip.contents.chunks.len(), "trip is unfinished or damaged: reading its complete chunks");
            }
        }
        trip.check_format()?;
        Ok(trip)
    }

    /// Opens `path` by walking all of it, whatever its summary says, unless `stopped` says to leave it.
    pub(super) fn scan(path: &Path, stopped: &dyn Fn() -> bool) -> Result<Self, TripError> {
        let mut trip = Self::start(path)?;
        trip.walk(stopped)?;
        Ok(trip)
    }

    /// Reads, decompresses and verifies one chunk.
    pub(super) fn chunk(&self, place: &ChunkPlace) -> Result<Bytes, TripError> {
        let body = self.read(place.offset + RECORD_HEAD, place.length - RECORD_HEAD)?;
        chunk::open(&body).map_err(|reason| {
            let reason = format!("chunk from {} s to {} s: {reason}", place.start, place.end);
            self.damaged(place.offset, reason)
        })
    }

    pub(super) fn damaged(&self, offset: u64, reason: impl Into<String>) -> TripError {
        TripError::Damaged { path: self.path.clone(), offset, reason: reason.into() }
    }

    fn start(path: &Path) -> Result<Self, TripError> {
        // A pipe would hold up the opening until somebody writes to it.
        if path.metadata().is_ok_and(|found| !found.is_file()) {
            return Err(TripError::NotATrip { path: path.to_owned(), reason: what_instead(path, &[]) });
        }
        let file = File::open(path).map_err(|error| TripError::io(path, "open", error))?;
        let len = file.metadata().map_err(|error| TripError::io(path, "look at", error))?.len();
        let trip = Self { path: path.to_owned(), len, contents: Contents::default(), file };
        let magic = trip.read(0, MAGIC.len() as u64);
        if magic.is_ok_and(|magic| magic == MAGIC) {
            return Ok(trip);
        }
        let head = trip.read(0, trip.len.min(16)).unwrap_or_default();
        Err(TripError::NotATrip { path: path.to_owned(), reason: what_instead(path, &head) })
    }

    fn check_format(&self) -> Result<(), TripError> {
        let refuse = |reason: String| Err(TripError::NotATrip { path: self.path.clone(), reason });
        let version = self.contents.metadata_record(RECORD).map_or(0, |record| format_version(&record.metadata));
        if version > FORMAT_VERSION {
            return refuse(format!("format version {version}, this program reads up to {FORMAT_VERSION}: update it"));
        }
        if self.contents.chunks.is_empty() && self.contents.counts.values().any(|&count| count > 0) {
            return refuse("its messages are not in chunks: rewrite it with an MCAP tool that chunks".into());
        }
        Ok(())
    }

    /// `len` bytes at `offset`; never asks for more than the file has.
    fn read(&self, offset: u64, len: u64) -> Result<Vec<u8>, TripError> {
        if offset.checked_add(len).is_none_or(|end| end > self.len) {
            return Err(self.damaged(offset, format!("{len} bytes expected, the file ends at {}", self.len)));
        }
        let mut bytes = vec![0; len as usize];
        self.file.read_exact_at(&mut bytes, offset).map_err(|error| TripError::io(&self.path, "read", error))?;
        Ok(bytes)
    }

    // By the summary -----------------------------------------------------------------------------

    fn read_summary(&self) -> Result<Contents, String> {
        let summary = self.summary_bytes()?;
        let mut contents = Contents::default();
        contents.finished = true;
        for record in Records::new(&summary) {
            let (opcode, body) = record?;
            contents.absorb(opcode, &summary[body])?;
        }
        if !contents.has_statistics {
            return Err("its summary has no statistics".into());
        }
        contents.chunks.iter().try_for_each(|place| self.check_place(place))?;
        for (offset, len) in std::mem::take(&mut contents.metadata_places) {
            self.read_metadata(offset, len, &mut contents)?;
        }
        Ok(contents)
    }

    fn summary_bytes(&self) -> Result<Vec<u8>, String> {
        let tail_at = self.len.checked_sub(TAIL).ok_or("it is cut")?;
        let tail = self.read(tail_at, TAIL).map_err(|error| error.to_string())?;
        if !tail.ends_with(MAGIC) || tail[0] != op::FOOTER {
            return Err("it has no footer: it was not finished".into());
        }
        let footer = parse_footer(&tail[9..29])?;
        let len = tail_at.checked_sub(footer.summary_start).filter(|&len| len <= MAX_SUMMARY_BYTES);
        let len = len.filter(|_| footer.summary_start != 0).ok_or("its footer names no summary")?;
        let summary = self.read(footer.summary_start, len).map_err(|error| error.to_string())?;
        let mut crc = crc32fast::Hasher::new();
        crc.update(&summary);
        crc.update(&tail[..25]);
        let whole = footer.summary_crc == 0 || footer.summary_crc == crc.finalize();
        if whole { Ok(summary) } else { Err("its summary is damaged".into()) }
    }

    fn check_place(&self, place: &ChunkPlace) -> Result<(), String> {
        let inside = place.offset.checked_add(place.length).is_some_and(|end| end <= self.len);
        let sound = inside && place.length > RECORD_HEAD && place.length <= MAX_CHUNK_BYTES && place.start <= place.end;
        if sound {
            Ok(())
        } else {
            Err(format!("its summary names a chunk of {} bytes at {}", place.length, place.offset))
        }
    }

    fn read_metadata(&self, offset: u64, len: u64, contents: &mut Contents) -> Result<(), String> {
        if !(RECORD_HEAD..=MAX_SUMMARY_BYTES).contains(&len) {
            return Err(format!("its summary names metadata of {len} bytes"));
        }
        let record = self.read(offset, len).map_err(|error| error.to_string())?;
        let opcode = record[0];
        if opcode != op::METADATA {
            return Err(format!("there is no metadata at byte {offset}"));
        }
        contents.absorb(opcode, &record[RECORD_HEAD as usize..])
    }

    // By walking ---------------------------------------------------------------------------------

    fn walk(&mut self, stopped: &dyn Fn() -> bool) -> Result<(), TripError> {
        self.contents = Contents::default();
        let mut at = MAGIC.len() as u64;
        while at < self.len && !self.contents.finished {
            TripError::unless(stopped)?;
            let step = self.step(at);
            at = match step {
                Ok(next) => next,
                Err(error @ TripError::Io { .. }) => return Err(error),
                Err(error) => self.resume(at, &error)?,
            };
        }
        Ok(())
    }

    /// Takes in the record at `at` and returns where the next one starts.
    fn step(&mut self, at: u64) -> Result<u64, TripError> {
        let head: [u8; 9] = self.read(at, RECORD_HEAD)?.try_into().expect("read gives as many bytes as asked");
        let (opcode, len) = (head[0], body_len(head));
        let end = (at + RECORD_HEAD).checked_add(len).filter(|&end| end <= self.len);
        let end = end.ok_or_else(|| self.damaged(at, "the record is cut"))?;
        match opcode {
            op::CHUNK => self.take_chunk(at, len)?,
            op::SCHEMA | op::CHANNEL | op::METADATA | op::ATTACHMENT => {
                let body = self.read(at + RECORD_HEAD, self.bounded(at, len)?)?;
                self.contents.absorb(opcode, &body).map_err(|reason| self.damaged(at, reason))?;
            }
            op::MESSAGE => *self.contents.counts.entry(0).or_default() += 1,
            op::DATA_END => self.contents.finished = true,
            op::HEADER | op::MESSAGE_INDEX | 0x80.. => (),
            other => return Err(self.damaged(at, format!("opcode {other:#04x} has no place here"))),
        }
        Ok(end)
    }

    fn take_chunk(&mut self, at: u64, len: u64) -> Result<(), TripError> {
        let body = self.read(at + RECORD_HEAD, self.bounded(at, len)?)?;
        let records = chunk::open(&body).map_err(|reason| self.damaged(at, reason))?;
        self.contents.absorb_chunk(&records).map_err(|reason| self.damaged(at, reason))?;
        let time = |at: usize| Stamp::from_ns(u64::from_le_bytes(body[at..at + 8].try_into().expect("eight bytes")));
        self.contents.chunks.push(ChunkPlace { offset: at, length: len + RECORD_HEAD, start: time(0), end: time(8) });
        Ok(())
    }

    fn bounded(&self, at: u64, len: u64) -> Result<u64, TripError> {
        if len <= MAX_CHUNK_BYTES { Ok(len) } else { Err(self.damaged(at, format!("record of {len} bytes"))) }
    }

    /// Notes the damage at `at` and returns where reading goes on: after the record if its frame is sound, else at
    /// the next thing that looks like a chunk.
    fn resume(&mut self, at: u64, error: &TripError) -> Result<u64, TripError> {
        let next = match self.frame_end(at) {
            Some(end) => {
                self.contents.damaged_chunks.extend(self.damaged_chunk(at, end));
                end
            }
            None if self.contents.damage.len() >= MAX_DAMAGE => self.len,
            None => self.find_chunk(at + 1)?,
        };
        let reason = match error {
            TripError::Damaged { reason, .. } => reason.clone(),
            other => other.to_string(),
        };
        self.contents.damage.push(Damage { offset: at, bytes: next - at, reason });
        Ok(next)
    }

    /// What the summary says of the file, if it can be read.
    pub(super) fn summary(&self) -> Option<Contents> {
        self.read_summary().ok()
    }

    /// The place of the chunk from `at` to `end` that cannot be opened; its times are those of its index if that is there.
    fn damaged_chunk(&self, at: u64, end: u64) -> Option<ChunkPlace> {
        let head = self.read(at, CHUNK_LOOK.min(end - at)).ok().filter(|head| head[0] == op::CHUNK)?;
        let time = |from: usize| Some(u64::from_le_bytes(head.get(from..from + 8)?.try_into().ok()?));
        let (mut start, mut last) = (u64::MAX, 0);
        let indexed = self.indexed_messages(end, |log_time| {
            (start, last) = (start.min(log_time), last.max(log_time));
            true
        });
        if indexed.is_none_or(|counts| counts.is_empty()) {
            (start, last) = time(9).zip(time(17)).filter(|(start, last)| start <= last).unwrap_or((0, u64::MAX));
        }
        let (start, end_time) = (Stamp::from_ns(start), Stamp::from_ns(last));
        Some(ChunkPlace { offset: at, length: end - at, start, end: end_time })
    }

    /// Messages by channel that the message indexes from byte `at` on name and whose log time `wanted` takes;
    /// `None` if there is no sound index.
    pub(super) fn indexed_messages(&self, at: u64, mut wanted: impl FnMut(u64) -> bool) -> Option<ChannelCounts> {
        let (mut at, mut counts) = (at, ChannelCounts::new());
        for _ in 0..MAX_INDEXES {
            let head: [u8; 9] = self.read(at, RECORD_HEAD).ok()?.try_into().ok()?;
            let len = body_len(head);
            if head[0] != op::MESSAGE_INDEX {
                // Every chunk that holds messages has an index: none at all means that it is damaged too.
                let sound = (op::HEADER..=op::DATA_END).contains(&head[0]) && at + RECORD_HEAD + len <= self.len;
                return (sound && !counts.is_empty()).then_some(counts);
            }
            let body = self.read(at + RECORD_HEAD, Some(len).filter(|&len| len <= MAX_INDEX_BYTES)?).ok()?;
            let (channel, log_times) = parse_index(&body)?;
            *counts.entry(channel).or_default() += log_times.filter(|&log_time| wanted(log_time)).count() as u64;
            at += RECORD_HEAD + len;
        }
        None
    }

    /// The end of the record at `at`, if another record plausibly begins there.
    fn frame_end(&self, at: u64) -> Option<u64> {
        let head: [u8; 9] = self.read(at, RECORD_HEAD).ok()?.try_into().ok()?;
        let end = (at + RECORD_HEAD).checked_add(body_len(head)).filter(|&end| end < self.len)?;
        let next: [u8; 9] = self.read(end, RECORD_HEAD).ok()?.try_into().ok()?;
        let fits = (end + RECORD_HEAD).checked_add(body_len(next)).is_some_and(|end| end <= self.len);
        (fits && (op::HEADER..=op::DATA_END).contains(&next[0])).then_some(end)
    }

    /// The first place from `from` on that looks like a chunk; the file's end if none does.
    fn find_chunk(&self, from: u64) -> Result<u64, TripError> {
        let mut at = from;
        while at < self.len {
            let window = self.read(at, (SEARCH_WINDOW + CHUNK_LOOK).min(self.len - at))?;
            let starts = window.iter().enumerate().filter(|(_, byte)| **byte == op::CHUNK).map(|(index, _)| index);
            let mut found = starts.take_while(|&index| (index as u64) < SEARCH_WINDOW);
            let looks = |&index: &usize| looks_like_chunk(&window[index..], self.len - at - index as u64);
            if let Some(index) = found.find(looks) {
                return Ok(at + index as u64);
            }
            at += SEARCH_WINDOW;
        }
        Ok(self.len)
    }
}

/// What a file is that begins with `head` and not as a trip does, and how it is brought in.
fn what_instead(path: &Path, head: &[u8]) -> String {
    let shown = path.display();
    let is_video =
        head.get(4..8) == Some(b"ftyp") || head.starts_with(b"\x1a\x45\xdf\xa3") || head.starts_with(b"RIFF");
    let is_picture = head.starts_with(b"\x89PNG") || head.starts_with(b"\xff\xd8\xff");
    if path.is_dir() {
        format!(
            "it is a folder; `segfuse trip import --images {shown} --rate HZ --out trip.mcap` makes a trip of pictures"
        )
    } else if is_video {
        format!("it is a video; make a trip of it: `segfuse trip import --video {shown} --out trip.mcap`")
    } else if is_picture {
        "it is a picture; `segfuse trip import --images FOLDER --rate HZ --out trip.mcap` makes a trip of a folder"
            .into()
    } else if !path.is_file() {
        "it is no file on a disk, and a trip is read in any order: copy it into one".into()
    } else if head.is_empty() {
        "it is empty: its recording has not begun, or never got anything".into()
    } else if head.starts_with(b"(") {
        format!(
            "it may be a log of CAN frames; `segfuse trip import --candump {shown} --out trip.mcap` makes a trip of it"
        )
    } else {
        "it does not begin as an MCAP file does; `segfuse trip import` makes a trip of pictures, videos and CAN logs"
            .into()
    }
}

/// Channel and log times of a message index: `u16` channel, `u32` bytes, then pairs of `u64` log time and offset.
fn parse_index(body: &[u8]) -> Option<(u16, impl Iterator<Item = u64> + '_)> {
    let (head, entries) = body.split_at_checked(6)?;
    let stated = u32::from_le_bytes(head[2..].try_into().ok()?) as usize;
    let sound = stated == entries.len() && stated.is_multiple_of(16);
    let log_time = |entry: &[u8]| u64::from_le_bytes(entry[..8].try_into().expect("half of sixteen bytes"));
    sound.then(|| (u16::from_le_bytes([head[0], head[1]]), entries.chunks_exact(16).map(log_time)))
}

fn parse_footer(body: &[u8]) -> Result<Footer, String> {
    match mcap::parse_record(op::FOOTER, body).map_err(|error| error.to_string())? {
        Record::Footer(footer) => Ok(footer),
        _ => Err("its footer is damaged".into()),
    }
}
