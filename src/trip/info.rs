//! What is in a trip, for people and for scripts. Reads and verifies every chunk.

use super::file::TripFile;
use super::losses::{Losses, is_frame};
use super::message::{Kind, decode_event};
use super::messages::{Message, Messages, Wanted};
use super::metadata::{END_RECORD, RECORD};
use super::pace::Pace;
use super::reader::read_metadata;
use super::zero::zero;
use super::{RecordedEnding, SourceCondition, TripError};
use crate::data::{Event, Image, Quantity, Size, Stamp};
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
    /// In what condition the trip was that this one was made from, by a run or by recovery; `None` where it says nothing.
    pub made_from: Option<SourceCondition>,
    /// Its topics, also those that are not of this program.
    pub topics: Vec<TopicInfo>,
    /// Camera frames that can be read.
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
    /// Which frames the network ran on.
    pub schedule: Option<String>,
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
    /// Messages in them, by topic, as far as that is known.
    pub damaged_messages: BTreeMap<&'static str, u64>,
    /// Of those, camera frames.
    pub damaged_frames: u64,
    /// Damaged parts of which nothing tells what they held.
    pub uncounted: u64,
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
    /// Messages in it that can be read.
    pub messages: u64,
    /// Messages a second by their capture times, (n - 1) / (last - first); `None` for fewer than two of them, and for a
    /// topic that is not of this program.
    pub rate_hz: Option<f64>,
}

/// The pictures.
#[derive(Clone, Debug, Serialize)]
pub struct ImageInfo {
    /// Format name of the first.
    pub format: &'static str,
    /// Columns of the first.
    pub width: u32,
    /// Rows of the first.
    pub height: u32,
    /// Frames a second by their capture times, (n - 1) / (last - first); 0 for fewer than two.
    pub rate_hz: f64,
    /// Every format and size that there is, in order of appearance: the first 16.
    pub kinds: Vec<ImageKind>,
}

/// Pictures of one format and size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImageKind {
    /// Format name.
    pub format: &'static str,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// How many pictures are so.
    pub frames: u64,
}

/// Formats and sizes listed one by one.
const MAX_IMAGE_KINDS: usize = 16;

/// Reads all of `path` and says what is in it.
pub fn info(path: &Path) -> Result<TripInfo, TripError> {
    info_unless(path, &|| false)
}

/// The same, asking `stopped` before each message: [`TripError::Stopped`] once it says so.
pub fn info_unless(path: &Path, stopped: &dyn Fn() -> bool) -> Result<TripInfo, TripError> {
    let trip = Arc::new(TripFile::open_unless(path, stopped)?);
    let mut census = Census::new(&trip);
    let mut messages = Messages::new(Arc::clone(&trip), Wanted::all(|_| true));
    loop {
        TripError::unless(stopped)?;
        match messages.next() {
            Ok(Some(message)) => census.take(&message),
            Ok(None) => break,
            Err(error) if error.is_skippable() => census.problem(error.to_string()),
            Err(error) => return Err(error),
        }
    }
    census.condition.add(messages.losses.found());
    Ok(census.into_info(&trip))
}

/// What is gathered on the way through the messages.
#[derive(Default)]
struct Census {
    condition: Condition,
    image_kinds: Vec<ImageKind>,
    frame_stamps: Vec<Stamp>,
    paces: BTreeMap<Kind, Pace>,
    quantities: BTreeMap<&'static str, u64>,
    lost_frames: u64,
}

