//! `segfuse replay`: a recorded trip through the pipeline.

use super::Misuse;
use super::arguments::{NetworkArguments, PublishArguments};
use super::drive::{Stages, drive};
use super::network;
use super::output::{keep_apart, print, write_json};
use super::paced::Paced;
use super::progress::Progress;
#[cfg(feature = "zenoh")]
use super::publishing::Publishing;
use super::session::Session;
use super::summary::Summary;
#[cfg(feature = "zenoh")]
use crate::clock::wall_mapping;
use crate::config::Config;
use crate::data::Stamp;
use crate::engine::network::Network;
use crate::engine::{Engine, EngineInfo};
use crate::sink::Sink;
use crate::sink::overlay::{self, OverlayFormat, OverlaySink};
#[cfg(feature = "zenoh")]
use crate::sink::zenoh;
use crate::source::Source;
use crate::trip::{self, NetworkIdentity, Range, Recorder, RecorderHandle, TripMetadata, TripReader, WhenFull};
use anyhow::bail;
use clap::Args;
use std::path::{Path, PathBuf};
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  segfuse replay drive.mcap                                      the embedded network, as fast as it goes
  segfuse replay seq.mcap --network net.onnx --schedule every:5 --out run.mcap --summary run.json
  segfuse replay drive.mcap --realtime                           publish at the recorded pace
  segfuse replay drive.mcap --overlay out.mp4 --from 2 --until 8

The same trip and network give the same masks, bit for bit, at any speed and thread count: compare `mask_hash`.";

/// Options of `segfuse replay`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own on the command line")]
pub struct Arguments {
    /// The trip.
    pub trip: PathBuf,
    /// Record the trip together with its masks here.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Record masks without the camera frames: small, but a report has no pictures.
    #[arg(long, requires = "out")]
    pub without_frames: bool,
    /// Record the planes of age and confidence with the masks.
    #[arg(long, requires = "out")]
    pub planes: bool,
    /// Write the summary as JSON.
    #[arg(long, value_name = "FILE")]
    pub summary: Option<PathBuf>,
    /// Write the frames with their masks laid over as a video.
    #[arg(long, value_name = "FILE")]
    pub overlay: Option<PathBuf>,
    /// Keep the recorded pace, and publish. Never drops: a slow network falls behind and says so.
    #[arg(long)]
    pub realtime: bool,
    /// Publish over Zenoh (--realtime does so by itself).
    #[arg(long, conflicts_with = "no_publish")]
    pub publish: bool,
    /// Do not publish.
    #[arg(long)]
    pub no_publish: bool,
    /// When publishing, wait at most this long for a subscriber before the first frame.
    #[arg(long, value_name = "SECONDS", default_value_t = 3.0, value_parser = seconds)]
    pub await_subscriber: f64,
    /// Start this long after the trip's first event.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub from: Option<f64>,
    /// Stop this long after the trip's first event.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub until: Option<f64>,
    /// A configuration file (config/vehicle.toml is the commented default); options here take precedence.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The network and its runtime.
    #[command(flatten)]
    pub network: NetworkArguments,
    /// Where masks are published.
    #[command(flatten)]
    pub publishing: PublishArguments,
}

/// Reads a number of seconds that makes sense as a span of a trip.
pub(super) fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("'{text}' is not a number of seconds"))?;
    if (0.0..=1e9).contains(&seconds) { Ok(seconds) } else { Err(format!("{text} s is not between 0 and 1e9")) }
}

impl Arguments {
    #[cfg(feature = "zenoh")]
    fn publishes(&self) -> bool {
        (self.publish || self.realtime) && !self.no_publish
    }

    fn range(&self) -> anyhow::Result<Range> {
        if let (Some(from), Some(until)) = (self.from, self.until)
            && from >= until
        {
            return Err(Misuse(format!("--from {from} is not before --until {until}")).into());
        }
        Ok(Range { from: self.from.map(Duration::from_secs_f64), until: self.until.map(Duration::from_secs_f64) })
    }
}

/// Replays; prints the summary.
pub(super) fn run(arguments: &Arguments, session: &Session) -> anyhow::Result<()> {
    let config = load_config(arguments)?;
    let range = arguments.range()?;
    let source = TripReader::open(&arguments.trip, range)?;
    refuse_what_cannot_be_replayed(arguments, &source)?;
    let network = network::open(&arguments.network)?;
    let summary = replay(arguments, &config, &network, source, session)?;
    if let Some(path) = &arguments.summary {
        write_json(path, &summary)?;
    }
    print(&summary)?;
    if summary.frames == 0 && !session.interrupt.asked() {
        bail!("{}: no frame lies between --from and --until", arguments.trip.display());
    }
    Ok(())
}

