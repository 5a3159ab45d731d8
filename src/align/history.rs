//! What was heard of one quantity lately, in order of its stamps, and what it says of a moment.

use super::Config;
use crate::data::{Reading, Stamp, Validity};
use heapless::{Deque, HistoryBuf};

/// Samples kept: a quarter of a second of a quantity sent at 1 kHz, the fastest on a CAN bus.
const SAMPLES: usize = 256;
/// Gaps of which the period is the median: enough to outvote a few lost messages.
const GAPS: usize = 15;
/// The shortest period, that of 1 kHz: what comes closer together was held up, by a gateway or a busy sender, and let go.
const MIN_PERIOD_NS: i64 = 1_000_000;
/// Fewer gaps than this make no period.
const MIN_GAPS: usize = 5;

#[derive(Clone, Copy, Debug)]
struct Sample {
    stamp: Stamp,
    reading: Reading,
}

/// What became of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Insertion {
    Newest,
    OutOfOrder,
    Duplicate,
    TooOld,
}

/// How far a history may be stretched, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    extrapolation_ns: i64,
    silence_ns: i64,
    missed_periods: i64,
}

impl Limits {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            extrapolation_ns: i64::from(config.max_extrapolation_ms) * 1_000_000,
            silence_ns: i64::from(config.silence_ms) * 1_000_000,
            missed_periods: i64::from(config.missed_periods),
        }
    }

    pub(super) fn silence_ns(&self) -> i64 {
        self.silence_ns
    }
}

/// The recent samples of one quantity.
#[derive(Debug, Default)]
pub(super) struct History {
    samples: Deque<Sample, SAMPLES>,
    gaps_ns: HistoryBuf<i64, GAPS>,
    forgot: bool,
}

impl History {
    /// Puts a sample in its place. Of two with one stamp the later to come stays.
    pub(super) fn insert(&mut self, stamp: Stamp, reading: Reading) -> Insertion {
        let sample = Sample { stamp, reading: refuse_not_finite(reading) };
        let later = self.samples.iter().rev().take_while(|other| other.stamp > stamp).count();
        let place = self.samples.len() - later;
        if let Some(same) =
            place.checked_sub(1).and_then(|index| self.samples.get_mut(index)).filter(|s| s.stamp == stamp)
        {
            *same = sample;
            return Insertion::Duplicate;
        }
        if later == 0 {
            self.gaps_ns.extend(self.samples.back().map(|last| stamp.signed_ns_since(last.stamp)));
        }
        if place == 0 && self.forgot {
            return Insertion::TooOld;
        }
        self.place(sample, later);
        if later == 0 { Insertion::Newest } else { Insertion::OutOfOrder }
    }

    /// The quantity at `stamp`; `None` before the first sample ever.
    pub(super) fn at(&self, stamp: Stamp, limits: &Limits) -> Option<Reading> {
        let later = self.samples.iter().rev().take_while(|sample| sample.stamp > stamp).count();
        let place = self.samples.len() - later;
        let after = self.samples.get(place);
        match place.checked_sub(1).and_then(|index| self.samples.get(index)) {
            Some(before) => Some(self.between(*before, after.copied(), stamp, limits)),
            None => after.filter(|_| self.forgot).map(|after| stale(after.reading)),
        }
    }

    /// Whether a sample at or after `stamp` is still to be expected.
    pub(super) fn awaits(&self, stamp: Stamp, limits: &Limits) -> bool {
        self.samples.back().is_some_and(|newest| {
            let age_ns = stamp.signed_ns_since(newest.stamp);
            newest.reading.validity == Validity::Valid && age_ns > 0 && age_ns <= self.alive_ns(limits)
        })
    }

    /// Interpolates; without a partner to do so holds the value for the extrapolation allowed.
    fn between(&self, before: Sample, after: Option<Sample>, stamp: Stamp, limits: &Limits) -> Reading {
        let Some(value) = before.reading.usable() else { return before.reading };
        let (age_ns, alive_ns) = (stamp.signed_ns_since(before.stamp), self.alive_ns(limits));
        let partner =
            after.and_then(|after| Some((after.reading.usable()?, after.stamp.signed_ns_since(before.stamp))));
        match partner {
            Some((next, gap_ns)) if gap_ns <= alive_ns => {
                let part = age_ns as f64 / gap_ns as f64;
                Reading::valid(value * (1.0 - part) + next * part)
            }
            _ if age_ns <= alive_ns.min(limits.extrapolation_ns) => Reading::valid(value),
            _ => stale(before.reading),
        }
    }

    /// How long after a sample the quantity still counts as heard of.
    fn alive_ns(&self, limits: &Limits) -> i64 {
        let missed_ns = self.period_ns().map_or(i64::MAX, |period| period.saturating_mul(limits.missed_periods));
        limits.silence_ns.min(missed_ns)
    }

    fn period_ns(&self) -> Option<i64> {
        let mut gaps = [0; GAPS];
        let known = self.gaps_ns.as_slice();
        gaps[..known.len()].copy_from_slice(known);
        let median = |gaps: &mut [i64]| *gaps.select_nth_unstable(gaps.len() / 2).1;
        (known.len() >= MIN_GAPS).then(|| median(&mut gaps[..known.len()]).max(MIN_PERIOD_NS))
    }

