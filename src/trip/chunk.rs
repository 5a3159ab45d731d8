//! One chunk of an MCAP file: bounded decompression, its checksum, and the records inside.
//!
//! Sizes are checked before anything is allocated, so that a crafted chunk of a few bytes cannot
//! ask for gigabytes. (The `mcap` crate's own chunk reader has no such bound.)

use mcap::records::{ChunkHeader, Record, op};
use prost::bytes::Bytes;
use std::io::Read;
use std::ops::Range;

/// The largest chunk, compressed or not: one 16-bit-a-pixel frame of 128 Mpixel. The writer keeps to it too.
pub(super) const MAX_CHUNK_BYTES: u64 = 256 << 20;

/// Bytes before a record's body: its opcode and length.
pub(super) const RECORD_HEAD: u64 = 9;

/// Decompresses a chunk record's body and verifies it.
pub(super) fn open(body: &[u8]) -> Result<Bytes, String> {
    let (header, data) = parse(body)?;
    let (got, limit) = (header.uncompressed_size, MAX_CHUNK_BYTES);
    if got > limit {
        return Err(format!("chunk of {got} bytes: at most {limit} are read"));
    }
    let records = inflate(&header, data)?;
    check_crc(header.uncompressed_crc, &records)?;
    Ok(records.into())
}

fn parse(body: &[u8]) -> Result<(ChunkHeader, &[u8]), String> {
    let record = mcap::parse_record(op::CHUNK, body).map_err(|error| error.to_string())?;
    let Record::Chunk { header, .. } = record else { return Err("not a chunk".into()) };
    let head = 40 + header.compression.len();
    let size = usize::try_from(header.compressed_size).map_err(|error| error.to_string())?;
    let data = body.get(head..).and_then(|rest| rest.get(..size)).ok_or("chunk is shorter than it says")?;
    Ok((header, data))
}

fn inflate(header: &ChunkHeader, data: &[u8]) -> Result<Vec<u8>, String> {
    let expected = header.uncompressed_size;
    let mut records = Vec::with_capacity(expected as usize);
    let stream: Box<dyn Read> = match header.compression.as_str() {
        "" => Box::new(data),
        "zstd" => Box::new(zstd::stream::read::Decoder::with_buffer(data).map_err(|error| error.to_string())?),
        "lz4" => Box::new(lz4::Decoder::new(data).map_err(|error| error.to_string())?),
        other => return Err(format!("compression '{other}' is not read: known are zstd and lz4")),
    };
    stream.take(expected + 1).read_to_end(&mut records).map_err(|error| format!("decompression: {error}"))?;
    if records.len() as u64 == expected {
        Ok(records)
    } else {
        Err(format!("chunk has another size than the {expected} bytes that it states"))
    }
}

fn check_crc(stated: u32, records: &[u8]) -> Result<(), String> {
    if stated == 0 {
        return Ok(());
    }
    let found = crc32fast::hash(records);
    if found == stated { Ok(()) } else { Err(format!("checksum {found:08x}, expected {stated:08x}")) }
}

/// The records of an opened chunk or of a summary: `(opcode, place of the body)`.
pub(super) struct Records<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Records<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn step(&mut self) -> Option<(u8, Range<usize>)> {
        let head: [u8; 9] = self.bytes.get(self.at..self.at + 9)?.try_into().ok()?;
        let len = usize::try_from(body_len(head)).ok()?;
        let start = self.at + 9;
        let end = start.checked_add(len).filter(|&end| end <= self.bytes.len())?;
        self.at = end;
        Some((head[0], start..end))
    }
}

impl Iterator for Records<'_> {
    type Item = Result<(u8, Range<usize>), String>;
    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let record = self.step().ok_or_else(|| format!("record at {} of the chunk is cut", self.at));
        if record.is_err() {
            self.at = self.bytes.len();
        }
        Some(record)
    }
}

/// The length that a record's head states.
pub(super) fn body_len(head: [u8; 9]) -> u64 {
    let [_, length @ ..] = head;
    u64::from_le_bytes(length)
}

/// Whether `head` (the first 48 bytes at a place) looks like a chunk that fits into `room` bytes.
pub(super) fn looks_like_chunk(head: &[u8], room: u64) -> bool {
    let Some(fixed) = head.get(..41).filter(|fixed| fixed[0] == op::CHUNK) else { return false };
    let number = |at: usize| u64::from_le_bytes(fixed[at..at + 8].try_into().expect("eight bytes of 41"));
    let (len, start, end) = (number(1), number(9), number(17));
    let named = u32::from_le_bytes(fixed[37..41].try_into().expect("four bytes of 41")) as usize;
    let compression = head.get(41..41 + named.min(4));
    let known = matches!((named, compression), (0, _) | (3, Some(b"lz4")) | (4, Some(b"zstd")));
    known && start <= end && (40..=MAX_CHUNK_BYTES).contains(&len) && len.saturating_add(RECORD_HEAD) <= room
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(uncompressed_size: u64, crc: u32, compression: &str, data: &[u8]) -> Vec<u8> {
        let mut body = [[0; 8], [9, 0, 0, 0, 0, 0, 0, 0], uncompressed_size.to_le_bytes()].concat();
        body.extend(crc.to_le_bytes());
        body.extend((compression.len() as u32).to_le_bytes());
        body.extend(compression.as_bytes());
        body.extend((data.len() as u64).to_le_bytes());
        body.extend(data);
        body
    }

    #[test]
    fn a_chunk_that_is_not_what_it_says_is_refused() {
        let packed = zstd::stream::encode_all(&[7u8; 100][..], 1).expect("memory");
        let crc = crc32fast::hash(&[7; 100]);
        assert_eq!(open(&chunk(100, crc, "zstd", &packed)).expect("whole"), vec![7u8; 100]);
        for (case, body) in [
            ("a bomb", chunk(u64::MAX, 0, "zstd", &packed)),
            ("longer than stated", chunk(99, 0, "zstd", &packed)),
            ("shorter than stated", chunk(101, 0, "zstd", &packed)),
            ("wrong checksum", chunk(100, crc ^ 1, "zstd", &packed)),
            ("unknown compression", chunk(100, 0, "bz2", &packed)),
            ("not zstd at all", chunk(100, 0, "zstd", &[1, 2, 3])),
            ("not lz4 at all", chunk(100, 0, "lz4", &[1, 2, 3])),
            ("cut", chunk(100, crc, "zstd", &packed)[..45].to_vec()),
        ] {
            assert!(open(&body).is_err(), "{case}");
        }
    }

    #[test]
    fn records_end_at_the_first_that_is_cut() {
        let mut bytes = vec![op::MESSAGE, 2, 0, 0, 0, 0, 0, 0, 0, 5, 6, op::MESSAGE];
        bytes.extend(u64::MAX.to_le_bytes());
        let found: Vec<_> = Records::new(&bytes).collect();
        assert_eq!(found[0], Ok((op::MESSAGE, 9..11)));
        assert!(found.len() == 2 && found[1].is_err());
    }
}
