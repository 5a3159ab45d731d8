//! Folders of masks and labels are matched by name; whatever does not fit is told with its file's name.

use segfuse::data::ClassTable;
use segfuse::evaluate::folders::Folders;
use segfuse::evaluate::{Config, EvaluateError, Evaluation, Evaluator, evaluate};
use std::fs;
use std::path::{Path, PathBuf};

struct Set {
    folder: tempfile::TempDir,
}

impl Set {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["masks", "labels", "pictures"] {
            fs::create_dir(folder.path().join(name)).expect("a folder");
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A 2x2 picture of `values`.
    fn grey(&self, name: &str, values: [u8; 4]) -> &Self {
        write(&self.path(name), png::ColorType::Grayscale, &values);
        self
    }

    fn evaluate(&self) -> Result<Evaluation, EvaluateError> {
        let folders = Folders {
            predictions: self.path("masks"),
            truth: self.path("labels"),
            truth_classes: "camvid".into(),
            images: Some(self.path("pictures")),
        };
        let camvid = ClassTable::camvid();
        evaluate(folders.items()?, Evaluator::new(camvid.clone(), &camvid, &Config::default())?)
    }
}

fn write(path: &Path, color: png::ColorType, bytes: &[u8]) {
    let mut encoder = png::Encoder::new(fs::File::create(path).expect("a file"), 2, 2);
    encoder.set_color(color);
    if color == png::ColorType::Indexed {
        encoder.set_palette([9; 3 * 12].as_slice());
    }
    encoder.write_header().expect("a header").write_image_data(bytes).expect("pixels");
}

#[test]
fn files_are_matched_by_name_and_the_others_counted() {
    let set = Set::new();
    set.grey("masks/a.png", [3, 3, 8, 8]).grey("labels/a.png", [3, 3, 3, 11]);
    set.grey("masks/only-mask.png", [0; 4]).grey("labels/only-label.png", [0; 4]);
    fs::write(set.path("masks/notes.txt"), "not a mask").expect("a file");
    let found = set.evaluate().expect("one pair");
    assert_eq!((found.frames, found.frames_seen), (1, 2));
    assert_eq!((found.skipped.frames_without_truth, found.skipped.truth_without_prediction), (1, 1));
    assert_eq!(found.pixels.labelled, 3);
    assert!(found.to_string().contains("only-label has labels but no prediction"), "{found}");
}

#[test]
fn masks_of_another_size_are_told_with_both_sizes() {
    let set = Set::new();
    set.grey("masks/a.png", [3; 4]).grey("labels/a.png", [3; 4]);
    for name in ["b", "c"] {
        set.grey(&format!("masks/{name}.png"), [3; 4]);
        let labels = image::GrayImage::from_pixel(5, 3, image::Luma([3]));
        labels.save(set.path(&format!("labels/{name}.png"))).expect("room");
    }
    let found = set.evaluate().expect("three pairs");
    assert_eq!((found.frames, found.resized_predictions), (3, 2));
    let json = serde_json::to_value(&found).expect("plain values");
    assert_eq!(json["resized"], serde_json::json!([{ "from": "2x2", "to": "5x3", "frames": 2 }]));
    assert!(found.notices().iter().any(|notice| notice.contains("2 from 2x2 to 5x3")), "{found}");
    let program = std::process::Command::new(env!("CARGO_BIN_EXE_segfuse"))
        .args(["--quiet", "evaluate", "--classes", "camvid", "--prediction-classes", "camvid", "--predictions"])
        .args([set.path("masks").as_os_str(), "--truth".as_ref(), set.path("labels").as_os_str()])
        .output()
        .expect("the program starts");
    let warned = String::from_utf8_lossy(&program.stderr);
    assert_eq!(warned.matches("2 from 2x2 to 5x3").count(), 1, "once, before the work: {warned}");
}

#[test]
fn a_palette_png_counts_by_its_indices() {
    let set = Set::new();
    write(&set.path("masks/a.png"), png::ColorType::Indexed, &[3, 3, 8, 8]);
    set.grey("labels/a.PNG", [3, 3, 8, 8]);
    assert_eq!(set.evaluate().expect("one pair").miou, Some(100.0));
}

#[test]
fn pictures_are_shown_where_there_are_any() {
    let set = Set::new();
    set.grey("masks/a.png", [3; 4]).grey("labels/a.png", [3; 4]).grey("pictures/a.png", [90; 4]);
    set.grey("masks/b.png", [3; 4]).grey("labels/b.png", [3; 4]);
    let found = set.evaluate().expect("two pairs");
    assert_eq!(found.shown_frames.len(), 1, "b is of the same moment and no worse");
    assert!(found.shown_frames[0].picture.is_ok());
}

/// A name, what spoils the set, and words of the error.
type Case = (&'static str, fn(&Set), &'static str);

#[test]
fn bad_files_are_told_by_name_with_the_remedy() {
    let cases: [Case; 6] = [
        ("no pair", |set| _ = set.grey("labels/b.png", [0; 4]), "matched by their names"),
        ("no folder", |set| fs::remove_dir_all(set.path("labels")).expect("a folder"), "labels: No such file"),
        ("empty file", |set| fs::write(set.path("labels/a.png"), "").expect("a file"), "a.png"),
        ("not a PNG", |set| fs::write(set.path("labels/a.png"), [7; 99]).expect("a file"), "a.png"),
        (
            "colours",
            |set| write(&set.path("labels/a.png"), png::ColorType::Rgb, &[0; 12]),
            "a.png: is Rgb with Eight bits: labels are 8-bit grey or palette PNGs",
        ),
        ("twins", |set| _ = set.grey("labels/a.png", [0; 4]).grey("labels/a.PNG", [0; 4]), "has the same name as"),
    ];
    for (case, prepare, expected) in cases {
        let set = Set::new();
        set.grey("masks/a.png", [3; 4]);
        prepare(&set);
        let error = set.evaluate().expect_err(case).to_string();
        assert!(error.contains(expected), "{case}: {error}");
    }
}

#[test]
fn a_label_file_cut_anywhere_is_an_error_and_never_a_figure() {
    let set = Set::new();
    set.grey("masks/a.png", [3; 4]).grey("labels/a.png", [3; 4]);
    let whole = fs::read(set.path("labels/a.png")).expect("the file");
    // The last 12 bytes are the IEND chunk: without it every pixel is still there.
    for length in 0..whole.len() - 12 {
        fs::write(set.path("labels/a.png"), &whole[..length]).expect("a file");
        assert!(set.evaluate().is_err(), "cut at {length} of {}", whole.len());
    }
}
