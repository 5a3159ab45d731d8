//! `segfuse network check` says what a network is and what every runtime makes of it.

#[path = "support/networks.rs"]
mod networks;
#[path = "support/onnx_graphs.rs"]
mod onnx_graphs;
mod support;

use segfuse::engine::network::Network;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::path::Path;
use support::{segfuse, segfuse_ok};

/// What the command says of `network` as JSON, with its exit status.
fn check(network: &str, more: &[&str]) -> (Option<i32>, serde_json::Value) {
    let output = segfuse(&[&["network", "check", network, "--json"], more].concat());
    let json = serde_json::from_slice(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    (output.status.code(), json.unwrap_or_else(|error| panic!("{network}: {error}: {errors}")))
}

fn runtime<'a>(report: &'a serde_json::Value, name: &str) -> &'a serde_json::Value {
    let runtimes = report["runtimes"].as_array().expect("a list");
    let found = runtimes.iter().find(|runtime| runtime["runtime"].as_str().is_some_and(|text| text.starts_with(name)));
    found.unwrap_or_else(|| panic!("{name} is not in {report}"))
}

/// A network folder that also holds half-precision files.
fn folder_with_halves(folder: &Path) {
    let mut model = networks::model_toml(&networks::networks());
    for file in ["backbone.onnx", "head.onnx"] {
        let bytes = std::fs::read(networks::networks().join(file)).expect("a network file");
        std::fs::write(folder.join(file), &bytes).expect("written");
        let half = file.replace(".onnx", ".fp16.onnx");
        std::fs::write(folder.join(&half), [&bytes[..], b"half"].concat()).expect("written");
        let hash = Sha256::digest([&bytes[..], b"half"].concat());
        writeln!(model, "\"{half}\" = \"{hash:x}\"").expect("a text grows");
    }
    std::fs::write(folder.join("model.toml"), model).expect("written");
}

#[test]
fn the_embedded_network_is_checked_by_name() {
    let (status, report) = check("tiny", &["--engine", "rten", "--threads", "1"]);
    assert_eq!(status, Some(0), "{report}");
    assert!(report["name"].as_str().is_some_and(|name| name.starts_with("tiny")), "{report}");
    assert_eq!(report["classes"]["count"].as_u64(), Some(19));
    let rten = runtime(&report, "rten");
    assert!(rten["verdict"] == "runs" && rten["backbone_ms"].as_f64() > rten["head_ms"].as_f64(), "{rten}");
    assert_eq!(runtime(&report, "tensorrt")["verdict"], "unchecked");
    assert!(report["head_share_percent"].as_f64().is_some_and(|share| (0.01..10.0).contains(&share)), "{report}");
    let (input, features, logits) = (&report["input"]["shape"], &report["features"], &report["logits"]);
    for grid in [features, logits] {
        assert_eq!(grid["shape"][2].as_u64().zip(grid["stride"].as_u64()).map(|(a, b)| a * b), input[2].as_u64());
    }
    let text = segfuse_ok(&["network", "check", "tiny", "--engine", "rten"]);
    assert!(
        ["Conv", "M multiply-adds", "not checked here", "verified"].iter().all(|word| text.contains(word)),
        "{text}"
    );
}

#[test]
fn a_plain_file_is_counted_to_the_last_multiply_add() {
    let folder = tempfile::tempdir().expect("a folder");
    let onnx = folder.path().join("net.onnx");
    onnx_graphs::branching(&onnx);
    let (status, report) = check(onnx.to_str().expect("plain"), &["--engine", "rten"]);
    assert_eq!(status, Some(0), "{report}");
    let half = 24 * 32 * 6 * 27;
    let [fine, coarse] = [12 * 16 * 12 * 6 * 9, 6 * 8 * 12 * 12 * 9];
    let [mixed, logits] = [12 * 16 * 8 * 24 * 9, 12 * 16 * 19 * 8];
    let graph = &report["graphs"][0];
    assert_eq!(graph["multiply_adds"].as_u64(), Some(half + fine + coarse + mixed + logits));
    let weights = (6 * 27 + 6) + (12 * 54 + 12) + (12 * 108 + 12) + (8 * 216 + 8) + (19 * 8 + 19);
    assert_eq!((graph["parameters"].as_u64(), graph["operators"]["Conv"].as_u64()), (Some(weights), Some(5)));
    assert_eq!((report["logits"]["stride"].as_u64(), report["features"].is_null()), (Some(4), true));
}

#[test]
fn every_runtime_at_hand_is_tried_and_compared() {
    let (_, report) = check("tiny", &[]);
    let onnxruntime = runtime(&report, "onnxruntime");
    if onnxruntime["verdict"] == "absent" {
        assert!(onnxruntime["reason"].as_str().is_some_and(|reason| reason.contains("libonnxruntime")), "{report}");
        eprintln!("SKIPPED: every_runtime_at_hand_is_tried_and_compared: no onnxruntime");
        return;
    }
    assert_eq!(onnxruntime["verdict"], "runs");
    let equal = report["agreement"][0]["equal_labels_percent"].as_f64().expect("two runtimes");
    assert!(equal >= 99.9, "{report}");
}

#[test]
fn a_network_that_no_runtime_runs_ends_with_1_and_the_reason() {
    for (name, word) in
        [("cubic_resize", "cubic"), ("unknown_operator", "LpPool"), ("plain_of_7_classes_unstated", "7 classes")]
    {
        let path = networks::networks().join(format!("{name}.onnx"));
        let (status, report) = check(path.to_str().expect("plain"), &["--engine", "rten"]);
        let rten = runtime(&report, "rten");
        assert_eq!((status, rten["verdict"].as_str()), (Some(1), Some("refused")), "{report}");
        assert!(rten["reason"].as_str().is_some_and(|reason| reason.contains(word)), "{name}: {rten}");
    }
}

