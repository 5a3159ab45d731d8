//! The residual: where the current picture is not what was carried there from the key frame's.
//!
//! ```text
//! prepared picture ──averaged over 4x4──▶ glance ──┬──▶ mean over colours of |difference| [1, rows/4, cols/4]
//! the key frame's glance ──────carried along flow──┘
//! ```
//!
//! A correction that asks for it sees at once what hid, came into view or was followed wrongly; and a key frame takes
//! over what is known from before only where little is left. Several threads take a strip of rows each.

use super::FeatureMap;
use super::blocks::average;
use crate::engine::network::RESIDUAL_STRIDE;
use crate::flow::{FlowField, mix, split};
use crate::sys::workers::Workers;
use std::sync::Arc;

/// A prepared picture `[3, rows, cols]`, its shape, averaged over blocks of `RESIDUAL_STRIDE` pixels a side.
pub fn glance(prepared: &[f32], shape: [usize; 3], glance: &mut FeatureMap) {
    average(shape, prepared, RESIDUAL_STRIDE, glance);
}

/// Works out residuals, in buffers of its own; as default on the thread that calls it.
#[derive(Debug)]
pub struct Residual {
    workers: Arc<Workers>,
    /// One for each thread.
    scratch: Vec<Scratch>,
}

/// Buffers of a thread.
#[derive(Debug, Default)]
struct Scratch {
    /// The flow along a row of pixels, at the flow's own columns.
    line: Vec<[f32; 2]>,
    /// Where the pixels of a row come from.
    places: Vec<Place>,
}

/// What a residual is worked out from.
struct Pair<'a> {
    earlier: &'a FeatureMap,
    current: &'a FeatureMap,
    flow: &'a FlowField,
}

impl Default for Residual {
    fn default() -> Self {
        Self::shared_with(Arc::new(Workers::alone()))
    }
}

impl Residual {
    /// With helpers. Residuals are the same, bit for bit, whatever their number.
    pub fn shared_with(workers: Arc<Workers>) -> Self {
        let scratch = (0..workers.count()).map(|_| Scratch::default()).collect();
        Self { workers, scratch }
    }

    /// Writes how far `current` is from `earlier` carried along `flow`: `[1, rows, cols]`, the mean over colours.
    ///
    /// `flow` points back into `earlier` and may be of a coarser grid: it is read bilinearly, as `earlier` is, the
    /// borders clamped. A motion that is not finite is taken for none.
    ///
    /// # Panics
    /// If the glances are of two sizes.
    pub fn between(&mut self, earlier: &FeatureMap, current: &FeatureMap, flow: &FlowField, map: &mut FeatureMap) {
        let FeatureMap { channels, rows, cols, .. } = *current;
        assert_eq!((earlier.channels, earlier.rows, earlier.cols), (channels, rows, cols), "glances of two sizes");
        map.reshape(1, rows, cols);
        if map.values.is_empty() {
            return;
        }
        let (pair, rows_of_each) = (Pair { earlier, current, flow }, rows.div_ceil(self.scratch.len()));
        let strips = self.scratch.iter_mut().zip(map.values.chunks_mut(rows_of_each * cols)).enumerate();
        self.workers.for_each(strips, |(strip, (scratch, values))| {
            for (row, line) in values.chunks_exact_mut(cols).enumerate() {
                scratch.line_between(&pair, strip * rows_of_each + row, line);
            }
        });
    }
}

impl Scratch {
    /// Row `row` of the residual.
    fn line_between(&mut self, Pair { earlier, current, flow }: &Pair<'_>, row: usize, line: &mut [f32]) {
        let FeatureMap { channels, rows, cols, .. } = **current;
        let scale = [flow.cols as f32 / cols as f32, flow.rows as f32 / rows as f32];
        flow.line((row as f32 + 0.5) * scale[1] - 0.5, &mut self.line);
        self.places.clear();
        self.places.extend((0..cols).map(|col| {
            let (left, right, share) = split((col as f32 + 0.5) * scale[0] - 0.5, flow.cols);
            let [x, y] = mix(self.line[left], self.line[right], share);
            Place::clamped([row as f32 + y / scale[1], col as f32 + x / scale[0]], rows, cols)
        }));
        line.fill(0.0);
        for channel in 0..channels {
            let (plane, now) = (earlier.plane(channel), &current.plane(channel)[row * cols..][..cols]);
            for ((apart, place), now) in line.iter_mut().zip(&self.places).zip(now) {
                *apart += (place.fetch(plane) - now).abs();
            }
        }
        for apart in line {
            *apart /= channels as f32;
        }
    }
}

