//! NVIDIA's own TensorRT 10 and 11, without a driver: what they give and log comes through as an error. The lean runtimes,
//! which `scripts/tensorrt-lean` fetches.
#![cfg(feature = "tensorrt")]

use segfuse::sys::tensorrt::{BuildOptions, Library, Runtime, build};
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn a_library_without_a_driver_says_what_it_misses() {
    let Some(lean) = lean("a missing driver") else { return };
    if Path::new("/dev/nvidiactl").exists() {
        eprintln!("SKIPPED: a missing driver: there is one");
        return;
    }
    for (family, version) in [("10", "10.16.1"), ("11", "11.4.0")] {
        let library = Library::open(Some(&lean.join(family))).expect("the lean runtime");
        assert_eq!(library.version().to_string(), version);
        let told = Runtime::new(&library).expect_err("no driver").to_string();
        for words in
            ["createInferRuntime gave 0x228", "CUDA initialization failure with error: 35", "segfuse engine info"]
        {
            assert!(told.contains(words), "{family}: {words}: {told}");
        }
    }
}

#[test]
fn the_lean_runtime_builds_no_plan_and_says_so() {
    let Some(lean) = lean("no builder") else { return };
    for family in ["10", "11"] {
        let library = Library::open(Some(&lean.join(family))).expect("the lean runtime");
        let told = build(&library, b"", &[], &BuildOptions::default(), &|_| true).expect_err("no builder").to_string();
        assert!(told.contains("has no builder") && told.contains("install libnvinfer"), "{told}");
    }
}

/// The folder of the libraries, fetched if need be.
fn lean(test: &str) -> Option<PathBuf> {
    let output = Command::new("scripts/tensorrt-lean").output().expect("a script of this repository");
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr);
        eprintln!("SKIPPED: {test}: the lean TensorRT cannot be fetched from PyPI: {}", reason.trim());
        return None;
    }
    Some(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}
