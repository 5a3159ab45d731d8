//! A folder of pictures taken at a steady rate, with a folder of label pictures if there is one.
//!
//! JPEG files are kept as they came; PNG becomes RGB8 or grey. A label picture belongs to the
//! picture of the same name without ending. That name is kept in the trip.

use super::ImportError;
use crate::data::{
    ClassTable, Event, Frame, FrameId, GroundTruth, Image, ImageError, PixelFormat, Size, Stamp, jpeg_size,
};
use crate::source::{Source, SourceError};
use crate::trip::label_png::read_labels;
use crate::trip::{FrameNames, TripMetadata};
use image::{ImageFormat, ImageReader, Limits};
use std::cmp::Ordering;
use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufReader, Cursor};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Pictures a second that a folder may stand for: from one in a quarter of an hour to faster than any camera.
pub const RATES_HZ: RangeInclusive<f64> = 0.001..=1000.0;
/// The largest picture file that is read.
const MAX_FILE_BYTES: u64 = 256 << 20;

/// Which folders, and how fast the pictures were taken.
#[derive(Clone, Debug)]
pub struct ImagesConfig {
    /// Folder with `.png`, `.jpg` and `.jpeg` files, in natural order of their names.
    pub images: PathBuf,
    /// Folder with 8-bit label PNGs and the table of their ids.
    pub labels: Option<(PathBuf, ClassTable)>,
    /// Pictures a second.
    pub rate_hz: f64,
    /// Stamp of the first picture.
    pub start: Stamp,
}

/// The pictures of a folder as frames.
#[derive(Debug)]
pub struct ImageFolder {
    config: ImagesConfig,
    paths: std::vec::IntoIter<PathBuf>,
    labels: BTreeMap<String, PathBuf>,
    classes: Arc<str>,
    names: FrameNames,
    index: u64,
    next_id: u64,
    pending: VecDeque<Event>,
    frames: u64,
}

impl ImageFolder {
    /// Lists the folders; tells which pictures have no label and which labels no picture.
    pub fn open(config: ImagesConfig) -> Result<Self, ImportError> {
        if !RATES_HZ.contains(&config.rate_hz) {
            let (rate, low, high) = (config.rate_hz, RATES_HZ.start(), RATES_HZ.end());
            let reason = format!("rate of {rate} pictures a second: must be {low} to {high}");
            return Err(ImportError::recording(&config.images, reason));
        }
        let mut paths = list(&config.images, &["png", "jpg", "jpeg"])?;
        paths.sort_by(|a, b| natural_order(&name(a), &name(b)));
        if paths.is_empty() {
            return Err(ImportError::recording(&config.images, "no .png, .jpg or .jpeg file in this folder"));
        }
        let labels = config.labels.as_ref().map_or(Ok(BTreeMap::new()), |(folder, _)| list_labels(folder))?;
        check_labels(&config, &paths, &labels)?;
        let classes = config.labels.as_ref().map_or("", |(_, table)| &table.name).into();
        let (frames, pending) = (paths.len() as u64, VecDeque::new());
        let names =
            FrameNames::new((0..).map(|index| stamp_of(&config, index)).zip(paths.iter().map(|path| stem(path))));
        Ok(Self { config, paths: paths.into_iter(), labels, classes, names, index: 0, next_id: 0, pending, frames })
    }

    /// What the trip should say of itself.
    pub fn metadata(&self) -> TripMetadata {
        let class_tables = self.config.labels.iter().map(|(_, table)| table.clone()).collect();
        let source = format!("pictures at {} Hz", self.config.rate_hz);
        TripMetadata { source, class_tables, frame_names: self.names.clone(), ..TripMetadata::default() }
    }

    fn stamp(&self) -> Stamp {
        stamp_of(&self.config, self.index)
    }

    /// Queues the truth and the frame of one picture, or that it is lost. A bad label costs its picture nothing.
    fn load(&mut self, path: &Path) -> Result<(), String> {
        let image = match read_image(path) {
            Ok(image) => image,
            Err(reason) => {
                self.pending.push_back(Event::Lost { stamp: self.stamp(), frames: 1 });
                return Err(format!("{}: {reason}", path.display()));
            }
        };
        let refused = self.load_truth(path, image.size());
        let (id, stamp) = (FrameId(self.next_id), self.stamp());
        self.pending.push_back(Event::Frame(Frame { id, sequence: None, stamp, arrival: stamp, image }));
        self.next_id += 1;
        refused
    }

    fn load_truth(&mut self, path: &Path, size: Size) -> Result<(), String> {
        let Some(label) = self.labels.get(&stem(path)) else { return Ok(()) };
        let truth = self.truth(label, size);
        let told = |reason| format!("{}: label refused, its picture is kept: {reason}", label.display());
        self.pending.push_back(Event::Truth(truth.map_err(told)?));
        Ok(())
    }

    fn truth(&self, path: &Path, size: Size) -> Result<GroundTruth, String> {
        let file = File::open(path).map_err(|error| error.to_string())?;
        let labels = read_labels(BufReader::new(file))?;
        if labels.size() == size {
            Ok(GroundTruth { stamp: self.stamp(), labels, classes: Arc::clone(&self.classes) })
        } else {
            Err(format!("labels of {} for a picture of {size}", labels.size()))
        }
    }
}

