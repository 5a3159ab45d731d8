//! `segfuse engine build`: plans of a network, made before they are needed.

use super::engine_command::BuildArguments;
use super::network::{self, DEFAULT};
use super::output::print;
use super::progress::Progress;
use super::session::Session;
use crate::config::Config;
use crate::engine::network::PlainOptions;
use crate::engine::tensorrt::{Gpu, Options, Outcome, PlanStore, Plans};
use crate::sys::cuda::Device;
use crate::sys::tensorrt::Library;

/// Builds what is missing; says for each graph what was done.
pub(super) fn run(arguments: &BuildArguments, session: &Session) -> anyhow::Result<()> {
    let capability = arguments.capability()?;
    let config = arguments.config.as_deref().map(Config::load).transpose()?.unwrap_or_default();
    let network = arguments.network.as_deref().or(config.network.as_deref()).unwrap_or(DEFAULT);
    let network = network::named(network, None, || Ok(PlainOptions::default()))?;
    let config = arguments.over(config.engine);
    if arguments.config.is_some() && !config.takes_plans() {
        tracing::warn!("a drive by this configuration takes no plans: its [engine] names the CPU or another runtime");
    }
    let gpu = match capability {
        Some(capability) => Gpu { name: "any".into(), capability, multiprocessors: None },
        None => Gpu::from(&Device::open(0)?),
    };
    let library = Library::open(config.tensorrt_libraries.as_deref())?;
    let store = PlanStore::new(config.plans.as_deref())?;
    let options = Options { capability, ..Options::configured(&config) };
    let folder = store.folder().to_owned();
    let plans = Plans::new(library, gpu, store, options);
    let progress = Progress::new("build", None, session.quiet);
    let built = plans.build(&network, arguments.force, &|_| {
        progress.advance();
        !session.interrupt.asked()
    });
    progress.close();
    for (key, outcome) in built? {
        print(&format_args!("{key}: {}", if outcome == Outcome::Built { "built" } else { "was there" }))?;
    }
    print(&format_args!("in {}", folder.display()))
}
