//! `segfuse trip recover`.

use super::output::{check_trip_output, keep_apart, print};
use super::progress::Progress;
use super::session::Session;
use crate::trip;
use clap::Args;
use std::path::PathBuf;

/// Options of `segfuse trip recover`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Example:
  segfuse trip recover cut.mcap --out whole.mcap

Keeps every complete chunk, says exactly what was lost, and fails if the result is not readable.")]
pub struct Arguments {
    /// The cut or damaged trip; it is not changed.
    pub trip: PathBuf,
    /// Where to write the whole one.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Print the account as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Recovers; prints the account.
pub(super) fn run(arguments: &Arguments, session: &Session) -> anyhow::Result<()> {
    keep_apart(&[&arguments.trip], &[Some(&arguments.out)])?;
    check_trip_output("--out", &arguments.out)?;
    let progress = Progress::new("recover", None, session.quiet);
    let report = trip::recover_unless(&arguments.trip, &arguments.out, &|| session.interrupt.asked());
    progress.close();
    let report = match report {
        Err(trip::TripError::Stopped) => {
            eprintln!("interrupted: {} is not written, for it would hold a part", arguments.out.display());
            return Ok(());
        }
        report => report?,
    };
    if arguments.json { print(&serde_json::to_string_pretty(&report)?) } else { print(&report) }
}
