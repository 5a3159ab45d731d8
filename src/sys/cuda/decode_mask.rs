//! `kernels/decode_mask.cu`: from logits to a label and a margin for every pixel.

use super::error::CudaError;
use super::launch::{Grid, Kernel, Sample, argument, side};
use super::map::{DeviceMap, expect_shape};
use super::stream::Stream;

/// Labels are bytes, and 255 is none.
const MAX_CLASSES: usize = 255;

impl Stream {
    /// Writes labels and margins, both `[1, height, width]`, of `logits` `[classes, rows, cols]`, interpolated.
    ///
    /// # Errors
    /// [`CudaError::Shape`] if there are more than 255 classes, no cells, or the two differ in shape.
    pub fn decode_mask<T: Sample>(
        &self,
        logits: &DeviceMap<T>,
        labels: &mut DeviceMap<u8>,
        margins: &mut DeviceMap<u8>,
    ) -> Result<(), CudaError> {
        let ([_, rows, _], [_, height, width]) = (logits.shape(), labels.shape());
        // As many blocks as a band of pixels between two rows of cells may need.
        let depth = (3 * height / (2 * rows.max(1)) + 2).div_ceil(8);
        let grid = Grid { blocks: (width.div_ceil(128), rows, depth), threads: (128, 1) };
        self.decode(T::of(&self.device().kernels.decode_mask), grid, logits, labels, margins)
    }

    /// [`Stream::decode_mask`] without interpolation: each pixel takes the label of the cell that it lies in.
    pub fn decode_nearest<T: Sample>(
        &self,
        logits: &DeviceMap<T>,
        labels: &mut DeviceMap<u8>,
        margins: &mut DeviceMap<u8>,
    ) -> Result<(), CudaError> {
        let [_, height, width] = labels.shape();
        let grid = Grid { blocks: (width.div_ceil(128), height, 1), threads: (128, 1) };
        self.decode(T::of(&self.device().kernels.decode_nearest), grid, logits, labels, margins)
    }

    fn decode<T: Sample>(
        &self,
        kernel: &Kernel,
        grid: Grid,
        logits: &DeviceMap<T>,
        labels: &mut DeviceMap<u8>,
        margins: &mut DeviceMap<u8>,
    ) -> Result<(), CudaError> {
        let ([classes, rows, cols], [_, height, width]) = (logits.shape(), labels.shape());
        if !(1..=MAX_CLASSES).contains(&classes) {
            return Err(CudaError::shape(kernel.name, "classes", format!("1 to {MAX_CLASSES}"), classes));
        }
        let (rows, cols) = (side(kernel.name, "rows", rows)?, side(kernel.name, "columns", cols)?);
        let (width_int, height_int) = (side(kernel.name, "width", width)?, side(kernel.name, "height", height)?);
        expect_shape(kernel.name, "labels", [1, height, width], labels.shape())?;
        expect_shape(kernel.name, "margins", [1, height, width], margins.shape())?;
        // SAFETY: the parameters of the decode kernels, in order; logits, labels and margins have the shapes that are told.
        unsafe {
            self.launch(
                kernel,
                grid,
                &[
                    argument(&logits.address()),
                    argument(&(classes as i32)),
                    argument(&rows),
                    argument(&cols),
                    argument(&labels.address()),
                    argument(&margins.address()),
                    argument(&width_int),
                    argument(&height_int),
                ],
            )
        }?;
        self.keep(logits.buffer());
        self.keep(labels.buffer());
        self.keep(margins.buffer());
        Ok(())
    }
}
