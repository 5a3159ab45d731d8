//! The queue between Zenoh's thread and the consumer: bounded, the newest wins.

use super::Counts;
use crate::data::Stamp;
use crate::wire::{MaskMessage, WireError};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

type Item = (MaskMessage, Stamp);

#[derive(Debug)]
struct State {
    queue: VecDeque<Item>,
    bound: usize,
    counts: Counts,
    waker: Option<Waker>,
}

#[derive(Debug)]
pub(super) struct Inbox {
    state: Mutex<State>,
    arrived: Condvar,
}

impl Inbox {
    pub(super) fn new(bound: usize) -> Self {
        let queue = VecDeque::with_capacity(bound);
        let state = State { queue, bound, counts: Counts::default(), waker: None };
        Self { state: Mutex::new(state), arrived: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues `item`; drops and counts the oldest if there is no room.
    pub(super) fn push(&self, item: Item) {
        let mut state = self.lock();
        let oldest = if state.queue.len() >= state.bound { state.queue.pop_front() } else { None };
        state.counts.overflowed += u64::from(oldest.is_some());
        state.queue.push_back(item);
        let waker = state.waker.take();
        drop(state);
        self.arrived.notify_one();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Counts a message that is no mask.
    pub(super) fn refuse(&self, error: &WireError) {
        let mut state = self.lock();
        let damaged = matches!(
            error,
            WireError::Hash { .. }
                | WireError::HeaderCheck { .. }
                | WireError::PayloadLength { .. }
                | WireError::Compression { .. }
        );
        let counts = &mut state.counts;
        let count = if damaged { &mut counts.damaged } else { &mut counts.foreign };
        *count += 1;
        let first = *count == 1;
        drop(state);
        if first {
            tracing::warn!("message skipped and counted, as will be others like it: {error}");
        }
    }

    /// The oldest item, waiting at most `timeout` for one.
    pub(super) fn wait(&self, timeout: Duration) -> Option<Item> {
        let empty = |state: &mut State| state.queue.is_empty();
        let waited = self.arrived.wait_timeout_while(self.lock(), timeout, empty);
        waited.unwrap_or_else(PoisonError::into_inner).0.queue.pop_front()
    }

    /// The oldest item, once there is one.
    pub(super) async fn next(&self) -> Item {
        poll_fn(|context| {
            let mut state = self.lock();
            if let Some(item) = state.queue.pop_front() {
                return Poll::Ready(item);
            }
            state.waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// The counts kept here: overflowed, damaged, foreign.
    pub(super) fn counts(&self) -> Counts {
        self.lock().counts
    }
}
