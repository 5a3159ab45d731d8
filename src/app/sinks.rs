//! Where a replay's results go: a trip, an overlay, Zenoh; and what is missing of them in the end.

use super::Misuse;
use super::progress::Progress;
#[cfg(feature = "zenoh")]
use super::publishing::Publishing;
use super::replay::Arguments;
use super::session::Session;
use super::summary::Summary;
#[cfg(feature = "zenoh")]
use crate::clock::wall_mapping;
use crate::config::Config;
#[cfg(feature = "zenoh")]
use crate::data::WallMapping;
use crate::engine::EngineInfo;
use crate::engine::network::Network;
use crate::perceive::Schedule;
use crate::sink::Sink;
use crate::sink::overlay::{self, OverlayFormat, OverlaySink};
#[cfg(feature = "zenoh")]
use crate::sink::zenoh;
use crate::source::Source;
use crate::trip::{NetworkIdentity, Recorder, RecorderHandle, TripMetadata, TripReader};
use anyhow::bail;
use std::path::{Path, PathBuf};

/// The sinks of a replay.
pub(super) struct Sinks {
    progress: Progress,
    recording: Option<Recording>,
    overlay: Option<Overlay>,
    #[cfg(feature = "zenoh")]
    publishing: Option<Publishing>,
}

impl Sinks {
    pub(super) fn start(
        arguments: &Arguments,
        config: &Config,
        network: &Network,
        info: &EngineInfo,
        source: &TripReader,
        session: &Session,
    ) -> anyhow::Result<Self> {
        let metadata = TripMetadata { zero: Some(source.zero()), ..source.metadata().clone() };
        let metadata = answered(metadata, network, info, config.perceive.schedule);
        Ok(Self {
            recording: Recording::start(arguments.out.as_deref(), &metadata, config, source.frames())?,
            overlay: Overlay::start(arguments.overlay.as_deref(), network, source)?,
            #[cfg(feature = "zenoh")]
            publishing: if arguments.publishes() {
                let wall = source.metadata().wall.unwrap_or_else(wall_mapping);
                let run = run_of(network, info, wall, zenoh::Timeline::Replay { offset_ns: None });
                Some(Publishing::start(arguments, &config.zenoh, run, session)?)
            } else {
                None
            },
            progress: Progress::new("replay", source.frames(), session.quiet),
        })
    }

    pub(super) fn all(&mut self) -> Vec<&mut dyn Sink> {
        let mut sinks: Vec<&mut dyn Sink> = vec![&mut self.progress];
        sinks.extend(self.recording.as_mut().map(|recording| &mut recording.recorder as &mut dyn Sink));
        sinks.extend(self.overlay.as_mut().map(|overlay| &mut overlay.sink as &mut dyn Sink));
        #[cfg(feature = "zenoh")]
        sinks.extend(self.publishing.as_mut().map(Publishing::sink));
        sinks
    }

    /// What the recording is told through while it runs.
    pub(super) fn recording(&self) -> Option<RecorderHandle> {
        self.recording.as_ref().map(|recording| recording.handle.clone())
    }

    #[cfg(feature = "zenoh")]
    pub(super) fn pace_from(&mut self, offset_ns: i64) {
        self.publishing.iter_mut().for_each(|publishing| publishing.pace_from(offset_ns));
    }

    /// Ends the sinks; the summary is told what became of them, and which output is not whole and why.
    pub(super) fn close(self, summary: &mut Summary) {
        self.progress.close();
        if let Some(recording) = self.recording {
            recording.close(summary);
        }
        if let Some(overlay) = self.overlay {
            overlay.close(summary);
        }
    }
}

/// What subscribers are told of a run whose stamps count on `timeline`.
#[cfg(feature = "zenoh")]
pub(super) fn run_of(network: &Network, info: &EngineInfo, wall: WallMapping, timeline: zenoh::Timeline) -> zenoh::Run {
    zenoh::Run {
        engine: info.runtime.clone(),
        network: info.network.clone(),
        network_hash: info.network_hash,
        classes: network.classes().clone(),
        wall,
        wall_now: (timeline == zenoh::Timeline::Live).then_some(wall_mapping),
        timeline,
        vitals: None,
    }
}

