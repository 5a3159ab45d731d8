//! Flow comes from and goes into the files of the field's benchmarks, and is measured as their own tools measure it.

mod support;

use proptest::prelude::*;
use segfuse::flow::{FlowErrors, FlowField};
use std::path::{Path, PathBuf};
use support::{segfuse, segfuse_ok, shared_data};

const NAN: f32 = f32::NAN;

/// One row of motions.
fn row(motions: &[[f32; 2]]) -> FlowField {
    let along = |axis: usize| motions.iter().map(move |motion| motion[axis]);
    FlowField { rows: 1, cols: motions.len(), values: along(0).chain(along(1)).collect() }
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        std::fs::write(self.path(name), bytes).expect("a small file");
        self.path(name)
    }

    /// A picture of 320x200: a smooth texture, `shift` pixels to the left.
    fn picture(&self, name: &str, shift: f32) -> PathBuf {
        let wave = |fx: f32, fy: f32, x: f32, y: f32| (fx * x + fy * y).sin();
        let pixel = |x: u32, y: u32| {
            let (x, y) = (x as f32 + shift, y as f32);
            let sum =
                wave(0.11, 0.05, x, y) + wave(-0.04, 0.13, x, y) + wave(0.31, 0.17, x, y) + wave(-0.19, 0.37, x, y);
            image::Luma([(127.0 + 28.0 * sum) as u8])
        };
        image::GrayImage::from_fn(320, 200, pixel).save(self.path(name)).expect("a picture");
        self.path(name)
    }
}

fn json_of(output: &str) -> serde_json::Value {
    serde_json::from_str(output).expect("JSON")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain name")
}

#[test]
fn kittis_sample_is_as_far_off_as_its_development_kit_says() {
    let Some(data) = shared_data("kittis_sample_is_as_far_off_as_its_development_kit_says") else { return };
    let [found, real] = ["flow_est.png", "flow_gt.png"].map(|name| data.join("kitti_flow_devkit").join(name));
    let errors = json_of(&segfuse_ok(&["flow", "compare", text(&found), text(&real), "--json"]));
    let figure = |name: &str| errors[name].as_f64().expect("a figure");
    assert!((figure("end_point_error") - 12.2007).abs() < 5e-5, "{errors}");
    assert!((figure("outliers") - 20.688).abs() < 5e-4, "{errors}");
    let told = segfuse_ok(&["flow", "compare", text(&found), text(&real)]);
    assert!(told.contains("12.2007 pixels") && told.contains("20.688 %"), "{told}");
}

#[test]
fn an_outlier_is_off_by_more_than_three_pixels_and_more_than_a_twentieth() {
    let truth = row(&[[0.0, 0.0], [0.0, 0.0], [100.0, 0.0], [100.0, 0.0], [NAN, NAN], [1.0, 1.0]]);
    let found = row(&[[3.0, 0.0], [0.0, 3.1], [104.9, 0.0], [105.1, 0.0], [9.0, 9.0], [NAN, 1.0]]);
    let errors = FlowErrors::between(&found, &truth).expect("equal sizes");
    assert_eq!((errors.known, errors.estimated), (5, 4));
    let mean = errors.end_point_error.expect("four are known");
    assert!((mean - (3.0 + 3.1 + 4.9 + 5.1) / 4.0).abs() < 1e-5, "{mean}");
    assert_eq!(errors.outliers, Some(60.0), "the second, the fourth and the one that is not estimated");
}

#[test]
fn what_is_known_nowhere_has_no_figure() {
    let (nothing, something) = (row(&[[NAN, NAN]]), row(&[[1.0, 1.0]]));
    let of_nothing = FlowErrors::between(&something, &nothing).expect("equal sizes");
    assert_eq!((of_nothing.known, of_nothing.end_point_error, of_nothing.outliers), (0, None, None));
    let by_nothing = FlowErrors::between(&nothing, &something).expect("equal sizes");
    assert_eq!((by_nothing.end_point_error, by_nothing.outliers), (None, Some(100.0)));
    FlowErrors::between(&row(&[[0.0; 2]; 3]), &something).expect_err("two sizes");
}

