//! `segfuse trip import`: another recording becomes a trip.

use super::Misuse;
use super::arguments::{number_in, table_name};
use super::evaluate::class_table;
use super::output::{check_trip_output, keep_apart, print};
use super::progress::Progress;
use super::session::Session;
use super::signals;
use super::stopping::Stopping;
use crate::data::{Event, Stamp};
use crate::source::can::{self, CanDecoder, CanError, Decoding, builtin_signals};
use crate::source::{Source, SourceError, synthetic};
use crate::trip::import::{
    CandumpConfig, CandumpLog, Comma2k19, ImageFolder, ImagesConfig, ImportError, ImportReport, Merged, RATES_HZ,
    VideoFile, VideoTools, write_trip,
};
use crate::trip::{Config, TripMetadata, TripWriter};
use anyhow::{Context, bail};
use clap::{ArgGroup, Args};
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  segfuse trip import --images frames --rate 15 --out seq.mcap
  segfuse trip import --images frames --labels labels --label-classes camvid --rate 15 --out seq.mcap
  segfuse trip import --video dashcam.mp4 --out drive.mcap
  segfuse trip import --comma2k19 segment --dbc toyota.dbc --out drive.mcap
  segfuse trip import --video dashcam.mp4 --candump can.log --dbc car.dbc --signals car.toml --out drive.mcap";

/// Options of `segfuse trip import`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
#[command(group(ArgGroup::new("camera").args(["images", "video"])))]
#[command(group(ArgGroup::new("recording").args(["images", "video", "comma2k19", "candump"]).multiple(true).required(true)))]
pub struct Arguments {
    /// Folder of pictures, PNG or JPEG, in the order of their names.
    #[arg(long, value_name = "FOLDER", requires = "rate")]
    pub images: Option<PathBuf>,
    /// Folder of true labels for them: 8-bit PNG of class ids, files named as the pictures.
    #[arg(long, value_name = "FOLDER", requires = "images", requires = "label_classes")]
    pub labels: Option<PathBuf>,
    /// What the label ids mean: cityscapes, camvid, or a .toml file.
    #[arg(long, value_name = "TABLE", requires = "labels", value_parser = table_name)]
    pub label_classes: Option<String>,
    /// Pictures a second, 0.001 to 1000.
    #[arg(long, value_name = "HZ", requires = "images", allow_negative_numbers = true, value_parser = rate)]
    pub rate: Option<f64>,
    /// A video file, read through the ffmpeg program.
    #[arg(long, value_name = "FILE")]
    pub video: Option<PathBuf>,
    /// A folder of the comma2k19 data set (a segment with processed_log/CAN).
    #[arg(long, value_name = "FOLDER")]
    pub comma2k19: Option<PathBuf>,
    /// A CAN log as `candump -L` writes it.
    #[arg(long, value_name = "FILE", conflicts_with = "comma2k19")]
    pub candump: Option<PathBuf>,
    /// What the CAN frames mean; without it they are kept undecoded.
    #[arg(long, value_name = "FILE")]
    pub dbc: Option<PathBuf>,
    /// Which signals are the vehicle's state: a .toml file or a built-in set [default for comma2k19: toyota].
    #[arg(long, value_name = "FILE|NAME", requires = "dbc")]
    pub signals: Option<String>,
    /// Where to write the trip.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Print the account as JSON.
    #[arg(long)]
    pub json: bool,
}

fn rate(text: &str) -> Result<f64, String> {
    number_in(text, &RATES_HZ)
}

/// The decoder of the example DBC, which synthetic drives speak.
pub(super) fn example_decoder() -> Result<CanDecoder, CanError> {
    CanDecoder::new(&builtin_signals("example")?, synthetic::example_dbc(), "example.dbc")
}

