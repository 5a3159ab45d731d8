//! Takes a trip apart into files that every other tool reads: pictures, label PNGs, a CSV.

use super::label_png::{read_labels, write_labels};
use super::names::FrameNames;
use super::perceptions::Perceptions;
use super::reader::{Range, TripReader};
use super::{TripError, TripMetadata};
use crate::data::{
    ClassTable, Event, Frame, GroundTruth, Image, PixelFormat, Plane, Quantity, Reading, Stamp, StateSample, Validity,
};
use crate::data::{to_grey8, to_rgb8};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

/// What to take out, and where to. Files of a frame are called as the file that it was imported from, or else by its
/// number, eight digits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Folder for frames: `.jpg` as they were stored, or `.png`.
    pub frames: Option<PathBuf>,
    /// Folder for masks: palette PNG, values are train ids.
    pub masks: Option<PathBuf>,
    /// Folder for true labels: palette PNG, values are the label ids.
    pub truth: Option<PathBuf>,
    /// CSV file for the vehicle's states.
    pub states: Option<PathBuf>,
    /// Which part of the trip.
    pub range: Range,
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ExportReport {
    /// Pictures of frames.
    pub frames: u64,
    /// Masks.
    pub masks: u64,
    /// True labels.
    pub truth: u64,
    /// Rows of the CSV.
    pub states: u64,
    /// Messages and chunks that could not be read.
    pub skipped: u64,
    /// Camera frames among them.
    pub frames_lost: u64,
    /// Whether it was stopped before its end: every file is whole, but there would be more.
    pub interrupted: bool,
}

/// Writes everything selected. A file that cannot be written to its end is taken away again.
pub fn export(trip: &Path, selection: &Selection) -> Result<ExportReport, TripError> {
    export_until(trip, selection, &|| false)
}

/// The same, until `stop` says so; it is asked between files.
pub fn export_until(trip: &Path, selection: &Selection, stop: &dyn Fn() -> bool) -> Result<ExportReport, TripError> {
    let mut report = ExportReport::default();
    if let Some(folder) = &selection.masks {
        export_masks(trip, selection.range, folder, stop, &mut report)?;
    }
    if selection.frames.is_some() || selection.truth.is_some() || selection.states.is_some() {
        let exported = export_events(trip, selection, stop, &mut report);
        exported.inspect_err(|_| selection.states.as_deref().into_iter().for_each(take_away))?;
    }
    Ok(report)
}

/// Removes what could not be written to its end; a device or a link stays.
fn take_away(path: &Path) {
    if path.symlink_metadata().is_ok_and(|found| found.is_file()) {
        drop(std::fs::remove_file(path));
    }
}

/// Writes the vehicle's states as CSV to `out`, one row a report; returns the rows.
pub fn export_states(trip: &Path, range: Range, out: impl Write) -> Result<u64, TripError> {
    let mut table = StateTable::new(trip, out)?;
    let mut reader = TripReader::open(trip, range)?;
    let mut skipped = 0;
    while let Some(event) = next_readable(&mut skipped, || reader.next_event())? {
        table.add(&event)?;
    }
    table.finish()
}

fn export_events(
    trip: &Path,
    selection: &Selection,
    stop: &dyn Fn() -> bool,
    report: &mut ExportReport,
) -> Result<(), TripError> {
    let mut reader = TripReader::open(trip, selection.range)?;
    let mut table = selection.states.as_ref().map(|path| StateTable::new(path, create(path)?)).transpose()?;
    for folder in [&selection.frames, &selection.truth].into_iter().flatten() {
        create_folder(folder)?;
    }
    let mut pictures = Pictures::default();
    while let Some(event) = next_readable(&mut report.skipped, || reader.next_event())? {
        if let Some(table) = &mut table {
            table.add(&event)?;
        }
        let (frames, truth) = pictures.add(&event, selection, &reader.metadata().frame_names)?;
        report.frames += frames;
        report.truth += truth;
        if let Some(folder) = &selection.truth {
            pictures.write_truth(folder, reader.metadata(), false)?;
        }
        if stop() {
            report.interrupted = true;
            break;
        }
    }
    if let Some(folder) = &selection.truth {
        pictures.write_truth(folder, reader.metadata(), true)?;
    }
    report.states = table.map_or(Ok(0), StateTable::finish)?;
    report.frames_lost = reader.losses().frames;
    Ok(())
}

