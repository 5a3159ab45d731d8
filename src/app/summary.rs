//! The account of a run: on the terminal and as JSON.

use super::session::Session;
use crate::data::{Ending, HealthState, SourceHealth, Vitals};
use crate::engine::EngineInfo;
use crate::pipeline::{Counts, PipelineError};
use crate::sink::statistics::{DifferingSummary, Latency, Statistics};
use crate::trip::rotation::RotationReport;
use crate::trip::{RecordingReport, SourceCondition};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// What a run did. Its JSON form is stable: keys are added, never changed.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Summary {
    /// Frames that the camera made, lost ones included; `frames = published + dropped`.
    pub frames: u64,
    /// Frames answered with a mask that every output was offered, whether or not one of them is Zenoh.
    pub published: u64,
    /// Frames without a mask: lost, unreadable, out of order or replaced by a newer one.
    pub dropped: u64,
    /// Of those dropped, frames whose picture could not be read.
    pub unreadable: u64,
    /// Of those dropped, frames that never came: lost by the camera, or in a damaged part of the trip.
    pub lost: u64,
    /// Of those dropped, frames that made way for newer ones because a live pipeline was too slow for them.
    pub replaced: u64,
    /// Damaged parts and messages of the trip that were passed over; frames in them count as lost.
    pub skipped: u64,
    /// Results that a sink did not take.
    pub refused: u64,
    /// Frames a second, over the whole run.
    pub fps: f64,
    /// Seconds that the run took.
    pub seconds: f64,
    /// From taking a frame out of the aligner to its mask having reached every sink.
    pub latency_ms: Percentiles,
    /// The same for every stage.
    pub stages_ms: BTreeMap<&'static str, Percentiles>,
    /// Masks of key frames.
    pub keys: u64,
    /// Masks made from the features of an earlier frame.
    pub propagated: u64,
    /// Frames that masks were made from by the whole network's look at them.
    pub key_frames: u64,
    /// Masks made from an earlier key frame than was due, because the network was not through with that one.
    pub late: u64,
    /// How far carried labels were from the network's own, where the schedule goes by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub differing_percent: Option<DifferingSummary>,
    /// XXH3-64 over the hashes of all masks in order, as 16 hexadecimal digits.
    pub mask_hash: String,
    /// Share of all pixels that each class has, in percent.
    pub class_shares: BTreeMap<String, f64>,
    /// The runtime and its version.
    pub engine: String,
    /// The network's name.
    pub network: String,
    /// XXH3-64 of the network's files.
    pub network_hash: String,
    /// Which frames were key frames.
    pub schedule: String,
    /// The most that a real-time replay was behind its recording.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behind_ms: Option<f64>,
    /// In what condition the trip was that was run, and those that it was made from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceCondition>,
    /// What became of the recording of this run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recording: Option<RecordingReport>,
    /// What became of the files that a drive was recorded into.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotation: Option<RotationReport>,
    /// How the sources of a live run were at its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vitals: Option<Vitals>,
    /// Whether the user stopped it.
    pub interrupted: bool,
    /// `complete`, `interrupted` or `failed`: whether all was answered, and all outputs that were asked for are whole.
    pub ended: &'static str,
    /// What is not whole and why, a sentence each.
    pub incomplete: Vec<String>,
}

/// Median, 99th percentile, maximum and mean, in milliseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Percentiles {
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
    pub mean: f64,
}

impl From<Latency> for Percentiles {
    fn from(latency: Latency) -> Self {
        Self { p50: latency.p50_ms, p99: latency.p99_ms, max: latency.max_ms, mean: latency.mean_ms }
    }
}

/// Waits for an overlapped network that are worth a word; shorter ones are within what frames differ by anyhow.
const LONG_WAIT_MS: f64 = 2.0;

/// What [`Summary::new`] is made from, beside the session's stage times.
pub(super) struct Run<'a> {
    pub counts: Counts,
    pub statistics: Statistics,
    pub engine: &'a EngineInfo,
    pub schedule: String,
    pub seconds: f64,
}

