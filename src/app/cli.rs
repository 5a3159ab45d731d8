//! The command line: every command with its options and an example.

use super::logging::LogFormat;
use super::output::print;
#[cfg(feature = "zenoh")]
use super::subscribe;
use super::{demo, engine_command, evaluate, flow_command, network_command, render, replay, trip};
#[cfg(all(feature = "camera", feature = "can"))]
use super::{doctor, record, run};
use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

const EXAMPLES: &str = "\
Examples:
  segfuse demo                                          render a drive, run it, report it
  segfuse trip import --images frames --rate 15 --out seq.mcap
  segfuse replay seq.mcap --schedule every:5 --out run.mcap --summary run.json
  segfuse evaluate run.mcap --classes camvid --html eval.html
  segfuse subscribe --save masks                        in another terminal, while a replay runs

Exit status: 0 done, 1 failed, 2 wrong command line or configuration, 130 interrupted.";

/// A dense class mask for every camera frame of a moving vehicle: replay, evaluate, publish, subscribe.
#[derive(Parser, Debug)]
#[command(name = "segfuse", version, after_help = EXAMPLES, max_term_width = 110)]
pub struct Cli {
    /// What to log: a level, or module=level pairs.
    #[arg(long, global = true, default_value = "warn,segfuse=info", env = "SEGFUSE_LOG", value_name = "FILTER")]
    pub log: String,
    /// How to write log lines.
    #[arg(long, global = true, value_enum, default_value_t)]
    pub log_format: LogFormat,
    /// No progress bar.
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Render a drive, run it through the shipped network, publish it, write an overlay video and a report.
    Demo(demo::Arguments),
    #[cfg(all(feature = "camera", feature = "can"))]
    /// Drive: the live camera and the vehicle's buses through the pipeline.
    Run(Box<run::Arguments>),
    #[cfg(all(feature = "camera", feature = "can"))]
    /// Record camera and buses into trips, without a network.
    Record(record::Arguments),
    #[cfg(all(feature = "camera", feature = "can"))]
    /// What this computer has for a drive, what is wrong with it, and how to mend that.
    Doctor(doctor::Arguments),
    /// Run a recorded trip through the pipeline.
    Replay(Box<replay::Arguments>),
    /// Score masks against true labels: table, JSON, HTML report.
    Evaluate(evaluate::Arguments),
    #[cfg(feature = "zenoh")]
    /// Receive masks of another process: rate, age, gaps; save them as PNG.
    Subscribe(subscribe::Arguments),
    /// Import, look into, export and recover trip files.
    #[command(subcommand)]
    Trip(trip::Command),
    /// Bring in other networks, and see what a network is and how fast.
    #[command(subcommand)]
    Network(network_command::Command),
    /// Networks on NVIDIA GPUs by TensorRT: what there is to run them, and plans made ready.
    #[command(subcommand)]
    Engine(engine_command::Command),
    /// Estimate optical flow between two pictures, and measure flow against the truth.
    #[command(subcommand)]
    Flow(flow_command::Command),
    /// Render a synthetic drive with exact labels, vehicle state and CAN into a trip.
    Render(render::Arguments),
    /// Version, features and the embedded network.
    Version,
    /// Print a completion script, for instance `segfuse completions bash > /etc/bash_completion.d/segfuse`.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

impl Cli {
    /// Writes the completion script of `shell` to standard output.
    pub(super) fn print_completions(shell: Shell) -> anyhow::Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Self::command(), "segfuse", &mut script);
        print(&String::from_utf8_lossy(&script))
    }
}