/// Reads a PNG whose values are label ids, grey or palette, as it is stored.
pub fn read_label_png(path: &Path) -> Result<Plane, TripError> {
    let file = File::open(path).map_err(|error| TripError::io(path, "open", error))?;
    let labels = read_labels(BufReader::new(file));
    labels.map_err(|reason| TripError::io(path, "read", std::io::Error::new(std::io::ErrorKind::InvalidData, reason)))
}

/// Writes an 8-bit palette PNG whose values are the labels and whose colours are the table's, or greys.
pub fn write_label_png(path: &Path, labels: &Plane, classes: Option<&ClassTable>) -> Result<(), TripError> {
    let written = write_labels(create(path)?, labels, classes);
    written.map_err(|reason| TripError::io(path, "write", std::io::Error::other(reason)))
}

/// True labels that may wait for their frame, by whose number their file is named.
const MAX_WAITING: usize = 64;

/// Names truth as its frame, whichever of the two comes first.
#[derive(Default)]
struct Pictures {
    numbers: BTreeMap<Stamp, u64>,
    waiting: BTreeMap<Stamp, GroundTruth>,
}

impl Pictures {
    fn add(&mut self, event: &Event, selection: &Selection, names: &FrameNames) -> Result<(u64, u64), TripError> {
        match event {
            Event::Frame(frame) => {
                self.numbers.insert(frame.stamp, frame.id.0);
                let folder = selection.frames.as_ref();
                Ok((folder.map_or(Ok(0), |folder| write_frame(folder, frame, names).map(|()| 1))?, 0))
            }
            Event::Truth(truth) if selection.truth.is_some() => {
                self.waiting.insert(truth.stamp, truth.clone());
                Ok((0, 1))
            }
            _ => Ok((0, 0)),
        }
    }

    /// Writes the truth whose frame is known, or that has waited too long; all of it at the end.
    fn write_truth(&mut self, folder: &Path, metadata: &TripMetadata, end: bool) -> Result<(), TripError> {
        let names = &metadata.frame_names;
        let known = |stamp: &Stamp| self.numbers.contains_key(stamp) || names.get(*stamp).is_some();
        let is_due = |stamp: &Stamp, waiting: usize| end || waiting > MAX_WAITING || known(stamp);
        let due: Vec<Stamp> = self.waiting.keys().copied().filter(|stamp| is_due(stamp, self.waiting.len())).collect();
        for truth in due.iter().filter_map(|stamp| self.waiting.remove(stamp)) {
            let stem = match (names.get(truth.stamp), self.numbers.get(&truth.stamp)) {
                (Some(name), _) => name.to_owned(),
                (None, Some(number)) => names.file_stem(truth.stamp, *number),
                (None, None) => format!("stamp_{}", truth.stamp.ns()),
            };
            write_plane(&folder.join(format!("{stem}.png")), &truth.labels, metadata, Some(&truth.classes))?;
        }
        Ok(())
    }
}

fn export_masks(
    trip: &Path,
    range: Range,
    folder: &Path,
    stop: &dyn Fn() -> bool,
    report: &mut ExportReport,
) -> Result<(), TripError> {
    let mut perceptions = Perceptions::open(trip, range)?;
    create_folder(folder)?;
    let metadata = perceptions.metadata().clone();
    if metadata.mask_classes.is_none() {
        tracing::warn!(path = %trip.display(), "the trip names no class table for its masks: greys stand for classes");
    }
    while let Some(perception) = next_readable(&mut report.skipped, || perceptions.next().transpose())? {
        let stem = metadata.frame_names.file_stem(perception.stamp, perception.frame.0);
        let path = folder.join(format!("{stem}.png"));
        let labels = Plane::new(perception.mask.size(), perception.mask.labels().clone());
        let labels = labels.map_err(|error| TripError::Unstorable(error.to_string()))?;
        write_plane(&path, &labels, &metadata, metadata.mask_classes.as_deref())?;
        report.masks += 1;
        if stop() {
            report.interrupted = true;
            break;
        }
    }
    Ok(())
}

/// Calls `next` until it gives something readable, counting what it skipped.
fn next_readable<T>(
    skipped: &mut u64,
    mut next: impl FnMut() -> Result<Option<T>, TripError>,
) -> Result<Option<T>, TripError> {
    loop {
        match next() {
            Err(error) if error.is_skippable() => {
                tracing::warn!(%error, "skipped");
                *skipped += 1;
            }
            other => return other,
        }
    }
}