/// The configuration that `arguments` name, or the defaults; a replay runs every frame unless it is told otherwise.
fn load_config(arguments: &Arguments) -> anyhow::Result<Config> {
    let mut config = arguments.config.as_deref().map(Config::load).transpose()?.unwrap_or_default();
    if let Some(schedule) = arguments.network.schedule {
        config.perceive.schedule = schedule;
    }
    // A recording is complete or it is an error: only a live drive may drop for the disk's sake.
    config.trip.when_full = WhenFull::Wait;
    config.trip.frames &= !arguments.without_frames;
    config.trip.planes |= arguments.planes;
    Ok(config)
}

fn refuse_what_cannot_be_replayed(arguments: &Arguments, source: &TripReader) -> anyhow::Result<()> {
    let trip = arguments.trip.display();
    if source.frame_count() == 0 {
        bail!(
            "{trip}: this trip has no camera frames, so there is nothing to perceive; \
             `segfuse trip export --states` writes its vehicle states, `segfuse trip info` shows what is in it"
        );
    }
    #[cfg(not(feature = "zenoh"))]
    if arguments.publish {
        return Err(Misuse("--publish: this program was built without the feature `zenoh`".into()).into());
    }
    let outputs = [&arguments.out, &arguments.overlay, &arguments.summary].map(Option::as_deref);
    Ok(keep_apart(&[&arguments.trip], &outputs)?)
}

/// Everything after the arguments were understood: also what `demo` runs.
pub(super) fn replay(
    arguments: &Arguments,
    config: &Config,
    network: &Network,
    source: TripReader,
    session: &Session,
) -> anyhow::Result<Summary> {
    let engine = network::engine(network, &arguments.network, config)?;
    let mut sinks = Sinks::start(arguments, config, network, engine.info(), &source, session)?;
    let stages = Stages { engine, classes: network.classes().clone(), perceive: config.perceive, align: config.align };
    let (summary, ended) = play(arguments, source, stages, &mut sinks, session);
    sinks.progress.close();
    ended?;
    sinks.close(arguments, summary)
}

/// Drives the trip at its own pace or at full speed.
fn play(
    arguments: &Arguments,
    mut source: TripReader,
    stages: Stages,
    sinks: &mut Sinks,
    session: &Session,
) -> (Summary, anyhow::Result<()>) {
    if !arguments.realtime {
        return drive(&mut source, stages, sinks.all(), session);
    }
    let first = source.span().map_or(Stamp::ZERO, |(first, _)| first);
    let first = first.after(Duration::from_secs_f64(arguments.from.unwrap_or(0.0)));
    let stop = || session.interrupt.asked();
    let mut paced = Paced::new(Box::new(source), first, &*session.clock, &stop);
    #[cfg(feature = "zenoh")]
    sinks.pace_from(paced.offset_ns());
    let (mut summary, ended) = drive(&mut paced, stages, sinks.all(), session);
    summary.behind_ms = Some(paced.behind_ms());
    (summary, ended)
}

/// Where a replay's results go.
struct Sinks {
    progress: Progress,
    recording: Option<Recording>,
    overlay: Option<OverlaySink>,
    #[cfg(feature = "zenoh")]
    publishing: Option<Publishing>,
}

impl Sinks {
    fn start(
        arguments: &Arguments,
        config: &Config,
        network: &Network,
        info: &EngineInfo,
        source: &TripReader,
        session: &Session,
    ) -> anyhow::Result<Self> {
        let metadata = answered(source.metadata().clone(), network, info);
        Ok(Self {
            recording: Recording::start(arguments.out.as_deref(), &metadata, config)?,
            overlay: start_overlay(arguments.overlay.as_deref(), network, source)?,
            #[cfg(feature = "zenoh")]
            publishing: if arguments.publishes() {
                Some(Publishing::start(arguments, &config.zenoh, run_of(network, info, source), session)?)
            } else {
                None
            },
            progress: Progress::new("replay", source.frames(), session.quiet),
        })
    }

    fn all(&mut self) -> Vec<&mut dyn Sink> {
        let mut sinks: Vec<&mut dyn Sink> = vec![&mut self.progress];
        sinks.extend(self.recording.as_mut().map(Recording::sink));
        sinks.extend(self.overlay.as_mut().map(|sink| sink as &mut dyn Sink));
        #[cfg(feature = "zenoh")]
        sinks.extend(self.publishing.as_mut().map(Publishing::sink));
        sinks
    }

