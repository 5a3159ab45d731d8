//! Options, configurations and outputs that make no sense are refused before the work, by name, and nothing is changed.

#[path = "support/cases.rs"]
mod cases;
mod support;

use cases::{Files, case, check, with_variable};
use std::fs;
use std::path::Path;
use support::segfuse_ok;

#[test]
fn configurations_and_options_that_cannot_be_used() {
    let files = Files::new();
    let trip = files.trip();
    let unknown = files.write("unknown.toml", "[align]\nmax_speed = 3\n");
    let threads = files.write("threads.toml", "[engine]\nthreads = 1000\n");
    let chunks = files.write("chunks.toml", "[trip]\nchunk_bytes = 1\n");
    let schedule = files.write("schedule.toml", "[perceive]\nschedule = \"sometimes\"\n");
    check(&[
        case("unknown key", ["replay", &trip, "--config", &unknown], 2, &["unknown.toml", "max_speed"]),
        case("bad schedule", ["replay", &trip, "--config", &schedule], 2, &["schedule.toml", "every:K"]),
        case("threads", ["replay", &trip, "--threads", "100000"], 2, &["100000", "1 to 256"]),
        case("no threads", ["replay", &trip, "--threads", "0"], 2, &["'0'", "1 to 256"]),
        case(
            "threads in the file",
            ["replay", &trip, "--config", &threads],
            2,
            &["threads.toml", "engine.threads is 1000", "1 to 256"],
        ),
        case(
            "chunks in the file",
            ["replay", &trip, "--config", &chunks],
            2,
            &["chunks.toml", "trip.chunk_bytes is 1", "65536"],
        ),
        case("missing config", ["replay", &trip, "--config", "no.toml"], 2, &["no.toml"]),
        case("schedule", ["replay", &trip, "--schedule", "every:0"], 2, &["every:0", "every:5"]),
        case("nothing to wait for", ["replay", &trip, "--no-wait"], 2, &["--no-wait", "every:", "overlapped:K"]),
        case("engine", ["replay", &trip, "--engine", "openvino"], 2, &["openvino", "rten", "tensorrt"]),
        case("engine", ["replay", &trip, "--engine", "tensorrt", "--device", "cpu"], 1, &["NVIDIA GPU", "cuda"]),
        case("device", ["replay", &trip, "--device", "tpu"], 2, &["tpu", "auto, cpu or cuda"]),
        case("mean", ["replay", &trip, "--mean", "1,2"], 2, &["1,2", "three numbers"]),
        case("scene", ["render", "--fps", "0", "--out", "x.mcap"], 2, &["fps", "0.1"]),
        case("classes", ["evaluate", &trip, "--classes", "mapillary"], 2, &["--classes", "mapillary", "camvid"]),
        case("log filter", ["version", "--log", "segfuse=loud=1"], 2, &["--log", "segfuse=debug"]),
        case(
            "no onnxruntime",
            ["replay", &trip, "--engine", "onnxruntime", "--onnxruntime-library", "/nowhere/libonnxruntime.so"],
            1,
            &["onnxruntime", "/nowhere"],
        ),
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
    let cases = cases.into_iter().map(|(what, arguments, told)| case(what, arguments, 2, told));
    check(&cases.collect::<Vec<_>>());
    assert!(!Path::new("x.mcap").exists());
}

#[test]
fn options_that_would_do_nothing_are_refused_and_a_wrong_table_names_its_option() {
    let files = Files::new();
    let trip = files.trip();
    let plain = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/networks/plain.onnx");
    let await_without = ["replay", &trip, "--await-subscriber", "1"];
    let await_never = [&await_without[..], &["--realtime", "--no-publish"]].concat();
    check(&[
        case("await", await_without, 2, &["--await-subscriber", "--publish"]),
        case("await", await_never, 2, &["--await-subscriber", "--publish"]),
        case(
            "wrong table",
            ["replay", &trip, "--engine", "rten", "--network", plain, "--network-classes", "camvid"],
            1,
            &["--network-classes", "11"],
        ),
    ]);
}

#[test]
#[cfg(feature = "zenoh")]
fn zenoh_endpoints_and_files_that_cannot_be_used() {
    let files = Files::new();
    let trip = files.trip();
    let zenoh = files.write("zenoh.json5", "{ mode: \"spaceship\" }");
    check(&[
        case(
            "endpoint in nobody's hands",
            ["replay", &trip, "--publish", "--listen", "tcp/192.0.2.1:1"],
            1,
            &["192.0.2.1"],
        ),
        case(
            "endpoint refused",
            ["replay", &trip, "--publish", "--listen", "tcp/127.0.0.1:0", "--connect", "tcp/127.0.0.1:9"],
            1,
            &["127.0.0.1:9"],
        ),
        case("zenoh file", ["replay", &trip, "--publish", "--zenoh-config", &zenoh], 2, &["zenoh.json5"]),
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
            let output = support::segfuse(&[command.as_slice(), &[&option]].concat());
            let errors = String::from_utf8_lossy(&output.stderr).into_owned();
            if output.status.code() != Some(2) || !errors.contains(told) {
                faults.push(format!("{} {option}: {}\n{errors}", command[0], output.status));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    check(&[
        case("no mask", ["subscribe", "--count", "0"], 2, &["--count", "1"]),
        case("no queue", ["subscribe", "--queue", "0"], 2, &["--queue", "120"]),
        case("long", ["subscribe", "--queue", "121"], 2, &["--queue", "120"]),
        case("name in the configuration", ["replay", &trip, "--publish", "--config", &keys], 2, &["camera", "a/b"]),
        case("rate in the configuration", ["replay", &trip, "--publish", "--config", &rate], 2, &["max_rate_hz"]),
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
        case("evaluate", ["evaluate", &run, "--json", &run], 2, &["run.mcap"]),
        case("report", ["evaluate", &run, "--html", &run], 2, &["run.mcap"]),
        case("export", ["trip", "export", &run, "--states", &run], 2, &["run.mcap"]),
        case("scene", ["render", "--scene", &scene, "--out", &scene], 2, &["scene"]),
        case("two outputs", ["replay", &trip, "--out", &other, "--summary", &other], 2, &["other.mcap", "two outputs"]),
        case(
            "masks and labels into one folder",
            ["trip", "export", &run, "--masks", &both, "--labels", &both_too],
            2,
            &["both", "two outputs"],
        ),
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
        case("import", import, 2, &["a.png", "would be overwritten"]),
        case("figures", with("--json"), 2, &["a.png", "would be overwritten"]),
        case("report", with("--html"), 2, &["a.png", "would be overwritten"]),
    ]);
    assert!(fs::read(&picture).expect("the picture") == before, "the picture was overwritten");
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
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        check(&[case(&what, arguments, *status, told)]);
    }
    assert_eq!(fs::read_to_string(&kept).expect("still there"), "kept");
    assert!(!Path::new(&run).exists(), "refused before the recording was begun");
    let left = fs::read_dir(files.folder.path()).expect("a folder").count();
    assert_eq!(left, 4, "the drive, the folder, the kept file and the link: a probe leaves nothing behind");
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
