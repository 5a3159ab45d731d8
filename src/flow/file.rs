//! Flow in the files of the field's benchmarks: Middlebury's `.flo` and KITTI's 16-bit PNG.
//!
//! ```text
//! .flo   "PIEH", i32 width, i32 height, then f32 x, y of each pixel, all little-endian; unknown: above 1e9
//! .png   16-bit red x, green y: 64 a pixel of motion, 2^15 for none; blue 0 where it is unknown
//! ```
//!
//! Baker et al., "A Database and Evaluation Methodology for Optical Flow" (2011); Menze and Geiger, "Object Scene
//! Flow for Autonomous Vehicles" (2015), the development kit's readme. Unknown motion is NaN here.

use super::FlowField;
use png::{BitDepth, ColorType, Decoder, Encoder, Limits, Transformations};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

/// The largest side of a file's field, as of images.
const MAX_SIDE: usize = 16_384;
/// The first four bytes of a `.flo` file.
const MAGIC: [u8; 4] = *b"PIEH";
/// Middlebury's files hold larger values where nothing is known.
const UNKNOWN: f32 = 1e9;
/// What is written there.
const WRITTEN_UNKNOWN: f32 = 1e10;
/// KITTI's values for a pixel of motion, and for none.
const PER_PIXEL: f32 = 64.0;
const NONE: f32 = 32_768.0;
/// Bytes that a decoder may allocate beside the field.
const DECODER_LIMITS: Limits = Limits { bytes: 64 << 20 };

/// Why a flow file could not be read or written: mend or replace the file.
#[derive(Debug, thiserror::Error)]
pub enum FlowFileError {
    /// The file's name ends otherwise.
    #[error("{0}: a flow file ends in .flo (Middlebury) or .png (KITTI, 16 bits)")]
    Ending(String),
    /// The system's words.
    #[error("{path}: {error}")]
    Io {
        /// The file.
        path: String,
        /// What the system says.
        error: std::io::Error,
    },
    /// The content is not what it should be.
    #[error("{path}: {reason}")]
    Content {
        /// The file.
        path: String,
        /// What is wrong, with what was expected.
        reason: String,
    },
}

/// The kinds of file, by the name's ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Middlebury,
    Kitti,
}

impl FlowField {
    /// Reads a `.flo` or KITTI `.png` file: motion in pixels, NaN where it is unknown.
    ///
    /// ```
    /// use segfuse::flow::FlowField;
    /// let field = FlowField { rows: 1, cols: 2, values: vec![3.5, f32::NAN, -1.0, f32::NAN] };
    /// let path = std::env::temp_dir().join(format!("segfuse-doc-{}.png", std::process::id()));
    /// field.write(&path)?;
    /// let read = FlowField::read(&path)?;
    /// assert_eq!(read.at(0, 0), [3.5, -1.0]);
    /// assert!(read.at(0, 1)[0].is_nan());
    /// # std::fs::remove_file(&path).ok();
    /// # Ok::<(), segfuse::flow::FlowFileError>(())
    /// ```
    pub fn read(path: &Path) -> Result<Self, FlowFileError> {
        let format = Format::of(path)?;
        let file = BufReader::new(File::open(path).map_err(|error| failed(path, error))?);
        let field = match format {
            Format::Middlebury => read_middlebury(file),
            Format::Kitti => read_kitti(file),
        };
        field.map_err(|reason| FlowFileError::Content { path: path.display().to_string(), reason })
    }

    /// Writes a `.flo` or KITTI `.png` file; what is not finite as unknown. KITTI's holds steps of 1/64 and motions of
    /// less than 512 pixels along each axis; a field with longer ones is refused.
    pub fn write(&self, path: &Path) -> Result<(), FlowFileError> {
        let bytes = match Format::of(path)? {
            Format::Middlebury => self.to_middlebury(),
            Format::Kitti => {
                self.to_kitti().map_err(|reason| FlowFileError::Content { path: path.display().to_string(), reason })?
            }
        };
        // Whole or not there. A name of its own, beside the file.
        let mut name = OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(".part");
        let part = path.with_file_name(name);
        let written = std::fs::write(&part, bytes).and_then(|()| std::fs::rename(&part, path));
        written.inspect_err(|_| drop(std::fs::remove_file(&part))).map_err(|error| failed(path, error))
    }

