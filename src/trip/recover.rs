//! Rewrites what is readable of a cut or damaged trip as a whole file, and says what was lost.

use super::TripError;
use super::chunk::Records;
use super::contents::Contents;
use super::ending::SourceCondition;
use super::file::TripFile;
use super::losses::ChannelCounts;
use super::message::Kind;
use super::messages::{MESSAGE_HEAD, message_header};
use super::metadata::END_RECORD;
use mcap::records::{Metadata, op};
use serde::Serialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::path::Path;

/// What was kept and what was lost.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RecoveryReport {
    /// Bytes of the broken file.
    pub bytes: u64,
    /// Bytes of it that nothing could be read from.
    pub bytes_lost: u64,
    /// Whether its writer had finished it.
    pub was_finished: bool,
    /// Messages kept, by topic.
    pub messages: BTreeMap<String, u64>,
    /// Messages lost, by topic, as far as the summary or the indexes of the broken file tell.
    pub messages_lost: BTreeMap<String, u64>,
    /// Camera frames among them.
    pub frames_lost: u64,
    /// Damaged parts of which nothing tells what they held.
    pub uncounted: u64,
    /// Messages whose channel nothing describes.
    pub undescribed: u64,
    /// The places lost.
    pub lost: Vec<LostSpan>,
}

/// A place that could not be read, and the log times around it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LostSpan {
    /// Where it starts in the broken file.
    pub offset: u64,
    /// How long it is.
    pub bytes: u64,
    /// What is wrong with it.
    pub reason: String,
    /// Log time of the last message before it, seconds; `None` at the start.
    pub after_s: Option<f64>,
    /// Log time of the first message after it, seconds; `None` at the end.
    pub before_s: Option<f64>,
}

/// Reads `broken`, writes what is readable to `whole`, and reads that again to be sure. Where `whole` cannot be written to
/// its end (a full disk) nothing is left of it.
pub fn recover(broken: &Path, whole: &Path) -> Result<RecoveryReport, TripError> {
    recover_unless(broken, whole, &|| false)
}

/// The same, asking `stopped` before each record and chunk: [`TripError::Stopped`] once it says so, and no `whole`.
pub fn recover_unless(broken: &Path, whole: &Path, stopped: &dyn Fn() -> bool) -> Result<RecoveryReport, TripError> {
    refuse_same(broken, whole)?;
    let mut trip = TripFile::scan(broken, stopped)?;
    let summary = trip.summary();
    if let Some(summary) = &summary {
        trip.contents.adopt_definitions(summary);
    }
    if trip.contents.chunks.is_empty() {
        let reason = format!("no complete chunk in its {} bytes", trip.len);
        return Err(TripError::Unrecoverable { path: broken.to_owned(), reason });
    }
    let mut report = report(&trip);
    let written = rewrite(&trip, summary.as_ref(), whole, &mut report, stopped)
        .and_then(|()| refuse_nothing(broken, &report))
        .and_then(|()| verify(whole, &report, stopped));
    let nothing = report.messages.is_empty();
    // What could not even be created is somebody else's file.
    let part = matches!(written, Err(TripError::Stopped | TripError::Write { .. }));
    if (nothing || part) && whole.symlink_metadata().is_ok_and(|found| found.is_file()) {
        std::fs::remove_file(whole).map_err(|error| TripError::io(whole, "remove", error))?;
    }
    written.map(|()| report)
}

/// A file that keeps nothing would pass for a whole one.
fn refuse_nothing(broken: &Path, report: &RecoveryReport) -> Result<(), TripError> {
    if !report.messages.is_empty() {
        return Ok(());
    }
    let reason = format!("nothing tells what its {} messages are: the chunk that did is lost", report.undescribed);
    Err(TripError::Unrecoverable { path: broken.to_owned(), reason })
}

fn rewrite(
    trip: &TripFile,
    summary: Option<&Contents>,
    whole: &Path,
    report: &mut RecoveryReport,
    stopped: &dyn Fn() -> bool,
) -> Result<(), TripError> {
    let fail = |source| TripError::Write { path: whole.to_owned(), source };
    let file = File::create(whole).map_err(|error| TripError::io(whole, "create", error))?;
    let options =
        mcap::WriteOptions::new().profile("segfuse").compression(Some(mcap::Compression::Zstd)).compression_level(1);
    let mut writer = options.compression_threads(0).disable_seeking(true).create(file).map_err(fail)?;
    copy_definitions(trip, &mut writer).map_err(fail)?;
    for place in &trip.contents.chunks {
        TripError::unless(stopped)?;
        let records = trip.chunk(place)?;
        copy_messages(trip, &records, &mut writer, report).map_err(fail)?;
    }
    count_lost(trip, summary, report);
    if let Some(end) = end_record(trip, report) {
        writer.write_metadata(&end).map_err(fail)?;
    }
    writer.finish().map_err(fail)?;
    Ok(())
}

