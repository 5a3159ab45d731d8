//! Points in time: the one monotonic timeline, and the clocks that sources really have.
//!
//! Everything past the aligner is stamped on one monotonic timeline ([`Stamp`]). A source whose
//! hardware counts on another clock says so with a [`SourceStamp`]; `align` maps it.

use std::fmt;
use std::time::Duration;

/// A point of the monotonic timeline, in nanoseconds since that timeline's zero.
///
/// ```
/// use segfuse::data::Stamp;
/// let start = Stamp::from_ns(1_000_000);
/// assert_eq!(start.offset_ns(-400_000).ns(), 600_000);
/// assert_eq!(Stamp::ZERO.signed_ns_since(start), -1_000_000);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp(u64);

impl Stamp {
    /// The timeline's zero.
    pub const ZERO: Self = Self(0);
    /// The last representable point, 584 years after zero.
    pub const MAX: Self = Self(u64::MAX);

    /// The point `ns` nanoseconds after zero.
    pub const fn from_ns(ns: u64) -> Self {
        Self(ns)
    }

    /// The point `seconds` after zero, to the nearest nanosecond; `None` if negative, not finite or too large.
    pub fn from_secs_f64(seconds: f64) -> Option<Self> {
        let ns = (seconds * 1e9).round();
        (ns >= 0.0 && ns < u64::MAX as f64).then_some(Self(ns as u64))
    }

    /// Nanoseconds since zero.
    pub const fn ns(self) -> u64 {
        self.0
    }

    /// Seconds since zero, rounded to `f64` (exact to 1 µs for 285 years).
    pub fn secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// `self - earlier` in nanoseconds; negative if `earlier` is in fact later. Saturates.
    pub fn signed_ns_since(self, earlier: Self) -> i64 {
        let difference = i128::from(self.0) - i128::from(earlier.0);
        difference.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
    }

    /// The stamp moved by `ns` nanoseconds; saturates at both ends of the timeline.
    pub fn offset_ns(self, ns: i64) -> Self {
        Self(self.0.saturating_add_signed(ns))
    }

    /// The stamp moved later by `duration`; saturates.
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Display for Stamp {
    /// Seconds with nine decimals, as `candump` and MCAP tools print them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}

/// The clock that a source's own stamps count on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Clock {
    /// The monotonic timeline itself (V4L2 cameras, decoded recordings).
    Monotonic,
    /// Unix time, which steps and drifts against the timeline (SocketCAN).
    Realtime,
}

/// A stamp as a source gave it, in nanoseconds of its own clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceStamp {
    /// The clock counted on.
    pub clock: Clock,
    /// Nanoseconds since that clock's zero.
    pub ns: i64,
}

impl SourceStamp {
    /// A stamp that is already on the monotonic timeline.
    pub fn monotonic(stamp: Stamp) -> Self {
        Self { clock: Clock::Monotonic, ns: i64::try_from(stamp.ns()).unwrap_or(i64::MAX) }
    }

    /// A Unix-time stamp.
    pub const fn realtime(unix_ns: i64) -> Self {
        Self { clock: Clock::Realtime, ns: unix_ns }
    }
}

/// One simultaneous reading of both clocks: what Unix time it was at a point of the timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WallMapping {
    /// The point on the timeline.
    pub at: Stamp,
    /// Unix time then, in nanoseconds.
    pub unix_ns: i64,
}

impl WallMapping {
    /// Unix time of `stamp` in nanoseconds, assuming no step or drift since the reading. Saturates.
    pub fn unix_ns(self, stamp: Stamp) -> i64 {
        self.unix_ns.saturating_add(stamp.signed_ns_since(self.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_signed_and_saturate() {
        assert_eq!(Stamp::from_ns(5).signed_ns_since(Stamp::from_ns(8)), -3);
        assert_eq!(Stamp::MAX.signed_ns_since(Stamp::ZERO), i64::MAX);
        assert_eq!(Stamp::ZERO.offset_ns(-1), Stamp::ZERO);
        assert_eq!(Stamp::MAX.after(Duration::from_secs(1)), Stamp::MAX);
    }

    #[test]
    fn seconds_outside_the_timeline_are_refused() {
        for seconds in [-0.1, f64::NAN, f64::INFINITY, 1e30] {
            assert_eq!(Stamp::from_secs_f64(seconds), None, "{seconds}");
        }
        assert_eq!(Stamp::from_secs_f64(1.5), Some(Stamp::from_ns(1_500_000_000)));
    }

    #[test]
    fn a_wall_mapping_moves_with_the_stamp() {
        let mapping = WallMapping { at: Stamp::from_ns(100), unix_ns: 1_000 };
        assert_eq!(mapping.unix_ns(Stamp::from_ns(40)), 940);
    }
}
