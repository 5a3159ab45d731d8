//! Compresses one chunk after the other into one buffer.

use crate::trip::writer::Compression;
use std::io::{self, Write};
use zstd::stream::raw::{Encoder, InBuffer, Operation as _, OutBuffer};

/// zstd's fastest level but for the negative ones.
const LEVEL: i32 = 1;
/// Room that zstd finds for its next bytes: the most that it gives at once.
const ROOM: usize = 128 << 10;

/// The compressor and what it has made of the open chunk, behind room for the chunk's head.
pub(super) struct Compressor {
    way: Way,
    bytes: Vec<u8>,
}

enum Way {
    Plain,
    /// Made anew for each chunk: the library has no way to begin another with it.
    Lz4(Option<lz4::Encoder<Vec<u8>>>),
    Zstd(Encoder<'static>),
}

impl Compressor {
    /// A compressor of chunks of about `room` bytes.
    pub(super) fn new(compression: Compression, room: usize) -> io::Result<Self> {
        let way = match compression {
            Compression::None => Way::Plain,
            Compression::Lz4 => Way::Lz4(None),
            Compression::Zstd => Way::Zstd(Encoder::new(LEVEL)?),
        };
        Ok(Self { way, bytes: Vec::with_capacity(room + 2 * ROOM) })
    }

    /// Its name in MCAP.
    pub(super) fn name(&self) -> &'static str {
        match self.way {
            Way::Plain => "",
            Way::Lz4(_) => "lz4",
            Way::Zstd(_) => "zstd",
        }
    }

    /// Begins a chunk behind `head` bytes that are filled in later.
    pub(super) fn begin(&mut self, head: usize) -> io::Result<()> {
        self.bytes.clear();
        self.bytes.resize(head, 0);
        match &mut self.way {
            Way::Plain => {}
            Way::Lz4(encoder) => {
                let options = lz4::EncoderBuilder::new().level(0).block_checksum(NO_CHECKSUM).clone();
                *encoder = Some(options.build(std::mem::take(&mut self.bytes))?);
            }
            Way::Zstd(encoder) => encoder.reinit()?,
        }
        Ok(())
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.way {
            Way::Plain => self.bytes.extend(bytes),
            Way::Lz4(Some(encoder)) => encoder.write_all(bytes)?,
            Way::Lz4(None) => return Err(io::Error::other("no chunk is open")),
            Way::Zstd(encoder) => {
                let mut input = InBuffer::around(bytes);
                while input.pos() < bytes.len() {
                    let at = with_room(&mut self.bytes);
                    encoder.run(&mut input, &mut OutBuffer::around_pos(&mut self.bytes, at))?;
                }
            }
        }
        Ok(())
    }

    /// Ends the chunk; the head's room and the chunk's bytes.
    pub(super) fn end(&mut self) -> io::Result<&mut Vec<u8>> {
        match &mut self.way {
            Way::Plain => {}
            Way::Lz4(encoder) => {
                let encoder = encoder.take().ok_or_else(|| io::Error::other("no chunk is open"))?;
                let (bytes, ended) = encoder.finish();
                ended?;
                self.bytes = bytes;
            }
            Way::Zstd(encoder) => loop {
                let at = with_room(&mut self.bytes);
                if encoder.finish(&mut OutBuffer::around_pos(&mut self.bytes, at), true)? == 0 {
                    break;
                }
            },
        }
        Ok(&mut self.bytes)
    }
}

const NO_CHECKSUM: lz4::liblz4::BlockChecksum = lz4::liblz4::BlockChecksum::NoBlockChecksum;

/// Makes room behind `bytes`; where they end.
fn with_room(bytes: &mut Vec<u8>) -> usize {
    bytes.reserve(ROOM);
    bytes.len()
}
