//! Writes a trip, one event or perception at a time, on the caller's thread.
//!
//! The file is written in place under its final name: each chunk goes to the system in one piece
//! when it is complete, so a process that is killed leaves a file that opens up to its last
//! complete chunk, with nothing to rename.

use super::SourceCondition;
use super::TripError;
use super::container::{Container, MessageHead};
use super::ending;
use super::message::{self, DESCRIPTORS, Kind, PerceptionHead, Scratch, proto};
use super::metadata::{END_RECORD, TripMetadata};
use super::summary::TripSummary;
use crate::data::{Ending, Event, Frame, FrameId, GroundTruth, Perception, Plane, Stamp};
use foxglove::Encode as _;
use foxglove::messages::{CompressedImage, RawImage};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use xxhash_rust::xxh3::Xxh3;

/// The largest message: half of what a chunk may hold, so that no chunk grows past what readers accept.
const MAX_MESSAGE_BYTES: usize = 128 << 20;
/// Class tables that truth may change between in one trip.
const MAX_CHANNELS: usize = 64;

/// How chunks are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// Not at all: for JPEG alone.
    None,
    /// For readers that know no zstd.
    Lz4,
    /// At its fastest level: the default. Masks shrink to a hundredth.
    #[default]
    Zstd,
}

/// What happens to an item while the recorder's queue is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    /// It is dropped and counted: the pipeline never waits. For live driving.
    #[default]
    Drop,
    /// The pipeline waits: nothing is lost. For replay to a file.
    Wait,
}

/// How trips are written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `none`, `lz4` or `zstd`.
    pub compression: Compression,
    /// A chunk is closed when it holds this many bytes: 65536 to 67108864.
    pub chunk_bytes: u64,
    /// A chunk is closed when it spans this long: what a crash can lose.
    pub chunk_span_ms: u32,
    /// Bytes that may wait for the disk. Two seconds of 720p YUYV at 30 fps.
    pub queue_bytes: usize,
    /// Items that may wait for the disk.
    pub queue_items: usize,
    /// `drop` or `wait` while the queue is full.
    pub when_full: WhenFull,
    /// Whether camera frames are recorded.
    pub frames: bool,
    /// Whether masks are recorded.
    pub masks: bool,
    /// Whether the age and confidence planes are recorded with the masks.
    pub planes: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            compression: Compression::Zstd,
            chunk_bytes: 4 << 20,
            chunk_span_ms: 1000,
            queue_bytes: 128 << 20,
            queue_items: 4096,
            when_full: WhenFull::Drop,
            frames: true,
            masks: true,
            planes: false,
        }
    }
}

impl Config {
    /// Says which value is outside its bounds.
    pub fn check(&self) -> Result<(), String> {
        if !(64 << 10..=64 << 20).contains(&self.chunk_bytes) {
            return Err(format!("trip.chunk_bytes is {}, must be 65536 to 67108864", self.chunk_bytes));
        }
        if self.chunk_span_ms == 0 || self.queue_items == 0 || self.queue_bytes == 0 {
            return Err("trip.chunk_span_ms, trip.queue_items and trip.queue_bytes must be at least 1".into());
        }
        Ok(())
    }

    /// Whether `event` is recorded.
    pub(super) fn wants(&self, event: &Event) -> bool {
        self.frames || !matches!(event, Event::Frame(_))
    }
}

/// An unfinished trip. Dropping it finishes the file as well as it can; [`TripWriter::finish`] tells how that went.
pub struct TripWriter {
    path: PathBuf,
    config: Config,
    metadata: TripMetadata,
    container: Container,
    schemas: BTreeMap<&'static str, u16>,
    channels: BTreeMap<(Kind, Option<Arc<str>>), u16>,
    counts: BTreeMap<&'static str, u64>,
    dropped: BTreeMap<String, u64>,
    ending: BTreeMap<String, String>,
    chunk_start: Option<Stamp>,
    masks: Option<Xxh3>,
    /// The message that is being written.
    message: Vec<u8>,
    scratch: Scratch,
}

/// The parts of a message's record.
struct Entry {
    kind: Kind,
    classes: Option<Arc<str>>,
    sequence: u32,
    arrival: Stamp,
    capture: Stamp,
}

