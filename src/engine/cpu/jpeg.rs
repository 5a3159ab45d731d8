//! JPEG frames into RGB in a pooled buffer, without a copy in between.
//!
//! A file is taken only if it is whole: cut short, of another size than it was said to have, or with
//! more scans than any camera writes, it is an error of that frame.

use super::super::EngineError;
use crate::data::{BufferPool, Image, PixelFormat, Size};
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder as Decoder;

/// Frames that may be in flight before another buffer is allocated: the current one, its key frame, sinks.
const BUFFERS: usize = 8;
/// Scans of a progressive file; encoders write about ten. Bounds the time a small file can ask for.
const MAX_SCANS: usize = 64;
/// The end-of-image marker.
const END: [u8; 2] = [0xff, 0xd9];

/// Decodes JPEG frames one after the other.
#[derive(Debug)]
pub struct JpegDecoder {
    pool: BufferPool,
}

impl Default for JpegDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl JpegDecoder {
    /// A decoder with an empty pool.
    pub fn new() -> Self {
        Self { pool: BufferPool::new(BUFFERS) }
    }

    /// `image` as [`PixelFormat::Rgb8`] without padding; one that is not a JPEG is shared as it is.
    ///
    /// # Errors
    /// [`EngineError::Frame`] if the file is cut short, broken, or not of the size that `image` states:
    /// skip the frame and count it. Memory is bounded by the stated size, which [`Image`] bounds.
    pub fn decode(&mut self, image: &Image) -> Result<Image, EngineError> {
        if image.format() != PixelFormat::Jpeg {
            return Ok(image.clone());
        }
        let size = image.size();
        let mut decoder = Decoder::new_with_options(ZCursor::new(&**image.bytes()), options(size));
        check_header(&mut decoder, size)?;
        check_end(image.bytes())?;
        let mut outcome = Ok(());
        let rgb = self.pool.fill(size.pixels() * 3, |rgb| outcome = decoder.decode_into(rgb));
        outcome.map_err(|error| refuse(&error))?;
        Image::packed(PixelFormat::Rgb8, size, rgb).map_err(|error| refuse(&error))
    }
}

fn options(size: Size) -> DecoderOptions {
    let bounded = DecoderOptions::default().set_max_width(size.width as usize).set_max_height(size.height as usize);
    bounded.set_strict_mode(true).jpeg_set_max_scans(MAX_SCANS).jpeg_set_out_colorspace(ColorSpace::RGB)
}

fn refuse(error: &dyn std::fmt::Display) -> EngineError {
    EngineError::Frame(format!("jpeg: {error}"))
}

fn check_header(decoder: &mut Decoder<ZCursor<&[u8]>>, size: Size) -> Result<(), EngineError> {
    decoder.decode_headers().map_err(|error| refuse(&error))?;
    let found = decoder.dimensions();
    let stated = (size.width as usize, size.height as usize);
    if found == Some(stated) {
        return Ok(());
    }
    let (width, height) = found.unwrap_or_default();
    Err(refuse(&format_args!("its header says {width}x{height}, expected {size}")))
}

/// Cameras may fill their buffers up with zeros; anything else after the last scan is a file cut short.
fn check_end(bytes: &[u8]) -> Result<(), EngineError> {
    let end = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    if bytes[..end].ends_with(&END) {
        return Ok(());
    }
    Err(refuse(&format_args!("{} bytes without the end-of-image marker: cut short", bytes.len())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::to_rgb8;
    use std::io::Cursor;

    fn file(width: u32, height: u32) -> Vec<u8> {
        let picture = image::RgbImage::from_fn(width, height, |x, y| {
            image::Rgb([(x * 7) as u8, (y * 5) as u8, ((x ^ y) * 3) as u8])
        });
        let mut file = Vec::new();
        picture.write_to(&mut Cursor::new(&mut file), image::ImageFormat::Jpeg).expect("a small JPEG");
        file
    }

    fn jpeg(width: u32, height: u32, bytes: &[u8]) -> Image {
        Image::jpeg(Size::new(width, height), bytes.to_vec().into()).expect("not empty")
    }

    #[test]
    fn a_whole_file_decodes_to_what_the_specification_of_colour_says() {
        for (width, height) in [(1, 1), (17, 9), (64, 48)] {
            let image = jpeg(width, height, &file(width, height));
            let decoded = JpegDecoder::new().decode(&image).expect("whole");
            assert_eq!(decoded.bytes()[..], to_rgb8(&image).expect("whole"), "{width}x{height}");
        }
    }

    #[test]
    fn a_file_cut_anywhere_or_of_another_size_is_refused() {
        let whole = file(64, 48);
        let mut decoder = JpegDecoder::new();
        let taken: Vec<usize> =
            (1..whole.len()).filter(|&end| decoder.decode(&jpeg(64, 48, &whole[..end])).is_ok()).collect();
        assert_eq!(taken, [] as [usize; 0]);
        for (width, height) in [(64, 47), (63, 48), (128, 96), (16_384, 16_384)] {
            assert!(decoder.decode(&jpeg(width, height, &whole)).is_err(), "{width}x{height}");
        }
    }

    #[test]
    fn flipped_bytes_are_an_error_or_a_picture_and_never_a_panic() {
        let whole = file(40, 24);
        let mut decoder = JpegDecoder::new();
        for at in 0..whole.len() {
            for flip in [0xff, 0x01, 0x80] {
                let mut broken = whole.clone();
                broken[at] ^= flip;
                if let Ok(image) = decoder.decode(&jpeg(40, 24, &broken)) {
                    assert_eq!(image.bytes().len(), 40 * 24 * 3);
                }
            }
        }
    }

    #[test]
    fn padding_after_the_end_is_allowed_and_buffers_are_used_again() {
        let mut bytes = file(16, 16);
        bytes.extend([0; 100]);
        let mut decoder = JpegDecoder::new();
        let first = decoder.decode(&jpeg(16, 16, &bytes)).expect("whole");
        let address = first.bytes().as_ptr();
        drop(first);
        let second = decoder.decode(&jpeg(16, 16, &bytes)).expect("whole");
        assert_eq!(second.bytes().as_ptr(), address);
    }
}
