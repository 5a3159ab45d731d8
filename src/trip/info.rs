//! What is in a trip, for people and for scripts. Reads and verifies every chunk.

use super::file::TripFile;
use super::message::{Kind, decode_event};
use super::messages::{Message, Messages, Wanted};
use super::metadata::{END_RECORD, RECORD};
use super::reader::read_metadata;
use super::zero::zero;
use super::{RecordedEnding, TripError};
use crate::data::{Event, PixelFormat, Quantity, Stamp};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Problems listed one by one; more are only counted.
const MAX_PROBLEMS: usize = 20;

/// What is in a trip.
#[derive(Clone, Debug, Serialize)]
pub struct TripInfo {
    /// The file.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Whether it is whole.
    pub condition: Condition,
    /// Log time of the first message, seconds.
    pub start_s: f64,
    /// Log time from the first to the last message, seconds.
    pub duration_s: f64,
    /// From where `--from`, `--until`, captions and reports count, seconds of the same timeline.
    pub zero_s: f64,
    /// How the recording ended; `None` where the file does not say.
    pub ended: Option<RecordedEnding>,
    /// Its topics, also those that are not ours.
    pub topics: Vec<TopicInfo>,
    /// Camera frames.
    pub frames: u64,
    /// The pictures; `None` without camera.
    pub images: Option<ImageInfo>,
    /// Reports of each quantity of the vehicle's state.
    pub quantities: BTreeMap<&'static str, u64>,
    /// Frames that the camera made and that never came.
    pub lost_frames: u64,
    /// Intervals between frames longer than 1.5 of the median one.
    pub frame_gaps: u64,
    /// The longest interval between frames, seconds.
    pub longest_gap_s: f64,
    /// Where the events came from.
    pub source: String,
    /// What wrote the file.
    pub program: String,
    /// Names of the class tables inside.
    pub class_tables: Vec<String>,
    /// The class table of the masks.
    pub mask_classes: Option<String>,
    /// Name, runtime and hash of the network that made the masks.
    pub network: Option<super::NetworkIdentity>,
    /// XXH3-64 over all masks, 16 hex digits, as the recorder found it.
    pub mask_hash: Option<String>,
    /// Unix time at `wall_at_s`, nanoseconds.
    pub wall_unix_ns: Option<i64>,
    /// The point of the timeline that `wall_unix_ns` belongs to, seconds.
    pub wall_at_s: Option<f64>,
    /// The camera's calibration.
    pub calibration: Option<super::Calibration>,
    /// File name of the DBC inside.
    pub dbc: Option<String>,
    /// What the recorder could not write, by topic.
    pub dropped: BTreeMap<String, u64>,
}

/// Whether a trip is whole.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Condition {
    /// Its writer finished it and nothing in it is damaged.
    pub complete: bool,
    /// Its writer finished it.
    pub finished: bool,
    /// Bytes that no message could be read from.
    pub damaged_bytes: u64,
    /// Chunks and messages that could not be read.
    pub unreadable: u64,
    /// The first of the problems, in words.
    pub problems: Vec<String>,
}

/// One topic.
#[derive(Clone, Debug, Serialize)]
pub struct TopicInfo {
    /// Its name.
    pub topic: String,
    /// Its schema.
    pub schema: String,
    /// Messages in it.
    pub messages: u64,
    /// Messages a second over the whole trip.
    pub rate_hz: f64,
}

/// The pictures, by the first one.
#[derive(Clone, Debug, Serialize)]
pub struct ImageInfo {
    /// Format name.
    pub format: &'static str,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Frames a second, by the median interval.
    pub rate_hz: f64,
}

/// Reads all of `path` and says what is in it.
pub fn info(path: &Path) -> Result<TripInfo, TripError> {
    let trip = Arc::new(TripFile::open(path)?);
    let mut census = Census::new(&trip);
    let mut messages = Messages::new(Arc::clone(&trip), Wanted::all(|_| true));
    loop {
        match messages.next() {
            Ok(Some(message)) => census.take(&message),
            Ok(None) => break,
            Err(error) if error.is_skippable() => census.problem(error.to_string()),
            Err(error) => return Err(error),
        }
    }
    Ok(census.into_info(&trip))
}

/// What is gathered on the way through the messages.
#[derive(Default)]
struct Census {
    condition: Condition,
    first_image: Option<(PixelFormat, crate::data::Size)>,
    frame_stamps: Vec<Stamp>,
    quantities: BTreeMap<&'static str, u64>,
    lost_frames: u64,
}

