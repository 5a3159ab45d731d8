//! `segfuse replay`: a recorded trip through the pipeline.

use super::Misuse;
use super::ahead::Ahead;
use super::arguments::{NetworkArguments, PublishArguments};
use super::drive::{Stages, drive};
use super::network;
use super::output::{check_outputs, check_trip_output, is_standard_output, keep_apart, print, write_json};
use super::paced::Paced;
use super::session::Session;
use super::sinks::Sinks;
use super::summary::Summary;
use crate::config::Config;
use crate::data::Event;
use crate::engine::network::Network;
use crate::perceive::{Lateness, Schedule};
use crate::source::{Source, SourceError};
use crate::trip::{Range, RecorderHandle, TripReader, WhenFull};
use anyhow::bail;
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  segfuse replay drive.mcap                                      the embedded network, as fast as it goes
  segfuse replay seq.mcap --network net.onnx --schedule every:5 --out run.mcap --summary run.json
  segfuse replay drive.mcap --realtime                           publish at the recorded pace
  segfuse replay drive.mcap --overlay out.mp4 --from 2 --until 8

The same trip and network give the same masks, bit for bit, at any speed and thread count: compare `mask_hash`.
Only with --no-wait masks depend on how fast the network was; a replay of its --out gives the same masks again.";

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
    /// Write the summary as JSON; `-` is standard output, in place of the table.
    #[arg(long, value_name = "FILE")]
    pub summary: Option<PathBuf>,
    /// Write the frames with their masks laid over as a video.
    #[arg(long, value_name = "FILE")]
    pub overlay: Option<PathBuf>,
    /// Keep the recorded pace, and publish. Never drops: a slow network falls behind and says so.
    #[arg(long)]
    pub realtime: bool,
    /// With a schedule overlapped:K, answer as a vehicle does that must not wait: where the network is not through in
    /// time, masks go on from the key frame before. What came late is recorded by --out, and a replay of that repeats it.
    #[arg(long)]
    pub no_wait: bool,
    /// Publish over Zenoh (--realtime does so by itself).
    #[arg(long, conflicts_with = "no_publish")]
    pub publish: bool,
    /// Do not publish.
    #[arg(long)]
    pub no_publish: bool,
    /// When publishing, wait at most this long for subscribers before the first frame: for one, then until no other has
    /// connected for 0.75 s [default: 3].
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub await_subscriber: Option<f64>,
    /// Start at this second of the trip, as captions and reports count them: from its first frame.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub from: Option<f64>,
    /// Stop at this second of the trip.
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
    pub(super) fn publishes(&self) -> bool {
        cfg!(feature = "zenoh") && (self.publish || self.realtime) && !self.no_publish
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
    let arguments = &on_network(arguments, &config);
    refuse_waiting_for_nothing(arguments, config.perceive.schedule)?;
    let range = arguments.range()?;
    let source = TripReader::open(&arguments.trip, range)?;
    refuse_what_cannot_be_replayed(arguments, &source)?;
    let network = session.interrupt.cuts(|| network::open(&arguments.network))?;
    tell_other_network(&source, &network);
    let mut summary = replay(arguments, &config, &network, source, session)?;
    if let Some(path) = &arguments.summary
        && let Err(error) = write_json(path, &summary)
    {
        summary.fail(format!("{error:#}"));
    }
    if !arguments.summary.as_deref().is_some_and(is_standard_output) {
        print(&summary)?;
    }
    summary.check()
}

/// The same on the network of the configuration, where `arguments` name none.
fn on_network(arguments: &Arguments, config: &Config) -> Arguments {
    let mut arguments = arguments.clone();
    arguments.network.network = arguments.network.network.or_else(|| config.network.clone());
    arguments
}

