//! A run of a cut or damaged trip says so for good: in its summary, in its file, in `trip info` and in `evaluate`. A
//! replay that could answer no frame is refused before it writes anything.

mod support;

use segfuse::trip::info;
use std::path::Path;
use support::{json, segfuse, segfuse_ok};

struct Trips {
    folder: tempfile::TempDir,
}

impl Trips {
    fn new() -> Self {
        let trips = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        let drive = trips.path("drive.mcap");
        segfuse_ok(&["render", "--size", "64x48", "--fps", "10", "--seconds", "4", "--out", &drive]);
        trips
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }

    /// The drive, changed by `change`, which is given where its second chunk lies.
    fn changed(&self, name: &str, change: impl Fn(&mut Vec<u8>, usize, usize)) -> String {
        let mut bytes = std::fs::read(self.path("drive.mcap")).expect("rendered");
        let summary = mcap::Summary::read(&bytes).expect("a whole file").expect("it has a summary");
        let mut places: Vec<_> =
            summary.chunk_indexes.iter().map(|at| (at.chunk_start_offset, at.chunk_length)).collect();
        places.sort_unstable();
        let (start, length) = places[1];
        change(&mut bytes, start as usize, (start + length) as usize);
        let path = self.path(name);
        std::fs::write(&path, bytes).expect("room");
        path
    }

    /// Runs `trip`; its recording, its summary and what was printed.
    fn run(&self, trip: &str, name: &str) -> (String, serde_json::Value, String) {
        let (run, summary) = (self.path(name), self.path("run.json"));
        let told = segfuse_ok(&["replay", trip, "--engine", "rten", "--out", &run, "--summary", &summary]);
        (run, json(summary.as_ref()), told)
    }
}

#[test]
fn a_run_of_a_cut_trip_says_so_everywhere_and_so_does_a_run_of_that_run() {
    let trips = Trips::new();
    let cut = trips.changed("cut.mcap", |bytes, _, end| bytes.truncate(end + 10));
    let (run, summary, told) = trips.run(&cut, "run.mcap");
    assert_eq!(summary["source"]["finished"], false, "{summary}");
    assert!(told.lines().last().is_some_and(|line| line.contains("not whole: cut before its end")), "{told}");
    let again = trips.run(&run, "again.mcap").0;
    for run in [run, again] {
        let source = info(run.as_ref()).expect("a trip").ended.expect("it ended").source.expect("it had a source");
        assert!(!source.finished && !source.is_whole(), "{run}: {source:?}");
        assert!(segfuse_ok(&["trip", "info", &run]).contains("not whole: cut before its end"), "{run}");
        let output = segfuse(&["evaluate", &run]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && errors.contains("not whole: cut before its end"), "{run}: {errors}");
    }
}

#[test]
fn a_run_of_a_damaged_trip_counts_what_it_lost_and_one_of_a_whole_trip_claims_no_loss() {
    let trips = Trips::new();
    let damaged = trips.changed("damaged.mcap", |bytes, start, end| bytes[usize::midpoint(start, end)] ^= 0x10);
    let (run, summary, told) = trips.run(&damaged, "run.mcap");
    let lost = summary["lost"].as_u64().expect("a count");
    assert!(lost > 0 && summary["source"]["lost_frames"] == lost && summary["source"]["finished"] == true, "{summary}");
    assert_eq!((&summary["frames"], &summary["dropped"]), (&40.into(), &lost.into()), "lost frames are captured ones");
    let line = format!("damaged: {lost} frames");
    assert!(told.contains(&line) && segfuse_ok(&["trip", "info", &run]).contains(&line), "{told}");
    let (run, summary, told) = trips.run(&trips.path("drive.mcap"), "whole.mcap");
    let source = info(run.as_ref()).expect("a trip").ended.expect("it ended").source.expect("it had a source");
    assert!(source.is_whole() && summary["source"]["finished"] == true && !told.contains("not whole"), "{told}");
}

#[test]
fn what_holds_no_frame_is_refused_before_anything_is_written() {
    let trips = Trips::new();
    let drive = trips.path("drive.mcap");
    let first = mcap::Summary::read(&std::fs::read(&drive).expect("rendered")).expect("whole").expect("a summary");
    let first = first.chunk_indexes.iter().map(|at| at.chunk_start_offset).min().expect("chunks") as usize;
    let bare = trips.changed("bare.mcap", |bytes, _, _| bytes.truncate(first + 20));
    let (run, summary) = (trips.path("run.mcap"), trips.path("run.json"));
    for (trip, from, words) in [(&drive, "100", "between --from and --until"), (&bare, "0", "cut or damaged")] {
        let output = segfuse(&["replay", trip, "--from", from, "--out", &run, "--summary", &summary]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && errors.contains(words), "{trip}: {errors}");
        assert!(output.stdout.is_empty() && !Path::new(&run).exists() && !Path::new(&summary).exists(), "{trip}");
    }
}
