//! Counts of a run, the hash of all its masks, and latency as percentiles.
//!
//! It counts; it does not measure time: whoever holds a clock feeds a [`LatencyHistogram`].

use super::{Sink, SinkError};
use crate::data::{AlignedFrame, ClassTable, Disagreement, Event, FrameId, Origin, Perception};
use hdrhistogram::Histogram;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use xxhash_rust::xxh3::Xxh3;

/// Counts frames and masks. Put it last among the sinks, or read it as "given to the sinks".
#[derive(Clone)]
pub struct Statistics {
    classes: ClassTable,
    received: u64,
    lost: u64,
    keys: u64,
    propagated: u64,
    key_frames: u64,
    late: u64,
    latest_key: Option<FrameId>,
    /// Pixels by label id.
    pixels: Box<[u64; 256]>,
    differing: Differing,
    hash: Xxh3,
}

/// Sums of what was known of carried labels.
#[derive(Clone, Copy, Default)]
struct Differing {
    masks: u64,
    expected: f64,
    checked: u64,
    foretold: f64,
    found: f64,
}

/// What an adaptive schedule went by: means over masks, in percent of their labels.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct DifferingSummary {
    /// Propagated masks of which it was known.
    pub masks: u64,
    /// In those: labels expected to differ from the network's own.
    pub expected: Option<f64>,
    /// Key frames at which carried labels were compared with the network's.
    pub checked: u64,
    /// At those: labels expected to differ.
    pub foretold: Option<f64>,
    /// At those: labels that did.
    pub found: Option<f64>,
}

/// What a run comes to. `captured = published + dropped`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StatisticsSummary {
    /// Frames that the camera made: received, and known to be lost before.
    pub captured: u64,
    /// Frames answered with a mask.
    pub published: u64,
    /// Frames lost on the way or not answered.
    pub dropped: u64,
    /// Masks of key frames.
    pub keys: u64,
    /// Masks of the frames between.
    pub propagated: u64,
    /// Frames that masks were made from, by the network's look at them: the key masks, or with an overlapped schedule
    /// frames whose own masks were still propagated.
    pub key_frames: u64,
    /// Masks made from an earlier key frame than was due: its features were not there yet.
    pub late: u64,
    /// XXH3-64 over the masks' own hashes, each as 8 bytes little-endian, in order; 16 hexadecimal digits.
    pub mask_hash: String,
    /// Share of all pixels that each class has, in percent.
    pub class_shares: BTreeMap<String, f64>,
    /// Share of the pixels without a class, in percent.
    pub unlabeled_share: f64,
    /// How far carried labels were from the network's own; nothing where the schedule did not go by it.
    pub differing: Option<DifferingSummary>,
}

impl Statistics {
    /// Nothing counted yet; masks are in ids of `classes`.
    pub fn new(classes: ClassTable) -> Self {
        let pixels = Box::new([0; 256]);
        let (differing, hash) = (Differing::default(), Xxh3::new());
        let [received, lost, keys, propagated, key_frames, late] = [0; 6];
        let latest_key = None;
        Self { classes, received, lost, keys, propagated, key_frames, late, latest_key, pixels, differing, hash }
    }

    /// Masks counted: key frames and others.
    pub fn published(&self) -> u64 {
        self.keys + self.propagated
    }

    /// The hash over all masks so far: equal exactly when a replay gave the same masks in the same order.
    pub fn mask_hash(&self) -> u64 {
        self.hash.digest()
    }

    /// Everything counted so far.
    pub fn summary(&self) -> StatisticsSummary {
        let published = self.published();
        let captured = self.received.max(published) + self.lost;
        let total: u64 = self.pixels.iter().sum();
        let share = |pixels: u64| 100.0 * pixels as f64 / total.max(1) as f64;
        let shares = self.classes.classes().iter().map(|c| (c.name.clone(), share(self.pixels[usize::from(c.id)])));
        let named: u64 = self.classes.classes().iter().map(|class| self.pixels[usize::from(class.id)]).sum();
        StatisticsSummary {
            captured,
            published,
            dropped: captured - published,
            keys: self.keys,
            propagated: self.propagated,
            key_frames: self.key_frames,
            late: self.late,
            mask_hash: format!("{:016x}", self.mask_hash()),
            class_shares: shares.collect(),
            unlabeled_share: share(total - named),
            differing: self.differing.summary(),
        }
    }
}

