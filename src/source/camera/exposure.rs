//! From the moment that a driver stamps to the middle of the exposure.
//!
//! ```text
//! first row  ├── exposure ──┤ read           a rolling shutter reads row by row, for `readout` in all;
//! middle row      ├── exposure ──┤ read      the middle row stands for the frame: its middle is the frame's
//! last row             ├── exposure ──┤ read
//!            ▲ start of exposure      ▲ end of frame
//! ```

use super::config::{Config, StampOf};
use crate::data::Stamp;

/// A moment that drivers stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    StartOfExposure,
    EndOfFrame,
}

/// How a camera's frames come to be in time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exposure {
    stamp: StampOf,
    /// From either end to the middle.
    half_ns: i64,
}

impl Exposure {
    pub(super) fn new(config: &Config) -> Self {
        let whole_ms = config.exposure_ms + config.readout_ms;
        Self { stamp: config.stamp, half_ns: (whole_ms * 0.5e6).round() as i64 }
    }

    /// The middle of the exposure of a frame that was stamped `stamp`; `told` is what the driver says that this is.
    pub(super) fn middle(self, stamp: Stamp, told: Moment) -> Stamp {
        let moment = match self.stamp {
            StampOf::Auto => told,
            StampOf::StartOfExposure => Moment::StartOfExposure,
            StampOf::EndOfFrame => Moment::EndOfFrame,
        };
        match moment {
            Moment::StartOfExposure => stamp.offset_ns(self.half_ns),
            Moment::EndOfFrame => stamp.offset_ns(-self.half_ns),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stamp_moves_to_the_middle_from_the_end_that_it_is_of() {
        use Moment::{EndOfFrame, StartOfExposure};
        let cases = [
            (StampOf::Auto, StartOfExposure, 10.0, 0.0, 1_005_000_000),
            (StampOf::Auto, EndOfFrame, 10.0, 0.0, 995_000_000),
            (StampOf::Auto, StartOfExposure, 10.0, 20.0, 1_015_000_000),
            (StampOf::Auto, EndOfFrame, 10.0, 20.0, 985_000_000),
            (StampOf::StartOfExposure, EndOfFrame, 10.0, 0.0, 1_005_000_000),
            (StampOf::EndOfFrame, StartOfExposure, 10.0, 0.0, 995_000_000),
            (StampOf::Auto, EndOfFrame, 0.0, 0.0, 1_000_000_000),
            (StampOf::Auto, EndOfFrame, 0.001, 0.0, 999_999_500),
        ];
        let wrong: Vec<_> = cases
            .into_iter()
            .filter_map(|(stamp, told, exposure_ms, readout_ms, expected_ns)| {
                let exposure = Exposure::new(&Config { stamp, exposure_ms, readout_ms, ..Config::default() });
                let middle = exposure.middle(Stamp::from_ns(1_000_000_000), told);
                (middle.ns() != expected_ns).then_some((stamp, told, exposure_ms, readout_ms, middle))
            })
            .collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}
