//! A run that was interrupted, or whose outputs could not be written, is never taken for a whole one.

mod support;

use segfuse::data::{Ending, Event, Stamp};
use segfuse::source::{Source, SourceError};
use segfuse::trip::{Config, TripMetadata, TripReader, TripWriter, import::write_trip, info};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;
use support::{json, names, segfuse, segfuse_ok};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_string_lossy().into_owned()
    }

    /// A rendered drive of so many seconds at 10 frames a second.
    fn drive(&self, seconds: &str) -> String {
        let trip = self.path("drive.mcap");
        let size = ["--size", "160x96", "--fps", "10", "--format", "rgb8"];
        segfuse_ok(&[&["render", "--seconds", seconds, "--out", &trip], &size[..]].concat());
        trip
    }
}

/// Starts the program and interrupts it half a second after `output` has appeared.
fn interrupted(arguments: &[&str], output: &str) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_segfuse"));
    program.args(arguments).arg("--quiet").stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = program.spawn().expect("it starts");
    wait_for(output);
    std::thread::sleep(Duration::from_millis(500));
    interrupt(&child);
    child.wait_with_output().expect("it ends")
}

fn wait_for(path: &str) {
    for _ in 0..200 {
        if Path::new(path).exists() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{path} has not appeared within 10 s");
}

fn interrupt(child: &Child) {
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()), "the signal was not sent");
}

fn lines_with(output: &Output, words: &str) -> usize {
    String::from_utf8_lossy(&output.stderr).lines().filter(|line| line.contains(words)).count()
}

#[test]
fn an_interrupted_replay_says_so_in_its_trip_its_summary_and_its_report() {
    let folder = Folder::new();
    let trip = folder.drive("20");
    let (run, summary, page) = (folder.path("run.mcap"), folder.path("run.json"), folder.path("report.html"));
    let arguments = ["replay", &trip, "--realtime", "--no-publish", "--out", &run, "--summary", &summary];
    let output = interrupted(&arguments, &run);
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    let told = segfuse_ok(&["trip", "info", &run]);
    assert!(told.contains("recording    interrupted (") && told.contains(" of 200 frames)"), "{told}");
    let told: serde_json::Value = serde_json::from_str(&segfuse_ok(&["trip", "info", &run, "--json"])).expect("JSON");
    assert_eq!((&told["ended"]["ending"], &told["ended"]["frames_expected"]), (&"interrupted".into(), &200.into()));
    assert!((1..200).contains(&told["ended"]["frames_recorded"].as_u64().expect("a count")), "{}", told["ended"]);
    let summary = json(summary.as_ref());
    assert_eq!((&summary["ended"], &summary["interrupted"]), (&"interrupted".into(), &true.into()));
    let output = segfuse(&["evaluate", &run, "--html", &page]);
    assert_eq!((output.status.code(), lines_with(&output, "not complete: interrupted")), (Some(0), 1));
    assert!(std::fs::read_to_string(page).expect("the report").contains("interrupted ("));
}

#[test]
fn an_interrupted_rendering_says_so() {
    let folder = Folder::new();
    let trip = folder.path("drive.mcap");
    let output = interrupted(&["render", "--seconds", "3000", "--size", "64x48", "--out", &trip], &trip);
    assert_eq!(output.status.code(), Some(130));
    let ended = info(trip.as_ref()).expect("a trip").ended.expect("the file says how it ended");
    assert_eq!((ended.ending, ended.frames_expected), (Ending::Interrupted, Some(90_000)));
}

#[test]
fn a_whole_run_says_that_it_is_complete() {
    let folder = Folder::new();
    let (trip, run) = (folder.drive("0.5"), folder.path("run.mcap"));
    segfuse_ok(&["replay", &trip, "--out", &run, "--without-frames"]);
    for path in [&trip, &run] {
        let ended = info(path.as_ref()).expect("a trip").ended.expect("the file says how it ended");
        assert!(ended.is_whole(), "{path}: {ended}");
        assert_eq!(ended.to_string(), "complete (5 of 5 frames)", "{path}");
    }
}

/// Two events; then it fails, or the user stops it, or there is nothing more.
struct Script(Vec<Event>, Option<&'static str>, bool);

impl Source for Script {
    fn next(&mut self) -> Result<Option<Event>, SourceError> {
        match (self.0.pop(), self.1) {
            (None, Some(reason)) => Err(SourceError::Stopped(reason.into())),
            (event, _) => Ok(event),
        }
    }

    fn was_interrupted(&self) -> bool {
        self.2
    }
}

#[test]
fn an_import_says_how_it_ended_and_a_file_that_says_nothing_is_not_claimed_to_be_anything() {
    let folder = Folder::new();
    let path = folder.path("trip.mcap");
    let create = || TripWriter::create(path.as_ref(), &TripMetadata::default(), &Config::default()).expect("room");
    let ended = || TripReader::open(path.as_ref(), segfuse::trip::Range::default()).expect("a trip").ending();
    let events = || [2, 1].map(|ns| Event::Tick(Stamp::from_ns(ns))).to_vec();
    for (failure, stopped, expected) in [
        (None, false, Ending::Complete),
        (None, true, Ending::Interrupted),
        (Some("unplugged"), false, Ending::Failed("unplugged".into())),
    ] {
        let mut source = Script(events(), failure, stopped);
        let written = write_trip(&mut source, create(), &mut |_| ());
        assert_eq!(written.is_err(), failure.is_some(), "{expected}");
        assert_eq!(ended().map(|ended| ended.ending), Some(expected));
    }
    create().finish().expect("room");
    assert_eq!(ended(), None);
}

/// Runs the program with room for files of so many blocks of 512 bytes, as on a disk that fills up.
fn cramped(blocks: u32, arguments: &[&str]) -> Output {
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\"");
    let mut shell = Command::new("sh");
    shell.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_segfuse")]).args(arguments).arg("--quiet");
    shell.output().expect("a shell")
}

