//! The published figures of real recordings come out of the commands that a user types.

mod support;

use support::{CamvidSequence, segfuse_ok, shared_data};

/// mIoU, pixel accuracy and IoU per class, in percent, by an independent chain (Python, OpenCV, onnxruntime).
struct Reference {
    network: &'static str,
    miou: f64,
    pixel_accuracy: f64,
    per_class: &'static [(&'static str, f64)],
}

const REFERENCES: [Reference; 2] = [
    Reference { network: "espnetv2_s0.5_city_384x512.onnx", miou: 43.34, pixel_accuracy: 79.66, per_class: &[] },
    Reference {
        network: "espnetv2_s2.0_city_512x1024.onnx",
        miou: 64.10,
        pixel_accuracy: 91.80,
        per_class: &[
            ("sky", 93.3),
            ("building", 85.3),
            ("pole", 19.5),
            ("road", 95.9),
            ("pavement", 80.1),
            ("tree", 85.0),
            ("sign", 39.9),
            ("fence", 1.0),
            ("car", 85.8),
            ("pedestrian", 40.3),
            ("bicyclist", 79.1),
        ],
    },
];

#[test]
fn sixty_one_frames_of_camvid_score_as_published() {
    let Some(data) = shared_data("sixty_one_frames_of_camvid_score_as_published") else { return };
    let sequence = CamvidSequence::import(&data);
    for reference in REFERENCES {
        let network = data.join("networks").join(reference.network);
        compare(&reference, &sequence.scored(&network.to_string_lossy(), "every:1"));
        assert_eq!(sequence.summary()["keys"], 61);
    }
}

fn compare(reference: &Reference, found: &serde_json::Value) {
    let number = |value: &serde_json::Value| value.as_f64().expect("a figure");
    let mut faults = Vec::new();
    let mut check = |what: &str, found: f64, expected: f64, tolerance: f64| {
        println!("{} {what}: {found:.2}, reference {expected}", reference.network);
        if (found - expected).abs() > tolerance {
            faults.push(format!("{what}: {found:.3}, expected {expected} within {tolerance}"));
        }
    };
    check("mIoU", number(&found["miou"]), reference.miou, 0.15);
    check("pixel accuracy", number(&found["pixel_accuracy"]), reference.pixel_accuracy, 0.15);
    for (class, iou) in reference.per_class {
        check(class, number(&found["per_class"][class]), *iou, 0.3);
    }
    assert!(faults.is_empty(), "{}:\n{}", reference.network, faults.join("\n"));
}

#[test]
fn forty_seconds_of_comma2k19_are_exported_as_they_were_decoded() {
    let Some(data) = shared_data("forty_seconds_of_comma2k19_are_exported_as_they_were_decoded") else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let from_data = |name: &str| data.join(name).to_string_lossy().into_owned();
    let (trip, states) = (path("drive.mcap"), path("states.csv"));
    segfuse_ok(&[
        "trip",
        "import",
        "--comma2k19",
        &from_data("comma2k19"),
        "--dbc",
        &from_data("dbc/_toyota_2017.dbc"),
        "--out",
        &trip,
    ]);
    segfuse_ok(&["trip", "export", &trip, "--states", &states]);
    for (column, given) in [("speed_mps", "speed"), ("steering_wheel_angle_deg", "steering_angle")] {
        let exported = column_of(&states, column);
        let given = data.join("comma2k19/processed_log/CAN").join(given);
        let (stamps, values) = (npy(&given.join("t")), npy(&given.join("value")));
        assert!(
            stamps.len() > 3000 && exported.len() == stamps.len(),
            "{column}: {} of {}",
            exported.len(),
            stamps.len()
        );
        for ((stamp, value), (given_stamp, given_value)) in exported.iter().zip(stamps.iter().zip(&values)) {
            assert!((stamp - given_stamp).abs() <= 1e-6, "{column}: at {stamp}, given {given_stamp}");
            assert!((value - given_value).abs() <= 1e-9, "{column} at {stamp}: {value}, given {given_value}");
        }
    }
}

/// The rows in which `column` has a value, with their stamps.
fn column_of(csv: &str, column: &str) -> Vec<(f64, f64)> {
    let mut reader = csv::Reader::from_path(csv).expect("the exported CSV");
    let headers = reader.headers().expect("a header").clone();
    let place =
        |name: &str| headers.iter().position(|header| header == name).unwrap_or_else(|| panic!("no column {name}"));
    let (stamp, value) = (place("stamp_s"), place(column));
    let rows = reader.records().map(|row| row.expect("a row"));
    rows.filter(|row| !row[value].is_empty())
        .map(|row| (row[stamp].parse().expect("a stamp"), row[value].parse().expect("a value")))
        .collect()
}

fn npy(path: &std::path::Path) -> Vec<f64> {
    let file = std::fs::File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let array = npyz::NpyFile::new(std::io::BufReader::new(file)).expect("a NumPy file");
    array.into_vec().expect("numbers")
}
