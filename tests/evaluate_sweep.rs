//! One trip under several schedules: the figures are those of single runs, compared with the network on every frame.

#[path = "support/cases.rs"]
mod cases;
mod support;

use cases::{Files, case, check};
use serde_json::Value;
use support::{json, segfuse, segfuse_ok};

const NETWORK: [&str; 4] = ["--network", "tiny", "--engine", "rten"];

/// A second of a rendered drive.
fn drive(files: &Files) -> String {
    let trip = files.path("second.mcap");
    segfuse_ok(&["render", "--size", "160x96", "--fps", "10", "--seconds", "1.2", "--out", &trip]);
    trip
}

fn sweep(trip: &str, more: &[&str]) -> Value {
    let output = segfuse_ok(&[&["evaluate", trip, "--json", "-"], &NETWORK[..], more].concat());
    serde_json::from_str(&output).expect("JSON")
}

/// The same by hand: replayed, recorded, evaluated.
fn single(files: &Files, trip: &str, schedule: &str) -> (Value, Value) {
    let [run, summary, found] = ["run.mcap", "run.json", "eval.json"].map(|name| files.path(name));
    let options = ["--schedule", schedule, "--out", &run, "--summary", &summary];
    segfuse_ok(&[&["replay", trip], &NETWORK[..], &options].concat());
    segfuse_ok(&["evaluate", &run, "--json", &found]);
    (json(summary.as_ref()), json(found.as_ref()))
}

#[test]
fn each_row_has_the_figures_of_a_single_run_and_its_loss_to_every_frame() {
    let files = Files::new();
    let trip = drive(&files);
    let found = sweep(&trip, &["--sweep", "every:1,2,5", "--sweep", "adaptive:30%:4"]);
    let rows = found["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), 4);
    let reference = rows[0]["miou"].as_f64().expect("a figure");
    for (row, schedule) in rows.iter().zip(["every:1", "every:2", "every:5", "adaptive:30%:4"]) {
        let (summary, evaluation) = single(&files, &trip, schedule);
        assert_eq!(row["schedule"], schedule);
        for figure in ["miou", "pixel_accuracy", "temporal_consistency"] {
            assert_eq!(row[figure], evaluation[figure], "{schedule}: {figure}");
        }
        for figure in ["keys", "mask_hash", "frames"] {
            assert_eq!(row[figure], summary[figure], "{schedule}: {figure}");
        }
        let figure = |value: &Value| value.as_f64().expect("a figure");
        assert!((figure(&row["loss"]) - (reference - figure(&row["miou"]))).abs() < 1e-9, "{row}");
        let at = evaluation["per_distance"].as_array().expect("distances");
        let lowest = at.iter().filter_map(|at| at["miou"].as_f64()).fold(f64::INFINITY, f64::min);
        assert!((figure(&row["worst"]["miou"]) - lowest).abs() < 1e-9, "{schedule}: {at:?}");
        assert!((figure(&row["worst"]["loss"]) - (reference - lowest)).abs() < 1e-9, "{row}");
        assert!(figure(&row["ms_per_frame"]) > 0.0);
    }
    assert_eq!((&found["labelled"], &rows[2]["keys"], &rows[2]["key_share"]), (&12.into(), &3.into(), &25.0.into()));
    assert_eq!(rows[0]["speedup"].as_f64(), Some(1.0));
}

#[test]
fn every_frame_comes_first_and_each_schedule_once() {
    let files = Files::new();
    let found = sweep(&drive(&files), &["--sweep", "every:4,2", "--sweep", "every:2, 3"]);
    let schedules: Vec<_> = found["rows"].as_array().expect("rows").iter().map(|row| row["schedule"].clone()).collect();
    assert_eq!(schedules, ["every:1", "every:4", "every:2", "every:3"]);
}

#[test]
fn the_table_and_the_page_show_every_schedule() {
    let files = Files::new();
    let (trip, page) = (drive(&files), files.path("sweep.html"));
    let options = ["--sweep", "every:1,3,6", "--classes", "camvid", "--html", &page];
    let table = segfuse_ok(&[&["evaluate", &trip], &NETWORK[..], &options].concat());
    let page = std::fs::read_to_string(page).expect("a page");
    for schedule in ["every:1", "every:3", "every:6"] {
        assert!(table.lines().any(|line| line.trim_start().starts_with(schedule)), "{schedule}:\n{table}");
        assert!(page.contains(&format!("<th scope=\"row\">{schedule}</th>")), "{schedule}");
    }
    assert!(table.contains("classes of 'camvid'") && table.contains("12 of 12 frames"), "{table}");
    assert_eq!(page.matches("<svg").count(), 2);
}

#[test]
fn a_damaged_trip_is_swept_as_far_as_it_goes_and_told() {
    let files = Files::new();
    let bytes = std::fs::read(drive(&files)).expect("a trip");
    let cut = files.write("cut.mcap", &bytes[..bytes.len() * 7 / 10]);
    let output = segfuse(&[&["evaluate", &cut, "--sweep", "every:3", "--json", "-"], &NETWORK[..]].concat());
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let frames = found["rows"][1]["frames"].as_u64().expect("a count");
    assert!((1..12).contains(&frames) && output.status.success(), "{found}");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(told.matches("cut.mcap: the trip is not whole").count(), 1, "{told}");
}

#[test]
fn what_cannot_be_swept_is_told() {
    let files = Files::new();
    let (trip, unlabelled, picture) = (drive(&files), files.path("plain.mcap"), files.path("pictures/1.png"));
    files.write("pictures/none", "");
    image::RgbImage::new(64, 48).save(picture).expect("a picture");
    segfuse_ok(&["trip", "import", "--images", &files.path("pictures"), "--rate", "10", "--out", &unlabelled]);
    let many: Vec<String> = (1..=65).map(|interval| interval.to_string()).collect();
    let many = format!("every:{}", many.join(","));
    check(&[
        case("no labels", ["evaluate", &unlabelled, "--sweep", "every:2"], 1, &["plain.mcap", "no labels", "--labels"]),
        case("no schedule", ["evaluate", &trip, "--sweep", "evry:2"], 2, &["'evry:2' is no schedule: write every:K"]),
        case("none at all", ["evaluate", &trip, "--sweep", "every"], 2, &["no schedule is named"]),
        case("every:0", ["evaluate", &trip, "--sweep", "every:1,0"], 2, &["'every:0' is no schedule"]),
        case("two kinds", ["evaluate", &trip, "--sweep", "every:5,adaptive:5%"], 2, &["of one kind"]),
        case("65", ["evaluate", &trip, "--sweep", &many], 2, &["65 schedules, at most 64"]),
        case("network", ["evaluate", &trip, "--network", "tiny"], 2, &["--sweep"]),
        case("threads", ["evaluate", &trip, "--threads", "2"], 2, &["--threads is for --sweep"]),
        case("mean", ["evaluate", &trip, "--mean", "0,0,0"], 2, &["--mean is for --sweep"]),
        case("a folder", ["evaluate", "--predictions", "a", "--truth", "b", "--sweep", "every:2"], 2, &["--sweep"]),
        case("over itself", ["evaluate", &trip, "--sweep", "every:2", "--html", &trip], 2, &["overwritten"]),
        case("network's name", ["evaluate", &trip, "--sweep", "every:2", "--network", "large"], 2, &["large", "tiny"]),
    ]);
    let output = segfuse(&["evaluate", &trip, "--sweep", "every:2", "--network", "tiny", "--mean", "0,0,0"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}
