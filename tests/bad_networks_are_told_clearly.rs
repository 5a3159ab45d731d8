//! Whatever is wrong with a network, its options or its runtime, it is told which one, what in it, and what to do.

#[path = "support/cases.rs"]
mod cases;
mod support;

use cases::{Files, case, check, with_variable};
use std::fs;
use std::path::Path;
use support::{names, segfuse_ok};

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
        check(&[case(what, arguments.iter().map(String::as_str).collect::<Vec<_>>(), status, told)]);
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
            check(&[case(option, arguments, 2, &[option, "plain ONNX", network, told])]);
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
        check(&[case(option, arguments, 2, &[option, told])]);
    }
    let sound = ["--channels", "bgr", "--scale", "1", "--mean", "-1,100,100", "--std", "50,50,50", "--chain", "fine"];
    segfuse_ok(&[&["replay", &trip, "--engine", "rten", "--network", plain], &sound[..]].concat());
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
fn an_empty_variable_counts_as_not_set_and_a_wrong_one_is_named() {
    let files = Files::new();
    let trip = files.trip();
    let replay = ["replay", &trip, "--until", "0.1"];
    let output = with_variable(&replay, "ORT_DYLIB_PATH", "");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = with_variable(&replay, "ORT_DYLIB_PATH", "/nosuch.so");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && errors.contains("named by the variable ORT_DYLIB_PATH"), "{errors}");
    check(&[case(
        "option",
        [&replay[..], &["--onnxruntime-library", "/nosuch.so"]].concat(),
        1,
        &["/nosuch.so", "named by --onnxruntime-library"],
    )]);
}
