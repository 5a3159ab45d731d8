//! What several test files share: the recorded data, the program, a Python with the peers' packages.

#![allow(unreachable_pub, reason = "a module of every test that includes it, not of a library")]
#![allow(dead_code, reason = "each test file compiles its own copy and uses a part of it")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The folder of recorded drives: `$SEGFUSE_DATA`, else `../shared/data`. Says loudly that `test` is skipped without it.
pub fn shared_data(test: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let folder = std::env::var_os("SEGFUSE_DATA").map_or(beside, PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("SKIPPED: {test}: no ../shared/data");
    None
}

/// A Python that can import `modules`: `$SEGFUSE_PYTHON`, else `.venv/bin/python`, else `python3`.
pub fn python(test: &str, modules: &str) -> Option<PathBuf> {
    let local = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python");
    let fallback = if local.exists() { local } else { PathBuf::from("python3") };
    let python = std::env::var_os("SEGFUSE_PYTHON").map_or(fallback, PathBuf::from);
    let imports = Command::new(&python).args(["-c", &format!("import {modules}")]).output();
    if imports.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    eprintln!("SKIPPED: {test}: {} cannot import {modules}", python.display());
    None
}

/// Runs the program and returns what it printed.
pub fn segfuse(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_segfuse")).args(arguments).arg("--quiet").output().expect("the program starts")
}

/// Runs the program and expects it to succeed.
pub fn segfuse_ok(arguments: &[&str]) -> String {
    let output = segfuse(arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "segfuse {arguments:?}: {}\n{errors}", output.status);
    String::from_utf8(output.stdout).expect("the program prints UTF-8")
}

/// Reads a JSON file.
pub fn json(path: &Path) -> serde_json::Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Imports pictures with CamVid's labels at 15 Hz into `trip`; `more` options may follow.
pub fn import_camvid((images, labels): (&str, &str), trip: &str, more: &[&str]) -> Output {
    let named = ["--images", images, "--labels", labels, "--label-classes", "camvid", "--rate", "15", "--out", trip];
    segfuse(&[&["trip", "import"], &named[..], more].concat())
}

/// CamVid's 61 labelled frames at 15 Hz, which no training has seen, as a trip in a folder of its own.
pub struct CamvidSequence {
    folder: tempfile::TempDir,
}

impl CamvidSequence {
    /// Imports them from the recorded drives.
    pub fn import(data: &Path) -> Self {
        let sequence = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        let from_data = |name: &str| data.join("camvid/sequence_15hz").join(name).to_string_lossy().into_owned();
        let output = import_camvid((&from_data("image"), &from_data("label")), &sequence.path("seq.mcap"), &[]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        sequence
    }

    /// Replays them with `network` on `schedule`; all 61 are answered. The figures over CamVid's 11 classes.
    pub fn scored(&self, network: &str, schedule: &str) -> serde_json::Value {
        let [trip, run, summary, figures] =
            ["seq.mcap", "run.mcap", "run.json", "eval.json"].map(|name| self.path(name));
        let with = ["--network", network, "--schedule", schedule, "--out", &run, "--summary", &summary];
        segfuse_ok(&[&["replay", &trip], &with[..]].concat());
        assert_eq!(["frames", "published"].map(|key| self.summary()[key].as_u64()), [Some(61); 2]);
        segfuse_ok(&["evaluate", &run, "--classes", "camvid", "--json", &figures]);
        json(figures.as_ref())
    }

    /// Of the last replay.
    pub fn summary(&self) -> serde_json::Value {
        json(self.path("run.json").as_ref())
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }
}

/// The names of a folder's files, in order.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut names: Vec<_> = entries.map(|e| e.expect("a file").file_name().into_string().expect("text")).collect();
    names.sort();
    names
}
