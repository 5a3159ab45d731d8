//! A run that was cut between the labels of a frame and the frame itself says nothing against its masks.

mod support;

#[path = "support/sample_trip.rs"]
mod sample_trip;

use sample_trip::{config, metadata, step};
use segfuse::data::{Ending, Event};
use segfuse::trip::{Config, TripWriter};
use std::path::Path;
use support::{json, segfuse, segfuse_ok};

/// Ten frames, all but number 4 answered; then the labels of an eleventh that never came.
fn write(path: &Path, config: &Config) {
    let mut writer = TripWriter::create(path, &metadata(), config).expect("writable");
    for (number, (events, frame, perception)) in (0..).zip((0..11).map(step)) {
        for event in events.iter().filter(|event| number < 10 || matches!(event, Event::Truth(_))) {
            writer.write_event(event).expect("small");
        }
        if number != 4 && number < 10 {
            writer.write_perception(frame.frame.arrival, &perception).expect("small");
        }
    }
    writer.finish().expect("room");
}

#[test]
fn labels_of_a_frame_that_never_came_are_not_counted_as_unanswered() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (run, figures) = (at("run.mcap"), at("eval.json"));
    for frames in [true, false] {
        write(run.as_ref(), &Config { frames, ..config() });
        let told = segfuse_ok(&["evaluate", &run, "--classes", "camvid", "--json", &figures]);
        let found = json(figures.as_ref());
        assert_eq!((&found["frames"], &found["frames_seen"]), (&9.into(), &9.into()), "{told}");
        assert_eq!(found["skipped"]["truth_without_prediction"], 1, "frame 4 alone, frames recorded: {frames}: {told}");
    }
}

#[test]
fn a_run_that_came_to_its_end_without_some_frames_is_not_called_complete() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let run = folder.path().join("run.mcap");
    let mut writer = TripWriter::create(&run, &metadata(), &config()).expect("writable");
    for (events, frame, perception) in (0..10).map(step) {
        for event in &events {
            writer.write_event(event).expect("small");
        }
        writer.write_perception(frame.frame.arrival, &perception).expect("small");
    }
    writer.note_ending(&Ending::Complete, Some(14));
    writer.finish().expect("room");
    let output = segfuse(&["evaluate", &run.to_string_lossy(), "--classes", "camvid"]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("ran to its end, but 4 of 14 frames are missing"), "{told}");
    assert!(!told.contains("complete: complete"), "{told}");
}
