//! The composition root: a file a command, and the only place that names concrete sources, engines and sinks.
//!
//! ```text
//! command line ──▶ cli ──▶ one of the commands ──▶ pipeline ──▶ exit status
//! ```

mod ahead;
mod arguments;
mod builds;
mod chosen;
pub mod cli;
mod demo;
#[cfg(all(feature = "camera", feature = "can"))]
mod doctor;
mod drive;
#[cfg(feature = "tensorrt")]
mod engine_build;
mod engine_command;
#[cfg(feature = "tensorrt")]
mod engine_info;
mod evaluate;
mod export;
mod flow_command;
mod import;
mod interrupt;
mod latency;
#[cfg(all(feature = "camera", feature = "can"))]
mod live;
mod logging;
mod network;
mod network_check;
mod network_command;
mod network_import;
mod network_report;
#[cfg(feature = "tensorrt")]
mod network_tensorrt;
mod output;
mod paced;
mod progress;
#[cfg(feature = "zenoh")]
mod publishing;
#[cfg(all(feature = "camera", feature = "can"))]
mod record;
mod recover;
mod render;
mod replay;
#[cfg(all(feature = "camera", feature = "can"))]
mod run;
pub mod service;
mod session;
mod signals;
mod sinks;
mod stopping;
#[cfg(feature = "zenoh")]
mod subscribe;
mod summary;
mod sweep;
mod trip;
mod version;
#[cfg(all(feature = "camera", feature = "can"))]
mod vitals;

use crate::config::ConfigError;
use crate::engine::EngineError;
use crate::process::ProcessError;
use clap::Parser;
use cli::{Cli, Command};
use session::Session;
use std::process::ExitCode;

const EXIT_FAILED: u8 = 1;
const EXIT_MISUSED: u8 = 2;

/// A wrong command line that clap cannot see, such as options that contradict each other.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Misuse(String);

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(code) => code.into(),
        Err(error) if output::is_closed_pipe(&error) => EXIT_FAILED.into(),
        Err(error) => {
            logging::tell_failure(&told(&error));
            exit_status(&error).into()
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<u8> {
    let session = Session::start(cli.quiet)?;
    logging::install(cli.log_format, &cli.log, &session.times)?;
    match cli.command {
        Command::Demo(arguments) => demo::run(&arguments, &session),
        #[cfg(all(feature = "camera", feature = "can"))]
        Command::Run(arguments) => return run::run(&arguments, &session).map(|()| 0),
        #[cfg(all(feature = "camera", feature = "can"))]
        Command::Record(arguments) => return record::run(&arguments, &session).map(|()| 0),
        #[cfg(all(feature = "camera", feature = "can"))]
        Command::Doctor(arguments) => doctor::run(&arguments, &session),
        Command::Replay(arguments) => replay::run(&arguments, &session),
        Command::Evaluate(arguments) => evaluate::run(&arguments, &session),
        #[cfg(feature = "zenoh")]
        Command::Subscribe(arguments) => subscribe::run(&arguments, &session),
        Command::Trip(command) => trip::run(&command, &session),
        Command::Network(command) => network_command::run(&command, &session),
        Command::Engine(command) => engine_command::run(&command, &session),
        Command::Flow(command) => flow_command::run(&command),
        Command::Render(arguments) => render::run(&arguments, &session),
        Command::Version => version::run(),
        Command::Completions { shell } => Cli::print_completions(shell),
    }?;
    Ok(if session.interrupt.asked() { interrupt::EXIT_INTERRUPTED } else { 0 })
}

/// The error and its causes; a cause that an outer message already tells is not told again.
fn told(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |told, cause| {
        let joint = if told.is_empty() { "" } else { ": " };
        if told.contains(&cause) { told } else { told + joint + &cause }
    })
}

fn exit_status(error: &anyhow::Error) -> u8 {
    if matches!(error.downcast_ref(), Some(EngineError::GivenUp)) {
        return interrupt::EXIT_INTERRUPTED;
    }
    let misused = error.is::<ConfigError>() || error.is::<Misuse>() || error.is::<ProcessError>();
    #[cfg(all(feature = "camera", feature = "can"))]
    let misused = misused || live::is_misuse(error);
    #[cfg(feature = "zenoh")]
    let misused = misused || publishing::is_misuse(error);
    if misused { EXIT_MISUSED } else { EXIT_FAILED }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let cause = anyhow::anyhow!("no room").context("a.mcap: cannot write: no room").context("recording");
        assert_eq!(told(&cause), "recording: a.mcap: cannot write: no room");
    }
}
