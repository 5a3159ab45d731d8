//! Whatever is wrong with what the program is given, it says which file, what in it, and what to do; and ends with 1 or 2.

mod support;

use segfuse::data::{Event, Frame, FrameId, Image, Size, Stamp};
use segfuse::trip::{Config, TripMetadata, TripWriter};
use std::fs;
use std::path::Path;
use support::{names, segfuse, segfuse_ok};

struct Case<'a> {
    what: &'a str,
    arguments: Vec<&'a str>,
    status: i32,
    told: &'a [&'a str],
}

/// A small picture that does not compress to nothing.
fn picture(format: image::ImageFormat) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let picture =
        image::RgbImage::from_fn(32, 24, |x, y| image::Rgb([(x * 37 + y * 91) as u8, (x * y) as u8, (x ^ y) as u8]));
    picture.write_to(&mut bytes, format).expect("a small picture");
    bytes.into_inner()
}

struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().expect("below the folder")).expect("a folder");
        fs::write(&path, bytes).expect("a small file");
        self.path(name)
    }

    fn trip(&self) -> String {
        let trip = self.path("drive.mcap");
        if !Path::new(&trip).exists() {
            segfuse_ok(&["render", "--size", "64x48", "--fps", "10", "--seconds", "0.5", "--out", &trip]);
        }
        trip
    }
}

