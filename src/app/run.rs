//! `segfuse run`: the live camera and the vehicle's buses through the pipeline, for as long as the vehicle drives.

use super::arguments::{NetworkArguments, PlainArguments, PublishArguments, RuntimeArguments};
use super::drive::{Stages, drive};
use super::live::{Live, Plan};
use super::network;
use super::output::{check_outputs, is_standard_output, print, write_json};
#[cfg(feature = "zenoh")]
use super::publishing::Publishing;
use super::replay::seconds;
use super::service::{Notifier, ServiceSink};
use super::session::Session;
use super::sinks::answered;
#[cfg(feature = "zenoh")]
use super::sinks::run_of;
use super::summary::Summary;
use super::vitals::{MaskWatch, Thermometer, signs};
use crate::clock::wall_mapping;
use crate::config::Config;
use crate::data::{HealthBoard, VitalSigns};
use crate::engine::DeviceChoice;
use crate::perceive::{Lateness, Schedule};
use crate::process;
use crate::sink::Sink;
#[cfg(feature = "zenoh")]
use crate::sink::zenoh;
use crate::trip::TripMetadata;
use crate::trip::rotation::{Machine, RotatingRecorder, RotationHandle, free_bytes};
use clap::Args;
use std::path::PathBuf;
use std::sync::Arc;

const EXAMPLES: &str = "\
Examples:
  segfuse run                                          /dev/video0, no bus, the embedded network
  segfuse run --config /etc/segfuse/vehicle.toml       camera, buses, signals, recording: all in one file
  segfuse run --config vehicle.toml --record trips --seconds 60 --summary run.json
  segfuse doctor --config vehicle.toml                 what is there, and what is wrong with it

It ends with Ctrl-C or SIGTERM, and then with 0: that is how a drive ends. `segfuse replay` of what it recorded gives the
same masks.";

/// Options of `segfuse run`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The configuration (config/vehicle.toml shows every key); options here take precedence.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// A network folder (model.toml), a plain ONNX file, or the name of an embedded network: small or tiny [default: small,
    /// or what --config says].
    #[arg(long, value_name = "PATH|NAME", help_heading = "Network")]
    pub network: Option<String>,
    /// Which frames run the network, such as every:5 or overlapped:5 [default: every:5, or what --config says].
    #[arg(long, value_name = "every:K|adaptive:P%|overlapped:K:D", help_heading = "Network")]
    pub schedule: Option<Schedule>,
    /// The device: auto takes a GPU if this build can use one and one is there, else the processor [default: auto, or what
    /// --config says].
    #[arg(long, value_name = "auto|cpu|cuda", help_heading = "Network")]
    pub device: Option<DeviceChoice>,
    /// Its runtime.
    #[command(flatten)]
    pub runtime: RuntimeArguments,
    /// What a plain ONNX file does not say of itself.
    #[command(flatten)]
    pub plain: PlainArguments,
    /// Record the drive into this folder, in files within the quota of `[record]`.
    #[arg(long, value_name = "FOLDER")]
    pub record: Option<PathBuf>,
    /// Do not publish.
    #[arg(long)]
    pub no_publish: bool,
    /// End after this many seconds.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub seconds: Option<f64>,
    /// Write the summary as JSON at the end; `-` is standard output, in place of the table.
    #[arg(long, value_name = "FILE")]
    pub summary: Option<PathBuf>,
    /// Where masks are published.
    #[command(flatten)]
    pub publishing: PublishArguments,
}

/// Drives; prints the summary.
pub(super) fn run(arguments: &Arguments, session: &Session) -> anyhow::Result<()> {
    let config = load_config(arguments)?;
    check_outputs(&[("--summary", arguments.summary.as_deref())])?;
    process::settle(&config.process)?;
    let prepare = process::prepare(&config.process)?;
    let mut plan = Plan::new(&config)?;
    let named = network_arguments(arguments, &config);
    let network = session.interrupt.cuts(|| network::open(&named))?;
    let mut engine = network::engine(&network, &named, &config, session)?;
    network::tell_camera(&mut engine, "the configured", &plan.metadata);
    plan.metadata = answered(plan.metadata, &network, engine.info(), config.perceive.schedule);
    let board = HealthBoard::new();
    let mut outputs = Outputs::start(&config, &plan.metadata, &board, session)?;
    #[cfg(feature = "zenoh")]
    outputs.publish(arguments, &config, run_of(&network, engine.info(), wall_mapping(), zenoh::Timeline::Live))?;
    let mut live = Live::start(&config, plan, &board, session, &prepare)?.for_seconds(arguments.seconds);
    let stages = Stages {
        engine: &mut engine,
        classes: network.classes().clone(),
        perceive: config.perceive,
        lateness: Lateness::Allowed,
        align: config.align,
        ends_when_asked: true,
    };
    let (mut summary, ended) = drive(&mut live, stages, outputs.all(), session);
    summary.vitals = Some(outputs.signs.at(session.clock.now()));
    summary.note_replaced(live.replaced_told());
    drop(live);
    outputs.close(&mut summary);
    if let Err(error) = ended {
        summary.fail_run(&error);
    }
    tell(arguments, &mut summary)
}

