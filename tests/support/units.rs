//! Checking unit files by systemd's own tools, whatever version is installed.

#![allow(unreachable_pub, dead_code, reason = "a module of every test that includes it; none uses all of it")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// Keys that systemds before the version named do not know, and say so.
const NEWER_KEYS: [(&str, u32); 2] = [("RestartSteps=", 254), ("RestartMaxDelaySec=", 254)];

/// A program of systemd.
pub struct Tool {
    pub program: PathBuf,
    pub version: u32,
}

impl Tool {
    /// The program called `name`; says loudly that `test` is skipped without it.
    pub fn find(name: &str, test: &str) -> Option<Self> {
        let output = Command::new(name).arg("--version").output().ok();
        let told = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        let version = told.and_then(|told| told.split([' ', '\n']).find_map(|word| word.parse().ok()));
        if version.is_none() {
            eprintln!("SKIPPED: {test}: {name} is not installed (Debian: apt install systemd, udev)");
        }
        Some(Self { program: name.into(), version: version? })
    }
}

/// Fails unless systemd finds nothing at all to say of `unit`.
pub fn verify(tool: &Tool, unit: &Path) {
    let folder = tempfile::tempdir().expect("a folder");
    let copy = copy_for(tool, unit, folder.path());
    let output = Command::new(&tool.program).args(["verify", "--man=no"]).arg(&copy).output().expect("it runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.is_empty(), "{}: {told}", unit.display());
}

/// A copy of `unit` that starts the program under test, without the keys that this systemd is too old for.
pub fn copy_for(tool: &Tool, unit: &Path, folder: &Path) -> PathBuf {
    let text = std::fs::read_to_string(unit).unwrap_or_else(|error| panic!("{}: {error}", unit.display()));
    assert!(text.contains("=/usr/bin/segfuse "), "{}", unit.display());
    let text = text.replace("=/usr/bin/segfuse ", &format!("={} ", env!("CARGO_BIN_EXE_segfuse")));
    let known = |line: &&str| !NEWER_KEYS.iter().any(|(key, since)| line.starts_with(key) && tool.version < *since);
    let path = folder.join(unit.file_name().expect("a file"));
    std::fs::write(&path, text.lines().filter(known).collect::<Vec<_>>().join("\n")).expect("room");
    path
}
