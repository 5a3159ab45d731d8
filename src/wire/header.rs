//! The fixed header of a mask: 136 bytes, little-endian, in the message's attachment.
//!
//! The offsets stand in one table in `docs/wire-format.md`, in the order of this file.

use super::WireError;
use crate::data::{FrameId, Origin, Size, Stamp};
use xxhash_rust::xxh3::xxh3_64;

/// Bytes of the header that this program writes.
pub const HEADER_LEN: usize = 136;
/// Bytes of a header of version 1.0, which ends after the latency.
const FIRST_HEADER_LEN: usize = 124;
/// The longest header that is read: room for what newer minor versions append.
const MAX_HEADER_LEN: usize = 256;

const MAGIC: [u8; 4] = *b"SGFM";
/// Changes when old readers would misread.
pub(super) const MAJOR: u8 = 1;
/// Counts fields appended, which old readers skip.
const MINOR: u8 = 1;

/// The planes are LZ4 blocks, one each.
const FLAG_LZ4: u16 = 1 << 0;
/// A plane of age follows the labels.
const FLAG_AGE: u16 = 1 << 1;
/// A plane of confidence follows.
const FLAG_CONFIDENCE: u16 = 1 << 2;
/// Flags that change how the payload is read: an unknown one is an error. The upper eight may be ignored.
const CRITICAL_FLAGS: u16 = 0x00ff;
/// The longest side, as everywhere in the program.
const MAX_SIDE: u16 = 16_384;
/// A number when nobody knows it.
const UNKNOWN: u32 = u32::MAX;

/// Which clock [`Header::stamp`] counts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StampClock {
    /// `CLOCK_MONOTONIC` of the publishing machine: a live camera.
    Monotonic,
    /// The timeline of a recording that is being replayed.
    Recording,
}

/// Bytes of each plane in the payload, in this order; 0 where the plane is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlaneBytes {
    /// The labels, always there.
    pub labels: u32,
    /// Age of each pixel's evidence.
    pub age: u32,
    /// Confidence of each pixel.
    pub confidence: u32,
}

impl PlaneBytes {
    /// Length of the whole payload.
    pub fn total(self) -> usize {
        self.labels as usize + self.age as usize + self.confidence as usize
    }
}

/// All that a subscriber must know of a mask besides the mask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whether each plane is an LZ4 block.
    pub lz4: bool,
    /// Where the mask came from.
    pub origin: Origin,
    /// The clock of `stamp`.
    pub clock: StampClock,
    /// Width and height of every plane.
    pub size: Size,
    /// The planes that follow.
    pub planes: PlaneBytes,
    /// Counts this publisher's masks from 0 without gaps: a gap is a mask lost on the way.
    pub sequence: u64,
    /// The camera frame answered.
    pub frame: FrameId,
    /// The middle of that frame's exposure.
    pub stamp: Stamp,
    /// `CLOCK_MONOTONIC` of the publishing machine when the mask was handed to Zenoh.
    pub published: Stamp,
    /// `stamp` as Unix time in nanoseconds, by the publisher's mapping.
    pub unix_ns: i64,
    /// Masks are comparable between equal hashes only.
    pub network_hash: u64,
    /// [`crate::data::ClassTable::hash`] of the table that the labels are of.
    pub classes_hash: u64,
    /// XXH3-64 of the labels, uncompressed.
    pub labels_hash: u64,
    /// XXH3-64 of age followed by confidence, uncompressed; of nothing where neither is there.
    pub planes_hash: u64,
    /// Another number for every start of a publisher.
    pub session: u32,
    /// From exposure (in a paced replay: from when the frame was due) to publication, in µs.
    pub latency_us: Option<u32>,
    /// How far the picture is from the key frame's carried to it, in millionths of the range of colours.
    pub residual_ppm: Option<u32>,
    /// Millionths of the labels that are expected to differ from the network's own, had it run on this frame; on a
    /// key frame, those that were expected before it ran.
    pub expected_ppm: Option<u32>,
    /// Millionths of the labels that did differ: on key frames.
    pub measured_ppm: Option<u32>,
}

