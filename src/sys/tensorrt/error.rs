//! What goes wrong with TensorRT.

use std::fmt;
use std::path::PathBuf;

/// Why TensorRT did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum TensorRtError {
    /// Install it, or name its folder.
    #[error(
        "no TensorRT library: {looked}; it comes with JetPack (libnvinfer10, libnvonnxparsers10), or name the folder that \
         holds it (--tensorrt-libraries, SEGFUSE_TENSORRT_LIBRARIES)"
    )]
    NoLibrary {
        /// What was looked for, and what the loader said.
        looked: String,
    },
    /// Not the library that its name says: install TensorRT anew.
    #[error("{library}: has no {symbol}, so it is no TensorRT library; install TensorRT anew or name another folder")]
    NoSymbol {
        /// The file.
        library: PathBuf,
        /// What is missing.
        symbol: &'static str,
    },
    /// Build the program with the headers of that family.
    #[error(
        "{library}: is TensorRT {version}, and this program was built without headers of its family: build it again after \
         scripts/tensorrt-headers"
    )]
    NoShim {
        /// The file.
        library: PathBuf,
        /// Its version.
        version: String,
    },
    /// Install a newer one.
    #[error(
        "{library}: is TensorRT {version}, and 10.1 is the oldest that this program works with; install a newer one"
    )]
    TooOld {
        /// The file.
        library: PathBuf,
        /// Its version.
        version: String,
    },
    /// Only what needs the ONNX parser cannot be done: building plans.
    #[error("{library} is there but no ONNX parser beside it: {reason}; {remedy}")]
    NoParser {
        /// The library that is there.
        library: PathBuf,
        /// What the loader said.
        reason: String,
        /// Where a parser for this library comes from.
        remedy: String,
    },
    /// Plans that are there can be loaded.
    #[error("{library}: has no builder, as the lean runtime has none: it loads plans alone; install libnvinfer")]
    NoBuilder {
        /// The file.
        library: PathBuf,
    },
    /// The library gave no usable object: usually there is no driver or no GPU.
    #[error(
        "{library}: {factory} gave {pointer:#x} instead of an object: {told}; TensorRT needs a driver and a GPU for this \
         (`segfuse engine info` says what is there)"
    )]
    NoObject {
        /// The file.
        library: PathBuf,
        /// The function.
        factory: &'static str,
        /// What it gave.
        pointer: usize,
        /// What it logged.
        told: String,
    },
    /// Damaged, of another version or of another GPU; or the GPU cannot be used at all.
    #[error(
        "plan refused: {told}; a plan serves one version of TensorRT on one kind of GPU and needs that GPU to be loaded: \
         see `segfuse engine info`, or build it again (`segfuse engine build`)"
    )]
    PlanRefused {
        /// What TensorRT logged.
        told: String,
    },
    /// Too little device memory for the plan itself.
    #[error("no room for the plan: {told}; free device memory or take a smaller network")]
    NoRoom {
        /// What TensorRT logged.
        told: String,
    },
    /// Mend or replace the network.
    #[error("the parser refuses the ONNX graph: {}", listed(.faults, .told))]
    OnnxRefused {
        /// Node by node.
        faults: Vec<OnnxFault>,
        /// What TensorRT logged besides.
        told: String,
    },
    /// The graph was understood and yet no plan came out.
    #[error("no plan could be built: {told}; more workspace (--workspace-mib) or more free device memory may help")]
    NotBuilt {
        /// What TensorRT logged.
        told: String,
    },
    /// Asked to stop.
    #[error("the build was given up, as asked")]
    Cancelled,
    /// Of another version or damaged: remove it.
    #[error("timing cache refused: {told}; remove it and build again")]
    TimingCacheRefused {
        /// What TensorRT logged.
        told: String,
    },
    /// Choose the GPU, or TensorRT 10.
    #[error("TensorRT {version} has no deep-learning accelerator (DLA): leave --dla out, or use TensorRT 10")]
    NoDla {
        /// The library's version.
        version: String,
    },
    /// Choose the GPU, or another accelerator.
    #[error(
        "TensorRT {version} finds no deep-learning accelerator (DLA) {core} on this machine: leave --dla (engine.dla_core) \
         out, or name one that is there"
    )]
    NoSuchDla {
        /// What was asked for.
        core: u8,
        /// The library's version.
        version: String,
    },
    /// Only TensorRT-RTX builds for GPUs that are not there, and only for some.
    #[error("TensorRT {version} does not build for compute capability {capabilities}: {told}")]
    CapabilityRefused {
        /// The library's version.
        version: String,
        /// What was asked for.
        capabilities: String,
        /// What it logged.
        told: String,
    },
    /// Usually too little device memory.
    #[error(
        "no execution context, which needs {device_bytes} bytes of device memory: {told}; free device memory or take a smaller network"
    )]
    NoContext {
        /// What the plan wants for its intermediate results.
        device_bytes: i64,
        /// What TensorRT logged.
        told: String,
    },
    /// A mistake of the caller.
    #[error("the plan has no tensor '{name}' (it has {known})")]
    NoTensor {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// A mistake of the caller.
    #[error("tensor '{name}': shape {shape:?} refused: {told}")]
    ShapeRefused {
        /// The tensor.
        name: String,
        /// What was asked for.
        shape: Vec<i64>,
        /// What TensorRT logged.
        told: String,
    },
    /// A mistake of the caller.
    #[error("tensor '{name}' takes {expected} bytes, got {got}")]
    WrongSize {
        /// The tensor.
        name: String,
        /// Bytes of its shape.
        expected: usize,
        /// Bytes given.
        got: usize,
    },
    /// A mistake of the caller.
    #[error("tensor '{name}' was given no memory before the plan was to run, or memory that TensorRT refuses: {told}")]
    NoAddress {
        /// The tensor.
        name: String,
        /// What TensorRT logged.
        told: String,
    },
    /// The device failed: stop.
    #[error("running the plan failed: {told}")]
    NotRun {
        /// What TensorRT logged.
        told: String,
    },
}

impl TensorRtError {
    /// Whether a refused plan is at fault, and not the device that it was to be loaded on: TensorRT says it in words only.
    pub fn is_about_the_plan(&self) -> bool {
        matches!(self, Self::PlanRefused { told } if !told.contains("Cuda Runtime"))
    }
}

/// What an ONNX parser says of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnnxFault {
    /// Its number in the graph; negative: of no node.
    pub node: i32,
    /// Its name, which may be empty.
    pub name: String,
    /// Its operator, which may be empty.
    pub operator: String,
    /// The parser's words.
    pub reason: String,
}

impl fmt::Display for OnnxFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.node >= 0 {
            write!(f, "node {} '{}' ({}): ", self.node, self.name, self.operator)?;
        }
        f.write_str(self.reason.trim())
    }
}

fn listed(faults: &[OnnxFault], told: &str) -> String {
    if faults.is_empty() {
        return told.to_owned();
    }
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