    /// Appends and moves down past the `later` ones.
    fn place(&mut self, sample: Sample, later: usize) {
        if self.samples.is_full() {
            self.samples.pop_front();
            self.forgot = true;
        }
        self.samples.push_back(sample).expect("its oldest was taken out where it was full");
        let last = self.samples.len() - 1;
        (last - later..last).rev().for_each(|index| self.samples.swap(index, index + 1));
    }
}

fn stale(reading: Reading) -> Reading {
    let validity = if reading.validity == Validity::Valid { Validity::Stale } else { reading.validity };
    Reading { value: reading.value, validity }
}

fn refuse_not_finite(reading: Reading) -> Reading {
    if reading.value.is_finite() { reading } else { Reading { value: 0.0, validity: Validity::Faulty } }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn history(samples: &[(u64, f64)]) -> History {
        let mut history = History::default();
        for &(ms, value) in samples {
            history.insert(Stamp::from_ns(ms * MS), Reading::valid(value));
        }
        history
    }

    fn at(history: &History, ms: u64) -> Option<(f64, Validity)> {
        let reading = history.at(Stamp::from_ns(ms * MS), &Limits::new(&Config::default()))?;
        Some((reading.value, reading.validity))
    }

    #[test]
    fn values_are_interpolated_held_for_50_ms_and_then_stale() {
        let history = history(&[(100, 1.0), (120, 2.0)]);
        let cases = [
            (99, None),
            (100, Some((1.0, Validity::Valid))),
            (105, Some((1.25, Validity::Valid))),
            (120, Some((2.0, Validity::Valid))),
            (170, Some((2.0, Validity::Valid))),
            (171, Some((2.0, Validity::Stale))),
        ];
        let wrong: Vec<_> = cases.iter().filter(|(ms, expected)| at(&history, *ms) != *expected).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }

    #[test]
    fn ten_missed_periods_or_half_a_second_are_too_wide_to_interpolate_over() {
        let fast: Vec<_> = (0..10).map(|tick| (tick * 2, 0.0)).chain([(18 + 21, 1.0)]).collect();
        assert_eq!(at(&history(&fast), 18 + 20), Some((0.0, Validity::Valid)));
        let faster: Vec<_> = (0..10).map(|tick| (tick * 2, 0.0)).collect();
        assert_eq!(at(&history(&faster), 18 + 21), Some((0.0, Validity::Stale)));
        assert_eq!(at(&history(&[(0, 0.0), (500, 1.0)]), 250), Some((0.5, Validity::Valid)));
        assert_eq!(at(&history(&[(0, 0.0), (501, 1.0)]), 250), Some((0.0, Validity::Stale)));
    }

    #[test]
    fn a_burst_of_samples_makes_no_period_that_the_next_one_would_miss() {
        let mut history = history(&[(0, 0.0)]);
        for tick in 0..20 {
            history.insert(Stamp::from_ns(MS + tick * 20_000), Reading::valid(1.0));
        }
        assert_eq!(at(&history, 11), Some((1.0, Validity::Valid)));
        assert_eq!(at(&history, 12), Some((1.0, Validity::Stale)));
    }

    #[test]
    fn nothing_is_valid_after_an_invalid_sample_until_a_valid_one() {
        let mut history = history(&[(100, 1.0), (130, 4.0)]);
        for validity in [Validity::Faulty, Validity::Frozen, Validity::Stale] {
            history.insert(Stamp::from_ns(110 * MS), Reading { value: 2.0, validity });
            assert_eq!(at(&history, 109), Some((1.0, Validity::Valid)));
            assert_eq!(at(&history, 110), Some((2.0, validity)));
            assert_eq!(at(&history, 129), Some((2.0, validity)));
            assert_eq!(at(&history, 130), Some((4.0, Validity::Valid)));
        }
        history.insert(Stamp::from_ns(140 * MS), Reading::valid(f64::NAN));
        assert_eq!(at(&history, 141), Some((0.0, Validity::Faulty)));
    }

    #[test]
    fn samples_find_their_place_and_what_is_forgotten_is_not_made_up() {
        let mut history = history(&[(100, 1.0), (120, 3.0)]);
        let mut insert = |ms: u64, value| history.insert(Stamp::from_ns(ms * MS), Reading::valid(value));
        assert_eq!(insert(110, 2.5), Insertion::OutOfOrder);
        assert_eq!(insert(110, 2.0), Insertion::Duplicate);
        assert_eq!(insert(90, 0.0), Insertion::OutOfOrder);
        for tick in 0..SAMPLES as u64 {
            insert(200 + tick, 9.0);
        }
        assert_eq!(insert(90, 0.0), Insertion::TooOld);
        assert_eq!(at(&history, 110), Some((9.0, Validity::Stale)));
        assert_eq!(at(&history, 200), Some((9.0, Validity::Valid)));
    }
}
