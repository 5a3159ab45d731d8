//! The planes of a mask: packed for sending, and read back from any bytes.

use super::copy::{Pieces, copy_hashed};
use super::{Header, PlaneBytes, StampClock, WireError};
use crate::data::{BufferPool, LabelMask, Perception, Plane, SharedBytes, Size, Stamp};
use lz4_flex::block::{CompressTable, compress_into_with_table, decompress_into, get_maximum_output_size};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// The largest plane that is sent or read: 64 Mi pixels, twice an 8K picture.
pub const MAX_PLANE_BYTES: usize = 64 << 20;

const NAMES: [&str; 3] = ["labels", "age", "confidence"];

/// What of a perception is sent, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// Compress each plane as one LZ4 block.
    pub lz4: bool,
    /// Send the plane of age where there is one.
    pub age: bool,
    /// Send the plane of confidence where there is one.
    pub confidence: bool,
}

/// What the publisher adds to a perception.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// See [`Header::session`].
    pub session: u32,
    /// See [`Header::sequence`].
    pub sequence: u64,
    /// See [`Header::clock`].
    pub clock: StampClock,
    /// See [`Header::unix_ns`].
    pub unix_ns: i64,
    /// See [`Header::published`].
    pub published: Stamp,
    /// See [`Header::latency_us`].
    pub latency_us: Option<u32>,
    /// See [`Header::network_hash`].
    pub network_hash: u64,
    /// See [`Header::classes_hash`].
    pub classes_hash: u64,
}

/// XXH3-64 of the uncompressed planes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hashes {
    /// Of the labels.
    pub labels: u64,
    /// Of age followed by confidence.
    pub planes: u64,
}

/// Packs perceptions; keeps its buffers, so that the steady state allocates nothing.
#[derive(Default)]
pub struct Encoder {
    choice: Choice,
    blocks: [Vec<u8>; 3],
    /// What LZ4 looks back by.
    table: CompressTable,
}

impl Encoder {
    /// An encoder that sends `choice`.
    pub fn new(choice: Choice) -> Self {
        Self { choice, ..Self::default() }
    }

    /// The planes of `perception` as they are to be sent, not yet copied anywhere.
    pub fn pack<'a>(&'a mut self, perception: &'a Perception) -> Result<Packed<'a>, WireError> {
        let size = perception.mask.size();
        if size.pixels() > MAX_PLANE_BYTES || size.width > 16_384 || size.height > 16_384 {
            return Err(WireError::TooLarge { size });
        }
        let chosen = |wanted: bool, plane: &'a Option<Plane>| plane.as_ref().filter(|_| wanted);
        let age = plane_of("age", chosen(self.choice.age, &perception.age), size)?;
        let confidence = plane_of("confidence", chosen(self.choice.confidence, &perception.confidence), size)?;
        let raw = [&perception.mask.labels()[..], age, confidence];
        let stored = if self.choice.lz4 { compress(&mut self.blocks, &mut self.table, raw) } else { raw };
        Ok(Packed { perception, lz4: self.choice.lz4, raw, stored })
    }
}

fn plane_of<'a>(name: &'static str, plane: Option<&'a Plane>, size: Size) -> Result<&'a [u8], WireError> {
    match plane {
        None => Ok(&[]),
        Some(plane) if plane.size() == size => Ok(plane.bytes()),
        Some(plane) => Err(WireError::PlaneSize { plane: name, expected: size, got: plane.size() }),
    }
}

fn compress<'a>(blocks: &'a mut [Vec<u8>; 3], table: &mut CompressTable, raw: [&[u8]; 3]) -> [&'a [u8]; 3] {
    for (block, raw) in blocks.iter_mut().zip(raw) {
        block.resize(if raw.is_empty() { 0 } else { get_maximum_output_size(raw.len()) }, 0);
        if !raw.is_empty() {
            let length =
                compress_into_with_table(raw, block, table).expect("the block has the room that LZ4 asks for at worst");
            block.truncate(length);
        }
    }
    [&blocks[0], &blocks[1], &blocks[2]]
}

/// A perception ready to be written into a message.
#[derive(Debug)]
pub struct Packed<'a> {
    perception: &'a Perception,
    lz4: bool,
    raw: [&'a [u8]; 3],
    stored: [&'a [u8]; 3],
}

impl Packed<'_> {
    /// Length of the payload in bytes, never 0.
    #[allow(clippy::len_without_is_empty, reason = "a mask has at least one pixel")]
    pub fn len(&self) -> usize {
        self.plane_bytes().total()
    }

    /// Length of the planes uncompressed.
    pub fn raw_len(&self) -> usize {
        self.raw.iter().map(|plane| plane.len()).sum()
    }

    /// The labels alone, if they are the payload just as they are in memory: no copy is needed then.
    pub fn as_plain_labels(&self) -> Option<&SharedBytes> {
        let plain = !self.lz4 && self.raw[1].is_empty() && self.raw[2].is_empty();
        plain.then(|| self.perception.mask.labels())
    }

    /// Hashes of the planes.
    pub fn hashes(&self) -> Hashes {
        let mut planes = Xxh3::new();
        planes.update(self.raw[1]);
        planes.update(self.raw[2]);
        Hashes { labels: xxh3_64(self.raw[0]), planes: planes.digest() }
    }

    /// Writes the payload into `out`, which has [`Packed::len`] bytes, and hashes the planes on the way.
    ///
    /// # Panics
    /// If `out` has another length.
    pub fn write_to(&self, out: &mut [u8]) -> Hashes {
        assert_eq!(out.len(), self.len(), "the payload's length is Packed::len");
        let (mut labels, mut planes) = (Xxh3::new(), Xxh3::new());
        let mut rest = out;
        for (index, stored) in self.stored.iter().enumerate() {
            let (here, after) = rest.split_at_mut(stored.len());
            copy_hashed(stored, here, if index == 0 { &mut labels } else { &mut planes });
            rest = after;
        }
        if self.lz4 { self.hashes() } else { Hashes { labels: labels.digest(), planes: planes.digest() } }
    }

    /// The header that belongs to this payload.
    pub fn header(&self, hashes: Hashes, envelope: &Envelope) -> Header {
        let known = self.perception.disagreement;
        Header {
            lz4: self.lz4,
            origin: self.perception.origin,
            clock: envelope.clock,
            size: self.perception.mask.size(),
            planes: self.plane_bytes(),
            sequence: envelope.sequence,
            frame: self.perception.frame,
            stamp: self.perception.stamp,
            published: envelope.published,
            unix_ns: envelope.unix_ns,
            network_hash: envelope.network_hash,
            classes_hash: envelope.classes_hash,
            labels_hash: hashes.labels,
            planes_hash: hashes.planes,
            session: envelope.session,
            latency_us: envelope.latency_us,
            residual_ppm: known.and_then(|found| ppm(found.residual)),
            expected_ppm: known.and_then(|found| ppm(found.expected)),
            measured_ppm: known.and_then(|found| found.measured).and_then(ppm),
        }
    }

    fn plane_bytes(&self) -> PlaneBytes {
        let [labels, age, confidence] = self.stored.map(|plane| plane.len() as u32);
        PlaneBytes { labels, age, confidence }
    }
}

