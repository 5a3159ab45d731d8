//! Room for masks in memory that other processes read.
//!
//! A mask that nobody reads any more is written anew: only where all are being read is another asked for.

use super::config::SharedMemory;
use ::zenoh::Wait;
use ::zenoh::bytes::ZBytes;
use ::zenoh::shm::{
    GarbageCollect, OwnedShmBuf, PosixShmProviderBackend, ShmProvider, ShmProviderBuilder, ZShmMut, zshmmut,
};
use std::collections::VecDeque;
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
    /// Masks that were written, the oldest first.
    kept: VecDeque<ZBytes>,
    misses_in_a_row: u32,
    warned: bool,
}

impl MaskMemory {
    pub(super) fn new(config: SharedMemory) -> Self {
        let kept = VecDeque::with_capacity(config.pool_masks);
        Self { config, pool: None, slot: 0, kept, misses_in_a_row: 0, warned: false }
    }

    /// A buffer of `len` bytes with room for `most` that `write` filled; `None` if it must go over the network instead.
    pub(super) fn fill<R>(
        &mut self,
        len: usize,
        most: usize,
        write: impl FnOnce(&mut [u8]) -> R,
    ) -> Option<(ZBytes, R)> {
        if !self.config.enabled {
            return None;
        }
        let read = self.kept.iter_mut().position(|kept| free(kept, len).is_some());
        if let Some(kept) = read.and_then(|place| self.kept.get_mut(place))
            && let Some(buffer) = free(kept, len)
        {
            let written = write(buffer);
            self.misses_in_a_row = 0;
            return Some((kept.clone(), written));
        }
        match self.try_allocate(len, most) {
            Ok(mut buffer) => {
                self.misses_in_a_row = 0;
                let written = write(&mut buffer);
                self.kept.push_back(buffer.into());
                self.kept.back().cloned().map(|bytes| (bytes, written))
            }
            Err(reason) => {
                self.miss(&reason);
                None
            }
        }
    }

    fn try_allocate(&mut self, len: usize, most: usize) -> Result<ZShmMut, String> {
        let slot = most.max(len).next_multiple_of(PAGE);
        if self.pool.is_none() || slot > self.slot {
            self.kept.clear();
            self.pool = Some(new_pool(slot, self.config.pool_masks)?);
            self.slot = slot;
        }
        // None of those kept can be written: the oldest is let go of, so that Zenoh takes it back even from who died.
        if self.kept.len() >= self.config.pool_masks {
            self.kept.pop_front();
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
            self.kept.clear();
            (self.pool, self.misses_in_a_row) = (None, 0);
        }
    }
}

/// The bytes of a mask of `len` bytes, if nobody else reads it, here or in another process.
fn free(kept: &mut ZBytes, len: usize) -> Option<&mut zshmmut> {
    let buffer: &mut zshmmut = kept.as_shm_mut()?.try_into().ok()?;
    (buffer.len() == len).then_some(buffer)
}

fn new_pool(slot: usize, masks: usize) -> Result<ShmProvider<PosixShmProviderBackend>, String> {
    // One page more a slot: the allocator keeps its own notes between slots.
    let bytes = (slot + PAGE).saturating_mul(masks);
    ShmProviderBuilder::default_backend(bytes).wait().map_err(|error| format!("{bytes} bytes: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(memory: &mut MaskMemory, len: usize) -> Option<ZBytes> {
        memory.fill(len, 10_000, |bytes| bytes.fill(len as u8)).map(|(bytes, ())| bytes)
    }

    #[test]
    fn masks_given_back_make_room_and_a_pool_that_is_never_given_back_is_replaced() {
        let mut memory = MaskMemory::new(SharedMemory { enabled: true, pool_masks: 3 });
        for round in 0..10 {
            let held: Vec<_> = (1..=3).map(|len| filled(&mut memory, len * 1000).map(|bytes| bytes.len())).collect();
            assert_eq!(held, [Some(1000), Some(2000), Some(3000)], "round {round}");
        }
        let held: Vec<_> = (0..3).filter_map(|_| filled(&mut memory, 10_000)).collect();
        assert_eq!(held.len(), 3);
        let misses = (0..1000).take_while(|_| filled(&mut memory, 10_000).is_none()).count();
        assert_eq!(misses, RENEW_AFTER as usize);
    }

    #[test]
    fn a_mask_is_written_anew_where_it_lies_once_nobody_reads_it_and_never_before() {
        let mut memory = MaskMemory::new(SharedMemory { enabled: true, pool_masks: 4 });
        let mut write = |byte: u8| memory.fill(100, 100, |bytes| bytes.fill(byte)).expect("there is room").0;
        let at = |bytes: &ZBytes| bytes.slices().next().expect("one slice").as_ptr();
        let held = write(1);
        let (elsewhere, kept) = (held.as_shm().expect("it is shared").to_owned(), at(&held));
        drop(held);
        // Counted in the memory itself, as another process is.
        let second = write(2);
        assert!(at(&second) != kept && elsewhere.iter().all(|&byte| byte == 1), "it is read elsewhere");
        drop(elsewhere);
        assert_eq!(at(&write(3)), kept);
        assert!(second.to_bytes().iter().all(|&byte| byte == 2), "it is held here");
    }

    #[test]
    fn masks_that_grow_get_a_larger_pool_and_impossible_ones_none() {
        let mut memory = MaskMemory::new(SharedMemory { enabled: true, pool_masks: 2 });
        let fill = |memory: &mut MaskMemory, len| memory.fill(len, len, |_| ()).map(|(bytes, ())| bytes.len());
        for len in [100, 100_000, 1_000_000] {
            assert_eq!(fill(&mut memory, len), Some(len));
        }
        assert!(fill(&mut memory, 1 << 50).is_none());
        let mut off = MaskMemory::new(SharedMemory { enabled: false, pool_masks: 2 });
        assert!(fill(&mut off, 1).is_none());
    }
}