impl Differing {
    fn add(&mut self, known: Disagreement) {
        let expected = f64::from(known.expected);
        if let Some(found) = known.measured {
            self.checked += 1;
            self.foretold += expected;
            self.found += f64::from(found);
        } else {
            self.masks += 1;
            self.expected += expected;
        }
    }

    fn summary(self) -> Option<DifferingSummary> {
        let Self { masks, checked, .. } = self;
        let percent = |sum: f64, of: u64| (of > 0).then(|| 100.0 * sum / of as f64);
        let (expected, foretold) = (percent(self.expected, masks), percent(self.foretold, checked));
        let found = percent(self.found, checked);
        (masks + checked > 0).then_some(DifferingSummary { masks, expected, checked, foretold, found })
    }
}

impl fmt::Debug for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.summary().fmt(f)
    }
}

impl Sink for Statistics {
    fn on_event(&mut self, event: &Event) -> Result<(), SinkError> {
        match event {
            Event::Frame(_) => self.received += 1,
            Event::Lost { frames, .. } => self.lost += u64::from(*frames),
            Event::Can(_) | Event::State(_) | Event::Truth(_) | Event::Tick(_) => (),
        }
        Ok(())
    }

    fn on_perception(&mut self, _frame: &AlignedFrame, perception: &Perception) -> Result<(), SinkError> {
        match perception.origin {
            Origin::Key => self.keys += 1,
            Origin::Propagated { .. } => self.propagated += 1,
        }
        let key = Some(perception.origin.key_of(perception.frame));
        self.key_frames += u64::from(self.latest_key != key);
        self.latest_key = key;
        self.late += u64::from(perception.late.is_some());
        if let Some(known) = perception.disagreement {
            self.differing.add(known);
        }
        self.hash.update(&perception.mask.hash().to_le_bytes());
        for &label in perception.mask.labels().iter() {
            self.pixels[usize::from(label)] += 1;
        }
        Ok(())
    }
}

/// Latency in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Latency {
    /// Half of the values are at most this.
    #[serde(rename = "p50")]
    pub p50_ms: f64,
    /// 99 of 100 values are at most this.
    #[serde(rename = "p99")]
    pub p99_ms: f64,
    /// The largest, exactly.
    #[serde(rename = "max")]
    pub max_ms: f64,
    /// Their mean.
    #[serde(rename = "mean")]
    pub mean_ms: f64,
}

/// Durations to three significant digits, in fixed memory.
#[derive(Clone, Debug)]
pub struct LatencyHistogram {
    histogram: Histogram<u64>,
    max_ns: u64,
}

impl LatencyHistogram {
    /// Longer durations count as this in percentiles: a minute is a fault whatever follows.
    const LONGEST_NS: u64 = 60_000_000_000;

    /// Holds nothing yet.
    pub fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, Self::LONGEST_NS, 3);
        Self { histogram: histogram.expect("1 ns to 60 s at 3 digits are bounds that the histogram takes"), max_ns: 0 }
    }

    /// Counts one duration in nanoseconds.
    pub fn record(&mut self, ns: u64) {
        self.histogram.saturating_record(ns);
        self.max_ns = self.max_ns.max(ns);
    }

    /// Durations counted.
    pub fn len(&self) -> u64 {
        self.histogram.len()
    }

    /// Whether none was counted.
    pub fn is_empty(&self) -> bool {
        self.histogram.is_empty()
    }

    /// The percentiles; all 0 if nothing was counted.
    pub fn summary(&self) -> Latency {
        let at = |quantile| to_ms(self.histogram.value_at_quantile(quantile).min(self.max_ns));
        let mean_ms = self.histogram.mean() / 1e6;
        Latency { p50_ms: at(0.5), p99_ms: at(0.99), max_ms: to_ms(self.max_ns), mean_ms }
    }
}

