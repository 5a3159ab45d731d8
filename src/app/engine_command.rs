//! `segfuse engine`: plans of networks for NVIDIA GPUs, and what there is to run them.

use super::session::Session;
#[cfg(feature = "tensorrt")]
use super::{engine_build, engine_info};
#[cfg(feature = "tensorrt")]
use crate::engine::Config;
use crate::engine::{DLA_CORES, WORKSPACES_MIB};
#[cfg(feature = "tensorrt")]
use crate::sys::tensorrt::Capability;
use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, Subcommand};
#[cfg(feature = "tensorrt")]
use std::path::Path;
use std::path::PathBuf;

const BUILD_EXAMPLES: &str = "\
Examples:
  segfuse engine build                       the network that is embedded, for the GPU that is there
  segfuse engine build mynet --workspace-mib 512
  segfuse engine build --config vehicle.toml               as a drive will want them
  segfuse engine build small --dla 0         what it can on the deep-learning accelerator (Jetson, TensorRT 10)
  segfuse engine build small --compute-capability 8.9      for a GPU elsewhere (TensorRT-RTX alone)

Plans that are there and fit are kept. Ends with 1 if a plan could not be built.";

const INFO_EXAMPLES: &str = "\
Examples:
  segfuse engine info
  segfuse engine info --json --plans /var/cache/segfuse/plans

Ends with 1 if networks cannot run by TensorRT here; what is missing stands in the output.";

/// The engine commands.
#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    /// Make a network ready for this computer's GPU, so that no drive waits for it.
    Build(BuildArguments),
    /// What there is: driver, GPU, TensorRT's libraries, plans; and what is missing.
    Info(InfoArguments),
}

/// Options of `segfuse engine build`.
#[derive(Args, Clone, Debug)]
#[command(after_help = BUILD_EXAMPLES)]
pub struct BuildArguments {
    /// A network folder with half-precision graphs, or the name of an embedded network: small or tiny [default: small].
    #[arg(value_name = "PATH|NAME")]
    pub network: Option<String>,
    /// A configuration file, of which [engine] and the network count; options here take precedence.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where TensorRT is and where plans are kept.
    #[command(flatten)]
    pub places: PlaceArguments,
    /// The most device memory that one layer may take for itself, in MiB [default: all there is].
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(WORKSPACES_MIB))]
    pub workspace_mib: Option<u64>,
    /// The deep-learning accelerator that runs what it can (Jetson, TensorRT 10).
    #[arg(long, value_name = "CORE", value_parser = dla_core)]
    pub dla: Option<u8>,
    /// Build for a GPU that need not be here, such as 8.9 (TensorRT-RTX alone).
    #[arg(long, value_name = "MAJOR.MINOR")]
    pub compute_capability: Option<String>,
    /// Build plans anew that are there.
    #[arg(long)]
    pub force: bool,
}

/// Options of `segfuse engine info`.
#[derive(Args, Clone, Debug)]
#[command(after_help = INFO_EXAMPLES)]
pub struct InfoArguments {
    /// Where TensorRT is and where plans are kept.
    #[command(flatten)]
    pub places: PlaceArguments,
    /// Print JSON instead of text.
    #[arg(long)]
    pub json: bool,
}

/// Where TensorRT is and where plans are kept.
#[derive(Args, Clone, Debug, Default)]
pub struct PlaceArguments {
    /// The folder of libnvinfer and libnvonnxparser, or of TensorRT-RTX's [default: the system's].
    #[arg(long, value_name = "FOLDER", env = "SEGFUSE_TENSORRT_LIBRARIES", value_parser = any_folder())]
    pub tensorrt_libraries: Option<PathBuf>,
    /// The folder that keeps plans [default: plans in the service's or the user's cache].
    #[arg(long, value_name = "FOLDER", env = "SEGFUSE_PLANS", value_parser = any_folder())]
    pub plans: Option<PathBuf>,
}

fn dla_core(text: &str) -> Result<u8, String> {
    let core = text.parse().ok().filter(|core| DLA_CORES.contains(core));
    core.ok_or_else(|| format!("'{text}' is no accelerator: write a number from 0 to {}", DLA_CORES.end()))
}

/// A folder, or nothing: a variable that is empty is taken for one that is not set.
fn any_folder() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

#[cfg(feature = "tensorrt")]
impl PlaceArguments {
    /// Where TensorRT is, if that is said.
    pub(super) fn tensorrt_libraries(&self) -> Option<&Path> {
        named(self.tensorrt_libraries.as_deref())
    }

    /// Where plans are kept, if that is said.
    pub(super) fn plans(&self) -> Option<&Path> {
        named(self.plans.as_deref())
    }
}

#[cfg(feature = "tensorrt")]
fn named(folder: Option<&Path>) -> Option<&Path> {
    folder.filter(|folder| !folder.as_os_str().is_empty())
}

/// Runs one of the engine commands.
#[cfg(feature = "tensorrt")]
pub(super) fn run(command: &Command, session: &Session) -> anyhow::Result<()> {
    match command {
        Command::Build(arguments) => engine_build::run(arguments, session),
        Command::Info(arguments) => engine_info::run(arguments),
    }
}

#[cfg(feature = "tensorrt")]
impl BuildArguments {
    /// What was given, and what was `configured` for the rest.
    pub(super) fn over(&self, configured: Config) -> Config {
        let owned = |folder: Option<&Path>| folder.map(Path::to_owned);
        Config {
            tensorrt_libraries: owned(self.places.tensorrt_libraries()).or(configured.tensorrt_libraries),
            plans: owned(self.places.plans()).or(configured.plans),
            dla_core: self.dla.or(configured.dla_core),
            workspace_mib: self.workspace_mib.or(configured.workspace_mib),
            ..configured
        }
    }

    /// The GPU to build for, if it need not be the one that is here.
    pub(super) fn capability(&self) -> Result<Option<Capability>, super::Misuse> {
        let told = |reason| super::Misuse(format!("--compute-capability: {reason}"));
        self.compute_capability.as_deref().map(str::parse).transpose().map_err(told)
    }
}

/// Says what is missing.
#[cfg(not(feature = "tensorrt"))]
pub(super) fn run(_: &Command, _: &Session) -> anyhow::Result<()> {
    anyhow::bail!(
        "this program was built without the feature `tensorrt`, so networks run on the CPU alone: build it with \
         `cargo build --release --features tensorrt` (docs/engines.md says what that needs)"
    )
}
