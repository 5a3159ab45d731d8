//! Brings stamps of a clock that drifts and steps onto the monotonic timeline.
//!
//! ```text
//! arrival - source = offset + drift * source + jitter,   jitter >= 0
//!
//! a pair within `step_ms` of the line:  offset := least lateness of the last 2 s,
//!                                       drift := slope of the line below the last 16 s;
//!                                       the line applied runs after that one, never backwards
//! eight pairs off it that agree over    the clock has stepped: a new line through them
//! more than `step_ms` of arrivals:
//! ```
//! A constant part of the jitter cannot be told from offset: stamps are late by it (docs/timing.md).

use super::envelope::{MAX_POINTS, Point, slope_below};
use crate::data::Stamp;
use heapless::Deque;
use serde::{Deserialize, Serialize};

/// Pairs that must agree before a line is put through them: with jitter to 2 ms the least of eight is 0.2 ms late on average.
const CONSENSUS: usize = 8;
/// After this long off the line a new one is taken even from pairs that do not agree.
const MAX_DISPUTE_NS: i64 = 1_000_000_000;
/// One point is kept for each such stretch of source time.
const BIN_NS: f64 = 250e6;
/// Points older than this tell nothing of today's drift; 16 s are [`MAX_POINTS`] bins.
const DRIFT_WINDOW_NS: f64 = BIN_NS * MAX_POINTS as f64;
/// A slope over less than this would be jitter: 2 ms in 4 s are 500 ppm.
const MIN_DRIFT_SPAN_NS: f64 = 4e9;
/// Short enough that an unknown drift of 200 ppm stays below 0.4 ms in it.
const OFFSET_WINDOW_NS: f64 = 2e9;
/// How fast the applied line runs after the fitted one: below 1 minus the largest drift, so that it never turns back.
const MAX_SLEW: f64 = 0.1;
/// Knots of the applied line that are kept to map samples that come out of order.
const KNOTS: usize = 16;

/// The constants of a [`ClockMapping`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClockConfig {
    /// The fastest drift that is believed, parts per million.
    pub max_drift_ppm: u16,
    /// A pair this far off the line is no jitter but a step, if others agree with it; ms.
    pub step_ms: u16,
}

impl Default for ClockConfig {
    fn default() -> Self {
        Self { max_drift_ppm: 500, step_ms: 10 }
    }
}

/// What a pair of stamps did to the mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observation {
    /// It fits the line: its stamp can be mapped.
    Fits,
    /// It does not, and it is not yet clear why: keep it; later pairs decide.
    Unsettled,
    /// It and the seven before it have set a new line: all of them can be mapped.
    Locked,
}

/// How well the clock is followed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ClockQuality {
    /// Whether there is a line.
    pub locked: bool,
    /// Drift of the timeline against the source's clock, parts per million.
    pub drift_ppm: f64,
    /// Lateness of arrivals over the line, averaged over about 32 pairs; ms.
    pub residual_ms: f64,
    /// Steps of the source's clock so far.
    pub steps: u64,
}

/// Follows one source clock. See the module's head.
#[derive(Clone, Debug)]
pub struct ClockMapping {
    max_drift: f64,
    step_ns: f64,
    drift: f64,
    line: Option<Line>,
    disputed: Deque<Pair, CONSENSUS>,
    disputed_since: Stamp,
    residual_ns: f64,
    steps: u64,
}

impl ClockMapping {
    /// A mapping that knows nothing yet.
    pub fn new(config: ClockConfig) -> Self {
        Self {
            max_drift: f64::from(config.max_drift_ppm) * 1e-6,
            step_ns: f64::from(config.step_ms) * 1e6,
            drift: 0.0,
            line: None,
            disputed: Deque::new(),
            disputed_since: Stamp::ZERO,
            residual_ns: 0.0,
            steps: 0,
        }
    }

    /// Takes in that the stamp `source_ns` arrived at `arrival`.
    pub fn observe(&mut self, source_ns: i64, arrival: Stamp) -> Observation {
        let pair = Pair { source_ns, arrival };
        match self.line.as_mut().map(|line| (line.lateness(pair, self.drift), line)) {
            Some((late, line)) if late.abs() <= self.step_ns => {
                self.residual_ns += (late - self.residual_ns) / 32.0;
                self.drift = line.follow(pair, self.drift, self.max_drift);
                self.disputed.clear();
                Observation::Fits
            }
            _ => self.dispute(pair),
        }
    }

