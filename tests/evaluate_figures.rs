//! The figures are those of the definitions: worked by hand, by properties, and by another program.

mod support;

use proptest::prelude::*;
use segfuse::data::{ClassTable, GroundTruth, LabelMask, Plane, Size, Stamp};
use segfuse::evaluate::folders::Folders;
use segfuse::evaluate::{Config, EvaluateError, Evaluation, EvaluationItem, Evaluator, evaluate};
use std::path::Path;

const SIZE: Size = Size::new(6, 4);
const PIXELS: usize = 24;

fn truth(size: Size, labels: &[u8], classes: &str) -> GroundTruth {
    let labels = Plane::new(size, labels.to_vec().into()).expect("one label a pixel");
    GroundTruth { stamp: Stamp::ZERO, labels, classes: classes.into() }
}

fn item(prediction: &[u8], labels: Option<&[u8]>) -> EvaluationItem {
    EvaluationItem {
        name: "frame".into(),
        stamp: None,
        distance: None,
        prediction: LabelMask::new(SIZE, prediction.to_vec().into()).expect("one label a pixel"),
        truth: labels.map(|labels| truth(SIZE, labels, "camvid")),
        image: None,
        confidence: None,
    }
}

/// Masks in ids of CamVid itself.
fn evaluator() -> Evaluator {
    Evaluator::new(ClassTable::camvid(), &ClassTable::camvid(), &Config::default()).expect("camvid in camvid")
}

fn figures(frames: &[(Vec<u8>, Vec<u8>)]) -> Evaluation {
    let items = frames.iter().map(|(prediction, labels)| Ok(item(prediction, Some(labels))));
    evaluate(items, evaluator()).expect("frames of one size")
}

fn labels() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(prop_oneof![0_u8..11, Just(11), Just(255)], PIXELS)
}

