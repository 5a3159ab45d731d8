//! The report is one file that needs nothing else, whatever the names in it are.

use segfuse::data::{ClassTable, GroundTruth, Image, LabelMask, PixelFormat, Plane, Size, Stamp};
use segfuse::evaluate::report::{self, ReportContext};
use segfuse::evaluate::{Config, Evaluation, EvaluationItem, Evaluator};

const EVIL: &str = "\"><script>alert(1)</script><img src=http://example.org/x.png>";

/// 40 frames of a moving edge between road and car; every frame at its own distance.
fn evaluation(with_truth: bool) -> Evaluation {
    let size = Size::new(64, 48);
    let edge = |at: u32| -> Vec<u8> { (0..size.pixels()).map(|i| if i as u32 % 64 < at { 3 } else { 8 }).collect() };
    let camvid = ClassTable::camvid();
    let mut evaluator = Evaluator::new(camvid.clone(), &camvid, &Config::default()).expect("camvid");
    for index in 0..40_u32 {
        let stamp = Stamp::from_ns(u64::from(index) * 66_000_000);
        let labels = Plane::new(size, edge(20).into()).expect("one a pixel");
        let image = Image::packed(PixelFormat::Rgb8, size, vec![120; size.pixels() * 3].into());
        let item = EvaluationItem {
            name: format!("{index}{EVIL}"),
            stamp: Some(stamp),
            distance: Some(index % 5),
            prediction: LabelMask::new(size, edge(20 + index % 5).into()).expect("one a pixel"),
            truth: with_truth.then(|| GroundTruth { stamp, labels, classes: "camvid".into() }),
            image: Some(image.expect("three a pixel")),
            // Margins of 8 in the left half, of half a unit in the right.
            confidence: Some(
                Plane::new(
                    size,
                    (0..size.pixels()).map(|i| if i % 64 < 32 { 128 } else { 8 }).collect::<Vec<u8>>().into(),
                )
                .expect("one a pixel"),
            ),
        };
        evaluator.push(&item).expect("camvid");
    }
    evaluator.finish()
}

fn context() -> ReportContext {
    let facts = vec![(EVIL.to_owned(), EVIL.to_owned())];
    ReportContext { title: EVIL.into(), subtitle: EVIL.into(), facts, zero: None }
}

#[test]
fn no_name_from_outside_becomes_markup() {
    let mut found = evaluation(true);
    found.engine = Some(EVIL.into());
    found.class_table = EVIL.into();
    found.classes[3].name = EVIL.into();
    found.skipped.reasons = vec![EVIL.into()];
    let html = report::render(&found, &context()).expect("a page");
    assert!(!html.contains("<script") && !html.contains("<img src=http"));
    assert!(html.matches("&lt;script").count() >= 10, "the names are shown, escaped");
}

#[test]
fn a_report_loads_nothing_and_shows_every_part() {
    let html = report::render(&evaluation(true), &ReportContext::default()).expect("a page");
    for outside in ["src=\"http", "href=", "url(", "@import", "<link", "<script"] {
        assert!(!html.contains(outside), "{outside}");
    }
    assert!(html.contains("default-src 'none'") && html.contains("prefers-color-scheme: dark"));
    for part in [
        "Classes",
        "distance from the key frame",
        "Confidence and truth",
        "mIoU over time",
        "Confusion",
        "Worst frames",
        "defined",
    ] {
        assert!(html.contains(part), "{part}");
    }
    assert_eq!((html.matches("<svg").count(), html.matches("<figure>").count()), (4, 8 * 4));
    assert!(html.len() < 1_000_000, "{} bytes", html.len());
}

#[test]
fn without_labels_there_is_still_a_report_of_what_is_known() {
    let html = report::render(&evaluation(false), &ReportContext::default()).expect("a page");
    assert!(html.contains("What the masks show over time") && html.contains("unchanged pixels"));
    assert!(html.contains("40 frames have no labels"));
    assert!(!html.contains("Worst frames") && !html.contains("Confusion</h2>"));
    assert_eq!(html.matches("<figure>").count(), 5 * 2, "samples: picture and mask");
}

#[test]
fn an_empty_evaluation_and_one_frame_are_pages_too() {
    let camvid = ClassTable::camvid();
    let evaluator = Evaluator::new(camvid.clone(), &camvid, &Config::default()).expect("camvid");
    let html = report::render(&evaluator.finish(), &ReportContext::default()).expect("a page");
    assert!(!html.contains("<svg"), "nothing to plot");
}

#[test]
fn writing_replaces_the_file_in_one_step_and_names_it_when_it_cannot() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("eval.html");
    std::fs::write(&path, "old").expect("a file");
    report::write(&path, &evaluation(true), &context()).expect("written");
    assert!(std::fs::read_to_string(&path).expect("the file").starts_with("<!DOCTYPE html>"));
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1, "nothing left beside it");
    let missing = folder.path().join("no/such/eval.html");
    let error = report::write(&missing, &evaluation(true), &context()).expect_err("no such folder");
    assert!(error.to_string().contains("no/such/eval.html"), "{error}");
}