fn check(cases: &[Case]) {
    let mut faults = Vec::new();
    for Case { what, arguments, status, told } in cases {
        let output = segfuse(arguments);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.code() != Some(*status) {
            faults.push(format!("{what}: status {:?}, expected {status}\n{errors}", output.status.code()));
        }
        for word in told.iter().filter(|word| !errors.contains(**word)) {
            faults.push(format!("{what}: does not say '{word}':\n{errors}"));
        }
        if errors.contains("panicked") {
            faults.push(format!("{what}: panicked\n{errors}"));
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn networks_that_cannot_be_used() {
    let files = Files::new();
    let trip = files.trip();
    let not_onnx = files.write("not.onnx", "this is text");
    let manifest = include_str!("../models/tiny/model.toml");
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/tiny");
    for name in ["half", "changed", "camvid", "extra"] {
        for file in names(&shipped) {
            files.write(&format!("{name}/{file}"), fs::read(shipped.join(&file)).expect("a shipped file"));
        }
    }
    fs::remove_file(files.path("half/head.onnx")).expect("it was written");
    files.write("changed/head.onnx", include_bytes!("../models/tiny/backbone.onnx"));
    files.write("camvid/model.toml", manifest.replace("\"cityscapes\"", "\"camvid\""));
    files.write("extra/model.toml", format!("colour = 1\n{manifest}"));
    let folder = |name: &str| files.path(name);
    let replay = |network: &str| vec!["replay".to_owned(), trip.clone(), "--network".into(), network.into()];
    for (what, network, status, told) in [
        ("no such file", "nowhere.onnx".to_owned(), 2, &["nowhere.onnx", "small", "tiny"][..]),
        ("not an ONNX file", not_onnx, 1, &["not.onnx"]),
        ("a missing file", folder("half"), 1, &["half", "head.onnx"]),
        ("a changed file", folder("changed"), 1, &["changed", "head.onnx", "SHA-256"]),
        ("a wrong class count", folder("camvid"), 1, &["camvid", "11", "19"]),
        ("an unknown key", folder("extra"), 1, &["extra", "colour"]),
        ("a folder of something else", folder("."), 1, &["model.toml", "segfuse network import"]),
    ] {
        let arguments = replay(&network);
        check(&[Case { what, arguments: arguments.iter().map(String::as_str).collect(), status, told }]);
    }
}

#[test]
fn options_for_plain_networks_are_refused_where_they_would_be_ignored_and_where_they_make_no_sense() {
    let files = Files::new();
    let trip = files.trip();
    let plain = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/networks/plain.onnx");
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/models/tiny");
    let table = files.write("table.toml", "name = \"x\"\n");
    let given = [
        ("--channels", "bgr"),
        ("--scale", "1"),
        ("--mean", "0,0,0"),
        ("--std", "1,1,1"),
        ("--chain", "fine"),
        ("--network-classes", "camvid"),
    ];
    for (option, value) in given {
        for (network, told) in [("tiny", "embedded"), (folder, "model.toml")] {
            let arguments = vec!["replay", &trip, "--network", network, option, value];
            check(&[Case { what: option, arguments, status: 2, told: &[option, "plain ONNX", network, told] }]);
        }
    }
    for (option, value, told) in [
        ("--scale", "nan", "1e-6 to 1e6"),
        ("--scale", "0", "1e-6 to 1e6"),
        ("--scale", "inf", "1e-6 to 1e6"),
        ("--scale", "-1", "--scale"),
        ("--std", "0,0,0", "1e-6 to 1e6"),
        ("--std", "1,nan,1", "1e-6 to 1e6"),
        ("--mean", "nan,0,0", "three numbers"),
        ("--mean", "0,inf,0", "three numbers"),
        ("--network-classes", "mapillary", "cityscapes and camvid"),
        ("--network-classes", "nowhere.toml", "cannot be read"),
        ("--network-classes", &table, "table.toml"),
    ] {
        let arguments = vec!["replay", &trip, "--network", plain, option, value];
        check(&[Case { what: option, arguments, status: 2, told: &[option, told] }]);
    }
    let sound = ["--channels", "bgr", "--scale", "1", "--mean", "-1,100,100", "--std", "50,50,50", "--chain", "fine"];
    segfuse_ok(&[&["replay", &trip, "--engine", "rten", "--network", plain], &sound[..]].concat());
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
        check(&[Case { what: path, arguments: vec!["replay", path], status: 1, told: &told }]);
    }
}

#[test]
fn without_onnxruntime_one_short_line_says_so() {
    let files = Files::new();
    let trip = files.trip();
    let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_segfuse"));
    program.args(["replay", &trip, "--quiet", "--until", "0.1"]).env_remove("ORT_DYLIB_PATH");
    let output = program.output().expect("it starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    if errors.contains("runtime=\"onnxruntime") {
        eprintln!("SKIPPED: without_onnxruntime_one_short_line_says_so: the system has one");
        return;
    }
    let told: Vec<&str> = errors.lines().filter(|line| line.contains("libonnxruntime.so")).collect();
    assert!(told.len() == 1 && told[0].len() < 120, "{errors}");
    assert!(told[0].contains("rten") && told[0].contains("--onnxruntime-library"), "{errors}");
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
        Case {
            what: "missing",
            arguments: vec!["replay", "nowhere.mcap"],
            status: 1,
            told: &["nowhere.mcap", "look at the path"],
        },
        Case {
            what: "no folder to write in",
            arguments: vec!["render", "--seconds", "0.1", "--out", &nowhere],
            status: 1,
            told: &["x.mcap", "make its folder first"],
        },
        Case { what: "text", arguments: vec!["trip", "info", &text], status: 1, told: &["text.mcap"] },
        Case { what: "empty", arguments: vec!["replay", &empty], status: 1, told: &["empty.mcap"] },
        Case {
            what: "no camera",
            arguments: vec!["replay", &blind],
            status: 1,
            told: &["blind.mcap", "no camera frames", "--states"],
        },
        Case {
            what: "no masks",
            arguments: vec!["evaluate", &trip],
            status: 1,
            told: &["drive.mcap", "no masks", "segfuse replay"],
        },
        Case {
            what: "over itself",
            arguments: vec!["replay", &trip, "--out", &trip],
            status: 2,
            told: &["drive.mcap", "overwritten"],
        },
        Case {
            what: "backwards",
            arguments: vec!["replay", &trip, "--from", "2", "--until", "1"],
            status: 2,
            told: &["--from 2", "--until 1"],
        },
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
        Case {
            what: "cut PNG",
            arguments: vec!["trip", "import", "--images", &cut, "--rate", "10", "--out", &out],
            status: 1,
            told: &["000.png"],
        },
        Case {
            what: "no pictures",
            arguments: vec!["trip", "import", "--images", &nothing, "--rate", "10", "--out", &out],
            status: 1,
            told: &["nothing"],
        },
        Case {
            what: "no rate",
            arguments: vec!["trip", "import", "--images", &cut, "--out", &out],
            status: 2,
            told: &["--rate"],
        },
        Case {
            what: "broken DBC",
            arguments: vec!["trip", "import", "--candump", &log, "--dbc", &dbc, "--signals", "toyota", "--out", &out],
            status: 1,
            told: &["bad.dbc"],
        },
        Case {
            what: "DBC without signals",
            arguments: vec!["trip", "import", "--candump", &log, "--dbc", &dbc, "--out", &out],
            status: 2,
            told: &["--signals"],
        },
        Case {
            what: "no such signals",
            arguments: vec!["trip", "import", "--candump", &log, "--dbc", &dbc, "--signals", "tesla", "--out", &out],
            status: 2,
            told: &["--signals", "tesla"],
        },
        Case {
            what: "not a log",
            arguments: vec!["trip", "import", "--candump", &bad_log, "--out", &out],
            status: 1,
            told: &["bad.log"],
        },
        Case {
            what: "missing video",
            arguments: vec!["trip", "import", "--video", "nowhere.mp4", "--out", &out],
            status: 1,
            told: &["nowhere.mp4"],
        },
        Case {
            what: "missing folder",
            arguments: vec!["trip", "import", "--comma2k19", "nowhere", "--out", &out],
            status: 1,
            told: &["nowhere"],
        },
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
        writer.write_event(&Event::Frame(Frame { id: FrameId(id), stamp, arrival: stamp, image })).expect("room");
    }
    writer.finish().expect("room");
    let summary = files.path("run.json");
    segfuse_ok(&["replay", &trip, "--engine", "rten", "--schedule", "every:3", "--summary", &summary]);
    let run = support::json(summary.as_ref());
    let counts = ["frames", "published", "dropped", "unreadable", "keys"].map(|key| run[key].as_u64().expect(key));
    assert_eq!(counts, [3, 2, 1, 1, 2]);
}

#[test]
fn configurations_and_options_that_cannot_be_used() {
    let files = Files::new();
    let trip = files.trip();
    let unknown = files.write("unknown.toml", "[align]\nmax_speed = 3\n");
    let threads = files.write("threads.toml", "[engine]\nthreads = 1000\n");
    let chunks = files.write("chunks.toml", "[trip]\nchunk_bytes = 1\n");
    let schedule = files.write("schedule.toml", "[perceive]\nschedule = \"sometimes\"\n");
    check(&[
        Case {
            what: "unknown key",
            arguments: vec!["replay", &trip, "--config", &unknown],
            status: 2,
            told: &["unknown.toml", "max_speed"],
        },
        Case {
            what: "bad schedule",
            arguments: vec!["replay", &trip, "--config", &schedule],
            status: 2,
            told: &["schedule.toml", "every:K"],
        },
        Case {
            what: "threads",
            arguments: vec!["replay", &trip, "--threads", "100000"],
            status: 2,
            told: &["100000", "1 to 256"],
        },
        Case {
            what: "no threads",
            arguments: vec!["replay", &trip, "--threads", "0"],
            status: 2,
            told: &["'0'", "1 to 256"],
        },
        Case {
            what: "threads in the file",
            arguments: vec!["replay", &trip, "--config", &threads],
            status: 2,
            told: &["threads.toml", "engine.threads is 1000", "1 to 256"],
        },
        Case {
            what: "chunks in the file",
            arguments: vec!["replay", &trip, "--config", &chunks],
            status: 2,
            told: &["chunks.toml", "trip.chunk_bytes is 1", "65536"],
        },
        Case {
            what: "missing config",
            arguments: vec!["replay", &trip, "--config", "no.toml"],
            status: 2,
            told: &["no.toml"],
        },
        Case {
            what: "schedule",
            arguments: vec!["replay", &trip, "--schedule", "every:0"],
            status: 2,
            told: &["every:0", "every:5"],
        },
        Case {
            what: "engine",
            arguments: vec!["replay", &trip, "--engine", "tensorrt"],
            status: 2,
            told: &["tensorrt", "rten"],
        },
        Case {
            what: "mean",
            arguments: vec!["replay", &trip, "--mean", "1,2"],
            status: 2,
            told: &["1,2", "three numbers"],
        },
        Case {
            what: "scene",
            arguments: vec!["render", "--fps", "0", "--out", "x.mcap"],
            status: 2,
            told: &["fps", "0.1"],
        },
        Case {
            what: "classes",
            arguments: vec!["evaluate", &trip, "--classes", "mapillary"],
            status: 2,
            told: &["--classes", "mapillary", "camvid"],
        },
        Case {
            what: "log filter",
            arguments: vec!["version", "--log", "segfuse=loud=1"],
            status: 2,
            told: &["--log", "segfuse=debug"],
        },
        Case {
            what: "no onnxruntime",
            arguments: vec![
                "replay",
                &trip,
                "--engine",
                "onnxruntime",
                "--onnxruntime-library",
                "/nowhere/libonnxruntime.so",
            ],
            status: 1,
            told: &["onnxruntime", "/nowhere"],
        },
    ]);
}

#[test]
#[cfg(feature = "zenoh")]
fn zenoh_endpoints_and_files_that_cannot_be_used() {
    let files = Files::new();
    let trip = files.trip();
    let zenoh = files.write("zenoh.json5", "{ mode: \"spaceship\" }");
    check(&[
        Case {
            what: "endpoint in nobody's hands",
            arguments: vec!["replay", &trip, "--publish", "--listen", "tcp/192.0.2.1:1"],
            status: 1,
            told: &["192.0.2.1"],
        },
        Case {
            what: "endpoint refused",
            arguments: vec![
                "replay",
                &trip,
                "--publish",
                "--listen",
                "tcp/127.0.0.1:0",
                "--connect",
                "tcp/127.0.0.1:9",
            ],
            status: 1,
            told: &["127.0.0.1:9"],
        },
        Case {
            what: "zenoh file",
            arguments: vec!["replay", &trip, "--publish", "--zenoh-config", &zenoh],
            status: 2,
            told: &["zenoh.json5"],
        },
    ]);
}

#[test]
fn values_outside_their_range_are_refused_before_anything_is_read() {
    let import = |option, value| ["trip", "import", "--images", "nowhere", option, value, "--out", "x.mcap"].to_vec();
    let render = |option, value| ["render", option, value, "--out", "x.mcap"].to_vec();
    let mut cases: Vec<(&str, Vec<&str>, &[&str])> = Vec::new();
    for rate in ["0", "1e9", "nan", "-5", "fast", "inf"] {
        cases.push(("rate", import("--rate", rate), &["--rate", "0.001 to 1000"]));
    }
    for seconds in ["0", "-1", "nan", "3601"] {
        cases.push(("seconds", render("--seconds", seconds), &["--seconds", "0.001 to 3600"]));
    }
    for fps in ["0", "1001", "nan"] {
        cases.push(("fps", render("--fps", fps), &["--fps", "0.1 to 1000"]));
    }
    cases.push(("size", render("--size", "0x5"), &["--size", "1x1"]));
    cases.push(("size", render("--size", "20000x2"), &["--size", "16384"]));
    cases.push(("size", render("--size", "16000x16000"), &["--size", "7680x4320"]));
    cases.push(("columns", render("--size", "9999x1"), &["--size", "7680x4320"]));
    cases.push(("size", render("--size", "640"), &["--size", "WIDTHxHEIGHT"]));
    cases.push(("no frame", ["render", "--fps", "0.1", "--seconds", "1", "--out", "x.mcap"].to_vec(), &["frames"]));
    cases.push(("shown frames", ["evaluate", "nowhere.mcap", "--shown-frames", "65"].to_vec(), &["0 to 64"]));
    cases.push(("from", ["trip", "export", "nowhere.mcap", "--frames", "x", "--from", "-1"].to_vec(), &["--from"]));
    cases.push(("labels", import("--label-classes", "mapillary"), &["--label-classes", "cityscapes"]));
    cases.push((
        "prediction classes",
        ["evaluate", "--predictions", "x", "--truth", "y", "--prediction-classes", "z"].to_vec(),
        &["'z'"],
    ));
    let cases = cases.into_iter().map(|(what, arguments, told)| Case { what, arguments, status: 2, told });
    check(&cases.collect::<Vec<_>>());
    assert!(!Path::new("x.mcap").exists());
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
        Case {
            what: "beyond the end",
            arguments: vec!["trip", "export", &trip, "--frames", &frames, "--states", &states, "--from", "50"],
            status: 1,
            told: &["drive.mcap", "no frames, no states between --from and --until", "segfuse trip info"],
        },
        Case {
            what: "no masks",
            arguments: vec!["trip", "export", &trip, "--masks", &frames],
            status: 1,
            told: &["drive.mcap", "no masks"],
        },
        Case {
            what: "a part of what was asked",
            arguments: vec!["trip", "export", &trip, "--masks", &masks, "--states", &states],
            status: 0,
            told: &["no masks"],
        },
        Case {
            what: "every label ignored",
            arguments: vec!["evaluate", "--predictions", &masks, "--truth", &labels, "--classes", "camvid"],
            status: 1,
            told: &["nothing was evaluated", "'camvid'", "--classes"],
        },
    ]);
}

