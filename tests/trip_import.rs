//! Other recordings become trips: nothing is lost, nothing is made up, and what is broken is told.

mod support;

#[path = "support/sample_trip.rs"]
mod sample_trip;

use sample_trip::{jpeg, noise};
use segfuse::data::{CanFrame, CanId, ClassTable, Event, PixelFormat, Stamp};
use segfuse::source::{Source, SourceError};
use segfuse::trip::import::{
    CandumpConfig, CandumpLog, Comma2k19, ImageFolder, ImagesConfig, Merged, VideoFile, VideoTools, write_trip,
};
use segfuse::trip::{Config, Range, TripReader, TripWriter, info};
use std::path::Path;
use std::process::Command;

/// Imports `source` and reads the trip again: its events and the problems told.
fn import(source: &mut dyn Source, metadata: &segfuse::trip::TripMetadata) -> (Vec<Event>, Vec<String>) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("trip.mcap");
    let writer = TripWriter::create(&path, metadata, &Config::default()).expect("writable");
    let report = write_trip(source, writer, &mut |_| ()).expect("importable");
    assert!(info(&path).expect("readable").condition.complete);
    let mut reader = TripReader::open(&path, Range::default()).expect("readable");
    assert_eq!(reader.metadata(), metadata);
    (std::iter::from_fn(|| reader.next().expect("readable")).collect(), report.problems)
}

fn save_labels(path: &Path, value: u8) {
    let labels = image::GrayImage::from_pixel(64, 48, image::Luma([value]));
    labels.save(path).expect("room");
}

fn save_picture(path: &Path, seed: u64) -> image::RgbImage {
    let picture = image::RgbImage::from_raw(64, 48, noise(seed, 64 * 48 * 3)).expect("exact");
    picture.save(path).expect("room");
    picture
}

fn images_config(folder: &Path, labels: bool) -> ImagesConfig {
    ImagesConfig {
        images: folder.join("image"),
        labels: labels.then(|| (folder.join("label"), ClassTable::camvid())),
        rate_hz: 15.0,
        start: Stamp::from_ns(1_000),
    }
}

#[test]
fn pictures_become_frames_in_natural_order_with_their_labels() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for name in ["image", "label"] {
        std::fs::create_dir(folder.path().join(name)).expect("room");
    }
    let picture = save_picture(&folder.path().join("image/f9.png"), 3);
    let file = jpeg(4);
    std::fs::write(folder.path().join("image/f10.jpg"), &file).expect("room");
    save_labels(&folder.path().join("image/f11.png"), 77);
    save_labels(&folder.path().join("label/f9.png"), 9);
    save_labels(&folder.path().join("label/f11.png"), 11);
    std::fs::write(folder.path().join("image/notes.txt"), "no picture").expect("room");

    let mut source = ImageFolder::open(images_config(folder.path(), true)).expect("a folder of pictures");
    assert_eq!(source.frames(), Some(3));
    let metadata = source.metadata();
    let (events, problems) = import(&mut source, &metadata);
    assert!(problems.is_empty(), "{problems:?}");
    let [Event::Truth(first), Event::Frame(a), Event::Frame(b), Event::Truth(last), Event::Frame(c)] = &events[..]
    else {
        panic!("{events:?}");
    };
    assert_eq!((a.image.format(), &**a.image.bytes()), (PixelFormat::Rgb8, &picture.as_raw()[..]));
    assert_eq!((b.image.format(), &**b.image.bytes()), (PixelFormat::Jpeg, &file[..]), "as it came");
    assert_eq!((c.image.format(), c.image.bytes()[0]), (PixelFormat::Grey, 77));
    assert_eq!((first.labels.bytes()[0], last.labels.bytes()[0], &*first.classes), (9, 11, "camvid"));
    assert_eq!((first.stamp, last.stamp), (a.stamp, c.stamp));
    let stamps = [a, b, c].map(|frame| frame.stamp.ns());
    assert_eq!(stamps, [1_000, 66_667_667, 133_334_333]);
}

