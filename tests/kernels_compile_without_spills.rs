//! Every kernel compiles for the GPUs that the program ships code for, keeps all it needs in registers, and says how many.

use std::path::{Path, PathBuf};
use std::process::Command;

const SOURCES: [&str; 7] =
    ["decode_mask", "disocclusion", "ego_flow", "flow", "preprocess", "residual", "warp_features"];
/// Orin, H100, Thor.
const ARCHITECTURES: [&str; 3] = ["sm_87", "sm_90", "sm_110"];
/// A warp of the flow's search fills a scheduler by itself; any kernel of 256 threads fits four times.
const MOST_REGISTERS: u32 = 128;

/// What the assembler tells of one kernel.
#[derive(Debug, PartialEq, Eq)]
struct Needs {
    kernel: String,
    registers: u32,
    /// Bytes that did not fit into registers: of arrays, and spilled.
    stack: u32,
    spilled: u32,
}

/// `$SEGFUSE_NVCC`, else the one that `scripts/cuda` got, else the system's. Says loudly that `test` is skipped.
fn nvcc(test: &str) -> Option<PathBuf> {
    let fetched = root().join("target/cuda/13.0/bin/nvcc");
    let fallback = if fetched.exists() { fetched } else { "nvcc".into() };
    let nvcc = std::env::var_os("SEGFUSE_NVCC").map_or(fallback, PathBuf::from);
    if Command::new(&nvcc).arg("--version").output().is_ok_and(|output| output.status.success()) {
        return Some(nvcc);
    }
    eprintln!("SKIPPED: {test}: no CUDA compiler ({}): scripts/cuda gets one", nvcc.display());
    None
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs a compiler and gives what it told of each kernel.
fn compile(command: &mut Command) -> Vec<Needs> {
    let output = command.output().expect("the compiler starts");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    needs(&told)
}

/// Reads lines such as those of `the_assembler_s_words_are_understood`.
fn needs(told: &str) -> Vec<Needs> {
    let mut found: Vec<Needs> = Vec::new();
    for line in told.lines() {
        if let Some((_, rest)) = line.split_once("Compiling entry function '") {
            let kernel = rest.split('\'').next().expect("split gives a first part").to_owned();
            found.push(Needs { kernel, registers: 0, stack: 0, spilled: 0 });
        }
        let Some(needs) = found.last_mut() else { continue };
        needs.registers = needs.registers.max(number_before(line, " registers"));
        needs.stack = needs.stack.max(number_before(line, " bytes stack frame"));
        needs.spilled = needs.spilled.max(number_before(line, " bytes spill stores"));
    }
    found
}

/// The number that ends where `unit` begins; 0 if there is none.
fn number_before(line: &str, unit: &str) -> u32 {
    let before = line.split_once(unit).map_or("", |(before, _)| before);
    before.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn assert_all_in_registers(source: &str, how: &str, needs: &[Needs]) {
    assert!(!needs.is_empty(), "{source}, {how}: the compiler tells of no kernel");
    for Needs { kernel, registers, stack, spilled } in needs {
        println!("{how} {source} {kernel} {registers} registers");
        assert_eq!((*stack, *spilled), (0, 0), "{kernel}, {how}: bytes of stack, bytes spilled");
        assert!((1..=MOST_REGISTERS).contains(registers), "{kernel}, {how}: {registers} registers");
    }
}

#[test]
fn every_kernel_compiles_for_every_gpu_without_spills() {
    let Some(nvcc) = nvcc("every_kernel_compiles_for_every_gpu_without_spills") else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    for source in SOURCES {
        for architecture in ARCHITECTURES {
            let mut command = Command::new(&nvcc);
            command.args(["-O3", "-std=c++17", "-fmad=false", "-Xptxas", "-v", "-cubin", "-arch", architecture]);
            command.arg("-o").arg(folder.path().join("out.cubin")).arg(root().join(format!("kernels/{source}.cu")));
            assert_all_in_registers(source, architecture, &compile(&mut command));
        }
    }
}

/// JetPack 6 loads what CUDA 12.6 compiled, not what 13 did.
#[test]
fn every_kernel_compiles_with_the_cuda_of_jetpack_6() {
    if !root().join("target/cuda/12.6").exists() {
        eprintln!("SKIPPED: every_kernel_compiles_with_the_cuda_of_jetpack_6: `scripts/cuda --nvrtc` gets NVRTC 12.6");
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    for source in SOURCES {
        let mut command = Command::new(root().join("scripts/nvrtc"));
        command.arg(root().join(format!("kernels/{source}.cu"))).arg("sm_87").arg(folder.path().join("out.cubin"));
        assert_all_in_registers(source, "sm_87 by 12.6", &compile(&mut command));
    }
}

#[test]
fn every_source_is_compiled() {
    let entries = std::fs::read_dir(root().join("kernels")).expect("kernels is readable");
    let paths = entries.map(|entry| entry.expect("kernels is readable").path());
    let mut names: Vec<_> = paths.filter(|path| path.extension().is_some_and(|e| e == "cu")).collect();
    names.sort();
    let names: Vec<_> = names.iter().map(|path| path.file_stem().expect("a file").to_string_lossy()).collect();
    assert_eq!(names, SOURCES);
}

#[test]
fn the_assembler_s_words_are_understood() {
    let told = "ptxas info    : Compiling entry function 'warp' for 'sm_87'\n\
                ptxas info    : Function properties for warp\n    \
                16 bytes stack frame, 8 bytes spill stores, 12 bytes spill loads\n\
                ptxas info    : Used 40 registers, used 0 barriers, 380 bytes cmem[0]\n";
    assert_eq!(needs(told), [Needs { kernel: "warp".into(), registers: 40, stack: 16, spilled: 8 }]);
}
