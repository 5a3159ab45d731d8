//! Any image as plain RGB or grey, without scaling.
//!
//! The specification of colour for the whole program: faster paths (preprocessing, kernels) are
//! tested against it. YUV is BT.601 with limited range (Y 16 to 235), what V4L2 cameras send unless
//! they say otherwise; every pixel takes the nearest chroma sample. 16-bit fixed point, rounded.

use super::{Image, ImageError, PixelFormat, Size};
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use std::io::Cursor;

/// `[rows, cols, 3] u8` red, green, blue, without padding.
pub fn to_rgb8(image: &Image) -> Result<Vec<u8>, ImageError> {
    if image.format() == PixelFormat::Jpeg {
        return decode_jpeg(image).map(|picture| picture.into_rgb8().into_raw());
    }
    let mut rgb = Vec::with_capacity(image.size().pixels() * 3);
    for y in 0..image.size().height {
        push_rgb_row(image, y, &mut rgb);
    }
    Ok(rgb)
}

/// `[rows, cols] u8` luma without padding: Y as it is, or BT.601's weights of red, green and blue.
pub fn to_grey8(image: &Image) -> Result<Vec<u8>, ImageError> {
    if image.format() == PixelFormat::Jpeg {
        let rgb = decode_jpeg(image)?.into_rgb8().into_raw();
        return Ok(rgb.chunks_exact(3).map(|p| luma(p[0], p[1], p[2])).collect());
    }
    let mut grey = Vec::with_capacity(image.size().pixels());
    for y in 0..image.size().height {
        push_grey_row(image, y, &mut grey);
    }
    Ok(grey)
}

/// The size that a JPEG file's header states.
pub fn jpeg_size(bytes: &[u8]) -> Result<Size, ImageError> {
    let decoder = image::codecs::jpeg::JpegDecoder::new(Cursor::new(bytes));
    let (width, height) = decoder.map_err(|error| ImageError::Jpeg(error.to_string()))?.dimensions();
    Ok(Size::new(width, height))
}

/// Red, green and blue of one BT.601 limited-range sample.
pub fn yuv_to_rgb(y: u8, u: u8, v: u8) -> [u8; 3] {
    let luma = 76_309 * (i32::from(y) - 16) + 32_768;
    let (u, v) = (i32::from(u) - 128, i32::from(v) - 128);
    let to_u8 = |sum: i32| (sum >> 16).clamp(0, 255) as u8;
    [to_u8(luma + 104_597 * v), to_u8(luma - 25_675 * u - 53_279 * v), to_u8(luma + 132_201 * u)]
}

/// BT.601's luma of a colour.
#[inline]
pub fn luma(red: u8, green: u8, blue: u8) -> u8 {
    ((19_595 * u32::from(red) + 38_470 * u32::from(green) + 7_471 * u32::from(blue) + 32_768) >> 16) as u8
}

fn decode_jpeg(image: &Image) -> Result<DynamicImage, ImageError> {
    let refuse = |error: &dyn std::fmt::Display| ImageError::Jpeg(error.to_string());
    let found = jpeg_size(image.bytes())?;
    if found != image.size() {
        return Err(ImageError::Jpeg(format!("its header says {found}, expected {}", image.size())));
    }
    let mut reader = ImageReader::with_format(Cursor::new(&**image.bytes()), ImageFormat::Jpeg);
    reader.limits(Limits::default());
    reader.decode().map_err(|error| refuse(&error))
}

fn push_rgb_row(image: &Image, y: u32, rgb: &mut Vec<u8>) {
    let row = image.row(y);
    match image.format() {
        PixelFormat::Rgb8 => rgb.extend_from_slice(row),
        PixelFormat::Grey => rgb.extend(row.iter().flat_map(|&grey| [grey; 3])),
        PixelFormat::Yuyv => push_pairs(row, |p| (p[0], p[2], p[1], p[3]), rgb),
        PixelFormat::Uyvy => push_pairs(row, |p| (p[1], p[3], p[0], p[2]), rgb),
        PixelFormat::Nv12 => {
            for (luma, chroma) in row.chunks_exact(2).zip(image.chroma_row(y).chunks_exact(2)) {
                rgb.extend(luma.iter().flat_map(|&y| yuv_to_rgb(y, chroma[0], chroma[1])));
            }
        }
        PixelFormat::Jpeg => unreachable!("to_rgb8 decodes JPEG before it asks for rows"),
    }
}

