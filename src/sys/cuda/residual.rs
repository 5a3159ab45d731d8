//! `kernels/residual.cu`: what was carried held against what is there.

use super::error::CudaError;
use super::launch::{Grid, Kernel, Sample, argument, int};
use super::map::{DeviceMap, expect_shape};
use super::memory::{DeviceBuffer, Element, Half};
use super::stream::Stream;

impl Stream {
    /// Writes into `map` `[1, rows, cols]`, and into `half_map` where a network wants it so, how far the glance
    /// `current` `[3, rows, cols]` is from `earlier` carried along `flow`, which may be on a coarser grid.
    ///
    /// # Errors
    /// [`CudaError::Shape`] if the shapes do not fit together.
    pub fn residual(
        &self,
        earlier: &DeviceMap<f32>,
        current: &DeviceMap<f32>,
        flow: &DeviceMap<f32>,
        map: &mut DeviceMap<f32>,
        half_map: Option<&mut DeviceMap<Half>>,
    ) -> Result<(), CudaError> {
        let kernel = &self.device().kernels.residual;
        let ([_, rows, cols], [_, flow_rows, flow_cols]) = (current.shape(), flow.shape());
        expect_shape(kernel.name, "current glance", [3, rows, cols], current.shape())?;
        expect_shape(kernel.name, "earlier glance", [3, rows, cols], earlier.shape())?;
        expect_shape(kernel.name, "map", [1, rows, cols], map.shape())?;
        expect_shape(kernel.name, "flow", [2, flow_rows, flow_cols], flow.shape())?;
        if flow.is_empty() {
            return Err(CudaError::shape(kernel.name, "flow", "cells", "none"));
        }
        if let Some(half_map) = &half_map {
            expect_shape(kernel.name, "half map", [1, rows, cols], half_map.shape())?;
        }
        let half_address = half_map.as_ref().map_or(0, |half_map| half_map.address());
        let grid = Grid { blocks: (cols.div_ceil(32), rows.div_ceil(8), 1), threads: (32, 8) };
        // SAFETY: the parameters of `residual`, in order; every map has the shape that is told for it, as compared above.
        unsafe {
            self.launch(
                kernel,
                grid,
                &[
                    argument(&earlier.address()),
                    argument(&current.address()),
                    argument(&(rows as i32)),
                    argument(&(cols as i32)),
                    argument(&flow.address()),
                    argument(&(flow_rows as i32)),
                    argument(&(flow_cols as i32)),
                    argument(&map.address()),
                    argument(&half_address),
                ],
            )
        }?;
        for used in [earlier, current, flow, map] {
            self.keep(used.buffer());
        }
        if let Some(half_map) = half_map {
            self.keep(half_map.buffer());
        }
        Ok(())
    }

    /// Writes the sum of all numbers of `map` into the first of `sum`.
    ///
    /// # Errors
    /// [`CudaError::Shape`] if `sum` has no room.
    pub fn sum_residual(&self, map: &DeviceMap<f32>, sum: &mut DeviceBuffer<f32>) -> Result<(), CudaError> {
        let kernel = &self.device().kernels.sum_residual;
        if sum.is_empty() {
            return Err(CudaError::shape(kernel.name, "sum", "room for one number", 0));
        }
        let count = int(kernel.name, "numbers", map.len())?;
        // SAFETY: the parameters of `sum_residual`, in order; the map holds `count` numbers and the sum one at least.
        unsafe {
            self.launch(
                kernel,
                Grid { blocks: (1, 1, 1), threads: (1024, 1) },
                &[argument(&map.address()), argument(&count), argument(&sum.address())],
            )
        }?;
        self.keep(map.buffer());
        self.keep(sum);
        Ok(())
    }

    /// Blends `carried` into `fresh` of the same shape as far as `residual_map` `[1, rows, cols]`, of any grid that is as
    /// fine or finer, says that the picture agrees; `unit` is one of it in parts of the range of colours. A coarser one
    /// says nothing: then `fresh` stays.
    ///
    /// # Errors
    /// [`CudaError::Shape`] if the shapes do not fit together.
    pub fn blend_features<T: Sample>(
        &self,
        fresh: &mut DeviceMap<T>,
        carried: &DeviceMap<T>,
        residual_map: &DeviceMap<f32>,
        unit: f32,
    ) -> Result<(), CudaError> {
        self.blend(T::of(&self.device().kernels.blend_features), fresh, carried, (residual_map, unit))
    }