    /// `source_ns` on the monotonic timeline; `None` before the first line, and outside the timeline.
    pub fn map(&self, source_ns: i64) -> Option<Stamp> {
        self.line.as_ref().and_then(|line| line.map(source_ns, self.drift))
    }

    /// How well it goes.
    pub fn quality(&self) -> ClockQuality {
        ClockQuality {
            locked: self.line.is_some(),
            drift_ppm: self.drift * 1e6,
            residual_ms: self.residual_ns / 1e6,
            steps: self.steps,
        }
    }

    fn dispute(&mut self, pair: Pair) -> Observation {
        if self.disputed.is_empty() {
            self.disputed_since = pair.arrival;
        }
        if self.is_crowded(pair) {
            return Observation::Unsettled;
        }
        if self.disputed.is_full() {
            self.disputed.pop_front();
        }
        self.disputed.push_back(pair).expect("its oldest was taken out where it was full");
        let disputed_ns = pair.arrival.signed_ns_since(self.disputed_since);
        if self.disputed.is_full() && (self.agree() || disputed_ns >= MAX_DISPUTE_NS) {
            self.lock();
            Observation::Locked
        } else {
            Observation::Unsettled
        }
    }

    /// Whether the pair came too soon after the last disputed one to say more than that did. A stall of this program,
    /// after which many old messages come at once, looks like a step to any eight of them on a busy bus: so the eight
    /// have to come over more than a step's time, in which what was stalled gets less late by more than jitter.
    fn is_crowded(&self, pair: Pair) -> bool {
        let apart_ns = self.step_ns * 2.0 / CONSENSUS as f64;
        let since = |last: &Pair| pair.arrival.signed_ns_since(last.arrival).unsigned_abs() as f64;
        self.line.is_some() && self.disputed.back().is_some_and(|last| since(last) < apart_ns)
    }

    /// Whether the disputed pairs lie on one line but for jitter.
    fn agree(&self) -> bool {
        let offsets = || self.disputed.iter().map(|pair| pair.offset());
        let spread = offsets().max().unwrap_or(0) - offsets().min().unwrap_or(0);
        spread as f64 <= self.step_ns / 2.0
    }

    fn lock(&mut self) {
        self.steps += u64::from(self.line.is_some());
        self.line = Line::through(&self.disputed, self.drift);
        self.disputed.clear();
        self.residual_ns = 0.0;
    }
}

/// When a source stamped something, and when that came here.
#[derive(Clone, Copy, Debug)]
struct Pair {
    source_ns: i64,
    arrival: Stamp,
}

impl Pair {
    fn offset(self) -> i128 {
        i128::from(self.arrival.ns()) - i128::from(self.source_ns)
    }
}

/// One epoch between steps: what was seen, and the monotone line applied. All relative to `reference`.
#[derive(Clone, Debug)]
struct Line {
    reference: Pair,
    points: Deque<Point, MAX_POINTS>,
    bin_start_ns: f64,
    knots: Deque<Point, KNOTS>,
}

impl Line {
    fn through(pairs: &Deque<Pair, CONSENSUS>, drift: f64) -> Option<Self> {
        let (reference, last) = (*pairs.front()?, *pairs.back()?);
        let mut line = Self { reference, points: Deque::new(), bin_start_ns: 0.0, knots: Deque::new() };
        for pair in pairs {
            line.keep(line.point(*pair), drift);
        }
        let source_ns = line.point(last).source_ns;
        let first = Point { source_ns, late_ns: line.least_late(source_ns, drift) };
        line.knots.push_back(first).ok()?;
        Some(line)
    }

    fn point(&self, pair: Pair) -> Point {
        Point {
            source_ns: self.since_reference(pair.source_ns),
            late_ns: (pair.offset() - self.reference.offset()) as f64,
        }
    }