/// What the broken file said of its end, and in what condition it was: what is lost of it stays known.
fn end_record(trip: &TripFile, report: &RecoveryReport) -> Option<Metadata> {
    let earlier = SourceCondition::recorded(&trip.contents);
    let own = SourceCondition {
        finished: report.was_finished,
        lost_frames: report.frames_lost,
        lost_messages: report.messages_lost.values().sum::<u64>() + report.undescribed,
        uncounted_parts: report.uncounted,
    };
    let condition = earlier.map_or(own, |earlier| own.after(earlier));
    let told = trip.contents.metadata_record(END_RECORD).map(|record| record.metadata.clone());
    if condition.is_whole() && told.is_none() {
        return None;
    }
    let mut metadata = told.unwrap_or_default();
    metadata.extend(condition.entries());
    Some(Metadata { name: END_RECORD.to_owned(), metadata })
}

fn refuse_same(broken: &Path, whole: &Path) -> Result<(), TripError> {
    let same = broken.canonicalize().ok().is_some_and(|path| whole.canonicalize().is_ok_and(|other| other == path));
    if !same {
        return Ok(());
    }
    let error = std::io::Error::new(std::io::ErrorKind::InvalidInput, "it is the broken file: name another");
    Err(TripError::io(whole, "write", error))
}

fn report(trip: &TripFile) -> RecoveryReport {
    let contents = &trip.contents;
    let before = |offset: u64| contents.chunks.iter().filter(move |chunk| chunk.offset < offset);
    let after = |offset: u64| contents.chunks.iter().filter(move |chunk| chunk.offset > offset);
    let span = |damage: &super::contents::Damage| LostSpan {
        offset: damage.offset,
        bytes: damage.bytes,
        reason: damage.reason.clone(),
        after_s: before(damage.offset).map(|chunk| chunk.end.secs_f64()).reduce(f64::max),
        before_s: after(damage.offset).map(|chunk| chunk.start.secs_f64()).reduce(f64::min),
    };
    RecoveryReport {
        bytes: trip.len,
        bytes_lost: contents.damage.iter().map(|damage| damage.bytes).sum(),
        was_finished: contents.finished,
        lost: contents.damage.iter().map(span).collect(),
        ..RecoveryReport::default()
    }
}

/// Counts what is not in `report.messages`: by the summary if it can be read, else by the indexes behind damaged chunks.
fn count_lost(trip: &TripFile, summary: Option<&Contents>, report: &mut RecoveryReport) {
    let (mut lost, uncounted) = match summary {
        Some(summary) => (without(by_topic(summary, &summary.counts), &report.messages), 0),
        None => indexed(trip),
    };
    lost.retain(|_, count| *count > 0);
    report.frames_lost = lost.get(Kind::Raw.topic()).copied().unwrap_or(0);
    (report.messages_lost, report.uncounted) = (lost, uncounted);
}

fn without(mut promised: BTreeMap<String, u64>, kept: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    for (topic, count) in &mut promised {
        *count -= kept.get(topic).copied().unwrap_or(0).min(*count);
    }
    promised
}

/// Messages in damaged chunks by the indexes behind them, and how many damaged places have none.
fn indexed(trip: &TripFile) -> (BTreeMap<String, u64>, u64) {
    let (mut lost, mut uncounted) = (BTreeMap::new(), trip.contents.unplaced_damage());
    for place in &trip.contents.damaged_chunks {
        match trip.indexed_messages(place.offset + place.length, |_| true) {
            Some(counts) => by_topic(&trip.contents, &counts)
                .into_iter()
                .for_each(|(topic, n)| *lost.entry(topic).or_default() += n),
            None => uncounted += 1,
        }
    }
    (lost, uncounted)
}

fn by_topic(contents: &Contents, counts: &ChannelCounts) -> BTreeMap<String, u64> {
    let mut topics = BTreeMap::new();
    for (channel, count) in counts {
        let known = contents.channels.get(channel);
        let topic = known.map_or_else(|| format!("channel {channel}"), |channel| channel.topic.clone());
        *topics.entry(topic).or_default() += count;
    }
    topics
}

