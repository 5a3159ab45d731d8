//! `segfuse engine build`: plans of a network, made before they are needed.

use super::engine_command::BuildArguments;
use super::network::{self, DEFAULT};
use super::output::print;
use super::progress::Progress;
use super::session::Session;
use crate::engine::network::PlainOptions;
use crate::engine::tensorrt::{Gpu, Options, Outcome, PlanStore, Plans};
use crate::sys::tensorrt::{Library, device};

/// Builds what is missing; says for each graph what was done.
pub(super) fn run(arguments: &BuildArguments, session: &Session) -> anyhow::Result<()> {
    let capability = arguments.capability()?;
    let network = arguments.network.as_deref().unwrap_or(DEFAULT);
    let network = network::named(network, None, || Ok(PlainOptions::default()))?;
    let gpu = match capability {
        Some(capability) => Gpu { name: "any".into(), capability },
        None => Gpu::from(&device()?),
    };
    let library = Library::open(arguments.places.tensorrt_libraries())?;
    library.check_parser()?;
    let store = PlanStore::new(arguments.places.plans())?;
    let options =
        Options { workspace_bytes: arguments.workspace_mib.map(|mib| mib << 20), dla_core: arguments.dla, capability };
    let folder = store.folder().to_owned();
    let plans = Plans::new(library, gpu, store, options);
    let progress = Progress::new("build", None, session.quiet);
    let built = plans.build(&network, arguments.force, &|_| {
        progress.advance();
        !session.interrupt.asked()
    });
    progress.close();
    if session.interrupt.asked() {
        tracing::warn!("given up: plans that were finished are kept");
        return Ok(());
    }
    for (key, outcome) in built? {
        print(&format_args!("{key}: {}", if outcome == Outcome::Built { "built" } else { "was there" }))?;
    }
    print(&format_args!("in {}", folder.display()))
}