impl Entry {
    fn new(kind: Kind, arrival: Stamp, capture: Stamp) -> Self {
        Self { kind, classes: None, sequence: 0, arrival, capture }
    }
}

impl TripWriter {
    /// Starts the trip `path`. An existing file of that name is replaced: whoever still reads it keeps the old one.
    pub fn create(path: &Path, metadata: &TripMetadata, config: &Config) -> Result<Self, TripError> {
        config.check().map_err(TripError::Unstorable)?;
        let file = create_file(path)?;
        let fail = |error| TripError::io(path, "write", error);
        let mut container = Container::create(file, config.compression, config.chunk_bytes).map_err(fail)?;
        for (name, entries) in metadata.records() {
            container.metadata(name, &entries).map_err(fail)?;
        }
        Ok(Self {
            path: path.to_owned(),
            config: config.clone(),
            metadata: metadata.clone(),
            container,
            schemas: BTreeMap::new(),
            channels: BTreeMap::new(),
            counts: BTreeMap::new(),
            dropped: BTreeMap::new(),
            ending: BTreeMap::new(),
            chunk_start: None,
            masks: None,
            message: Vec::new(),
            scratch: Scratch::default(),
        })
    }

    /// Writes an event. [`TripError::Unstorable`] concerns this one alone; after any other error the file is closed.
    pub fn write_event(&mut self, event: &Event) -> Result<(), TripError> {
        if !self.config.wants(event) {
            return Ok(());
        }
        self.message.clear();
        let arrival = event.arrival();
        match event {
            Event::Frame(frame) => self.write_frame(frame),
            Event::Truth(truth) => self.write_truth(truth),
            Event::Can(frame) => {
                self.scratch.encode_can(frame, &mut self.message);
                self.put(Entry::new(Kind::Can, arrival, message::capture(frame.taken, arrival)))
            }
            Event::State(sample) => {
                message::encode_state(sample, &mut self.message);
                self.put(Entry::new(Kind::State, arrival, message::capture(sample.taken, arrival)))
            }
            Event::Lost { stamp, frames } => {
                self.put_message(Kind::Lost, arrival, &proto::LostFrames { frames: *frames, stamp_ns: stamp.ns() })
            }
            Event::Tick(stamp) => self.put_message(Kind::Tick, arrival, &proto::Tick { stamp_ns: stamp.ns() }),
        }
    }

    /// Writes the answer for one frame, under that frame's `arrival`.
    pub fn write_perception(&mut self, arrival: Stamp, perception: &Perception) -> Result<(), TripError> {
        if let Some(key) = perception.late {
            self.write_late(arrival, perception, key)?;
        }
        if !self.config.masks {
            return Ok(());
        }
        let planes = self.config.planes;
        let age = perception.age.as_ref().filter(|_| planes);
        let confidence = perception.confidence.as_ref().filter(|_| planes);
        let head = PerceptionHead {
            frame: perception.frame,
            stamp: perception.stamp,
            origin: perception.origin,
            mask_hash: perception.mask.hash(),
            has_age: age.is_some(),
            has_confidence: confidence.is_some(),
            disagreement: perception.disagreement,
        };
        self.message.clear();
        head.encode(&mut self.message);
        self.put(Entry { sequence: sequence(head.frame.0)?, ..Entry::new(Kind::Info, arrival, head.stamp) })?;
        self.masks.get_or_insert_with(Xxh3::new).update(&head.mask_hash.to_le_bytes());
        let mask = Plane::new(perception.mask.size(), perception.mask.labels().clone());
        let mask = mask.map_err(|error| TripError::Unstorable(error.to_string()))?;
        for (kind, plane) in [(Kind::Mask, Some(&mask)), (Kind::Confidence, confidence), (Kind::Age, age)] {
            plane.map_or(Ok(()), |plane| self.write_plane(kind, &head, arrival, plane))?;
        }
        Ok(())
    }

    fn write_late(&mut self, arrival: Stamp, perception: &Perception, key: FrameId) -> Result<(), TripError> {
        self.message.clear();
        message::encode_late(perception.frame, key, &mut self.message);
        let entry = Entry::new(Kind::Late, arrival, perception.stamp);
        self.put(Entry { sequence: sequence(perception.frame.0)?, ..entry })
    }