/// The metadata of a trip that also holds answers of `network`.
pub(super) fn answered(
    mut metadata: TripMetadata,
    network: &Network,
    info: &EngineInfo,
    schedule: Schedule,
) -> TripMetadata {
    metadata.add_class_table(network.classes());
    metadata.schedule = Some(schedule.to_string());
    metadata.mask_classes = Some(network.classes().name.clone());
    let hash = format!("{:016x}", info.network_hash);
    metadata.network = Some(NetworkIdentity { name: info.network.clone(), runtime: info.runtime.clone(), hash });
    metadata
}

/// A recorder and the view into it that outlives it.
struct Recording {
    path: PathBuf,
    recorder: Recorder,
    handle: RecorderHandle,
}

impl Recording {
    fn start(
        path: Option<&Path>,
        metadata: &TripMetadata,
        config: &Config,
        frames_expected: Option<u64>,
    ) -> anyhow::Result<Option<Self>> {
        let Some(path) = path else { return Ok(None) };
        let recorder = Recorder::start(path, metadata, &config.trip)?;
        recorder.expect_frames(frames_expected);
        let handle = recorder.handle();
        Ok(Some(Self { path: path.to_owned(), recorder, handle }))
    }

    /// A replay's recording is whole or the command has failed.
    fn close(self, summary: &mut Summary) {
        drop(self.recorder);
        let (path, report) = (self.path.display(), self.handle.report());
        if let Some(failure) = &report.failure {
            summary.fail(format!("the recording is not complete: {failure}; what was written is readable"));
        } else if !report.dropped.is_empty() {
            let dropped: Vec<String> = report.dropped.iter().map(|(topic, count)| format!("{count} {topic}")).collect();
            summary.fail(format!("{path}: the recording lacks what could not be stored: {}", dropped.join(", ")));
        }
        summary.recording = Some(report);
    }
}

/// The overlay and where it goes.
struct Overlay {
    path: PathBuf,
    sink: OverlaySink,
}

impl Overlay {
    fn start(path: Option<&Path>, network: &Network, source: &TripReader) -> anyhow::Result<Option<Self>> {
        let Some(path) = path else { return Ok(None) };
        let config = overlay::Config::default();
        let format = overlay_format(path, &config.ffmpeg)?;
        let rate_hz = source.frame_rate_hz().unwrap_or(30.0).clamp(0.1, 240.0);
        let sink = OverlaySink::new(path.into(), format, network.classes().clone(), rate_hz, config)?;
        Ok(Some(Self { path: path.to_owned(), sink: sink.counting_from(source.zero()) }))
    }

    fn close(self, summary: &mut Summary) {
        let (path, left_out) = (self.path.display(), self.sink.left_out());
        if let Some(note) = self.sink.outcome().and_then(|outcome| outcome.note.as_ref()) {
            tracing::warn!("overlay: {note}");
        }
        if let Some(failure) = self.sink.failure() {
            summary.fail(format!("--overlay {path}: not written: {failure}"));
        } else if left_out > 0 {
            summary.fail(format!("--overlay {path}: it lacks {left_out} frames that could not be drawn"));
        }
    }
}

/// What the file's ending asks for.
fn overlay_format(path: &Path, ffmpeg: &Path) -> anyhow::Result<OverlayFormat> {
    let shown = path.display();
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("png" | "apng") => Ok(OverlayFormat::Animation),
        Some("mp4") => match OverlayFormat::video(ffmpeg) {
            Ok(video) => Ok(video),
            Err(reason) => bail!(
                "--overlay {shown}: an MP4 needs ffmpeg (Debian: apt install ffmpeg); or name a .png ({}: {reason})",
                ffmpeg.display()
            ),
        },
        _ => {
            Err(Misuse(format!("--overlay {shown}: the name must end in .mp4 (needs ffmpeg) or .png (animated)"))
                .into())
        }
    }
}
