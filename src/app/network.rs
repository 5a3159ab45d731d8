//! From `--network` to an engine.

use super::Misuse;
use super::arguments::NetworkArguments;
use crate::config::Config;
use crate::engine::EngineError;
use crate::engine::cpu::CpuEngine;
use crate::engine::network::{Network, PlainOptions};
use std::path::Path;

/// The network embedded in the program.
pub(super) const EMBEDDED: &str = "tiny";

const EMBEDDED_MANIFEST: &str = include_str!("../../models/tiny/model.toml");
const EMBEDDED_FILES: [(&str, &[u8]); 2] = [
    ("backbone.onnx", include_bytes!("../../models/tiny/backbone.onnx")),
    ("head.onnx", include_bytes!("../../models/tiny/head.onnx")),
];

/// Opens the network that `arguments` name.
pub(super) fn open(arguments: &NetworkArguments) -> anyhow::Result<Network> {
    let chain = arguments.chain.unwrap_or(PlainOptions::default().chain);
    let plain = || Ok(PlainOptions { chain, ..arguments.plain.options()? });
    named(&arguments.network, arguments.given_for_plain(), plain)
}

/// Opens the network called `name`; `given` is an option that only a plain ONNX file can have.
pub(super) fn named(
    name: &str,
    given: Option<&'static str>,
    plain: impl FnOnce() -> Result<PlainOptions, Misuse>,
) -> anyhow::Result<Network> {
    let path = Path::new(name);
    let is_embedded = name == EMBEDDED;
    if !is_embedded && !path.exists() {
        return Err(Misuse(format!("network {name}: no such file or folder; embedded is '{EMBEDDED}'")).into());
    }
    if let Some(option) = given.filter(|_| is_embedded || path.is_dir()) {
        let whose = if is_embedded { "is embedded and knows" } else { "is a network folder whose model.toml says" };
        return Err(Misuse(format!("{option} is for a plain ONNX file: '{name}' {whose} how it is used")).into());
    }
    if is_embedded { Ok(embedded()?) } else { Ok(Network::open(path, &plain()?)?) }
}

/// The network that is shipped inside the program.
pub(super) fn embedded() -> Result<Network, EngineError> {
    Network::from_embedded(EMBEDDED_MANIFEST, &EMBEDDED_FILES)
}

/// Loads `network` as `arguments` say, and where they are silent as `config` does.
pub(super) fn engine(
    network: &Network,
    arguments: &NetworkArguments,
    config: &Config,
) -> Result<CpuEngine, EngineError> {
    let runtime = &arguments.runtime;
    CpuEngine::new(network, &runtime.over(&config.engine)).map_err(|error| match (error, runtime.library_origin()) {
        (EngineError::Unavailable { runtime, reason }, Some(origin)) => {
            EngineError::Unavailable { runtime, reason: format!("{reason} ({origin})") }
        }
        (error, _) => error,
    })
}
