//! Memory of the device, pinned memory of the host, and the way between them.

use super::error::{At, CudaError};
use super::stream::Stream;
use cudarc::driver::sys::CUresult;
use cudarc::driver::{CudaContext, CudaEvent, result, sys};
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

/// Idle pieces of one size that a stream keeps: what is in use between two key frames, twice over.
const MAX_IDLE: usize = 16;
/// Sizes are rounded up to this many bytes, so that almost equal ones share their memory.
const STEP: usize = 512;

/// Half-precision number, as its bits: IEEE 754 binary16.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Half(pub u16);

/// What buffers hold: plain numbers, any bits of which are a value.
pub trait Element: Copy + Default + Send + Sync + sealed::Sealed + 'static {}

mod sealed {
    /// Only numbers whose every bit pattern is a value: copied memory is one.
    pub trait Sealed {}
    impl Sealed for u8 {}
    impl Sealed for u32 {}
    impl Sealed for i32 {}
    impl Sealed for f32 {}
    impl Sealed for super::Half {}
}

impl<T: Copy + Default + Send + Sync + sealed::Sealed + 'static> Element for T {}

/// A piece of the device's memory.
#[derive(Debug)]
pub(super) struct Memory {
    address: sys::CUdeviceptr,
    bytes: usize,
    context: Arc<CudaContext>,
}

impl Memory {
    fn new(context: &Arc<CudaContext>, bytes: usize) -> Result<Self, CudaError> {
        context.bind_to_thread().at("choosing the GPU")?;
        // SAFETY: asks for memory that nobody reads before it was written: a buffer is zeroed when it is made.
        let address = unsafe { result::malloc_sync(bytes) };
        let address = address.map_err(|error| out_of_memory("device", bytes, error))?;
        Ok(Self { address, bytes, context: Arc::clone(context) })
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if self.context.bind_to_thread().is_ok() {
            // SAFETY: allocated in `new` and freed only here; the driver waits for work on it before it frees.
            let _ = unsafe { result::free_sync(self.address) };
        }
    }
}

/// Pinned memory of the host: what the device can fetch by itself.
#[derive(Debug)]
struct Pinned {
    address: *mut u8,
    bytes: usize,
    /// After the last copy from or to it.
    used: CudaEvent,
    context: Arc<CudaContext>,
}

// SAFETY: plain memory that this value alone owns; only who holds it exclusively or has waited for `used` touches it.
unsafe impl Send for Pinned {}

impl Pinned {
    fn new(context: &Arc<CudaContext>, bytes: usize) -> Result<Self, CudaError> {
        let used = context.new_event(None).at("making an event")?;
        // SAFETY: asks for memory; it is written before it is read, by `copy_from_slice` or by a copy that was waited for.
        let address = unsafe { result::malloc_host(bytes, 0) };
        let address = address.map_err(|error| out_of_memory("pinned host", bytes, error))?;
        Ok(Self { address: address.cast(), bytes, used, context: Arc::clone(context) })
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        if self.used.synchronize().is_ok() && self.context.bind_to_thread().is_ok() {
            // SAFETY: allocated in `new`, freed only here, and the device is through with it.
            let _ = unsafe { result::free_host(self.address.cast()) };
        }
    }
}

fn out_of_memory(what: &'static str, bytes: usize, error: cudarc::driver::DriverError) -> CudaError {
    if error.0 != CUresult::CUDA_ERROR_OUT_OF_MEMORY {
        return CudaError::driver(format!("allocating {bytes} bytes of {what} memory"), error);
    }
    let free = result::mem_get_info().map_or(0, |(free, _)| free);
    CudaError::OutOfMemory { what, bytes, free }
}

/// Memory that waits to be used again, by size in bytes.
#[derive(Debug, Default)]
pub(super) struct Pool {
    device: Mutex<BTreeMap<usize, Vec<Arc<Memory>>>>,
    /// Too much to keep, and perhaps still used by launches that were put off.
    retired: Mutex<Vec<Arc<Memory>>>,
    host: Mutex<BTreeMap<usize, Vec<Pinned>>>,
}

impl Pool {
    fn give_back(&self, memory: Arc<Memory>) {
        // A graph that still uses it keeps it from being used for anything else.
        if Arc::strong_count(&memory) > 1 {
            return;
        }
        let mut idle = self.device.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = idle.entry(memory.bytes).or_default();
        if idle.len() < MAX_IDLE {
            idle.push(memory);
        } else {
            self.retired.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
        }
    }

    /// Frees what is too much, once the stream was asked for all work on it.
    pub(super) fn free_retired(&self) {
        let retired = std::mem::take(&mut *self.retired.lock().unwrap_or_else(PoisonError::into_inner));
        drop(retired);
    }