/// Says that the trip's own masks are of another network, where it has some.
fn tell_other_network(source: &TripReader, network: &Network) {
    let hash = format!("{:016x}", network.hash());
    if let Some(recorded) = source.metadata().network.as_ref().filter(|recorded| recorded.hash != hash) {
        tracing::info!(
            "the trip's own masks are of the network {}, these will be of {}",
            recorded.name,
            network.name()
        );
    }
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

/// `--no-wait` says something of networks that run beside only.
fn refuse_waiting_for_nothing(arguments: &Arguments, schedule: Schedule) -> Result<(), Misuse> {
    if arguments.no_wait && schedule.delay().is_none() {
        return Err(Misuse(format!(
            "--no-wait: with the schedule {schedule} every frame waits for its own network; take --schedule overlapped:K"
        )));
    }
    Ok(())
}

fn refuse_what_cannot_be_replayed(arguments: &Arguments, source: &TripReader) -> anyhow::Result<()> {
    refuse_without_frames(arguments, source)?;
    if arguments.await_subscriber.is_some() && !arguments.publishes() {
        return Err(
            Misuse("--await-subscriber is for a replay that publishes: add --publish or --realtime".into()).into()
        );
    }
    #[cfg(not(feature = "zenoh"))]
    if arguments.publish {
        return Err(Misuse("--publish: this program was built without the feature `zenoh`".into()).into());
    }
    let outputs = [&arguments.out, &arguments.overlay, &arguments.summary].map(Option::as_deref);
    keep_apart(&[&arguments.trip], &outputs)?;
    arguments.out.as_deref().map_or(Ok(()), |path| check_trip_output("--out", path))?;
    check_outputs(&[("--out", outputs[0]), ("--overlay", outputs[1]), ("--summary", outputs[2])])
}

/// A run that could not answer a single frame is refused before any output is begun.
fn refuse_without_frames(arguments: &Arguments, source: &TripReader) -> anyhow::Result<()> {
    let trip = arguments.trip.display();
    if source.frame_count() == 0 && !source.is_complete() {
        bail!(
            "{trip}: the file is cut or damaged, and no camera frame is in what can be read of it; \
             `segfuse trip info` shows what is left"
        );
    }
    if source.frame_count() == 0 {
        bail!(
            "{trip}: this trip has no camera frames, so there is nothing to perceive; \
             `segfuse trip export --states` writes its vehicle states, `segfuse trip info` shows what is in it"
        );
    }
    if source.has_frame()? {
        return Ok(());
    }
    if arguments.from.or(arguments.until).is_none() {
        bail!("{trip}: none of its camera frames can be read; `segfuse trip info` shows what is damaged");
    }
    let last_s = source.span().map_or(0.0, |(_, last)| last.signed_ns_since(source.zero()) as f64 / 1e9);
    bail!(
        "{trip}: no frame that can be read lies between --from and --until; the trip ends {last_s:.3} s after its zero"
    )
}

/// Everything after the arguments were understood: also what `demo` runs.
///
/// What fails once the run has begun is told by the summary: it ends the run, and the account of it is still given.
pub(super) fn replay(
    arguments: &Arguments,
    config: &Config,
    network: &Network,
    source: TripReader,
    session: &Session,
) -> anyhow::Result<Summary> {
    let mut engine = network::engine(network, &arguments.network, config, session)?;
    network::tell_camera(&mut engine, "the trip's", source.metadata());
    let mut sinks = Sinks::start(arguments, config, network, engine.info(), &source, session)?;
    let (classes, perceive, align) = (network.classes().clone(), config.perceive, config.align);
    let lateness = lateness(arguments, config.perceive.schedule, &source)?;
    let stages = Stages { engine: &mut engine, classes, perceive, lateness, align, ends_when_asked: false };
    let (mut summary, ended) = play(arguments, source, stages, &mut sinks, session);
    sinks.close(&mut summary);
    if let Err(error) = ended {
        summary.fail_run(&error);
    }
    Ok(summary)
}

/// What happens where the network is not through in time: what the trip records, if it is of a run of this schedule.
fn lateness(arguments: &Arguments, schedule: Schedule, source: &TripReader) -> anyhow::Result<Lateness> {
    if arguments.no_wait {
        if !arguments.realtime {
            tracing::warn!(
                "--no-wait without --realtime: frames come faster than a camera's, and more key frames are late"
            );
        }
        return Ok(Lateness::Allowed);
    }
    let late = source.late_keys()?;
    let (told, schedule) = (source.metadata().schedule.as_deref().unwrap_or("another"), schedule.to_string());
    if told != schedule {
        if !late.is_empty() {
            tracing::info!(
                "the trip records key frames that were late with the schedule {told}: not repeated with {schedule}"
            );
        }
        return Ok(Lateness::default());
    }
    if !source.condition().is_whole() {
        tracing::warn!("the trip is not whole: where it lost what came late, masks differ from those that it records");
    }
    Ok(Lateness::Repeated(late))
}

/// Drives the trip at its own pace or at full speed.
fn play(
    arguments: &Arguments,
    mut source: TripReader,
    stages: Stages<'_>,
    sinks: &mut Sinks,
    session: &Session,
) -> (Summary, anyhow::Result<()>) {
    let first = source.start();
    let mut told = Told { trip: &mut source, recording: sinks.recording() };
    told.note();
    let (mut summary, ended) = if arguments.realtime {
        let stop = || session.interrupt.asked();
        let mut paced = Paced::new(Box::new(told), first, &*session.clock, &stop);
        #[cfg(feature = "zenoh")]
        sinks.pace_from(paced.offset_ns());
        let (mut summary, ended) = drive(&mut paced, stages, sinks.all(), session);
        summary.behind_ms = Some(paced.behind_ms());
        (summary, ended)
    } else {
        drive(&mut Ahead::new(&mut told), stages, sinks.all(), session)
    };
    summary.source = Some(source.condition());
    (summary, ended)
}

/// A trip whose condition the recording of its run is told, whenever more of it is known.
struct Told<'a> {
    trip: &'a mut TripReader,
    recording: Option<RecorderHandle>,
}

impl Told<'_> {
    fn note(&self) {
        self.recording.iter().for_each(|recording| recording.note_source(self.trip.condition()));
    }
}

impl Source for Told<'_> {
    fn next(&mut self) -> Result<Option<Event>, SourceError> {
        let event = self.trip.next();
        if matches!(event, Ok(None | Some(Event::Lost { .. })) | Err(_)) {
            self.note();
        }
        event
    }

    fn frames(&self) -> Option<u64> {
        self.trip.frames()
    }
}
