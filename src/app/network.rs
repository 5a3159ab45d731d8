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
    if arguments.network == EMBEDDED {
        return Ok(embedded()?);
    }
    let path = Path::new(&arguments.network);
    if !path.exists() {
        let name = &arguments.network;
        return Err(Misuse(format!("--network {name}: no such file or folder; embedded is '{EMBEDDED}'")).into());
    }
    Ok(Network::open(path, &plain_options(arguments))?)
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

fn plain_options(arguments: &NetworkArguments) -> PlainOptions {
    PlainOptions {
        channels: arguments.channels,
        scale: arguments.scale,
        mean: arguments.mean,
        std: arguments.std,
        chain: arguments.chain,
        classes: arguments.network_classes.clone(),
    }
}