    fn take(&self, bytes: usize) -> Option<Arc<Memory>> {
        self.device.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&bytes)?.pop()
    }

    fn take_pinned(&self, bytes: usize) -> Option<Pinned> {
        self.host.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&bytes)?.pop()
    }

    fn give_back_pinned(&self, pinned: Pinned) {
        let mut idle = self.host.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = idle.entry(pinned.bytes).or_default();
        if idle.len() < MAX_IDLE {
            idle.push(pinned);
        }
    }
}

/// So many numbers in the device's memory, from the pool of a stream, to which they return when dropped.
///
/// What is in it is only known after something was written. It is for work on its own stream: another stream that uses
/// it has to [wait](Stream::wait_for), and the first one has to wait for that one before it is dropped.
#[derive(Debug)]
pub struct DeviceBuffer<T: Element> {
    memory: Option<Arc<Memory>>,
    len: usize,
    home: Arc<Pool>,
    holds: PhantomData<T>,
}

impl<T: Element> DeviceBuffer<T> {
    /// How many numbers it holds.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes.
    pub fn bytes(&self) -> usize {
        self.len * size_of::<T>()
    }

    /// Where it lies in the device's memory; 0 if it is empty. For libraries that are called with addresses: whatever
    /// they do there is their caller's to prove.
    pub fn address(&self) -> u64 {
        self.memory.as_ref().map_or(0, |memory| memory.address)
    }

    pub(super) fn memory(&self) -> Option<&Arc<Memory>> {
        self.memory.as_ref()
    }
}

impl<T: Element> Drop for DeviceBuffer<T> {
    fn drop(&mut self) {
        if let Some(memory) = self.memory.take() {
            self.home.give_back(memory);
        }
    }
}

impl Stream {
    /// A buffer of `len` numbers: all zero when new, whatever was left in it when used again.
    pub fn buffer<T: Element>(&self, len: usize) -> Result<DeviceBuffer<T>, CudaError> {
        let home = Arc::clone(self.pool());
        let bytes = (len * size_of::<T>()).next_multiple_of(STEP);
        if len == 0 {
            return Ok(DeviceBuffer { memory: None, len, home, holds: PhantomData });
        }
        let memory = match home.take(bytes) {
            Some(memory) => memory,
            None => self.zeroed(bytes)?,
        };
        Ok(DeviceBuffer { memory: Some(memory), len, home, holds: PhantomData })
    }

    fn zeroed(&self, bytes: usize) -> Result<Arc<Memory>, CudaError> {
        let memory = Memory::new(&self.device().context, bytes)?;
        // SAFETY: the memory was just allocated with so many bytes and outlives the work: it is freed by a call that
        // waits for it.
        unsafe { result::memset_d8_async(memory.address, 0, bytes, self.handle()) }.at("zeroing new memory")?;
        Ok(Arc::new(memory))
    }

    /// Sets every byte of `buffer`.
    pub fn fill<T: Element>(&self, buffer: &mut DeviceBuffer<T>, byte: u8) -> Result<(), CudaError> {
        if buffer.is_empty() {
            return Ok(());
        }
        self.ask_for_all()?;
        self.device().context.bind_to_thread().at("choosing the GPU")?;
        // SAFETY: the buffer holds so many bytes and stays allocated until this is done: freeing it waits.
        let filled = unsafe { result::memset_d8_async(buffer.address(), byte, buffer.bytes(), self.handle()) };
        self.keep(buffer);
        filled.at("filling memory")
    }

    /// Copies `values` to the beginning of `buffer`, through pinned memory: `values` may change at once.
    ///
    /// # Errors
    /// [`CudaError::Shape`] if the buffer is shorter.
    pub fn upload<T: Element>(&self, values: &[T], buffer: &mut DeviceBuffer<T>) -> Result<(), CudaError> {
        if values.len() > buffer.len {
            return Err(CudaError::shape("upload", "numbers", format!("at most {}", buffer.len), values.len()));
        }
        if values.is_empty() {
            return Ok(());
        }
        self.ask_for_all()?;
        let bytes = size_of_val(values);
        let pinned = self.pinned(bytes)?;
        // SAFETY: both are as long as `bytes`: the slice by definition, the pinned memory because it was asked for.
        // They do not overlap, for one belongs to `pinned` alone. Bytes have no alignment. The device is not reading
        // from it: `pinned` waited.
        unsafe { std::ptr::copy_nonoverlapping(values.as_ptr().cast::<u8>(), pinned.address, bytes) };
        // SAFETY: the slice lies within pinned memory that is not touched until `used`, recorded below, has passed.
        let host = unsafe { std::slice::from_raw_parts(pinned.address, bytes) };
        // SAFETY: the destination has room for `bytes`, as compared above, and stays allocated: freeing it waits.
        unsafe { result::memcpy_htod_async(buffer.address(), host, self.handle()) }.at("copying to the GPU")?;
        pinned.used.record(self.inner()).at("recording an event")?;
        self.keep(buffer);
        self.pool().give_back_pinned(pinned);
        Ok(())
    }

