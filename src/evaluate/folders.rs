//! Items from folders of PNG files that are matched by name: masks, labels and, for the report, pictures.
//!
//! ```text
//! masks/0001.png   labels/0001.png   pictures/0001.jpg   →   one item named "0001"
//! ```
//! Masks and labels are 8-bit grey or palette PNGs whose *values* (palette indices) are class ids.
//! Colour pictures of classes are refused: which colour means what would be a guess.

use super::evaluation::{note_resized, sizes_told};
use super::{EvaluateError, EvaluationItem};
use crate::data::{GroundTruth, Image, LabelMask, PixelFormat, Plane, SharedBytes, Size, jpeg_size};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The largest file decoded: labels of 16384x16384, the largest image that the program takes.
const MAX_DECODED_BYTES: usize = 16_384 * 16_384;

/// Where the files are.
#[derive(Clone, Debug)]
pub struct Folders {
    /// Folder of masks.
    pub predictions: PathBuf,
    /// Folder of labels.
    pub truth: PathBuf,
    /// Name of the class table that the labels' ids are of.
    pub truth_classes: String,
    /// Folder of PNG or JPEG pictures, if the report is to show them.
    pub images: Option<PathBuf>,
}

/// The items of [`Folders`], in order of their names.
#[derive(Debug)]
pub struct FolderItems {
    names: std::collections::btree_set::IntoIter<String>,
    masks: BTreeMap<String, PathBuf>,
    labels: BTreeMap<String, PathBuf>,
    images: BTreeMap<String, PathBuf>,
    classes: Arc<str>,
}

impl Folders {
    /// Lists the folders. At least one mask must have labels.
    pub fn items(&self) -> Result<FolderItems, EvaluateError> {
        let masks = list(&self.predictions, &["png"])?;
        let labels = list(&self.truth, &["png"])?;
        if !masks.keys().any(|name| labels.contains_key(name)) {
            return Err(EvaluateError::NoMatch {
                predictions: self.predictions.clone(),
                masks: masks.len(),
                truth: self.truth.clone(),
                labels: labels.len(),
            });
        }
        let images = self.images.as_deref().map(|folder| list(folder, &["png", "jpg", "jpeg"])).transpose()?;
        let names: BTreeSet<String> = masks.keys().chain(labels.keys()).cloned().collect();
        let classes = self.truth_classes.as_str().into();
        tell_sizes(&masks, &labels);
        Ok(FolderItems { names: names.into_iter(), masks, labels, images: images.unwrap_or_default(), classes })
    }
}

impl FolderItems {
    fn read(&self, name: String) -> Result<EvaluationItem, EvaluateError> {
        let Some(mask) = self.masks.get(&name) else { return Err(EvaluateError::MissingPrediction { name }) };
        let (size, labels) = read_labels(mask)?;
        let prediction = LabelMask::new(size, labels).map_err(|error| refuse(mask, error))?;
        let truth = self.labels.get(&name).map(|path| self.read_truth(path)).transpose()?;
        let image = self.images.get(&name).map(|path| read_image(path)).transpose()?;
        Ok(EvaluationItem { name, stamp: None, distance: None, prediction, truth, image, confidence: None })
    }

    fn read_truth(&self, path: &Path) -> Result<GroundTruth, EvaluateError> {
        let (size, labels) = read_labels(path)?;
        let labels = Plane::new(size, labels).map_err(|error| refuse(path, error))?;
        Ok(GroundTruth { stamp: crate::data::Stamp::ZERO, labels, classes: Arc::clone(&self.classes) })
    }
}

impl Iterator for FolderItems {
    type Item = Result<EvaluationItem, EvaluateError>;

    fn next(&mut self) -> Option<Self::Item> {
        let name = self.names.next()?;
        Some(self.read(name))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.names.size_hint()
    }
}

/// Says before the work which masks are not of their labels' size: figures of resized masks are not those of the masks.
fn tell_sizes(masks: &BTreeMap<String, PathBuf>, labels: &BTreeMap<String, PathBuf>) {
    let mut resized = Vec::new();
    for (name, mask) in masks {
        // A file that cannot be read is told when its turn comes.
        let sizes = labels.get(name).and_then(|label| Some((read_size(mask)?, read_size(label)?)));
        if let Some((from, to)) = sizes.filter(|(from, to)| from != to) {
            note_resized(&mut resized, from, to);
        }
    }
    if !resized.is_empty() {
        tracing::warn!(masks = sizes_told(&resized), "masks are resized to the size of their labels (nearest)");
    }
}

/// The size that a PNG's header states.
fn read_size(path: &Path) -> Option<Size> {
    let reader = png::Decoder::new(BufReader::new(File::open(path).ok()?)).read_info().ok()?;
    let (width, height) = reader.info().size();
    Some(Size::new(width, height))
}