#[test]
fn broken_pictures_are_told_by_name_and_leave_a_gap() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let images = folder.path().join("image");
    std::fs::create_dir(&images).expect("room");
    save_picture(&images.join("1.png"), 1);
    save_picture(&images.join("2.png"), 2);
    std::fs::write(images.join("3.jpg"), jpeg(3)).expect("room");
    std::fs::write(images.join("4.jpg"), jpeg(4)).expect("room");
    for name in ["2.png", "3.jpg"] {
        let bytes = std::fs::read(images.join(name)).expect("just written");
        std::fs::write(images.join(name), &bytes[..bytes.len() * 2 / 3]).expect("room");
    }
    let mut source = ImageFolder::open(images_config(folder.path(), false)).expect("a folder of pictures");
    let metadata = source.metadata();
    let (events, problems) = import(&mut source, &metadata);
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].contains("2.png") && problems[1].contains("3.jpg"), "{problems:?}");
    let kinds: Vec<_> = events.iter().map(|event| matches!(event, Event::Lost { frames: 1, .. })).collect();
    assert_eq!(kinds, [false, true, true, false]);
    let Event::Frame(last) = &events[3] else { panic!("{events:?}") };
    assert_eq!((last.id.0, last.stamp.ns()), (1, 200_001_000), "numbers have no gap, time has");
}

#[test]
fn folders_that_cannot_be_meant_are_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let open = |labels, rate_hz| {
        let error = ImageFolder::open(ImagesConfig { rate_hz, ..images_config(folder.path(), labels) });
        error.expect_err("refused").to_string()
    };
    assert!(open(false, 15.0).contains("cannot list"));
    for name in ["image", "label"] {
        std::fs::create_dir(folder.path().join(name)).expect("room");
    }
    assert!(open(false, 15.0).contains("no .png"));
    save_picture(&folder.path().join("image/a.png"), 1);
    save_labels(&folder.path().join("label/b.png"), 1);
    assert!(open(true, 15.0).contains("a.png"));
    assert!(open(false, 0.0).contains("rate") && open(false, f64::NAN).contains("rate"));
}

#[test]
fn a_candump_log_keeps_its_unix_time_and_is_put_in_order() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("drive.log");
    let log = "(1436509052.249713) can1 044#2A366C2BBA\n(1436509052.249000) can0 12345678##0112233\nnonsense\n(1436509053.5) can1 045#R\n(1436509053.249713) can1 046#\n";
    std::fs::write(&path, log).expect("room");
    let config = CandumpConfig { interfaces: vec!["can0".into()], start: Stamp::from_ns(500) };
    let mut source = CandumpLog::open(&path, &config).expect("a log");
    let mapping = source.metadata().wall.expect("Unix time is known");
    assert_eq!((mapping.at.ns(), mapping.unix_ns), (500, 1_436_509_052_249_000_000));
    let metadata = source.metadata();
    let (events, problems) = import(&mut source, &metadata);
    assert!(problems.len() == 2 && problems[0].contains("drive.log:3"), "{problems:?}");
    assert!(problems[1].contains("drive.log:4: a remote frame"), "{problems:?}");
    let frames: Vec<_> = events
        .iter()
        .map(|event| match event {
            Event::Can(frame) => (frame.bus, frame.id, frame.taken.ns, frame.arrival.ns(), frame.payload().len()),
            other => panic!("{other:?}"),
        })
        .collect();
    let expected = [
        (0, CanId::Extended(0x1234_5678), 1_436_509_052_249_000_000, 500, 3),
        (1, CanId::Standard(0x44), 1_436_509_052_249_713_000, 713_500, 5),
        (1, CanId::Standard(0x46), 1_436_509_053_249_713_000, 1_000_713_500, 0),
    ];
    assert_eq!(frames, expected);
    std::fs::write(&path, "\n").expect("room");
    assert!(CandumpLog::open(&path, &config).expect_err("empty").to_string().contains("candump -L"));
}

