//! The figures of one evaluation, as they stand in its JSON.

use super::calibration::Calibration;
use super::confusion::{ConfusionMatrix, percent};
use super::gallery::ShownFrame;
use super::temporal::TemporalConsistency;
use super::timeline::TimelinePoint;
use crate::data::{ClassTable, Size};
use serde::ser::{Serialize, SerializeMap, Serializer};

/// Everything found. Shares, IoU and accuracy are in percent; `null` where nothing could tell.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Evaluation {
    /// Name of the class table evaluated in.
    pub class_table: String,
    /// Frames that have labels: those that the figures are over.
    pub frames: u64,
    /// All frames seen.
    pub frames_seen: u64,
    /// Mean IoU over the classes that the truth or the predictions have, from the confusion matrix of the whole set.
    pub miou: Option<f64>,
    /// Share of the labelled pixels predicted right.
    pub pixel_accuracy: Option<f64>,
    /// IoU of each class; `null` for a class in neither truth nor prediction.
    pub per_class: PerClass,
    /// More of each class, in order of id.
    pub classes: Vec<ClassScore>,
    /// Classes in neither truth nor prediction: left out of the mean.
    pub classes_left_out: Vec<String>,
    /// The figures of the frames at each distance from their key frame.
    pub per_distance: Vec<DistanceScore>,
    /// Steadiness from frame to frame.
    pub temporal_consistency: TemporalConsistency,
    /// Whether confidence is what it says: of all frames, and of key frames and propagated ones where there are both;
    /// empty where the masks came without.
    pub calibration: Vec<Calibration>,
    /// Pixels by what is known of their labels.
    pub pixels: Pixels,
    /// What was left out and why.
    pub skipped: Skipped,
    /// Frames whose mask had another size than the labels and was resized to theirs (nearest).
    pub resized_predictions: u64,
    /// From which size to which, and how many: the first 16 pairs.
    pub resized: Vec<Resized>,
    /// Runtime that made the masks, if known.
    pub engine: Option<String>,
    /// Network that made the masks, if known.
    pub network: Option<String>,
    /// Rows: true class; columns: predicted class, the last one "none".
    pub confusion: Vec<Vec<u64>>,
    /// mIoU over time: one point a frame, or one for several neighbours where there are many.
    pub timeline: Vec<TimelinePoint>,
    /// Worst frames first; without labels, frames spread over the set.
    #[serde(skip)]
    pub shown_frames: Vec<ShownFrame>,
}

/// Masks of one size that were compared with labels of another.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Resized {
    /// Size of the masks.
    #[serde(serialize_with = "as_text")]
    pub from: Size,
    /// Size of the labels, which they were resized to.
    #[serde(serialize_with = "as_text")]
    pub to: Size,
    /// How many.
    pub frames: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn as_text<S: Serializer>(size: &Size, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(size)
}

/// Pairs of sizes told apart: real sets have one or two.
const MAX_SIZES: usize = 16;

/// Counts a mask of size `from` for labels of size `to`.
pub(super) fn note_resized(resized: &mut Vec<Resized>, from: Size, to: Size) {
    if let Some(known) = resized.iter_mut().find(|known| (known.from, known.to) == (from, to)) {
        known.frames += 1;
    } else if resized.len() < MAX_SIZES {
        resized.push(Resized { from, to, frames: 1 });
    }
}

/// In words, which sizes; empty for none.
pub(super) fn sizes_told(resized: &[Resized]) -> String {
    let told: Vec<_> =
        resized.iter().map(|Resized { from, to, frames }| format!("{frames} from {from} to {to}")).collect();
    told.join(", ")
}

/// IoU by class name, in order of id.
#[derive(Clone, Debug, PartialEq)]
pub struct PerClass(pub Vec<(String, Option<f64>)>);

impl Serialize for PerClass {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, iou) in &self.0 {
            map.serialize_entry(name, iou)?;
        }
        map.end()
    }
}

/// The figures of one class, in percent.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct ClassScore {
    /// Its id in the evaluated table.
    pub id: u8,
    /// Its name.
    pub name: String,
    /// Its colour in pictures.
    pub color: [u8; 3],
    /// Intersection over union.
    pub iou: Option<f64>,
    /// Of the pixels predicted as it, those that are it.
    pub precision: Option<f64>,
    /// Of its pixels, those that were found.
    pub recall: Option<f64>,
    /// Its share of the labelled pixels.
    pub truth_share: Option<f64>,
    /// Its share of all predicted pixels, frames without labels included.
    pub predicted_share: Option<f64>,
}

/// The figures of the frames at one distance from their key frame.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct DistanceScore {
    /// Frames since the key frame; 0: key frames. The last one may stand for all that are further.
    pub distance: u32,
    /// Frames with labels at it.
    pub frames: u64,
    /// Mean IoU over them.
    pub miou: Option<f64>,
    /// Pixel accuracy over them.
    pub pixel_accuracy: Option<f64>,
}

/// Pixels of all frames with labels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Pixels {
    /// Labelled with a class that is evaluated: what every figure is over.
    pub labelled: u64,
    /// Ignored or unlabeled, left out.
    pub ignored: u64,
    /// Of the ignored ones, those whose id is not in the label's class table: a sign of a wrong table.
    pub unknown_truth: u64,
    /// Predicted pixels whose id is not in the prediction's class table, counted as misses.
    pub unknown_predicted: u64,
}

/// What was left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Skipped {
    /// Masks of frames that have no labels: in none of the figures but steadiness and class shares.
    pub frames_without_truth: u64,
    /// Labels of frames that have no mask: in none of the figures.
    pub truth_without_prediction: u64,
    /// Items that could not be read.
    pub unreadable: u64,
    /// The reasons for the first of them.
    pub reasons: Vec<String>,
}

/// The score of every class of `table`; `shares` counts all predicted pixels by class.
pub(super) fn class_scores(table: &ClassTable, matrix: &ConfusionMatrix, shares: &[u64]) -> Vec<ClassScore> {
    let (labelled, predicted) = (matrix.total(), shares.iter().sum());
    let score = |(index, class): (usize, &crate::data::Class)| ClassScore {
        id: class.id,
        name: class.name.clone(),
        color: class.color,
        iou: matrix.iou_percent(index),
        precision: matrix.precision_percent(index),
        recall: matrix.recall_percent(index),
        truth_share: percent(matrix.truth_pixels(index), labelled),
        predicted_share: percent(shares[index], predicted),
    };
    table.classes().iter().enumerate().map(score).collect()
}