impl Census {
    fn new(trip: &TripFile) -> Self {
        let mut census = Self::default();
        census.condition.finished = trip.contents.finished;
        for damage in &trip.contents.damage {
            census.condition.damaged_bytes += damage.bytes;
            census.problem(format!("{} bytes at {}: {}", damage.bytes, damage.offset, damage.reason));
        }
        read_metadata(trip).1.into_iter().for_each(|note| census.note(note));
        census
    }

    fn problem(&mut self, reason: String) {
        self.condition.unreadable += 1;
        self.note(reason);
    }

    fn note(&mut self, reason: String) {
        if self.condition.problems.len() < MAX_PROBLEMS {
            self.condition.problems.push(reason);
        }
    }

    fn take(&mut self, message: &Message) {
        let seen_image = self.first_image.is_some();
        match message.kind {
            Kind::Jpeg | Kind::Raw if seen_image => self.frame_stamps.push(message.head().capture),
            Kind::Jpeg | Kind::Raw | Kind::State | Kind::Lost => self.decode(message),
            _ => (),
        }
    }

    fn decode(&mut self, message: &Message) {
        match decode_event(message.kind, message.head(), message.data.clone()) {
            Ok(Some(Event::Frame(frame))) => {
                self.first_image = Some((frame.image.format(), frame.image.size()));
                self.frame_stamps.push(frame.stamp);
            }
            Ok(Some(Event::State(sample))) => {
                for quantity in Quantity::ALL.into_iter().filter(|&quantity| sample.state.get(quantity).is_some()) {
                    *self.quantities.entry(quantity.name()).or_default() += 1;
                }
            }
            Ok(Some(Event::Lost { frames, .. })) => self.lost_frames += u64::from(frames),
            Ok(_) => (),
            Err(reason) => self.problem(message.refuse(reason).to_string()),
        }
    }

    fn into_info(mut self, trip: &Arc<TripFile>) -> TripInfo {
        let (metadata, _) = read_metadata(trip);
        let (start, end) = trip.contents.span().unwrap_or_default();
        let duration_s = end.signed_ns_since(start) as f64 / 1e9;
        let intervals = self.intervals_s();
        let median_s = intervals.get(intervals.len() / 2).copied().unwrap_or(0.0);
        let condition = &mut self.condition;
        condition.complete = condition.finished && condition.unreadable == 0;
        let end_record = trip.contents.metadata_record(END_RECORD).map(|record| &record.metadata);
        TripInfo {
            path: trip.path.display().to_string(),
            bytes: trip.len,
            condition: self.condition,
            start_s: start.secs_f64(),
            duration_s,
            zero_s: zero(trip).secs_f64(),
            ended: RecordedEnding::read(&trip.contents),
            topics: topics(trip, duration_s),
            frames: trip.contents.count(Kind::Jpeg) + trip.contents.count(Kind::Raw),
            images: self.first_image.map(|(format, size)| ImageInfo {
                format: format.name(),
                width: size.width,
                height: size.height,
                rate_hz: if median_s > 0.0 { 1.0 / median_s } else { 0.0 },
            }),
            quantities: self.quantities,
            lost_frames: self.lost_frames,
            frame_gaps: intervals.iter().filter(|&&interval| interval > 1.5 * median_s).count() as u64,
            longest_gap_s: intervals.last().copied().unwrap_or(0.0),
            source: metadata.source,
            program: text(trip, "program").unwrap_or_default(),
            class_tables: metadata.class_tables.iter().map(|table| table.name.clone()).collect(),
            mask_classes: metadata.mask_classes,
            network: metadata.network,
            mask_hash: end_record.and_then(|map| map.get("mask_hash").cloned()),
            wall_unix_ns: metadata.wall.map(|wall| wall.unix_ns),
            wall_at_s: metadata.wall.map(|wall| wall.at.secs_f64()),
            calibration: metadata.calibration,
            dbc: metadata.dbc.map(|dbc| dbc.name),
            dropped: end_record.map(dropped).unwrap_or_default(),
        }
    }

    /// Seconds between neighbouring frames, sorted.
    fn intervals_s(&mut self) -> Vec<f64> {
        self.frame_stamps.sort_unstable();
        let pairs = self.frame_stamps.windows(2);
        let mut intervals: Vec<f64> = pairs.map(|pair| pair[1].signed_ns_since(pair[0]) as f64 / 1e9).collect();
        intervals.sort_unstable_by(f64::total_cmp);
        intervals
    }
}