fn copy_definitions(trip: &TripFile, writer: &mut mcap::Writer<File>) -> mcap::McapResult<()> {
    for record in trip.contents.metadata.iter().filter(|record| record.name != END_RECORD) {
        writer.write_metadata(&Metadata { name: record.name.clone(), metadata: record.metadata.clone() })?;
    }
    for (header, data) in &trip.contents.attachments {
        let (name, media_type) = (header.name.clone(), header.media_type.clone());
        let (log_time, create_time, data) = (header.log_time, header.create_time, Cow::Borrowed(&data[..]));
        writer.attach(&mcap::Attachment { log_time, create_time, name, media_type, data })?;
    }
    for (id, (header, data)) in trip.contents.schemas.iter().filter(|(id, _)| **id != 0) {
        writer.add_schema_with_id(*id, &header.name, &header.encoding, data)?;
    }
    let known = |schema: u16| schema == 0 || trip.contents.schemas.contains_key(&schema);
    for (id, channel) in trip.contents.channels.iter().filter(|(_, channel)| known(channel.schema_id)) {
        let (topic, encoding) = (&channel.topic, &channel.message_encoding);
        writer.add_channel_with_id(*id, channel.schema_id, topic, encoding, &channel.metadata)?;
    }
    Ok(())
}

fn copy_messages(
    trip: &TripFile,
    records: &[u8],
    writer: &mut mcap::Writer<File>,
    report: &mut RecoveryReport,
) -> mcap::McapResult<()> {
    let bodies = Records::new(records).map_while(Result::ok).filter(|(opcode, _)| *opcode == op::MESSAGE);
    for (_, body) in bodies {
        let body = &records[body];
        let header = message_header(body).ok();
        let channel = header.and_then(|header| trip.contents.channels.get(&header.channel_id));
        let (Some(header), Some(channel)) = (header, channel) else {
            report.undescribed += 1;
            continue;
        };
        match writer.write_to_known_channel(&header, &body[MESSAGE_HEAD..]) {
            Ok(()) => *report.messages.entry(channel.topic.clone()).or_default() += 1,
            Err(mcap::McapError::UnknownChannel(..)) => report.undescribed += 1,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn verify(whole: &Path, report: &RecoveryReport, stopped: &dyn Fn() -> bool) -> Result<(), TripError> {
    let again = TripFile::scan(whole, stopped)?;
    let (expected, got) = (report.messages.values().sum::<u64>(), again.contents.counts.values().sum::<u64>());
    if again.contents.finished && again.contents.damage.is_empty() && expected == got {
        return Ok(());
    }
    let reason = format!("the rewritten file holds {got} messages, expected {expected}: is the disk full?");
    Err(TripError::Unrecoverable { path: whole.to_owned(), reason })
}

impl fmt::Display for RecoveryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept: u64 = self.messages.values().sum();
        writeln!(f, "kept {kept} messages; lost {} of {} bytes", self.bytes_lost, self.bytes)?;
        for (topic, count) in &self.messages {
            writeln!(f, "  {topic:<24} {count:>10}")?;
        }
        if !self.messages_lost.is_empty() {
            writeln!(
                f,
                "lost {} messages, {} of them frames:",
                self.messages_lost.values().sum::<u64>(),
                self.frames_lost
            )?;
        }
        for (topic, count) in &self.messages_lost {
            writeln!(f, "  {topic:<24} {count:>10}")?;
        }
        if self.uncounted > 0 {
            writeln!(f, "what {} damaged parts held is not known", self.uncounted)?;
        }
        if self.undescribed > 0 {
            writeln!(f, "lost {} messages that nothing describes", self.undescribed)?;
        }
        for LostSpan { offset, bytes, reason, after_s, before_s } in &self.lost {
            let time = |edge: &Option<f64>, open: &str| edge.map_or(open.to_owned(), |at| format!("{at:.3} s"));
            let (from, to) = (time(after_s, "the start"), time(before_s, "the end"));
            writeln!(f, "lost {bytes} bytes at {offset}, between {from} and {to}: {reason}")?;
        }
        if !self.was_finished {
            writeln!(f, "the recording had not been finished: what came after its last complete chunk is not known")?;
        }
        Ok(())
    }
}
