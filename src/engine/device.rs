//! Which device the frames are worked on, and what runs the network there.

use super::cpu::{self, RuntimeChoice};
use serde::{Deserialize, Deserializer, Serialize};
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::path::PathBuf;

/// `[engine]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `auto`, `cpu` or `cuda`.
    pub device: DeviceChoice,
    /// `auto`, `rten`, `onnxruntime` or, on a GPU, `tensorrt`: what runs the network.
    pub runtime: RuntimeChoice,
    /// `libonnxruntime.so`, or the folder that holds it; else `ORT_DYLIB_PATH`, else the system's.
    pub onnxruntime_library: Option<PathBuf>,
    /// Threads of the runtime, two of which also share a frame's other work; all cores if absent. Masks do not depend on it.
    #[serde(deserialize_with = "read_threads")]
    pub threads: Option<NonZeroUsize>,
    /// The folder of TensorRT's libraries; else the system's.
    pub tensorrt_libraries: Option<PathBuf>,
    /// The folder that keeps TensorRT's plans; else the service's or the user's cache.
    pub plans: Option<PathBuf>,
    /// The deep-learning accelerator that runs what it can of a network (Jetson, TensorRT 10).
    pub dla_core: Option<u8>,
    /// The most device memory that a layer may take for itself as a plan is built, in MiB; all there is if absent.
    pub workspace_mib: Option<u64>,
    /// Whether a frame's work on a GPU is asked for in CUDA graphs. Masks do not depend on it.
    pub cuda_graphs: bool,
}

/// The accelerators that a plan can be built for, and the workspaces of a layer in MiB.
pub const DLA_CORES: RangeInclusive<u8> = 0..=7;
/// See [`DLA_CORES`].
pub const WORKSPACES_MIB: RangeInclusive<u64> = 1..=1 << 20;

impl Default for Config {
    fn default() -> Self {
        Self {
            device: DeviceChoice::default(),
            runtime: RuntimeChoice::default(),
            onnxruntime_library: None,
            threads: None,
            tensorrt_libraries: None,
            plans: None,
            dla_core: None,
            workspace_mib: None,
            cuda_graphs: true,
        }
    }
}

/// Zero and less are told as what is too much is.
fn read_threads<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<NonZeroUsize>, D::Error> {
    let Some(threads) = Option::<i64>::deserialize(deserializer)? else { return Ok(None) };
    let count = usize::try_from(threads).ok().and_then(NonZeroUsize::new);
    count.map(Some).ok_or_else(|| serde::de::Error::custom(cpu::no_such_threads(threads)))
}

impl Config {
    /// What runs the network, on the CPU.
    pub fn cpu(&self) -> cpu::Config {
        let Self { runtime, onnxruntime_library, threads, .. } = self.clone();
        cpu::Config { runtime, onnxruntime_library, threads }
    }

    /// Whether networks may be run by TensorRT's plans.
    pub fn takes_plans(&self) -> bool {
        self.device != DeviceChoice::Cpu && matches!(self.runtime, RuntimeChoice::Auto | RuntimeChoice::Tensorrt)
    }

    /// Says which value is outside its bounds.
    pub fn check(&self) -> Result<(), String> {
        if let Some(core) = self.dla_core.filter(|core| !DLA_CORES.contains(core)) {
            return Err(format!("engine.dla_core is {core}, must be 0 to {}", DLA_CORES.end()));
        }
        if let Some(mib) = self.workspace_mib.filter(|mib| !WORKSPACES_MIB.contains(mib)) {
            return Err(format!("engine.workspace_mib is {mib}, must be 1 to {}", WORKSPACES_MIB.end()));
        }
        self.cpu().check()
    }
}

/// Which device computes masks from pictures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceChoice {
    /// The GPU, if this build can use one and one is there; else the CPU. Which it is shows in the summary and the log.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// An NVIDIA GPU, or an error.
    Cuda,
}

impl std::str::FromStr for DeviceChoice {
    type Err = String;
    /// Reads `auto`, `cpu` or `cuda`.
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda),
            _ => Err(format!("'{text}' is no device: write auto, cpu or cuda")),
        }
    }
}