impl Header {
    /// The header's bytes.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        let mut writer = Writer { bytes: &mut bytes, at: 0 };
        self.write_shape(&mut writer);
        self.write_identity(&mut writer);
        let check = check_of(&bytes[..HEADER_LEN - 4]);
        bytes[HEADER_LEN - 4..].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    fn write_shape(&self, writer: &mut Writer<'_>) {
        writer.put(&MAGIC);
        writer.put(&[MAJOR, MINOR]);
        writer.put(&(HEADER_LEN as u16).to_le_bytes());
        writer.put(&self.flags().to_le_bytes());
        writer.put(&[u8::from(self.origin != Origin::Key), self.clock as u8]);
        writer.put(&(self.size.width as u16).to_le_bytes());
        writer.put(&(self.size.height as u16).to_le_bytes());
        writer.put(&self.origin.distance().to_le_bytes());
        for length in [self.planes.labels, self.planes.age, self.planes.confidence] {
            writer.put(&length.to_le_bytes());
        }
    }

    fn write_identity(&self, writer: &mut Writer<'_>) {
        let key_frame = match self.origin {
            Origin::Key => self.frame,
            Origin::Propagated { from, .. } => from,
        };
        let numbers = [self.sequence, self.frame.0, key_frame.0, self.stamp.ns(), self.published.ns()];
        let hashes = [self.network_hash, self.classes_hash, self.labels_hash, self.planes_hash];
        for value in numbers.into_iter().chain([self.unix_ns as u64]).chain(hashes) {
            writer.put(&value.to_le_bytes());
        }
        writer.put(&self.session.to_le_bytes());
        for value in [self.latency_us, self.residual_ppm, self.expected_ppm, self.measured_ppm] {
            writer.put(&value.unwrap_or(UNKNOWN).to_le_bytes());
        }
    }

    fn flags(&self) -> u16 {
        let flag = |is_set: bool, bit: u16| if is_set { bit } else { 0 };
        flag(self.lz4, FLAG_LZ4)
            | flag(self.planes.age > 0, FLAG_AGE)
            | flag(self.planes.confidence > 0, FLAG_CONFIDENCE)
    }

    /// Reads a header from any bytes. Fields that a newer minor version appended are skipped.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::checked(bytes)?;
        let flags = known_flags(reader.u16())?;
        let [origin, clock] = reader.array();
        let size = size_of(reader.u16(), reader.u16())?;
        let distance = reader.u32();
        let planes = PlaneBytes { labels: reader.u32(), age: reader.u32(), confidence: reader.u32() };
        check_planes(flags, planes, size)?;
        let sequence = reader.u64();
        let (frame, key_frame) = (FrameId(reader.u64()), FrameId(reader.u64()));
        Ok(Self {
            lz4: flags & FLAG_LZ4 != 0,
            origin: origin_of(origin, distance, frame, key_frame)?,
            clock: clock_of(clock)?,
            size,
            planes,
            sequence,
            frame,
            stamp: Stamp::from_ns(reader.u64()),
            published: Stamp::from_ns(reader.u64()),
            unix_ns: reader.u64() as i64,
            network_hash: reader.u64(),
            classes_hash: reader.u64(),
            labels_hash: reader.u64(),
            planes_hash: reader.u64(),
            session: reader.u32(),
            latency_us: reader.known(),
            residual_ppm: reader.known(),
            expected_ppm: reader.known(),
            measured_ppm: reader.known(),
        })
    }
}

/// The last four bytes of a header: the low half of XXH3-64 of all bytes before them.
fn check_of(bytes: &[u8]) -> u32 {
    xxh3_64(bytes) as u32
}

fn known_flags(flags: u16) -> Result<u16, WireError> {
    let unknown = flags & CRITICAL_FLAGS & !(FLAG_LZ4 | FLAG_AGE | FLAG_CONFIDENCE);
    let rule = "a lower flag that this program does not know changes the payload: update it";
    if unknown == 0 { Ok(flags) } else { Err(WireError::Field { field: "flags", value: u64::from(flags), rule }) }
}

fn size_of(width: u16, height: u16) -> Result<Size, WireError> {
    for (field, side) in [("width", width), ("height", height)] {
        if side == 0 || side > MAX_SIDE {
            return Err(WireError::Field { field, value: u64::from(side), rule: "1 to 16384" });
        }
    }
    let size = Size::new(u32::from(width), u32::from(height));
    if size.pixels() > super::MAX_PLANE_BYTES { Err(WireError::TooLarge { size }) } else { Ok(size) }
}

