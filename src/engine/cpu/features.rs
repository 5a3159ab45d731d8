//! A map of network features in host memory.

/// What a network says of a frame: `[channels, rows, cols] f32`, row-major, no padding.
///
/// Cell `(row, col)` covers an equal share of the frame: its centre lies at
/// `((col + 0.5) / cols, (row + 0.5) / rows)` of the frame's width and height.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FeatureMap {
    /// Planes.
    pub channels: usize,
    /// Cells from top to bottom.
    pub rows: usize,
    /// Cells from left to right.
    pub cols: usize,
    /// `channels * rows * cols` values, plane after plane.
    pub values: Vec<f32>,
}

impl FeatureMap {
    /// A map of zeros.
    pub fn zeros(channels: usize, rows: usize, cols: usize) -> Self {
        Self { channels, rows, cols, values: vec![0.0; channels * rows * cols] }
    }

    /// Gives the map another shape; the values are then unspecified. Allocates only to grow.
    pub fn reshape(&mut self, channels: usize, rows: usize, cols: usize) {
        (self.channels, self.rows, self.cols) = (channels, rows, cols);
        self.values.resize(channels * rows * cols, 0.0);
    }

    /// Plane `channel`: `[rows, cols] f32`.
    ///
    /// # Panics
    /// If `channel` is not below `channels`.
    pub fn plane(&self, channel: usize) -> &[f32] {
        let cells = self.rows * self.cols;
        &self.values[channel * cells..(channel + 1) * cells]
    }
}
