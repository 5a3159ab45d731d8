//! The kernel's own view of its clock.

use rustix::time::{ClockId, clock_gettime};
use std::io;

/// Readings of a pair that are tried for; one is enough where the program is not interrupted between them.
const TRIES: usize = 3;
/// Between two readings of the monotonic clock, ns, if nothing came between.
const CLOSE_NS: u64 = 5_000;

/// What both clocks showed at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Both {
    /// `CLOCK_MONOTONIC`.
    pub monotonic_ns: u64,
    /// `CLOCK_REALTIME`: ns since 1970.
    pub unix_ns: i64,
}

/// Reads both clocks as near to each other as can be had: usually within a microsecond.
pub fn both() -> Both {
    let (mut best, mut closest) = (Both { monotonic_ns: 0, unix_ns: 0 }, u64::MAX);
    for _ in 0..TRIES {
        let before = read(ClockId::Monotonic).unsigned_abs();
        let unix_ns = read(ClockId::Realtime);
        let between = read(ClockId::Monotonic).unsigned_abs().saturating_sub(before);
        if between < closest {
            (best, closest) = (Both { monotonic_ns: before + between / 2, unix_ns }, between);
        }
        if closest <= CLOSE_NS {
            break;
        }
    }
    best
}

fn read(clock: ClockId) -> i64 {
    let time = clock_gettime(clock);
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)
}

/// Whether something (NTP, PTP) keeps Unix time in step.
pub fn is_synchronised() -> io::Result<bool> {
    // SAFETY: `timex` is a plain C struct of integers, for which all zeros is a value; `modes` 0 asks for reading only.
    let mut time: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: `time` is a valid, exclusively borrowed `timex` for the length of the call, and the kernel writes only to it.
    let state = unsafe { libc::adjtimex(&raw mut time) };
    if state < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(state != libc::TIME_ERROR)
}

#[cfg(test)]
mod tests {
    #[test]
    fn both_clocks_are_read_of_one_moment() {
        let (one, other) = (super::both(), super::both());
        assert!(other.monotonic_ns >= one.monotonic_ns);
        let apart = (other.unix_ns - one.unix_ns) - (other.monotonic_ns - one.monotonic_ns) as i64;
        assert!(apart.abs() < 1_000_000, "{apart} ns");
    }

    #[test]
    fn the_kernel_answers_whether_its_clock_is_kept_in_step() {
        assert!(super::is_synchronised().is_ok());
    }
}
