//! How networks run on the CPU: which runtime, and on how many threads.

use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// More threads than any vehicle computer has cores; the runtimes start every one that they are told to.
pub const MAX_THREADS: usize = 256;

/// Which runtime computes the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RuntimeChoice {
    /// On a GPU TensorRT where its library is found; else onnxruntime where that is; else rten. Which it is shows in the
    /// summary and the log.
    #[default]
    Auto,
    /// The runtime built in.
    Rten,
    /// The library, or an error.
    Onnxruntime,
    /// TensorRT on the GPU, or an error: no runtime of the CPU.
    Tensorrt,
}

impl std::str::FromStr for RuntimeChoice {
    type Err = String;
    /// Reads `auto`, `rten`, `onnxruntime` or `tensorrt`.
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "rten" => Ok(Self::Rten),
            "onnxruntime" => Ok(Self::Onnxruntime),
            "tensorrt" => Ok(Self::Tensorrt),
            _ => Err(format!("'{text}' is no runtime: write auto, rten, onnxruntime or tensorrt")),
        }
    }
}

/// How networks run on the CPU.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `auto`, `rten` or `onnxruntime`.
    pub runtime: RuntimeChoice,
    /// `libonnxruntime.so`, or the folder that holds it; else `ORT_DYLIB_PATH`, else the system's.
    pub onnxruntime_library: Option<PathBuf>,
    /// Threads of the runtime, two of which also share a frame's other work; all cores if absent. Masks do not depend on it.
    pub threads: Option<NonZeroUsize>,
}

impl Config {
    /// Says which value is outside its bounds.
    pub fn check(&self) -> Result<(), String> {
        match self.threads {
            Some(threads) if threads.get() > MAX_THREADS => Err(no_such_threads(threads)),
            _ => Ok(()),
        }
    }
}

/// What a number of threads that no engine has is answered with.
pub(in crate::engine) fn no_such_threads(threads: impl std::fmt::Display) -> String {
    format!("engine.threads is {threads}, must be 1 to {MAX_THREADS}; leave it out to use every core")
}