/// A point between the centres of four pixels.
#[derive(Debug)]
struct Place {
    /// Above left, above right, below left, below right.
    corners: [u32; 4],
    /// Shares of the lower and of the right ones.
    down: f32,
    along: f32,
}

impl Place {
    fn clamped([row, col]: [f32; 2], rows: usize, cols: usize) -> Self {
        let ((top, bottom, down), (left, right, along)) = (split(row, rows), split(col, cols));
        let corner = |row: usize, col: usize| (row * cols + col) as u32;
        let corners = [corner(top, left), corner(top, right), corner(bottom, left), corner(bottom, right)];
        Self { corners, down, along }
    }

    fn fetch(&self, plane: &[f32]) -> f32 {
        let [above_left, above_right, below_left, below_right] = self.corners.map(|corner| plane[corner as usize]);
        let above = above_left + (above_right - above_left) * self.along;
        let below = below_left + (below_right - below_left) * self.along;
        above + (below - above) * self.down
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "halves and whole numbers are exact")]
mod tests {
    use super::*;
    use crate::sys::workers::workers;

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

    fn glance_of(prepared: &[f32], shape: [usize; 3]) -> FeatureMap {
        let mut map = FeatureMap::zeros(7, 1, 1);
        glance(prepared, shape, &mut map);
        map
    }

    fn residual_of(earlier: &FeatureMap, current: &FeatureMap, flow: &FlowField) -> FeatureMap {
        let mut map = FeatureMap::zeros(2, 1, 1);
        Residual::default().between(earlier, current, flow, &mut map);
        map
    }

    #[test]
    fn a_glance_is_the_mean_of_each_block_of_each_colour() {
        let prepared: Vec<f32> = (0..3 * 8 * 12).map(|value| value as f32).collect();
        let glance = glance_of(&prepared, [3, 8, 12]);
        assert_eq!((glance.channels, glance.rows, glance.cols), (3, 2, 3));
        for (index, mean) in glance.values.iter().enumerate() {
            let (channel, row, col) = (index / 6, index / 3 % 2, index % 3);
            let corner = (channel * 96 + row * 48 + col * 4) as f32;
            assert_eq!(*mean, corner + 1.5 + 1.5 * 12.0, "block {index}");
        }
    }

    #[test]
    fn rows_that_fill_no_block_are_left_out_of_every_colour() {
        let prepared: Vec<f32> = (0..3 * 6 * 4).map(|value| (value / 24) as f32).collect();
        assert_eq!(glance_of(&prepared, [3, 6, 4]).values, [0.0, 1.0, 2.0]);
    }

    #[test]
    fn inputs_smaller_than_a_block_have_an_empty_glance_and_residual() {
        for (rows, cols) in [(8, 3), (3, 8), (1, 1)] {
            let glance = glance_of(&vec![1.0; 3 * rows * cols], [3, rows, cols]);
            assert_eq!(glance.values.len(), 0);
            assert_eq!(residual_of(&glance, &glance, &flow(0.5, 0.5)).values.len(), 0, "{rows}x{cols}");
        }
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
    fn any_number_of_threads_leaves_the_same() {
        let (rows, cols) = (9, 14);
        let glance = |phase: f32| {
            let values = (0..3 * rows * cols).map(|index| (index as f32 * 0.7 + phase).sin()).collect();
            FeatureMap { channels: 3, rows, cols, values }
        };
        let values = (0..2 * 5 * 7).map(|index| (index as f32).sin() * 2.0).collect();
        let (earlier, current, flow) = (glance(0.0), glance(1.0), FlowField { rows: 5, cols: 7, values });
        for threads in 2..=11 {
            let mut map = FeatureMap::zeros(1, 1, 1);
            Residual::shared_with(workers(threads)).between(&earlier, &current, &flow, &mut map);
            assert_eq!(map, residual_of(&earlier, &current, &flow), "{threads} threads");
        }
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