#[test]
fn a_log_whose_clock_was_set_runs_on_and_a_pause_stays_a_pause() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("drive.log");
    let arrivals_ms = |log: &str| {
        std::fs::write(&path, log).expect("room");
        let mut source = CandumpLog::open(&path, &CandumpConfig::default()).expect("a log");
        let mut arrivals = Vec::new();
        while let Some(event) = source.next().expect("every line is good") {
            arrivals.push(event.arrival().ns() / 1_000_000);
        }
        let jumps = source.jumps();
        (arrivals, (jumps.steps, jumps.pauses, jumps.first))
    };
    let s = 1_000_000_000;
    for (what, log, expected, jumps) in [
        (
            "nothing odd",
            "(10.0) c 1F0#\n(10.9) c 1F0#\n(10.2) c 1F0#\n(20.0) c 1F0#\n",
            vec![0, 200, 900, 10_000],
            (0, 0, None),
        ),
        (
            "set back",
            "(10.0) c 1F0#\n(10.5) c 1F0#\n(7.0) c 1F0#\n(7.25) c 1F0#\n",
            vec![0, 500, 500, 750],
            (1, 0, Some((3, -3_500 * s / 1000))),
        ),
        (
            "set from 1970",
            "(3.0) c 1F0#\n(1700000000.0) c 1F0#\n(1700000001.0) c 1F0#\n",
            vec![0, 0, 1000],
            (1, 0, Some((2, 1_699_999_997 * s))),
        ),
        (
            "a pause",
            "(3.0) c 1F0#\nx\n(103.0) c 1F0#\n(203.0) c 1F0#\n",
            vec![0, 100_000, 200_000],
            (0, 2, Some((3, 100 * s))),
        ),
    ] {
        let log = log.replace("x\n", "\n");
        assert_eq!(arrivals_ms(&log), (expected, jumps), "{what}");
    }
}

#[test]
fn pictures_and_a_log_become_one_trip() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::create_dir(folder.path().join("image")).expect("room");
    (0..3).for_each(|n| drop(save_picture(&folder.path().join(format!("image/{n}.png")), n)));
    let path = folder.path().join("drive.log");
    std::fs::write(&path, "(10.0) can0 001#01\n(10.05) can0 001#02\n(10.1) can0 001#03\n").expect("room");
    let images = ImageFolder::open(images_config(folder.path(), false)).expect("pictures");
    let log = CandumpLog::open(&path, &CandumpConfig::default()).expect("a log");
    let metadata = log.metadata();
    let (events, _) = import(&mut Merged::new(vec![Box::new(images), Box::new(log)]), &metadata);
    assert!(events.is_sorted_by_key(Event::arrival));
    let frames = events.iter().map(|event| u8::from(matches!(event, Event::Frame(_)))).collect::<Vec<_>>();
    assert_eq!(frames, [0, 1, 0, 1, 0, 1]);
}

#[test]
fn a_video_becomes_frames_at_its_own_times() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("clip: 1.mkv");
    let source = "testsrc=size=64x48:rate=25:duration=2,select='not(eq(n\\,10))'";
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-nostdin", "-v", "error", "-f", "lavfi", "-i", source, "-fps_mode", "passthrough", "-c:v", "ffv1"]);
    let mut target = std::ffi::OsString::from("file:");
    target.push(&path);
    if !ffmpeg.arg(target).status().is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: a_video_becomes_frames_at_its_own_times: no ffmpeg");
        return;
    }
    let mut video = VideoFile::open(&path, Stamp::from_ns(1_000_000), &VideoTools::default()).expect("a video");
    assert_eq!(video.frames(), Some(49));
    let metadata = video.metadata();
    let (events, problems) = import(&mut video, &metadata);
    assert!(problems.is_empty(), "{problems:?}");
    let frames: Vec<_> = events
        .iter()
        .map(|event| match event {
            Event::Frame(frame) => frame,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!((frames.len(), frames[0].image.format(), frames[0].stamp.ns()), (49, PixelFormat::Nv12, 1_000_000));
    let gap = |index: usize| frames[index].stamp.signed_ns_since(frames[index - 1].stamp);
    assert_eq!((gap(9), gap(10), gap(11)), (40_000_000, 80_000_000, 40_000_000), "the missing frame is a gap");
    // The bars of the test picture begin at the left in black, red, green.
    let rgb = segfuse::data::to_rgb8(&frames[0].image).expect("a picture");
    assert!(rgb.chunks(3).any(|p| p[0] > 200 && p[1] < 60 && p[2] < 60), "no red in it");
}

/// A file of 100 pictures in 4 seconds; `None`, said loudly, without ffmpeg.
fn clip(test: &str, path: &Path, codec: &[&str]) -> Option<Vec<u8>> {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", "testsrc=size=64x48:rate=25:duration=4"]);
    if !ffmpeg.args(codec).arg(path).status().is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: {test}: no ffmpeg");
        return None;
    }
    Some(std::fs::read(path).expect("just written"))
}

