//! Blends a key frame's fresh features with what was carried to it, cell by cell, as far as the picture agrees.
//!
//! ```text
//! fresh ───────────────────────────────┐
//! carried ─────────────────────────────┴──▶ fresh + share (carried - fresh)
//! residual ──mean over each cell──▶ share = 0.7 exp(-mean / 0.034)
//! ```
//!
//! What a network says of a place flickers from one look to the next; where the picture shows that it is the same
//! place still, the mean of several looks is the better answer. Where it does not agree, only the fresh look counts.

use super::FeatureMap;

/// The share of what was carried where the picture agrees exactly; less than 1, so that no error stays for ever.
const SHARE: f32 = 0.7;
/// The residual, in parts of the range of colours, at which the share has fallen to 1/e: about 9 grey levels.
const AGREES: f32 = 0.034;

/// Blends, in a buffer of its own.
#[derive(Debug, Default)]
pub struct Blender {
    /// The share of what was carried, `[rows, cols]`.
    shares: Vec<f32>,
}

impl Blender {
    /// Blends `carried` into `fresh` of the same shape. `residual` `[1, rows, cols]` is of any grid that is as fine
    /// or finer, its values times `unit` in parts of the range of colours.
    ///
    /// A value that is not finite is not taken.
    ///
    /// # Panics
    /// If the shapes differ.
    pub fn blend(&mut self, fresh: &mut FeatureMap, carried: &FeatureMap, residual: &FeatureMap, unit: f32) {
        let FeatureMap { channels, rows, cols, .. } = *fresh;
        assert_eq!((carried.channels, carried.rows, carried.cols), (channels, rows, cols), "features of two shapes");
        let cells = rows * cols;
        if residual.rows < rows || residual.cols < cols || cells == 0 {
            return;
        }
        self.shares.clear();
        self.shares.extend((0..cells).map(|cell| {
            let apart = mean_over(
                (&residual.values, residual.cols),
                part(cell / cols, rows, residual.rows),
                part(cell % cols, cols, residual.cols),
            );
            SHARE * libm::expf(-apart * unit / AGREES)
        }));
        let planes = fresh.values.chunks_exact_mut(cells).zip(carried.values.chunks_exact(cells));
        for (fresh, carried) in planes {
            for ((fresh, carried), share) in fresh.iter_mut().zip(carried).zip(&self.shares) {
                let step = (carried - *fresh) * share;
                *fresh += if step.is_finite() { step } else { 0.0 };
            }
        }
    }
}

/// The rows, of `fine`, of the `index`th of `coarse` parts.
pub(super) fn part(index: usize, coarse: usize, fine: usize) -> std::ops::Range<usize> {
    index * fine / coarse..(index + 1) * fine / coarse
}

/// Of a plane and its width.
pub(super) fn mean_over(
    (plane, width): (&[f32], usize),
    rows: std::ops::Range<usize>,
    cols: std::ops::Range<usize>,
) -> f32 {
    let count = rows.len() * cols.len();
    let sum: f32 = rows.map(|row| plane[row * width..][cols.clone()].iter().sum::<f32>()).sum();
    sum / count as f32
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "what is not touched is exact")]
mod tests {
    use super::*;

    /// 2 planes of 1x2 cells: 1 in the first, 3 in the second.
    fn map(add: f32) -> FeatureMap {
        FeatureMap { channels: 2, rows: 1, cols: 2, values: [1.0, 1.0, 3.0, 3.0].map(|value| value + add).to_vec() }
    }

    /// 2x4 pixels, the first cell's and the second's.
    fn residual(first: f32, second: f32) -> FeatureMap {
        let row = [first, first, second, second];
        FeatureMap { channels: 1, rows: 2, cols: 4, values: [row, row].concat() }
    }

    fn blended(carried: &FeatureMap, residual: &FeatureMap, unit: f32) -> Vec<f32> {
        let mut fresh = map(0.0);
        Blender::default().blend(&mut fresh, carried, residual, unit);
        fresh.values
    }

    #[test]
    fn what_agrees_is_blended_and_what_does_not_is_fresh() {
        let out = blended(&map(10.0), &residual(0.0, 1000.0), 1.0);
        assert!((out[0] - 8.0).abs() < 1e-5 && (out[2] - 10.0).abs() < 1e-5, "{out:?}");
        assert_eq!([out[1], out[3]], [1.0, 3.0]);
    }

    #[test]
    fn the_share_falls_with_the_mean_residual_of_the_cell_in_parts_of_the_range_of_colours() {
        let mut uneven = residual(0.0, 0.0);
        // Of the first cell's four pixels: their mean is 0.034 in the unit.
        (uneven.values[0], uneven.values[5]) = (0.034, 0.102);
        let expected = 1.0 + 10.0 * 0.7 / std::f32::consts::E;
        for (unit, times) in [(1.0, 1.0), (0.25, 4.0)] {
            let scaled =
                FeatureMap { values: uneven.values.iter().map(|value| value * times).collect(), ..uneven.clone() };
            let out = blended(&map(10.0), &scaled, unit);
            assert!((out[0] - expected).abs() < 1e-4, "{out:?}, expected {expected}");
        }
    }

    #[test]
    fn values_that_are_not_finite_are_not_taken() {
        for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut carried = map(10.0);
            carried.values[0] = wrong;
            let out = blended(&carried, &residual(0.0, 0.0), 1.0);
            assert_eq!(out[0], 1.0);
            assert!(out[1] > 7.0);
            let out = blended(&map(10.0), &residual(wrong, 0.0), 1.0);
            assert!(out[0].is_finite() && out[1] > 7.0, "{out:?}");
        }
    }

    #[test]
    fn a_residual_coarser_than_the_features_says_nothing() {
        let coarse = FeatureMap { channels: 1, rows: 1, cols: 1, values: vec![0.0] };
        assert_eq!(blended(&map(10.0), &coarse, 1.0), map(0.0).values);
    }
}