#[test]
fn files_have_the_bytes_that_the_formats_say() {
    let folder = Folder::new();
    let field = row(&[[1.5, -2.0], [NAN, 0.0]]);
    let beside = folder.write("flow.part", b"of somebody else");
    field.write(&folder.path("flow.flo")).expect("written");
    assert_eq!(std::fs::read(&beside).expect("still there"), b"of somebody else");
    let numbers = [1.5_f32, -2.0, 1e10, 1e10].map(f32::to_le_bytes).concat();
    let expected = [b"PIEH".as_slice(), &[2, 0, 0, 0, 1, 0, 0, 0], &numbers].concat();
    assert_eq!(std::fs::read(folder.path("flow.flo")).expect("a file"), expected);
    field.write(&folder.path("flow.png")).expect("written");
    let picture = image::open(folder.path("flow.png")).expect("a PNG").into_rgb16();
    assert_eq!(picture.into_raw(), [32_768 + 96, 32_768 - 128, 1, 0, 0, 0]);
    assert_eq!(std::fs::read_dir(folder.0.path()).expect("a folder").count(), 3, "nothing else is left");
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(
        (rows, cols) in (1_usize..5, 1_usize..5),
        motions in prop::collection::vec(prop_oneof![4 => prop::array::uniform2(-32_000_i16..32_000), 1 => Just([i16::MIN; 2])], 16),
    ) {
        // Steps of 1/64 pixel, which both formats hold exactly.
        let motion = |index: usize, axis: usize| match motions[index] {
            [i16::MIN, _] => NAN,
            known => f32::from(known[axis]) / 64.0,
        };
        let cells = rows * cols;
        let values = (0..2 * cells).map(|value| motion(value % cells, value / cells)).collect();
        let field = FlowField { rows, cols, values };
        let folder = Folder::new();
        for name in ["flow.flo", "flow.PNG"] {
            field.write(&folder.path(name)).expect("written");
            let read = FlowField::read(&folder.path(name)).expect("read");
            prop_assert_eq!((read.rows, read.cols), (rows, cols));
            let bits = |field: &FlowField| field.values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&read), bits(&field));
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..60), ending in prop_oneof![Just("flo"), Just("png")]) {
        let folder = Folder::new();
        for head in [&b""[..], b"PIEH", b"\x89PNG\r\n\x1a\n"] {
            let path = folder.write(&format!("any.{ending}"), &[head, &bytes].concat());
            if let Ok(field) = FlowField::read(&path) {
                prop_assert_eq!(field.values.len(), 2 * field.rows * field.cols);
            }
        }
    }
}

