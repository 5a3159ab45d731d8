//! Device memory and streams that somebody else made: `sys::cuda`, on a real device.

use std::cell::Cell;
use std::ffi::c_void;
use std::marker::PhantomData;

/// A piece of device memory, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct DeviceSpan<'a> {
    address: u64,
    bytes: usize,
    /// Not for other threads: who lends host memory relies on it.
    memory: PhantomData<&'a Cell<u8>>,
}

impl DeviceSpan<'_> {
    /// Memory at a device's `address`.
    ///
    /// # Safety
    /// The device can read and write `bytes` bytes there until all work that was enqueued with this span has finished,
    /// and nobody else touches them meanwhile but in the order of the same stream.
    pub unsafe fn new(address: u64, bytes: usize) -> Self {
        Self { address, bytes, memory: PhantomData }
    }

    /// Where it is.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// How long it is.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// A CUDA stream, borrowed: `cudaStream_t`, which is the driver's `CUstream` too.
#[derive(Clone, Copy, Debug)]
pub struct Stream<'a> {
    raw: *mut c_void,
    owner: PhantomData<&'a ()>,
}

// SAFETY: CUDA's streams may be used from any thread.
unsafe impl Send for Stream<'_> {}

impl Stream<'_> {
    /// The default stream of the device that is current.
    pub const DEFAULT: Stream<'static> = Stream { raw: std::ptr::null_mut(), owner: PhantomData };

    /// A stream that somebody else made.
    ///
    /// # Safety
    /// `raw` is a stream of the current context, alive as long as this.
    pub unsafe fn new(raw: *mut c_void) -> Self {
        Self { raw, owner: PhantomData }
    }

    pub(super) fn raw(self) -> *mut c_void {
        self.raw
    }
}
