//! `kernels/ego_flow.cu`: flow from the vehicle's own motion.

use super::error::CudaError;
use super::launch::{Argument, Grid, argument, int};
use super::map::{DeviceMap, expect_shape};
use super::stream::Stream;

/// A camera on a vehicle, as the kernel takes it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
pub struct DeviceCamera {
    /// Focal lengths, x and y, in pixels.
    pub focal_px: [f64; 2],
    /// Principal point, x and y, in pixels.
    pub principal_px: [f64; 2],
    /// Width and height of the picture, in pixels.
    pub sides_px: [f64; 2],
    /// The camera's right, down and forward in the vehicle's axes.
    pub axes: [[f64; 3]; 3],
    /// In the vehicle's axes, in metres.
    pub position_m: [f64; 3],
    /// k1, k2, p1, p2, k3; all 0 where there is none.
    pub distortion: [f64; 5],
}

/// Where the later vehicle is, as the earlier one sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
pub struct DeviceMotion {
    /// Its rotation, row by row.
    pub turned: [[f64; 3]; 3],
    /// Its place, in metres.
    pub moved_m: [f64; 3],
}

impl Argument for DeviceCamera {}
impl Argument for DeviceMotion {}

impl Stream {
    /// Writes into `flow` `[2, rows, cols]` where each cell was in the frame before, had nothing but the vehicle moved.
    ///
    /// # Errors
    /// [`CudaError::Shape`] if the field has not two planes.
    pub fn ego_flow(
        &self,
        camera: &DeviceCamera,
        motion: &DeviceMotion,
        flow: &mut DeviceMap<f32>,
    ) -> Result<(), CudaError> {
        let kernel = &self.device().kernels.ego_flow;
        let [_, rows, cols] = flow.shape();
        expect_shape(kernel.name, "flow", [2, rows, cols], flow.shape())?;
        let (rows_int, cols_int) = (int(kernel.name, "rows", rows)?, int(kernel.name, "columns", cols)?);
        // SAFETY: the parameters of `ego_flow`, in order; both structs are laid out as the kernel's, numbers of 8 bytes
        // without gaps; the flow is `[2, rows, cols]`.
        unsafe {
            self.launch(
                kernel,
                Grid::line(rows * cols, 128),
                &[
                    argument(camera),
                    argument(motion),
                    argument(&flow.address()),
                    argument(&rows_int),
                    argument(&cols_int),
                ],
            )
        }?;
        self.keep(flow.buffer());
        Ok(())
    }
}