fn text(trip: &TripFile, key: &str) -> Option<String> {
    trip.contents.metadata_record(RECORD)?.metadata.get(key).cloned()
}

fn dropped(map: &BTreeMap<String, String>) -> BTreeMap<String, u64> {
    let dropped = map.iter().filter_map(|(key, count)| Some((key.strip_prefix("dropped")?, count.parse().ok()?)));
    dropped.map(|(topic, count)| (topic.to_owned(), count)).collect()
}

fn topics(trip: &TripFile, duration_s: f64) -> Vec<TopicInfo> {
    let mut topics = BTreeMap::<(String, String), u64>::new();
    for (id, channel) in &trip.contents.channels {
        let schema = trip.contents.schemas.get(&channel.schema_id).map(|(header, _)| header.name.clone());
        let messages = trip.contents.counts.get(id).copied().unwrap_or(0);
        *topics.entry((channel.topic.clone(), schema.unwrap_or_default())).or_default() += messages;
    }
    let rate = |messages: u64| if duration_s > 0.0 { messages as f64 / duration_s } else { 0.0 };
    let info = |((topic, schema), messages)| TopicInfo { topic, schema, messages, rate_hz: rate(messages) };
    topics.into_iter().map(info).collect()
}

impl fmt::Display for TripInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "file         {} ({:.1} MB)", self.path, self.bytes as f64 / 1e6)?;
        writeln!(f, "condition    {}", self.condition)?;
        self.ended.as_ref().map_or(Ok(()), |ended| writeln!(f, "recording    {ended}"))?;
        let (duration_s, start_s, zero_s) = (self.duration_s, self.start_s, self.zero_s);
        writeln!(f, "time         {duration_s:.3} s from {start_s:.3} s; --from and --until count from {zero_s:.3} s")?;
        self.fmt_camera(f)?;
        self.fmt_metadata(f)?;
        writeln!(f, "\n{:<24} {:<26} {:>10} {:>10}", "topic", "schema", "messages", "Hz")?;
        for topic in &self.topics {
            let TopicInfo { topic, schema, messages, rate_hz } = topic;
            writeln!(f, "{topic:<24} {schema:<26} {messages:>10} {rate_hz:>10.2}")?;
        }
        let problems = self.condition.problems.iter().map(|problem| format!("! {problem}\n"));
        f.write_str(&problems.collect::<String>())
    }
}

impl TripInfo {
    fn fmt_camera(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(images) = &self.images else { return writeln!(f, "camera       none") };
        let ImageInfo { format, width, height, rate_hz } = images;
        writeln!(f, "camera       {} frames, {width}x{height} {format}, {rate_hz:.2} Hz", self.frames)?;
        let (lost, gaps, longest) = (self.lost_frames, self.frame_gaps, self.longest_gap_s);
        writeln!(f, "gaps         {lost} frames lost, {gaps} long intervals, longest {longest:.3} s")
    }

    fn fmt_metadata(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |name: &str, value: Option<String>| {
            value.filter(|value| !value.is_empty()).map_or(Ok(()), |value| writeln!(f, "{name:<12} {value}"))
        };
        let counts = |counts: Vec<String>| (!counts.is_empty()).then(|| counts.join(", "));
        line("source", Some(self.source.clone()))?;
        line("written by", Some(self.program.clone()))?;
        line("states", counts(self.quantities.iter().map(|(name, count)| format!("{name} {count}")).collect()))?;
        line("classes", counts(self.class_tables.clone()))?;
        line("masks in", self.mask_classes.clone())?;
        line("network", self.network.as_ref().map(|network| format!("{} on {}", network.name, network.runtime)))?;
        line("mask hash", self.mask_hash.clone())?;
        line("unix time", self.wall_unix_ns.zip(self.wall_at_s).map(|(ns, at)| format!("{ns} ns at {at:.9} s")))?;
        line("calibrated", Some(if self.calibration.is_some() { "yes" } else { "no" }.into()))?;
        line("dbc", self.dbc.clone())?;
        line("dropped", counts(self.dropped.iter().map(|(topic, count)| format!("{topic} {count}")).collect()))
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.complete {
            return f.write_str("finished file, nothing damaged");
        }
        let end = if self.finished { "finished" } else { "cut: it was not finished" };
        write!(f, "{end}; {} unreadable parts, {} bytes", self.unreadable, self.damaged_bytes)
    }
}