#[test]
fn a_cut_video_gives_what_it_has_and_tells_how_many_frames_are_missing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let codec: &[&str] = &["-c:v", "mpeg4", "-movflags", "+faststart"];
    for (name, codec, counted) in [("clip.mp4", codec, true), ("clip.mkv", &["-c:v", "mpeg4"], false)] {
        let path = folder.path().join(name);
        let Some(whole) = clip("a_cut_video", &path, codec) else { return };
        let out = folder.path().join("trip.mcap");
        let import = || {
            let mut video = VideoFile::open(&path, Stamp::ZERO, &VideoTools::default()).expect("its head is there");
            let writer = TripWriter::create(&out, &video.metadata(), &Config::default()).expect("room");
            write_trip(&mut video, writer, &mut |_| ())
        };
        assert_eq!(import().expect("a whole video").summary.messages["/camera/image"], 100, "{name}");
        for per_cent in [40, 55, 70] {
            std::fs::write(&path, &whole[..whole.len() * per_cent / 100]).expect("room");
            let error = import().expect_err("it is cut");
            let info = info(&out).expect("what came is a whole trip");
            assert!(info.condition.complete && info.frames > 10 && info.frames < 100, "{name}: {info}");
            let missing = 100 - info.frames;
            let expected = info.ended.as_ref().and_then(|ended| ended.frames_expected);
            assert_eq!(expected, Some(info.lost_frames + info.frames), "{name}: what the container promised");
            assert!(
                info.lost_frames.abs_diff(missing) <= u64::from(!counted),
                "{name}: {} of {missing}",
                info.lost_frames
            );
            let told = format!("{} of {} frames are missing", info.lost_frames, info.lost_frames + info.frames);
            assert!(error.to_string().contains(&told) && error.to_string().contains("whole copy"), "{name}: {error}");
        }
    }
}

#[test]
fn a_video_whose_edit_list_leaves_frames_out_is_whole() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (whole, part) = (folder.path().join("clip.mp4"), folder.path().join("part.mp4"));
    if clip("a_video_whose_edit_list", &whole, &["-c:v", "mpeg4", "-g", "25"]).is_none() {
        return;
    }
    let mut cut = Command::new("ffmpeg");
    cut.args(["-nostdin", "-v", "error", "-ss", "0.52", "-i"]).arg(&whole).args(["-c", "copy"]).arg(&part);
    assert!(cut.status().is_ok_and(|status| status.success()));
    let mut video = VideoFile::open(&part, Stamp::ZERO, &VideoTools::default()).expect("a video");
    let metadata = video.metadata();
    let (events, problems) = import(&mut video, &metadata);
    assert!(problems.is_empty() && events.iter().all(|event| matches!(event, Event::Frame(_))), "{problems:?}");
}

#[test]
fn a_video_without_ffmpeg_or_without_pictures_is_told_with_the_remedy() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("clip.mp4");
    let tools = VideoTools { ffmpeg: "no-such-ffmpeg".into(), ffprobe: "no-such-ffprobe".into() };
    let open = |tools: &VideoTools| VideoFile::open(&path, Stamp::ZERO, tools).expect_err("refused").to_string();
    assert!(open(&tools).contains("cannot open"), "{}", open(&tools));
    std::fs::write(&path, "not a video").expect("room");
    let told = open(&tools);
    assert!(told.contains("apt install ffmpeg") && told.contains("clip.mp4"), "{told}");
    assert!(!told.contains("name the program"), "no option does: {told}");
    if Command::new("ffprobe").arg("-version").output().is_ok() {
        assert!(open(&VideoTools::default()).contains("ffprobe"), "{}", open(&VideoTools::default()));
    }
}

