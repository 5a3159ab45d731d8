//! `segfuse trip`: what is done to trip files.

use super::output::print;
use super::session::Session;
use super::{export, import, recover};
use crate::trip;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// The trip commands.
#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    /// Make a trip from another recording: pictures, a video, a comma2k19 folder, a candump log.
    Import(import::Arguments),
    /// Show what a trip holds.
    Info(InfoArguments),
    /// Write frames, masks and vehicle states as files.
    Export(export::Arguments),
    /// Save what is readable of a cut or damaged trip into a whole one.
    Recover(recover::Arguments),
}

/// Options of `segfuse trip info`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example:\n  segfuse trip info drive.mcap --json")]
pub struct InfoArguments {
    /// The trip.
    pub trip: PathBuf,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// Runs one of the trip commands.
pub(super) fn run(command: &Command, session: &Session) -> anyhow::Result<()> {
    match command {
        Command::Import(arguments) => import::run(arguments, session),
        Command::Info(arguments) => info(arguments, session),
        Command::Export(arguments) => export::run(arguments, session),
        Command::Recover(arguments) => recover::run(arguments, session),
    }
}

fn info(arguments: &InfoArguments, session: &Session) -> anyhow::Result<()> {
    let info = match trip::info_unless(&arguments.trip, &|| session.interrupt.asked()) {
        Err(trip::TripError::Stopped) => {
            eprintln!("interrupted: {} was not read to its end", arguments.trip.display());
            return Ok(());
        }
        info => info?,
    };
    if arguments.json { print(&serde_json::to_string_pretty(&info)?) } else { print(&info) }
}