    /// Copies the beginning of `buffer` to all of `values`, and waits for it and for all the work before it.
    ///
    /// # Errors
    /// [`CudaError::Shape`] if the buffer is shorter; [`CudaError::Driver`] also for work before it that failed.
    pub fn download<T: Element>(&self, buffer: &DeviceBuffer<T>, values: &mut [T]) -> Result<(), CudaError> {
        let pinned = self.fetch(buffer, values.len())?;
        pinned.map_or(Ok(()), |pinned| self.deliver(pinned, values))
    }

    /// [`Stream::download`] of two buffers with one wait.
    pub fn download_both<A: Element, B: Element>(
        &self,
        (first, into_first): (&DeviceBuffer<A>, &mut [A]),
        (second, into_second): (&DeviceBuffer<B>, &mut [B]),
    ) -> Result<(), CudaError> {
        let fetched = (self.fetch(first, into_first.len())?, self.fetch(second, into_second.len())?);
        if let Some(pinned) = fetched.0 {
            self.deliver(pinned, into_first)?;
        }
        fetched.1.map_or(Ok(()), |pinned| self.deliver(pinned, into_second))
    }

    /// Begins to copy `len` numbers into pinned memory.
    fn fetch<T: Element>(&self, buffer: &DeviceBuffer<T>, len: usize) -> Result<Option<Pinned>, CudaError> {
        if len > buffer.len {
            return Err(CudaError::shape("download", "numbers", format!("at most {}", buffer.len), len));
        }
        if len == 0 {
            return Ok(None);
        }
        self.ask_for_all()?;
        let bytes = len * size_of::<T>();
        let pinned = self.pinned(bytes)?;
        // SAFETY: the memory is as long as `bytes`, belongs to `pinned` alone, and any bits are a `u8`.
        let host = unsafe { std::slice::from_raw_parts_mut(pinned.address, bytes) };
        // SAFETY: the source holds at least `bytes`, as compared above; the destination lives until `used` has passed.
        unsafe { result::memcpy_dtoh_async(host, buffer.address(), self.handle()) }.at("copying from the GPU")?;
        pinned.used.record(self.inner()).at("recording an event")?;
        Ok(Some(pinned))
    }

    /// Waits for a copy into pinned memory and takes it over.
    fn deliver<T: Element>(&self, pinned: Pinned, values: &mut [T]) -> Result<(), CudaError> {
        pinned.used.synchronize().at("waiting for what the GPU was asked to do")?;
        let bytes = size_of_val(values);
        // SAFETY: `fetch` asked for as many bytes; the device has written them all, for `used` has passed; any bits are a
        // value of an `Element`; the two do not overlap.
        unsafe { std::ptr::copy_nonoverlapping(pinned.address, values.as_mut_ptr().cast::<u8>(), bytes) };
        self.pool().give_back_pinned(pinned);
        Ok(())
    }

    /// Copies one buffer over another of the same length, on the device.
    ///
    /// # Errors
    /// [`CudaError::Shape`] if their lengths differ.
    pub fn copy<T: Element>(&self, from: &DeviceBuffer<T>, to: &mut DeviceBuffer<T>) -> Result<(), CudaError> {
        if from.len != to.len {
            return Err(CudaError::shape("copy", "numbers", from.len, to.len));
        }
        if from.is_empty() {
            return Ok(());
        }
        self.ask_for_all()?;
        self.device().context.bind_to_thread().at("choosing the GPU")?;
        // SAFETY: both hold so many bytes, are not the same (one is borrowed exclusively) and stay allocated: freeing waits.
        let copied = unsafe { result::memcpy_dtod_async(to.address(), from.address(), from.bytes(), self.handle()) };
        self.keep(from);
        self.keep(to);
        copied.at("copying on the GPU")
    }

    /// Pinned memory of at least so many bytes that the device is through with.
    fn pinned(&self, bytes: usize) -> Result<Pinned, CudaError> {
        let bytes = bytes.next_multiple_of(STEP);
        self.device().context.bind_to_thread().at("choosing the GPU")?;
        let pinned = match self.pool().take_pinned(bytes) {
            Some(pinned) => pinned,
            None => Pinned::new(&self.device().context, bytes)?,
        };
        pinned.used.synchronize().at("waiting for an earlier copy")?;
        Ok(pinned)
    }
}