impl Default for LatencyHistogram {
    fn default() -> Self {
        Self::new()
    }
}

fn to_ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Frame, FrameId, Image, LabelMask, PixelFormat, Size, Stamp, VehicleState};
    use xxhash_rust::xxh3::xxh3_64;

    fn frame(id: u64) -> Frame {
        let image = Image::packed(PixelFormat::Grey, Size::new(2, 1), vec![0, 0].into()).expect("2x1");
        Frame { id: FrameId(id), sequence: None, stamp: Stamp::ZERO, arrival: Stamp::ZERO, image }
    }

    fn answer(statistics: &mut Statistics, id: u64, labels: [u8; 2]) {
        let mask = LabelMask::new(Size::new(2, 1), labels.to_vec().into()).expect("2x1");
        let origin = if id == 0 { Origin::Key } else { Origin::Propagated { from: FrameId(0), distance: id as u32 } };
        let aligned = AlignedFrame { frame: frame(id), state: VehicleState::default() };
        let perception = Perception {
            frame: FrameId(id),
            stamp: Stamp::ZERO,
            origin,
            mask,
            age: None,
            confidence: None,
            disagreement: None,
            late: None,
        };
        statistics.on_perception(&aligned, &perception).expect("statistics never refuse");
    }

    #[test]
    fn captured_is_published_and_dropped() {
        let mut statistics = Statistics::new(ClassTable::camvid());
        for id in 0..3 {
            statistics.on_event(&Event::Frame(frame(id))).expect("statistics never refuse");
        }
        statistics.on_event(&Event::Lost { stamp: Stamp::ZERO, frames: 4 }).expect("statistics never refuse");
        answer(&mut statistics, 0, [0, 3]);
        answer(&mut statistics, 1, [3, 255]);
        let found = statistics.summary();
        assert_eq!((found.captured, found.published, found.dropped), (7, 2, 5));
        assert_eq!((found.keys, found.propagated), (1, 1));
        assert_eq!((found.class_shares["road"], found.unlabeled_share), (50.0, 25.0));
    }

    #[test]
    fn the_hash_is_over_the_masks_hashes_in_order() {
        let run = |order: [[u8; 2]; 2]| {
            let mut statistics = Statistics::new(ClassTable::camvid());
            (0..).zip(order).for_each(|(id, labels)| answer(&mut statistics, id, labels));
            statistics.mask_hash()
        };
        let (a, b) = ([0, 3], [3, 0]);
        let expected = xxh3_64(&[xxh3_64(&a).to_le_bytes(), xxh3_64(&b).to_le_bytes()].concat());
        assert_eq!(run([a, b]), expected);
        assert_ne!(run([b, a]), expected);
    }

    #[test]
    fn what_was_expected_and_found_of_carried_labels_is_averaged_apart() {
        let mut differing = Differing::default();
        assert_eq!(differing.summary(), None);
        let known = |expected, measured| Disagreement { residual: 0.5, expected, measured };
        for one in [known(0.25, None), known(0.75, None), known(0.5, None), known(0.125, Some(0.25))] {
            differing.add(one);
        }
        let (expected, foretold, found) = (Some(50.0), Some(12.5), Some(25.0));
        assert_eq!(differing.summary(), Some(DifferingSummary { masks: 3, expected, checked: 1, foretold, found }));
        let mut unchecked = Differing::default();
        unchecked.add(known(0.5, None));
        let found = unchecked.summary().expect("something is known");
        assert_eq!((found.expected, found.foretold, found.found), (Some(50.0), None, None));
    }

    #[test]
    fn latency_is_told_to_three_digits_and_its_maximum_exactly() {
        let mut latency = LatencyHistogram::new();
        assert_eq!(latency.summary(), Latency::default());
        (1..=1000).for_each(|ms| latency.record(ms * 1_000_000));
        latency.record(90_000_000_007);
        let found = latency.summary();
        assert!((found.p50_ms - 501.0).abs() < 1.0 && (found.p99_ms - 991.0).abs() < 2.0, "{found:?}");
        assert_eq!((found.max_ms, latency.len()), (90_000.000_007, 1001));
    }
}
