//! `segfuse network`: what is done to networks, and the picture that they are tried on.

use super::session::Session;
use super::{network_check, network_import};
use crate::data::Image;
use crate::source::synthetic::{self, Scene};
use clap::Subcommand;

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

/// The first frame of the default drive: a street with everything in it, the same on every machine.
pub(super) fn street() -> anyhow::Result<Image> {
    let (image, _) = Scene::new(synthetic::Config::default())?.picture(0);
    Ok(image)
}
