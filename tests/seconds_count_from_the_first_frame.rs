//! Captions, reports, `--from` and `--until` count the same seconds: from the first frame of the trip.

mod support;

use segfuse::data::{Event, Frame, FrameId, Image, PixelFormat, Size, SourceStamp, Stamp, StateSample, VehicleState};
use segfuse::trip::{Config, Lookup, Perceptions, Range, TripMetadata, TripReader, TripWriter};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use support::{json, segfuse, segfuse_ok};

const FIRST_MS: u64 = 7_000;

fn at(ms: u64) -> Stamp {
    Stamp::from_ns(ms * 1_000_000)
}

/// The vehicle speaks for two seconds before the first frame and one after the last; pictures arrive 40 ms late, at
/// `stamps_ms` after the first, in sizes that `size` says.
fn write(path: &Path, stamps_ms: &[u64], size: impl Fn(usize) -> Size) {
    let mut writer = TripWriter::create(path, &TripMetadata::default(), &Config::default()).expect("a new trip");
    let last = stamps_ms.last().expect("a frame") + FIRST_MS;
    let state =
        |ms| StateSample { taken: SourceStamp::monotonic(at(ms)), arrival: at(ms), state: VehicleState::default() };
    let mut events: Vec<Event> =
        (FIRST_MS - 2_000..last + 1_000).step_by(10).map(|ms| Event::State(state(ms))).collect();
    for (id, stamp_ms) in stamps_ms.iter().enumerate() {
        let pixels: Vec<u8> = (0..size(id).pixels()).map(|pixel| (pixel * 7 + id) as u8).collect();
        let image = Image::packed(PixelFormat::Grey, size(id), pixels.into()).expect("one byte a pixel");
        let (stamp, arrival) = (at(FIRST_MS + stamp_ms), at(FIRST_MS + stamp_ms + 40));
        events.push(Event::Frame(Frame { id: FrameId(id as u64), sequence: None, stamp, arrival, image }));
    }
    events.sort_by_key(Event::arrival);
    for event in &events {
        writer.write_event(event).expect("room");
    }
    writer.finish().expect("room");
}

fn regular(frames: u64) -> Vec<u64> {
    (0..frames).map(|frame| frame * 100 / 3).collect()
}

fn one_size(_frame: usize) -> Size {
    Size::new(64, 48)
}

#[test]
fn a_part_has_the_frames_whose_captions_say_so_and_keeps_its_seconds() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (trip, run, again, page) = (path("trip.mcap"), path("run.mcap"), path("again.mcap"), path("report.html"));
    write(trip.as_ref(), &regular(90), one_size);
    segfuse_ok(&["replay", &trip, "--engine", "rten", "--from", "1", "--until", "2", "--out", &run]);
    let stamps = |path: &str| -> Vec<Stamp> {
        let all = Perceptions::open(path.as_ref(), Range::default()).expect("a run");
        all.map(|perception| perception.expect("a mask").stamp).collect()
    };
    let found = stamps(&run);
    assert_eq!((found.len(), found[0], found[30]), (31, at(FIRST_MS + 1_000), at(FIRST_MS + 2_000)));
    // The run's trip counts as the one that it was made from.
    segfuse_ok(&["replay", &run, "--engine", "rten", "--from", "1.5", "--out", &again]);
    assert_eq!(stamps(&again).first(), Some(&at(FIRST_MS + 1_500)));
    segfuse_ok(&["evaluate", &run, "--html", &page]);
    let page = std::fs::read_to_string(page).expect("the report");
    let shown: Vec<f64> = page.split("at ").filter_map(|text| text.split_once(" s ·")?.0.parse().ok()).collect();
    assert!(!shown.is_empty() && shown.iter().all(|seconds| (1.0..=2.0).contains(seconds)), "{shown:?}");
    let told: serde_json::Value = serde_json::from_str(&segfuse_ok(&["trip", "info", &run, "--json"])).expect("JSON");
    assert_eq!(told["zero_s"], FIRST_MS as f64 / 1000.0);
}

#[test]
fn what_the_vehicle_said_before_the_first_frame_belongs_to_a_part_that_begins_with_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let trip = folder.path().join("trip.mcap");
    write(&trip, &regular(10), one_size);
    let first = |from: Option<u64>| {
        let range = Range { from: from.map(Duration::from_millis), until: None };
        let mut reader = TripReader::open(&trip, range).expect("a trip");
        reader.next_event().expect("readable").expect("an event").arrival()
    };
    assert_eq!((first(None), first(Some(0))), (at(FIRST_MS - 2_000), at(FIRST_MS - 2_000)));
    assert_eq!(first(Some(100)), at(FIRST_MS + 100));
}

#[test]
fn the_rate_is_that_of_the_frames_whatever_surrounds_them_and_gaps_do_not_slow_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let trip = folder.path().join("trip.mcap");
    let rate = |stamps: &[u64]| {
        write(&trip, stamps, one_size);
        TripReader::open(&trip, Range::default()).expect("a trip").frame_rate_hz()
    };
    let near = |found: Option<f64>, expected: f64| found.is_some_and(|found| (found / expected - 1.0).abs() < 0.02);
    assert!(near(rate(&regular(90)), 30.0));
    let gap: Vec<u64> = regular(90).into_iter().map(|ms| if ms > 1_000 { ms + 20_000 } else { ms }).collect();
    assert!(near(rate(&gap), 30.0));
    assert_eq!(rate(&[0]), None);
}

#[test]
fn a_drive_of_30_frames_a_second_becomes_a_video_of_30_frames_a_second() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (trip, overlay) = (path("drive.mcap"), path("over.mp4"));
    segfuse_ok(&["render", "--size", "64x48", "--fps", "30", "--seconds", "2", "--out", &trip]);
    if Command::new("ffprobe").arg("-version").output().is_err() {
        eprintln!("SKIPPED: a_drive_of_30_frames_a_second: no ffprobe");
        return;
    }
    segfuse_ok(&["replay", &trip, "--engine", "rten", "--overlay", &overlay]);
    let what = ["-v", "error", "-show_entries", "stream=r_frame_rate", "-of", "default=nk=1:nw=1", &overlay];
    let found = Command::new("ffprobe").args(what).output().expect("ffprobe").stdout;
    assert_eq!(String::from_utf8_lossy(&found).trim(), "30/1");
}

#[test]
fn pictures_of_several_sizes_make_one_overlay_with_every_frame_and_one_warning() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (trip, overlay, summary) = (path("trip.mcap"), path("over.png"), path("run.json"));
    let sizes = [Size::new(64, 48), Size::new(32, 48), Size::new(96, 48)];
    write(trip.as_ref(), &[0, 200, 400, 600, 800, 1000], |frame| sizes[frame / 2]);
    let output = segfuse(&["replay", &trip, "--engine", "rten", "--overlay", &overlay, "--summary", &summary]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{errors}");
    assert_eq!(errors.lines().filter(|line| line.contains("another size")).count(), 1, "{errors}");
    let summary = json(summary.as_ref());
    assert_eq!((&summary["published"], &summary["refused"]), (&6.into(), &0.into()));
    let file = std::io::BufReader::new(std::fs::File::open(&overlay).expect("the overlay"));
    let reader = png::Decoder::new(file).read_info().expect("a PNG");
    assert_eq!(reader.info().animation_control().map(|control| control.num_frames), Some(6));
    assert_eq!(Lookup::open(trip.as_ref()).expect("a trip").frame_count(), 6);
}
