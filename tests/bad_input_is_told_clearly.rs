//! Whatever is wrong with a trip, picture, label or log, it is told which file, what in it, and what to do; status 1 or 2.

#[path = "support/cases.rs"]
mod cases;
mod support;

use cases::{Files, case, check};
use segfuse::data::{Event, Frame, FrameId, Image, Size, Stamp};
use segfuse::trip::{Config, TripMetadata, TripWriter};
use std::fs;
use support::{segfuse, segfuse_ok};

/// A small picture that does not compress to nothing.
fn picture(format: image::ImageFormat) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let picture =
        image::RgbImage::from_fn(32, 24, |x, y| image::Rgb([(x * 37 + y * 91) as u8, (x * y) as u8, (x ^ y) as u8]));
    picture.write_to(&mut bytes, format).expect("a small picture");
    bytes.into_inner()
}

#[test]
#[cfg(unix)]
fn what_is_no_trip_is_told_with_what_to_do_instead() {
    let files = Files::new();
    let video = files.write("video.mp4", b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2");
    let picture = files.write("picture.png", picture(image::ImageFormat::Png));
    let log = files.write("can.log", "(1436509052.249713) vcan0 044#2A366C2BBA\n");
    let (empty, folder, pipe) = (files.write("empty.mcap", ""), files.path("folder"), files.path("pipe"));
    fs::create_dir(&folder).expect("a folder");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    for (path, told) in [
        (&video, ["a video", "segfuse trip import --video"]),
        (&picture, ["a picture", "segfuse trip import --images"]),
        (&log, ["CAN frames", "segfuse trip import --candump"]),
        (&folder, ["a folder", "segfuse trip import --images"]),
        (&empty, ["empty.mcap", "it is empty"]),
        (&pipe, ["pipe", "copy it into"]),
    ] {
        check(&[case(path, ["replay", path], 1, &told)]);
    }
}

#[test]
fn trips_that_cannot_be_used() {
    let files = Files::new();
    let trip = files.trip();
    let text = files.write("text.mcap", "this is text, and long enough to hold a magic number");
    let empty = files.write("empty.mcap", "");
    let log = files.write("can.log", "(1436509052.249713) vcan0 044#2A366C2BBA\n");
    let (blind, nowhere) = (files.path("blind.mcap"), files.path("nosuch/x.mcap"));
    segfuse_ok(&["trip", "import", "--candump", &log, "--out", &blind]);
    check(&[
        case("missing", ["replay", "nowhere.mcap"], 1, &["nowhere.mcap", "look at the path"]),
        case(
            "no folder to write in",
            ["render", "--seconds", "0.1", "--out", &nowhere],
            1,
            &["x.mcap", "make its folder first"],
        ),
        case("text", ["trip", "info", &text], 1, &["text.mcap"]),
        case("empty", ["replay", &empty], 1, &["empty.mcap"]),
        case("no camera", ["replay", &blind], 1, &["blind.mcap", "no camera frames", "--states"]),
        case("no masks", ["evaluate", &trip], 1, &["drive.mcap", "no masks", "segfuse replay"]),
        case("over itself", ["replay", &trip, "--out", &trip], 2, &["drive.mcap", "overwritten"]),
        case("backwards", ["replay", &trip, "--from", "2", "--until", "1"], 2, &["--from 2", "--until 1"]),
    ]);
}

#[test]
fn pictures_labels_dbc_and_logs_that_cannot_be_imported() {
    let files = Files::new();
    let png = picture(image::ImageFormat::Png);
    files.write("cut/000.png", &png[..png.len() / 2]);
    files.write("nothing/readme.txt", "no picture");
    let log = files.write("can.log", "(1436509052.249713) vcan0 044#2A366C2BBA\n");
    let bad_log = files.write("bad.log", "this is not a log\n");
    let dbc = files.write("bad.dbc", "VERSION \"\"\nBO_ 5 THING: eight XXX\n");
    let out = files.path("out.mcap");
    let (cut, nothing) = (files.path("cut"), files.path("nothing"));
    check(&[
        case("cut PNG", ["trip", "import", "--images", &cut, "--rate", "10", "--out", &out], 1, &["000.png"]),
        case("no pictures", ["trip", "import", "--images", &nothing, "--rate", "10", "--out", &out], 1, &["nothing"]),
        case("no rate", ["trip", "import", "--images", &cut, "--out", &out], 2, &["--rate"]),
        case(
            "broken DBC",
            ["trip", "import", "--candump", &log, "--dbc", &dbc, "--signals", "toyota", "--out", &out],
            1,
            &["bad.dbc"],
        ),
        case(
            "DBC without signals",
            ["trip", "import", "--candump", &log, "--dbc", &dbc, "--out", &out],
            2,
            &["--signals"],
        ),
        case(
            "no such signals",
            ["trip", "import", "--candump", &log, "--dbc", &dbc, "--signals", "tesla", "--out", &out],
            2,
            &["--signals", "tesla"],
        ),
        case("not a log", ["trip", "import", "--candump", &bad_log, "--out", &out], 1, &["bad.log"]),
        case("missing video", ["trip", "import", "--video", "nowhere.mp4", "--out", &out], 1, &["nowhere.mp4"]),
        case("missing folder", ["trip", "import", "--comma2k19", "nowhere", "--out", &out], 1, &["nowhere"]),
    ]);
}

#[test]
fn a_broken_jpeg_in_a_trip_is_dropped_and_counted_and_the_next_frame_is_answered() {
    let files = Files::new();
    let whole = picture(image::ImageFormat::Jpeg);
    let cut = whole[..whole.len() - 200].to_vec();
    let trip = files.path("jpeg.mcap");
    let mut writer =
        TripWriter::create(trip.as_ref(), &TripMetadata::default(), &Config::default()).expect("a new trip");
    for (id, jpeg) in (0..).zip([&whole, &cut, &whole]) {
        let stamp = Stamp::from_ns((id + 1) * 100_000_000);
        let image = Image::jpeg(Size::new(32, 24), jpeg.clone().into()).expect("not empty");
        writer
            .write_event(&Event::Frame(Frame { id: FrameId(id), sequence: None, stamp, arrival: stamp, image }))
            .expect("room");
    }
    writer.finish().expect("room");
    let summary = files.path("run.json");
    segfuse_ok(&["replay", &trip, "--engine", "rten", "--schedule", "every:3", "--summary", &summary]);
    let run = support::json(summary.as_ref());
    let counts = ["frames", "published", "dropped", "unreadable", "keys"].map(|key| run[key].as_u64().expect(key));
    assert_eq!(counts, [3, 2, 1, 1, 1], "the third is carried across the gap");
}

#[test]
fn a_log_that_is_cut_at_its_start_is_imported_and_what_is_refused_is_told() {
    let files = Files::new();
    let log = files.write("cut.log", "09.2 vcan0 0\n(1436509052.249713) vcan0 025#0000000000000000\n");
    let dbc = files
        .write("car.dbc", "VERSION \"\"\n\nBO_ 37 STEERING: 8 XXX\n SG_ ANGLE : 7|16@0- (0.1,0) [0|0] \"deg\" XXX\n");
    let signals = files.write(
        "car.toml",
        "[[message]]\nname = \"STEERING\"\nchecksum = { rule = \"toyota\" }\n\n[[message.signal]]\n\
         quantity = \"steering_wheel_angle\"\nsum = [\"ANGLE\"]\nunit = \"deg\"\n",
    );
    let out = files.path("out.mcap");
    let output = segfuse(&["trip", "import", "--candump", &log, "--dbc", &dbc, "--signals", &signals, "--out", &out]);
    let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}");
    assert!(said.contains("/vehicle/can") && said.contains("1 items skipped"), "{said}");
    assert!(told.contains("bad_checksum=1"), "{told}");
}