#[test]
fn a_recording_that_finds_no_room_ends_the_run_with_the_systems_reason_told_once() {
    let folder = Folder::new();
    let (trip, run, summary) = (folder.drive("3"), folder.path("run.mcap"), folder.path("run.json"));
    let output = cramped(200, &["replay", &trip, "--engine", "rten", "--out", &run, "--summary", &summary]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert_eq!(lines_with(&output, "File too large"), 1, "{errors}");
    assert!(errors.lines().count() < 5 && errors.contains("run.mcap: cannot write"), "{errors}");
    let summary = json(summary.as_ref());
    assert_eq!(summary["ended"], "failed");
    assert!(summary["published"].as_u64() < Some(30), "it went on to the trip's end: {summary}");
    assert!(summary["incomplete"][0].as_str().is_some_and(|told| told.contains("File too large")), "{summary}");
    assert_ne!(info(run.as_ref()).expect("what was written is readable").ended.map(|ended| ended.ending), {
        Some(Ending::Complete)
    });
}

#[test]
fn a_recovery_that_finds_no_room_leaves_the_broken_trip_and_no_half_of_a_whole_one() {
    let folder = Folder::new();
    let (trip, whole) = (folder.drive("3"), folder.path("whole.mcap"));
    let bytes = std::fs::read(&trip).expect("rendered");
    let cut = &bytes[..bytes.len() * 9 / 10];
    std::fs::write(&trip, cut).expect("room");
    let output = cramped(100, &["trip", "recover", &trip, "--out", &whole]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("whole.mcap: cannot write") && errors.contains("File too large"), "{errors}");
    assert_eq!(names(folder.0.path()), ["drive.mcap"]);
    assert_eq!(std::fs::read(&trip).expect("still there"), cut);
}

#[test]
fn an_overlay_that_finds_no_room_fails_the_command_and_leaves_no_half_file() {
    let folder = Folder::new();
    let trip = folder.drive("3");
    let mut overlays = vec!["over.png"];
    overlays.extend(Command::new("ffmpeg").arg("-version").output().is_ok().then_some("over.mp4"));
    for name in overlays {
        let (overlay, run) = (folder.path(name), folder.path("run.mcap"));
        let arguments = ["replay", &trip, "--engine", "rten", "--overlay", &overlay, "--out", &run];
        // Each size of file is too small in another step: while frames are written, and when the index is.
        let whole = segfuse(&arguments);
        assert!(whole.status.success());
        let blocks = std::fs::metadata(&overlay).expect("the overlay").len() / 512;
        std::fs::remove_file(&overlay).expect("removed");
        for blocks in [8, blocks - 2] {
            let output = cramped(blocks as u32, &arguments[..6]);
            let errors = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{name} in {blocks} blocks: {errors}");
            let told = format!("--overlay {overlay}: not written");
            assert!(errors.contains(&told) && errors.contains("File too large"), "{name} in {blocks} blocks: {errors}");
            assert_eq!(names(folder.0.path()), ["drive.mcap", "run.mcap"], "{name} in {blocks} blocks");
        }
    }
}

#[test]
fn a_summary_that_cannot_be_written_is_still_printed() {
    let folder = Folder::new();
    let trip = folder.drive("0.5");
    let output = segfuse(&["replay", &trip, "--engine", "rten", "--summary", "/dev/full"]);
    assert_eq!((output.status.code(), lines_with(&output, "/dev/full: cannot be written: No space")), (Some(1), 1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("mask hash"));
}

#[test]
fn an_evaluation_that_is_interrupted_at_any_moment_is_no_failure_of_the_trip() {
    let folder = Folder::new();
    let (trip, run) = (folder.drive("20"), folder.path("run.mcap"));
    segfuse_ok(&["replay", &trip, "--out", &run]);
    for delay_ms in [4, 6, 8, 12, 16, 20, 30, 60, 120] {
        let mut program = Command::new(env!("CARGO_BIN_EXE_segfuse"));
        program.args(["evaluate", &run]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = program.spawn().expect("it starts");
        std::thread::sleep(Duration::from_millis(delay_ms));
        interrupt(&child);
        let output = child.wait_with_output().expect("it ends");
        // No status: the signal came before the program listened. 0: it had ended.
        assert!(matches!(output.status.code(), None | Some(0 | 130)), "{delay_ms} ms: {output:?}");
    }
}
