//! A drive is recorded into a folder of whole trips; a full disk, a failing one and a kill cost what they must, no more.

#[path = "support/sample_trip.rs"]
mod sample_trip;

use sample_trip::{metadata, noise, step};
use segfuse::data::{Ending, Event, HealthBoard, HealthState, Stamp, WallMapping};
use segfuse::sink::{Sink, SinkError};
use segfuse::trip::rotation::{self, Machine, RotatingRecorder, RotationHandle, RotationReport, free_bytes};
use segfuse::trip::{Config, Range, TripReader, WhenFull};
use std::ops::Range as Span;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const MIB: u64 = 1 << 20;

/// Small chunks, and a queue that takes a whole test.
fn trip_config() -> Config {
    Config { queue_items: 1 << 20, queue_bytes: 1 << 30, when_full: WhenFull::Wait, ..sample_trip::config() }
}

fn rotation_config() -> rotation::Config {
    rotation::Config { rotate_bytes: MIB, quota_bytes: 100 * MIB, keep_free_bytes: MIB, ..rotation::Config::default() }
}

/// A machine whose clock shows 2026-11-27 23:10:05 and whose disk has as much free as the test says.
fn machine(free: &Arc<AtomicU64>, board: &HealthBoard) -> Machine {
    let free = Arc::clone(free);
    Machine {
        wall: Box::new(|| WallMapping { at: Stamp::ZERO, unix_ns: 1_795_821_005_000_000_000 }),
        free_bytes: Box::new(move |_| Ok(free.load(Ordering::Relaxed))),
        reporter: Some(board.enter("recorder", false, Stamp::ZERO)),
    }
}

/// A recording in progress.
struct Drive {
    recorder: RotatingRecorder,
    handle: RotationHandle,
    free: Arc<AtomicU64>,
    board: HealthBoard,
    now: Stamp,
}

impl Drive {
    fn start(folder: &Path, config: &rotation::Config) -> Self {
        let (free, board) = (Arc::new(AtomicU64::new(1 << 40)), HealthBoard::new());
        let machine = machine(&free, &board);
        let recorder = RotatingRecorder::start(folder, config, &trip_config(), &metadata(), machine).expect("a folder");
        Self { handle: recorder.handle(), recorder, free, board, now: Stamp::ZERO }
    }

    /// Records the steps of `numbers`; the events.
    fn record(&mut self, numbers: impl Iterator<Item = u64>) -> Vec<Event> {
        let mut all = Vec::new();
        for (events, frame, perception) in numbers.map(step) {
            for event in &events {
                self.recorder.on_event(event).expect("the queue takes it");
            }
            self.recorder.on_perception(&frame, &perception).expect("the queue takes it");
            self.now = events.last().expect("a step has events").arrival();
            all.extend(events);
        }
        all
    }

    /// Records three steps; the second one's mask comes after the third one's frame.
    fn record_overlapped(&mut self, numbers: [u64; 3]) -> Vec<Event> {
        let [first, second, third] = numbers.map(step);
        for (events, answered) in [(&first.0, vec![&first]), (&second.0, vec![]), (&third.0, vec![&second, &third])] {
            for event in events {
                self.recorder.on_event(event).expect("the queue takes it");
            }
            for (_, frame, perception) in answered {
                self.recorder.on_perception(frame, perception).expect("the queue takes it");
            }
        }
        [first.0, second.0, third.0].concat()
    }

