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
///
/// The buffer that was read last is the next to be written, so that those beyond what readers need stay untouched.
#[derive(Debug)]
pub struct BufferPool {
    slots: Vec<Arc<Vec<u8>>>,
    bound: usize,
    /// Every buffer has room for this much; nothing is made before it is needed if there is none.
    room: Option<usize>,
    misses: u64,
}

impl BufferPool {
    /// A pool that keeps at most `bound` buffers, each made when it is needed.
    pub fn new(bound: usize) -> Self {
        Self { slots: Vec::with_capacity(bound), bound, room: None, misses: 0 }
    }

    /// A pool of `bound` buffers that are made with the first one that is asked for, and again with the first larger one:
    /// a reader who falls behind for the first time costs no allocation either.
    ///
    /// The system gives a large buffer its memory when it is first written.
    pub fn made_at_once(bound: usize) -> Self {
        Self { room: Some(0), ..Self::new(bound) }
    }

    /// A buffer of `len` bytes written by `write` (its old contents are unspecified) and then shared.
    pub fn fill(&mut self, len: usize, write: impl FnOnce(&mut [u8])) -> SharedBytes {
        if self.room.is_some_and(|room| room < len) {
            self.make_room(len);
        }
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
        let free = self.slots.iter_mut().rposition(|slot| Arc::get_mut(slot).is_some())?;
        Some(self.slots.swap_remove(free))
    }

    /// All buffers that nobody reads get room for `len` bytes; where memory is short they are made when they are needed.
    fn make_room(&mut self, len: usize) {
        self.room = Some(len);
        self.slots.resize_with(self.bound, Arc::default);
        for buffer in self.slots.iter_mut().filter_map(Arc::get_mut) {
            // What it holds is of no use to anybody, and is not to be copied.
            buffer.clear();
            let _ = buffer.try_reserve_exact(len);
        }
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
    fn what_is_made_at_once_has_room_for_every_reader_before_there_is_one() {
        let mut pool = BufferPool::made_at_once(3);
        for len in [100, 1000] {
            let first = pool.fill(len, |_| ());
            let others: Vec<*const u8> =
                pool.slots.iter().filter(|slot| slot.is_empty()).map(|slot| slot.as_ptr()).collect();
            assert!(pool.slots.iter().all(|slot| slot.capacity() >= len) && others.len() == 2, "{pool:?}");
            let held = [pool.fill(len, |_| ()), pool.fill(len, |_| ())];
            assert!(held.iter().all(|held| others.contains(&held.as_ptr()) && !held.is_same_as(&first)));
            assert_eq!((pool.slots.len(), pool.misses()), (3, 0));
        }
    }

    #[test]
    fn a_pool_made_at_once_writes_into_one_buffer_while_nobody_holds_on() {
        let mut pool = BufferPool::made_at_once(3);
        let addresses: Vec<_> = (0..5).map(|_| pool.fill(8, |_| ()).as_ptr()).collect();
        assert!(addresses.iter().all(|&address| address == addresses[0]));
        assert_eq!(pool.slots.iter().filter(|slot| slot.is_empty()).count(), 2);
    }

    #[test]
    fn a_full_pool_still_serves_and_counts_the_miss() {
        let mut pool = BufferPool::new(1);
        let _held = pool.fill(1, |_| ());
        let extra = pool.fill(1, |bytes| bytes[0] = 9);
        assert_eq!((extra[0], pool.misses()), (9, 1));
    }
}
