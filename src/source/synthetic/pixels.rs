//! From RGB to the layouts that cameras send: the inverse of `data::to_rgb8`.
//!
//! BT.601 with limited range, 16-bit fixed point; a chroma sample is the mean over its pixels.

use crate::data::{BufferPool, Image, PixelFormat, Size, luma};
use image::codecs::jpeg::JpegEncoder;

/// JPEG quality: what dash cameras use.
const JPEG_QUALITY: u8 = 92;

/// `rgb` `[rows, cols, 3]` as an image. The configuration has made sure that size and format go together.
pub(super) fn encode(rgb: &[u8], (size, format): (Size, PixelFormat), pool: &mut BufferPool) -> Image {
    const CHECKED: &str = "the configuration's check covers every size and format";
    let width = size.width as usize;
    if format == PixelFormat::Jpeg {
        return Image::jpeg(size, jpeg(rgb, size).into()).expect(CHECKED);
    }
    let luma_bytes = format.row_bytes(size.width) * size.height as usize;
    let bytes = if format == PixelFormat::Nv12 { luma_bytes / 2 * 3 } else { luma_bytes };
    let buffer = pool.fill(bytes, |out| match format {
        PixelFormat::Rgb8 => out.copy_from_slice(rgb),
        PixelFormat::Grey => grey(rgb, out),
        PixelFormat::Yuyv => pairs(rgb, out, |[y0, y1, u, v]| [y0, u, y1, v]),
        PixelFormat::Uyvy => pairs(rgb, out, |[y0, y1, u, v]| [u, y0, v, y1]),
        PixelFormat::Nv12 => nv12(rgb, width, out),
        PixelFormat::Jpeg => unreachable!("JPEG has returned above"),
    });
    Image::packed(format, size, buffer).expect(CHECKED)
}

fn jpeg(rgb: &[u8], size: Size) -> Vec<u8> {
    let mut file = Vec::new();
    let encoder = JpegEncoder::new_with_quality(&mut file, JPEG_QUALITY);
    let picture =
        image::ImageEncoder::write_image(encoder, rgb, size.width, size.height, image::ColorType::Rgb8.into());
    picture.expect("memory takes every byte, and sides of at most 16384 fit a JPEG");
    file
}

fn grey(rgb: &[u8], out: &mut [u8]) {
    for (pixel, grey) in rgb.chunks_exact(3).zip(out) {
        *grey = luma(pixel[0], pixel[1], pixel[2]);
    }
}

fn pairs(rgb: &[u8], out: &mut [u8], order: impl Fn([u8; 4]) -> [u8; 4]) {
    for (pair, bytes) in rgb.chunks_exact(6).zip(out.chunks_exact_mut(4)) {
        let [u, v] = chroma(&[&pair[..3], &pair[3..]]);
        bytes.copy_from_slice(&order([limited_luma(&pair[..3]), limited_luma(&pair[3..]), u, v]));
    }
}

fn nv12(rgb: &[u8], width: usize, out: &mut [u8]) {
    let (lumas, chromas) = out.split_at_mut(rgb.len() / 3);
    for (pixel, y) in rgb.chunks_exact(3).zip(lumas) {
        *y = limited_luma(pixel);
    }
    for (rows, line) in rgb.chunks_exact(width * 6).zip(chromas.chunks_exact_mut(width)) {
        let (upper, lower) = rows.split_at(width * 3);
        for (index, pair) in line.chunks_exact_mut(2).enumerate() {
            let at = |row: &'_ [u8], column: usize| -> [u8; 3] { std::array::from_fn(|c| row[column * 3 + c]) };
            let four = [at(upper, index * 2), at(upper, index * 2 + 1), at(lower, index * 2), at(lower, index * 2 + 1)];
            pair.copy_from_slice(&chroma(&four.each_ref().map(|pixel| &pixel[..])));
        }
    }
}

fn limited_luma(pixel: &[u8]) -> u8 {
    let sum = 16_829 * i32::from(pixel[0]) + 33_039 * i32::from(pixel[1]) + 6_416 * i32::from(pixel[2]);
    ((sum + 32_768) >> 16) as u8 + 16
}

/// U and V of the mean of some pixels.
fn chroma(pixels: &[&[u8]]) -> [u8; 2] {
    let count = pixels.len() as i32;
    let sum = |c: usize| pixels.iter().map(|pixel| i32::from(pixel[c])).sum::<i32>();
    let [red, green, blue] = [sum(0), sum(1), sum(2)];
    let level = |weighted: i32| ((weighted / count + 32_768 + (128 << 16)) >> 16).clamp(0, 255) as u8;
    [level(-9_714 * red - 19_070 * green + 28_784 * blue), level(28_784 * red - 24_103 * green - 4_681 * blue)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::to_rgb8;

    #[test]
    fn every_layout_reads_back_as_the_same_colours() {
        let size = Size::new(4, 2);
        let rgb = [200, 40, 90].repeat(size.pixels());
        let mut pool = BufferPool::new(1);
        for format in PixelFormat::ALL {
            let image = encode(&rgb, (size, format), &mut pool);
            assert_eq!(image.format(), format);
            let back = to_rgb8(&image).expect("whole");
            let expected = if format == PixelFormat::Grey { [luma(200, 40, 90); 3] } else { [200, 40, 90] };
            for (index, (got, expected)) in back.iter().zip(expected.iter().cycle()).enumerate() {
                assert!(got.abs_diff(*expected) <= 4, "{format:?}: {got} for {expected} at {index}");
            }
        }
    }
}
