//! How often each true class was taken for each predicted one, and the figures that follow from it.
//!
//! ```
//! use segfuse::evaluate::ConfusionMatrix;
//! let mut matrix = ConfusionMatrix::new(2);
//! matrix.record(&[0, 0, 1, 255], &[0, 1, 1, 1]);
//! assert_eq!((matrix.total(), matrix.iou_percent(0)), (3, Some(50.0)));
//! ```

/// `[classes, classes + 1] u64`: rows are the true class, columns the predicted one, the last column "no class".
///
/// Pixels whose truth is no class (255, ignored or unknown ids) are left out altogether. A prediction
/// that is no class (unlabeled, or mapped to nothing) is a miss of the true class: a false negative.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfusionMatrix {
    classes: usize,
    counts: Vec<u64>,
}

impl ConfusionMatrix {
    /// An empty matrix of `classes` classes, at most 255.
    pub fn new(classes: usize) -> Self {
        Self { classes, counts: vec![0; classes * (classes + 1)] }
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Counts the pixels of one frame; both slices hold ids of the evaluated table, 255 for none.
    ///
    /// # Panics
    /// If the slices differ in length.
    pub fn record(&mut self, truth: &[u8], predicted: &[u8]) {
        assert_eq!(truth.len(), predicted.len(), "truth and prediction of one frame");
        for (&truth, &predicted) in truth.iter().zip(predicted) {
            self.count(truth, predicted);
        }
    }

    /// Counts one pixel.
    pub fn count(&mut self, truth: u8, predicted: u8) {
        let (row, column) = (usize::from(truth), usize::from(predicted).min(self.classes));
        if row < self.classes {
            self.counts[row * (self.classes + 1) + column] += 1;
        }
    }

    /// Adds the counts of `other`.
    ///
    /// # Panics
    /// If the matrices differ in their number of classes.
    pub fn merge(&mut self, other: &Self) {
        assert_eq!(self.classes, other.classes, "matrices of one class table");
        for (sum, count) in self.counts.iter_mut().zip(&other.counts) {
            *sum += count;
        }
    }

    /// Sets every count to 0.
    pub fn clear(&mut self) {
        self.counts.fill(0);
    }

    /// The row of `truth`: pixels of that class by predicted class, the last entry those with none.
    pub fn row(&self, truth: usize) -> &[u64] {
        let columns = self.classes + 1;
        &self.counts[truth * columns..(truth + 1) * columns]
    }

    /// Labelled pixels counted.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Labelled pixels of class `class`.
    pub fn truth_pixels(&self, class: usize) -> u64 {
        self.row(class).iter().sum()
    }

    /// Labelled pixels predicted as `class`.
    pub fn predicted_pixels(&self, class: usize) -> u64 {
        (0..self.classes).map(|truth| self.row(truth)[class]).sum()
    }

    /// Pixels of `class` that were predicted as it.
    pub fn hits(&self, class: usize) -> u64 {
        self.row(class)[class]
    }

    /// Intersection over union, TP / (TP + FP + FN), in percent; `None` for a class in neither truth nor prediction.
    pub fn iou_percent(&self, class: usize) -> Option<f64> {
        percent(self.hits(class), self.truth_pixels(class) + self.predicted_pixels(class) - self.hits(class))
    }

    /// Share of the class's pixels that were found, in percent; `None` if the truth has none.
    pub fn recall_percent(&self, class: usize) -> Option<f64> {
        percent(self.hits(class), self.truth_pixels(class))
    }

    /// Share of the pixels predicted as the class that are of it, in percent; `None` if none were.
    pub fn precision_percent(&self, class: usize) -> Option<f64> {
        percent(self.hits(class), self.predicted_pixels(class))
    }

    /// Mean IoU over the classes that are in the truth or in the predictions, in percent; `None` without any.
    pub fn miou_percent(&self) -> Option<f64> {
        let (mut sum, mut present) = (0.0, 0_u32);
        for iou in (0..self.classes).filter_map(|class| self.iou_percent(class)) {
            sum += iou;
            present += 1;
        }
        (present > 0).then(|| sum / f64::from(present))
    }

    /// Share of the labelled pixels that were predicted right, in percent; `None` without any.
    pub fn pixel_accuracy_percent(&self) -> Option<f64> {
        percent((0..self.classes).map(|class| self.hits(class)).sum(), self.total())
    }
}

/// `part` of `whole` in percent; `None` if the whole is nothing.
pub(super) fn percent(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| 100.0 * part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Truth 0 0 0 1 1 2, predicted 0 0 1 1 none 0, one pixel ignored.
    fn worked() -> ConfusionMatrix {
        let mut matrix = ConfusionMatrix::new(4);
        matrix.record(&[0, 0, 0, 1, 1, 2, 255], &[0, 0, 1, 1, 255, 0, 3]);
        matrix
    }

    #[test]
    fn the_figures_of_a_case_worked_by_hand_are_right() {
        let matrix = worked();
        assert_eq!(matrix.total(), 6);
        for (class, iou) in [(0, Some(50.0)), (1, Some(100.0 / 3.0)), (2, Some(0.0)), (3, None)] {
            assert_eq!(matrix.iou_percent(class), iou, "class {class}");
        }
        let expected = (50.0 + 100.0 / 3.0 + 0.0) / 3.0;
        assert_eq!(matrix.miou_percent(), Some(expected));
        assert_eq!(matrix.pixel_accuracy_percent(), Some(50.0));
        assert_eq!((matrix.recall_percent(1), matrix.precision_percent(1)), (Some(50.0), Some(50.0)));
    }

    #[test]
    fn a_prediction_without_a_class_is_a_miss_and_nothing_else() {
        let mut matrix = ConfusionMatrix::new(2);
        matrix.record(&[0, 0, 1], &[0, 255, 1]);
        assert_eq!((matrix.iou_percent(0), matrix.iou_percent(1)), (Some(50.0), Some(100.0)));
        assert_eq!(matrix.row(0), [1, 0, 1]);
    }

    #[test]
    fn nothing_labelled_has_no_figures() {
        let mut matrix = ConfusionMatrix::new(3);
        matrix.record(&[255, 7], &[0, 1]);
        assert_eq!((matrix.total(), matrix.miou_percent(), matrix.pixel_accuracy_percent()), (0, None, None));
    }

    #[test]
    fn merged_frames_are_one_set() {
        let (mut whole, mut part) = (worked(), ConfusionMatrix::new(4));
        part.record(&[3], &[3]);
        whole.merge(&part);
        assert_eq!((whole.total(), whole.iou_percent(3)), (7, Some(100.0)));
        part.clear();
        assert_eq!(part.total(), 0);
    }
}
