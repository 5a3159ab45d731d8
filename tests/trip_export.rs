//! A trip taken apart: pictures and labels as files, states as a table with every digit.

mod support;

#[path = "support/sample_trip.rs"]
mod sample_trip;

use sample_trip::{config, step, write};
use segfuse::data::{ClassTable, Event, PixelFormat, Quantity, Validity};
use segfuse::trip::{Range, Selection, export, export_states, export_until};
use std::cell::Cell;
use std::path::Path;
use support::names;

#[test]
fn frames_masks_and_truth_become_files_named_by_their_frame() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    write(&at("trip.mcap"), 12, &config());
    let selection = Selection {
        frames: Some(at("frames")),
        masks: Some(at("masks")),
        truth: Some(at("truth")),
        states: Some(at("states.csv")),
        range: Range::default(),
    };
    let report = export(&at("trip.mcap"), &selection).expect("a whole trip");
    assert_eq!((report.frames, report.masks, report.truth, report.states, report.skipped), (12, 12, 12, 12, 0));
    assert_eq!(names(&at("masks")), (0..12).map(|n| format!("{n:08}.png")).collect::<Vec<_>>());
    assert_eq!(names(&at("truth")), names(&at("masks")));
    for number in 0..12 {
        let (events, aligned, perception) = step(number);
        let Event::Truth(truth) = &events[0] else { panic!("a step begins with its truth") };
        check_picture(&at("frames"), number, &aligned.frame.image);
        check_labels(&at("masks"), number, perception.mask.labels(), &ClassTable::cityscapes());
        check_labels(&at("truth"), number, truth.labels.bytes(), &ClassTable::camvid());
    }
}

#[test]
fn an_export_that_is_stopped_leaves_whole_files_and_says_so() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    write(&at("trip.mcap"), 12, &config());
    for (kind, selection) in [
        ("masks", Selection { masks: Some(at("masks")), ..Selection::default() }),
        ("truth", Selection { truth: Some(at("truth")), ..Selection::default() }),
    ] {
        let asked = Cell::new(0);
        let stop = || asked.replace(asked.get() + 1) >= 10;
        let report = export_until(&at("trip.mcap"), &selection, &stop).expect("a whole trip");
        assert!(report.interrupted, "{kind}");
        let written = names(&at(kind));
        assert_eq!(written.len() as u64, report.masks + report.truth, "{kind}");
        assert!((1..12).contains(&written.len()), "{kind}: {written:?}");
        for name in written {
            image::open(at(kind).join(name)).expect("a whole picture");
        }
    }
}

#[test]
fn an_export_ends_at_a_file_that_cannot_be_written_and_removes_no_device() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    write(&at("trip.mcap"), 12, &config());
    std::fs::create_dir(at("masks")).expect("room");
    std::os::unix::fs::symlink("/dev/full", at("masks").join("00000003.png")).expect("a link");
    let selection = Selection { masks: Some(at("masks")), ..Selection::default() };
    let error = export(&at("trip.mcap"), &selection).expect_err("the device is full");
    assert!(error.to_string().contains("00000003.png"), "{error}");
    assert!(at("masks").join("00000003.png").is_symlink(), "only plain files are taken away");
    assert_eq!(names(&at("masks")).len(), 4, "three masks and the link");
}

fn check_picture(folder: &Path, number: u64, image: &segfuse::data::Image) {
    if image.format() == PixelFormat::Jpeg {
        let file = std::fs::read(folder.join(format!("{number:08}.jpg"))).expect("written");
        assert_eq!(file, **image.bytes(), "as it was stored");
        return;
    }
    let picture = image::open(folder.join(format!("{number:08}.png"))).expect("a picture").into_rgb8();
    assert!(picture.into_raw() == segfuse::data::to_rgb8(image).expect("a picture"), "frame {number}");
}

/// The stored values are the labels and the colours are the table's, by another decoder than the one that writes.
fn check_labels(folder: &Path, number: u64, labels: &[u8], table: &ClassTable) {
    let path = folder.join(format!("{number:08}.png"));
    let colors = image::open(&path).expect("a picture").into_rgb8();
    assert!(colors.pixels().zip(labels).all(|(color, &label)| color.0 == table.color_of(label)), "frame {number}");
    let mut decoder = png::Decoder::new(std::io::BufReader::new(std::fs::File::open(&path).expect("written")));
    decoder.set_transformations(png::Transformations::IDENTITY);
    let mut reader = decoder.read_info().expect("PNG");
    let mut values = vec![0; reader.output_buffer_size().expect("small")];
    reader.next_frame(&mut values).expect("PNG");
    assert!(values == labels, "frame {number}");
}

#[test]
fn the_table_of_states_has_every_digit_and_every_validity() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("trip.mcap");
    write(&path, 30, &config());
    let mut table = Vec::new();
    assert_eq!(export_states(&path, Range::default(), &mut table).expect("a whole trip"), 30);
    let mut reader = csv::Reader::from_reader(&table[..]);
    let header = "stamp_s,speed_mps,speed_mps_validity,longitudinal_acceleration_mps2,longitudinal_acceleration_mps2_validity,lateral_acceleration_mps2,lateral_acceleration_mps2_validity,steering_wheel_angle_rad,steering_wheel_angle_rad_validity,steering_wheel_angle_deg,steering_wheel_angle_deg_validity,yaw_rate_radps,yaw_rate_radps_validity";
    assert_eq!(reader.headers().expect("a header").iter().collect::<Vec<_>>().join(","), header);
    for (number, row) in (0..30).zip(reader.records()) {
        let row = row.expect("a row");
        let (events, _, _) = step(number);
        let Event::State(sample) = &events[2] else { panic!("the third event of a step is its state") };
        assert_eq!(&row[0], format!("{:.9}", sample.taken.ns as f64 / 1e9), "row {number}");
        let speed = sample.state.get(Quantity::Speed).expect("always known");
        assert_eq!(row[1].parse::<f64>().expect("a number").to_bits(), speed.value.to_bits(), "row {number}");
        assert_eq!(&row[2] == "valid", speed.validity == Validity::Valid, "row {number}");
        let angle = sample.state.get(Quantity::SteeringWheelAngle);
        assert_eq!(row[7].parse().ok(), angle.map(|reading| reading.value), "row {number}");
        assert_eq!(row[9].parse().ok(), angle.map(|reading| reading.value.to_degrees()), "row {number}");
        assert!(row[3].is_empty() && row[4].is_empty() && row[11].is_empty(), "row {number}");
    }
}
