//! Tests inside a small virtual machine, whose kernel has a camera (vivid) and a bus (vcan): `tests/vm/vmrig.sh`.
//!
//! ```text
//! #[test] outside ──vmrig──▶ the same test binary, the same test, inside ──▶ exit status, console, files in $RIG_OUT
//! ```
//!
//! Where the rig cannot run (another architecture, no way to get its kernel) the test says `SKIPPED`, loudly.

#![allow(unreachable_pub, reason = "a module of every test that includes it, not of a library")]
#![allow(dead_code, reason = "each test file compiles its own copy and uses a part of it")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// Set for whatever runs in the machine.
const INSIDE: &str = "SEGFUSE_INSIDE_VM";
/// What the rig exits with if it fails itself.
const RIG_FAILED: i32 = 125;

/// What a test needs of the machine.
#[derive(Default)]
pub struct Machine<'a> {
    /// Options of the rig, such as `["--vivid", "n_devs=2"]`.
    pub options: &'a [&'a str],
    /// Seconds that the test may take inside.
    pub seconds: u32,
}

/// Whether this is the machine. Where it is not, runs the test `name` there, panics if it fails, and tells no.
///
/// ```ignore
/// #[test]
/// fn a_camera_streams() {
///     let Some(out) = vm::inside("a_camera_streams", &Machine::default()) else { return };
///     /* here is the machine */
/// }
/// ```
///
/// Inside, gives the folder whose files come back; outside they lie in [`outputs_of`].
pub fn inside(name: &str, machine: &Machine<'_>) -> Option<PathBuf> {
    if std::env::var_os(INSIDE).is_some() {
        return Some(std::env::var_os("RIG_OUT").expect("the rig sets it").into());
    }
    run(name, machine);
    None
}

/// Where the files of the test `name` lie after its run inside.
pub fn outputs_of(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("vm").join(name)
}

/// Whether the rig can run here and is wanted (`SEGFUSE_NO_VM` is not set); says so where it cannot.
pub fn is_possible() -> bool {
    if std::env::var_os("SEGFUSE_NO_VM").is_some() {
        eprintln!("SKIPPED: no virtual machine is wanted (SEGFUSE_NO_VM)");
        return false;
    }
    let cached = rig().args(["--build-only"]).output().expect("bash runs");
    if !cached.status.success() {
        eprintln!("SKIPPED: no virtual machine: {}", String::from_utf8_lossy(&cached.stderr).trim());
    }
    cached.status.success()
}

fn run(name: &str, machine: &Machine<'_>) {
    if !is_possible() {
        return;
    }
    let _turn = turn();
    // What an earlier run left is not this one's.
    drop(std::fs::remove_dir_all(outputs_of(name)));
    let program = std::env::current_exe().expect("a test has a binary");
    let seconds = if machine.seconds == 0 { 120 } else { machine.seconds };
    let output = rig()
        .arg("--out")
        .arg(outputs_of(name))
        .args(["--env", &format!("{INSIDE}=1"), "--timeout", &seconds.to_string()])
        .args(machine.options)
        .arg("--")
        .arg(program)
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .output()
        .expect("bash runs");
    let told = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    println!("{told}");
    match output.status.code() {
        Some(0) => {}
        Some(RIG_FAILED) => panic!("the rig failed:\n{told}\n{errors}"),
        code => panic!("inside the machine the test ended with {code:?}:\n{told}\n{errors}"),
    }
}

/// Waits until no other test has a machine: times are measured inside, and an emulated machine takes every processor.
fn turn() -> std::fs::File {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("vm.lock");
    let file = std::fs::File::create(path).expect("the build's folder is ours");
    file.lock().expect("files can be locked");
    file
}

fn rig() -> Command {
    let mut command = Command::new("bash");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vm/vmrig.sh"));
    let cache = std::env::var_os("SEGFUSE_VM_CACHE")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/vmrig"), PathBuf::from);
    command.arg("--cache").arg(cache);
    command
}
