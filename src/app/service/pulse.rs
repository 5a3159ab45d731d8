//! When the watchdog is fed: a pure decision by stamps.
//!
//! ```text
//! frame came ─▶ waiting ──mask made──▶ none waits
//! due = a quarter of the interval has passed since the last beat, and no frame waits for longer than half of it
//! ```

use crate::data::Stamp;
use std::time::Duration;

/// How long the manager waits where it sets no watchdog: for its patience until the first mask.
const DEFAULT: Duration = Duration::from_secs(30);

/// Whether there is progress, and whether it is time to say so.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pulse {
    interval_ns: i64,
    /// When the oldest frame came that no mask has followed.
    waiting_since: Option<Stamp>,
    beaten: Option<Stamp>,
}

impl Pulse {
    /// For a manager that waits for `watchdog`.
    pub(super) fn new(watchdog: Option<Duration>) -> Self {
        let interval_ns = i64::try_from(watchdog.unwrap_or(DEFAULT).as_nanos()).unwrap_or(i64::MAX);
        Self { interval_ns, waiting_since: None, beaten: None }
    }

    /// A camera frame came.
    pub(super) fn frame_came(&mut self, now: Stamp) {
        self.waiting_since.get_or_insert(now);
    }

    /// A mask was made: whatever came before it waits no more.
    pub(super) fn mask_made(&mut self) {
        self.waiting_since = None;
    }

    /// Whether to say that there is progress.
    pub(super) fn is_due(&self, now: Stamp) -> bool {
        let passed = |since: Stamp| now.signed_ns_since(since);
        let progress = self.waiting_since.is_none_or(|since| passed(since) <= self.interval_ns / 2);
        progress && self.beaten.is_none_or(|beaten| passed(beaten) >= self.interval_ns / 4)
    }

    /// It was said.
    pub(super) fn beaten(&mut self, now: Stamp) {
        self.beaten = Some(now);
    }

    /// How long the manager is asked to wait on for the first mask, µs.
    pub(super) fn patience_us(&self) -> i64 {
        self.interval_ns / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Stamp {
        Stamp::from_ns(ms * 1_000_000)
    }

    /// When a watchdog of 8 s is fed in a loop that turns every 10 ms until 30 s; frames come and masks follow as told.
    fn beats(frame_comes: impl Fn(u64) -> bool, mask_follows: impl Fn(u64) -> bool) -> Vec<u64> {
        let mut pulse = Pulse::new(Some(Duration::from_secs(8)));
        let mut beats = Vec::new();
        for ms in (0..30_000).step_by(10) {
            if frame_comes(ms) {
                pulse.frame_came(at(ms));
                if mask_follows(ms) {
                    pulse.mask_made();
                }
            }
            if pulse.is_due(at(ms)) {
                pulse.beaten(at(ms));
                beats.push(ms);
            }
        }
        beats
    }

    #[test]
    fn the_watchdog_is_fed_every_quarter_of_its_interval_by_masks_and_by_turning_without_a_camera() {
        let every_two_seconds: Vec<u64> = (0..30_000).step_by(2000).collect();
        for (case, beats) in [
            ("masks", beats(|ms| ms % 30 == 0, |_| true)),
            ("no camera", beats(|_| false, |_| false)),
            ("a camera that is lost after 10 s", beats(|ms| ms < 10_000, |_| true)),
        ] {
            assert_eq!(beats, every_two_seconds, "{case}");
        }
    }

    #[test]
    fn frames_without_masks_stop_the_feeding_after_half_the_interval() {
        assert_eq!(beats(|_| true, |ms| ms < 10_000), [0, 2000, 4000, 6000, 8000, 10_000, 12_000, 14_000]);
    }

    #[test]
    fn a_mask_after_a_long_wait_feeds_it_again() {
        let beats = beats(|_| true, |ms| !(10_000..20_000).contains(&ms));
        assert_eq!(beats, [0, 2000, 4000, 6000, 8000, 10_000, 12_000, 14_000, 20_000, 22_000, 24_000, 26_000, 28_000]);
    }
}
