//! What to make of a buffer that a driver filled: how many frames went missing before it, and whether it can be used.
//!
//! Pure: the driver's words and the time go in, a judgement comes out.
//!
//! | | |
//! |---|---|
//! | the number goes up by more than one | the frames between are missing; past 2^32 it goes on from 0 |
//! | it goes back, or leaps by more than 10 s of frames | the driver has begun again: nothing is missing |
//! | it stays, of a driver that has counted | the same frame once more: neither used nor lost |
//! | the driver's error flag, or no bytes | damaged |
//! | a stamp not after the last one, or far from now | a bad stamp, until they are right again |

use crate::data::Stamp;
use crate::sys::v4l2::Dequeued;

/// A leap by more frames than come in so long is a driver that began again.
const LEAP_S: f64 = 10.0;
/// A stamp further ahead than this is no stamp: the aligner refuses it as well.
const MOST_AHEAD_NS: i64 = 1_000_000_000;
/// Nor is one longer ago: no driver holds a frame for so long.
const MOST_BEHIND_NS: i64 = 5_000_000_000;

/// Whether a frame can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It can, and this is the driver's stamp.
    Good(Stamp),
    /// The driver says that it is damaged.
    Damaged,
    /// Nobody can say when it was taken.
    BadStamp,
    /// Its number is that of the frame before.
    Repeated,
}

/// What goes by the frames before.
#[derive(Debug)]
pub(super) struct Judge {
    last_sequence: Option<u32>,
    last_stamp: Option<Stamp>,
    leap: u32,
    /// Whether the driver has counted: some number every frame alike.
    counts: bool,
}

impl Judge {
    /// Of a stream that begins, with `rate_hz` frames a second.
    pub(super) fn new(rate_hz: f64) -> Self {
        Self { last_sequence: None, last_stamp: None, leap: (rate_hz * LEAP_S).ceil() as u32, counts: false }
    }

    /// How many frames are missing before this one, and whether it can be used.
    pub(super) fn judge(&mut self, taken: &Dequeued, now: Stamp) -> (u32, Verdict) {
        let stays = self.last_sequence == Some(taken.sequence);
        if stays && self.counts {
            return (0, Verdict::Repeated);
        }
        self.counts |= self.last_sequence.is_some() && !stays;
        let missing = self.missing(taken.sequence);
        (missing, self.verdict(taken, now))
    }

    fn missing(&mut self, sequence: u32) -> u32 {
        let last = self.last_sequence.replace(sequence);
        let ahead = last.map_or(1, |last| sequence.wrapping_sub(last));
        if ahead > self.leap { 0 } else { ahead.saturating_sub(1) }
    }

    fn verdict(&mut self, taken: &Dequeued, now: Stamp) -> Verdict {
        if taken.is_damaged() || taken.bytes == 0 {
            return Verdict::Damaged;
        }
        let near = |stamp: &Stamp| {
            let ahead_ns = stamp.signed_ns_since(now);
            (-MOST_BEHIND_NS..=MOST_AHEAD_NS).contains(&ahead_ns)
        };
        let later = |stamp: &Stamp| self.last_stamp.is_none_or(|last| *stamp > last);
        match stamp(taken).filter(near).filter(later) {
            Some(stamp) => {
                self.last_stamp = Some(stamp);
                Verdict::Good(stamp)
            }
            None => Verdict::BadStamp,
        }
    }
}

