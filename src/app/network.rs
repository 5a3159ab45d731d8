//! From `--network` to an engine.

use super::Misuse;
use super::arguments::NetworkArguments;
use super::builds::Builds;
use super::chosen::ChosenEngine;
use super::session::Session;
use crate::config::Config;
use crate::engine::network::{Network, PlainOptions};
use crate::engine::{self, EngineError};
use crate::trip::TripMetadata;
use std::path::Path;

/// A network folder inside the program.
struct Embedded {
    name: &'static str,
    manifest: &'static str,
    files: &'static [(&'static str, &'static [u8])],
}

/// A file of the folder of `models/` with this name.
macro_rules! file {
    ($name:literal, $file:literal) => {
        ($file, include_bytes!(concat!("../../models/", $name, "/", $file)).as_slice())
    };
}

/// The folder of `models/` with this name. Its half-precision files are inside only where something reads them.
macro_rules! embed {
    ($name:literal) => {
        Embedded {
            name: $name,
            manifest: include_str!(concat!("../../models/", $name, "/model.toml")),
            files: &[
                file!($name, "backbone.onnx"),
                file!($name, "head.onnx"),
                file!($name, "correction.onnx"),
                #[cfg(feature = "tensorrt")]
                file!($name, "backbone.fp16.onnx"),
                #[cfg(feature = "tensorrt")]
                file!($name, "head.fp16.onnx"),
                #[cfg(feature = "tensorrt")]
                file!($name, "correction.fp16.onnx"),
            ],
        }
    };
}

static EMBEDDED: [Embedded; 2] = [embed!("small"), embed!("tiny")];

/// The embedded network that runs where none is named.
pub(super) const DEFAULT: &str = "small";

/// Opens the network that `arguments` name.
pub(super) fn open(arguments: &NetworkArguments) -> anyhow::Result<Network> {
    let chain = arguments.chain.unwrap_or(PlainOptions::default().chain);
    let plain = || Ok(PlainOptions { chain, ..arguments.plain.options()? });
    named(arguments.network.as_deref().unwrap_or(DEFAULT), arguments.given_for_plain(), plain)
}

/// Opens the network called `name`; `given` is an option that only a plain ONNX file can have.
pub(super) fn named(
    name: &str,
    given: Option<&'static str>,
    plain: impl FnOnce() -> Result<PlainOptions, Misuse>,
) -> anyhow::Result<Network> {
    let path = Path::new(name);
    let embedded = EMBEDDED.iter().find(|embedded| embedded.name == name);
    if embedded.is_none() && !path.exists() {
        let names: Vec<String> = EMBEDDED.iter().map(|embedded| format!("'{}'", embedded.name)).collect();
        let names = names.join(" and ");
        return Err(Misuse(format!("network {name}: no such file or folder; embedded are {names}")).into());
    }
    if let Some(option) = given.filter(|_| embedded.is_some() || path.is_dir()) {
        let whose =
            if embedded.is_some() { "is embedded and knows" } else { "is a network folder whose model.toml says" };
        return Err(Misuse(format!("{option} is for a plain ONNX file: '{name}' {whose} how it is used")).into());
    }
    match embedded {
        Some(embedded) => Ok(embedded.open()?),
        None => Ok(Network::open(path, &plain()?)?),
    }
}

/// The networks that are shipped inside the program, the default first.
pub(super) fn embedded() -> impl Iterator<Item = Result<Network, EngineError>> {
    EMBEDDED.iter().map(Embedded::open)
}

impl Embedded {
    fn open(&self) -> Result<Network, EngineError> {
        Network::from_embedded(self.manifest, self.files)
    }
}

/// Tells the engine how the trip's camera sees. Without a calibration flow is looked for in the pictures alone.
pub(super) fn tell_camera(engine: &mut ChosenEngine, whose: &str, metadata: &TripMetadata) {
    if let Err(reason) = engine.set_camera(metadata.calibration.as_ref()) {
        tracing::warn!("{whose} {reason}: going on without the vehicle's motion");
    }
}

/// Loads `network` as `arguments` say, and where they are silent as `config` does. Plans that are missing are built, which is
/// shown, and given up where the user asks.
pub(super) fn engine(
    network: &Network,
    arguments: &NetworkArguments,
    config: &Config,
    session: &Session,
) -> anyhow::Result<ChosenEngine> {
    let runtime = &arguments.runtime;
    let device = arguments.device.unwrap_or(config.engine.device);
    let builds = Builds::new(session)?;
    let config = engine::Config { device, ..runtime.over(&config.engine) };
    let opened = session.interrupt.cuts(|| ChosenEngine::open(network, &config, &|what| builds.goes_on(what)));
    builds.close();
    let opened = opened.map_err(|error| match (error, runtime.library_origin()) {
        (EngineError::Unavailable { runtime, reason }, Some(origin)) if runtime != "cuda" => {
            EngineError::Unavailable { runtime, reason: format!("{reason} ({origin})") }
        }
        (error, _) => error,
    });
    Ok(opened?)
}