fn frames() -> impl Strategy<Value = Vec<(Vec<u8>, Vec<u8>)>> {
    proptest::collection::vec((labels(), labels()), 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_order_of_frames_changes_no_figure_of_the_whole_set(mut frames in frames(), turn in 0_usize..12) {
        let before = figures(&frames);
        let middle = turn % frames.len();
        frames.rotate_left(middle);
        frames.reverse();
        let after = figures(&frames);
        prop_assert_eq!(before.miou.map(f64::to_bits), after.miou.map(f64::to_bits));
        prop_assert_eq!(before.confusion, after.confusion);
    }

    #[test]
    fn the_matrix_holds_exactly_the_labelled_pixels(frames in frames()) {
        let found = figures(&frames);
        let labelled = frames.iter().flat_map(|(_, truth)| truth).filter(|&&label| label < 11).count() as u64;
        prop_assert_eq!(found.confusion.iter().flatten().sum::<u64>(), labelled);
        prop_assert_eq!(found.pixels.labelled + found.pixels.ignored, (frames.len() * PIXELS) as u64);
    }

    #[test]
    fn masks_equal_to_the_truth_are_perfect(truths in proptest::collection::vec(labels(), 1..12)) {
        prop_assume!(truths.iter().flatten().any(|&label| label < 11));
        let frames: Vec<_> = truths.into_iter().map(|truth| (truth.clone(), truth)).collect();
        let found = figures(&frames);
        prop_assert_eq!((found.miou, found.pixel_accuracy), (Some(100.0), Some(100.0)));
        prop_assert!(found.temporal_consistency.vc8.is_none_or(|vc| (vc - 100.0).abs() < 1e-9));
    }

    #[test]
    fn one_more_wrong_pixel_never_raises_the_accuracy(frames in frames(), place in 0_usize..PIXELS) {
        let mut worse = frames.clone();
        let (prediction, _) = &mut worse[0];
        prediction[place] = 255;
        prop_assert!(figures(&worse).pixel_accuracy <= figures(&frames).pixel_accuracy);
    }
}

#[test]
fn classes_absent_from_truth_and_masks_are_left_out_of_the_mean_and_named() {
    let mut prediction = vec![3; PIXELS];
    prediction[0] = 8;
    let found = figures(&[(prediction, vec![3; PIXELS])]);
    assert_eq!(found.miou, Some(100.0 * 23.0 / 24.0 / 2.0), "road, and car with 0");
    assert_eq!(found.classes_left_out.len(), 9);
    assert!(found.to_string().contains("not in the mean: sky, building, pole, pavement"), "{found}");
}

#[test]
fn each_distance_has_the_figures_of_its_own_frames() {
    let mut evaluator = evaluator();
    for (distance, wrong) in [(0, 0), (1, 6), (0, 0), (1, 12), (1_000_000, 24)] {
        let prediction: Vec<u8> = (0..PIXELS).map(|pixel| if pixel < wrong { 4 } else { 3 }).collect();
        let item = EvaluationItem { distance: Some(distance), ..item(&prediction, Some(&[3; PIXELS])) };
        evaluator.push(&item).expect("camvid labels");
    }
    let found: Vec<_> =
        evaluator.finish().per_distance.iter().map(|at| (at.distance, at.frames, at.pixel_accuracy)).collect();
    assert_eq!(found, [(0, 2, Some(100.0)), (1, 2, Some(62.5)), (128, 1, Some(0.0))]);
}

#[test]
fn confidence_is_compared_with_truth_for_key_frames_and_propagated_ones() {
    let mut evaluator = evaluator();
    for (distance, wrong, margin) in [(0, 0, 128), (1, 12, 0), (2, 6, 0)] {
        let prediction: Vec<u8> = (0..PIXELS).map(|pixel| if pixel < wrong { 4 } else { 3 }).collect();
        let confidence = Plane::new(SIZE, vec![margin; PIXELS].into()).expect("one a pixel");
        let item = item(&prediction, Some(&[3; PIXELS]));
        let item = EvaluationItem { distance: Some(distance), confidence: Some(confidence), ..item };
        evaluator.push(&item).expect("camvid labels");
    }
    let found = evaluator.finish();
    let rights: Vec<_> = found.calibration.iter().map(|part| (part.of, part.pixels, part.right)).collect();
    assert_eq!(rights, [("all frames", 72, 75.0), ("key frames", 24, 100.0), ("propagated frames", 48, 62.5)]);
    let [_, keys, propagated] = &found.calibration[..] else { panic!("three parts") };
    assert!(keys.ece < 0.05, "a margin of 8 claims 99.97 %: {keys:?}");
    assert!((propagated.ece - (62.5 - propagated.claimed)).abs() < 1e-9 && propagated.claimed < 52.0, "{propagated:?}");
    assert!(found.to_string().contains("propagated frames"), "{found}");
    let json = serde_json::to_value(&found).expect("plain values");
    assert_eq!(json["calibration"][2]["right"], 62.5);
}

#[test]
fn a_mask_of_another_size_is_resized_to_its_labels_and_told() {
    let small = LabelMask::new(Size::new(2, 1), vec![3, 4].into()).expect("two labels");
    let truth = truth(Size::new(4, 2), &[3, 3, 4, 4, 3, 3, 4, 3], "camvid");
    let mut evaluator = evaluator();
    let item = EvaluationItem { prediction: small, truth: Some(truth), ..item(&[0; PIXELS], None) };
    evaluator.push(&item).expect("camvid labels");
    let found = evaluator.finish();
    assert_eq!((found.pixel_accuracy, found.resized_predictions), (Some(87.5), 1));
}

#[test]
fn labels_and_masks_of_other_tables_are_mapped_by_name() {
    let cityscapes = ClassTable::cityscapes();
    let mut evaluator = Evaluator::new(ClassTable::camvid(), &cityscapes, &Config::default()).expect("covered");
    // Cityscapes 13 car and 14 truck are both CamVid's car; 77 is nothing and a miss.
    let prediction: Vec<u8> = [13, 14, 77].into_iter().cycle().take(PIXELS).collect();
    let truth = truth(SIZE, &[14; PIXELS], "cityscapes");
    evaluator.push(&EvaluationItem { truth: Some(truth), ..item(&prediction, None) }).expect("built-in table");
    let found = evaluator.finish();
    assert_eq!(found.per_class.0[8], ("car".to_owned(), Some(100.0 * 16.0 / 24.0)));
    assert_eq!((found.confusion[8][11], found.pixels.unknown_predicted), (8, 8));
}

#[test]
fn tables_that_do_not_go_together_are_refused() {
    let (camvid, cityscapes) = (ClassTable::camvid(), ClassTable::cityscapes());
    let error = Evaluator::new(cityscapes.clone(), &camvid, &Config::default()).expect_err("no mapping");
    assert!(error.to_string().contains("says nothing of the classes of 'camvid'"), "{error}");
    let mut evaluator = evaluator();
    let strange = truth(SIZE, &[0; PIXELS], "martian");
    let error = evaluator.push(&EvaluationItem { truth: Some(strange), ..item(&[0; PIXELS], None) });
    assert!(error.expect_err("no such table").to_string().contains("no class table named 'martian'"));
    let martian = cityscapes.to_toml().replacen("cityscapes", "martian", 1);
    let martian = ClassTable::from_toml(&martian).expect("the same under another name");
    assert!(evaluator.with_truth_table(&martian).is_err(), "camvid covers cityscapes only");
}

#[test]
fn what_cannot_be_had_is_counted_and_what_must_stop_stops() {
    let skipped = || EvaluateError::Skipped { name: "7".into(), reason: "cut short".into() };
    let missing = || EvaluateError::MissingPrediction { name: "8".into() };
    let items =
        [Ok(item(&[3; PIXELS], None)), Err(skipped()), Err(missing()), Ok(item(&[3; PIXELS], Some(&[3; PIXELS])))];
    let found = evaluate(items, evaluator()).expect("skipping goes on");
    assert_eq!((found.frames, found.frames_seen), (1, 2));
    let left_out = &found.skipped;
    assert_eq!((left_out.frames_without_truth, left_out.truth_without_prediction, left_out.unreadable), (1, 1, 1));
    assert_eq!(left_out.reasons, ["skipped 7: cut short", "8 has labels but no prediction"]);
    assert!(evaluate([Err(EvaluateError::Empty)], evaluator()).is_err());
    let nothing: [Result<EvaluationItem, EvaluateError>; 0] = [];
    assert!(matches!(evaluate(nothing, evaluator()), Err(EvaluateError::Empty)));
}

#[test]
fn without_labels_the_table_tells_what_the_masks_show_and_no_figure() {
    let text = evaluate([Ok(item(&[3; PIXELS], None))], evaluator()).expect("one mask").to_string();
    assert!(text.contains("100.00 %  road") && text.contains("1 frames have no labels"), "{text}");
    assert!(!text.contains("mIoU") && !text.contains("sky"), "{text}");
}

#[test]
fn the_json_has_the_documented_keys_and_null_for_what_is_not_known() {
    let found = figures(&[(vec![3; PIXELS], vec![3; PIXELS])]);
    let json = serde_json::to_value(&found).expect("plain values");
    assert_eq!((&json["frames"], &json["miou"], &json["pixel_accuracy"]), (&1.into(), &100.0.into(), &100.0.into()));
    assert_eq!(json["per_class"]["road"], 100.0);
    assert!(json["per_class"]["sky"].is_null() && json["per_distance"].as_array().is_some_and(Vec::is_empty));
    for key in ["classes", "temporal_consistency", "skipped", "engine", "network", "confusion", "timeline"] {
        assert!(json.get(key).is_some(), "{key}");
    }
}

/// Labels of CamVid, each frame predicted by the labels of the frame before: figures computed with numpy.
#[test]
fn figures_on_real_labels_equal_those_of_another_program() {
    let Some(data) = support::shared_data("figures_on_real_labels") else { return };
    let folder = data.join("camvid/sequence_15hz/label");
    let found = evaluate(delayed(&folder), evaluator()).expect("61 label images");
    let steady = found.temporal_consistency;
    for (what, value, expected) in [
        ("miou", found.miou, 76.330_380_849_391_55),
        ("accuracy", found.pixel_accuracy, 95.125_369_364_237_6),
        ("fence", found.per_class.0[7].1, 78.658_892_78),
        ("unchanged", steady.unchanged, 94.575_250_771_604_94),
        ("steady", steady.steady, 96.539_678_180_366_79),
        ("flicker", steady.flicker, 1.382_307_360_326_428),
        ("vc8", steady.vc8, 98.251_550_861_249_5),
        ("vc16", steady.vc16, 99.014_694_412_348_36),
    ] {
        let value = value.expect(what);
        assert!((value - expected).abs() < 2e-8, "{what}: {value}, expected {expected}");
    }
}

fn delayed(folder: &Path) -> impl Iterator<Item = Result<EvaluationItem, EvaluateError>> {
    let folders =
        Folders { predictions: folder.into(), truth: folder.into(), truth_classes: "camvid".into(), images: None };
    let mut before: Option<LabelMask> = None;
    folders.items().expect("a folder of labels").map(move |item| {
        item.map(|mut item| {
            let own = item.prediction.clone();
            item.prediction = before.replace(own.clone()).unwrap_or(own);
            item
        })
    })
}
