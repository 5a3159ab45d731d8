//! `segfuse doctor` times the network with the camera's own pictures, and the disk by what that camera writes.

#![cfg(all(feature = "camera", feature = "zenoh"))]

use std::process::Command;

/// What `doctor --json` has seen of `subject` with this configuration.
fn seen(subject: &str, config: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("vehicle.toml");
    let record = format!("[record]\nfolder = \"{}\"\n", folder.path().display());
    std::fs::write(&path, format!("network = \"tiny\"\n{config}\n{record}")).expect("room");
    let mut doctor = Command::new(env!("CARGO_BIN_EXE_segfuse"));
    let output = doctor.args(["doctor", "--json", "--config"]).arg(&path).output().expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let findings: Vec<serde_json::Value> =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let of_it = findings.iter().find(|finding| finding["subject"] == subject);
    of_it.and_then(|finding| finding["seen"].as_str()).unwrap_or_else(|| panic!("no {subject}: {text}")).to_owned()
}

#[test]
fn the_network_is_timed_with_pictures_of_the_camera_s_size() {
    let of_a_small_one = seen("network", "[camera]\ndevice = \"/dev/video99\"\nsize = \"320x240\"");
    assert!(of_a_small_one.contains("key frame of 320x240"), "{of_a_small_one}");
    let of_none = seen("network", "");
    assert!(of_none.contains("key frame of 1280x720"), "{of_none}");
}

#[test]
fn a_disk_is_too_slow_by_what_the_camera_writes() {
    let camera = "[camera]\ndevice = \"/dev/video99\"\nsize = \"8192x8192\"\nrate_hz = 1000.0\nformat = \"yuyv\"";
    let of_a_huge_one = seen("disk", camera);
    assert!(of_a_huge_one.contains("yuyv of 8192x8192 at 1000/s needs 134218"), "{of_a_huge_one}");
}

#[test]
fn a_network_whose_masks_would_all_be_too_old_is_a_fault_and_one_that_runs_beside_is_none() {
    let with = |schedule: &str| {
        seen(
            "network",
            &format!("[perceive]\nschedule = \"{schedule}\"\n[zenoh]\nmax_age_ms = 1\n[camera]\nsize = \"320x240\""),
        )
    };
    let (each, some, beside) = (with("every:1"), with("every:5"), with("overlapped:5:3"));
    assert!(each.contains("zenoh.max_age_ms (1) are not published: none would be"), "{each}");
    assert!(some.ends_with("(1) are not published"), "{some}");
    assert!(!beside.contains("published"), "{beside}");
}