    /// [`Stream::blend_features`] where the numbers are `[rows, cols, channels]`, channels a multiple of 8.
    pub fn blend_features_hwc8(
        &self,
        fresh: &mut DeviceMap<Half>,
        carried: &DeviceMap<Half>,
        residual_map: &DeviceMap<f32>,
        unit: f32,
    ) -> Result<(), CudaError> {
        let kernel = &self.device().kernels.blend_features_hwc8;
        let channels = fresh.shape()[0];
        if !channels.is_multiple_of(8) {
            return Err(CudaError::shape(kernel.name, "channels", "a multiple of 8", channels));
        }
        self.blend(kernel, fresh, carried, (residual_map, unit))
    }

    fn blend<T: Element>(
        &self,
        kernel: &Kernel,
        fresh: &mut DeviceMap<T>,
        carried: &DeviceMap<T>,
        (residual_map, unit): (&DeviceMap<f32>, f32),
    ) -> Result<(), CudaError> {
        let ([channels, rows, cols], [_, fine_rows, fine_cols]) = (fresh.shape(), residual_map.shape());
        expect_shape(kernel.name, "carried", fresh.shape(), carried.shape())?;
        expect_shape(kernel.name, "residual", [1, fine_rows, fine_cols], residual_map.shape())?;
        if fine_rows < rows || fine_cols < cols {
            return Ok(());
        }
        let grid = Grid { blocks: ((rows * cols).div_ceil(128), channels.div_ceil(8), 1), threads: (128, 1) };
        // SAFETY: the parameters of the blend kernels, in order; fresh and carried are of the shape that is told, the residual
        // of its own, as fine or finer. Buffers begin at multiples of 256 bytes.
        unsafe {
            self.launch(
                kernel,
                grid,
                &[
                    argument(&fresh.address()),
                    argument(&carried.address()),
                    argument(&(channels as i32)),
                    argument(&(rows as i32)),
                    argument(&(cols as i32)),
                    argument(&residual_map.address()),
                    argument(&(fine_rows as i32)),
                    argument(&(fine_cols as i32)),
                    argument(&unit),
                ],
            )
        }?;
        self.keep(fresh.buffer());
        self.keep(carried.buffer());
        self.keep(residual_map.buffer());
        Ok(())
    }

    /// Averages blocks of `side` by `side` cells: `map` `[channels, rows, cols]` to `out`
    /// `[channels, rows / side, cols / side]`.
    ///
    /// # Errors
    /// [`CudaError::Shape`] if `out` has another shape.
    pub fn average_blocks<T: Sample>(
        &self,
        map: &DeviceMap<T>,
        side: usize,
        out: &mut DeviceMap<T>,
    ) -> Result<(), CudaError> {
        let kernel = T::of(&self.device().kernels.average_blocks);
        let [channels, rows, cols] = map.shape();
        if side == 0 {
            return Err(CudaError::shape(kernel.name, "side", "at least 1", 0));
        }
        expect_shape(kernel.name, "out", [channels, rows / side, cols / side], out.shape())?;
        let grid = Grid { blocks: (((rows / side) * (cols / side)).div_ceil(128), channels, 1), threads: (128, 1) };
        let side = int(kernel.name, "side", side)?;
        // SAFETY: the parameters of `average_blocks_f16` and `_f32`, in order; both maps have the shapes that these give.
        unsafe {
            self.launch(
                kernel,
                grid,
                &[
                    argument(&map.address()),
                    argument(&(channels as i32)),
                    argument(&(rows as i32)),
                    argument(&(cols as i32)),
                    argument(&side),
                    argument(&out.address()),
                ],
            )
        }?;
        self.keep(map.buffer());
        self.keep(out.buffer());
        Ok(())
    }
}
