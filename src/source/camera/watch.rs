//! When silence is a fault, and when a camera that is gone is tried again. Pure: the time goes in.

use crate::data::Stamp;
use std::time::Duration;

/// After so long without a frame the camera is opened anew.
const REOPEN_AFTER_NS: i64 = 1_000_000_000;
/// Where no buffer was ever filled: cameras take a while to start.
const FIRST_FRAME_NS: i64 = 3_000_000_000;
/// The longest that the thread waits, so that it ends soon when it is to.
const MOST: Duration = Duration::from_millis(50);
/// How long it waits while the driver has one buffer or none, and readers may let one go.
const STARVED: Duration = Duration::from_millis(3);
/// Buffers that the driver must keep: one that it fills, and one for the frame after.
pub(super) const WITH_THE_DRIVER: usize = 2;

/// How silent a camera has been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// No longer than is right.
    Usual,
    /// Longer: it is lost.
    Stalled,
    /// So long that it is to be opened anew.
    Final,
}

/// Watches over one stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watch {
    stall_ns: i64,
    since: Stamp,
    /// Whether the driver has filled a buffer.
    running: bool,
}

impl Watch {
    /// Over a stream that was started `now`.
    pub(super) fn new(stall_ms: u32, now: Stamp) -> Self {
        Self { stall_ns: i64::from(stall_ms) * 1_000_000, since: now, running: false }
    }

    /// The driver filled a buffer, good or bad.
    pub(super) fn filled(&mut self) {
        self.running = true;
    }

    /// Whether the driver has filled a buffer yet.
    pub(super) fn is_running(&self) -> bool {
        self.running
    }

    /// A frame came that could be used.
    pub(super) fn delivered(&mut self, now: Stamp) {
        self.since = now;
    }

    pub(super) fn silence(&self, now: Stamp) -> Silence {
        let silent_ns = now.signed_ns_since(self.since);
        let last_ns = if self.running { REOPEN_AFTER_NS.max(self.stall_ns * 2) } else { FIRST_FRAME_NS };
        if silent_ns >= last_ns {
            Silence::Final
        } else if silent_ns >= self.stall_ns {
            Silence::Stalled
        } else {
            Silence::Usual
        }
    }

    /// How long to wait for the driver, which has `queued` buffers while `lent` are read.
    pub(super) fn patience(&self, now: Stamp, queued: usize, lent: usize) -> Duration {
        if lent > 0 && queued < WITH_THE_DRIVER {
            return STARVED;
        }
        let left_ns = self.stall_ns - now.signed_ns_since(self.since);
        match u64::try_from(left_ns) {
            Ok(left_ns) if left_ns > 0 => Duration::from_nanos(left_ns).min(MOST),
            _ => MOST,
        }
    }
}

/// How long until a camera that is gone is tried again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backoff(Duration);

impl Backoff {
    const FIRST: Duration = Duration::from_millis(50);
    const LAST: Duration = Duration::from_secs(1);

    pub(super) fn new() -> Self {
        Self(Self::FIRST)
    }

    /// The wait before the next try; the one after is twice as long.
    pub(super) fn next(&mut self) -> Duration {
        let wait = self.0;
        self.0 = (wait * 2).min(Self::LAST);
        wait
    }

    /// It is there.
    pub(super) fn reset(&mut self) {
        *self = Self::new();
    }
}

#[cfg(test)]
mod tests {
    use super::Silence::{Final, Stalled, Usual};
    use super::*;

    fn at(ms: u64) -> Stamp {
        Stamp::from_ns(ms * 1_000_000)
    }

    #[test]
    fn silence_is_a_stall_at_once_and_final_after_a_second() {
        let mut watch = Watch::new(100, at(0));
        let seen = |watch: &Watch, times: [u64; 4]| times.map(|ms| watch.silence(at(ms)));
        assert_eq!(seen(&watch, [99, 100, 2999, 3000]), [Usual, Stalled, Stalled, Final], "before the first frame");
        watch.filled();
        watch.delivered(at(50));
        assert_eq!(seen(&watch, [149, 150, 1049, 1050]), [Usual, Stalled, Stalled, Final], "after it");
        let mut patient = Watch::new(2000, at(0));
        patient.filled();
        assert_eq!(seen(&patient, [1999, 2000, 3999, 4000]), [Usual, Stalled, Stalled, Final], "a slow camera");
    }

    #[test]
    fn waiting_ends_when_the_stall_is_due_and_soon_where_the_driver_starves() {
        let watch = Watch::new(80, at(0));
        let cases = [
            (0, 4, 0, 50),
            (40, 4, 0, 40),
            (79, 3, 1, 1),
            (80, 4, 0, 50),
            (500, 4, 0, 50),
            (0, 1, 3, 3),
            (0, 1, 0, 50),
        ];
        let wrong: Vec<_> = (cases.into_iter())
            .filter(|&(now, queued, lent, ms)| watch.patience(at(now), queued, lent) != Duration::from_millis(ms))
            .collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }

    #[test]
    fn tries_come_ever_more_rarely_down_to_one_a_second() {
        let mut backoff = Backoff::new();
        let waits_ms: Vec<_> = (0..7).map(|_| backoff.next().as_millis()).collect();
        assert_eq!(waits_ms, [50, 100, 200, 400, 800, 1000, 1000]);
        backoff.reset();
        assert_eq!(backoff.next(), Backoff::FIRST);
    }
}
