//! Cases of wrong input: what is given, the status that it ends with and what is told; and the files that are given.

#![allow(dead_code, reason = "each test takes what it needs")]

use crate::support::{segfuse, segfuse_ok};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// One call of the program.
pub(crate) struct Case<'a> {
    pub(crate) what: &'a str,
    pub(crate) arguments: Vec<&'a str>,
    pub(crate) status: i32,
    pub(crate) told: &'a [&'a str],
}

/// A call that ends with `status` and whose error output has all words of `told`.
pub(crate) fn case<'a>(
    what: &'a str,
    arguments: impl Into<Vec<&'a str>>,
    status: i32,
    told: &'a [&'a str],
) -> Case<'a> {
    Case { what, arguments: arguments.into(), status, told }
}

/// A folder of files for one test.
pub(crate) struct Files {
    pub(crate) folder: tempfile::TempDir,
}

impl Files {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().expect("below the folder")).expect("a folder");
        fs::write(&path, bytes).expect("a small file");
        self.path(name)
    }

    /// Half a second of a rendered drive.
    pub(crate) fn trip(&self) -> String {
        let trip = self.path("drive.mcap");
        if !Path::new(&trip).exists() {
            segfuse_ok(&["render", "--size", "64x48", "--fps", "10", "--seconds", "0.5", "--out", &trip]);
        }
        trip
    }
}

/// Runs the cases and tells all faults together; nothing may panic.
pub(crate) fn check(cases: &[Case]) {
    let mut faults = Vec::new();
    for Case { what, arguments, status, told } in cases {
        let output = segfuse(arguments);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.code() != Some(*status) {
            faults.push(format!("{what}: status {:?}, expected {status}\n{errors}", output.status.code()));
        }
        for word in told.iter().filter(|word| !errors.contains(**word)) {
            faults.push(format!("{what}: does not say '{word}':\n{errors}"));
        }
        if errors.contains("panicked") {
            faults.push(format!("{what}: panicked\n{errors}"));
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// Runs the program, without progress, with one variable set.
pub(crate) fn with_variable(arguments: &[&str], name: &str, value: &str) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_segfuse"));
    program.args(arguments).arg("--quiet").env(name, value).output().expect("it starts")
}