fn push_pairs(row: &[u8], order: impl Fn(&[u8]) -> (u8, u8, u8, u8), rgb: &mut Vec<u8>) {
    for pair in row.chunks_exact(4) {
        let (first, second, u, v) = order(pair);
        rgb.extend(yuv_to_rgb(first, u, v));
        rgb.extend(yuv_to_rgb(second, u, v));
    }
}

fn push_grey_row(image: &Image, y: u32, grey: &mut Vec<u8>) {
    let row = image.row(y);
    match image.format() {
        PixelFormat::Grey | PixelFormat::Nv12 => grey.extend_from_slice(row),
        PixelFormat::Yuyv => grey.extend(row.iter().step_by(2)),
        PixelFormat::Uyvy => grey.extend(row.iter().skip(1).step_by(2)),
        PixelFormat::Rgb8 => grey.extend(row.chunks_exact(3).map(|p| luma(p[0], p[1], p[2]))),
        PixelFormat::Jpeg => unreachable!("to_grey8 decodes JPEG before it asks for rows"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(format: PixelFormat, bytes: &[u8]) -> Image {
        Image::packed(format, Size::new(2, 2), bytes.to_vec().into()).expect("2x2")
    }

    #[test]
    fn every_layout_of_the_same_colours_gives_the_same_rgb() {
        let (ys, u, v) = ([50, 200, 90, 120], 100, 160);
        let expected: Vec<u8> = ys.iter().flat_map(|&y| yuv_to_rgb(y, u, v)).collect();
        for (format, bytes) in [
            (PixelFormat::Yuyv, vec![ys[0], u, ys[1], v, ys[2], u, ys[3], v]),
            (PixelFormat::Uyvy, vec![u, ys[0], v, ys[1], u, ys[2], v, ys[3]]),
            (PixelFormat::Nv12, vec![ys[0], ys[1], ys[2], ys[3], u, v]),
            (PixelFormat::Rgb8, expected.clone()),
        ] {
            assert_eq!(to_rgb8(&image(format, &bytes)).expect("not a JPEG"), expected, "{format:?}");
        }
        assert_eq!(to_grey8(&image(PixelFormat::Nv12, &[1, 2, 3, 4, 9, 9])).expect("not a JPEG"), [1, 2, 3, 4]);
        assert_eq!(to_grey8(&image(PixelFormat::Uyvy, &[9, 1, 9, 2, 9, 3, 9, 4])).expect("not a JPEG"), [1, 2, 3, 4]);
    }

    #[test]
    fn the_ends_of_the_range_are_black_and_white() {
        assert_eq!(yuv_to_rgb(16, 128, 128), [0; 3]);
        assert_eq!(yuv_to_rgb(235, 128, 128), [255; 3]);
        assert_eq!(yuv_to_rgb(81, 90, 240), [254, 0, 0]);
        assert_eq!(luma(255, 255, 255), 255);
    }

    #[test]
    fn a_jpeg_is_decoded_and_a_broken_or_mislabelled_one_is_refused() {
        let picture = image::RgbImage::from_pixel(16, 8, image::Rgb([200, 40, 90]));
        let mut file = Vec::new();
        picture.write_to(&mut Cursor::new(&mut file), ImageFormat::Jpeg).expect("a small JPEG");
        let jpeg = |size, bytes: &[u8]| Image::jpeg(size, bytes.to_vec().into()).expect("not empty");
        let rgb = to_rgb8(&jpeg(Size::new(16, 8), &file)).expect("whole");
        assert!(rgb.len() == 16 * 8 * 3 && rgb[0].abs_diff(200) < 4 && rgb[1].abs_diff(40) < 4, "{:?}", &rgb[..3]);
        assert!(matches!(to_rgb8(&jpeg(Size::new(16, 9), &file)), Err(ImageError::Jpeg(_))));
        assert!(matches!(to_rgb8(&jpeg(Size::new(16, 8), &file[..40])), Err(ImageError::Jpeg(_))));
    }
}
