//! `segfuse network`: what is done to networks, and the options that its commands share.

use super::arguments::{Triple, triple, word};
use super::session::Session;
use super::{network_check, network_import};
use crate::data::Image;
use crate::engine::cpu::{self, RuntimeChoice};
use crate::engine::network::{Channels, PlainOptions};
use crate::source::synthetic::{self, Scene};
use clap::{Args, Subcommand};
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// The network commands.
#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    /// Make a network folder of one ONNX file: split it, verify the parts against the whole.
    Import(network_import::Arguments),
    /// Show a network's shapes, files, operators and cost, and try it in every runtime at hand.
    Check(network_check::Arguments),
}

/// Runs one of the network commands.
pub(super) fn run(command: &Command, session: &Session) -> anyhow::Result<()> {
    match command {
        Command::Import(arguments) => network_import::run(arguments, session),
        Command::Check(arguments) => network_check::run(arguments, session),
    }
}

/// How pictures are prepared for a plain ONNX file, and what its outputs mean.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Plain ONNX")]
pub struct PlainArguments {
    /// Channel order [default: rgb].
    #[arg(long, value_name = "rgb|bgr", value_parser = word::<Channels>)]
    pub channels: Option<Channels>,
    /// What the bytes 0 to 255 are multiplied by first [default: 1/255].
    #[arg(long, value_name = "FACTOR", value_parser = positive)]
    pub scale: Option<f32>,
    /// Mean of each channel after scaling, in the order of --channels [default: 0.485,0.456,0.406].
    #[arg(long, value_name = "A,B,C", value_parser = numbers, allow_hyphen_values = true)]
    pub mean: Option<Triple>,
    /// Standard deviation of each channel after scaling [default: 0.229,0.224,0.225].
    #[arg(long, value_name = "A,B,C", value_parser = deviations)]
    pub std: Option<Triple>,
    /// What the network's classes are: a built-in table or a .toml file [default: cityscapes].
    #[arg(long = "network-classes", value_name = "TABLE")]
    pub network_classes: Option<String>,
}

impl PlainArguments {
    /// What was given, and the defaults for the rest.
    pub(super) fn options(&self) -> PlainOptions {
        let usual = PlainOptions::default();
        PlainOptions {
            channels: self.channels.unwrap_or(usual.channels),
            scale: self.scale.unwrap_or(usual.scale),
            mean: self.mean.unwrap_or(usual.mean),
            std: self.std.unwrap_or(usual.std),
            classes: self.network_classes.clone().unwrap_or(usual.classes),
            chain: usual.chain,
        }
    }

    /// The first option that was given.
    pub(super) fn given(&self) -> Option<&'static str> {
        let given = [
            ("--channels", self.channels.is_some()),
            ("--scale", self.scale.is_some()),
            ("--mean", self.mean.is_some()),
            ("--std", self.std.is_some()),
            ("--network-classes", self.network_classes.is_some()),
        ];
        given.into_iter().find_map(|(option, given)| given.then_some(option))
    }
}

fn positive(text: &str) -> Result<f32, String> {
    let number = text.parse().ok().filter(|number: &f32| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| format!("'{text}' is not a number above 0, such as 0.003921569 (1/255) or 1"))
}

fn numbers(text: &str) -> Result<Triple, String> {
    let numbers = triple(text).ok().filter(|numbers| numbers.iter().all(|number| number.is_finite()));
    numbers.ok_or_else(|| format!("'{text}' is not three numbers, such as 0.485,0.456,0.406"))
}

fn deviations(text: &str) -> Result<Triple, String> {
    let numbers = numbers(text).ok().filter(|numbers| numbers.iter().all(|number| *number > 0.0));
    numbers.ok_or_else(|| format!("'{text}' is not three numbers above 0, such as 0.229,0.224,0.225"))
}

/// Which runtimes are tried.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Runtime")]
pub struct RuntimeArguments {
    /// The runtime [default: auto].
    #[arg(long, value_name = "auto|rten|onnxruntime")]
    pub engine: Option<RuntimeChoice>,
    /// libonnxruntime.so, if it is not on the library path.
    #[arg(long, value_name = "FILE", env = "ORT_DYLIB_PATH")]
    pub onnxruntime_library: Option<PathBuf>,
    /// Threads of the runtime [default: one a core].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: Option<u16>,
}

impl RuntimeArguments {
    /// The same, as the engine is told.
    pub(super) fn config(&self) -> cpu::Config {
        cpu::Config {
            runtime: self.engine.unwrap_or_default(),
            onnxruntime_library: self.onnxruntime_library.clone(),
            threads: self.threads.and_then(|threads| NonZeroUsize::new(threads.into())),
        }
    }
}

/// The first frame of the default drive: a street with everything in it, the same on every machine.
pub(super) fn street() -> anyhow::Result<Image> {
    let (image, _) = Scene::new(synthetic::Config::default())?.picture(0);
    Ok(image)
}
