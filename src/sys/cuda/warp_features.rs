//! `kernels/warp_features.cu`: features carried along a flow.

use super::error::CudaError;
use super::launch::{Grid, Kernel, Sample, argument};
use super::map::{DeviceMap, expect_shape};
use super::memory::{Element, Half};
use super::stream::Stream;

impl Stream {
    /// Writes into `out` what `features` `[channels, rows, cols]` look like after the motion `flow` `[2, rows, cols]`,
    /// which points, in cells, from a cell of `out` back into `features`: cubic, the border clamped.
    ///
    /// # Errors
    /// [`CudaError::Shape`] if the flow is on another grid or `out` has another shape.
    pub fn warp_features<T: Sample>(
        &self,
        features: &DeviceMap<T>,
        flow: &DeviceMap<f32>,
        out: &mut DeviceMap<T>,
    ) -> Result<(), CudaError> {
        let [channels, rows, cols] = features.shape();
        let grid = Grid { blocks: (cols.div_ceil(32), rows.div_ceil(4), channels.div_ceil(8)), threads: (32, 4) };
        self.warp(T::of(&self.device().kernels.warp_features), grid, features, flow, out)
    }

    /// [`Stream::warp_features`] where features and `out` hold their numbers as `[rows, cols, channels]`, channels a
    /// multiple of 8.
    pub fn warp_features_hwc8(
        &self,
        features: &DeviceMap<Half>,
        flow: &DeviceMap<f32>,
        out: &mut DeviceMap<Half>,
    ) -> Result<(), CudaError> {
        let kernel = &self.device().kernels.warp_features_hwc8;
        let channels = features.shape()[0];
        if !channels.is_multiple_of(8) {
            return Err(CudaError::shape(kernel.name, "channels", "a multiple of 8", channels));
        }
        self.warp(kernel, Grid::line(features.len() / 8, 128), features, flow, out)
    }

    fn warp<T: Element>(
        &self,
        kernel: &Kernel,
        grid: Grid,
        features: &DeviceMap<T>,
        flow: &DeviceMap<f32>,
        out: &mut DeviceMap<T>,
    ) -> Result<(), CudaError> {
        let [channels, rows, cols] = features.shape();
        expect_shape(kernel.name, "flow", [2, rows, cols], flow.shape())?;
        expect_shape(kernel.name, "out", features.shape(), out.shape())?;
        // SAFETY: the parameters of the warp kernels, in order; a map's counts fit 32 bits. Features and out have the shape
        // that is told, the flow is `[2, rows, cols]`, and out, borrowed exclusively, is another buffer. Buffers begin
        // at multiples of 256 bytes.
        unsafe {
            self.launch(
                kernel,
                grid,
                &[
                    argument(&features.address()),
                    argument(&flow.address()),
                    argument(&out.address()),
                    argument(&(channels as i32)),
                    argument(&(rows as i32)),
                    argument(&(cols as i32)),
                ],
            )
        }?;
        self.keep(features.buffer());
        self.keep(flow.buffer());
        self.keep(out.buffer());
        Ok(())
    }
}
