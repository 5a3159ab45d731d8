//! A frame keeps the name of the file that it was imported from: what is exported matches what was imported.

mod support;

#[path = "support/sample_trip.rs"]
mod sample_trip;

use sample_trip::{jpeg, noise};
use std::path::Path;
use support::{import_camvid, json, names, segfuse_ok};

/// Five pictures of 64x48 whose names are no numbers in order, one of them not readable, and labels for them.
fn pictures(folder: &Path) {
    for name in ["image", "label"] {
        std::fs::create_dir(folder.join(name)).expect("room");
    }
    for (seed, name) in (0..).zip(["0016E5_07959", "0016E5_07961", "broken", "0016E5_08001", "tail.v2"]) {
        let bytes = if name == "broken" { vec![0xff, 0xd8, 1] } else { jpeg(seed) };
        std::fs::write(folder.join(format!("image/{name}.jpg")), bytes).expect("room");
        let labels: Vec<u8> = noise(seed + 50, 64 * 48).iter().map(|value| value % 12).collect();
        let labels = image::GrayImage::from_raw(64, 48, labels).expect("exact");
        labels.save(folder.join(format!("label/{name}.png"))).expect("room");
    }
}

#[test]
fn masks_exported_from_a_run_are_evaluated_against_the_imported_labels_as_the_run_is() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    pictures(folder.path());
    let at = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (images, labels, trip, run) = (at("image"), at("label"), at("seq.mcap"), at("run.mcap"));
    assert!(import_camvid((&images, &labels), &trip, &[]).status.success());
    segfuse_ok(&["replay", &trip, "--engine", "rten", "--out", &run]);
    let (masks, frames, truth) = (at("masks"), at("frames"), at("truth"));
    segfuse_ok(&["trip", "export", &run, "--masks", &masks, "--frames", &frames, "--labels", &truth]);
    let expected = ["0016E5_07959", "0016E5_07961", "0016E5_08001", "tail.v2"];
    assert_eq!(names(masks.as_ref()), expected.map(|name| format!("{name}.png")));
    assert_eq!(names(frames.as_ref()), expected.map(|name| format!("{name}.jpg")));
    assert_eq!(names(truth.as_ref()), names(masks.as_ref()));
    let (of_run, of_folders) = (at("run.json"), at("folders.json"));
    segfuse_ok(&["evaluate", &run, "--classes", "camvid", "--json", &of_run]);
    segfuse_ok(&[
        "evaluate",
        "--predictions",
        &masks,
        "--truth",
        &labels,
        "--classes",
        "camvid",
        "--json",
        &of_folders,
    ]);
    let (run, folders) = (json(of_run.as_ref()), json(of_folders.as_ref()));
    assert_eq!(run["frames"], 4);
    for figure in ["frames", "miou", "pixel_accuracy", "per_class", "confusion", "pixels"] {
        assert_eq!(run[figure], folders[figure], "{figure}");
    }
    assert_eq!(folders["skipped"]["truth_without_prediction"], 1, "the label of the broken picture");
}

#[test]
fn a_mended_trip_still_has_the_names() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    pictures(folder.path());
    let at = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (images, trip, mended, frames) = (at("image"), at("seq.mcap"), at("mended.mcap"), at("frames"));
    segfuse_ok(&["trip", "import", "--images", &images, "--rate", "0.5", "--out", &trip]);
    let bytes = std::fs::read(&trip).expect("the trip");
    std::fs::write(&trip, &bytes[..bytes.len() - 40]).expect("room");
    segfuse_ok(&["trip", "recover", &trip, "--out", &mended]);
    segfuse_ok(&["trip", "export", &mended, "--frames", &frames]);
    assert!(names(frames.as_ref()).contains(&"0016E5_08001.jpg".to_owned()), "{:?}", names(frames.as_ref()));
}

#[test]
fn a_label_that_cannot_be_used_costs_its_picture_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    pictures(folder.path());
    std::fs::remove_file(folder.path().join("image/broken.jpg")).expect("it was there");
    std::fs::write(folder.path().join("label/0016E5_07961.png"), "no labels").expect("room");
    let small = image::GrayImage::new(32, 24);
    small.save(folder.path().join("label/tail.v2.png")).expect("room");
    let at = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (images, labels, trip) = (at("image"), at("label"), at("seq.mcap"));
    let output = import_camvid((&images, &labels), &trip, &["--json"]);
    assert!(output.status.success());
    let account: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(account["summary"]["messages"]["/camera/image"], 4);
    assert_eq!(account["summary"]["messages"]["/camera/truth"], 2);
    assert_eq!(
        (&account["skipped"], &account["summary"]["messages"]["/camera/lost"]),
        (&2.into(), &serde_json::Value::Null)
    );
    let problems = account["problems"].to_string();
    for word in ["0016E5_07961.png: label refused", "tail.v2.png: label refused", "32x24"] {
        assert!(problems.contains(word), "{word}: {problems}");
    }
}