    /// Waits until the recorder's thread is where `there` says.
    fn until(&self, there: impl Fn(&RotationReport) -> bool) -> RotationReport {
        for _ in 0..2000 {
            let report = self.handle.report();
            if there(&report) {
                return report;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("it never came to that: {:?}", self.handle.report());
    }

    fn health(&self) -> HealthState {
        self.board.sources(self.now)[0].state
    }

    fn end(mut self) -> RotationReport {
        self.recorder.on_ending(&Ending::Interrupted);
        self.recorder.finish().expect("a recording never fails a drive");
        self.handle.report()
    }
}

fn trips(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("readable").path());
    let mut trips: Vec<_> = entries.filter(|path| path.extension().is_some_and(|ending| ending == "mcap")).collect();
    trips.sort();
    trips
}

fn events(path: &Path) -> Vec<Event> {
    let mut reader = TripReader::open(path, Range::default()).unwrap_or_else(|error| panic!("{error}"));
    std::iter::from_fn(|| reader.next_event().unwrap_or_else(|error| panic!("{}: {error}", path.display()))).collect()
}

fn frames(events: &[Event]) -> Vec<u64> {
    let id = |event: &Event| if let Event::Frame(frame) = event { Some(frame.id.0) } else { None };
    events.iter().filter_map(id).collect()
}

#[test]
fn every_minute_begins_a_file_that_is_a_whole_trip_by_itself_and_nothing_is_lost_between() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = rotation::Config { rotate_minutes: 1, rotate_bytes: 50 * MIB, ..rotation_config() };
    let mut drive = Drive::start(folder.path(), &config);
    // A frame every third of a second, over 133 seconds.
    // One in three masks is late, those due where a minute ends too: both belong into the file of their frame.
    let mut given = drive.record([0, 10].into_iter());
    given.extend((2..401).step_by(3).flat_map(|at| drive.record_overlapped([at, at + 1, at + 2].map(|at| at * 10))));
    let report = drive.end();
    assert_eq!((report.finished, report.removed, report.pauses, report.dropped.len()), (3, 0, 0, 0), "{report:?}");
    let trips = trips(folder.path());
    let names: Vec<_> = trips.iter().map(|path| path.file_name().expect("a name").to_string_lossy()).collect();
    let name = |number| format!("2026-11-27T23-10-05Z_000{number}.mcap");
    assert_eq!(names, [name(1), name(2), name(3)]);
    let found: Vec<Event> = trips.iter().flat_map(|path| events(path)).collect();
    assert!(found == given, "{} of {} events", found.len(), given.len());
    for (path, ending) in trips.iter().zip([Ending::Complete, Ending::Complete, Ending::Interrupted]) {
        let reader = TripReader::open(path, Range::default()).expect("whole");
        assert!(reader.is_complete(), "{}", path.display());
        assert_eq!(reader.ending().expect("it tells").ending, ending, "{}", path.display());
        assert_eq!(reader.metadata().class_tables.len(), 2);
        assert_eq!(reader.metadata().wall.map(|wall| wall.unix_ns), Some(1_795_821_005_000_000_000));
        assert_eq!(reader.frame_count(), reader.masks(), "a frame and its mask are in one file");
    }
}

#[test]
fn a_later_file_of_a_drive_replays_by_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut drive = Drive::start(folder.path(), &rotation_config());
    drive.record(0..90);
    assert_eq!(drive.end().finished, 2);
    let later = &trips(folder.path())[1];
    let given = frames(&events(later));
    assert!(given[0] > 0, "it goes on counting: {given:?}");
    let summary = folder.path().join("summary.json");
    let mut replay = Command::new(env!("CARGO_BIN_EXE_segfuse"));
    replay.arg("replay").arg(later).args(["--network", "tiny", "--quiet", "--summary"]).arg(&summary);
    assert!(replay.status().expect("the program starts").success());
    let text = std::fs::read_to_string(summary).expect("written");
    let summary: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let lost =
        events(later).iter().map(|event| if let Event::Lost { frames, .. } = event { *frames } else { 0 }).sum::<u32>();
    let expected = [given.len() as u64 + u64::from(lost), given.len() as u64, u64::from(lost)];
    assert_eq!(["frames", "published", "dropped"].map(|key| summary[key].as_u64()), expected.map(Some), "{text}");
}

#[test]
fn the_oldest_recordings_make_room_within_the_quota_and_other_files_stay() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["keep.mcap", "1999-01-01T00-00-00Z_1.mcap"] {
        std::fs::write(folder.path().join(name), vec![0; 2 * MIB as usize]).expect("room");
    }
    let config = rotation::Config { quota_bytes: 3 * MIB, ..rotation_config() };
    let mut drive = Drive::start(folder.path(), &config);
    drive.record(0..800);
    let report = drive.end();
    let ours: Vec<_> =
        trips(folder.path()).into_iter().filter(|path| path.to_string_lossy().contains("2026-")).collect();
    let bytes: u64 = ours.iter().map(|path| path.metadata().expect("there").len()).sum();
    assert!(report.removed > 0 && report.finished == report.removed + ours.len() as u64, "{report:?}, {ours:?}");
    assert!((MIB..=3 * MIB + MIB / 2).contains(&bytes), "{bytes} bytes");
    assert_eq!(trips(folder.path()).len(), ours.len() + 2, "what is not ours stays");
    assert_eq!(frames(&events(ours.last().expect("one"))).last(), Some(&799), "the newest stay");
}

