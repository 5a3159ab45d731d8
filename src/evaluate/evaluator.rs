//! Takes frames one by one and keeps only sums: memory does not grow with the length of the set.

use super::calibration::CalibrationRecorder;
use super::confusion::ConfusionMatrix;
use super::evaluation::{DistanceScore, Evaluation, PerClass, Pixels, Resized, Skipped, class_scores, note_resized};
use super::gallery::{Gallery, View};
use super::labels::LabelReader;
use super::temporal::TemporalRecorder;
use super::timeline::{Timeline, TimelinePoint};
use super::{Config, EvaluateError, EvaluationItem};
use crate::data::{ClassTable, GroundTruth};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Distances told apart; frames further from their key frame are counted together at this one.
/// Distances come from files, and each has a matrix: the bound keeps that within megabytes.
const MAX_DISTANCE: u32 = 128;
/// Reasons for skipping that are kept in words.
const MAX_REASONS: usize = 8;

/// Push items, then [`Evaluator::finish`].
///
/// ```
/// # use segfuse::{data::ClassTable, evaluate::{Config, Evaluator}};
/// let evaluator = Evaluator::new(ClassTable::camvid(), &ClassTable::cityscapes(), &Config::default())?;
/// assert_eq!(evaluator.finish().miou, None);
/// # Ok::<(), segfuse::evaluate::EvaluateError>(())
/// ```
#[derive(Debug)]
pub struct Evaluator {
    classes: ClassTable,
    prediction: LabelReader,
    truths: Vec<(Arc<str>, LabelReader)>,
    matrix: ConfusionMatrix,
    /// The matrix of the frame in hand, used again for each.
    frame: ConfusionMatrix,
    distances: BTreeMap<u32, (u64, ConfusionMatrix)>,
    temporal: TemporalRecorder,
    calibration: CalibrationRecorder,
    timeline: Timeline,
    gallery: Gallery,
    shares: Vec<u64>,
    frames: u64,
    frames_seen: u64,
    resized: (u64, Vec<Resized>),
    pixels: Pixels,
    skipped: Skipped,
    predicted: Vec<u8>,
    truth: Vec<u8>,
}

impl Evaluator {
    /// Evaluates in the classes of `classes` masks whose ids are of `predicted`.
    pub fn new(classes: ClassTable, predicted: &ClassTable, config: &Config) -> Result<Self, EvaluateError> {
        config.check()?;
        let count = classes.classes().len();
        Ok(Self {
            prediction: LabelReader::new(&classes, predicted)?,
            truths: vec![(classes.name.as_str().into(), LabelReader::new(&classes, &classes)?)],
            matrix: ConfusionMatrix::new(count),
            frame: ConfusionMatrix::new(count),
            distances: BTreeMap::new(),
            temporal: TemporalRecorder::default(),
            calibration: CalibrationRecorder::new(),
            timeline: Timeline::new(),
            gallery: Gallery::new(config),
            shares: vec![0; count + 1],
            frames: 0,
            frames_seen: 0,
            resized: (0, Vec::new()),
            pixels: Pixels::default(),
            skipped: Skipped::default(),
            predicted: Vec::new(),
            truth: Vec::new(),
            classes,
        })
    }

    /// Also reads labels in ids of `table`. The evaluated table and the built-in ones need no such word.
    pub fn with_truth_table(mut self, table: &ClassTable) -> Result<Self, EvaluateError> {
        let reader = LabelReader::new(&self.classes, table)?;
        self.truths.retain(|(name, _)| **name != *table.name);
        self.truths.push((table.name.as_str().into(), reader));
        Ok(self)
    }

    /// Counts one frame. Frames come in order of time where steadiness is to mean anything.
    pub fn push(&mut self, item: &EvaluationItem) -> Result<(), EvaluateError> {
        match &item.truth {
            Some(truth) => self.compare(item, truth)?,
            None => self.look_at(item),
        }
        self.frames_seen += 1;
        Ok(())
    }

    /// Counts an item that could not be had, if its error is one of those; gives back any other error.
    pub fn skip(&mut self, error: EvaluateError) -> Result<(), EvaluateError> {
        match &error {
            EvaluateError::Skipped { .. } => self.skipped.unreadable += 1,
            EvaluateError::MissingPrediction { .. } => self.skipped.truth_without_prediction += 1,
            _ => return Err(error),
        }
        tracing::debug!(%error, "left out of the evaluation");
        if self.skipped.reasons.len() < MAX_REASONS {
            self.skipped.reasons.push(error.to_string());
        }
        Ok(())
    }