/// A mask as it arrived, verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaskMessage {
    /// What is known of the mask.
    pub header: Header,
    /// A class for every pixel.
    pub labels: LabelMask,
    /// Frames since a pixel's evidence was seen by the network, if it was sent.
    pub age: Option<Plane>,
    /// Margin between the two best classes of a pixel, if it was sent.
    pub confidence: Option<Plane>,
}

/// Reads a message from any bytes: `attachment` is the header, `payload` the planes in one or more pieces.
///
/// Planes are copied into buffers of `pool` and verified there, so that what is returned cannot
/// change any more even if the payload lay in shared memory.
pub fn decode<'a>(
    attachment: &[u8],
    payload: impl IntoIterator<Item = &'a [u8]>,
    pool: &mut BufferPool,
) -> Result<MaskMessage, WireError> {
    let header = Header::decode(attachment)?;
    let mut pieces = Pieces::new(payload.into_iter());
    let (mut labels_hash, mut planes_hash) = (Xxh3::new(), Xxh3::new());
    let mut reader = PlaneReader { header: &header, pieces: &mut pieces, pool };
    let labels = reader.read(0, header.planes.labels, &mut labels_hash)?;
    let age = reader.read(1, header.planes.age, &mut planes_hash)?;
    let confidence = reader.read(2, header.planes.confidence, &mut planes_hash)?;
    let (expected, got) = (header.planes.total(), pieces.count());
    let (Some(labels), true) = (labels, expected == got) else {
        return Err(WireError::PayloadLength { expected, got });
    };
    compare("labels", header.labels_hash, labels_hash.digest())?;
    compare("age and confidence", header.planes_hash, planes_hash.digest())?;
    let labels = LabelMask::new(header.size, labels).expect("read with the size's own number of pixels");
    let plane = |bytes: SharedBytes| Plane::new(header.size, bytes).expect("read with the size's own number of pixels");
    Ok(MaskMessage { labels, age: age.map(plane), confidence: confidence.map(plane), header })
}

fn compare(planes: &'static str, expected: u64, got: u64) -> Result<(), WireError> {
    if expected == got { Ok(()) } else { Err(WireError::Hash { planes, expected, got }) }
}

struct PlaneReader<'r, 'a, I> {
    header: &'r Header,
    pieces: &'r mut Pieces<'a, I>,
    pool: &'r mut BufferPool,
}

impl<'a, I: Iterator<Item = &'a [u8]>> PlaneReader<'_, 'a, I> {
    /// The plane stored in `stored` bytes, hashed; `None` if it is absent or the payload ends inside it
    /// (which the length check after all planes tells).
    fn read(&mut self, plane: usize, stored: u32, hash: &mut Xxh3) -> Result<Option<SharedBytes>, WireError> {
        if stored == 0 {
            return Ok(None);
        }
        let mut ignored = Xxh3::new();
        let first_hash = if self.header.lz4 { &mut ignored } else { &mut *hash };
        let mut whole = false;
        let bytes = self.pool.fill(stored as usize, |to| whole = self.pieces.copy(to, first_hash));
        match (whole, self.header.lz4) {
            (false, _) => Ok(None),
            (true, false) => Ok(Some(bytes)),
            (true, true) => self.decompress(NAMES[plane], &bytes, hash).map(Some),
        }
    }

    fn decompress(&mut self, plane: &'static str, block: &[u8], hash: &mut Xxh3) -> Result<SharedBytes, WireError> {
        let expected = self.header.size.pixels();
        let mut outcome = Ok(0);
        let bytes = self.pool.fill(expected, |to| outcome = decompress_into(block, to));
        let refuse = |reason| WireError::Compression { plane, expected, reason };
        match outcome {
            Ok(length) if length == expected => hash.update(&bytes),
            Ok(length) => return Err(refuse(format!("it holds {length} bytes"))),
            Err(error) => return Err(refuse(error.to_string())),
        }
        Ok(bytes)
    }
}

/// A share in millionths; unknown if it is no number.
fn ppm(share: f32) -> Option<u32> {
    share.is_finite().then(|| (f64::from(share.clamp(0.0, 1.0)) * 1e6).round() as u32)
}

#[cfg(test)]
mod tests;
