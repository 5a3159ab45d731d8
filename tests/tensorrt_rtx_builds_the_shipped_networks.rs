//! NVIDIA's own parser and builder take the shipped networks, through the program's own shim and without a GPU:
//! TensorRT-RTX, which `scripts/tensorrt-rtx` fetches.
#![cfg(feature = "tensorrt")]

use segfuse::sys::tensorrt::{BuildOptions, Built, Flavour, Library, Runtime, TensorRtError, build};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const GRAPHS: [&str; 3] = ["backbone", "head", "correction"];

#[test]
fn every_shipped_graph_becomes_a_plan_for_the_gpus_that_it_builds_for() {
    let Some(library) = library("shipped graphs") else { return };
    for network in ["small", "tiny"] {
        for graph in GRAPHS {
            let onnx = fs::read(format!("models/{network}/{graph}.fp16.onnx")).expect("a shipped graph");
            for capability in ["8.6", "8.9", "12.0"] {
                let built = build_for(&library, &onnx, capability);
                let built = built.unwrap_or_else(|error| panic!("{network} {graph} {capability}: {error}"));
                assert!(built.plan.len() > 100_000, "{network} {graph} {capability}: {} bytes", built.plan.len());
            }
        }
    }
}

#[test]
fn scales_around_an_operator_make_it_one_of_8_bit_integers() {
    let Some(library) = library("int8") else { return };
    let onnx = fs::read("tests/data/networks/int8.onnx").expect("a test network");
    for capability in ["8.6", "8.9", "12.0"] {
        build_for(&library, &onnx, capability).unwrap_or_else(|error| panic!("{capability}: {error}"));
    }
}

#[test]
fn a_gpu_that_it_does_not_build_for_is_told() {
    let Some(library) = library("other GPUs") else { return };
    for capability in ["8.7", "9.0", "11.0", "3.5"] {
        let told = build_for(&library, &head(), capability).expect_err("not for this one").to_string();
        assert!(
            told.contains(&format!("TensorRT 1.7.1 (TensorRT-RTX) does not build for compute capability {capability}")),
            "{told}"
        );
    }
}

#[test]
fn an_operator_that_it_does_not_know_is_told_with_its_node() {
    let Some(library) = library("unknown operators") else { return };
    let onnx = fs::read("tests/data/networks/unknown_operator.onnx").expect("a test network");
    let at = onnx.windows(6).position(|bytes| bytes == b"LpPool").expect("its second operator");
    let onnx = [&onnx[..at], b"LqPool", &onnx[at + 6..]].concat();
    let Err(TensorRtError::OnnxRefused { faults, told }) = build_for(&library, &onnx, "8.9") else {
        panic!("it is refused")
    };
    assert!(
        faults.iter().any(|fault| (fault.node, &*fault.name, &*fault.operator) == (1, "n1", "LqPool")),
        "{faults:?}"
    );
    let error = TensorRtError::OnnxRefused { faults, told }.to_string();
    assert!(error.contains("node 1 'n1' (LqPool)"), "{error}");
}

#[test]
fn a_workspace_that_is_too_small_is_told() {
    let Some(library) = library("workspaces") else { return };
    let backbone = fs::read("models/tiny/backbone.fp16.onnx").expect("a shipped graph");
    let options = BuildOptions {
        workspace_bytes: Some(1024),
        capabilities: vec!["8.9".parse().expect("one")],
        ..BuildOptions::default()
    };
    let told = build(&library, &backbone, &[], &options, &|_| true).expect_err("too small").to_string();
    assert!(told.contains("within workspace limit") && told.contains("--workspace-mib"), "{told}");
}

#[test]
fn what_is_no_onnx_is_told() {
    let Some(library) = library("no ONNX") else { return };
    let head = head();
    // Protocol buffers read some texts as a model with nothing in it.
    for (what, bytes, words) in [
        ("text", &b"this is text"[..], "at least one output"),
        ("nothing", b"", "at least one output"),
        ("a half", &head[..head.len() / 2], "refuses the ONNX graph"),
    ] {
        let told = build_for(&library, bytes, "8.9").expect_err(what).to_string();
        assert!(told.contains(words) && told.len() > 60, "{what}: {told}");
    }
}

