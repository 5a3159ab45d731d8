//! `segfuse trip recover`.

use super::Misuse;
use super::output::print;
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
    if arguments.trip.canonicalize().ok() == arguments.out.canonicalize().ok() && arguments.out.exists() {
        return Err(Misuse(format!("--out {}: is the damaged trip itself", arguments.out.display())).into());
    }
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
