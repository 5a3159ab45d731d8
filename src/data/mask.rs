//! Class masks and other planes of one byte a pixel.

use super::{SharedBytes, Size};
use xxhash_rust::xxh3::xxh3_64;

/// The label of a pixel that has none.
pub const UNLABELED: u8 = 255;

/// Why bytes are not a plane. Recovery: skip the message or file and count it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MaskError {
    /// The number of bytes is not width times height.
    #[error("a plane of {size} needs {} bytes, got {got}", .size.pixels())]
    Length {
        /// The size claimed.
        size: Size,
        /// Bytes given.
        got: usize,
    },
}

/// `[rows, cols] u8`, row-major without padding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plane {
    size: Size,
    bytes: SharedBytes,
}

impl Plane {
    /// A plane of exactly `size.pixels()` bytes.
    pub fn new(size: Size, bytes: SharedBytes) -> Result<Self, MaskError> {
        if bytes.len() == size.pixels() {
            Ok(Self { size, bytes })
        } else {
            Err(MaskError::Length { size, got: bytes.len() })
        }
    }

    /// Width and height.
    pub fn size(&self) -> Size {
        self.size
    }

    /// All values, row-major.
    pub fn bytes(&self) -> &SharedBytes {
        &self.bytes
    }
}

/// A class for every pixel: `[rows, cols] u8` train ids, [`UNLABELED`] where there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelMask(Plane);

impl LabelMask {
    /// A mask of exactly `size.pixels()` labels.
    pub fn new(size: Size, labels: SharedBytes) -> Result<Self, MaskError> {
        Plane::new(size, labels).map(Self)
    }

    /// Width and height.
    pub fn size(&self) -> Size {
        self.0.size
    }

    /// All labels, row-major.
    pub fn labels(&self) -> &SharedBytes {
        &self.0.bytes
    }

    /// XXH3-64 of the labels: what replays compare and subscribers verify.
    pub fn hash(&self) -> u64 {
        xxh3_64(self.labels())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_has_one_label_a_pixel() {
        let size = Size::new(3, 2);
        assert!(LabelMask::new(size, vec![0; 6].into()).is_ok());
        assert_eq!(LabelMask::new(size, vec![0; 7].into()), Err(MaskError::Length { size, got: 7 }));
    }

    #[test]
    fn the_hash_sees_every_label() {
        let mask = |last| LabelMask::new(Size::new(2, 1), vec![1, last].into()).expect("two labels");
        assert_ne!(mask(1).hash(), mask(2).hash());
    }
}