    /// The figures of everything pushed.
    pub fn finish(self) -> Evaluation {
        let classes = class_scores(&self.classes, &self.matrix, &self.shares);
        let left_out = classes.iter().filter(|class| class.iou.is_none() && self.frames > 0);
        Evaluation {
            class_table: self.classes.name.clone(),
            frames: self.frames,
            frames_seen: self.frames_seen,
            miou: self.matrix.miou_percent(),
            pixel_accuracy: self.matrix.pixel_accuracy_percent(),
            per_class: PerClass(classes.iter().map(|class| (class.name.clone(), class.iou)).collect()),
            classes_left_out: left_out.map(|class| class.name.clone()).collect(),
            per_distance: self.distances.iter().map(distance_score).collect(),
            temporal_consistency: self.temporal.consistency(),
            calibration: self.calibration.into_calibrations(),
            pixels: Pixels { labelled: self.matrix.total(), ..self.pixels },
            skipped: self.skipped,
            resized_predictions: self.resized.0,
            resized: self.resized.1,
            engine: None,
            network: None,
            confusion: (0..self.matrix.classes()).map(|class| self.matrix.row(class).to_vec()).collect(),
            timeline: self.timeline.into_points(),
            shown_frames: self.gallery.into_frames(),
            classes,
        }
    }

    fn compare(&mut self, item: &EvaluationItem, truth: &GroundTruth) -> Result<(), EvaluateError> {
        let (size, index) = (truth.labels.size(), self.truth_reader(&truth.classes)?);
        self.pixels.unknown_truth += self.truths[index].1.read(truth.labels.bytes(), size, size, &mut self.truth);
        self.pixels.unknown_predicted +=
            self.prediction.read(item.prediction.labels(), item.prediction.size(), size, &mut self.predicted);
        if item.prediction.size() != size {
            self.resized.0 += 1;
            note_resized(&mut self.resized.1, item.prediction.size(), size);
        }
        self.frame.clear();
        self.frame.record(&self.truth, &self.predicted);
        self.pixels.ignored += size.pixels() as u64 - self.frame.total();
        self.matrix.merge(&self.frame);
        self.count_distance(item.distance);
        if let Some(confidence) = &item.confidence {
            let is_key = item.distance.is_none_or(|distance| distance == 0);
            let (labels, classes) = ((&self.predicted[..], &self.truth[..]), self.matrix.classes());
            self.calibration.record(is_key, (confidence, size), labels, classes);
        }
        self.temporal.record(size, item.stamp, &self.predicted, Some(&self.truth));
        self.frames += 1;
        let miou = self.frame.miou_percent();
        self.record_time(item, miou);
        let view = View { index: self.frames_seen, size, predicted: &self.predicted, truth: Some(&self.truth) };
        self.gallery.offer_scored(item, &view, &self.frame, &self.classes);
        Ok(())
    }

    fn look_at(&mut self, item: &EvaluationItem) {
        let size = item.prediction.size();
        self.pixels.unknown_predicted +=
            self.prediction.read(item.prediction.labels(), size, size, &mut self.predicted);
        self.skipped.frames_without_truth += 1;
        self.temporal.record(size, item.stamp, &self.predicted, None);
        self.record_time(item, None);
        let view = View { index: self.frames_seen, size, predicted: &self.predicted, truth: None };
        self.gallery.offer_sample(item, &view, &self.classes);
    }

    fn truth_reader(&mut self, name: &Arc<str>) -> Result<usize, EvaluateError> {
        if let Some(index) = self.truths.iter().position(|(known, _)| known == name) {
            return Ok(index);
        }
        let table = ClassTable::builtin(name)?;
        self.truths.push((Arc::clone(name), LabelReader::new(&self.classes, &table)?));
        Ok(self.truths.len() - 1)
    }

    fn count_distance(&mut self, distance: Option<u32>) {
        let Some(distance) = distance else { return };
        let empty = || (0, ConfusionMatrix::new(self.frame.classes()));
        let (frames, matrix) = self.distances.entry(distance.min(MAX_DISTANCE)).or_insert_with(empty);
        *frames += 1;
        matrix.merge(&self.frame);
    }

    fn record_time(&mut self, item: &EvaluationItem, miou: Option<f64>) {
        let mut pixels = vec![0; self.shares.len()];
        let none = pixels.len() - 1;
        self.predicted.iter().for_each(|&label| pixels[usize::from(label).min(none)] += 1);
        self.shares.iter_mut().zip(&pixels).for_each(|(sum, count)| *sum += count);
        self.timeline.push(TimelinePoint::of_frame(self.frames_seen, item.stamp, miou, pixels));
    }
}

fn distance_score((&distance, (frames, matrix)): (&u32, &(u64, ConfusionMatrix))) -> DistanceScore {
    DistanceScore {
        distance,
        frames: *frames,
        miou: matrix.miou_percent(),
        pixel_accuracy: matrix.pixel_accuracy_percent(),
    }
}
