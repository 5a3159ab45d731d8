//! Stand-ins for TensorRT and for NVIDIA's driver, compiled with the system's C++ compiler and kept for the next test.

#![allow(dead_code, reason = "each test takes what it needs")]

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Set for the process that runs the tests again with stand-ins under `AddressSanitizer`.
pub(crate) const SANITIZE: &str = "SEGFUSE_STANDIN_SANITIZE";

/// A family of TensorRT: the major version of its libraries.
pub(crate) const FAMILIES: [u32; 2] = [10, 11];

/// A folder with a stand-in's library and parser; `define` chooses a fault or a version, such as `FAULT=NO_PLAN`. Says
/// loudly that `test` is skipped without a compiler.
pub(crate) fn tensorrt(test: &str, family: u32, define: &str) -> Option<PathBuf> {
    let define = if define.is_empty() { "FAULT=NONE" } else { define };
    let names = [format!("libnvinfer.so.{family}"), format!("libnvonnxparser.so.{family}")];
    let names = names.each_ref().map(String::as_str);
    compiled(test, "standin.cpp", &[&format!("FAMILY={family}"), define], &names)
}

/// The C++ compiler, if there is one.
fn compiler() -> String {
    env::var("CXX").unwrap_or_else(|_| "c++".into())
}

/// Where `AddressSanitizer`'s library is.
pub(crate) fn sanitizer() -> Option<PathBuf> {
    let output = Command::new(compiler()).arg("-print-file-name=libasan.so").output().ok()?;
    let path = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    path.is_absolute().then_some(path)
}

fn compiled(test: &str, source: &str, defines: &[&str], names: &[&str]) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tensorrt").join(source);
    let code = fs::read(&source).expect("the stand-in's source");
    let sanitized = env::var_os(SANITIZE).is_some();
    let hash = xxhash_rust::xxh3::xxh3_64(&code);
    let kind = format!("{}-{hash:016x}{}", defines.join("-").replace('=', "_"), if sanitized { "-asan" } else { "" });
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("standins").join(kind);
    if folder.exists() {
        return Some(folder);
    }
    let part = folder.with_extension(format!("{}.part", std::process::id()));
    fs::create_dir_all(&part).expect("a folder");
    let mut command = Command::new(compiler());
    command.args(["-std=c++17", "-O1", "-g", "-shared", "-fPIC"]);
    if sanitized {
        command.arg("-fsanitize=address");
    }
    command.args(defines.iter().map(|define| format!("-D{define}"))).arg(&source).arg("-o").arg(part.join(names[0]));
    match command.output() {
        Err(error) => {
            eprintln!("SKIPPED: {test}: no C++ compiler: {} cannot be run: {error}", compiler());
            return None;
        }
        Ok(output) => assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr)),
    }
    for name in &names[1..] {
        fs::copy(part.join(names[0]), part.join(name)).expect("a copy");
    }
    // Another test may have been faster.
    if fs::rename(&part, &folder).is_err() {
        fs::remove_dir_all(&part).expect("a folder of ours");
    }
    Some(folder)
}
