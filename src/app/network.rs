//! From `--network` to an engine.

use super::Misuse;
use super::arguments::NetworkArguments;
use crate::config::Config;
use crate::engine::EngineError;
use crate::engine::cpu::{self, CpuEngine};
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
    let name = &arguments.network;
    let path = Path::new(name);
    let is_embedded = name == EMBEDDED;
    if !is_embedded && !path.exists() {
        return Err(Misuse(format!("--network {name}: no such file or folder; embedded is '{EMBEDDED}'")).into());
    }
    if let Some(option) = arguments.given_for_plain().filter(|_| is_embedded || path.is_dir()) {
        let whose = if is_embedded { "is embedded and knows" } else { "is a network folder whose model.toml says" };
        return Err(Misuse(format!("{option} is for a plain ONNX file: '{name}' {whose} how it is used")).into());
    }
    if is_embedded { Ok(embedded()?) } else { Ok(Network::open(path, &plain_options(arguments)?)?) }
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
    let configured = config.engine.clone();
    let chosen = cpu::Config {
        runtime: arguments.engine.unwrap_or(configured.runtime),
        onnxruntime_library: arguments.onnxruntime_library.clone().or(configured.onnxruntime_library),
        threads: arguments.threads.or(configured.threads),
    };
    CpuEngine::new(network, &chosen)
}

fn plain_options(arguments: &NetworkArguments) -> Result<PlainOptions, Misuse> {
    let usual = PlainOptions::default();
    let options = PlainOptions {
        channels: arguments.channels.unwrap_or(usual.channels),
        scale: arguments.scale.unwrap_or(usual.scale),
        mean: arguments.mean.unwrap_or(usual.mean),
        std: arguments.std.unwrap_or(usual.std),
        chain: arguments.chain.unwrap_or(usual.chain),
        classes: arguments.network_classes.clone().unwrap_or(usual.classes),
    };
    let table = options.class_table();
    table.map_err(|reason| Misuse(format!("--network-classes {}: {reason}", options.classes)))?;
    Ok(options)
}