impl Summary {
    /// The account of `run`.
    pub(super) fn new(run: &Run<'_>, session: &Session) -> Self {
        let counts = run.counts;
        let statistics = run.statistics.summary();
        let stages_ms: BTreeMap<_, Percentiles> =
            session.times.all().into_iter().map(|(stage, latency)| (stage, latency.into())).collect();
        Self {
            frames: counts.captured,
            published: counts.published,
            dropped: counts.dropped,
            unreadable: counts.unreadable,
            lost: counts.lost,
            replaced: 0,
            skipped: counts.skipped,
            refused: counts.refused,
            fps: if run.seconds > 0.0 { counts.published as f64 / run.seconds } else { 0.0 },
            seconds: run.seconds,
            latency_ms: stages_ms.get("frame").copied().unwrap_or_default(),
            stages_ms,
            keys: statistics.keys,
            propagated: statistics.propagated,
            key_frames: statistics.key_frames,
            late: statistics.late,
            differing_percent: statistics.differing,
            mask_hash: statistics.mask_hash,
            class_shares: statistics.class_shares,
            engine: run.engine.runtime.clone(),
            network: run.engine.network.clone(),
            network_hash: format!("{:016x}", run.engine.network_hash),
            schedule: run.schedule.clone(),
            behind_ms: None,
            source: None,
            recording: None,
            rotation: None,
            vitals: None,
            interrupted: counts.stopped,
            ended: if counts.stopped { Ending::Interrupted } else { Ending::Complete }.word(),
            incomplete: vec![],
        }
    }

    /// What became of the frames; the parts of each line add up.
    fn fmt_frames(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { frames, published, dropped, unreadable, lost, replaced, skipped, refused, .. } = self;
        writeln!(f, "frames     {frames} captured = {published} answered with a mask + {dropped} dropped")?;
        if *dropped > 0 {
            let others = dropped.saturating_sub(lost + replaced + unreadable);
            let replaced = if *replaced > 0 { format!(" + {replaced} replaced by newer ones") } else { String::new() };
            let others =
                if others > 0 { format!(" + {others} out of order or without an answer") } else { String::new() };
            writeln!(
                f,
                "dropped    {dropped} = {lost} lost by the camera or to damage{replaced} + {unreadable} unreadable{others}"
            )?;
        }
        if *skipped > 0 {
            writeln!(f, "skipped    {skipped} damaged parts of the trip; frames in them are among the lost")?;
        }
        if *refused > 0 {
            writeln!(f, "refused    {refused} results that an output did not take")?;
        }
        Ok(())
    }

    /// How long frames that came at their own pace waited for an overlapped network, if they did.
    ///
    /// At full speed a replay always waits: frames follow each other faster than any network.
    fn waited_ms(&self) -> Option<f64> {
        let paced = self.behind_ms.is_some() || self.vitals.is_some();
        let wait = self.stages_ms.get("wait").filter(|wait| wait.p99 >= LONG_WAIT_MS)?;
        (paced && self.schedule.starts_with("overlapped")).then_some(wait.max)
    }

    /// How the sources of a live run were, and what was recorded.
    fn fmt_sources(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for source in self.vitals.iter().flat_map(|vitals| &vitals.sources) {
            writeln!(f, "{}", told(source))?;
        }
        let Some(RotationReport { finished, finished_bytes, removed_while_written, dropped, .. }) = &self.rotation
        else {
            return Ok(());
        };
        if *removed_while_written > 0 {
            writeln!(f, "removed    {removed_while_written} files while they were written: what was in them is gone")?;
        }
        let lost: u64 = dropped.values().sum();
        writeln!(f, "recorded   {finished} files, {finished_bytes} bytes; {lost} messages lost for the disk's sake")
    }

