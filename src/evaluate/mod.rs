//! How good the masks are: IoU, accuracy per distance from the key frame, steadiness; as table, JSON and HTML.
//!
//! ```text
//! folders / trip ──EvaluationItem──▶ Evaluator ──Evaluation──▶ Display, serde_json, report::write
//! ```
//! It compares masks that exist; it never runs a network. All figures are over the whole set
//! ([`ConfusionMatrix`]), so their value does not depend on the order of the frames.

mod calibration;
mod confusion;
mod evaluation;
mod evaluator;
pub mod folders;
mod gallery;
mod labels;
pub mod report;
mod sweep;
mod table;
mod temporal;
mod timeline;

pub use calibration::{Calibration, ReliabilityBin};
pub use confusion::ConfusionMatrix;
pub use evaluation::{ClassScore, DistanceScore, Evaluation, Pixels, Resized, Skipped};
pub use evaluator::Evaluator;
pub use gallery::{Picture, ShownFrame};
pub use sweep::{RunCost, Sweep, SweepRow, WorstDistance};
pub use temporal::TemporalConsistency;
pub use timeline::TimelinePoint;

use crate::data::{ClassTableError, GroundTruth, Image, LabelMask, Plane, Stamp};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What an evaluation keeps to show. The figures have no options.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Worst frames shown in the report (without labels: frames spread over the set), 0 to 64.
    pub shown_frames: usize,
    /// Width of the report's pictures in pixels, 64 to 1920; smaller frames keep their size.
    pub picture_width: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { shown_frames: 8, picture_width: 640 }
    }
}

impl Config {
    /// Refuses values outside their documented ranges.
    pub fn check(&self) -> Result<(), EvaluateError> {
        let refuse = |key, got: u64, range| Err(EvaluateError::Config { key, got, range });
        if self.shown_frames > 64 {
            return refuse("shown_frames", self.shown_frames as u64, "0 to 64");
        }
        if !(64..=1920).contains(&self.picture_width) {
            return refuse("picture_width", u64::from(self.picture_width), "64 to 1920");
        }
        Ok(())
    }
}

/// One frame to evaluate.
#[derive(Clone, Debug)]
pub struct EvaluationItem {
    /// What the report calls it: a file's stem, or the frame's number.
    pub name: String,
    /// The frame's stamp, if it has one.
    pub stamp: Option<Stamp>,
    /// Frames since the key frame, 0 for a key frame; `None` where that is not known.
    pub distance: Option<u32>,
    /// The mask, in ids of the table that the evaluator was told predictions are in.
    pub prediction: LabelMask,
    /// The true labels, if the frame has any.
    pub truth: Option<GroundTruth>,
    /// The picture, for the report only.
    pub image: Option<Image>,
    /// Margin between the two best classes of a pixel, `[rows, cols] u8` of the prediction's size.
    pub confidence: Option<Plane>,
}

/// Why something could not be evaluated. Two are for skipping (see each); after any other, stop.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// One item could not be read. Recovery: skip and count, which [`Evaluator::skip`] does.
    #[error("skipped {name}: {reason}")]
    Skipped {
        /// The frame.
        name: String,
        /// Why.
        reason: String,
    },
    /// Labels for which there is no mask. Recovery: skip and count, which [`Evaluator::skip`] does.
    #[error("{name} has labels but no prediction")]
    MissingPrediction {
        /// The frame.
        name: String,
    },
    /// A folder or file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// The folder or file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file that is not a picture of labels, or not a picture.
    #[error("{path}: {reason}")]
    Picture {
        /// The file.
        path: PathBuf,
        /// What is wrong with it and the remedy.
        reason: String,
    },
    /// Two folders whose files do not go together.
    #[error(
        "no mask of {predictions} ({masks} PNG files) has the name of a label file in {truth} ({labels} PNG files): \
         files are matched by their names without the ending"
    )]
    NoMatch {
        /// The folder of predictions.
        predictions: PathBuf,
        /// PNG files in it.
        masks: usize,
        /// The folder of labels.
        truth: PathBuf,
        /// PNG files in it.
        labels: usize,
    },
    /// Not one frame came.
    #[error("nothing to evaluate: there is no mask")]
    Empty,
    /// Classes that cannot be brought together.
    #[error(transparent)]
    Classes(#[from] ClassTableError),
    /// A setting outside its range.
    #[error("evaluate.{key} = {got}: must be {range}")]
    Config {
        /// The key.
        key: &'static str,
        /// The value given.
        got: u64,
        /// The values allowed.
        range: &'static str,
    },
    /// What feeds the evaluation failed.
    #[error("{0}")]
    Source(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A plot could not be drawn.
    #[error("plot: {0}")]
    Plot(String),
}

/// Evaluates every item; items that can be skipped are counted, any other error ends it.
pub fn evaluate(
    items: impl IntoIterator<Item = Result<EvaluationItem, EvaluateError>>,
    mut evaluator: Evaluator,
) -> Result<Evaluation, EvaluateError> {
    for item in items {
        match item {
            Ok(item) => evaluator.push(&item)?,
            Err(error) => evaluator.skip(error)?,
        }
    }
    let evaluation = evaluator.finish();
    if evaluation.frames_seen == 0 { Err(EvaluateError::Empty) } else { Ok(evaluation) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_outside_their_range_are_refused_and_the_defaults_are_not() {
        assert!(Config::default().check().is_ok());
        let error = Config { picture_width: 10, ..Config::default() }.check().expect_err("too narrow");
        assert_eq!(error.to_string(), "evaluate.picture_width = 10: must be 64 to 1920");
        assert!(Config { shown_frames: 65, ..Config::default() }.check().is_err());
        assert!(toml::from_str::<Config>("shown_frame = 3").is_err());
    }
}
