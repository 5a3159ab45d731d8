//! `kernels/disocclusion.cu`: what came into view since the key frame.

use super::error::CudaError;
use super::launch::{Grid, Sample, argument};
use super::map::{DeviceMap, expect_shape};
use super::stream::Stream;

/// What a cell has to say: its colour, how far it is trusted, its label and the strength of its vote.
const SAYS: usize = 6;

impl Stream {
    /// Fills in `logits` `[classes, rows, cols]` where `residual_map` `[1, …]` says that the picture is not what was carried
    /// there, from cells around of a colour alike in `glance` `[3, …]` of the same grid, which is as fine or finer; `unit` is
    /// one of both in parts of the range of colours. A coarser one says nothing: then `logits` stay.
    ///
    /// # Errors
    /// [`CudaError::Shape`] if the shapes do not fit together.
    pub fn fill_in<T: Sample>(
        &self,
        logits: &mut DeviceMap<T>,
        glance: &DeviceMap<f32>,
        residual_map: &DeviceMap<f32>,
        unit: f32,
    ) -> Result<(), CudaError> {
        let kernels = &self.device().kernels;
        let (look_around, fill_in) = (T::of(&kernels.look_around), T::of(&kernels.fill_in));
        let ([classes, rows, cols], [_, fine_rows, fine_cols]) = (logits.shape(), residual_map.shape());
        expect_shape(look_around.name, "residual", [1, fine_rows, fine_cols], residual_map.shape())?;
        expect_shape(look_around.name, "glance", [3, fine_rows, fine_cols], glance.shape())?;
        if fine_rows < rows || fine_cols < cols || logits.is_empty() {
            return Ok(());
        }
        let cells = self.map::<f32>([SAYS, rows, cols])?;
        // SAFETY: the parameters of `look_around_f16` and `_f32`, in order; every map has the shape that is told for it, and
        // the glance and the residual are as fine as the logits or finer.
        unsafe {
            self.launch(
                look_around,
                Grid::line(rows * cols, 128),
                &[
                    argument(&logits.address()),
                    argument(&(classes as i32)),
                    argument(&(rows as i32)),
                    argument(&(cols as i32)),
                    argument(&glance.address()),
                    argument(&residual_map.address()),
                    argument(&(fine_rows as i32)),
                    argument(&(fine_cols as i32)),
                    argument(&unit),
                    argument(&cells.address()),
                ],
            )
        }?;
        let step = if fine_rows >= 2 * rows { 1 } else { 2 };
        // SAFETY: the parameters of `fill_in_f16` and `_f32`, in order; `cells` was written above, on the same stream, for
        // the same grid: its labels are those of classes. A block's threads are as many as it has room for.
        unsafe {
            self.launch(
                fill_in,
                Grid::line(rows * cols, 64),
                &[
                    argument(&logits.address()),
                    argument(&(classes as i32)),
                    argument(&(rows as i32)),
                    argument(&(cols as i32)),
                    argument(&cells.address()),
                    argument(&step),
                ],
            )
        }?;
        self.keep(logits.buffer());
        for used in [glance, residual_map, &cells] {
            self.keep(used.buffer());
        }
        Ok(())
    }
}
