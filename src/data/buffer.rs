//! Bytes that travel between stages without being copied, and the pool they come from.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// Read-only bytes with any owner: a pooled buffer, a decoded file, a camera's mapped buffer.
///
/// Cloning shares; the owner is released (or becomes free in its pool) when the last clone drops.
#[derive(Clone)]
pub struct SharedBytes(Arc<dyn AsRef<[u8]> + Send + Sync>);

impl SharedBytes {
    /// Lends the bytes of `owner`, which is dropped with the last clone.
    pub fn from_owner(owner: Arc<dyn AsRef<[u8]> + Send + Sync>) -> Self {
        Self(owner)
    }

    /// Whether both are the same memory, and not only equal bytes.
    pub fn is_same_as(&self, other: &Self) -> bool {
        std::ptr::eq(&raw const **self, &raw const **other)
    }
}

impl From<Vec<u8>> for SharedBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Arc::new(bytes))
    }
}

impl Deref for SharedBytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        (*self.0).as_ref()
    }
}

impl fmt::Debug for SharedBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedBytes({} bytes)", self.len())
    }
}

impl PartialEq for SharedBytes {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for SharedBytes {}

/// Buffers used again once every reader has let go of them, so that the steady state allocates nothing.
///
/// At most `bound` buffers are kept. If all are still being read, [`BufferPool::fill`] allocates one
/// that is not kept and counts it in [`BufferPool::misses`]: readers that hold on for ever cost
/// memory that shows, not a stalled pipeline.
#[derive(Debug)]
pub struct BufferPool {
    slots: Vec<Arc<Vec<u8>>>,
    bound: usize,
    misses: u64,
}

impl BufferPool {
    /// A pool that keeps at most `bound` buffers.
    pub fn new(bound: usize) -> Self {
        Self { slots: Vec::with_capacity(bound), bound, misses: 0 }
    }

    /// A buffer of `len` bytes written by `write` (its old contents are unspecified) and then shared.
    pub fn fill(&mut self, len: usize, write: impl FnOnce(&mut [u8])) -> SharedBytes {
        let mut buffer = self.take_free().unwrap_or_default();
        let bytes = Arc::get_mut(&mut buffer).expect("a free slot has no reader: take_free checked its count");
        bytes.resize(len, 0);
        write(bytes);
        let shared = SharedBytes(Arc::clone(&buffer) as _);
        self.keep(buffer);
        shared
    }

    /// Allocations made because every kept buffer was still being read.
    pub fn misses(&self) -> u64 {
        self.misses
    }

    fn take_free(&mut self) -> Option<Arc<Vec<u8>>> {
        let free = self.slots.iter_mut().position(|slot| Arc::get_mut(slot).is_some())?;
        Some(self.slots.swap_remove(free))
    }

    fn keep(&mut self, buffer: Arc<Vec<u8>>) {
        if self.slots.len() < self.bound {
            self.slots.push(buffer);
        } else {
            self.misses += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_buffer_is_used_again_and_a_held_one_never() {
        let mut pool = BufferPool::new(2);
        let held = pool.fill(4, |bytes| bytes.fill(1));
        let first = pool.fill(4, |bytes| bytes.fill(2));
        let address = first.as_ptr();
        drop(first);
        let second = pool.fill(3, |bytes| bytes.fill(3));
        assert_eq!(second.as_ptr(), address);
        assert_eq!((&*held, &*second), (&[1, 1, 1, 1][..], &[3, 3, 3][..]));
        assert_eq!(pool.misses(), 0);
    }

    #[test]
    fn a_full_pool_still_serves_and_counts_the_miss() {
        let mut pool = BufferPool::new(1);
        let _held = pool.fill(1, |_| ());
        let extra = pool.fill(1, |bytes| bytes[0] = 9);
        assert_eq!((extra[0], pool.misses()), (9, 1));
    }
}
