//! The published messages: what a publisher writes and any subscriber can read, in any language.
//!
//! ```text
//! <prefix>/<vehicle>/<camera>/mask     payload: planes, row-major    attachment: Header, 136 bytes
//!                            /state    JSON: the vehicle's state at the frame's exposure
//!                            /health   JSON: counts and latency, once a second and on request
//!                            /classes  JSON: what the labels mean, on request
//!                            /alive/*  a liveliness token for every publisher
//! ```
//!
//! Every byte is described in `docs/wire-format.md`. Not here: queues, retries, gaps; those
//! belong to [`crate::sink`] and [`crate::subscribe`].

mod copy;
mod header;
mod keys;
mod notice;
mod payload;
#[cfg(feature = "zenoh")]
pub mod session;

pub use header::{HEADER_LEN, Header, PlaneBytes, StampClock};
pub use keys::{Keys, KeysError, Presence, check_name, check_prefix};
pub use notice::{ClassesNotice, Health, LatencyMs, StateNotice};
pub use payload::{Choice, Encoder, Envelope, Hashes, MAX_PLANE_BYTES, MaskMessage, Packed, decode};

/// Why bytes are not a message of ours. Recovery: skip the message and count it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum WireError {
    /// Some other program's message on our key.
    #[error("not a segfuse mask: the header begins with {0:02x?}, expected \"SGFM\"")]
    Magic([u8; 4]),
    /// Written by a newer program in a layout that this one does not know.
    #[error("header version {major}.{minor}: this program reads {}.x, update it", header::MAJOR)]
    Version {
        /// Major version found.
        major: u8,
        /// Minor version found.
        minor: u8,
    },
    /// Too short or too long for a header.
    #[error("header of {got} bytes, expected {expected}")]
    HeaderLength {
        /// Bytes it says or must have.
        expected: usize,
        /// Bytes there are.
        got: usize,
    },
    /// Bits have changed on the way.
    #[error("header check is {got:#010x}, expected {expected:#010x}: it was damaged on the way")]
    HeaderCheck {
        /// What the bytes give.
        expected: u32,
        /// What the header says.
        got: u32,
    },
    /// A value that has no meaning.
    #[error("header field {field} is {value}: {rule}")]
    Field {
        /// The field's name in docs/wire-format.md.
        field: &'static str,
        /// Its value.
        value: u64,
        /// What it must be.
        rule: &'static str,
    },
    /// More than a message may carry.
    #[error("a plane of {size} has {} bytes: at most {MAX_PLANE_BYTES} fit in a message", .size.pixels())]
    TooLarge {
        /// Size of the mask.
        size: crate::data::Size,
    },
    /// The payload is not as long as the header says.
    #[error("payload of {got} bytes, the header says {expected}")]
    PayloadLength {
        /// What the header says.
        expected: usize,
        /// Bytes there are.
        got: usize,
    },
    /// The payload is not a block of LZ4, or not of this plane.
    #[error("plane '{plane}' does not decompress to {expected} bytes: {reason}")]
    Compression {
        /// Which plane.
        plane: &'static str,
        /// Bytes of the plane.
        expected: usize,
        /// What is wrong.
        reason: String,
    },
    /// The planes are not those that were sent: shared memory was taken back under a slow reader, for instance.
    #[error("hash of {planes} is {got:016x}, the header says {expected:016x}: damaged on the way")]
    Hash {
        /// Which planes.
        planes: &'static str,
        /// What the header says.
        expected: u64,
        /// What the bytes give.
        got: u64,
    },
    /// A plane whose size is not the mask's.
    #[error("plane '{plane}' is {got}, the mask is {expected}")]
    PlaneSize {
        /// Which plane.
        plane: &'static str,
        /// The mask's size.
        expected: crate::data::Size,
        /// The plane's size.
        got: crate::data::Size,
    },
    /// A JSON message that cannot be read.
    #[error("{message}: {reason}")]
    Json {
        /// Which message.
        message: &'static str,
        /// Where and why.
        reason: String,
    },
}
