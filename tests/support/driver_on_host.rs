//! A stand-in for NVIDIA's driver that runs the kernels on the host: `tests/cuda/driver_on_host.cpp`.

#![allow(dead_code, reason = "each test takes what it needs")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder that holds it as `libcuda.so.1`: for `LD_LIBRARY_PATH`. `None`, said loudly, without a C++ compiler.
pub(crate) fn driver_on_host(test: &str) -> Option<PathBuf> {
    let compiler = std::env::var_os("CXX").unwrap_or_else(|| "c++".into());
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("driver_on_host");
    std::fs::create_dir_all(&folder).expect("a folder");
    // Tests that begin together each make their own, and the last one stays.
    let fresh = folder.join(format!("libcuda.{}", std::process::id()));
    let mut command = Command::new(&compiler);
    command.args(["-O2", "-std=c++17", "-shared", "-fPIC", "-ffp-contract=off", "-Wno-unknown-pragmas", "-o"]);
    match command.arg(&fresh).arg(root.join("tests/cuda/driver_on_host.cpp")).output() {
        Err(error) => {
            eprintln!("SKIPPED: {test}: no C++ compiler ({}): {error}", compiler.display());
            None
        }
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            std::fs::rename(&fresh, folder.join("libcuda.so.1")).expect("the same folder");
            Some(folder)
        }
    }
}
