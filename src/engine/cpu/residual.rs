//! The residual: where the current picture is not what was carried there from the key frame's.
//!
//! ```text
//! prepared picture ──averaged over 4x4──▶ glance ──┬──▶ mean over colours of |difference| [1, rows/4, cols/4]
//! the key frame's glance ──────carried along flow──┘
//! ```
//!
//! A correction that asks for it sees at once what hid, came into view or was followed wrongly. The plain loops
//! take a tenth of what the correction itself takes.

use super::features::Pool;
use super::{FeatureMap, Pooled, average_blocks};
use crate::engine::network::RESIDUAL_STRIDE;
use crate::flow::FlowField;

/// A prepared picture `[3, rows, cols]`, its shape, averaged over blocks of [`RESIDUAL_STRIDE`].
pub(super) fn glance(prepared: &[f32], shape: [usize; 3], pool: &Pool<FeatureMap>) -> Pooled<FeatureMap> {
    let mut glance = pool.take();
    average_blocks(prepared, shape, RESIDUAL_STRIDE, &mut glance);
    glance
}

/// Writes how far `current` is from `earlier` carried along `flow`: `[1, rows, cols]`, the mean over colours.
///
/// `flow` points back into `earlier` and may be of a coarser grid: it is read bilinearly, as `earlier` is, the borders
/// clamped. A motion that is not finite is taken for none.
///
/// # Panics
/// If the glances are of two sizes.
pub(super) fn residual(earlier: &FeatureMap, current: &FeatureMap, flow: &FlowField, out: &mut FeatureMap) {
    let FeatureMap { channels, rows, cols, .. } = *current;
    assert_eq!((earlier.channels, earlier.rows, earlier.cols), (channels, rows, cols), "glances of two sizes");
    out.reshape(1, rows, cols);
    let cells = [flow.rows as f32 / rows as f32, flow.cols as f32 / cols as f32];
    for row in 0..rows {
        for col in 0..cols {
            let [x, y] = flow.between((row as f32 + 0.5) * cells[0] - 0.5, (col as f32 + 0.5) * cells[1] - 0.5);
            let place = Place::clamped([row as f32 + y / cells[0], col as f32 + x / cells[1]], rows, cols);
            let at = row * cols + col;
            let apart = |channel| (place.fetch(earlier.plane(channel), cols) - current.plane(channel)[at]).abs();
            out.values[at] = (0..channels).map(apart).sum::<f32>() / channels as f32;
        }
    }
}

/// A point between the centres of four pixels.
struct Place {
    /// Rows above and below, columns left and right.
    rows: [usize; 2],
    cols: [usize; 2],
    /// Shares of the second ones.
    down: f32,
    along: f32,
}

impl Place {
    fn clamped([row, col]: [f32; 2], rows: usize, cols: usize) -> Self {
        let (row, col) = (row.clamp(0.0, (rows - 1) as f32), col.clamp(0.0, (cols - 1) as f32));
        let pair = |place: f32, count: usize| [place as usize, (place as usize + 1).min(count - 1)];
        Self { rows: pair(row, rows), cols: pair(col, cols), down: row.fract(), along: col.fract() }
    }

    fn fetch(&self, plane: &[f32], stride: usize) -> f32 {
        let line = |row: usize| {
            let [left, right] = self.cols.map(|col| plane[row * stride + col]);
            left + (right - left) * self.along
        };
        let [above, below] = self.rows.map(line);
        above + (below - above) * self.down
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "halves and whole numbers are exact")]
mod tests {
    use super::*;

    /// 3 colours of 4x8 pixels, brighter by one from column to column, by ten from row to row.
    fn slope(shift: f32) -> FeatureMap {
        let mut map = FeatureMap::zeros(3, 4, 8);
        for (index, value) in map.values.iter_mut().enumerate() {
            *value = (index % 8) as f32 + shift + 10.0 * (index / 8 % 4) as f32;
        }
        map
    }

    /// Every one of 2x4 cells came from `x` and `y` cells away.
    fn flow(x: f32, y: f32) -> FlowField {
        FlowField { rows: 2, cols: 4, values: [[x; 8], [y; 8]].concat() }
    }

    fn residual_of(earlier: &FeatureMap, current: &FeatureMap, flow: &FlowField) -> FeatureMap {
        let mut out = FeatureMap::default();
        residual(earlier, current, flow, &mut out);
        out
    }

    #[test]
    fn nothing_is_left_of_a_picture_that_moved_as_the_flow_says() {
        // Half a coarse cell is one pixel.
        let out = residual_of(&slope(0.0), &slope(1.0), &flow(0.5, 0.0));
        assert_eq!((out.channels, out.rows, out.cols), (1, 4, 8));
        for row in out.values.chunks_exact(8) {
            assert_eq!(row, [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0], "the last column came from beyond the border");
        }
        let down = residual_of(&slope(0.0), &slope(5.0), &flow(0.0, 0.25));
        assert!(down.values[..24].iter().all(|&left| left == 0.0), "{down:?}");
    }

    #[test]
    fn colours_are_averaged_and_differences_have_no_sign() {
        let (earlier, mut current) = (slope(0.0), slope(0.0));
        let cells = 4 * 8;
        (current.values[5], current.values[cells + 5], current.values[2 * cells + 5]) = (5.0 + 3.0, 5.0 - 6.0, 5.0);
        let out = residual_of(&earlier, &current, &flow(0.0, 0.0));
        let expected: Vec<f32> = (0..cells).map(|cell| if cell == 5 { 3.0 } else { 0.0 }).collect();
        assert_eq!(out.values, expected);
    }

    #[test]
    fn the_flow_is_read_between_its_cells() {
        let mut edge = flow(0.0, 0.0);
        for cell in [2, 3, 6, 7] {
            edge.values[cell] = 1.0;
        }
        // From column 3 to 4 the motion grows from a quarter to three quarters of a cell, 0.5 and 1.5 pixels.
        let out = residual_of(&slope(0.0), &slope(0.0), &edge);
        assert_eq!(out.values[..8], [0.0, 0.0, 0.0, 0.5, 1.5, 2.0, 1.0, 0.0]);
    }

    #[test]
    fn motions_without_a_value_are_taken_for_none() {
        for value in [f32::NAN, f32::INFINITY] {
            let out = residual_of(&slope(0.0), &slope(0.0), &flow(value, value));
            assert!(out.values.iter().all(|&left| left == 0.0));
        }
        let far = residual_of(&slope(0.0), &slope(0.0), &flow(1e30, 0.0));
        assert_eq!(far.values[..2], [7.0, 6.0], "clamped to the border");
    }
}
