//! `segfuse trip export`: frames, masks and vehicle states as files.

use super::Misuse;
use super::output::{keep_apart, print};
use super::progress::Progress;
use super::replay::seconds;
use super::session::Session;
use crate::trip::{ExportReport, Range, Selection, export_until};
use anyhow::bail;
use clap::{ArgGroup, Args};
use std::path::PathBuf;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  segfuse trip export drive.mcap --states states.csv
  segfuse trip export run.mcap --frames frames --masks masks --from 10 --until 20";

/// Options of `segfuse trip export`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
#[command(group(ArgGroup::new("what").args(["frames", "masks", "labels", "states"]).multiple(true).required(true)))]
pub struct Arguments {
    /// The trip.
    pub trip: PathBuf,
    /// Write the frames into this folder: JPEG as it was recorded, else PNG.
    #[arg(long, value_name = "FOLDER")]
    pub frames: Option<PathBuf>,
    /// Write the masks into this folder: PNG with the class colours, class ids as the pixel values.
    #[arg(long, value_name = "FOLDER")]
    pub masks: Option<PathBuf>,
    /// Write the true labels into this folder.
    #[arg(long, value_name = "FOLDER")]
    pub labels: Option<PathBuf>,
    /// Write every report of the vehicle's state as CSV.
    #[arg(long, value_name = "FILE")]
    pub states: Option<PathBuf>,
    /// Start at this second of the trip, as captions and reports count them: from its first frame.
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true, value_parser = seconds)]
    pub from: Option<f64>,
    /// Stop at this second of the trip.
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true, value_parser = seconds)]
    pub until: Option<f64>,
}

/// Exports; prints what was written.
pub(super) fn run(arguments: &Arguments, session: &Session) -> anyhow::Result<()> {
    let span = |given: Option<f64>| given.map(Duration::from_secs_f64);
    if let (Some(from), Some(until)) = (arguments.from, arguments.until)
        && from >= until
    {
        return Err(Misuse(format!("--from {from} is not before --until {until}")).into());
    }
    let outputs = [&arguments.frames, &arguments.masks, &arguments.labels, &arguments.states].map(Option::as_deref);
    keep_apart(&[&arguments.trip], &outputs)?;
    let selection = Selection {
        frames: arguments.frames.clone(),
        masks: arguments.masks.clone(),
        truth: arguments.labels.clone(),
        states: arguments.states.clone(),
        range: Range { from: span(arguments.from), until: span(arguments.until) },
    };
    let progress = Progress::new("export", None, session.quiet);
    let report = export_until(&arguments.trip, &selection, &|| session.interrupt.asked());
    progress.close();
    let report = report?;
    let ExportReport { frames, masks, truth, states, skipped, frames_lost, interrupted } = report;
    let whole = if interrupted { "interrupted, there would be more: " } else { "" };
    print(&format_args!(
        "{whole}{frames} frames, {masks} masks, {truth} labels, {states} states ({skipped} unreadable, {frames_lost} frames lost in them)"
    ))?;
    if interrupted { Ok(()) } else { tell_what_is_not_there(arguments, &report) }
}

/// An export of nothing has failed; one of a part of what was asked for is told.
fn tell_what_is_not_there(arguments: &Arguments, report: &ExportReport) -> anyhow::Result<()> {
    let asked = [
        ("frames", arguments.frames.is_some(), report.frames),
        ("masks", arguments.masks.is_some(), report.masks),
        ("labels", arguments.labels.is_some(), report.truth),
        ("states", arguments.states.is_some(), report.states),
    ];
    let absent: Vec<_> =
        asked.iter().filter(|(_, asked, found)| *asked && *found == 0).map(|(what, ..)| *what).collect();
    let trip = arguments.trip.display();
    let place = if arguments.from.or(arguments.until).is_some() { " between --from and --until" } else { "" };
    if report.frames + report.masks + report.truth + report.states == 0 {
        bail!(
            "{trip}: nothing was exported: it holds no {}{place}; see `segfuse trip info {trip}`",
            absent.join(", no ")
        );
    }
    for what in absent {
        tracing::warn!("{trip}: it holds no {what}{place}");
    }
    Ok(())
}
