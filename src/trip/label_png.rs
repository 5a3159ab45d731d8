//! Label planes as PNG files: every pixel value is a class id, the palette is for the eye.

use super::TripError;
use crate::data::{ClassTable, LabelMask, Plane, Size};
use png::{BitDepth, ColorType, Decoder, Encoder, Limits, Transformations};
use std::io::{BufRead, Seek, Write};

/// Bytes that a decoder may allocate: a plane of the largest image size, and some.
const DECODER_LIMITS: Limits = Limits { bytes: 320 << 20 };

/// Reads grey or palette PNG values as they are stored, without turning them into colours.
pub(super) fn read_labels(file: impl BufRead + Seek) -> Result<Plane, String> {
    let mut decoder = Decoder::new_with_limits(file, DECODER_LIMITS);
    decoder.set_transformations(Transformations::IDENTITY);
    let mut reader = decoder.read_info().map_err(|error| error.to_string())?;
    let (color, depth) = reader.output_color_type();
    if !matches!(color, ColorType::Grayscale | ColorType::Indexed) || depth == BitDepth::Sixteen {
        return Err(format!("label PNG has {color:?} pixels of {depth:?} bits: 8-bit grey or palette is needed"));
    }
    let bytes = reader.output_buffer_size().ok_or("label PNG is too large")?;
    if bytes > DECODER_LIMITS.bytes {
        return Err(format!("label PNG of {bytes} bytes, at most {}", DECODER_LIMITS.bytes));
    }
    let mut rows = vec![0; bytes];
    let frame = reader.next_frame(&mut rows).map_err(|error| error.to_string())?;
    let labels = rows.chunks_exact(frame.line_size).flat_map(|row| unpack(row, depth, frame.width as usize)).collect();
    plane(Size::new(frame.width, frame.height), labels)
}

fn plane(size: Size, labels: Vec<u8>) -> Result<Plane, String> {
    Plane::new(size, labels.into()).map_err(|error| error.to_string())
}

/// The `width` values of one row, `depth` bits each, most significant first.
fn unpack(row: &[u8], depth: BitDepth, width: usize) -> impl Iterator<Item = u8> {
    let bits = depth as usize;
    let mask = u8::MAX >> (8 - bits.min(8));
    (0..width).map(move |x| {
        let bit = x * bits;
        row[bit / 8] >> (8 - bits - bit % 8) & mask
    })
}

/// Writes an 8-bit palette PNG whose values are the labels.
pub(super) fn write_labels(out: impl Write, labels: &Plane, classes: Option<&ClassTable>) -> Result<(), String> {
    let mut encoder = Encoder::new(out, labels.size().width, labels.size().height);
    encoder.set_color(ColorType::Indexed);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_palette(palette(classes));
    let mut writer = encoder.write_header().map_err(|error| error.to_string())?;
    writer.write_image_data(labels.bytes()).map_err(|error| error.to_string())?;
    writer.finish().map_err(|error| error.to_string())
}

/// A mask as an 8-bit palette PNG whose values are the train ids.
pub fn encode_label_png(mask: &LabelMask, classes: &ClassTable) -> Result<Vec<u8>, TripError> {
    let mut png = Vec::new();
    let plane = Plane::new(mask.size(), mask.labels().clone()).expect("a mask has one label a pixel");
    write_labels(&mut png, &plane, Some(classes)).map_err(TripError::Unstorable)?;
    Ok(png)
}

/// A colour for each of the 256 labels; greys where no table says which.
fn palette(classes: Option<&ClassTable>) -> Vec<u8> {
    (0..=u8::MAX).flat_map(|id| classes.map_or([id; 3], |table| table.color_of(id))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn encode(color: ColorType, depth: BitDepth, width: u32, rows: &[u8]) -> Cursor<Vec<u8>> {
        let mut file = Vec::new();
        let mut encoder = Encoder::new(&mut file, width, 2);
        encoder.set_color(color);
        encoder.set_depth(depth);
        if color == ColorType::Indexed {
            encoder.set_palette(vec![200; 48]);
        }
        let mut writer = encoder.write_header().expect("memory");
        writer.write_image_data(rows).expect("rows fit");
        drop(writer);
        Cursor::new(file)
    }

    #[test]
    fn labels_are_the_stored_values_and_not_colours() {
        for (color, depth, rows) in [
            (ColorType::Grayscale, BitDepth::Eight, vec![1, 2, 3, 3, 2, 1]),
            (ColorType::Indexed, BitDepth::Eight, vec![1, 2, 3, 3, 2, 1]),
            (ColorType::Indexed, BitDepth::Four, vec![0x12, 0x30, 0x32, 0x10]),
            (ColorType::Indexed, BitDepth::Two, vec![0b01_10_11_00, 0b11_10_01_00]),
        ] {
            let plane = read_labels(encode(color, depth, 3, &rows)).expect("a label PNG");
            assert_eq!(&**plane.bytes(), [1, 2, 3, 3, 2, 1], "{color:?} {depth:?}");
        }
    }

    #[test]
    fn pictures_and_cut_files_are_refused() {
        assert!(read_labels(encode(ColorType::Rgb, BitDepth::Eight, 1, &[0; 6])).is_err());
        let whole = encode(ColorType::Grayscale, BitDepth::Eight, 3, &[7; 6]).into_inner();
        for cut in 0..whole.len() - 16 {
            assert!(read_labels(Cursor::new(&whole[..cut])).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let labels = plane(Size::new(2, 2), vec![0, 10, 254, 255]).expect("four labels");
        let mut file = Vec::new();
        write_labels(&mut file, &labels, Some(&ClassTable::camvid())).expect("memory");
        assert_eq!(read_labels(Cursor::new(file)), Ok(labels));
    }
}
