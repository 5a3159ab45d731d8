//! An overlay is a file that players and browsers open, with every frame, or a clear error.

use segfuse::data::{
    AlignedFrame, ClassTable, Frame, FrameId, Image, LabelMask, Origin, Perception, PixelFormat, Size, Stamp,
    VehicleState,
};
use segfuse::sink::overlay::{Config, OverlayFormat, OverlaySink};
use segfuse::sink::{Sink, SinkError};
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::process::Command;

/// A picture with a slope of grey and a mask with three stripes that move.
fn frame(id: u64, size: Size) -> (AlignedFrame, Perception) {
    let pixels = || (0..size.height).flat_map(|y| (0..size.width).map(move |x| (x, y)));
    let grey: Vec<u8> = pixels().map(|(x, y)| (x / 2 + y) as u8).collect();
    let labels: Vec<u8> = pixels().map(|(x, _)| [3, 8, 255][((x / 16 + id as u32) % 3) as usize]).collect();
    let image = Image::packed(PixelFormat::Grey, size, grey.into()).expect("one byte a pixel");
    let mask = LabelMask::new(size, labels.into()).expect("one label a pixel");
    let (frame, stamp) = (FrameId(id), Stamp::from_ns(id * 33_333_333));
    let origin = if id.is_multiple_of(5) {
        Origin::Key
    } else {
        Origin::Propagated { from: FrameId(id - id % 5), distance: (id % 5) as u32 }
    };
    let aligned = AlignedFrame {
        frame: Frame { id: frame, sequence: None, stamp, arrival: stamp, image },
        state: VehicleState::default(),
    };
    (aligned, Perception { frame, stamp, origin, mask, age: None, confidence: None, disagreement: None, late: None })
}

fn sink(path: &Path, format: OverlayFormat, config: Config) -> OverlaySink {
    OverlaySink::new(path.to_owned(), format, ClassTable::camvid(), 30.0, config).expect("a sound configuration")
}

fn draw(sink: &mut OverlaySink, frames: u64, size: Size) {
    for id in 0..frames {
        let (aligned, perception) = frame(id, size);
        sink.on_perception(&aligned, &perception).expect("drawn");
    }
}

fn probe(path: &Path) -> String {
    let what = "stream=codec_name,width,height,pix_fmt,nb_read_frames,r_frame_rate,color_space";
    let mut ffprobe = Command::new("ffprobe");
    ffprobe.args(["-v", "error", "-count_frames", "-show_entries", what, "-of", "default=nk=0:nw=1"]).arg(path);
    String::from_utf8(ffprobe.output().expect("ffprobe comes with ffmpeg").stdout).expect("text")
}

#[test]
fn a_video_has_every_frame_in_even_sides_and_begins_with_its_index() {
    let format = OverlayFormat::detect(Path::new("ffmpeg"));
    if format == OverlayFormat::Animation {
        println!("SKIPPED: a_video_has_every_frame: no ffmpeg");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("over lay:1.mp4");
    let mut sink = sink(&path, format, Config::default());
    draw(&mut sink, 20, Size::new(333, 201));
    assert!(!path.exists(), "the name appears with the whole file only");
    sink.finish().expect("ffmpeg ends well");
    let outcome = sink.outcome().expect("finished");
    assert_eq!((outcome.frames, outcome.path.as_path()), (20, path.as_path()));
    let found = probe(&path);
    for expected in ["width=334", "pix_fmt=yuv420p", "nb_read_frames=20", "r_frame_rate=30/1", "color_space=bt709"] {
        assert!(found.contains(expected), "{expected} in {found}");
    }
    let bytes = std::fs::read(&path).expect("the file");
    let place = |tag: &[u8]| bytes.windows(4).position(|window| window == tag).expect("an MP4 has it");
    assert!(place(b"moov") < place(b"mdat"));
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1, "nothing left beside it");
}