/// The configuration with the command line's options on top.
fn load_config(arguments: &Arguments) -> anyhow::Result<Config> {
    let mut config = arguments.config.as_deref().map(Config::load).transpose()?.unwrap_or_default();
    if let Some(schedule) = arguments.schedule {
        config.perceive.schedule = schedule;
    }
    if let Some(folder) = &arguments.record {
        config.record.folder = Some(folder.clone());
    }
    Ok(config)
}

fn network_arguments(arguments: &Arguments, config: &Config) -> NetworkArguments {
    let configured = network_of(config);
    NetworkArguments {
        network: arguments.network.clone().or(configured.network),
        schedule: arguments.schedule,
        device: arguments.device,
        runtime: arguments.runtime.clone(),
        plain: arguments.plain.clone(),
        ..configured
    }
}

/// The network that the configuration alone names.
pub(super) fn network_of(config: &Config) -> NetworkArguments {
    NetworkArguments {
        network: config.network.clone(),
        schedule: None,
        device: None,
        runtime: RuntimeArguments::default(),
        plain: PlainArguments::default(),
        chain: None,
    }
}

fn tell(arguments: &Arguments, summary: &mut Summary) -> anyhow::Result<()> {
    if let Some(path) = &arguments.summary
        && let Err(error) = write_json(path, summary)
    {
        summary.fail(format!("{error:#}"));
    }
    if !arguments.summary.as_deref().is_some_and(is_standard_output) {
        print(summary)?;
    }
    summary.check()
}

/// Where a drive's results go. None of them ends it: what they do not take is counted.
struct Outputs {
    signs: VitalSigns,
    _thermometer: Thermometer,
    recorder: Option<RotatingRecorder>,
    recording: Option<RotationHandle>,
    #[cfg(feature = "zenoh")]
    publishing: Option<Publishing>,
    watch: MaskWatch,
    service: Option<ServiceSink>,
}

impl Outputs {
    fn start(config: &Config, metadata: &TripMetadata, board: &HealthBoard, session: &Session) -> anyhow::Result<Self> {
        let clock = Arc::clone(&session.clock);
        let thermometer = Thermometer::start()?;
        let masks = board.enter("masks", true, session.clock.now());
        let recorder = recorder(config, metadata, board, session)?;
        Ok(Self {
            signs: signs(board, &thermometer),
            _thermometer: thermometer,
            recording: recorder.as_ref().map(RotatingRecorder::handle),
            recorder,
            #[cfg(feature = "zenoh")]
            publishing: None,
            watch: MaskWatch::new(masks, clock, max_age_ms(config)),
            service: service(board, session)?,
        })
    }

    #[cfg(feature = "zenoh")]
    fn publish(&mut self, arguments: &Arguments, config: &Config, run: zenoh::Run) -> anyhow::Result<()> {
        if arguments.no_publish {
            return Ok(());
        }
        let run = zenoh::Run { vitals: Some(self.signs.clone()), ..run };
        self.publishing = Some(Publishing::open(&config.zenoh, &arguments.publishing, run)?);
        Ok(())
    }

    /// The publisher first, for every other sink makes a mask older; the service last, for a mask counts once all have it.
    fn all(&mut self) -> Vec<&mut dyn Sink> {
        let mut sinks: Vec<&mut dyn Sink> = Vec::new();
        #[cfg(feature = "zenoh")]
        sinks.extend(self.publishing.as_mut().map(Publishing::sink));
        sinks.push(&mut self.watch);
        sinks.extend(self.recorder.as_mut().map(|recorder| recorder as &mut dyn Sink));
        sinks.extend(self.service.as_mut().map(|service| service as &mut dyn Sink));
        sinks
    }

    fn close(self, summary: &mut Summary) {
        drop(self.recorder);
        summary.rotation = self.recording.map(|recording| recording.report());
    }
}

/// The recorder that the configuration asks for, if it asks for one.
pub(super) fn recorder(
    config: &Config,
    metadata: &TripMetadata,
    board: &HealthBoard,
    session: &Session,
) -> anyhow::Result<Option<RotatingRecorder>> {
    let Some(folder) = &config.record.folder else { return Ok(None) };
    let reporter = board.enter("recording", false, session.clock.now());
    let machine = Machine { wall: Box::new(wall_mapping), free_bytes: Box::new(free_bytes), reporter: Some(reporter) };
    Ok(Some(RotatingRecorder::start(folder, &config.record, &config.trip, metadata, machine)?))
}

/// What tells the service manager, if one has started this program.
pub(super) fn service(board: &HealthBoard, session: &Session) -> anyhow::Result<Option<ServiceSink>> {
    let notifier = Notifier::from_environment()?;
    Ok(notifier.map(|notifier| ServiceSink::new(notifier, board.clone(), Arc::clone(&session.clock))))
}

#[cfg(feature = "zenoh")]
fn max_age_ms(config: &Config) -> u32 {
    config.zenoh.max_age_ms
}

#[cfg(not(feature = "zenoh"))]
fn max_age_ms(_: &Config) -> u32 {
    200
}