    /// Closes the open chunk: everything written so far survives a crash of this process.
    pub fn flush(&mut self) -> Result<(), TripError> {
        self.chunk_start = None;
        self.container.close_chunk().map_err(|error| self.failed(error))
    }

    /// Notes what could not be written, by topic, for the end of the file.
    pub fn note_dropped(&mut self, dropped: BTreeMap<String, u64>) {
        self.dropped = dropped;
    }

    /// Says how the recording ended, and how many frames it was to have, for the end of the file. Without this
    /// the file claims nothing of the sort.
    pub fn note_ending(&mut self, ending: &Ending, frames_expected: Option<u64>) {
        self.ending.extend(ending::to_map(ending, frames_expected));
    }

    /// Says in what condition the trip was that this one is made from, for the end of the file.
    pub fn note_source(&mut self, condition: SourceCondition) {
        self.ending.extend(condition.entries());
    }

    /// Ends the file: summary, footer, and a request to the system to put it on the disk.
    pub fn finish(mut self) -> Result<TripSummary, TripError> {
        let summary = TripSummary { bytes: 0, mask_hash: self.mask_hash(), messages: self.message_counts() };
        let end = self.end_map(&summary);
        let ended = self.container.metadata(END_RECORD, &end).and_then(|()| self.container.finish());
        ended.map_err(|error| self.failed(error))?;
        let (path, file) = (&self.path, self.container.file());
        file.sync_data().map_err(|error| TripError::io(path, "put on the disk", error))?;
        let bytes = file.metadata().map_err(|error| TripError::io(path, "look at", error))?.len();
        Ok(TripSummary { bytes, ..summary })
    }

    /// XXH3-64 over the hashes of the masks so far, in order.
    pub fn mask_hash(&self) -> Option<u64> {
        self.masks.as_ref().map(Xxh3::digest)
    }

    fn message_counts(&self) -> BTreeMap<String, u64> {
        self.counts.iter().map(|(topic, count)| ((*topic).to_owned(), *count)).collect()
    }

    fn end_map(&self, summary: &TripSummary) -> BTreeMap<String, String> {
        let written = summary.messages.iter().map(|(topic, count)| (format!("written{topic}"), count.to_string()));
        let dropped = self.dropped.iter().map(|(topic, count)| (format!("dropped{topic}"), count.to_string()));
        let hash = summary.mask_hash.map(|hash| ("mask_hash".to_owned(), format!("{hash:016x}")));
        written.chain(dropped).chain(hash).chain(self.ending.clone()).collect()
    }

    fn write_frame(&mut self, frame: &Frame) -> Result<(), TripError> {
        if let Some(number) = frame.sequence {
            message::encode_sequence(frame.id, number, &mut self.message);
            let entry = Entry::new(Kind::Sequence, frame.arrival, frame.stamp);
            self.put(Entry { sequence: sequence(frame.id.0)?, ..entry })?;
            self.message.clear();
        }
        let kind = self.scratch.encode_image(frame.stamp, &frame.image, &mut self.message);
        let sequence = sequence(frame.id.0)?;
        self.put(Entry { sequence, ..Entry::new(kind, frame.arrival, frame.stamp) })
    }

    fn write_truth(&mut self, truth: &GroundTruth) -> Result<(), TripError> {
        let (size, labels) = (truth.labels.size(), truth.labels.bytes());
        self.scratch.encode_plane(truth.stamp, size, labels, &mut self.message);
        let classes = Some(Arc::clone(&truth.classes));
        self.put(Entry { classes, ..Entry::new(Kind::Truth, truth.stamp, truth.stamp) })
    }

    fn write_plane(
        &mut self,
        kind: Kind,
        head: &PerceptionHead,
        arrival: Stamp,
        plane: &Plane,
    ) -> Result<(), TripError> {
        self.message.clear();
        self.scratch.encode_plane(head.stamp, plane.size(), plane.bytes(), &mut self.message);
        self.put(Entry { sequence: sequence(head.frame.0)?, ..Entry::new(kind, arrival, head.stamp) })
    }

    fn put_message(&mut self, kind: Kind, arrival: Stamp, message: &impl prost::Message) -> Result<(), TripError> {
        message.encode_raw(&mut self.message);
        self.put(Entry::new(kind, arrival, arrival))
    }