#[test]
fn without_ffmpeg_an_animated_png_is_written_bounded_and_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("overlay.png");
    let mut sink = sink(&path, OverlayFormat::Animation, Config { animation_width: 96, ..Config::default() });
    draw(&mut sink, 1000, Size::new(200, 120));
    sink.finish().expect("written");
    let outcome = sink.outcome().expect("finished");
    assert_eq!(outcome.frames, 84, "every third, then every second of these twice");
    let note = outcome.note.as_deref().expect("frames left out are told");
    assert!(note.contains("one in 12 of 1000") && note.contains("2.0 times as fast"), "{note}");
    let mut reader =
        png::Decoder::new(BufReader::new(File::open(&path).expect("the file"))).read_info().expect("a PNG");
    let control = *reader.info().animation_control().expect("animated");
    assert_eq!((control.num_frames, control.num_plays), (84, 0));
    let mut buffer = vec![0; reader.output_buffer_size().expect("small")];
    for _ in 0..84 {
        reader.next_frame(&mut buffer).expect("every frame decodes");
    }
}

#[test]
fn a_few_frames_at_a_low_rate_are_all_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("overlay.png");
    let (format, config) = (OverlayFormat::Animation, Config::default());
    let mut sink = OverlaySink::new(path, format, ClassTable::camvid(), 10.0, config).expect("a sound configuration");
    draw(&mut sink, 7, Size::new(64, 48));
    sink.finish().expect("written");
    assert_eq!(sink.outcome().map(|outcome| (outcome.frames, outcome.note.clone())), Some((7, None)));
}

#[test]
fn a_missing_program_is_told_once_and_later_frames_are_dropped() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = Config { ffmpeg: folder.path().join("no-ffmpeg"), ..Config::default() };
    let format = OverlayFormat::Video(segfuse::sink::overlay::Encoder::X264);
    let mut sink = sink(&folder.path().join("overlay.mp4"), format, config);
    let (aligned, perception) = frame(0, Size::new(64, 48));
    let error = sink.on_perception(&aligned, &perception).expect_err("it cannot start");
    assert!(matches!(error, SinkError::Failed { .. }) && error.to_string().contains("install ffmpeg"), "{error}");
    let error = sink.on_perception(&aligned, &perception).expect_err("it has ended");
    assert!(matches!(error, SinkError::Dropped { .. }), "{error}");
    sink.finish().expect("nothing is pending");
    assert_eq!((sink.outcome(), sink.left_out()), (None, 1));
    assert!(sink.failure().is_some_and(|reason| reason.contains("install ffmpeg")), "{:?}", sink.failure());
}

#[test]
fn a_frame_of_another_size_is_scaled_and_a_broken_one_is_left_out_and_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("overlay.png");
    let (format, config) = (OverlayFormat::Animation, Config::default());
    let sink = OverlaySink::new(path.clone(), format, ClassTable::camvid(), 10.0, config);
    let mut sink = sink.expect("a sound configuration");
    draw(&mut sink, 1, Size::new(64, 48));
    let (other, perception) = frame(1, Size::new(32, 48));
    sink.on_perception(&other, &perception).expect("scaled into the first one's size");
    let (mut broken, perception) = frame(3, Size::new(64, 48));
    broken.frame.image = Image::jpeg(Size::new(64, 48), vec![0xff, 0xd8, 0xff].into()).expect("three bytes");
    let error = sink.on_perception(&broken, &perception).expect_err("a broken JPEG");
    assert!(matches!(error, SinkError::Dropped { .. }), "{error}");
    draw(&mut sink, 1, Size::new(64, 48));
    sink.finish().expect("written");
    assert!(path.is_file());
    let frames = sink.outcome().map(|outcome| outcome.frames);
    assert_eq!((frames, sink.left_out(), sink.failure()), (Some(3), 1, None));
}

#[test]
fn a_run_without_frames_writes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("overlay.png");
    let mut sink = sink(&path, OverlayFormat::Animation, Config::default());
    sink.finish().expect("nothing is pending");
    assert!(!path.exists() && sink.outcome().is_none());
}

#[test]
fn settings_outside_their_range_are_refused() {
    let make = |rate_hz, config| {
        OverlaySink::new("x.png".into(), OverlayFormat::Animation, ClassTable::camvid(), rate_hz, config).err()
    };
    assert!(make(30.0, Config::default()).is_none());
    for (rate_hz, config) in [
        (0.0, Config::default()),
        (f64::NAN, Config::default()),
        (30.0, Config { alpha: 1.5, ..Config::default() }),
        (30.0, Config { alpha: f32::NAN, ..Config::default() }),
        (30.0, Config { animation_width: 0, ..Config::default() }),
    ] {
        let error = make(rate_hz, config.clone());
        assert!(error.is_some_and(|error| error.to_string().contains("must be")), "{rate_hz} {config:?}");
    }
}
