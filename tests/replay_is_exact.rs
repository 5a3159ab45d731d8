//! The same trip and network give the same masks: at any speed, any thread count, and twice in a row.

mod support;

use support::{json, segfuse, segfuse_ok};

struct Rendered {
    folder: tempfile::TempDir,
}

impl Rendered {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let trip = folder.path().join("drive.mcap");
        segfuse_ok(&[
            "render",
            "--size",
            "160x96",
            "--fps",
            "15",
            "--seconds",
            "2",
            "--seed",
            "5",
            "--out",
            &trip.to_string_lossy(),
        ]);
        Self { folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }

    fn replay(&self, options: &[&str]) -> serde_json::Value {
        let (trip, summary) = (self.path("drive.mcap"), self.path("run.json"));
        let fixed = ["replay", &trip, "--engine", "rten", "--no-publish", "--summary", &summary];
        segfuse_ok(&[&fixed, options].concat());
        json(summary.as_ref())
    }
}

#[test]
fn the_masks_do_not_depend_on_speed_threads_or_repetition() {
    let trip = Rendered::new();
    let first = trip.replay(&["--schedule", "every:4", "--threads", "1"]);
    assert_eq!((&first["frames"], &first["published"], &first["dropped"]), (&30.into(), &30.into(), &0.into()));
    assert_eq!((&first["keys"], &first["propagated"]), (&8.into(), &22.into()));
    for options in [
        &["--threads", "1"][..],
        &["--threads", "2"],
        &["--threads", "5"],
        &["--realtime"],
        &["--out", &trip.path("run.mcap")],
    ] {
        let again = trip.replay(&[&["--schedule", "every:4"], options].concat());
        assert_eq!(again["mask_hash"], first["mask_hash"], "{options:?}");
    }
}

#[test]
fn a_recorded_run_replays_to_the_same_masks_as_the_trip_that_it_came_from() {
    let trip = Rendered::new();
    let run = trip.path("run.mcap");
    let first = trip.replay(&["--schedule", "every:3", "--out", &run]);
    let summary = trip.path("again.json");
    segfuse_ok(&["replay", &run, "--schedule", "every:3", "--engine", "rten", "--summary", &summary]);
    assert_eq!(json(summary.as_ref())["mask_hash"], first["mask_hash"]);
}

#[test]
fn key_frames_that_the_picture_asks_for_are_the_same_in_every_run() {
    let trip = Rendered::new();
    let first = trip.replay(&["--schedule", "adaptive:6%", "--threads", "1"]);
    let keys = first["keys"].as_u64().expect("a count");
    assert!((2..=15).contains(&keys), "{keys} of 30 frames: this test would show nothing");
    for options in [&["--threads", "2"][..], &["--realtime"], &["--out", &trip.path("run.mcap")]] {
        let again = trip.replay(&[&["--schedule", "adaptive:6%"], options].concat());
        assert_eq!((&again["mask_hash"], &again["keys"]), (&first["mask_hash"], &first["keys"]), "{options:?}");
        assert_eq!(again["differing_percent"], first["differing_percent"], "{options:?}");
    }
}

#[test]
fn a_network_that_runs_beside_other_work_serves_the_same_frames_in_every_run() {
    let trip = Rendered::new();
    let first = trip.replay(&["--schedule", "overlapped:4:2", "--threads", "1"]);
    assert_eq!((&first["keys"], &first["propagated"], &first["key_frames"]), (&1.into(), &29.into(), &7.into()));
    let stages = first["stages_ms"].as_object().expect("stages");
    assert!(stages.contains_key("backbone") && stages.contains_key("wait"), "{stages:?}");
    for options in [&["--threads", "2"][..], &["--threads", "5"], &["--realtime"]] {
        let again = trip.replay(&[&["--schedule", "overlapped:4:2"], options].concat());
        assert_eq!(again["mask_hash"], first["mask_hash"], "{options:?}");
    }
}

#[test]
fn a_run_that_did_not_wait_for_its_network_is_repeated_from_its_recording() {
    let trip = Rendered::new();
    let (run, again) = (trip.path("run.mcap"), trip.path("again.json"));
    let schedule = ["--schedule", "overlapped:4:1"];
    let first = trip.replay(&[&schedule[..], &["--no-wait", "--out", &run]].concat());
    let late = first["late"].as_u64().expect("a count");
    assert!(late > 0, "the network is slower than a frame: {first}");
    assert_eq!(trip.replay(&schedule)["late"], 0, "other replays wait");
    let replay = ["replay", &run, "--engine", "rten", "--summary", &again, "--schedule"];
    for threads in ["1", "4"] {
        segfuse_ok(&[&replay[..], &["overlapped:4:1", "--threads", threads]].concat());
        let repeated = json(again.as_ref());
        assert_eq!((&repeated["late"], &repeated["mask_hash"]), (&late.into(), &first["mask_hash"]));
    }
    let told = segfuse(&[&replay[..], &["overlapped:4:2"]].concat());
    assert_eq!(json(again.as_ref())["late"], 0, "what was late with one schedule says nothing of another");
    let told = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(told.contains("overlapped:4: not repeated with overlapped:4:2"), "{told}");
    let hurried = "--no-wait without --realtime: frames come faster than a camera's";
    for (pace, is_told) in [(&[][..], true), (&["--realtime", "--no-publish"], false)] {
        let told = segfuse(&[&replay[..], &["overlapped:4:1", "--no-wait"], pace].concat());
        assert_eq!(String::from_utf8_lossy(&told.stderr).contains(hurried), is_told, "{pace:?}");
    }
}

#[test]
fn the_vehicles_motion_leads_the_flow_unless_the_configuration_says_no() {
    let trip = Rendered::new();
    let config = trip.path("no_ego_motion.toml");
    std::fs::write(&config, "[perceive]\nego_motion = false\n").expect("written");
    let led = trip.replay(&["--schedule", "every:5"]);
    let alone = trip.replay(&["--schedule", "every:5", "--config", &config]);
    assert_ne!(led["mask_hash"], alone["mask_hash"]);
}

#[test]
fn another_schedule_or_another_drive_gives_other_masks() {
    let trip = Rendered::new();
    let every_3 = trip.replay(&["--schedule", "every:3"]);
    let every_5 = trip.replay(&["--schedule", "every:5"]);
    assert_ne!(every_3["mask_hash"], every_5["mask_hash"]);
}

#[test]
fn a_part_of_a_trip_has_the_frames_of_that_part() {
    let trip = Rendered::new();
    let part = trip.replay(&["--from", "0.5", "--until", "1.5"]);
    assert_eq!(part["frames"], part["published"]);
    // Frames 8 to 22 of 15 a second: both ends belong to it.
    assert_eq!(part["frames"], 15);
}
