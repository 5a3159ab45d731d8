//! Optical flow between two grey images: where the content of each cell was in an earlier frame.
//!
//! ```text
//! image ─GreyPyramid─▶ coarse … fine ┐
//!                                    ├─DenseFlow─▶ FlowField [2, rows, cols], any grid
//! earlier image ─GreyPyramid─▶ … ────┘
//! ```
//!
//! Plain patch matching from coarse to fine, on one core and the same on every machine. It knows
//! nothing of the vehicle's motion and does not say where content came into view only now.

mod inverse_search;
mod patch;
mod pyramid;

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
}