    fn since_reference(&self, source_ns: i64) -> f64 {
        (i128::from(source_ns) - i128::from(self.reference.source_ns)) as f64
    }

    fn lateness(&self, pair: Pair, drift: f64) -> f64 {
        let point = self.point(pair);
        point.late_ns - self.applied(point.source_ns, drift)
    }

    /// Takes the pair in and returns the drift then.
    fn follow(&mut self, pair: Pair, drift: f64, max_drift: f64) -> f64 {
        let point = self.point(pair);
        let drift = if self.keep(point, drift) { self.fit(drift, max_drift) } else { drift };
        self.advance(point.source_ns, drift);
        drift
    }

    /// Keeps the least late point of each bin; true if a new bin began.
    fn keep(&mut self, point: Point, drift: f64) -> bool {
        let in_bin = point.source_ns < self.bin_start_ns + BIN_NS;
        let Some(last) = self.points.back_mut().filter(|_| in_bin) else {
            self.bin_start_ns = point.source_ns;
            self.forget(point.source_ns - DRIFT_WINDOW_NS);
            self.points.push_back(point).expect("forget has made room");
            return true;
        };
        let lower = point.late_ns - last.late_ns < drift * (point.source_ns - last.source_ns);
        if point.source_ns >= self.bin_start_ns && lower {
            *last = point;
        }
        false
    }

    fn forget(&mut self, before_ns: f64) {
        while self.points.is_full() || self.points.front().is_some_and(|point| point.source_ns < before_ns) {
            self.points.pop_front();
        }
    }

    fn fit(&self, drift: f64, max_drift: f64) -> f64 {
        let ends = self.points.front().zip(self.points.back());
        let span = ends.map_or(0.0, |(first, last)| last.source_ns - first.source_ns);
        let fitted = if span < MIN_DRIFT_SPAN_NS { None } else { slope_below(self.points.iter()) };
        fitted.unwrap_or(drift).clamp(-max_drift, max_drift)
    }

    /// The fitted line's lateness at `source_ns`.
    fn least_late(&self, source_ns: f64, drift: f64) -> f64 {
        let recent = self.points.iter().rev().take_while(|point| point.source_ns >= source_ns - OFFSET_WINDOW_NS);
        recent.map(|point| point.late_ns + drift * (source_ns - point.source_ns)).fold(f64::INFINITY, f64::min)
    }

    /// Lets the applied line run after the fitted one up to `source_ns`.
    fn advance(&mut self, source_ns: f64, drift: f64) {
        let Some(&last) = self.knots.back().filter(|last| last.source_ns < source_ns) else { return };
        let run_ns = source_ns - last.source_ns;
        let expected = last.late_ns + drift * run_ns;
        let missing = self.least_late(source_ns, drift) - expected;
        let late_ns = expected + missing.clamp(-MAX_SLEW * run_ns, MAX_SLEW * run_ns);
        if self.knots.is_full() {
            self.knots.pop_front();
        }
        self.knots.push_back(Point { source_ns, late_ns }).expect("its oldest was taken out where it was full");
    }

    /// The applied line: straight between knots, along the drift beyond them.
    fn applied(&self, source_ns: f64, drift: f64) -> f64 {
        let later = self.knots.iter().rev().take_while(|knot| knot.source_ns > source_ns).count();
        let after = self.knots.get(self.knots.len() - later);
        let before = self.knots.len().checked_sub(later + 1).and_then(|index| self.knots.get(index));
        match (before, after) {
            (Some(a), Some(b)) => {
                let part = (source_ns - a.source_ns) / (b.source_ns - a.source_ns);
                a.late_ns + part * (b.late_ns - a.late_ns)
            }
            (Some(knot), None) | (None, Some(knot)) => knot.late_ns + drift * (source_ns - knot.source_ns),
            (None, None) => 0.0,
        }
    }