impl Source for ImageFolder {
    fn next(&mut self) -> Result<Option<Event>, SourceError> {
        if let Some(event) = self.pending.pop_front() {
            return Ok(Some(event));
        }
        let Some(path) = self.paths.next() else { return Ok(None) };
        let loaded = self.load(&path);
        self.index += 1;
        loaded.map_err(SourceError::Skipped)?;
        Ok(self.pending.pop_front())
    }

    fn frames(&self) -> Option<u64> {
        Some(self.frames)
    }
}

/// When picture `index` was taken.
fn stamp_of(config: &ImagesConfig, index: u64) -> Stamp {
    let since_start = (index as f64 * 1e9 / config.rate_hz).round();
    config.start.offset_ns(since_start as i64)
}

fn read_image(path: &Path) -> Result<Image, String> {
    let len = path.metadata().map_err(|error| error.to_string())?.len();
    if len > MAX_FILE_BYTES {
        return Err(format!("{len} bytes, at most {MAX_FILE_BYTES} are read"));
    }
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    if bytes.starts_with(&[0xff, 0xd8]) { jpeg(bytes).map_err(|error| error.to_string()) } else { png(&bytes) }
}

fn jpeg(bytes: Vec<u8>) -> Result<Image, ImageError> {
    let size = jpeg_size(&bytes)?;
    let last = |marker: u8| bytes.windows(2).rposition(|pair| pair == [0xff, marker]);
    // Decoders fill up a cut picture with grey and say nothing: the end marker must follow the last scan.
    if last(0xd9) <= last(0xda) {
        return Err(ImageError::Jpeg("the file is cut: it has no end marker".into()));
    }
    Image::jpeg(size, bytes.into())
}

fn png(bytes: &[u8]) -> Result<Image, String> {
    let mut reader = ImageReader::with_format(Cursor::new(bytes), ImageFormat::Png);
    reader.limits(Limits::default());
    let picture = reader.decode().map_err(|error| error.to_string())?;
    let size = Size::new(picture.width(), picture.height());
    let (format, bytes) = match picture {
        image::DynamicImage::ImageLuma8(grey) => (PixelFormat::Grey, grey.into_raw()),
        other => (PixelFormat::Rgb8, other.into_rgb8().into_raw()),
    };
    Image::packed(format, size, bytes.into()).map_err(|error| error.to_string())
}

fn list(folder: &Path, endings: &[&str]) -> Result<Vec<PathBuf>, ImportError> {
    let read = |error| ImportError::io(folder, "list", error);
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(read)? {
        let path = entry.map_err(read)?.path();
        let ending = path.extension().and_then(OsStr::to_str).map(str::to_ascii_lowercase);
        if ending.is_some_and(|ending| endings.contains(&ending.as_str())) {
            paths.push(path);
        }
    }
    Ok(paths)
}

fn list_labels(folder: &Path) -> Result<BTreeMap<String, PathBuf>, ImportError> {
    let labels = list(folder, &["png"])?;
    Ok(labels.into_iter().map(|path| (stem(&path), path)).collect())
}

fn check_labels(
    config: &ImagesConfig,
    paths: &[PathBuf],
    labels: &BTreeMap<String, PathBuf>,
) -> Result<(), ImportError> {
    let Some((folder, _)) = &config.labels else { return Ok(()) };
    let labelled = paths.iter().filter(|path| labels.contains_key(&stem(path))).count();
    if labelled == 0 {
        let example = stem(&paths[0]);
        let reason = format!("no label matches a picture by name; expected for example {example}.png");
        return Err(ImportError::recording(folder, reason));
    }
    let (without, unused) = (paths.len() - labelled, labels.len().saturating_sub(labelled));
    if without + unused > 0 {
        tracing::warn!(folder = %folder.display(), without, unused, "pictures without a label, labels without a picture");
    }
    Ok(())
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// Names in the order that people count: runs of digits by their value, everything else by its letters.
fn natural_order(a: &str, b: &str) -> Ordering {
    natural_key(a).cmp(&natural_key(b)).then_with(|| a.cmp(b))
}

/// Alternating letters and digits; digits without leading zeros, their length first.
fn natural_key(name: &str) -> Vec<(String, usize, String)> {
    let mut key = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let digits = rest[letters..].find(|c: char| !c.is_ascii_digit()).map_or(rest.len(), |len| letters + len);
        let number = rest[letters..digits].trim_start_matches('0');
        key.push((rest[..letters].to_owned(), number.len(), number.to_owned()));
        rest = &rest[digits..];
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_ordered_as_people_count() {
        let mut names = ["10.jpg", "9.jpg", "a10b2", "a10b10", "a9", "009.jpg", "1e5_2", "1e5_10"];
        names.sort_by(|a, b| natural_order(a, b));
        assert_eq!(names, ["1e5_2", "1e5_10", "009.jpg", "9.jpg", "10.jpg", "a9", "a10b2", "a10b10"]);
    }
}
