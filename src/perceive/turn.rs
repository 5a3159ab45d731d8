//! How far the vehicle has turned from frame to frame, as far as its yaw rate tells.

use crate::data::{AlignedFrame, Stamp, Validity};

/// The last rate known stands for frames without one for this long: buses may be slower than cameras.
const HELD_NS: i64 = 1_000_000_000;
/// After a longer pause between frames nobody knows what the vehicle did.
const LONGEST_PAUSE_NS: i64 = 1_000_000_000;

/// The last yaw rate that was known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Turn {
    known: Option<(Stamp, f64)>,
}

impl Turn {
    /// Remembers the rate of `frame`, if it has a valid one.
    pub(super) fn note(&mut self, frame: &AlignedFrame) {
        let valid = |validity| validity == Validity::Valid;
        if let Some(rate) = frame.state.yaw_rate_radps.filter(|rate| valid(rate.validity) && rate.value.is_finite()) {
            self.known = Some((frame.frame.stamp, rate.value));
        }
    }

    /// The turn from the frame at `earlier` to the one at `stamp`, in rad, left positive; 0 where no rate is known, infinite
    /// after a long pause.
    pub(super) fn between(self, earlier: Stamp, stamp: Stamp) -> f64 {
        let pause = stamp.signed_ns_since(earlier).max(0);
        if pause > LONGEST_PAUSE_NS {
            return f64::INFINITY;
        }
        let held = self.known.filter(|(at, _)| stamp.signed_ns_since(*at) <= HELD_NS);
        held.map_or(0.0, |(_, rate_radps)| rate_radps * pause as f64 / 1e9)
    }
}
