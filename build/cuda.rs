//! Compiles `kernels/*.cu` for the GPUs that are known: machine code for each, PTX for newer ones.
//!
//! Leaves the images and `cuda_images.rs`, a table of them, in `OUT_DIR`.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Compute capabilities with machine code of their own: Orin, H100, Thor.
const MACHINES: [u32; 3] = [87, 90, 110];
/// Other GPUs compile this one's PTX: everything since Ampere.
const PTX: u32 = 80;
/// `-fmad=false`: results are the Rust twins' own, which multiply and then add.
const FLAGS: [&str; 4] = ["-O3", "-std=c++17", "-fmad=false", "--threads=1"];

/// Orin, whose JetPack 6 does not load what a CUDA newer than 12.6 has made: compiled by NVRTC 12.6 where
/// `scripts/cuda --nvrtc` has fetched it.
const ORIN: &str = "-arch=sm_87";
const NVRTC: &str = "target/cuda/12.6/cuda_nvrtc/lib/libnvrtc.so.12";

/// A CUDA compiler.
struct Compiler {
    nvcc: PathBuf,
    /// Such as `13.0`.
    version: String,
    /// Compute capabilities that it compiles for.
    knows: Vec<u32>,
}

/// Compiles every kernel into `out`; an error is a sentence with the remedy.
pub(crate) fn compile(out: &Path) -> Result<(), String> {
    println!("cargo::rerun-if-changed=kernels");
    println!("cargo::rerun-if-changed=build/cuda.rs");
    println!("cargo::rerun-if-env-changed=SEGFUSE_NVCC");
    println!("cargo::rerun-if-env-changed=PATH");
    let compiler = Compiler::find()?;
    let machines: Vec<u32> = MACHINES.into_iter().filter(|machine| compiler.knows.contains(machine)).collect();
    let others: Vec<String> =
        MACHINES.iter().filter(|machine| !machines.contains(machine)).map(ToString::to_string).collect();
    if !others.is_empty() {
        println!(
            "cargo::warning={} (CUDA {}) does not compile for sm_{}: such GPUs compile PTX when the program starts",
            compiler.nvcc.display(),
            compiler.version,
            others.join(", sm_")
        );
    }
    let mut table = format!("/// The CUDA that compiled them.\nconst COMPILER: &str = {:?};\n", compiler.version);
    table.push_str("/// Every file of `kernels/`.\nstatic IMAGES: &[Images] = &[\n");
    for source in sources()? {
        compiler.compile_all(&source, &machines, out)?;
        describe(&mut table, &name(&source), &machines);
    }
    table.push_str("];\n");
    let path = out.join("cuda_images.rs");
    std::fs::write(&path, table).map_err(|error| format!("{}: {error}", path.display()))
}

/// A line of the table.
fn describe(table: &mut String, name: &str, machines: &[u32]) {
    let bytes = |file: String| format!("include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{file}\"))");
    let cubins = machines.iter().map(|machine| format!("({machine}, {})", bytes(format!("{name}.sm_{machine}.cubin"))));
    let cubins: Vec<String> = cubins.collect();
    let ptx = bytes(format!("{name}.ptx"));
    writeln!(table, "    Images {{ name: {name:?}, cubins: &[{}], ptx: ({PTX}, {ptx}) }},", cubins.join(", "))
        .expect("a string takes any text");
}

/// `kernels/*.cu`, in order.
fn sources() -> Result<Vec<PathBuf>, String> {
    let entries = std::fs::read_dir("kernels").map_err(|error| format!("kernels/: {error}"))?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut found: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|end| end == "cu")).collect();
    found.sort();
    Ok(found)
}

