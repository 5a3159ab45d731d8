//! `segfuse engine info`: what there is to run networks by TensorRT, and what is missing.

use super::engine_command::{InfoArguments, PlaceArguments};
use super::output::print;
use crate::engine::tensorrt::{Entry, Gpu, PlanStore};
use crate::sys::cuda::{CudaError, Device, DeviceInfo};
use crate::sys::tensorrt::{Library, Runtime, TensorRtError};
use anyhow::bail;
use serde::Serialize;
use std::fmt::{self, Display};
use std::sync::Arc;

/// All that is told.
#[derive(Serialize)]
struct Report {
    device: Finding<DeviceReport>,
    library: Finding<LibraryReport>,
    /// Whether plans can be built.
    parser: Finding<String>,
    /// Whether the library can load plans here.
    runtime: Finding<String>,
    folder: String,
    plans: Vec<PlanReport>,
}

/// What is there, or why not.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Finding<T> {
    Found(T),
    Missing(String),
}

#[derive(Serialize)]
struct DeviceReport {
    name: String,
    compute_capability: String,
    memory_bytes: u64,
    driver_cuda_version: String,
}

#[derive(Serialize)]
struct LibraryReport {
    name: String,
    version: String,
    header_version: String,
    path: String,
}

#[derive(Serialize)]
struct PlanReport {
    file: String,
    bytes: u64,
    /// What it serves, or what is wrong with it.
    serves: Finding<String>,
    /// Whether it would be used here.
    fits: bool,
}

/// Looks at everything; prints what was found.
pub(super) fn run(arguments: &InfoArguments) -> anyhow::Result<()> {
    let report = Report::new(&arguments.places)?;
    let text =
        if arguments.json { serde_json::to_string_pretty(&report)? } else { report.to_string().trim_end().into() };
    print(&text)?;
    if !report.runs() {
        bail!("networks cannot run by TensorRT here: what is missing stands above");
    }
    Ok(())
}

impl Report {
    fn new(places: &PlaceArguments) -> anyhow::Result<Self> {
        let device = Device::open(0);
        let library = Library::open(places.tensorrt_libraries());
        let store = PlanStore::new(places.plans())?;
        let plans = store.entries()?.iter().map(|entry| plan(entry, &device, &library)).collect();
        let with_library = |look: &dyn Fn(&Arc<Library>) -> Result<String, TensorRtError>| match &library {
            Ok(library) => found(look(library), String::clone),
            Err(_) => Finding::Missing("no library".into()),
        };
        Ok(Self {
            device: found(device.as_ref(), |device| DeviceReport::new(device)),
            parser: with_library(&|library| library.check_parser().map(|()| "builds plans".into())),
            runtime: with_library(&|library| Runtime::new(library).map(|_| "loads plans".into())),
            library: found(library.as_ref(), |library| LibraryReport::new(library)),
            folder: store.folder().display().to_string(),
            plans,
        })
    }

    fn runs(&self) -> bool {
        matches!(
            (&self.device, &self.library, &self.runtime),
            (Finding::Found(_), Finding::Found(_), Finding::Found(_))
        )
    }
}

fn found<T, F, E: Display>(result: Result<T, E>, told: impl FnOnce(&T) -> F) -> Finding<F> {
    match result {
        Ok(value) => Finding::Found(told(&value)),
        Err(error) => Finding::Missing(error.to_string()),
    }
}

fn plan(
    entry: &Entry,
    device: &Result<Device, CudaError>,
    library: &Result<Arc<Library>, TensorRtError>,
) -> PlanReport {
    let fits = match (&entry.key, device, library) {
        (Ok(key), Ok(device), Ok(library)) => key.fits(library, &Gpu::from(device)),
        _ => false,
    };
    let file = entry.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    PlanReport { file, bytes: entry.bytes, serves: found(entry.key.as_ref(), ToString::to_string), fits }
}

impl DeviceReport {
    fn new(device: &Device) -> Self {
        let DeviceInfo { name, capability: (major, minor), driver, memory, .. } = device.info();
        Self {
            name: name.clone(),
            compute_capability: format!("{major}.{minor}"),
            memory_bytes: *memory as u64,
            driver_cuda_version: format!("{}.{}", driver.0, driver.1),
        }
    }
}

impl LibraryReport {
    fn new(library: &Library) -> Self {
        Self {
            name: library.flavour().to_string(),
            version: library.version().to_string(),
            header_version: library.header_version().to_string(),
            path: library.path().display().to_string(),
        }
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "GPU        {}", self.device)?;
        writeln!(f, "library    {}", self.library)?;
        writeln!(f, "parser     {}", self.parser)?;
        writeln!(f, "runtime    {}", self.runtime)?;
        writeln!(f, "plans      {} in {}", self.plans.len(), self.folder)?;
        self.plans.iter().try_for_each(|plan| writeln!(f, "  {plan}"))
    }
}

impl<T: Display> Display for Finding<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Found(found) => found.fmt(f),
            Self::Missing(reason) => write!(f, "MISSING: {reason}"),
        }
    }
}

impl Display for DeviceReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gib = self.memory_bytes as f64 / f64::from(1 << 30);
        let Self { name, compute_capability, driver_cuda_version, .. } = self;
        write!(
            f,
            "{name}, compute capability {compute_capability}, {gib:.1} GiB; driver for CUDA {driver_cuda_version}"
        )
    }
}

impl Display for LibraryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} (driven by headers {}) at {}", self.name, self.version, self.header_version, self.path)
    }
}

impl Display for PlanReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = self.bytes as f64 / f64::from(1 << 20);
        match &self.serves {
            Finding::Found(serves) => {
                write!(f, "{serves}, {mib:.1} MiB{}", if self.fits { "" } else { ": not for here" })
            }
            Finding::Missing(reason) => {
                write!(f, "{}: cannot be used: {reason}", self.file)
            }
        }
    }
}
