//! Puts the kernel's stamps, which are Unix time, on the monotonic timeline: both clocks are read after each batch.
//!
//! So neither a busy machine nor a wall clock that drifts or is set changes where a frame lies. What is left is a frame
//! that was stamped before the wall clock was set and read after it: such frames are mapped as before, for a while.

use crate::data::Stamp;
use crate::sys::clock::Both;

/// Clocks that are kept in step are slewed by 0.5 ms in a second at most; more from one reading to the next is a step.
const STEP_NS: u64 = 1_000_000;
/// How long after a step a frame may be read that was stamped before it.
const REMEMBERED_NS: u64 = 1_000_000_000;
/// A frame is stamped before it is read; the two readings of the clocks are this close at least.
const AHEAD_NS: i64 = 500_000;

/// What Unix time is on the timeline.
#[derive(Debug, Default)]
pub(super) struct Wall {
    now_ns: u64,
    /// Unix time less the timeline's, ns.
    offset_ns: Option<i64>,
    /// The same before the last step, and when that was seen.
    before: Option<(i64, u64)>,
}

impl Wall {
    /// Takes a reading of both clocks, made after the frames that are mapped by it were read.
    pub(super) fn read(&mut self, both: Both) {
        let offset_ns = both.unix_ns.saturating_sub_unsigned(both.monotonic_ns);
        if let Some(last) = self.offset_ns
            && offset_ns.abs_diff(last) > STEP_NS
        {
            self.before = Some((last, both.monotonic_ns));
        }
        (self.now_ns, self.offset_ns) = (both.monotonic_ns, Some(offset_ns));
    }

    /// The point of the timeline at which it was `unix_ns`; of two, about a step, the later one that has been.
    pub(super) fn map(&self, unix_ns: i64) -> Option<Stamp> {
        let remembered = self.before.filter(|(_, since)| self.now_ns.saturating_sub(*since) < REMEMBERED_NS);
        let offsets = [self.offset_ns, remembered.map(|(offset, _)| offset)];
        let points =
            offsets.into_iter().flatten().filter_map(|offset| u64::try_from(unix_ns.checked_sub(offset)?).ok());
        points.filter(|&point| point <= self.now_ns.saturating_add_signed(AHEAD_NS)).max().map(Stamp::from_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_NS: i64 = 3_600_000_000_000;

    fn both(monotonic_ms: u64, unix_ns: i64) -> Both {
        Both { monotonic_ns: monotonic_ms * 1_000_000, unix_ns }
    }

    fn unix(ms: i64) -> i64 {
        1_700_000_000_000_000_000 + ms * 1_000_000
    }

    fn mapped_ms(wall: &Wall, unix_ns: i64) -> Option<f64> {
        wall.map(unix_ns).map(|stamp| stamp.ns() as f64 / 1e6)
    }

    #[test]
    fn stamps_before_and_after_a_step_of_the_wall_clock_lie_where_they_were() {
        for step_ns in [HOUR_NS, -HOUR_NS, 20_000_000, -20_000_000] {
            let mut wall = Wall::default();
            wall.read(both(100, unix(100)));
            assert_eq!(mapped_ms(&wall, unix(95)), Some(95.0));
            // The clock is set at 110, and read at 112.
            wall.read(both(112, unix(112) + step_ns));
            assert_eq!(mapped_ms(&wall, unix(109)), Some(109.0), "before, {step_ns}");
            assert_eq!(mapped_ms(&wall, unix(111) + step_ns), Some(111.0), "after, {step_ns}");
        }
    }

    #[test]
    fn a_clock_that_is_slewed_is_followed_and_no_step() {
        let mut wall = Wall::default();
        for ms in 0..2000 {
            wall.read(both(ms, unix(ms as i64) + ms as i64 * 500));
        }
        assert_eq!(wall.before, None);
        let error_ms = mapped_ms(&wall, unix(1995) + 1995 * 500).expect("it is past") - 1995.0;
        assert!(error_ms.abs() < 0.003, "{error_ms}");
    }

    #[test]
    fn what_lies_in_the_future_or_before_the_timeline_is_refused() {
        let mut wall = Wall::default();
        assert_eq!(wall.map(unix(5)), None, "nothing has been read");
        wall.read(both(100, unix(100)));
        assert_eq!(wall.map(unix(102)), None);
        assert_eq!(wall.map(0), None);
        assert_eq!(wall.map(i64::MIN), None);
        wall.read(both(200, i64::MIN));
        assert_eq!(wall.map(i64::MAX), None);
    }

    #[test]
    fn a_step_is_forgotten_after_a_second() {
        let mut wall = Wall::default();
        wall.read(both(100, unix(100)));
        wall.read(both(110, unix(110) - HOUR_NS));
        wall.read(both(1111, unix(1111) - HOUR_NS));
        assert_eq!(wall.map(unix(1100)), None, "by the clock of before");
    }
}