/// Files of `folder` by stem, those with one of `endings` only.
fn list(folder: &Path, endings: &[&str]) -> Result<BTreeMap<String, PathBuf>, EvaluateError> {
    let fail = |source| EvaluateError::File { path: folder.to_owned(), source };
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        let ending = path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
        if ending.is_some_and(|ending| endings.contains(&ending.as_str())) && path.is_file() {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            if let Some(other) = files.insert(stem, path.clone()) {
                return Err(refuse(&path, format!("has the same name as {}: keep one", other.display())));
            }
        }
    }
    Ok(files)
}

fn read_labels(path: &Path) -> Result<(Size, SharedBytes), EvaluateError> {
    let file = File::open(path).map_err(|source| EvaluateError::File { path: path.to_owned(), source })?;
    let limits = png::Limits { bytes: MAX_DECODED_BYTES };
    let mut decoder = png::Decoder::new_with_limits(BufReader::new(file), limits);
    decoder.set_transformations(png::Transformations::IDENTITY);
    let mut reader = decoder.read_info().map_err(|error| refuse(path, error))?;
    let (info, kind) = (reader.info().size(), reader.output_color_type());
    check_layout(kind).map_err(|reason| refuse(path, reason))?;
    let bytes = reader.output_buffer_size().filter(|&bytes| bytes <= MAX_DECODED_BYTES);
    let mut rows = vec![0; bytes.ok_or_else(|| refuse(path, "is larger than 16384x16384"))?];
    reader.next_frame(&mut rows).map_err(|error| refuse(path, error))?;
    let size = Size::new(info.0, info.1);
    Ok((size, unpack(rows, size, kind.1).into()))
}

fn check_layout((color, depth): (png::ColorType, png::BitDepth)) -> Result<(), String> {
    let one_value = matches!(color, png::ColorType::Grayscale | png::ColorType::Indexed);
    if one_value && depth != png::BitDepth::Sixteen {
        return Ok(());
    }
    Err(format!("is {color:?} with {depth:?} bits: labels are 8-bit grey or palette PNGs whose values are class ids"))
}

/// One byte a pixel from rows of 1, 2, 4 or 8 bits a pixel, each row starting on a byte.
fn unpack(rows: Vec<u8>, size: Size, depth: png::BitDepth) -> Vec<u8> {
    let (bits, width) = (depth as usize, size.width as usize);
    if bits == 8 {
        return rows;
    }
    let mask = (1_u8 << bits) - 1;
    let value = |row: &[u8], x: usize| row[x * bits / 8] >> (8 - bits - x * bits % 8) & mask;
    rows.chunks_exact((width * bits).div_ceil(8)).flat_map(|row| (0..width).map(move |x| value(row, x))).collect()
}

fn read_image(path: &Path) -> Result<Image, EvaluateError> {
    let bytes = fs::read(path).map_err(|source| EvaluateError::File { path: path.to_owned(), source })?;
    if let Ok(size) = jpeg_size(&bytes) {
        return Image::jpeg(size, bytes.into()).map_err(|error| refuse(path, error));
    }
    let picture = image::load_from_memory(&bytes).map_err(|error| refuse(path, error))?.into_rgb8();
    let size = Size::new(picture.width(), picture.height());
    Image::packed(PixelFormat::Rgb8, size, picture.into_raw().into()).map_err(|error| refuse(path, error))
}

fn refuse(path: &Path, reason: impl std::fmt::Display) -> EvaluateError {
    EvaluateError::Picture { path: path.to_owned(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_bits_become_one_value_a_byte() {
        let size = Size::new(3, 2);
        assert_eq!(unpack(vec![0b0001_1011, 0b1100_0100], size, png::BitDepth::Two), [0, 1, 2, 3, 0, 1]);
        assert_eq!(unpack(vec![0x12, 0x30, 0x45, 0x60], size, png::BitDepth::Four), [1, 2, 3, 4, 5, 6]);
        assert_eq!(unpack(vec![0b1010_0000, 0b0110_0000], size, png::BitDepth::One), [1, 0, 1, 0, 1, 1]);
    }

    #[test]
    fn colour_and_sixteen_bit_pictures_are_not_labels() {
        use png::{BitDepth, ColorType};
        assert!(check_layout((ColorType::Indexed, BitDepth::Eight)).is_ok());
        for layout in [(ColorType::Rgb, BitDepth::Eight), (ColorType::Grayscale, BitDepth::Sixteen)] {
            let reason = check_layout(layout).expect_err("not labels");
            assert!(reason.contains("class ids"), "{reason}");
        }
    }
}