#[test]
fn remote_frames_of_a_log_are_counted_as_error_frames_are() {
    let files = Files::new();
    let log =
        files.write("can.log", "(1.0) can0 123#11\n(1.1) can0 123#R\n(1.2) can0 20000004#00\n(1.3) can0 123#R8\n");
    let told = segfuse_ok(&["trip", "import", "--candump", &log, "--out", &files.path("out.mcap")]);
    assert!(told.contains("3 items skipped") && told.contains("can.log:2: a remote frame"), "{told}");
}

#[test]
fn labels_that_are_all_refused_are_a_failure_and_each_reason_is_told_once() {
    let files = Files::new();
    for name in ["000", "001"] {
        files.write(&format!("pictures/{name}.png"), picture(image::ImageFormat::Png));
        files.write(&format!("labels/{name}.png"), picture(image::ImageFormat::Png));
    }
    let (pictures, labels, out) = (files.path("pictures"), files.path("labels"), files.path("out.mcap"));
    let labelled = ["--labels", &labels, "--label-classes", "camvid"];
    let arguments = [&["trip", "import", "--images", &pictures, "--rate", "10", "--out", &out], &labelled[..]].concat();
    let output = segfuse(&arguments);
    let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{said}{told}");
    assert!(said.contains("2 items skipped") && told.contains("none of the labels"), "{said}{told}");
    assert_eq!((said.to_string() + &told).matches("labels/001.png").count(), 1, "{said}{told}");
}

#[test]
fn nothing_exported_and_nothing_evaluated_are_failures() {
    let files = Files::new();
    let trip = files.trip();
    let (frames, states) = (files.path("frames"), files.path("states.csv"));
    for name in ["masks", "labels"] {
        fs::create_dir(files.path(name)).expect("room");
        image::GrayImage::from_pixel(4, 4, image::Luma([255]))
            .save(files.path(&format!("{name}/a.png")))
            .expect("room");
    }
    let (masks, labels) = (files.path("masks"), files.path("labels"));
    check(&[
        case(
            "beyond the end",
            ["trip", "export", &trip, "--frames", &frames, "--states", &states, "--from", "50"],
            1,
            &["drive.mcap", "no frames, no states between --from and --until", "segfuse trip info"],
        ),
        case("no masks", ["trip", "export", &trip, "--masks", &frames], 1, &["drive.mcap", "no masks"]),
        case(
            "a part of what was asked",
            ["trip", "export", &trip, "--masks", &masks, "--states", &states],
            0,
            &["no masks"],
        ),
        case(
            "every label ignored",
            ["evaluate", "--predictions", &masks, "--truth", &labels, "--classes", "camvid"],
            1,
            &["nothing was evaluated", "'camvid'", "--classes"],
        ),
    ]);
}