fn name(source: &Path) -> String {
    source.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

impl Compiler {
    fn find() -> Result<Self, String> {
        if let Some(named) = std::env::var_os("SEGFUSE_NVCC") {
            let named = PathBuf::from(named);
            return Self::ask(&named).map_err(|reason| format!("SEGFUSE_NVCC={}: {reason}", named.display()));
        }
        let on_path = std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
        let folders = on_path.into_iter().flatten().chain([PathBuf::from("/usr/local/cuda/bin")]);
        let installed = folders.map(|folder| folder.join("nvcc")).find(|nvcc| nvcc.is_file());
        let Some(nvcc) = installed.or_else(|| fetched(Path::new("target/cuda"), 5)) else {
            return Err("the feature cuda needs a CUDA compiler, and there is none: not in SEGFUSE_NVCC, PATH, \
                        /usr/local/cuda/bin or target/cuda. `scripts/cuda` fetches one into target/cuda (100 MB, from \
                        PyPI); on a Jetson it is the package cuda-nvcc"
                .to_owned());
        };
        Self::ask(&nvcc).map_err(|reason| format!("{}: {reason}", nvcc.display()))
    }

    fn ask(nvcc: &Path) -> Result<Self, String> {
        let version = said(Command::new(nvcc).arg("--version").output())?;
        let release = version.split("release ").nth(1).and_then(|rest| rest.split([',', ' ']).next());
        let release = release.ok_or_else(|| format!("it names no release: {version}"))?.to_owned();
        let listed = said(Command::new(nvcc).arg("--list-gpu-arch").output())?;
        let knows = listed.lines().filter_map(|line| line.trim().strip_prefix("compute_")?.parse().ok()).collect();
        Ok(Self { nvcc: nvcc.to_owned(), version: release, knows })
    }

    /// All images of a file, side by side.
    fn compile_all(&self, source: &Path, machines: &[u32], out: &Path) -> Result<(), String> {
        let name = name(source);
        let cubin = |machine: &u32| (format!("-arch=sm_{machine}"), "-cubin", format!("{name}.sm_{machine}.cubin"));
        let images =
            machines.iter().map(cubin).chain([(format!("-arch=compute_{PTX}"), "-ptx", format!("{name}.ptx"))]);
        std::thread::scope(|scope| {
            let runs: Vec<_> = images
                .map(|(arch, kind, file)| scope.spawn(move || self.compile(source, [&arch, kind], &out.join(file))))
                .collect();
            runs.into_iter().try_for_each(|run| run.join().map_err(|_| "a thread panicked".to_owned())?)
        })?;
        // The driver takes PTX as a text that ends with a zero.
        let path = out.join(format!("{name}.ptx"));
        let cannot = |error: std::io::Error| format!("{}: {error}", path.display());
        let mut ptx = std::fs::read(&path).map_err(cannot)?;
        ptx.push(0);
        std::fs::write(&path, ptx).map_err(cannot)
    }

    fn compile(&self, source: &Path, how: [&str; 2], to: &Path) -> Result<(), String> {
        if how[0] == ORIN && Path::new(NVRTC).is_file() {
            let run = Command::new("scripts/nvrtc").arg(source).arg("sm_87").arg(to).output();
            return said(run).map(drop).map_err(|reason| format!("scripts/nvrtc: {}: {reason}", source.display()));
        }
        let run =
            Command::new(&self.nvcc).args(FLAGS).args(how).arg("-Ikernels").arg(source).arg("-o").arg(to).output();
        said(run).map(drop).map_err(|reason| format!("{}: {}: {reason}", self.nvcc.display(), source.display()))
    }
}

/// A compiler that `scripts/cuda` has fetched.
fn fetched(folder: &Path, depth: usize) -> Option<PathBuf> {
    let nvcc = folder.join("bin/nvcc");
    if nvcc.is_file() {
        return Some(nvcc);
    }
    let entries = std::fs::read_dir(folder).ok().filter(|_| depth > 0)?;
    let mut folders: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    folders.sort();
    folders.iter().filter(|path| path.is_dir()).find_map(|path| fetched(path, depth - 1))
}

/// What a program printed, or why it failed.
fn said(output: std::io::Result<Output>) -> Result<String, String> {
    let output = output.map_err(|error| format!("cannot be run: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{}\n{}", output.status, String::from_utf8_lossy(&output.stderr)))
}
