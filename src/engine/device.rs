//! Which device the frames are worked on, and what runs the network there.

use super::cpu::{self, RuntimeChoice};
use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// `[engine]` of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `auto`, `cpu` or `cuda`.
    pub device: DeviceChoice,
    /// `auto`, `rten`, `onnxruntime` or, on a GPU, `tensorrt`: what runs the network.
    pub runtime: RuntimeChoice,
    /// `libonnxruntime.so`, or the folder that holds it; else `ORT_DYLIB_PATH`, else the system's.
    pub onnxruntime_library: Option<PathBuf>,
    /// Threads of the runtime; all cores if absent. Masks do not depend on it.
    pub threads: Option<NonZeroUsize>,
    /// The folder of TensorRT's libraries; else the system's.
    pub tensorrt_libraries: Option<PathBuf>,
    /// The folder that keeps TensorRT's plans; else the service's or the user's cache.
    pub plans: Option<PathBuf>,
}

impl Config {
    /// What runs the network, on the CPU.
    pub fn cpu(&self) -> cpu::Config {
        let Self { runtime, onnxruntime_library, threads, .. } = self.clone();
        cpu::Config { runtime, onnxruntime_library, threads }
    }

    /// Says which value is outside its bounds.
    pub fn check(&self) -> Result<(), String> {
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