#[test]
fn without_room_recording_pauses_and_goes_on_by_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = rotation::Config { rotate_bytes: 50 * MIB, ..rotation_config() };
    let mut drive = Drive::start(folder.path(), &config);
    drive.record(0..30);
    // Health is told a moment after the report.
    drive.until(|report| report.file.is_some() && drive.health() == HealthState::Ok);
    drive.free.store(5, Ordering::Relaxed);
    drive.record(30..60);
    let is_told = |report: &RotationReport| report.paused.is_some() && !report.dropped.is_empty();
    let paused = drive.until(|report| is_told(report) && drive.health() == HealthState::Lost);
    let reason = paused.paused.expect("paused");
    assert!(reason.contains("5 bytes are free"), "{reason}");
    assert_eq!(drive.board.state(drive.now), HealthState::Degraded);
    drive.free.store(1 << 40, Ordering::Relaxed);
    drive.record(60..240);
    drive.until(|report| report.paused.is_none() && report.file.is_some());
    let report = drive.end();
    assert_eq!((report.pauses, report.finished), (1, 2), "{report:?}");
    let trips = trips(folder.path());
    let ending = TripReader::open(&trips[0], Range::default()).expect("whole").ending().expect("it tells").ending;
    assert!(matches!(&ending, Ending::Failed(why) if why.contains("5 bytes are free")), "{ending}");
    let found: usize = trips.iter().map(|path| frames(&events(path)).len()).sum();
    assert_eq!(found as u64 + report.dropped["/camera/image"], 240, "every frame is recorded or counted");
}

/// A disk of its own of 4 MiB, where this may make one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(test: &str) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(folder.path()).output();
        if mount.is_ok_and(|output| output.status.success()) {
            return Some(Self(folder));
        }
        eprintln!("SKIPPED: {test}: only root may mount a small disk");
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(self.0.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking(), "it stays mounted");
    }
}

#[test]
fn a_file_that_is_removed_while_it_is_written_is_told_and_another_is_begun() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut drive = Drive::start(folder.path(), &rotation_config());
    drive.record(0..5);
    let first = drive.until(|report| report.file.is_some()).file.expect("there is one");
    std::fs::remove_file(&first).expect("it is there");
    drive.record(5..40);
    // For a moment nothing is recorded; health says so until the next file is there.
    let is_told = |report: &RotationReport| report.removed_while_written == 1 && report.file.is_some();
    let report = drive.until(|report| is_told(report) && drive.health() == HealthState::Degraded);
    assert_ne!(report.file, Some(first));
    let report = drive.end();
    assert_eq!((report.finished, report.removed_while_written, report.pauses), (1, 1, 0));
    assert_eq!(trips(folder.path()).len(), 1);
}

#[test]
fn a_file_that_is_cut_while_it_is_written_is_told_and_another_is_begun() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut drive = Drive::start(folder.path(), &rotation_config());
    drive.record(0..15);
    let written = |path: &PathBuf| path.metadata().is_ok_and(|found| found.len() > 1000);
    let first = drive.until(|report| report.file.as_ref().is_some_and(written)).file.expect("there is one");
    std::fs::File::options().write(true).open(&first).and_then(|file| file.set_len(0)).expect("it is there");
    drive.record(15..60);
    let is_told = |report: &RotationReport| report.removed_while_written == 1 && report.file.is_some();
    let report = drive.until(|report| is_told(report) && drive.health() == HealthState::Degraded);
    assert_ne!(report.file, Some(first));
    let report = drive.end();
    assert_eq!((report.finished, report.removed_while_written, report.pauses), (1, 1, 0));
}

#[test]
fn a_place_that_is_no_folder_is_refused_with_the_remedy() {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let machine = machine(&Arc::default(), &HealthBoard::new());
    let started = RotatingRecorder::start(file.path(), &rotation_config(), &trip_config(), &metadata(), machine);
    let error = started.err().expect("it is a file").to_string();
    assert!(error.contains("ot a directory") && error.contains("name a folder"), "{error}");
}

#[test]
fn a_disk_that_is_really_full_costs_what_comes_meanwhile_and_every_chunk_before_stays() {
    let Some(disk) = SmallDisk::mount("a disk that is really full") else { return };
    let folder = disk.0.path();
    assert!((3 * MIB..=4 * MIB).contains(&free_bytes(folder).expect("it tells")));
    // The test's machine says that there is room: the disk itself refuses.
    let mut drive = Drive::start(folder, &rotation_config());
    drive.record(0..900);
    let report = drive.until(|report| report.pauses > 0);
    assert!(report.paused.is_some_and(|reason| reason.contains("No space left")));
    for path in trips(folder) {
        let found = frames(&events(&path));
        assert!(found.windows(2).all(|pair| pair[1] == pair[0] + 1), "{}: {found:?}", path.display());
    }
    std::fs::remove_file(&trips(folder)[0]).expect("there");
    // In small pieces: there is room for two seconds or so.
    let resumed = (90..300).any(|ten| {
        drive.record(10 * ten..10 * ten + 10);
        std::thread::sleep(Duration::from_millis(20));
        drive.handle.report().paused.is_none()
    });
    let report = drive.end();
    assert!(resumed, "{report:?}");
    let newest = trips(folder).pop().expect("one at least");
    assert!(frames(&events(&newest))[0] >= 900, "{}", newest.display());
}

