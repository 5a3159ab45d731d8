//! `segfuse version`.

use super::network;
use super::output::print;

/// Prints the version, what was compiled in, and the embedded network.
pub(super) fn run() -> anyhow::Result<()> {
    let network = network::embedded()?;
    let input = network.input();
    print(&format_args!(
        "segfuse {}\nfeatures   {}\nnetwork    {} ({}x{}, {} classes, hash {:016x})\ntrip       MCAP, format {}\nlicence    {}",
        env!("CARGO_PKG_VERSION"),
        if cfg!(feature = "zenoh") { "zenoh" } else { "none" },
        network.name(),
        input.cols,
        input.rows,
        network.classes().classes().len(),
        network.hash(),
        crate::trip::FORMAT_VERSION,
        env!("CARGO_PKG_LICENSE"),
    ))
}