    fn map(&self, source_ns: i64, drift: f64) -> Option<Stamp> {
        let late_ns = self.applied(self.since_reference(source_ns), drift).round() as i128;
        let ns = i128::from(source_ns) + self.reference.offset() + late_ns;
        u64::try_from(ns).ok().map(Stamp::from_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: i64 = 1_000_000;

    /// A source clock `offset` ahead of the timeline, read every 10 ms of it.
    fn stamp(tick: i64, offset: i64) -> i64 {
        tick * 10 * MS + offset
    }

    fn arrival(tick: i64, late: i64) -> Stamp {
        Stamp::from_ns((tick * 10 * MS + late) as u64)
    }

    fn locked(offset: i64) -> ClockMapping {
        let mut mapping = ClockMapping::new(ClockConfig::default());
        let seen: Vec<_> = (0..8).map(|tick| mapping.observe(stamp(tick, offset), arrival(tick, 0))).collect();
        assert_eq!(seen, [[Observation::Unsettled; 7].as_slice(), &[Observation::Locked]].concat());
        mapping
    }

    #[test]
    fn eight_pairs_that_agree_set_the_line() {
        let mapping = locked(-7 * MS);
        assert_eq!(mapping.map(stamp(9, -7 * MS)), Some(arrival(9, 0)));
        assert_eq!(mapping.quality(), ClockQuality { locked: true, ..ClockQuality::default() });
    }

    #[test]
    fn a_step_either_way_is_followed_after_eight_pairs() {
        for step in [1000 * MS, -1000 * MS, -3_600_000 * MS, 20 * MS, -20 * MS] {
            let mut mapping = locked(5);
            let seen: Vec<_> = (8..16).map(|tick| mapping.observe(stamp(tick, step), arrival(tick, 0))).collect();
            assert_eq!((seen[6], seen[7]), (Observation::Unsettled, Observation::Locked), "{step}");
            assert_eq!(mapping.map(stamp(20, step)), Some(arrival(20, 0)), "{step}");
            assert_eq!(mapping.quality().steps, 1, "{step}");
        }
    }

    #[test]
    fn a_stall_of_this_program_is_no_step() {
        let mut mapping = locked(0);
        for tick in 8..30 {
            let seen = mapping.observe(stamp(tick, 0), arrival(30, 0));
            assert_eq!(seen == Observation::Fits, tick == 29, "{tick}");
        }
        assert_eq!(mapping.quality().steps, 0);
        assert_eq!(mapping.map(stamp(30, 0)), Some(arrival(30, 0)));
    }

    #[test]
    fn a_clock_that_stands_still_does_not_lock_the_mapping_up() {
        let mut mapping = locked(0);
        for tick in 8..500 {
            mapping.observe(stamp(7, 0), arrival(tick, 0));
        }
        let seen: Vec<_> = (500..540).map(|tick| mapping.observe(stamp(tick, 0), arrival(tick, 0))).collect();
        assert_eq!(seen.last(), Some(&Observation::Fits));
        assert_eq!(mapping.map(stamp(540, 0)), Some(arrival(540, 0)));
    }

    #[test]
    fn a_line_found_too_late_is_mended_without_turning_back() {
        let mut mapping = ClockMapping::new(ClockConfig::default());
        let mut last = Stamp::ZERO;
        for tick in 0..500 {
            let (source, late) = (tick * MS / 5, if tick < 8 { 2 * MS } else { 0 });
            if mapping.observe(source, Stamp::from_ns((source + late) as u64)) != Observation::Unsettled {
                let stamp = mapping.map(source).unwrap();
                assert!(stamp > last, "tick {tick}");
                last = stamp;
            }
        }
        assert_eq!(last, Stamp::from_ns(499 * MS as u64 / 5));
    }

    /// The mapping of a clock read `per_second` times, whose pairs arrive as `arrives` says, after a second without lateness.
    fn after_a_second(
        per_second: i64,
        ticks: i64,
        source: impl Fn(i64) -> i64,
        arrives: impl Fn(i64) -> i64,
    ) -> ClockMapping {
        let mut mapping = ClockMapping::new(ClockConfig::default());
        let period = 1000 * MS / per_second;
        for tick in 0..per_second + ticks {
            let at = tick * period;
            mapping.observe(source(at), Stamp::from_ns(arrives(at).max(at) as u64));
        }
        mapping
    }

    proptest! {
        #[test]
        fn a_stall_is_no_step_however_busy_the_bus_and_however_slowly_it_is_caught_up(
            per_second in 50..5000_i64, stall in 11..900_i64, each_us in 0..150_i64,
        ) {
            let period = 1000 * MS / per_second;
            // From one second on nothing is read for `stall` ms, then one message after the other.
            let read = |at: i64| {
                let end = 1000 * MS + stall * MS;
                if at < 1000 * MS { at } else { end + (at - 1000 * MS) / period * each_us * 1000 }
            };
            let each = each_us * 1000;
            prop_assume!(each < period * 2 / 3);
            // After a second a new line is taken in any case.
            prop_assume!(stall * each < 900 * (period - each));
            let mapping = after_a_second(per_second, 3 * per_second, |at| at, read);
            prop_assert_eq!(mapping.quality().steps, 0);
            let at = 3900 * MS;
            let error = mapping.map(at).unwrap().signed_ns_since(Stamp::from_ns(at as u64));
            prop_assert!(error.abs() < MS / 10, "{} ns", error);
        }

        #[test]
        fn a_step_is_followed_within_a_fifth_of_a_second_however_busy_the_bus(
            per_second in 50..5000_i64, step in prop_oneof![-3_600_000..-20_i64, 20..3_600_000_i64],
        ) {
            let stepped = |at: i64| if at < 1000 * MS { at } else { at + step * MS };
            let mapping = after_a_second(per_second, per_second / 5, stepped, |at| at);
            prop_assert_eq!(mapping.quality().steps, 1);
            let at = 1150 * MS;
            let error = mapping.map(stepped(at)).unwrap().signed_ns_since(Stamp::from_ns(at as u64));
            prop_assert!(error.abs() < MS / 10, "{} ns", error);
        }

        #[test]
        fn the_drift_is_found_within_20_seconds(drift_ppm in -300..300_i64, late in prop::collection::vec(0..2 * MS, 2000)) {
            let mut mapping = ClockMapping::new(ClockConfig::default());
            for (tick, late) in (0..).zip(late) {
                mapping.observe(stamp(tick, 0) + tick * 10 * drift_ppm, arrival(tick, late));
            }
            let found = mapping.quality().drift_ppm;
            prop_assert!((found + drift_ppm as f64).abs() < 40.0, "{found} of {}", -drift_ppm);
            prop_assert!((mapping.quality().residual_ms - 1.0).abs() < 0.5, "{:?}", mapping.quality());
        }

        #[test]
        fn mapped_stamps_never_run_backwards_and_stay_close(
            drift_ppm in -200..200_i64, offset in -1_000_000_000_000_000_000..1_000_000_000_000_000_000_i64,
            late in prop::collection::vec(0..2 * MS, 800), swaps in prop::collection::vec(0..799_usize, 20),
        ) {
            let mut mapping = ClockMapping::new(ClockConfig::default());
            let mut order: Vec<i64> = (0..800).collect();
            for place in swaps {
                order.swap(place, place + 1);
            }
            let mut mapped = std::collections::BTreeMap::new();
            let mut latest = 0;
            for (place, tick) in order.into_iter().enumerate() {
                let source = stamp(tick, offset) + tick * 10 * drift_ppm;
                latest = latest.max(tick);
                if mapping.observe(source, arrival(latest, late[place])) != Observation::Unsettled {
                    mapped.insert(tick, mapping.map(source).unwrap());
                }
            }
            prop_assert!(mapped.values().is_sorted());
            for (tick, stamp) in mapped.range(50..) {
                let error = stamp.signed_ns_since(arrival(*tick, 0));
                prop_assert!(error.abs() < MS, "tick {tick} error {error}");
            }
        }

        #[test]
        fn no_stamps_panic(pairs in prop::collection::vec((any::<i64>(), any::<u64>()), 0..40), same in any::<bool>()) {
            let mut mapping = ClockMapping::new(ClockConfig { max_drift_ppm: u16::MAX, step_ms: u16::MAX });
            for (source, arrival) in pairs {
                let arrival = if same { Stamp::from_ns(source.unsigned_abs()) } else { Stamp::from_ns(arrival) };
                mapping.observe(source, arrival);
                mapping.map(source);
                mapping.map(source.wrapping_add(i64::MAX));
            }
        }
    }
}