#[test]
fn its_build_is_told_step_by_step_and_can_be_given_up() {
    let Some(library) = library("steps") else { return };
    let options = BuildOptions { capabilities: vec!["8.9".parse().expect("one")], ..BuildOptions::default() };
    let steps = AtomicUsize::new(0);
    let count = |_: segfuse::sys::tensorrt::Step<'_>| {
        steps.fetch_add(1, Ordering::Relaxed);
        true
    };
    build(&library, &head(), &[], &options, &count).expect("a plan");
    assert!(steps.load(Ordering::Relaxed) > 10, "{steps:?}");
    let given_up = build(&library, &head(), &[], &options, &|_| false).expect_err("given up");
    assert!(matches!(given_up, TensorRtError::Cancelled), "{given_up}");
    build(&library, &head(), &[], &options, &|_| true).expect("it builds after one was given up");
}

#[test]
fn without_a_gpu_a_plan_is_not_loaded_and_why_is_told() {
    let Some(library) = library("no GPU") else { return };
    if !is_without_gpu() {
        return;
    }
    let plan = build_for(&library, &head(), "8.9").expect("a plan").plan;
    let error = match Runtime::new(&library).map(|runtime| runtime.deserialize(&plan, None)) {
        Err(error) | Ok(Err(error)) => error.to_string(),
        Ok(Ok(_)) => panic!("there is no GPU to load it on"),
    };
    assert!(error.contains("CUDA"), "{error}");
}

#[test]
fn the_command_builds_for_a_gpu_that_is_not_here() {
    let Some(libraries) = libraries("the command") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let segfuse = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_segfuse"));
        command.args(arguments).arg("--quiet").env("SEGFUSE_PLANS", folder.path());
        command.env("SEGFUSE_TENSORRT_LIBRARIES", &libraries).output().expect("the program starts")
    };
    for (network, expected) in [("small", "built"), ("tiny", "built"), ("small", "was there")] {
        let output = segfuse(&["engine", "build", network, "--compute-capability", "8.9"]);
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let words = format!("TensorRT-RTX 1.7.1, GPU any, compute capability 8.9: {expected}");
        assert_eq!(told.matches(&words).count(), 3, "{network}: {told}");
    }
    let output = segfuse(&["engine", "build", "tiny", "--compute-capability", "8.7"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("does not build for compute capability 8.7"));
}

#[test]
fn a_check_says_that_it_builds_a_network_and_what_is_missing_to_run_it() {
    let Some(libraries) = libraries("a check") else { return };
    if !is_without_gpu() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_segfuse"));
    command.args(["network", "check", "tiny", "--json", "--engine", "tensorrt", "--quiet"]);
    command.env("SEGFUSE_PLANS", folder.path()).env("SEGFUSE_TENSORRT_LIBRARIES", &libraries);
    let output = command.output().expect("the program starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{errors}"));
    let runtimes = report["runtimes"].as_array().expect("a list");
    let is_it = |runtime: &&serde_json::Value| runtime["runtime"].as_str().is_some_and(|name| name.contains("RTX"));
    let tensorrt = runtimes.iter().find(is_it).unwrap_or_else(|| panic!("{report}"));
    assert_eq!(tensorrt["verdict"], "builds", "{report}");
    let reason = tensorrt["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("to run them") && reason.contains("libcuda.so.1"), "{reason}");
    assert!(tensorrt["backbone_ms"].is_null(), "{report}");
}

/// Whether there is none here, which some tests are about.
fn is_without_gpu() -> bool {
    let there = Path::new("/dev/nvidiactl").exists();
    if there {
        eprintln!("SKIPPED: what is told without a GPU: there is one");
    }
    !there
}

/// The folder of the libraries, fetched if need be.
fn libraries(test: &str) -> Option<PathBuf> {
    let output = Command::new("scripts/tensorrt-rtx").output().expect("a script of this repository");
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr);
        eprintln!("SKIPPED: {test}: TensorRT-RTX cannot be fetched from PyPI: {}", reason.trim());
        return None;
    }
    Some(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}

fn library(test: &str) -> Option<Arc<Library>> {
    let library = Library::open(Some(&libraries(test)?)).expect("TensorRT-RTX");
    assert_eq!(library.flavour(), Flavour::Rtx);
    Some(library)
}

fn head() -> Vec<u8> {
    fs::read("models/tiny/head.fp16.onnx").expect("a shipped graph")
}

fn build_for(library: &Library, onnx: &[u8], capability: &str) -> Result<Built, TensorRtError> {
    let options = BuildOptions { capabilities: vec![capability.parse().expect("one")], ..BuildOptions::default() };
    build(library, onnx, &[], &options, &|_| true)
}
