//! Memory of the host in a device's place: for a library that computes on the host, as the tests' stand-in does.

use super::{DeviceSpan, Library};
use std::cell::UnsafeCell;

/// Memory that a library can compute on without a device.
#[derive(Debug)]
pub struct HostMemory {
    words: Box<[UnsafeCell<u64>]>,
    bytes: usize,
}

impl HostMemory {
    /// `bytes` zeros; nothing if `library` wants a device's memory.
    pub fn new(library: &Library, bytes: usize) -> Option<Self> {
        let words = (0..bytes.div_ceil(8)).map(|_| UnsafeCell::new(0)).collect();
        library.computes_on_the_host().then_some(Self { words, bytes })
    }

    /// As a device's memory.
    pub fn span(&self) -> DeviceSpan<'_> {
        // SAFETY: such a library has finished when it returns from what was enqueued, on the calling thread, to which
        // this memory is bound (it is not `Sync`); it lives as long as the span.
        unsafe { DeviceSpan::new(self.words.as_ptr().expose_provenance() as u64, self.bytes) }
    }

    /// What is in it.
    pub fn read(&self) -> Vec<u8> {
        let words = self.words.iter().flat_map(|word| {
            // SAFETY: nothing is enqueued at this time, and no reference into the memory exists.
            unsafe { *word.get() }.to_ne_bytes()
        });
        words.take(self.bytes).collect()
    }

    /// Copies `values` to its start.
    pub fn write(&mut self, values: &[u8]) {
        for (word, values) in self.words.iter_mut().zip(values.chunks(8)) {
            let mut bytes = word.get_mut().to_ne_bytes();
            bytes[..values.len()].copy_from_slice(values);
            *word.get_mut() = u64::from_ne_bytes(bytes);
        }
    }
}