#[test]
fn a_slow_disk_drops_and_never_holds_up_the_pipeline() {
    let folder = tempfile::tempdir().expect("a folder");
    let (free, board) = (Arc::new(AtomicU64::new(1 << 40)), HealthBoard::new());
    let slow = Machine {
        wall: Box::new(|| {
            std::thread::sleep(Duration::from_millis(300));
            WallMapping { at: Stamp::ZERO, unix_ns: 0 }
        }),
        ..machine(&free, &board)
    };
    let config = Config { queue_items: 8, ..trip_config() };
    let mut recorder =
        RotatingRecorder::start(folder.path(), &rotation_config(), &config, &metadata(), slow).expect("ok");
    let outcomes: Vec<_> = (0..20).flat_map(|number| step(number).0).map(|event| recorder.on_event(&event)).collect();
    let dropped = outcomes.iter().filter(|outcome| matches!(outcome, Err(SinkError::Dropped { .. }))).count();
    assert!((outcomes.len() - 12..outcomes.len()).contains(&dropped), "{dropped} of {}", outcomes.len());
    recorder.finish().expect("a recording never fails a drive");
    assert_eq!(recorder.handle().report().dropped.values().sum::<u64>(), dropped as u64);
}

/// Run by the next test in a process of its own, which is killed.
#[test]
#[ignore = "the other half of a_recording_that_is_killed_at_any_of_50_moments"]
fn child_that_records_until_it_is_killed() {
    let Some(folder) = std::env::var_os("SEGFUSE_TEST_FOLDER") else { return };
    let mut drive = Drive::start(folder.as_ref(), &rotation_config());
    for number in 0..1_000_000 {
        drive.record(number..=number);
        std::thread::sleep(Duration::from_micros(500));
    }
}

/// The latest `log_time` of the whole chunks of a file, found without any reader of ours.
fn last_whole_chunk(bytes: &[u8]) -> Option<u64> {
    let number = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().expect("eight bytes")));
    let (mut at, mut last) = (8, None);
    while let Some(len) = number(at + 1).filter(|&len| at + 9 + len as usize <= bytes.len()) {
        if bytes[at] == mcap::records::op::CHUNK {
            last = last.max(number(at + 17));
        }
        at += 9 + len as usize;
    }
    last
}

fn arrivals(span: Span<u64>) -> impl Iterator<Item = Event> {
    span.flat_map(|number| step(number).0)
}

#[test]
fn a_recording_that_is_killed_at_any_of_50_moments_keeps_every_whole_chunk_and_the_next_starts_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut with_chunks = 0;
    for (kill, delay) in noise(7, 50).into_iter().enumerate() {
        let before = trips(folder.path()).pop();
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--ignored", "--exact", "child_that_records_until_it_is_killed"])
            .env("SEGFUSE_TEST_FOLDER", folder.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("this test runs");
        let started = (0..2000).any(|_| {
            std::thread::sleep(Duration::from_millis(2));
            trips(folder.path()).pop() > before
        });
        std::thread::sleep(Duration::from_millis(u64::from(delay)));
        child.kill().expect("it runs until it is killed");
        child.wait().expect("it was killed");
        assert!(started, "kill {kill}: the next recording did not start");
        let newest = trips(folder.path()).pop().expect("one at least");
        let Some(last) = last_whole_chunk(&std::fs::read(&newest).expect("readable")) else { continue };
        with_chunks += 1;
        let found = events(&newest);
        assert_eq!(found.iter().map(|event| event.arrival().ns()).max(), Some(last), "kill {kill} after {delay} ms");
        let first = frames(&found)[0];
        let expected = arrivals(first..first + 10_000).skip_while(|event| event != &found[0]);
        assert!(expected.zip(&found).all(|(expected, found)| expected == *found), "kill {kill} after {delay} ms");
    }
    assert!(with_chunks > 10, "only {with_chunks} files had a whole chunk");
    let drive = Drive::start(folder.path(), &rotation_config());
    assert!(drive.end().found_cut.is_some(), "the last one was cut");
}
