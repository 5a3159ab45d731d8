//! Planes of numbers in the device's memory.

use super::error::CudaError;
use super::memory::{DeviceBuffer, Element};
use super::stream::Stream;

/// `[channels, rows, cols]`, row-major, without padding; or the same numbers as `[rows, cols, channels]` where a
/// function's name ends with `hwc8`.
#[derive(Debug)]
pub struct DeviceMap<T: Element> {
    buffer: DeviceBuffer<T>,
    shape: [usize; 3],
}

impl<T: Element> DeviceMap<T> {
    /// `[channels, rows, cols]`.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// How many numbers.
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// The numbers.
    pub fn buffer(&self) -> &DeviceBuffer<T> {
        &self.buffer
    }

    /// The numbers, to be written.
    pub fn buffer_mut(&mut self) -> &mut DeviceBuffer<T> {
        &mut self.buffer
    }

    /// Where they lie in the device's memory: see [`DeviceBuffer::address`].
    pub fn address(&self) -> u64 {
        self.buffer.address()
    }
}

impl Stream {
    /// A map of this shape `[channels, rows, cols]`; what is in it is only known once it was written.
    pub fn map<T: Element>(&self, shape: [usize; 3]) -> Result<DeviceMap<T>, CudaError> {
        let count = shape.iter().try_fold(1_usize, |count, side| count.checked_mul(*side));
        // Kernels count cells of a plane and of a map in 32 bits.
        let count = count.filter(|count| i32::try_from(*count).is_ok());
        let shown = || format!("{shape:?}");
        let count = count.ok_or_else(|| CudaError::shape("map", "shape", "at most 2147483647 numbers", shown()))?;
        Ok(DeviceMap { buffer: self.buffer(count)?, shape })
    }

    /// A map of `values`.
    ///
    /// # Errors
    /// [`CudaError::Shape`] if there are not as many as the shape has.
    pub fn map_of<T: Element>(&self, shape: [usize; 3], values: &[T]) -> Result<DeviceMap<T>, CudaError> {
        let mut map = self.map(shape)?;
        if values.len() != map.len() {
            return Err(CudaError::shape("map", "numbers", map.len(), values.len()));
        }
        self.upload(values, &mut map.buffer)?;
        Ok(map)
    }
}

/// Refuses a map of another shape than is wanted.
pub(super) fn expect_shape(
    kernel: &'static str,
    what: &'static str,
    expected: [usize; 3],
    got: [usize; 3],
) -> Result<(), CudaError> {
    if expected == got {
        Ok(())
    } else {
        Err(CudaError::shape(kernel, what, format!("{expected:?}"), format!("{got:?}")))
    }
}
