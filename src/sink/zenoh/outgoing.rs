//! Bytes on their way out, in buffers that are used again once Zenoh and whoever asked have let go of them.
//!
//! Zenoh reads them where they are: it takes its part of the buffer's count of owners, and no block of its own.

use crate::data::SharedBytes;
use ::zenoh::bytes::ZBytes;
use std::any::Any;
use std::sync::Arc;
use zenoh_buffers::{ZBuf, ZSlice, ZSliceBuffer};

/// Buffers that are kept: one in each hand of those that read them at once, the newest mask's and answers' among them.
const KEPT: usize = 8;

/// Buffers of one kind. Where all are still being read, one more is made and not kept.
#[derive(Debug)]
pub(super) struct Outgoing<T>(Vec<Arc<T>>);

impl<T: ZSliceBuffer + Default> Outgoing<T> {
    pub(super) fn new() -> Self {
        Self(Vec::with_capacity(KEPT))
    }

    /// A buffer that `write` filled anew.
    pub(super) fn fill(&mut self, write: impl FnOnce(&mut T)) -> ZBytes {
        for kept in &mut self.0 {
            if let Some(free) = Arc::get_mut(kept) {
                write(free);
                return shared(kept);
            }
        }
        let mut new = T::default();
        write(&mut new);
        let new = Arc::new(new);
        let bytes = shared(&new);
        if self.0.len() < KEPT {
            self.0.push(new);
        }
        bytes
    }
}

impl Outgoing<Lent> {
    /// A plane that Zenoh reads where it is. Those that nobody reads any more are let go of.
    pub(super) fn lend(&mut self, plane: &SharedBytes) -> ZBytes {
        self.0.iter_mut().filter_map(Arc::get_mut).for_each(|read| read.0 = None);
        self.fill(|lent| lent.0 = Some(plane.clone()))
    }
}

fn shared<T: ZSliceBuffer>(buffer: &Arc<T>) -> ZBytes {
    ZBuf::from(ZSlice::from(Arc::clone(buffer))).into()
}

/// A plane that Zenoh reads where it is.
#[derive(Debug, Default)]
pub(super) struct Lent(Option<SharedBytes>);

impl ZSliceBuffer for Lent {
    fn as_slice(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_filled_anew_once_nobody_reads_it_and_never_before() {
        let mut outgoing = Outgoing::<Vec<u8>>::new();
        let mut fill = |byte: u8| {
            outgoing.fill(|buffer| {
                buffer.clear();
                buffer.resize(3, byte);
            })
        };
        let held = fill(1);
        let at = |bytes: &ZBytes| bytes.slices().next().expect("one slice").as_ptr();
        let first = fill(2);
        let place = at(&first);
        drop(first);
        let second = fill(4);
        assert_eq!((at(&second), &*second.to_bytes(), &*held.to_bytes()), (place, &[4; 3][..], &[1; 3][..]));
        let many: Vec<_> = (0..2 * KEPT as u8).map(&mut fill).collect();
        assert!((0..).zip(&many).all(|(byte, bytes)| bytes.to_bytes().iter().all(|&read| read == byte)));
    }

    #[test]
    fn a_plane_is_given_back_by_the_time_of_the_next_one() {
        let mut outgoing = Outgoing::new();
        let plane = Arc::new(vec![7_u8; 4]);
        let lent = outgoing.lend(&SharedBytes::from_owner(Arc::clone(&plane) as _));
        assert_eq!((&*lent.to_bytes(), Arc::strong_count(&plane)), (&[7; 4][..], 2));
        drop(lent);
        outgoing.lend(&SharedBytes::from(vec![8]));
        assert_eq!(Arc::strong_count(&plane), 1);
    }
}