fn check_planes(flags: u16, planes: PlaneBytes, size: Size) -> Result<(), WireError> {
    let lz4 = flags & FLAG_LZ4 != 0;
    let expected = [
        ("labels_bytes", planes.labels, true),
        ("age_bytes", planes.age, flags & FLAG_AGE != 0),
        ("confidence_bytes", planes.confidence, flags & FLAG_CONFIDENCE != 0),
    ];
    for (field, length, present) in expected {
        let bound = lz4_flex::block::get_maximum_output_size(size.pixels());
        let sound = match (present, lz4) {
            (false, _) => length == 0,
            (true, false) => length as usize == size.pixels(),
            (true, true) => (1..=bound).contains(&(length as usize)),
        };
        if !sound {
            let rule = "does not agree with the flags and the size";
            return Err(WireError::Field { field, value: u64::from(length), rule });
        }
    }
    Ok(())
}

fn origin_of(origin: u8, distance: u32, frame: FrameId, key_frame: FrameId) -> Result<Origin, WireError> {
    match (origin, distance) {
        (0, 0) if key_frame == frame => Ok(Origin::Key),
        (1, 1..) => Ok(Origin::Propagated { from: key_frame, distance }),
        _ => {
            let rule = "0 with distance 0 and itself as key frame, or 1 with a distance";
            Err(WireError::Field { field: "origin", value: u64::from(origin), rule })
        }
    }
}

fn clock_of(clock: u8) -> Result<StampClock, WireError> {
    match clock {
        0 => Ok(StampClock::Monotonic),
        1 => Ok(StampClock::Recording),
        _ => Err(WireError::Field { field: "clock", value: u64::from(clock), rule: "0 monotonic, 1 recording" }),
    }
}

struct Writer<'a> {
    bytes: &'a mut [u8; HEADER_LEN],
    at: usize,
}

impl Writer<'_> {
    fn put(&mut self, field: &[u8]) {
        self.bytes[self.at..self.at + field.len()].copy_from_slice(field);
        self.at += field.len();
    }
}

/// Reads the fields of a header whose length, version and check are right.
struct Reader<'a> {
    /// All but the check.
    fields: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn checked(bytes: &'a [u8]) -> Result<Self, WireError> {
        let too_short = WireError::HeaderLength { expected: FIRST_HEADER_LEN, got: bytes.len() };
        let Some((magic, _)) = bytes.split_first_chunk::<4>() else { return Err(too_short) };
        if *magic != MAGIC {
            return Err(WireError::Magic(*magic));
        }
        let Some(first) = bytes.first_chunk::<FIRST_HEADER_LEN>() else { return Err(too_short) };
        let (major, minor) = (first[4], first[5]);
        if major != MAJOR {
            return Err(WireError::Version { major, minor });
        }
        check_whole(bytes, usize::from(u16::from_le_bytes([first[6], first[7]])), minor)?;
        Ok(Self { fields: &bytes[..bytes.len() - 4], at: 8 })
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut field = [0; N];
        field.copy_from_slice(&self.fields[self.at..self.at + N]);
        self.at += N;
        field
    }

    fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.array())
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    /// A number that may be unknown; one that the header's version does not have yet is.
    fn known(&mut self) -> Option<u32> {
        let has = self.at < self.fields.len();
        has.then(|| self.u32()).filter(|value| *value != UNKNOWN)
    }
}

/// The length said is the length there is and one that the version may have, and the check agrees.
fn check_whole(bytes: &[u8], said: usize, minor: u8) -> Result<(), WireError> {
    let (shortest, longest) = match minor {
        0 => (FIRST_HEADER_LEN, FIRST_HEADER_LEN),
        MINOR => (HEADER_LEN, HEADER_LEN),
        _ => (HEADER_LEN, MAX_HEADER_LEN),
    };
    if said != bytes.len() || !(shortest..=longest).contains(&said) {
        return Err(WireError::HeaderLength { expected: said.clamp(shortest, longest), got: bytes.len() });
    }
    let (body, check) = bytes.split_last_chunk::<4>().expect("a header has at least 124 bytes");
    let (expected, got) = (check_of(body), u32::from_le_bytes(*check));
    if expected == got { Ok(()) } else { Err(WireError::HeaderCheck { expected, got }) }
}

#[cfg(test)]
mod tests;