    /// The motions of all cells, row by row.
    pub fn motions(&self) -> impl Iterator<Item = [f32; 2]> + '_ {
        let (along_x, along_y) = self.values.split_at(self.values.len() / 2);
        along_x.iter().zip(along_y).map(|(x, y)| [*x, *y])
    }

    fn to_middlebury(&self) -> Vec<u8> {
        let sides = [self.cols, self.rows].map(|side| (side as i32).to_le_bytes());
        let written = |motion: [f32; 2]| {
            let known = motion.iter().all(|side| side.is_finite());
            if known { motion } else { [WRITTEN_UNKNOWN; 2] }
        };
        let values = self.motions().flat_map(written).flat_map(f32::to_le_bytes);
        MAGIC.into_iter().chain(sides.concat()).chain(values).collect()
    }

    fn to_kitti(&self) -> Result<Vec<u8>, String> {
        let stored = |side: f32| (side * PER_PIXEL + NONE).round();
        let known = |motion: &[f32; 2]| motion.iter().all(|side| side.is_finite());
        let held = |side: &f32| (0.0..=f32::from(u16::MAX)).contains(&stored(*side));
        if let Some(longest) = self.motions().filter(known).flatten().find(|side| !held(side)) {
            let most = NONE / PER_PIXEL;
            return Err(format!(
                "KITTI's files hold motions below {most} pixels, here is one of {longest:.1}; name a .flo file"
            ));
        }
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, self.cols as u32, self.rows as u32);
        encoder.set_color(ColorType::Rgb);
        encoder.set_depth(BitDepth::Sixteen);
        let values = self.motions().flat_map(|motion| {
            let value = |side: f32| stored(side) as u16;
            if known(&motion) { [value(motion[0]), value(motion[1]), 1] } else { [0; 3] }
        });
        let values: Vec<u8> = values.flat_map(u16::to_be_bytes).collect();
        let told = |error: png::EncodingError| error.to_string();
        let mut writer = encoder.write_header().map_err(told)?;
        writer.write_image_data(&values).map_err(told)?;
        writer.finish().map_err(told)?;
        Ok(bytes)
    }
}

impl Format {
    fn of(path: &Path) -> Result<Self, FlowFileError> {
        match path.extension().map(OsStr::to_ascii_lowercase) {
            Some(ending) if ending == "flo" => Ok(Self::Middlebury),
            Some(ending) if ending == "png" => Ok(Self::Kitti),
            _ => Err(FlowFileError::Ending(path.display().to_string())),
        }
    }
}

fn failed(path: &Path, error: std::io::Error) -> FlowFileError {
    FlowFileError::Io { path: path.display().to_string(), error }
}

/// Planes of `count` motions, given one after the other.
fn planes(rows: usize, cols: usize, motions: impl Iterator<Item = [f32; 2]>) -> FlowField {
    let (along_x, along_y): (Vec<f32>, Vec<f32>) = motions.map(|[x, y]| (x, y)).unzip();
    FlowField { rows, cols, values: [along_x, along_y].concat() }
}

fn read_middlebury(mut file: impl Read) -> Result<FlowField, String> {
    let mut header = [0; 12];
    file.read_exact(&mut header).map_err(|_| "ends within its header of 12 bytes".to_owned())?;
    let (magic, sides) = header.split_at(4);
    if magic != MAGIC {
        return Err(format!("begins with {magic:02x?}, a .flo file with {MAGIC:02x?}"));
    }
    let [cols, rows] = [&sides[..4], &sides[4..]].map(|side| side.try_into().map_or(0, i32::from_le_bytes));
    let side = |side: i32| usize::try_from(side).ok().filter(|side| (1..=MAX_SIDE).contains(side));
    let (Some(rows), Some(cols)) = (side(rows), side(cols)) else {
        return Err(format!("a field of {cols}x{rows}: expected 1x1 to {MAX_SIDE}x{MAX_SIDE}"));
    };
    let (expected, mut bytes) = (rows * cols * 8, Vec::new());
    // One byte more, to see whether more follows.
    file.take(expected as u64 + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() != expected {
        let found = if bytes.len() > expected { "more".to_owned() } else { bytes.len().to_string() };
        return Err(format!("{cols}x{rows} motions are {expected} bytes, it has {found}"));
    }
    let value = |bytes: &[u8]| bytes.try_into().map_or(f32::NAN, f32::from_le_bytes);
    let motions = bytes.chunks_exact(8).map(|motion| [value(&motion[..4]), value(&motion[4..])]);
    let known = |motion: [f32; 2]| motion.iter().all(|side| side.abs() <= UNKNOWN);
    Ok(planes(rows, cols, motions.map(|motion| if known(motion) { motion } else { [f32::NAN; 2] })))
}

fn read_kitti(file: impl std::io::BufRead + std::io::Seek) -> Result<FlowField, String> {
    let mut decoder = Decoder::new_with_limits(file, DECODER_LIMITS);
    decoder.set_transformations(Transformations::IDENTITY);
    let mut reader = decoder.read_info().map_err(|error| error.to_string())?;
    let (color, depth) = reader.output_color_type();
    if (color, depth) != (ColorType::Rgb, BitDepth::Sixteen) {
        return Err(format!("has {color:?} pixels of {depth:?} bits, KITTI's flow has Rgb of Sixteen"));
    }
    let (cols, rows) = (reader.info().width as usize, reader.info().height as usize);
    if rows > MAX_SIDE || cols > MAX_SIDE {
        return Err(format!("a field of {cols}x{rows}: expected 1x1 to {MAX_SIDE}x{MAX_SIDE}"));
    }
    let (mut along_x, mut along_y) = (Vec::new(), Vec::new());
    while let Some(row) = reader.next_row().map_err(|error| error.to_string())? {
        for pixel in row.data().chunks_exact(6) {
            let [x, y, known] = [0, 2, 4].map(|at| u16::from_be_bytes([pixel[at], pixel[at + 1]]));
            let motion = |value: u16| if known > 0 { (f32::from(value) - NONE) / PER_PIXEL } else { f32::NAN };
            along_x.push(motion(x));
            along_y.push(motion(y));
        }
    }
    if along_x.len() != rows * cols {
        return Err(format!("{cols}x{rows} pixels, it has {}", along_x.len()));
    }
    Ok(FlowField { rows, cols, values: [along_x, along_y].concat() })
}
