//! `segfuse record`: camera and buses into trips, without a network.

use super::Misuse;
use super::live::{Live, Plan};
use super::output::print;
use super::progress::Progress;
use super::replay::seconds;
use super::run::{recorder, service};
use super::session::Session;
use super::summary::told;
use crate::config::Config;
use crate::data::{Ending, Event, HealthBoard, SourceHealth};
use crate::process;
use crate::sink::{Sink, SinkError};
use crate::source::{Source, SourceError};
use crate::trip::rotation::RotationReport;
use clap::Args;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  segfuse record --record trips                                  /dev/video0, no bus, until Ctrl-C
  segfuse record --config /etc/segfuse/vehicle.toml --seconds 600

Files are begun anew and old ones removed as `[record]` of the configuration says.";

/// Options of `segfuse record`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The configuration (config/vehicle.toml shows every key); options here take precedence.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The folder.
    #[arg(long, value_name = "FOLDER")]
    pub record: Option<PathBuf>,
    /// End after this many seconds.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub seconds: Option<f64>,
}

/// Records; prints what was written.
pub(super) fn run(arguments: &Arguments, session: &Session) -> anyhow::Result<()> {
    let mut config = arguments.config.as_deref().map(Config::load).transpose()?.unwrap_or_default();
    config.record.folder = arguments.record.clone().or(config.record.folder);
    process::settle(&config.process)?;
    let prepare = process::prepare(&config.process)?;
    let plan = Plan::new(&config)?;
    let board = HealthBoard::new();
    let Some(mut recorder) = recorder(&config, &plan.metadata, &board, session)? else {
        return Err(Misuse("nowhere to record to: name a folder with --record, or as record.folder".into()).into());
    };
    let mut service = service(&board, session)?;
    let mut live = Live::start(&config, plan, &board, session, &prepare)?.for_seconds(arguments.seconds);
    let progress = Progress::new("record", None, session.quiet);
    let handle = recorder.handle();
    let mut sinks: Vec<&mut dyn Sink> = vec![&mut recorder];
    sinks.extend(service.as_mut().map(|service| service as &mut dyn Sink));
    let mut seen = Seen::default();
    let outcome = record(&mut live, &mut sinks, &mut |event| match event {
        Event::Frame(_) => {
            seen.frames += 1;
            progress.advance();
        }
        Event::Lost { frames, .. } => seen.lost += u64::from(*frames),
        _ => {}
    });
    progress.close();
    drop(live);
    let (report, sources) = (handle.report(), board.sources(session.clock.now()));
    print(&account(&report, &seen, &sources))?;
    outcome?;
    anyhow::ensure!(
        report.finished > 0,
        "nothing was recorded: {}",
        report.paused.as_deref().unwrap_or("no event came")
    );
    Ok(())
}

/// What came of the camera.
#[derive(Default)]
struct Seen {
    frames: u64,
    lost: u64,
}

/// Passes every event on until the source ends; what a sink does not take it counts itself.
fn record(live: &mut Live<'_>, sinks: &mut [&mut dyn Sink], note: &mut dyn FnMut(&Event)) -> Result<(), SourceError> {
    let outcome = loop {
        match live.next() {
            Ok(Some(event)) => {
                note(&event);
                pass(&event, sinks);
            }
            Ok(None) => break Ok(()),
            Err(SourceError::Skipped(reason)) => tracing::warn!(reason, "source item skipped"),
            Err(stopped) => break Err(stopped),
        }
    };
    let ending =
        outcome.as_ref().map_or_else(|error: &SourceError| Ending::Failed(error.to_string()), |()| Ending::Complete);
    for sink in sinks {
        sink.on_ending(&ending);
        if let Err(error) = sink.finish() {
            tracing::warn!("{error}");
        }
    }
    outcome
}

fn pass(event: &Event, sinks: &mut [&mut dyn Sink]) {
    for sink in sinks.iter_mut() {
        if let Err(error @ SinkError::Failed { .. }) = sink.on_event(event) {
            tracing::warn!("{error}");
        }
    }
}

fn account(report: &RotationReport, seen: &Seen, sources: &[SourceHealth]) -> String {
    let RotationReport { finished, finished_bytes, removed, removed_while_written, dropped, pauses, .. } = report;
    let mut lines = vec![format!("frames     {} came, {} were lost before", seen.frames, seen.lost)];
    lines.extend(sources.iter().map(told));
    lines.push(format!("recorded   {finished} files, {finished_bytes} bytes; {removed} older ones were removed"));
    if *removed_while_written > 0 {
        lines.push(format!(
            "removed    {removed_while_written} files while they were written: what was in them is gone"
        ));
    }
    let lost: u64 = dropped.values().sum();
    if lost > 0 {
        lines.push(format!("dropped    {lost} messages for the disk's sake, in {pauses} pauses"));
    }
    lines.join("\n")
}