fn stamp(taken: &Dequeued) -> Option<Stamp> {
    let seconds = u64::try_from(taken.seconds).ok()?;
    let microseconds = u64::try_from(taken.microseconds).ok()?;
    let ns = seconds.checked_mul(1_000_000_000)?.checked_add(microseconds.checked_mul(1000)?)?;
    taken.is_monotonic().then_some(Stamp::from_ns(ns))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MONOTONIC: u32 = 0x2000;
    const ERROR: u32 = 0x40;

    fn taken(sequence: u32, ms: i64, flags: u32) -> Dequeued {
        Dequeued { bytes: 8, sequence, seconds: ms / 1000, microseconds: ms % 1000 * 1000, flags, ..Default::default() }
    }

    #[test]
    fn missing_frames_are_counted_across_the_wrap_and_a_new_beginning_is_no_gap() {
        const MAX: u32 = u32::MAX;
        let cases: [(&[u32], &[u32]); 8] = [
            (&[0, 1, 2], &[0, 0, 0]),
            (&[7, 8, 11, 12], &[0, 0, 2, 0]),
            (&[MAX - 1, MAX, 0, 1], &[0, 0, 0, 0]),
            (&[MAX - 1, 1], &[0, 2]),
            (&[100, 0, 1], &[0, 0, 0]),
            (&[5, 5, 6], &[0, 0, 0]),
            (&[0, 300, 600], &[0, 299, 299]),
            (&[0, 301, 302], &[0, 0, 0]),
        ];
        let wrong: Vec<_> = cases
            .into_iter()
            .filter_map(|(sequences, expected)| {
                let mut judge = Judge::new(30.0);
                let missing: Vec<u32> = sequences.iter().map(|&sequence| judge.missing(sequence)).collect();
                (missing != expected).then_some((sequences, missing))
            })
            .collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }

    #[test]
    fn a_frame_that_cannot_be_used_is_told_by_why() {
        let now = Stamp::from_ns(100_000_000_000);
        let good = |ms: i64| Verdict::Good(Stamp::from_ns(ms as u64 * 1_000_000));
        let empty = Dequeued { bytes: 0, ..taken(0, 99_990, MONOTONIC) };
        let second = |seconds| Dequeued { seconds, ..taken(0, 0, MONOTONIC) };
        let cases = [
            (taken(0, 99_990, MONOTONIC), good(99_990)),
            (taken(0, 100_028, MONOTONIC | 0x1_0000), good(100_028)),
            (taken(0, 99_990, MONOTONIC | ERROR), Verdict::Damaged),
            (empty, Verdict::Damaged),
            (taken(0, 99_990, 0), Verdict::BadStamp),
            (taken(0, 99_990, 0x4000), Verdict::BadStamp),
            (taken(0, 101_001, MONOTONIC), Verdict::BadStamp),
            (taken(0, 94_999, MONOTONIC), Verdict::BadStamp),
            (second(i64::MAX), Verdict::BadStamp),
            (second(i64::MIN), Verdict::BadStamp),
            (second(1 << 31), Verdict::BadStamp),
            (Dequeued { microseconds: -1, ..taken(0, 100_000, MONOTONIC) }, Verdict::BadStamp),
            (Dequeued { microseconds: i64::MAX, ..taken(0, 100_000, MONOTONIC) }, Verdict::BadStamp),
        ];
        let wrong: Vec<_> = cases
            .into_iter()
            .map(|(taken, expected)| (taken, expected, Judge::new(30.0).judge(&taken, now).1))
            .filter(|(_, expected, got)| expected != got)
            .collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn a_number_that_is_repeated_is_no_further_frame_unless_the_driver_counts_nothing() {
        let judged = |sequences: &[u32]| {
            let (mut judge, now) = (Judge::new(30.0), Stamp::from_ns(100_000_000_000));
            let stamped = (99_000..).step_by(33).zip(sequences);
            let good = |(ms, &sequence): (i64, &u32)| {
                matches!(judge.judge(&taken(sequence, ms, MONOTONIC), now), (_, Verdict::Good(_)))
            };
            stamped.map(good).collect::<Vec<_>>()
        };
        assert_eq!(judged(&[4, 6, 6, 7, 7, 7, 9]), [true, true, false, true, false, false, true]);
        assert_eq!(judged(&[0; 5]), [true; 5]);
    }

    #[test]
    fn stamps_that_go_back_are_refused_until_they_have_caught_up() {
        let mut judge = Judge::new(30.0);
        let now = Stamp::from_ns(100_000_000_000);
        let usable = [99_900, 99_933, 99_910, 99_933, 99_966].map(|ms| {
            let (_, verdict) = judge.judge(&taken(0, ms, MONOTONIC), now);
            matches!(verdict, Verdict::Good(_))
        });
        assert_eq!(usable, [true, true, false, false, true]);
    }
}
