//! Motions of a level's patches, told by who finds them to who works on the next row.
//!
//! Two rows are worked on at a time: each patch asks for the motion of the one above it (or below it, on the way back) and
//! waits until it is told. So the order in which patches learn from each other is the same on any number of threads.

use crate::sys::workers::wait_until;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// Patches that who waits for one waits for besides: eight of them share a line of the cache, which is best fetched once.
const TOGETHER: usize = 8;
/// No motion yet: two numbers that are none, which no arithmetic gives.
const UNTOLD: u64 = u64::MAX;

/// A cell for each patch, written once.
#[derive(Debug, Default)]
pub(super) struct Relay {
    motions: Vec<AtomicU64>,
}

impl Relay {
    /// Makes all of so many patches untold; allocates only to grow.
    pub(super) fn reset(&mut self, patches: usize) {
        self.motions.clear();
        self.motions.resize_with(patches, || AtomicU64::new(UNTOLD));
    }

    /// Tells the motion of a patch.
    pub(super) fn tell(&self, patch: usize, motion: [f32; 2]) {
        let [x, y] = motion.map(|axis| u64::from(axis.to_bits()));
        let bits = x << 32 | y;
        self.motions[patch].store(if bits == UNTOLD { 0 } else { bits }, Ordering::Relaxed);
    }

    /// The motion of a patch, which is being found or will be: each row from its left to its right.
    pub(super) fn ask(&self, patch: usize, row: &Range<usize>) -> [f32; 2] {
        self.ask_with(patch, (patch + TOGETHER).min(row.end - 1))
    }

    /// The same where each row is gone through from its right to its left.
    pub(super) fn ask_on_the_way_back(&self, patch: usize, row: &Range<usize>) -> [f32; 2] {
        self.ask_with(patch, patch.saturating_sub(TOGETHER).max(row.start))
    }

    fn ask_with(&self, patch: usize, later: usize) -> [f32; 2] {
        let told = |patch: usize| self.motions[patch].load(Ordering::Relaxed);
        let mut bits = told(patch);
        if bits == UNTOLD {
            wait_until(|| told(later) != UNTOLD);
            wait_until(|| {
                bits = told(patch);
                bits != UNTOLD
            });
        }
        [bits >> 32, bits].map(|axis| f32::from_bits(axis as u32))
    }

    /// Tells no motion of the patches of a row whose work panics, so that nobody waits for them.
    pub(super) fn told_whatever_happens(&self, row: Range<usize>) -> impl Drop + '_ {
        Promise { relay: self, row }
    }
}

struct Promise<'a> {
    relay: &'a Relay,
    row: Range<usize>,
}

impl Drop for Promise<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.row.clone().for_each(|patch| self.relay.tell(patch, [0.0; 2]));
        }
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "what is told is what is heard")]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::thread;

    #[test]
    fn what_is_told_is_heard_both_ways_whenever_it_is_asked_for() {
        let row = 20..40;
        for back in [false, true] {
            let mut relay = Relay::default();
            relay.reset(60);
            thread::scope(|scope| {
                scope.spawn(|| {
                    let tell = |patch: usize| relay.tell(patch, [patch as f32, -0.5]);
                    if back { row.clone().rev().for_each(tell) } else { row.clone().for_each(tell) }
                });
                for patch in row.clone() {
                    let heard = if back { relay.ask_on_the_way_back(patch, &row) } else { relay.ask(patch, &row) };
                    assert_eq!(heard, [patch as f32, -0.5]);
                }
            });
        }
    }

    /// What is untold here stays so: to ask for it would never end.
    fn is_told(relay: &Relay, patch: usize) -> bool {
        relay.motions[patch].load(Ordering::Relaxed) != UNTOLD
    }

    #[test]
    fn no_motion_is_taken_for_an_untold_one() {
        let mut relay = Relay::default();
        relay.reset(1);
        relay.tell(0, [f32::from_bits(u32::MAX); 2]);
        assert!(is_told(&relay, 0));
        assert_eq!(relay.ask(0, &(0..1)), [0.0; 2]);
    }

    #[test]
    fn nobody_waits_for_a_row_whose_work_panics() {
        let mut relay = Relay::default();
        relay.reset(10);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let _told = relay.told_whatever_happens(0..5);
            relay.tell(0, [3.0; 2]);
            panic!("on purpose");
        }));
        assert!(outcome.is_err() && (0..5).all(|patch| is_told(&relay, patch)));
        assert_eq!(relay.ask(4, &(0..5)), [0.0; 2]);
    }
}