    #[cfg(feature = "zenoh")]
    fn pace_from(&mut self, offset_ns: i64) {
        self.publishing.iter_mut().for_each(|publishing| publishing.pace_from(offset_ns));
    }

    fn close(self, arguments: &Arguments, mut summary: Summary) -> anyhow::Result<Summary> {
        if let Some(note) =
            self.overlay.as_ref().and_then(OverlaySink::outcome).and_then(|outcome| outcome.note.as_ref())
        {
            tracing::warn!("overlay: {note}");
        }
        if let Some(recording) = self.recording {
            summary.recording = Some(recording.close(arguments.out.as_deref())?);
        }
        Ok(summary)
    }
}

/// What subscribers are told of the run.
#[cfg(feature = "zenoh")]
fn run_of(network: &Network, info: &EngineInfo, source: &TripReader) -> zenoh::Run {
    zenoh::Run {
        engine: info.runtime.clone(),
        network: info.network.clone(),
        network_hash: info.network_hash,
        classes: network.classes().clone(),
        wall: source.metadata().wall.unwrap_or_else(wall_mapping),
        timeline: zenoh::Timeline::Replay { offset_ns: None },
    }
}

/// The metadata of a trip that also holds answers of `network`.
fn answered(mut metadata: TripMetadata, network: &Network, info: &EngineInfo) -> TripMetadata {
    metadata.add_class_table(network.classes());
    metadata.mask_classes = Some(network.classes().name.clone());
    let hash = format!("{:016x}", info.network_hash);
    metadata.network = Some(NetworkIdentity { name: info.network.clone(), runtime: info.runtime.clone(), hash });
    metadata
}

/// A recorder and the view into it that outlives its being a sink.
struct Recording {
    recorder: Recorder,
    handle: RecorderHandle,
}

impl Recording {
    fn start(path: Option<&Path>, metadata: &TripMetadata, config: &Config) -> anyhow::Result<Option<Self>> {
        let Some(path) = path else { return Ok(None) };
        let recorder = Recorder::start(path, metadata, &config.trip)?;
        let handle = recorder.handle();
        Ok(Some(Self { recorder, handle }))
    }

    fn sink(&mut self) -> &mut dyn Sink {
        &mut self.recorder
    }

    /// A replay's recording is whole or the command has failed.
    fn close(self, path: Option<&Path>) -> anyhow::Result<trip::RecordingReport> {
        drop(self.recorder);
        let report = self.handle.report();
        let path = path.map(|path| path.display().to_string()).unwrap_or_default();
        if let Some(failure) = &report.failure {
            bail!("{path}: the recording is not complete: {failure}; what was written is readable");
        }
        Ok(report)
    }
}

fn start_overlay(path: Option<&Path>, network: &Network, source: &TripReader) -> anyhow::Result<Option<OverlaySink>> {
    let Some(path) = path else { return Ok(None) };
    let config = overlay::Config::default();
    let format = overlay_format(path, &config.ffmpeg)?;
    let rate_hz = frames_per_second(source).unwrap_or(30.0);
    Ok(Some(OverlaySink::new(path.into(), format, network.classes().clone(), rate_hz, config)?))
}

/// What the file's ending asks for.
fn overlay_format(path: &Path, ffmpeg: &Path) -> anyhow::Result<OverlayFormat> {
    let shown = path.display();
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("png" | "apng") => Ok(OverlayFormat::Animation),
        Some("mp4") => match OverlayFormat::detect(ffmpeg) {
            OverlayFormat::Animation => {
                bail!("--overlay {shown}: an MP4 needs ffmpeg (Debian: apt install ffmpeg); or name a .png")
            }
            video @ OverlayFormat::Video(_) => Ok(video),
        },
        _ => {
            Err(Misuse(format!("--overlay {shown}: the name must end in .mp4 (needs ffmpeg) or .png (animated)"))
                .into())
        }
    }
}

/// The rate of the recording as a whole.
fn frames_per_second(source: &TripReader) -> Option<f64> {
    let (first, last) = source.span()?;
    let seconds = last.signed_ns_since(first) as f64 / 1e9;
    let frames = source.frame_count() as f64;
    (frames > 1.0 && seconds > 0.0).then(|| ((frames - 1.0) / seconds).clamp(1.0, 240.0))
}