impl Census {
    fn new(trip: &TripFile) -> Self {
        let mut census = Self::default();
        census.condition.finished = trip.contents.finished;
        // Damaged chunks whose place is known are met again on the way through the messages.
        for damage in trip.contents.damage.iter().filter(|damage| !trip.contents.is_placed(damage)) {
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
        self.paces.entry(message.kind).or_default().note(message.head().capture);
        if matches!(message.kind, Kind::Jpeg | Kind::Raw | Kind::State | Kind::Lost) {
            self.decode(message);
        }
    }

    fn decode(&mut self, message: &Message) {
        match decode_event(message.kind, message.head(), message.data.clone()) {
            Ok(Some(Event::Frame(frame))) => {
                self.note_kind(&frame.image);
                self.frame_stamps.push(frame.stamp);
            }
            Ok(Some(Event::State(sample))) => {
                for quantity in Quantity::ALL.into_iter().filter(|&quantity| sample.state.get(quantity).is_some()) {
                    *self.quantities.entry(quantity.name()).or_default() += 1;
                }
            }
            Ok(Some(Event::Lost { frames, .. })) => self.lost_frames += u64::from(frames),
            Ok(_) => (),
            Err(reason) => {
                self.condition.damaged_frames += u64::from(is_frame(message.kind));
                self.problem(message.refuse(reason).to_string());
            }
        }
    }

    fn note_kind(&mut self, image: &Image) {
        let (format, Size { width, height }) = (image.format().name(), image.size());
        let same = |kind: &&mut ImageKind| (kind.format, kind.width, kind.height) == (format, width, height);
        if let Some(kind) = self.image_kinds.iter_mut().find(same) {
            kind.frames += 1;
        } else if self.image_kinds.len() < MAX_IMAGE_KINDS {
            self.image_kinds.push(ImageKind { format, width, height, frames: 1 });
        }
    }

    fn images(&self) -> Option<ImageInfo> {
        let kinds = self.image_kinds.clone();
        let ImageKind { format, width, height, .. } = *kinds.first()?;
        let mut pace = Pace::default();
        self.frame_stamps.iter().for_each(|&stamp| pace.note(stamp));
        Some(ImageInfo { format, width, height, rate_hz: pace.rate_hz().unwrap_or(0.0), kinds })
    }

    fn into_info(mut self, trip: &Arc<TripFile>) -> TripInfo {
        let (metadata, _) = read_metadata(trip);
        let (start, end) = trip.contents.span().unwrap_or_default();
        let duration_s = end.signed_ns_since(start) as f64 / 1e9;
        let intervals = self.intervals_s();
        let median_s = intervals.get(intervals.len() / 2).copied().unwrap_or(0.0);
        let images = self.images();
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
            made_from: SourceCondition::recorded(&trip.contents),
            topics: topics(trip, &self.paces),
            frames: self.frame_stamps.len() as u64,
            images,
            quantities: self.quantities,
            lost_frames: self.lost_frames,
            frame_gaps: intervals.iter().filter(|&&interval| interval > 1.5 * median_s).count() as u64,
            longest_gap_s: intervals.last().copied().unwrap_or(0.0),
            source: metadata.source,
            program: text(trip, "program").unwrap_or_default(),
            class_tables: metadata.class_tables.iter().map(|table| table.name.clone()).collect(),
            mask_classes: metadata.mask_classes,
            network: metadata.network,
            schedule: metadata.schedule,
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

fn topics(trip: &TripFile, paces: &BTreeMap<Kind, Pace>) -> Vec<TopicInfo> {
    let mut topics = BTreeMap::<(String, String), (u64, Option<f64>)>::new();
    for (id, channel) in &trip.contents.channels {
        let schema = trip.contents.schemas.get(&channel.schema_id).map(|(header, _)| header.name.clone());
        let pace = trip.contents.kinds.get(id).and_then(|channel| channel.kind).map(|kind| paces.get(&kind).copied());
        let entry = topics.entry((channel.topic.clone(), schema.unwrap_or_default())).or_default();
        match pace {
            // Several channels of one kind (labels in several class tables) share its pace.
            Some(pace) => *entry = pace.map_or((0, None), |pace| (pace.messages, pace.rate_hz())),
            None => entry.0 += trip.contents.counts.get(id).copied().unwrap_or(0),
        }
    }
    let info = |((topic, schema), (messages, rate_hz))| TopicInfo { topic, schema, messages, rate_hz };
    topics.into_iter().map(info).collect()
}

impl fmt::Display for TripInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "file         {} ({:.1} MB)", self.path, self.bytes as f64 / 1e6)?;
        writeln!(f, "condition    {}", self.condition)?;
        self.ended.as_ref().map_or(Ok(()), |ended| writeln!(f, "recording    {ended}"))?;
        let source = self.made_from.filter(|source| !source.is_whole());
        source.map_or(Ok(()), |source| writeln!(f, "made from    a trip that is not whole: {source}"))?;
        let (duration_s, start_s, zero_s) = (self.duration_s, self.start_s, self.zero_s);
        writeln!(f, "time         {duration_s:.3} s from {start_s:.3} s; --from and --until count from {zero_s:.3} s")?;
        self.fmt_camera(f)?;
        self.fmt_metadata(f)?;
        writeln!(f, "\n{:<24} {:<26} {:>10} {:>10}", "topic", "schema", "messages", "Hz")?;
        for topic in &self.topics {
            let TopicInfo { topic, schema, messages, rate_hz } = topic;
            let rate = rate_hz.map_or_else(|| "–".to_owned(), |rate_hz| format!("{rate_hz:.2}"));
            writeln!(f, "{topic:<24} {schema:<26} {messages:>10} {rate:>10}")?;
        }
        let problems = self.condition.problems.iter().map(|problem| format!("! {problem}\n"));
        f.write_str(&problems.collect::<String>())
    }
}