fn write_frame(folder: &Path, frame: &Frame, names: &FrameNames) -> Result<(), TripError> {
    let ending = if frame.image.format() == PixelFormat::Jpeg { "jpg" } else { "png" };
    let path = folder.join(format!("{}.{ending}", names.file_stem(frame.stamp, frame.id.0)));
    let written = if frame.image.format() == PixelFormat::Jpeg {
        std::fs::write(&path, &**frame.image.bytes()).map_err(|error| TripError::io(&path, "write", error))
    } else {
        write_picture(&path, &frame.image)
    };
    written.inspect_err(|_| take_away(&path))
}

fn write_picture(path: &Path, image: &Image) -> Result<(), TripError> {
    let grey = image.format() == PixelFormat::Grey;
    let pixels = if grey { to_grey8(image) } else { to_rgb8(image) };
    let pixels = pixels.map_err(|error| TripError::Unstorable(error.to_string()))?;
    let color = if grey { image::ExtendedColorType::L8 } else { image::ExtendedColorType::Rgb8 };
    let saved = image::save_buffer(path, &pixels, image.size().width, image.size().height, color);
    saved.map_err(|error| TripError::io(path, "write", std::io::Error::other(error)))
}

fn write_plane(path: &Path, labels: &Plane, metadata: &TripMetadata, classes: Option<&str>) -> Result<(), TripError> {
    let written = write_label_png(path, labels, classes.and_then(|name| metadata.class_table(name)));
    written.inspect_err(|_| take_away(path))
}

fn create(path: &Path) -> Result<BufWriter<File>, TripError> {
    File::create(path).map(BufWriter::new).map_err(|error| TripError::io(path, "create", error))
}

fn create_folder(path: &Path) -> Result<(), TripError> {
    std::fs::create_dir_all(path).map_err(|error| TripError::io(path, "create", error))
}

/// The columns of the CSV, in order. Each value has its validity beside it; both are empty where there is none.
const COLUMNS: [&str; 13] = [
    "stamp_s",
    "speed_mps",
    "speed_mps_validity",
    "longitudinal_acceleration_mps2",
    "longitudinal_acceleration_mps2_validity",
    "lateral_acceleration_mps2",
    "lateral_acceleration_mps2_validity",
    "steering_wheel_angle_rad",
    "steering_wheel_angle_rad_validity",
    "steering_wheel_angle_deg",
    "steering_wheel_angle_deg_validity",
    "yaw_rate_radps",
    "yaw_rate_radps_validity",
];

struct StateTable<W: Write> {
    path: PathBuf,
    csv: csv::Writer<W>,
    rows: u64,
}

impl<W: Write> StateTable<W> {
    fn new(path: &Path, out: W) -> Result<Self, TripError> {
        let mut table = Self { path: path.to_owned(), csv: csv::Writer::from_writer(out), rows: 0 };
        table.write(&COLUMNS.map(str::to_owned))?;
        Ok(table)
    }

    fn add(&mut self, event: &Event) -> Result<(), TripError> {
        let Event::State(sample) = event else { return Ok(()) };
        self.rows += 1;
        self.write(&row(sample))
    }

    fn write(&mut self, fields: &[String]) -> Result<(), TripError> {
        let written = self.csv.write_record(fields);
        written.map_err(|error| TripError::io(&self.path, "write", std::io::Error::other(error)))
    }

    fn finish(mut self) -> Result<u64, TripError> {
        self.csv.flush().map_err(|error| TripError::io(&self.path, "write", error))?;
        Ok(self.rows)
    }
}

fn row(sample: &StateSample) -> Vec<String> {
    let stamp = super::message::capture(sample.taken, sample.arrival);
    let mut fields = vec![stamp.to_string()];
    for quantity in Quantity::ALL {
        let reading = sample.state.get(quantity);
        fields.extend(cells(reading));
        if quantity == Quantity::SteeringWheelAngle {
            fields.extend(cells(reading.map(|r| Reading { value: r.value.to_degrees(), ..r })));
        }
    }
    fields
}

/// Value and validity; Rust prints the shortest text that reads back as the same `f64`.
fn cells(reading: Option<Reading>) -> [String; 2] {
    reading.map_or_else(Default::default, |reading| [reading.value.to_string(), validity(reading.validity).to_owned()])
}

const fn validity(validity: Validity) -> &'static str {
    match validity {
        Validity::Valid => "valid",
        Validity::Stale => "stale",
        Validity::Faulty => "faulty",
        Validity::Frozen => "frozen",
    }
}