/// Imports; prints the account.
pub(super) fn run(arguments: &Arguments, session: &Session) -> anyhow::Result<()> {
    let (sources, mut metadata) = open(arguments)?;
    let decoder = decoder(arguments, &mut metadata)?;
    let Arguments { images, labels, video, comma2k19, candump, dbc, .. } = arguments;
    let inputs = [images, labels, video, comma2k19, candump, dbc].into_iter().filter_map(Option::as_deref);
    keep_apart(&inputs.collect::<Vec<_>>(), &[Some(&arguments.out)])?;
    check_trip_output("--out", &arguments.out)?;
    if session.interrupt.asked() {
        tell_nothing_came(&arguments.out);
        return Ok(());
    }
    let merged = Merged::new(sources);
    let frames = merged.frames();
    let mut source = Stopping::new(decoded(merged, decoder), session);
    let writer = TripWriter::create(&arguments.out, &metadata, &Config::default())?;
    let progress = Progress::new("import", frames, session.quiet);
    let report = write_trip(&mut source, writer, &mut |event| {
        if frames.is_none() || matches!(event, Event::Frame(_)) {
            progress.advance();
        }
    });
    progress.close();
    let (report, cut) = match report {
        Err(ImportError::Cut { report, source }) => (*report, Some(source)),
        report => (report.with_context(|| format!("{}: not imported whole", arguments.out.display()))?, None),
    };
    conclude(arguments, &report, cut, session)
}

/// Prints the account. What holds nothing, or none of the labels asked for, has failed.
fn conclude(
    arguments: &Arguments,
    report: &ImportReport,
    cut: Option<SourceError>,
    session: &Session,
) -> anyhow::Result<()> {
    let out = arguments.out.display();
    let holds = |topic: &str| report.summary.messages.get(topic).is_some_and(|count| *count > 0);
    let empty = !report.summary.messages.keys().any(|topic| *topic != "/camera/lost" && holds(topic));
    if empty && cut.is_none() && session.interrupt.asked() {
        remove(&arguments.out)?;
        tell_nothing_came(&arguments.out);
        return Ok(());
    }
    if !empty || cut.is_some() || arguments.json {
        print(&account(arguments, report)?)?;
    }
    if let Some(source) = cut {
        return Err(source).with_context(|| format!("{out}: not imported whole"));
    }
    if empty {
        bail!("{out}: nothing could be imported: {}", reasons(report));
    }
    if arguments.labels.is_some() && !holds("/camera/truth") && !session.interrupt.asked() {
        let why = if arguments.json { reasons(report) } else { "the reasons are above".to_owned() };
        bail!("{out}: holds the pictures alone, for none of the labels could be taken: {why}");
    }
    Ok(())
}

/// An interrupt, and not a recording that holds nothing: the exit status is that of an interrupt.
fn tell_nothing_came(out: &Path) {
    eprintln!("interrupted before anything was imported: {} is not written", out.display());
}

/// Removes a trip without content; a pipe or a device stays.
fn remove(out: &Path) -> anyhow::Result<()> {
    if out.symlink_metadata().is_ok_and(|found| found.is_file()) {
        std::fs::remove_file(out).with_context(|| format!("{}: cannot remove the empty trip", out.display()))?;
    }
    Ok(())
}

fn decoded(source: Merged, decoder: Option<CanDecoder>) -> Box<dyn Source> {
    match decoder {
        Some(decoder) => Box::new(Telling(Decoding::new(source, decoder))),
        None => Box::new(source),
    }
}

/// Says at the end which CAN frames were refused: a vehicle state that is missing has a reason.
struct Telling(Decoding<Merged>);

impl Source for Telling {
    fn next(&mut self) -> Result<Option<Event>, SourceError> {
        let event = self.0.next();
        if matches!(event, Ok(None) | Err(SourceError::Stopped(_))) {
            tell(self.0.decoder().counts());
        }
        event
    }

    fn frames(&self) -> Option<u64> {
        self.0.frames()
    }
}

fn tell(counts: can::Counts) {
    let can::Counts { frames, other, short, bad_checksum, bad_counter, frozen_counter, implausible } = counts;
    if frames == other {
        tracing::warn!(frames, "no CAN frame is of a message that the signals name: there is no vehicle state");
    }
    if short + bad_checksum + bad_counter + frozen_counter + implausible > 0 {
        tracing::warn!(short, bad_checksum, bad_counter, frozen_counter, implausible, "CAN frames or values refused");
    }
}

