//! `segfuse doctor` times the network with the camera's own pictures, and the disk by what that camera writes.

#![cfg(all(feature = "camera", feature = "zenoh"))]

use std::path::Path;
use std::process::Command;

/// What `doctor --json` has seen of `subject` with this configuration.
fn seen(subject: &str, config: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    seen_in(folder.path(), subject, &format!("{config}\n[record]\nfolder = \".\""))
}

/// The same with a configuration that is written into `folder`.
fn seen_in(folder: &Path, subject: &str, config: &str) -> String {
    let path = folder.join("vehicle.toml");
    std::fs::write(&path, format!("network = \"tiny\"\n{config}")).expect("room");
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

#[test]
fn a_disk_has_room_where_it_is_free_or_older_recordings_give_way() {
    let folder = tempfile::tempdir().expect("a folder");
    let keep = 1_u64 << 43;
    let config = format!("[record]\nfolder = \".\"\nkeep_free_bytes = {keep}");
    let full = seen_in(folder.path(), "disk", &config);
    assert!(full.contains("to begin a file 8796.2 GB must be free: nothing will be recorded"), "{full}");
    // As long as the bytes that are to stay free, and without any on the disk.
    let old = std::fs::File::create(folder.path().join("2026-11-27T23-10-05Z_0001.mcap")).expect("room");
    old.set_len(keep).expect("a file with a hole");
    let roomy = seen_in(folder.path(), "disk", &config);
    assert!(!roomy.contains("nothing will be recorded"), "{roomy}");
}
