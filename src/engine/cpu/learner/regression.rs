//! Ridge regression that forgets: of labels, as one and zeros, on descriptions.
//!
//! ```text
//! gram  = 0.7 gram  + X W Xᵀ / n          weights = (gram + 0.001)⁻¹ cross
//! cross = 0.7 cross + X W T / n
//! ```
//!
//! `X` has a column for each of `n` samples, `T` a row with a one at its label; `W` gives classes that are rare more weight.

use nalgebra::{DMatrix, DMatrixView, Dyn};

/// What is left of what was known before when something is learnt.
const KEPT: f32 = 0.7;
/// Added to the squares, so that what is not in the samples weighs nothing.
const RIDGE: f64 = 1e-3;
/// The share of samples below which a class is given no more weight for being rare.
const RARE: f32 = 0.006;

/// Columns of the squares that are worked out together.
const BLOCK: usize = 48;

/// Sums over what was learnt from so far.
#[derive(Debug, Default)]
pub(super) struct Regression {
    /// `[described, described]`, of which the lower half is used, and `[described, classes]`; nothing yet at first.
    sums: Option<[DMatrix<f32>; 2]>,
    /// Descriptions times the weights of their samples.
    weighted: Vec<f32>,
}

impl Regression {
    /// Forgets all that was learnt.
    pub(super) fn forget(&mut self) {
        self.sums = None;
    }

    /// Learns from samples' `descriptions`, one after the other, and `labels` below `classes`; gives weights
    /// `[classes, described]`, or nothing, and forgets all, if these are no numbers.
    pub(super) fn learn(&mut self, descriptions: &[f32], labels: &[usize], classes: usize) -> Option<Vec<f32>> {
        let (samples, count) = (labels.len(), descriptions.len() / labels.len().max(1));
        let weights = sample_weights(labels, classes);
        let Self { sums, weighted, .. } = self;
        weighted.clear();
        weighted.reserve(descriptions.len());
        for (described, weight) in descriptions.chunks_exact(count.max(1)).zip(&weights) {
            weighted.extend(described.iter().map(|value| value * weight));
        }
        let zeros = || [DMatrix::zeros(count, count), DMatrix::zeros(count, classes)];
        let [gram, cross] = sums.get_or_insert_with(zeros);
        let described = DMatrixView::from_slice(descriptions, count, samples);
        let turned =
            DMatrixView::from_slice_with_strides_generic(weighted, Dyn(samples), Dyn(count), Dyn(count), Dyn(1));
        // Of what mirrors, the lower half is enough.
        for first in (0..count).step_by(BLOCK) {
            let width = BLOCK.min(count - first);
            let mut block = gram.view_mut((first, first), (count - first, width));
            block.gemm(1.0, &described.rows(first, count - first), &turned.columns(first, width), KEPT);
        }
        *cross *= KEPT;
        for (described, &label) in weighted.chunks_exact(count.max(1)).zip(labels) {
            let sums = &mut cross.as_mut_slice()[label * count..][..count];
            sums.iter_mut().zip(described).for_each(|(sum, value)| *sum += value);
        }
        let solved = solve(gram, cross);
        if solved.is_none() {
            self.forget();
        }
        solved
    }
}

/// Weights of a sum of one.
fn sample_weights(labels: &[usize], classes: usize) -> Vec<f32> {
    let mut counts = vec![0_usize; classes];
    for &label in labels {
        counts[label] += 1;
    }
    let samples = labels.len() as f32;
    let weight = |label: usize| 1.0 / (counts[label] as f32 / samples + RARE);
    let total: f32 = (0..classes).map(|label| counts[label] as f32 * weight(label)).sum();
    labels.iter().map(|&label| weight(label) / total).collect()
}

fn solve(gram: &DMatrix<f32>, cross: &DMatrix<f32>) -> Option<Vec<f32>> {
    let mut gram = gram.map(f64::from);
    for index in 0..gram.nrows() {
        gram[(index, index)] += RIDGE;
    }
    // Which reads the lower half only.
    let weights = gram.cholesky()?.solve(&cross.map(f64::from));
    let weights: Vec<f32> = weights.iter().map(|weight| *weight as f32).collect();
    weights.iter().all(|weight| weight.is_finite()).then_some(weights)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two values a sample, the second one is one; labels by the first.
    fn line(labels: &[usize], values: &[f32]) -> (Vec<f32>, Vec<usize>) {
        (values.iter().flat_map(|&value| [value, 1.0]).collect(), labels.to_vec())
    }

    #[test]
    fn weights_are_those_of_least_squares() {
        let (descriptions, labels) = line(&[0, 0, 1, 1], &[-1.0, -1.0, 1.0, 1.0]);
        let weights = Regression::default().learn(&descriptions, &labels, 2).expect("numbers");
        // Of one at the label and zero elsewhere: (1 ∓ value) / 2, but for the ridge.
        for (weight, expected) in weights.iter().zip([-0.5, 0.5, 0.5, 0.5]) {
            assert!((weight - expected).abs() < 1e-3, "{weights:?}");
        }
    }

    #[test]
    fn a_class_that_is_rare_counts_as_much_as_one_that_is_not() {
        let values: Vec<f32> = (0..100).map(|_| 0.0).collect();
        let labels: Vec<usize> = (0..100).map(|sample| usize::from(sample == 0)).collect();
        let (descriptions, labels) = line(&labels, &values);
        let weights = Regression::default().learn(&descriptions, &labels, 2).expect("numbers");
        // Where nothing tells them apart: 1 / (0.01 + 0.006) for one sample in a hundred.
        let share = 0.01 / 0.016 / (0.01 / 0.016 + 0.99 / 0.996);
        assert!((weights[3] - share).abs() < 1e-3, "{weights:?}, expected {share}");
    }

    #[test]
    fn what_was_learnt_before_fades() {
        let mut regression = Regression::default();
        let (descriptions, labels) = line(&[0, 1], &[-1.0, 1.0]);
        regression.learn(&descriptions, &labels, 2);
        let after = |times: usize| {
            let mut regression = Regression { sums: regression.sums.clone(), ..Regression::default() };
            let (descriptions, labels) = line(&[1, 0], &[-1.0, 1.0]);
            let learnt = (0..times).map(|_| regression.learn(&descriptions, &labels, 2).expect("numbers")).last();
            learnt.expect("once or more")[0]
        };
        // 0.7 of the one against 1 of the other; and so on.
        assert!((after(1) - 0.3 / 1.7 * 0.5).abs() < 1e-3, "{}", after(1));
        assert!(after(2) > 0.2 && after(6) > 0.45, "{} {}", after(2), after(6));
    }

    #[test]
    fn what_is_no_number_is_forgotten_with_all_else() {
        let mut regression = Regression::default();
        let (mut descriptions, labels) = line(&[0, 1], &[-1.0, 1.0]);
        assert!(regression.learn(&descriptions, &labels, 2).is_some());
        descriptions[2] = f32::NAN;
        assert!(regression.learn(&descriptions, &labels, 2).is_none());
        descriptions[2] = 1.0;
        let anew = Regression::default().learn(&descriptions, &labels, 2);
        assert_eq!(regression.learn(&descriptions, &labels, 2), anew);
    }
}
