//! The clock that measures how long work takes. It never decides anything.

use crate::data::{Stamp, WallMapping};

/// A clock for measuring.
pub trait MeasuringClock: Send + Sync {
    /// Now, on the monotonic timeline.
    fn now(&self) -> Stamp;
}

/// The machine's `CLOCK_MONOTONIC`, which camera stamps count on as well.
#[derive(Clone, Copy, Debug, Default)]
pub struct MonotonicClock;

impl MeasuringClock for MonotonicClock {
    fn now(&self) -> Stamp {
        Stamp::from_ns(u64::try_from(read(rustix::time::ClockId::Monotonic)).unwrap_or(0))
    }
}

/// Reads the monotonic clock and Unix time together.
pub fn wall_mapping() -> WallMapping {
    WallMapping { at: MonotonicClock.now(), unix_ns: read(rustix::time::ClockId::Realtime) }
}

fn read(clock: rustix::time::ClockId) -> i64 {
    let time = rustix::time::clock_gettime(clock);
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_monotonic_clock_never_goes_back() {
        let first = MonotonicClock.now();
        assert!(first > Stamp::ZERO && MonotonicClock.now() >= first);
    }
}