    /// Writes what `message` holds.
    fn put(&mut self, entry: Entry) -> Result<(), TripError> {
        if self.message.len() > MAX_MESSAGE_BYTES {
            let (topic, got) = (entry.kind.topic(), self.message.len());
            return Err(TripError::Unstorable(format!("{topic}: {got} bytes, at most {MAX_MESSAGE_BYTES} fit")));
        }
        self.close_long_chunk(entry.arrival)?;
        let head = MessageHead {
            channel: self.channel(entry.kind, entry.classes)?,
            sequence: entry.sequence,
            log_time: entry.arrival.ns(),
            publish_time: entry.capture.ns(),
        };
        self.container.message(&head, &self.message).map_err(|error| self.failed(error))?;
        *self.counts.entry(entry.kind.topic()).or_default() += 1;
        Ok(())
    }

    fn close_long_chunk(&mut self, arrival: Stamp) -> Result<(), TripError> {
        let start = *self.chunk_start.get_or_insert(arrival);
        if arrival.signed_ns_since(start) > i64::from(self.config.chunk_span_ms) * 1_000_000 {
            self.flush()?;
            self.chunk_start = Some(arrival);
        }
        Ok(())
    }

    fn channel(&mut self, kind: Kind, classes: Option<Arc<str>>) -> Result<u16, TripError> {
        let key = (kind, classes);
        if let Some(&id) = self.channels.get(&key) {
            return Ok(id);
        }
        if self.channels.len() >= MAX_CHANNELS {
            return Err(TripError::Unstorable(format!(
                "more than {MAX_CHANNELS} channels: truth in too many class tables"
            )));
        }
        let id = self.add_channel(&key).map_err(|error| self.failed(error))?;
        self.channels.insert(key, id);
        Ok(id)
    }

    fn add_channel(&mut self, (kind, classes): &(Kind, Option<Arc<str>>)) -> io::Result<u16> {
        let schema = match self.schemas.get(kind.schema()) {
            Some(&id) => id,
            None => self.container.add_schema(kind.schema(), "protobuf", &schema_data(*kind))?,
        };
        self.schemas.insert(kind.schema(), schema);
        let mut notes = self.metadata.channel_notes(*kind);
        notes.extend(classes.as_ref().map(|name| ("classes".to_owned(), name.to_string())));
        self.container.add_channel(schema, kind.topic(), "protobuf", &notes)
    }

    fn failed(&self, error: io::Error) -> TripError {
        TripError::io(&self.path, "write", error)
    }
}

/// Frame numbers travel in MCAP's 32-bit sequence: two years at 60 fps.
fn sequence(frame: u64) -> Result<u32, TripError> {
    u32::try_from(frame).map_err(|_| TripError::Unstorable(format!("frame number {frame} is above 4294967295")))
}

fn schema_data(kind: Kind) -> Cow<'static, [u8]> {
    let foxglove = match kind {
        Kind::Jpeg => CompressedImage::get_schema(),
        Kind::Raw | Kind::Truth | Kind::Mask | Kind::Confidence | Kind::Age => RawImage::get_schema(),
        Kind::Info | Kind::Late | Kind::Can | Kind::State | Kind::Sequence | Kind::Lost | Kind::Tick => None,
    };
    foxglove.map_or(Cow::Borrowed(DESCRIPTORS), |schema| schema.data)
}

fn create_file(path: &Path) -> Result<File, TripError> {
    if path.symlink_metadata().is_ok_and(|found| found.is_file()) {
        std::fs::remove_file(path).map_err(|error| TripError::io(path, "replace", error))?;
    }
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    options.open(path).map_err(|error| TripError::io(path, "create", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configuration_outside_its_bounds_is_refused() {
        assert_eq!(Config::default().check(), Ok(()));
        assert_eq!(toml::from_str::<Config>("").expect("all keys have defaults"), Config::default());
        assert!(toml::from_str::<Config>("chunk_size = 1").is_err(), "unknown key");
        for config in [
            Config { chunk_bytes: 1, ..Config::default() },
            Config { chunk_bytes: 1 << 30, ..Config::default() },
            Config { chunk_span_ms: 0, ..Config::default() },
            Config { queue_items: 0, ..Config::default() },
            Config { queue_bytes: 0, ..Config::default() },
        ] {
            assert!(config.check().is_err(), "{config:?}");
        }
    }
}
