//! A queue between two threads, bounded in items and in bytes.
//!
//! Not a channel of the standard library because those count items only, and one camera frame
//! weighs as much as a hundred thousand CAN frames.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Why an item was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Full { items: usize, bytes: usize },
    Closed,
}

#[derive(Debug)]
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    max_items: usize,
    max_bytes: usize,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<(T, usize)>,
    bytes: usize,
    closed: bool,
}

impl<T> Queue<T> {
    pub(super) fn new(max_items: usize, max_bytes: usize) -> Self {
        let items = VecDeque::with_capacity(max_items.min(4096));
        Self {
            state: Mutex::new(State { items, bytes: 0, closed: false }),
            changed: Condvar::new(),
            max_items,
            max_bytes,
        }
    }

    /// Appends `item`, which keeps `bytes` in memory; if it does not fit, waits or refuses.
    pub(super) fn push(&self, item: T, bytes: usize, wait: bool) -> Result<(), Refused> {
        let mut state = self.lock();
        while wait && !state.closed && !self.fits(&state, bytes) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.closed {
            return Err(Refused::Closed);
        }
        if !self.fits(&state, bytes) {
            return Err(Refused::Full { items: state.items.len(), bytes: state.bytes });
        }
        state.bytes += bytes;
        state.items.push_back((item, bytes));
        drop(state);
        self.changed.notify_all();
        Ok(())
    }

    /// The oldest item; waits for one. `None` once the queue is closed and empty.
    pub(super) fn pop(&self) -> Option<T> {
        let mut state = self.lock();
        while state.items.is_empty() && !state.closed {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let (item, bytes) = state.items.pop_front()?;
        state.bytes -= bytes;
        drop(state);
        self.changed.notify_all();
        Some(item)
    }

    /// Takes no more items; those inside still come out.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// An item heavier than the whole bound fits into an empty queue, or it would never be taken.
    fn fits(&self, state: &State<T>, bytes: usize) -> bool {
        state.items.is_empty()
            || state.items.len() < self.max_items && state.bytes.saturating_add(bytes) <= self.max_bytes
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bounded_in_items_and_in_bytes() {
        let queue = Queue::new(2, 10);
        assert_eq!(queue.push('a', 99, false), Ok(()), "alone, however heavy");
        assert_eq!(queue.push('b', 1, false), Err(Refused::Full { items: 1, bytes: 99 }));
        assert_eq!(queue.pop(), Some('a'));
        assert_eq!([queue.push('c', 1, false), queue.push('d', 1, false)], [Ok(()); 2]);
        assert_eq!(queue.push('e', 1, false), Err(Refused::Full { items: 2, bytes: 2 }));
    }

    #[test]
    fn a_closed_queue_gives_what_it_has_and_takes_nothing() {
        let queue = Queue::new(2, 10);
        queue.push('a', 1, true).expect("empty");
        queue.close();
        assert_eq!(queue.push('b', 1, true), Err(Refused::Closed));
        assert_eq!([queue.pop(), queue.pop()], [Some('a'), None]);
    }

    #[test]
    fn waiting_loses_nothing_and_keeps_the_order() {
        let queue = Queue::new(3, 3);
        let received: Vec<u32> = std::thread::scope(|scope| {
            let consumer = scope.spawn(|| std::iter::from_fn(|| queue.pop()).collect());
            (0..1000).for_each(|n| queue.push(n, 1, true).expect("the consumer makes room"));
            queue.close();
            consumer.join().expect("no panic")
        });
        assert_eq!(received, (0..1000).collect::<Vec<_>>());
    }
}