impl TripInfo {
    fn fmt_camera(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(images) = &self.images else { return writeln!(f, "camera       none") };
        writeln!(f, "camera       {} frames, {}, {:.2} Hz", self.frames, self.picture_kinds(images), images.rate_hz)?;
        let (lost, gaps, longest) = (self.lost_frames, self.frame_gaps, self.longest_gap_s);
        let damaged = match self.condition.damaged_frames {
            0 => String::new(),
            frames => format!(", {frames} more in damaged parts"),
        };
        writeln!(f, "gaps         {lost} frames lost{damaged}, {gaps} long intervals, longest {longest:.3} s")
    }

    /// `1280x720 jpeg`, or each format and size with its count.
    fn picture_kinds(&self, images: &ImageInfo) -> String {
        let name = |kind: &ImageKind| format!("{}x{} {}", kind.width, kind.height, kind.format);
        if let [only] = &images.kinds[..] {
            return name(only);
        }
        let listed: u64 = images.kinds.iter().map(|kind| kind.frames).sum();
        let others = Some(self.frames.saturating_sub(listed)).filter(|&others| others > 0);
        let kinds = images.kinds.iter().map(|kind| format!("{} of {}", kind.frames, name(kind)));
        kinds.chain(others.map(|others| format!("{others} of other sizes"))).collect::<Vec<_>>().join(", ")
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
        line("schedule", self.schedule.clone())?;
        line("mask hash", self.mask_hash.clone())?;
        line("unix time", self.wall_unix_ns.zip(self.wall_at_s).map(|(ns, at)| format!("{ns} ns at {at:.9} s")))?;
        line("calibrated", Some(if self.calibration.is_some() { "yes" } else { "no" }.into()))?;
        line("dbc", self.dbc.clone())?;
        line("dropped", counts(self.dropped.iter().map(|(topic, count)| format!("{topic} {count}")).collect()))
    }
}

impl Condition {
    fn add(&mut self, losses: &Losses) {
        self.damaged_bytes += losses.bytes;
        self.damaged_messages = losses.messages.clone();
        self.damaged_frames += losses.frames;
        self.uncounted = losses.uncounted;
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.complete {
            return f.write_str("finished file, nothing damaged");
        }
        let end = if self.finished { "finished" } else { "cut: it was not finished" };
        write!(f, "{end}; {} unreadable parts, {} bytes", self.unreadable, self.damaged_bytes)?;
        let lost: Vec<_> = self.damaged_messages.iter().map(|(topic, count)| format!("{count} {topic}")).collect();
        if !lost.is_empty() {
            write!(f, "; lost in them: {}", lost.join(", "))?;
        }
        if self.uncounted > 0 {
            write!(f, "; what {} of them held is not known", self.uncounted)?;
        }
        Ok(())
    }
}
