//! The demo makes everything that it promises, in an empty folder, with no other program to be found.

mod support;

use std::path::Path;
use std::process::Command;
use support::json;

fn demo(folder: &Path, path: &str) -> String {
    let fixed = ["demo", "--quiet", "--no-publish", "--size", "160x96", "--fps", "10", "--seconds", "1", "--out"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_segfuse"));
    let output = command.args(fixed).arg(folder).env("PATH", path).output().expect("the program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn without_ffmpeg_the_overlay_is_an_animated_picture() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let said = demo(folder.path(), "/nonexistent");
    for name in ["drive.mcap", "run.mcap", "overlay.png", "report.html", "run.json"] {
        let path = folder.path().join(name);
        assert!(path.metadata().is_ok_and(|file| file.len() > 0), "{name} is missing or empty");
        assert!(said.contains(&*path.to_string_lossy()), "it does not say where {name} is:\n{said}");
    }
    assert!(said.contains("segfuse subscribe"), "{said}");
    let picture = std::fs::read(folder.path().join("overlay.png")).expect("the overlay");
    assert!(picture.windows(4).any(|chunk| chunk == b"acTL"), "an animated PNG has an acTL chunk");
    let run = json(&folder.path().join("run.json"));
    assert_eq!(
        (run["frames"].as_u64(), run["published"].as_u64(), run["keys"].as_u64()),
        (Some(10), Some(10), Some(4))
    );
}

#[test]
fn two_demos_give_the_same_masks() {
    let (one, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let hash = |folder: &Path| {
        demo(folder, "/nonexistent");
        json(&folder.join("run.json"))["mask_hash"].clone()
    };
    assert_eq!(hash(one.path()), hash(other.path()));
}

#[test]
#[cfg(feature = "zenoh")]
fn a_taken_port_is_told_and_does_not_stop_the_demo() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // Taken by this test, or by somebody else: taken in any case.
    let _taken = std::net::TcpListener::bind("127.0.0.1:7447");
    let fixed = ["demo", "--quiet", "--size", "64x48", "--fps", "5", "--seconds", "1", "--out"];
    let output =
        Command::new(env!("CARGO_BIN_EXE_segfuse")).args(fixed).arg(folder.path()).output().expect("it starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.contains("127.0.0.1:7447"), "{}\n{errors}", output.status);
}
