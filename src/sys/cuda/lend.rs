//! Streams and memory lent to TensorRT.

use super::map::DeviceMap;
use super::memory::Half;
use super::stream::Stream;
use crate::sys::tensorrt;

impl Stream {
    /// The stream as TensorRT takes it.
    pub fn for_tensorrt(&self) -> tensorrt::Stream<'_> {
        // SAFETY: the stream is of the device's primary context, which is TensorRT's too, and lives as long as the borrow;
        // it waits for its work before it ends.
        unsafe { tensorrt::Stream::new(self.handle().cast()) }
    }
}

impl DeviceMap<Half> {
    /// The map's memory as TensorRT takes it.
    pub fn span(&self) -> tensorrt::DeviceSpan<'_> {
        // SAFETY: so many bytes are allocated at this address and stay so until work that uses them has finished, for freeing
        // waits. Dropped, the memory is used again in the order of the stream that it is of; who lets another stream use it
        // makes that one wait first (`DeviceBuffer`).
        unsafe { tensorrt::DeviceSpan::new(self.address(), self.buffer().bytes()) }
    }
}