/// Every recording named, and what they say of themselves together.
fn open(arguments: &Arguments) -> anyhow::Result<(Vec<Box<dyn Source>>, TripMetadata)> {
    let mut sources: Vec<Box<dyn Source>> = Vec::new();
    let mut metadata = TripMetadata::default();
    let mut add = |source: Box<dyn Source>, said: TripMetadata| {
        sources.push(source);
        metadata.merge(said);
    };
    if let Some(folder) = open_images(arguments)? {
        let said = folder.metadata();
        add(Box::new(folder), said);
    }
    if let Some(path) = &arguments.video {
        let video = VideoFile::open(path, Stamp::ZERO, &VideoTools::default())?;
        let said = video.metadata();
        add(Box::new(video), said);
    }
    if let Some(folder) = &arguments.comma2k19 {
        let drive = Comma2k19::open(folder)?;
        let said = drive.metadata();
        add(Box::new(drive), said);
    }
    if let Some(path) = &arguments.candump {
        let log = CandumpLog::open(path, &CandumpConfig::default())?;
        let said = log.metadata();
        add(Box::new(log), said);
    }
    Ok((sources, metadata))
}

fn open_images(arguments: &Arguments) -> anyhow::Result<Option<ImageFolder>> {
    let (Some(images), Some(rate_hz)) = (arguments.images.clone(), arguments.rate) else { return Ok(None) };
    let labels = match (&arguments.labels, &arguments.label_classes) {
        (Some(folder), Some(classes)) => Some((folder.clone(), class_table(classes)?)),
        _ => None,
    };
    Ok(Some(ImageFolder::open(ImagesConfig { images, labels, rate_hz, start: Stamp::ZERO })?))
}

/// The decoder that the options ask for; its DBC goes into the trip.
fn decoder(arguments: &Arguments, metadata: &mut TripMetadata) -> anyhow::Result<Option<CanDecoder>> {
    let Some(path) = &arguments.dbc else { return Ok(None) };
    let (decoder, dbc) = signals::decoder(path, &signals(arguments)?)?;
    metadata.dbc = Some(dbc);
    Ok(Some(decoder))
}

fn signals(arguments: &Arguments) -> anyhow::Result<can::Config> {
    match arguments.signals.as_deref() {
        Some(name) => signals::named(name).map_err(|error| match error.downcast_ref() {
            Some(CanError::UnknownSet { .. }) => Misuse(format!("--signals: {error}")).into(),
            _ => error,
        }),
        None if arguments.comma2k19.is_some() => Ok(builtin_signals("toyota")?),
        None => Err(Misuse(
            "--dbc needs --signals: a .toml file that names the signals (config/signals/example.toml)".into(),
        )
        .into()),
    }
}

fn account(arguments: &Arguments, report: &ImportReport) -> anyhow::Result<String> {
    if arguments.json {
        return Ok(serde_json::to_string_pretty(report)?);
    }
    let summary = &report.summary;
    let topics: Vec<String> =
        summary.messages.iter().map(|(topic, count)| format!("  {topic:<20} {count:>9}")).collect();
    let more = report.skipped.saturating_sub(report.problems.len() as u64);
    let more = if more > 0 { format!("\n  and {more} more") } else { String::new() };
    let skipped = match report.skipped {
        0 => String::new(),
        skipped => format!("\n{skipped} items skipped:\n  {}{more}", report.problems.join("\n  ")),
    };
    let ended = if report.interrupted { interrupted(report) } else { String::new() };
    Ok(format!("{}\n{}{skipped}{ended}", arguments.out.display(), topics.join("\n")))
}

fn reasons(report: &ImportReport) -> String {
    let more = report.skipped.saturating_sub(report.problems.len() as u64);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    format!("{}{more}", report.problems.join("; "))
}

fn interrupted(report: &ImportReport) -> String {
    let frames = report.summary.messages.get("/camera/image").copied().unwrap_or(0);
    let part = report.frames_expected.map(|expected| format!(" after {frames} of {expected} frames"));
    format!("\ninterrupted{}: the trip holds what came until then", part.unwrap_or_default())
}