/// STEER_ANGLE of message 37, a signed 12-bit number of 1.5 degrees: enough to see that bytes came through.
fn steering(frame: &CanFrame) -> Option<f64> {
    if (frame.bus, frame.id) != (0, CanId::Standard(37)) {
        return None;
    }
    let raw = i16::from_be_bytes([frame.payload()[0], frame.payload()[1]]) << 4 >> 4;
    let fraction = f64::from((frame.payload()[4] as i8) >> 4) * 0.1;
    Some(f64::from(raw) * 1.5 + fraction)
}

fn column(path: &Path) -> Vec<f64> {
    let file = std::fs::File::open(path).expect("the recording is complete");
    npyz::NpyFile::new(file).expect("NumPy").into_vec().expect("numbers")
}

#[test]
fn forty_seconds_of_comma2k19_give_the_steering_angles_that_come_with_them() {
    let Some(data) = support::shared_data("forty_seconds_of_comma2k19") else { return };
    let segment = data.join("comma2k19");
    let mut source = Comma2k19::open(&segment).expect("a segment");
    let metadata = source.metadata();
    let (events, problems) = import(&mut source, &metadata);
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!(events.len(), 90_261);
    let frames = events.iter().filter_map(|event| if let Event::Can(frame) = event { Some(frame) } else { None });
    let angles: Vec<_> = frames.filter_map(|frame| Some((frame.arrival.secs_f64(), steering(frame)?))).collect();
    let steering = segment.join("processed_log/CAN/steering_angle");
    let (times, values) = (column(&steering.join("t")), column(&steering.join("value")));
    assert_eq!(angles.len(), times.len());
    for (((at, angle), time), value) in angles.iter().zip(&times).zip(&values) {
        assert!((at - time).abs() < 1e-8 && (angle - value).abs() < 1e-9, "{at}: {angle} for {value}");
    }
}

#[test]
fn sixty_one_labelled_frames_of_camvid_are_imported_pixel_for_pixel() {
    let Some(data) = support::shared_data("sixty_one_labelled_frames_of_camvid") else { return };
    let sequence = data.join("camvid/sequence_15hz");
    let config = ImagesConfig {
        images: sequence.join("image"),
        labels: Some((sequence.join("label"), ClassTable::camvid())),
        rate_hz: 15.0,
        start: Stamp::ZERO,
    };
    let mut source = ImageFolder::open(config).expect("a sequence");
    let metadata = source.metadata();
    let (events, problems) = import(&mut source, &metadata);
    assert!(problems.is_empty() && events.len() == 122, "{} events, {problems:?}", events.len());
    let Event::Frame(last) = &events[121] else { panic!("{:?}", events[121]) };
    let picture = image::open(sequence.join("image/0016E5_08079.png")).expect("a picture").into_rgb8();
    assert_eq!(&**last.image.bytes(), &picture.into_raw()[..]);
    let Event::Truth(truth) = &events[120] else { panic!("{:?}", events[120]) };
    let label = image::open(sequence.join("label/0016E5_08079.png")).expect("a picture").into_luma8();
    assert_eq!(&**truth.labels.bytes(), &label.into_raw()[..]);
}

#[test]
fn a_source_that_stops_ends_the_import_with_its_reason() {
    struct Stops;
    impl Source for Stops {
        fn next(&mut self) -> Result<Option<Event>, SourceError> {
            Err(SourceError::Stopped("the cable is cut".into()))
        }
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("trip.mcap");
    let writer = TripWriter::create(&path, &segfuse::trip::TripMetadata::default(), &Config::default()).expect("room");
    let error = write_trip(&mut Stops, writer, &mut |_| ()).expect_err("it stopped");
    assert!(error.to_string().contains("the cable is cut"), "{error}");
    assert!(info(&path).expect("readable").condition.complete, "what came before is a whole trip");
}