#[test]
fn half_precision_files_are_shown_and_held_against_their_hashes() {
    let folder = tempfile::tempdir().expect("a folder");
    folder_with_halves(folder.path());
    let path = folder.path().to_str().expect("plain");
    let (status, report) = check(path, &["--engine", "rten"]);
    assert_eq!(status, Some(0), "{report}");
    let files = report["files"].as_array().expect("a list");
    let verified = files.iter().filter(|file| file["verified"] == true && file["bytes"].as_u64() > Some(4)).count();
    assert_eq!((files.len(), verified), (4, 4), "{report}");
    std::fs::write(folder.path().join("head.fp16.onnx"), "damaged").expect("written");
    let error = Network::from_folder(folder.path()).expect_err("a damaged file").to_string();
    assert!(error.contains("head.fp16.onnx: expected SHA-256"), "{error}");
    std::fs::remove_file(folder.path().join("head.fp16.onnx")).expect("removed");
    let error = Network::from_folder(folder.path()).expect_err("a missing file").to_string();
    assert!(error.contains("head.fp16.onnx") && error.contains("cannot be read"), "{error}");
    let model = std::fs::read_to_string(folder.path().join("model.toml")).expect("text");
    let model: Vec<&str> = model.lines().filter(|line| !line.starts_with("\"head.fp16")).collect();
    std::fs::write(folder.path().join("model.toml"), model.join("\n")).expect("written");
    let error = Network::from_folder(folder.path()).expect_err("one without the other").to_string();
    assert!(error.contains("missing: head.fp16.onnx"), "{error}");
}

#[test]
fn an_embedded_network_need_not_carry_its_half_precision_files() {
    let folder = tempfile::tempdir().expect("a folder");
    folder_with_halves(folder.path());
    let read = |file: &str| std::fs::read(folder.path().join(file)).expect("a file");
    let model = String::from_utf8(read("model.toml")).expect("text");
    let (backbone, head) = (read("backbone.onnx"), read("head.onnx"));
    let network = Network::from_embedded(&model, &[("backbone.onnx", &backbone), ("head.onnx", &head)]).expect("whole");
    let sizes: Vec<bool> = network.files().iter().map(|file| file.bytes.is_some()).collect();
    assert_eq!(sizes, [true, true, false, false]);
    assert_eq!(network.hash(), Network::from_folder(folder.path()).expect("whole").hash());
}

#[test]
fn a_correction_is_shown_and_timed() {
    let folder = tempfile::tempdir().expect("a folder");
    for file in ["backbone.onnx", "head.onnx", "correction.onnx"] {
        std::fs::copy(networks::networks().join(file), folder.path().join(file)).expect("copied");
    }
    let correction = std::fs::read(folder.path().join("correction.onnx")).expect("a network file");
    std::fs::write(folder.path().join("model.toml"), networks::model_toml_with(&correction)).expect("written");
    let path = folder.path().to_str().expect("plain");
    let (status, report) = check(path, &[]);
    assert_eq!(status, Some(0), "{report}");
    // Two convolutions of 3 x 3 on 6 x 8 cells: 3 colours to 4 planes, these and 8 features to 8 features.
    let (seen, added) = (48 * 4 * 27, 48 * 8 * 12 * 9);
    let graph = &report["graphs"][2];
    assert_eq!((graph["graph"].as_str(), graph["multiply_adds"].as_u64()), (Some("correction"), Some(seen + added)));
    assert_eq!(graph["parameters"].as_u64(), Some(4 * 27 + 4 + 8 * 108 + 8));
    assert_eq!(graph["operators"]["AveragePool"].as_u64(), Some(1));
    let share = report["correction_share_percent"].as_f64().expect("a share");
    let head = 48 * 8 * 19;
    assert!((share - 100.0 * (seen + added) as f64 / (seen + added + head) as f64).abs() < 1e-9, "{share}");
    let of_backbone = report["graphs"][0]["multiply_adds"].as_u64().expect("a number");
    let head_share = report["head_share_percent"].as_f64().expect("a share");
    assert!((head_share - 100.0 * head as f64 / (head + of_backbone) as f64).abs() < 1e-9, "{head_share}");
    assert_eq!(report["files"][2]["name"], "correction.onnx");
    let runtimes = report["runtimes"].as_array().expect("a list");
    for runtime in runtimes.iter().filter(|runtime| runtime["verdict"] == "runs") {
        assert!(runtime["correction_ms"].as_f64().is_some_and(|ms| ms > 0.0), "{runtime}");
    }
    let text = segfuse_ok(&["network", "check", path, "--engine", "rten"]);
    for words in ["correction  0.001 M parameters", " ms, correction ", "% of the multiply-adds between key frames"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let (_, without) = check("tests/data/networks/plain.onnx", &["--engine", "rten"]);
    assert!(without["correction_share_percent"].is_null() && without["runtimes"][0]["correction_ms"].is_null());
}

#[test]
fn wrong_use_ends_with_2() {
    for arguments in
        [&["nowhere"][..], &["tiny", "--channels", "bgr"], &["tiny", "--threads", "0"], &["tiny", "--engine", "gpu"]]
    {
        let output = segfuse(&[&["network", "check"], arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}
