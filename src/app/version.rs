//! `segfuse version`.

use super::network;
use super::output::print;
use crate::engine::network::Network;

/// Prints the version, what was compiled in, and the embedded networks.
pub(super) fn run() -> anyhow::Result<()> {
    let networks = network::embedded().map(|network| network.map(|network| line(&network)));
    print(&format_args!(
        "segfuse {}\nfeatures   {}\n{}trip       MCAP, format {}\nlicence    {}",
        env!("CARGO_PKG_VERSION"),
        features(),
        networks.collect::<Result<String, _>>()?,
        crate::trip::FORMAT_VERSION,
        env!("CARGO_PKG_LICENSE"),
    ))
}

/// What was compiled in beyond the least.
fn features() -> String {
    let features = [
        ("camera", cfg!(feature = "camera")),
        ("can", cfg!(feature = "can")),
        ("zenoh", cfg!(feature = "zenoh")),
        ("cuda", cfg!(feature = "cuda")),
        ("tensorrt", cfg!(feature = "tensorrt")),
    ];
    let features: Vec<&str> = features.into_iter().filter_map(|(name, is_in)| is_in.then_some(name)).collect();
    if features.is_empty() { "none".into() } else { features.join(", ") }
}

fn line(network: &Network) -> String {
    let (input, classes) = (network.input(), network.classes().classes().len());
    let (name, hash) = (network.name(), network.hash());
    format!("network    {name} ({}x{}, {classes} classes, hash {hash:016x})\n", input.cols, input.rows)
}