    #[cfg(all(feature = "camera", feature = "can"))]
    /// Of the frames that never came to the pipeline, `replaced` were lost by its own slowness.
    pub(super) fn note_replaced(&mut self, replaced: u64) {
        self.lost = self.lost.saturating_sub(replaced);
        self.replaced = replaced;
    }

    /// Notes an output that is not whole.
    pub(super) fn fail(&mut self, sentence: String) {
        self.ended = Ending::Failed(String::new()).word();
        self.incomplete.push(sentence);
    }

    /// Notes what ended the run; a sink that has already said so itself does not say it twice.
    pub(super) fn fail_run(&mut self, error: &anyhow::Error) {
        let told = matches!(error.downcast_ref(), Some(PipelineError::Sink(_))) && !self.incomplete.is_empty();
        if !told {
            self.fail(error.to_string());
        }
    }

    /// An error that names everything that is not whole.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(self.incomplete.is_empty(), "{}", self.incomplete.join("\n       "));
        Ok(())
    }

    /// What a report tells of the run.
    pub(super) fn facts(&self) -> Vec<(String, String)> {
        let Percentiles { p50, p99, .. } = self.latency_ms;
        [
            ("schedule", self.schedule.clone()),
            ("speed", format!("{:.1} frames/s", self.fps)),
            ("latency", format!("p50 {p50:.1} ms, p99 {p99:.1} ms")),
            ("mask hash", self.mask_hash.clone()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_frames(f)?;
        if self.ended != Ending::Complete.word() {
            writeln!(f, "ended      {}", self.ended)?;
        }
        let Self { keys, propagated, key_frames, late, schedule, .. } = self;
        let from = if key_frames == keys { String::new() } else { format!(" from {key_frames} key frames") };
        writeln!(f, "masks      {keys} key, {propagated} propagated{from} ({schedule})")?;
        if *late > 0 {
            writeln!(f, "late       {late} masks from an earlier key frame than was due: the network was not through")?;
        }
        if let Some(DifferingSummary { masks, expected, checked, foretold, found }) = self.differing_percent {
            let known = |share: Option<f64>| share.map_or("–".to_owned(), |share| format!("{share:.1} %"));
            let [expected, foretold, found] = [expected, foretold, found].map(known);
            writeln!(f, "differing  {expected} of labels expected, in {masks} propagated masks")?;
            writeln!(f, "           {foretold} expected and {found} found, at {checked} key frames")?;
        }
        writeln!(f, "network    {} on {}", self.network, self.engine)?;
        writeln!(f, "speed      {:.1} frames/s, {:.1} s", self.fps, self.seconds)?;
        let Percentiles { p50, p99, max, .. } = self.latency_ms;
        writeln!(f, "latency    p50 {p50:.1} ms, p99 {p99:.1} ms, max {max:.1} ms")?;
        writeln!(f, "  {:<10} {:>9} {:>9} {:>9}", "stage", "p50 ms", "p99 ms", "max ms")?;
        for (stage, Percentiles { p50, p99, max, .. }) in self.stages_ms.iter().filter(|(stage, _)| **stage != "frame")
        {
            writeln!(f, "  {stage:<10} {p50:>9.2} {p99:>9.2} {max:>9.2}")?;
        }
        if let Some(max) = self.waited_ms() {
            writeln!(f, "waited     at most {max:.0} ms for the network, which needs longer than the delay D of")?;
            writeln!(f, "           overlapped:K:D gives it; a longer delay evens the latency")?;
        }
        if let Some(behind_ms) = self.behind_ms {
            writeln!(f, "real time  at most {behind_ms:.0} ms behind the recording")?;
        }
        self.fmt_sources(f)?;
        write!(f, "mask hash  {}", self.mask_hash)?;
        let source = self.source.filter(|source| !source.is_whole());
        source.map_or(Ok(()), |source| write!(f, "\nsource     the trip is not whole: {source}"))
    }
}

/// One line on a source.
pub(super) fn told(source: &SourceHealth) -> String {
    let SourceHealth { name, state, reason, counts, .. } = source;
    let state = match state {
        HealthState::Ok => "ok",
        HealthState::Degraded => "degraded",
        HealthState::Lost => "lost",
    };
    let reason = reason.as_ref().map(|reason| format!(" (last: {reason})")).unwrap_or_default();
    let counts: Vec<String> =
        counts.iter().filter(|(_, count)| *count > 0).map(|(name, count)| format!("{name} {count}")).collect();
    let joint = if counts.is_empty() { "" } else { ": " };
    format!("{name:<10} {state}{reason}{joint}{}", counts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ClassTable;

    #[test]
    #[cfg(all(feature = "camera", feature = "can"))]
    fn frames_that_a_slow_pipeline_lost_are_not_the_cameras() {
        let session = Session::start(true).expect("signals can be heard");
        let engine = EngineInfo { runtime: "r".into(), network: "n".into(), network_hash: 0 };
        let counts = Counts { captured: 100, published: 30, dropped: 70, lost: 70, ..Counts::default() };
        let statistics = Statistics::new(ClassTable::camvid());
        let run = Run { counts, statistics, engine: &engine, schedule: "every:1".into(), seconds: 1.0 };
        let mut summary = Summary::new(&run, &session);
        summary.note_replaced(65);
        assert_eq!((summary.lost, summary.replaced, summary.dropped), (5, 65, 70));
        let line = "70 = 5 lost by the camera or to damage + 65 replaced by newer ones + 0 unreadable";
        assert!(summary.to_string().contains(line), "{summary}");
    }

    #[test]
    fn the_account_of_frames_adds_up_and_the_stages_stand_under_heads() {
        let session = Session::start(true).expect("signals can be heard");
        let engine = EngineInfo { runtime: "r".into(), network: "n".into(), network_hash: 0 };
        let (captured, published, dropped) = (300, 283, 17);
        let counts = Counts { captured, published, dropped, unreadable: 1, lost: 14, skipped: 1, ..Counts::default() };
        let statistics = Statistics::new(ClassTable::camvid());
        let run = Run { counts, statistics, engine: &engine, schedule: "every:1".into(), seconds: 1.0 };
        let told = Summary::new(&run, &session).to_string();
        for line in [
            "300 captured = 283 answered with a mask + 17 dropped",
            "17 = 14 lost by the camera or to damage + 1 unreadable + 2 out of order",
            "stage         p50 ms    p99 ms    max ms",
        ] {
            assert!(told.contains(line), "'{line}' is not in\n{told}");
        }
        assert!(!told.contains("publish"), "nothing was published:\n{told}");
    }

    #[test]
    fn a_network_that_keeps_paced_frames_waiting_is_told_of_with_the_remedy() {
        let session = Session::start(true).expect("signals can be heard");
        let engine = EngineInfo { runtime: "r".into(), network: "n".into(), network_hash: 0 };
        let told = |schedule: &str, waited: f64, behind_ms: Option<f64>| {
            let statistics = Statistics::new(ClassTable::camvid());
            let run =
                Run { counts: Counts::default(), statistics, engine: &engine, schedule: schedule.into(), seconds: 1.0 };
            let mut summary = Summary::new(&run, &session);
            summary.stages_ms.insert("wait", Percentiles { p99: waited, max: 26.4, ..Percentiles::default() });
            summary.behind_ms = behind_ms;
            summary.to_string()
        };
        let slow = told("overlapped:5:3", 20.0, Some(0.0));
        assert!(slow.contains("waited     at most 26 ms") && slow.contains("a longer delay"), "{slow}");
        for quiet in [
            told("overlapped:5:3", 0.1, Some(0.0)),
            told("overlapped:5:3", 20.0, None),
            told("every:5", 20.0, Some(0.0)),
        ] {
            assert!(!quiet.contains("waited"), "{quiet}");
        }
    }
}