#[test]
#[cfg(feature = "zenoh")]
fn options_of_publishers_and_subscribers_that_are_wrong_by_themselves_are_misuse() {
    let files = Files::new();
    let trip = files.trip();
    let broken = files.write("broken.json5", "{ mode: ");
    let (keys, rate) = ("[zenoh]\ncamera = \"a/b\"\n", "[zenoh]\nmax_rate_hz = 0.0\n");
    let (keys, rate) = (files.write("keys.toml", keys), files.write("rate.toml", rate));
    let mut faults = Vec::new();
    for (option, value, told) in [
        ("--vehicle", "a/b", "Zenoh keys"),
        ("--vehicle", "", "empty"),
        ("--camera", "front*", "Zenoh keys"),
        ("--prefix", "a//b", "empty"),
        ("--listen", "foo", "protocol/address"),
        ("--connect", "foo", "protocol/address"),
        ("--connect", "udp/127.0.0.1:1", "unixsock-stream"),
        ("--zenoh-config", "/nope", "/nope"),
        ("--zenoh-config", &broken, "broken.json5"),
    ] {
        let option = format!("{option}={value}");
        for command in [vec!["replay", &trip, "--publish"], vec!["subscribe", "--seconds", "1"]] {
            let output = segfuse(&[command.as_slice(), &[&option]].concat());
            let errors = String::from_utf8_lossy(&output.stderr).into_owned();
            if output.status.code() != Some(2) || !errors.contains(told) {
                faults.push(format!("{} {option}: {}\n{errors}", command[0], output.status));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    check(&[
        Case { what: "no mask", arguments: vec!["subscribe", "--count", "0"], status: 2, told: &["--count", "1"] },
        Case { what: "no queue", arguments: vec!["subscribe", "--queue", "0"], status: 2, told: &["--queue", "120"] },
        Case { what: "long", arguments: vec!["subscribe", "--queue", "121"], status: 2, told: &["--queue", "120"] },
        Case {
            what: "name in the configuration",
            arguments: vec!["replay", &trip, "--publish", "--config", &keys],
            status: 2,
            told: &["camera", "a/b"],
        },
        Case {
            what: "rate in the configuration",
            arguments: vec!["replay", &trip, "--publish", "--config", &rate],
            status: 2,
            told: &["max_rate_hz"],
        },
    ]);
}

#[test]
fn no_output_overwrites_an_input_or_another_output() {
    let files = Files::new();
    let trip = files.trip();
    let (run, other) = (files.path("run.mcap"), files.path("other.mcap"));
    let (both, both_too) = (files.path("both"), files.path("./both/"));
    segfuse_ok(&["replay", &trip, "--engine", "rten", "--out", &run]);
    let before = fs::read(&run).expect("the run");
    let scene = files.write("scene.toml", "seconds = 0.2\n");
    check(&[
        Case { what: "evaluate", arguments: vec!["evaluate", &run, "--json", &run], status: 2, told: &["run.mcap"] },
        Case { what: "report", arguments: vec!["evaluate", &run, "--html", &run], status: 2, told: &["run.mcap"] },
        Case {
            what: "export",
            arguments: vec!["trip", "export", &run, "--states", &run],
            status: 2,
            told: &["run.mcap"],
        },
        Case {
            what: "scene",
            arguments: vec!["render", "--scene", &scene, "--out", &scene],
            status: 2,
            told: &["scene"],
        },
        Case {
            what: "two outputs",
            arguments: vec!["replay", &trip, "--out", &other, "--summary", &other],
            status: 2,
            told: &["other.mcap", "two outputs"],
        },
        Case {
            what: "masks and labels into one folder",
            arguments: vec!["trip", "export", &run, "--masks", &both, "--labels", &both_too],
            status: 2,
            told: &["both", "two outputs"],
        },
    ]);
    assert!(fs::read(&run).expect("the run") == before, "the run was overwritten");
}

#[test]
fn no_output_overwrites_a_file_in_a_folder_that_is_an_input() {
    let files = Files::new();
    let folder = files.path("pictures");
    fs::create_dir(&folder).expect("room");
    let picture = files.path("pictures/a.png");
    image::GrayImage::from_pixel(8, 8, image::Luma([7])).save(&picture).expect("room");
    let before = fs::read(&picture).expect("the picture");
    let evaluate = ["evaluate", "--predictions", &folder, "--truth", &folder, "--classes", "cityscapes"];
    let with = |option| [&evaluate[..], &[option, &picture]].concat();
    let import = vec!["trip", "import", "--images", &folder, "--rate", "5", "--out", &picture];
    check(&[
        Case { what: "import", arguments: import, status: 2, told: &["a.png", "would be overwritten"] },
        Case { what: "figures", arguments: with("--json"), status: 2, told: &["a.png", "would be overwritten"] },
        Case { what: "report", arguments: with("--html"), status: 2, told: &["a.png", "would be overwritten"] },
    ]);
    assert!(fs::read(&picture).expect("the picture") == before, "the picture was overwritten");
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
#[cfg(unix)]
fn outputs_that_cannot_be_written_are_refused_before_the_work_and_nothing_is_changed() {
    let files = Files::new();
    let trip = files.trip();
    let (run, folder, kept) = (files.path("run.mcap"), files.path("folder"), files.write("kept.json", "kept"));
    fs::create_dir(&folder).expect("a folder");
    let link = files.path("link.mcap");
    std::os::unix::fs::symlink("/dev/null", &link).expect("a link");
    let replay = |more: &[&'static str]| [&["replay", "TRIP"], more].concat();
    let cases = [
        (replay(&["--out", "RUN", "--summary", "/nosuch/x.json"]), 1, ["--summary", "/nosuch/x.json"]),
        (replay(&["--out", "RUN", "--summary", "FOLDER"]), 1, ["--summary", "directory"]),
        (replay(&["--summary", "KEPT", "--overlay", "/nosuch/x.png"]), 1, ["--overlay", "/nosuch/x.png"]),
        (replay(&["--summary", "KEPT", "--out", "/nosuch/x.mcap"]), 1, ["--out", "/nosuch/x.mcap"]),
        (replay(&["--summary", "KEPT", "--out", "/dev/null"]), 2, ["/dev/null", "regular file"]),
        (replay(&["--summary", "KEPT", "--out", "LINK"]), 2, ["link.mcap", "regular file"]),
    ];
    for (arguments, status, told) in &cases {
        let named = |word: &&'static str| match *word {
            "TRIP" => trip.clone(),
            "RUN" => run.clone(),
            "FOLDER" => folder.clone(),
            "KEPT" => kept.clone(),
            "LINK" => link.clone(),
            word => word.to_owned(),
        };
        let arguments: Vec<String> = arguments.iter().map(named).collect();
        let what = arguments.join(" ");
        let arguments = arguments.iter().map(String::as_str).collect();
        check(&[Case { what: &what, arguments, status: *status, told }]);
    }
    assert_eq!(fs::read_to_string(&kept).expect("still there"), "kept");
    assert!(!Path::new(&run).exists(), "refused before the recording was begun");
    let left = fs::read_dir(files.folder.path()).expect("a folder").count();
    assert_eq!(left, 4, "the drive, the folder, the kept file and the link: a probe leaves nothing behind");
}

/// Runs a replay with one variable set.
fn with_variable(arguments: &[&str], name: &str, value: &str) -> std::process::Output {
    let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_segfuse"));
    program.args(arguments).arg("--quiet").env(name, value).output().expect("it starts")
}

#[test]
fn an_mp4_without_ffmpeg_is_refused_without_a_word_of_another_format() {
    let files = Files::new();
    let (trip, video) = (files.trip(), files.path("v.mp4"));
    let output = with_variable(&["replay", &trip, "--overlay", &video], "PATH", "/nosuch");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("needs ffmpeg") && !errors.contains("instead of a video"), "{errors}");
}

#[test]
fn an_empty_variable_counts_as_not_set_and_a_wrong_one_is_named() {
    let files = Files::new();
    let trip = files.trip();
    let replay = ["replay", &trip, "--until", "0.1"];
    let output = with_variable(&replay, "ORT_DYLIB_PATH", "");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = with_variable(&replay, "ORT_DYLIB_PATH", "/nosuch.so");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && errors.contains("named by the variable ORT_DYLIB_PATH"), "{errors}");
    check(&[Case {
        what: "option",
        arguments: [&replay[..], &["--onnxruntime-library", "/nosuch.so"]].concat(),
        status: 1,
        told: &["/nosuch.so", "named by --onnxruntime-library"],
    }]);
}

#[test]
fn options_that_would_do_nothing_are_refused_and_a_wrong_table_names_its_option() {
    let files = Files::new();
    let trip = files.trip();
    let plain = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/networks/plain.onnx");
    let await_without = ["replay", &trip, "--await-subscriber", "1"];
    let await_never = [&await_without[..], &["--realtime", "--no-publish"]].concat();
    check(&[
        Case { what: "await", arguments: await_without.into(), status: 2, told: &["--await-subscriber", "--publish"] },
        Case { what: "await", arguments: await_never, status: 2, told: &["--await-subscriber", "--publish"] },
        Case {
            what: "wrong table",
            arguments: vec!["replay", &trip, "--engine", "rten", "--network", plain, "--network-classes", "camvid"],
            status: 1,
            told: &["--network-classes", "11"],
        },
    ]);
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