#[test]
fn wrong_files_are_told_with_what_is_wrong() {
    let folder = Folder::new();
    let flo = |cols: i32, rows: i32, values: usize| {
        [&b"PIEH"[..], &cols.to_le_bytes(), &rows.to_le_bytes(), &vec![0; values]].concat()
    };
    let grey = folder.picture("grey.png", 0.0);
    let cases: [(&str, PathBuf, &str); 9] = [
        ("missing", folder.path("nowhere.flo"), "No such file"),
        ("another ending", folder.write("flow.txt", b""), "ends in .flo (Middlebury) or .png (KITTI, 16 bits)"),
        ("a picture", grey, "KITTI's flow has Rgb of Sixteen"),
        ("text", folder.write("text.png", b"flow"), "text.png"),
        ("another beginning", folder.write("begin.flo", b"HEIP\0\0\0\0\0\0\0\0"), "begins with [48, 45, 49, 50]"),
        ("cut header", folder.write("header.flo", b"PIEH\x01"), "ends within its header"),
        ("cut", folder.write("cut.flo", &flo(2, 2, 31)), "2x2 motions are 32 bytes, it has 31"),
        ("longer", folder.write("long.flo", &flo(2, 2, 33)), "2x2 motions are 32 bytes, it has more"),
        ("no size", folder.write("size.flo", &flo(-2, 1_000_000, 0)), "-2x1000000: expected 1x1 to 16384x16384"),
    ];
    let faults = cases.into_iter().filter_map(|(what, path, word)| {
        let told = FlowField::read(&path).map_or_else(|error| error.to_string(), |_| "(read)".into());
        let named = told.contains(path.file_name().expect("a file").to_str().expect("a plain name"));
        (!named || !told.contains(word)).then(|| format!("{what}: {told}"))
    });
    let faults: Vec<String> = faults.collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn a_motion_that_kittis_file_cannot_hold_is_refused_and_nothing_is_written() {
    let folder = Folder::new();
    let field = row(&[[511.9, -512.0], [NAN, 9000.0], [1.0, 512.1]]);
    let error = field.write(&folder.path("flow.png")).expect_err("512.1 pixels").to_string();
    assert!(error.contains("512.1") && error.contains(".flo") && !folder.path("flow.png").exists(), "{error}");
    field.write(&folder.path("flow.flo")).expect("written");
    let read = FlowField::read(&folder.path("flow.flo")).expect("just written");
    assert!((read.at(0, 2)[1] - 512.1).abs() < 1e-3);
    row(&[[511.9, -512.0]]).write(&folder.path("flow.png")).expect("as far as it goes");
}

#[test]
fn a_checked_estimate_leaves_out_what_left_the_picture_and_keeps_the_rest() {
    let folder = Folder::new();
    let [first, second] = [("first.png", 0.0), ("second.png", 6.0)].map(|(name, shift)| folder.picture(name, shift));
    let out = folder.path("flow.png");
    let told = segfuse_ok(&["flow", "estimate", text(&first), text(&second), "--out", text(&out), "--check"]);
    assert!(told.contains("% left out"), "{told}");
    let flow = FlowField::read(&out).expect("written");
    let unknown = |cols: std::ops::Range<usize>| {
        let cells = cols.len() * flow.rows;
        let unknown = |col: usize| (0..flow.rows).filter(|row| flow.at(*row, col)[0].is_nan()).count();
        cols.map(unknown).sum::<usize>() as f64 / cells as f64
    };
    // What was less than 6 pixels from the left edge has left the picture.
    assert!(unknown(0..5) > 0.9 && unknown(10..310) < 0.1, "{} {}", unknown(0..5), unknown(10..310));
}

#[test]
fn the_command_estimates_where_each_pixel_of_the_first_picture_is_in_the_second() {
    let folder = Folder::new();
    let (first, second) = (folder.picture("first.png", 0.0), folder.picture("second.png", 6.0));
    for name in ["flow.png", "flow.flo"] {
        let (out, truth) = (folder.path(name), folder.path("truth.flo"));
        let told = segfuse_ok(&["flow", "estimate", text(&first), text(&second), "--out", text(&out)]);
        assert!(told.contains("320x200"), "{told}");
        // Content that lay 6 pixels further right has come to the left; what left the picture is not known.
        let known = |cell: usize| if cell % 320 < 8 { NAN } else { -6.0 };
        let values = (0..320 * 200).map(known).chain(std::iter::repeat_n(0.0, 320 * 200)).collect();
        FlowField { rows: 200, cols: 320, values }.write(&truth).expect("written");
        let errors = json_of(&segfuse_ok(&["flow", "compare", text(&out), text(&truth), "--json"]));
        assert!(errors["end_point_error"].as_f64().is_some_and(|error| error < 0.2), "{errors}");
        assert_eq!(errors["outliers"].as_f64(), Some(0.0));
    }
}

#[test]
fn the_commands_say_what_they_cannot_do() {
    let folder = Folder::new();
    let (picture, small) = (folder.picture("picture.png", 0.0), folder.path("small.png"));
    image::GrayImage::new(64, 48).save(&small).expect("a picture");
    let strip = folder.path("strip.png");
    image::GrayImage::new(2000, 40).save(&strip).expect("a picture");
    let text_file = folder.write("notes.jpg", b"no picture");
    row(&[[0.0; 2]; 2]).write(&folder.path("two.flo")).expect("written");
    row(&[[NAN; 2]; 3]).write(&folder.path("unknown.flo")).expect("written");
    let [picture, small, notes, strip] = [&picture, &small, &text_file, &strip].map(|path| text(path));
    let (out, two, unknown) = (folder.path("out.flo"), folder.path("two.flo"), folder.path("unknown.flo"));
    let other = folder.path("out.tiff");
    let cases: [(&[&str], i32, &[&str]); 8] = [
        (&["estimate", picture, small, "--out", text(&out)], 1, &["320x200", "64x48", "pictures of one size"]),
        (&["estimate", picture, notes, "--out", text(&out)], 1, &["notes.jpg"]),
        (&["estimate", strip, strip, "--out", text(&out)], 1, &["strip.png", "2000x40", "too small"]),
        (&["estimate", picture, "nowhere.png", "--out", text(&out)], 1, &["nowhere.png"]),
        (&["estimate", picture, picture, "--out", picture], 2, &["picture.png", "overwritten"]),
        (&["estimate", picture, picture, "--out", text(&other)], 1, &["out.tiff", ".flo"]),
        (&["compare", text(&two), text(&unknown)], 1, &["2x1", "3x1", "equal sizes"]),
        (&["compare", text(&unknown), text(&unknown)], 1, &["known nowhere"]),
    ];
    let mut faults = Vec::new();
    for (arguments, status, words) in cases {
        let output = segfuse(&[&["flow"], arguments].concat());
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.code() != Some(status) || words.iter().any(|word| !told.contains(word)) {
            faults.push(format!("{arguments:?}: {:?}\n{told}", output.status.code()));
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    assert!(!out.exists() && !other.exists());
}
