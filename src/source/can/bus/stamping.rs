//! Which of a frame's stamps is believed: the controller's, else the kernel's, else the socket's.
//!
//! A controller may count on a clock of its own that never was Unix time, drifts from it, or does not follow its steps.
//! Its stamps are believed while they are near the kernel's, and are given up or taken up again only by several frames
//! in a row: going back and forth from frame to frame would look like a clock that steps.

use super::config::HardwareStamps;
use crate::sys::can::Beside;

/// How far a controller's stamp may be from the kernel's, ns: half of what `align` takes for a step of the clock.
const NEAR_NS: u64 = 5_000_000;
/// Frames in a row off by more that give the controller's clock up: one or two are late when the machine stalls.
const FAR_FRAMES: u8 = 8;
/// Frames in a row within it that a clock once given up must show.
const NEAR_FRAMES: u8 = 200;

/// Whose stamp it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stamper {
    Hardware,
    Software,
    Socket,
}

impl Stamper {
    /// What frames that it stamped are counted as.
    pub(super) fn count(self) -> &'static str {
        match self {
            Self::Hardware => "hardware_stamps",
            Self::Software => "software_stamps",
            Self::Socket => "socket_stamps",
        }
    }

    /// What it is, for people.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Hardware => "the controller",
            Self::Software => "the kernel, when the driver hands them over",
            Self::Socket => "the socket, when they are read",
        }
    }
}

/// Follows how far the controller's clock can be believed.
#[derive(Debug)]
pub(super) struct Stamping {
    wanted: HardwareStamps,
    /// Whether it is believed now; `None` before the first stamp.
    believed: Option<bool>,
    /// Frames in a row that speak against that.
    against: u8,
}

impl Stamping {
    pub(super) fn new(wanted: HardwareStamps) -> Self {
        Self { wanted, believed: None, against: 0 }
    }

    /// The stamp to use, Unix time in ns, and whose it is; `None`: there is none that may be used.
    pub(super) fn choose(&mut self, beside: Beside) -> Option<(Stamper, i64)> {
        let kernel = [(Stamper::Software, beside.software_ns), (Stamper::Socket, beside.socket_ns)];
        let kernel = kernel.into_iter().find_map(|(stamper, stamp)| Some((stamper, stamp?)))?;
        if self.wanted == HardwareStamps::Off {
            return Some(kernel);
        }
        let hardware = beside.hardware_ns.filter(|&hardware| self.believes(hardware, kernel.1));
        match hardware {
            Some(hardware) => Some((Stamper::Hardware, hardware)),
            None if self.wanted == HardwareStamps::Required => None,
            None => Some(kernel),
        }
    }

    fn believes(&mut self, hardware: i64, kernel: i64) -> bool {
        let near = hardware.abs_diff(kernel) <= NEAR_NS;
        let believed = *self.believed.get_or_insert(near);
        self.against = if near == believed { 0 } else { self.against + 1 };
        if self.against >= if believed { FAR_FRAMES } else { NEAR_FRAMES } {
            (self.believed, self.against) = (Some(near), 0);
        }
        self.believed == Some(true)
    }
}

/// Adds up a counter of 32 bits that wraps, and that is seen in whatever order.
#[derive(Debug, Default)]
pub(super) struct Overflow {
    last: u32,
}

impl Overflow {
    /// How many more there are than when it was seen last; of an older reading, none.
    pub(super) fn more(&mut self, counter: u32) -> u64 {
        let more = counter.wrapping_sub(self.last);
        if more > u32::MAX / 2 {
            return 0;
        }
        self.last = counter;
        u64::from(more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000_000_000_000;

    fn beside(hardware: Option<i64>, software: Option<i64>, socket: Option<i64>) -> Beside {
        Beside { hardware_ns: hardware, software_ns: software, socket_ns: socket, dropped: None }
    }

    #[test]
    fn the_best_stamp_that_there_is_and_that_is_wanted_is_taken() {
        use HardwareStamps::{Auto, Off, Required};
        use Stamper::{Hardware, Socket, Software};
        let all = beside(Some(NOW), Some(NOW + 9), Some(NOW + 10));
        let cases = [
            (Auto, all, Some((Hardware, NOW))),
            (Off, all, Some((Software, NOW + 9))),
            (Required, all, Some((Hardware, NOW))),
            (Auto, beside(None, Some(3), Some(4)), Some((Software, 3))),
            (Auto, beside(None, None, Some(4)), Some((Socket, 4))),
            (Required, beside(None, Some(3), Some(4)), None),
            (Auto, beside(Some(5), Some(NOW), None), Some((Software, NOW))),
            (Required, beside(Some(5), Some(NOW), None), None),
            (Auto, beside(Some(NOW), None, None), None),
            (Auto, beside(None, None, None), None),
        ];
        for (row, (wanted, beside, expected)) in cases.into_iter().enumerate() {
            assert_eq!(Stamping::new(wanted).choose(beside), expected, "row {row}");
        }
    }

    #[test]
    fn a_controller_clock_that_runs_away_is_given_up_after_eight_frames_and_taken_up_after_many() {
        let mut stamping = Stamping::new(HardwareStamps::Auto);
        let mut by = |off_ns: i64| {
            let chosen = stamping.choose(beside(Some(NOW), Some(NOW + off_ns), None));
            chosen.expect("there are stamps").0 == Stamper::Hardware
        };
        assert!(by(1_000_000));
        assert_eq!([20_000_000; 3].map(&mut by), [true; 3], "a stall of the machine");
        assert!(by(1_000_000));
        let far: Vec<_> = (0..10).map(|_| by(-6_000_000)).collect();
        assert_eq!(far.iter().filter(|hardware| **hardware).count(), 7);
        let near: Vec<_> = (0..250).map(|_| by(0)).collect();
        assert_eq!(near.iter().position(|hardware| *hardware), Some(usize::from(NEAR_FRAMES) - 1));
    }

    #[test]
    fn a_counter_of_32_bits_is_followed_across_its_end() {
        let mut overflow = Overflow::default();
        assert_eq!([3, 3, 10, 9, 10].map(|counter| overflow.more(counter)), [3, 0, 7, 0, 0]);
        overflow.last = u32::MAX - 1;
        assert_eq!([u32::MAX, 4, u32::MAX].map(|counter| overflow.more(counter)), [1, 5, 0]);
    }
}
