//! Optical flow between two grey images: where the content of each cell was in an earlier frame.
//!
//! ```text
//! image ─GreyPyramid─▶ coarse … fine ┐
//!                                    ├─DenseFlow─▶ FlowField [2, rows, cols], any grid
//! earlier image ─GreyPyramid─▶ … ────┤
//! EgoMotion ─EgoFlow─▶ FlowField ────┘
//! ```
//!
//! Plain patch matching from coarse to fine, the same on every machine and any number of threads. The vehicle's own motion
//! ([`EgoFlow`]) may say where to look first. Every cell gets a motion, also what came into view only now; which of them
//! to doubt the flow of the other direction tells ([`FlowField::keep_what_comes_back`]), at twice the time.

mod check;
mod ego;
mod errors;
mod file;
mod inverse_search;
mod patch;
mod pyramid;
mod relay;

pub use ego::{EgoFlow, EgoMotion};
pub use errors::FlowErrors;
pub use file::FlowFileError;
pub use inverse_search::DenseFlow;
pub use pyramid::GreyPyramid;

/// Motion on a grid of cells.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FlowField {
    /// Cells from top to bottom.
    pub rows: usize,
    /// Cells from left to right.
    pub cols: usize,
    /// `[2, rows, cols] f32`: x then y, in cells, from the current frame back into the earlier one.
    pub values: Vec<f32>,
}

impl FlowField {
    /// The motion `[x, y]` of one cell.
    ///
    /// # Panics
    /// If the cell is outside the grid.
    pub fn at(&self, row: usize, col: usize) -> [f32; 2] {
        let cell = row * self.cols + col;
        [self.values[cell], self.values[self.rows * self.cols + cell]]
    }

    /// Writes the motion over both steps into `both`: from each cell along `later`, from there along `self`.
    ///
    /// `self` is read bilinearly where `later` ends, or at the nearest cell of the border if that is outside. A motion
    /// that is not finite is taken for none.
    ///
    /// # Panics
    /// If the grids differ.
    pub fn compose_into(&self, later: &Self, both: &mut Self) {
        assert_eq!((self.rows, self.cols), (later.rows, later.cols), "flows on two grids");
        (both.rows, both.cols) = (self.rows, self.cols);
        both.values.clear();
        both.values.resize(self.values.len(), 0.0);
        for row in 0..self.rows {
            for col in 0..self.cols {
                let [x, y] = later.finite_at(row, col);
                let [further_x, further_y] = self.between(row as f32 + y, col as f32 + x);
                let cell = row * self.cols + col;
                both.values[cell] = x + further_x;
                both.values[self.rows * self.cols + cell] = y + further_y;
            }
        }
    }

    fn finite_at(&self, row: usize, col: usize) -> [f32; 2] {
        self.at(row, col).map(|motion| if motion.is_finite() { motion } else { 0.0 })
    }

    /// The motion at every column, `row` between the centres of two rows: linear, the border clamped; none where it is
    /// not finite.
    pub(crate) fn line(&self, row: f32, line: &mut Vec<[f32; 2]>) {
        let (top, bottom, down) = split(row, self.rows);
        line.clear();
        line.extend((0..self.cols).map(|col| mix(self.finite_at(top, col), self.finite_at(bottom, col), down)));
    }

    /// Bilinear between the centres of cells.
    fn between(&self, row: f32, col: f32) -> [f32; 2] {
        let ((top, bottom, down), (left, right, along)) = (split(row, self.rows), split(col, self.cols));
        let line = |row: usize| mix(self.finite_at(row, left), self.finite_at(row, right), along);
        mix(line(top), line(bottom), down)
    }
}

/// The cells before and after `place`, which is moved into the grid, and the share of the second.
pub(crate) fn split(place: f32, count: usize) -> (usize, usize, f32) {
    let place = place.clamp(0.0, (count - 1) as f32);
    (place as usize, (place as usize + 1).min(count - 1), place.fract())
}

/// Between two motions.
pub(crate) fn mix(one: [f32; 2], other: [f32; 2], share: f32) -> [f32; 2] {
    [0, 1].map(|axis| one[axis] * (1.0 - share) + other[axis] * share)
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "multiples of a quarter are exact")]
mod tests {
    use super::FlowField;

    /// A field of 4x6 cells in which each moves as `motion` says of its row and column.
    fn field(motion: impl Fn(f32, f32) -> [f32; 2]) -> FlowField {
        let (rows, cols) = (4, 6);
        let cell = |index: usize, axis: usize| motion((index / cols) as f32, (index % cols) as f32)[axis];
        let values = [0, 1].into_iter().flat_map(|axis| (0..rows * cols).map(move |index| (index, axis)));
        FlowField { rows, cols, values: values.map(|(index, axis)| cell(index, axis)).collect() }
    }

    fn composed(earlier: &FlowField, later: &FlowField) -> FlowField {
        let mut both = FlowField::default();
        earlier.compose_into(later, &mut both);
        both
    }

    #[test]
    fn two_steps_of_a_growing_picture_are_one_that_grows_by_the_product() {
        let grows = |by: f32| field(move |row, col| [col * (by - 1.0), row * (by - 1.0)]);
        let both = composed(&grows(0.9), &grows(0.8));
        let apart = both.values.iter().zip(&grows(0.72).values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart < 1e-6, "{apart} cells apart");
    }

    #[test]
    fn the_earlier_motion_is_read_where_the_later_one_ends() {
        let earlier = field(|row, col| [if col >= 3.0 { 1.0 } else { 0.0 }, row]);
        let later = field(|_, _| [1.5, 0.0]);
        let both = composed(&earlier, &later);
        assert_eq!(both.at(2, 1), [1.5 + 0.5, 2.0]);
        assert_eq!(both.at(1, 0), [1.5, 1.0]);
        assert_eq!(both.at(1, 5), [1.5 + 1.0, 1.0], "past the border the border's motion goes on");
    }

    #[test]
    fn a_motion_that_is_not_finite_is_none() {
        let still = field(|_, _| [0.0; 2]);
        for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let broken = field(|row, _| [if row == 1.0 { wrong } else { 0.0 }, 0.0]);
            assert_eq!(composed(&broken, &still), still);
            assert_eq!(composed(&still, &broken), still);
        }
    }
}
