//! Room for masks in memory that other processes read.

use super::config::SharedMemory;
use ::zenoh::Wait;
use ::zenoh::shm::{GarbageCollect, OwnedShmBuf, PosixShmProviderBackend, ShmProvider, ShmProviderBuilder, ZShmMut};
use std::num::NonZeroUsize;

/// Masks without room in a row after which the pool is replaced: a receiver that died while reading
/// never gives its masks back.
const RENEW_AFTER: u32 = 100;
const PAGE: usize = 4096;

/// A pool of equal slots, made when the size of masks is first known.
pub(super) struct MaskMemory {
    config: SharedMemory,
    pool: Option<ShmProvider<PosixShmProviderBackend>>,
    slot: usize,
    misses_in_a_row: u32,
    warned: bool,
}

impl MaskMemory {
    pub(super) fn new(config: SharedMemory) -> Self {
        Self { config, pool: None, slot: 0, misses_in_a_row: 0, warned: false }
    }

    /// A buffer of `len` bytes with room for `most`; `None` if it must go over the network instead.
    pub(super) fn allocate(&mut self, len: usize, most: usize) -> Option<ZShmMut> {
        if !self.config.enabled {
            return None;
        }
        let buffer = self.try_allocate(len, most);
        match &buffer {
            Ok(_) => self.misses_in_a_row = 0,
            Err(reason) => self.miss(reason),
        }
        buffer.ok()
    }

    fn try_allocate(&mut self, len: usize, most: usize) -> Result<ZShmMut, String> {
        let slot = most.max(len).next_multiple_of(PAGE);
        if self.pool.is_none() || slot > self.slot {
            self.pool = Some(new_pool(slot, self.config.pool_masks)?);
            self.slot = slot;
        }
        let pool = self.pool.as_ref().expect("made above");
        let mut buffer =
            pool.alloc(self.slot).with_policy::<GarbageCollect>().wait().map_err(|error| error.to_string())?;
        let len = NonZeroUsize::new(len).ok_or("an empty mask")?;
        if buffer.try_resize(len).is_some() { Ok(buffer) } else { Err(format!("no slot of {len} bytes")) }
    }

    fn miss(&mut self, reason: &str) {
        if !std::mem::replace(&mut self.warned, true) {
            let masks = self.config.pool_masks;
            tracing::warn!(
                "zenoh: no shared memory for a mask ({reason}; pool_masks = {masks}); sent over the network instead, \
                 counted as `unshared` in health"
            );
        }
        self.misses_in_a_row += 1;
        if self.misses_in_a_row >= RENEW_AFTER {
            (self.pool, self.misses_in_a_row) = (None, 0);
        }
    }
}

fn new_pool(slot: usize, masks: usize) -> Result<ShmProvider<PosixShmProviderBackend>, String> {
    // One page more a slot: the allocator keeps its own notes between slots.
    let bytes = (slot + PAGE).saturating_mul(masks);
    ShmProviderBuilder::default_backend(bytes).wait().map_err(|error| format!("{bytes} bytes: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_given_back_make_room_and_a_pool_that_is_never_given_back_is_replaced() {
        let mut memory = MaskMemory::new(SharedMemory { enabled: true, pool_masks: 3 });
        let mut allocate = |len| memory.allocate(len, 10_000);
        for round in 0..10 {
            let held: Vec<_> = (1..=3).map(|len| allocate(len * 1000).map(|buffer| buffer.len())).collect();
            assert_eq!(held, [Some(1000), Some(2000), Some(3000)], "round {round}");
        }
        let held: Vec<_> = (0..3).filter_map(|_| allocate(10_000)).collect();
        assert_eq!(held.len(), 3);
        let misses = (0..1000).take_while(|_| allocate(10_000).is_none()).count();
        assert_eq!(misses, RENEW_AFTER as usize);
    }

    #[test]
    fn masks_that_grow_get_a_larger_pool_and_impossible_ones_none() {
        let mut memory = MaskMemory::new(SharedMemory { enabled: true, pool_masks: 2 });
        for len in [100, 100_000, 1_000_000] {
            assert_eq!(memory.allocate(len, len).map(|buffer| buffer.len()), Some(len));
        }
        assert!(memory.allocate(1 << 50, 1 << 50).is_none());
        let mut off = MaskMemory::new(SharedMemory { enabled: false, pool_masks: 2 });
        assert!(off.allocate(1, 1).is_none());
    }
}
