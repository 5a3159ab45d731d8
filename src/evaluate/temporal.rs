//! How steady the masks are from frame to frame, seen at fixed pixels.
//!
//! Four figures, each over consecutive frames of one size:
//! - unchanged: pixels whose predicted class is that of the frame before;
//! - steady: the same, over the pixels whose true class stayed the same (what moves by itself is left out);
//! - flicker: pixels whose class went and came back, A B A in three frames;
//! - VC8, VC16, the video consistency of Miao et al., "VSPW: A Large-scale Dataset for Video Scene Parsing
//!   in the Wild", CVPR 2021: of the pixels whose true class is the same in n consecutive frames, the share
//!   predicted right in all n; averaged over the windows.
//!
//! Frames are consecutive where no frame is missing between them: at most 1.5 of the median interval apart.

use super::confusion::percent;
use crate::data::{Size, Stamp, UNLABELED};
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};

/// The two window lengths of the paper, in frames.
const WINDOWS: [u8; 2] = [8, 16];

/// Steadiness over a whole set, in percent. `None` where no frame pair or window could tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct TemporalConsistency {
    /// Pairs of consecutive frames compared.
    pub pairs: u64,
    /// Pairs left out because frames are missing between the two: further apart than 1.5 of the median interval.
    pub pairs_left_out: u64,
    /// Pixels with the class of the frame before.
    pub unchanged: Option<f64>,
    /// The same over pixels whose truth did not change.
    pub steady: Option<f64>,
    /// Pixels whose class went and came back within three frames.
    pub flicker: Option<f64>,
    /// Video consistency over windows of 8 frames.
    pub vc8: Option<f64>,
    /// Video consistency over windows of 16 frames.
    pub vc16: Option<f64>,
}

/// A part of a whole, both in pixels.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    part: u64,
    whole: u64,
}

impl Share {
    fn add(&mut self, hit: bool) {
        self.part += u64::from(hit);
        self.whole += 1;
    }

    fn merge(&mut self, other: Self) {
        self.part += other.part;
        self.whole += other.whole;
    }

    fn percent(self) -> Option<f64> {
        percent(self.part, self.whole)
    }
}

/// Mean of the windows' shares.
#[derive(Clone, Copy, Debug, Default)]
struct WindowMean {
    sum: f64,
    windows: u32,
}

impl WindowMean {
    fn add(&mut self, share: Share) {
        if let Some(value) = share.percent() {
            self.sum += value;
            self.windows += 1;
        }
    }

    fn merge(&mut self, other: Self) {
        self.sum += other.sum;
        self.windows += other.windows;
    }

    fn mean(self) -> Option<f64> {
        (self.windows > 0).then(|| self.sum / f64::from(self.windows))
    }
}

/// One pixel's past.
#[derive(Clone, Copy, Debug)]
struct Past {
    predicted: u8,
    before: u8,
    truth: u8,
    /// Frames for which the truth has been what it is, saturating.
    same: u8,
    /// Frames up to now, without a break, whose prediction was right, saturating.
    right: u8,
}

impl Past {
    fn start(predicted: u8, truth: u8) -> Self {
        Self { predicted, before: predicted, truth, same: labelled(truth), right: u8::from(hit(predicted, truth)) }
    }

    fn advance(&mut self, predicted: u8, truth: u8) {
        let stays = truth == self.truth;
        self.same = if stays { self.same.saturating_add(labelled(truth)) } else { labelled(truth) };
        self.right = if hit(predicted, truth) { self.right.saturating_add(1) } else { 0 };
        (self.before, self.predicted, self.truth) = (self.predicted, predicted, truth);
    }
}

fn labelled(truth: u8) -> u8 {
    u8::from(truth != UNLABELED)
}

fn hit(predicted: u8, truth: u8) -> bool {
    truth != UNLABELED && predicted == truth
}

/// What neighbouring frames have in common.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    pairs: u64,
    unchanged: Share,
    steady: Share,
    flicker: Share,
    windows: [WindowMean; WINDOWS.len()],
}

impl Sums {
    fn merge(&mut self, other: &Self) {
        self.pairs += other.pairs;
        self.unchanged.merge(other.unchanged);
        self.steady.merge(other.steady);
        self.flicker.merge(other.flicker);
        self.windows.iter_mut().zip(other.windows).for_each(|(mean, other)| mean.merge(other));
    }
}

/// A frame interval to one per cent, on a logarithmic scale: no more than 4437 differ. Without stamps it is [`UNKNOWN`].
type Interval = i32;
const UNKNOWN: Interval = -1;
const STEPS_PER_E: f64 = 100.0;
/// 1.5 times as long, in steps: 100 ln 1.5, rounded up.
const GAP_STEPS: Interval = 41;

fn interval(from: Option<Stamp>, to: Option<Stamp>) -> Interval {
    let apart = from.zip(to).map(|(from, to)| to.signed_ns_since(from).max(1) as f64);
    apart.map_or(UNKNOWN, |ns| (libm::log(ns) * STEPS_PER_E).round() as Interval)
}

/// Takes frames in order and keeps one [`Past`] a pixel: memory is that of five masks, whatever the length.
///
/// Which interval is the median one is known only at the end, so that sums are kept for each length of the longest
/// interval that they reach over.
#[derive(Debug, Default)]
pub(super) struct TemporalRecorder {
    size: Option<Size>,
    stamp: Option<Stamp>,
    pixels: Vec<Past>,
    frames: u64,
    /// The last intervals, the newest first.
    recent: VecDeque<Interval>,
    sums: BTreeMap<Interval, Sums>,
}

impl TemporalRecorder {
    /// One frame, in ids of the evaluated table; `truth` is `None` for a frame without labels.
    pub(super) fn record(&mut self, size: Size, stamp: Option<Stamp>, predicted: &[u8], truth: Option<&[u8]>) {
        let before = std::mem::replace(&mut self.stamp, stamp);
        if self.size == Some(size) {
            self.recent.truncate(usize::from(WINDOWS[WINDOWS.len() - 1]));
            self.recent.push_front(interval(before, stamp));
            self.advance(predicted, truth);
        } else {
            self.recent.clear();
            self.restart(size, predicted, truth);
        }
    }

    fn restart(&mut self, size: Size, predicted: &[u8], truth: Option<&[u8]>) {
        let start = |(index, &label): (usize, &u8)| Past::start(label, truth_at(truth, index));
        self.pixels.clear();
        self.pixels.extend(predicted.iter().enumerate().map(start));
        (self.size, self.frames) = (Some(size), 1);
    }

    fn advance(&mut self, predicted: &[u8], truth: Option<&[u8]>) {
        let mut consistent = [Share::default(); WINDOWS.len()];
        let mut found = Sums { pairs: 1, ..Sums::default() };
        for (index, (past, &label)) in self.pixels.iter_mut().zip(predicted).enumerate() {
            let truth = truth_at(truth, index);
            found.unchanged.add(label == past.predicted);
            if truth != UNLABELED && truth == past.truth {
                found.steady.add(label == past.predicted);
            }
            if self.frames >= 2 {
                found.flicker.add(label == past.before && label != past.predicted);
            }
            past.advance(label, truth);
            for (share, &window) in consistent.iter_mut().zip(&WINDOWS) {
                if past.same >= window {
                    share.add(past.right >= window);
                }
            }
        }
        self.frames += 1;
        self.add(&found, consistent);
    }

    /// Each figure with the sums of the longest interval among the frames that it is about.
    fn add(&mut self, found: &Sums, consistent: [Share; WINDOWS.len()]) {
        let flicker = found.flicker;
        self.over(1).merge(&Sums { flicker: Share::default(), ..*found });
        self.over(2).flicker.merge(flicker);
        for (index, (share, window)) in consistent.into_iter().zip(WINDOWS).enumerate() {
            self.over(usize::from(window) - 1).windows[index].add(share);
        }
    }

    fn over(&mut self, intervals: usize) -> &mut Sums {
        let longest = self.recent.iter().take(intervals).max().copied().unwrap_or(UNKNOWN);
        self.sums.entry(longest).or_default()
    }

    /// The longest interval between frames with none missing between them.
    fn longest_of_neighbours(&self) -> Interval {
        let known = || self.sums.iter().filter(|(interval, _)| **interval != UNKNOWN);
        let half = known().map(|(_, sums)| sums.pairs).sum::<u64>() / 2;
        let mut below = 0;
        let mut reaches = |sums: &Sums| {
            below += sums.pairs;
            below > half
        };
        let median = known().find(|(_, sums)| reaches(sums)).map_or(UNKNOWN, |(&interval, _)| interval);
        median.saturating_add(GAP_STEPS)
    }

    pub(super) fn consistency(&self) -> TemporalConsistency {
        let (mut found, mut left_out) = (Sums::default(), Sums::default());
        let longest = self.longest_of_neighbours();
        for (&interval, sums) in &self.sums {
            if interval <= longest { found.merge(sums) } else { left_out.merge(sums) }
        }
        TemporalConsistency {
            pairs: found.pairs,
            pairs_left_out: left_out.pairs,
            unchanged: found.unchanged.percent(),
            steady: found.steady.percent(),
            flicker: found.flicker.percent(),
            vc8: found.windows[0].mean(),
            vc16: found.windows[1].mean(),
        }
    }
}

fn truth_at(truth: Option<&[u8]>, index: usize) -> u8 {
    truth.map_or(UNLABELED, |labels| labels[index])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(frames: &[(&[u8], Option<&[u8]>)]) -> TemporalConsistency {
        let mut recorder = TemporalRecorder::default();
        for (predicted, truth) in frames {
            recorder.record(Size::new(predicted.len() as u32, 1), None, predicted, *truth);
        }
        recorder.consistency()
    }

    #[test]
    fn a_case_worked_by_hand_gives_each_figure() {
        let truth: &[u8] = &[0, 0, 1, 255];
        let found = record(&[
            (&[0, 0, 1, 0], Some(truth)),
            (&[0, 1, 1, 0], Some(truth)),
            (&[0, 0, 1, 1], Some(&[0, 0, 0, 255])),
        ]);
        // Pairs: 3 of 4 and 2 of 4 unchanged; truth stays at pixels 0 1 2, then 0 1: 2 of 3 and 1 of 2.
        assert_eq!((found.pairs, found.unchanged), (2, Some(62.5)));
        assert_eq!(found.steady, Some(60.0));
        assert_eq!(found.flicker, Some(25.0));
        assert_eq!((found.vc8, found.vc16), (None, None));
    }

    #[test]
    fn video_consistency_needs_every_frame_of_the_window_right() {
        let truth: &[u8] = &[0, 0, 0, 255];
        let mut frames: Vec<(&[u8], Option<&[u8]>)> = vec![(&[0, 0, 1, 0], Some(truth)); 9];
        frames[8].0 = &[0, 1, 0, 0];
        // Frame 8 ends a window with 2 of 3 right throughout, frame 9 one with 1 of 3.
        assert_eq!(record(&frames).vc8, Some(f64::midpoint(200.0 / 3.0, 100.0 / 3.0)));
    }

    /// Frames at `stamps_ms` that a missing frame makes wrong at its place.
    fn at(stamps_ms: &[u64], predicted: impl Fn(u64) -> u8) -> TemporalConsistency {
        let mut recorder = TemporalRecorder::default();
        for &ms in stamps_ms {
            let stamp = Some(Stamp::from_ns(ms * 1_000_000));
            recorder.record(Size::new(1, 1), stamp, &[predicted(ms)], Some(&[0]));
        }
        recorder.consistency()
    }

    #[test]
    fn frames_with_a_hole_between_them_are_no_pair_wherever_the_hole_lies() {
        let whole: Vec<u64> = (0..40).map(|index| index * 33).collect();
        let steady = at(&whole, |_| 0);
        assert_eq!((steady.pairs, steady.pairs_left_out, steady.vc8), (39, 0, Some(100.0)));
        for hole in [1, 20, 35] {
            let stamps: Vec<u64> = whole.iter().map(|ms| if *ms < hole * 33 { *ms } else { ms + 14 * 33 }).collect();
            let found = at(&stamps, |ms| u8::from(ms >= hole * 33));
            assert_eq!((found.pairs, found.pairs_left_out), (38, 1), "{hole}");
            assert_eq!((found.unchanged, found.flicker), (Some(100.0), Some(0.0)), "{hole}: a change over the hole");
        }
        let stamps: Vec<u64> = whole.iter().map(|ms| if *ms < 20 * 33 { *ms } else { ms + 14 * 33 }).collect();
        let found = at(&stamps, |ms| u8::from(ms == 19 * 33));
        assert_eq!(found.flicker, Some(0.0), "A B, a hole, A");
        let windows: Vec<u64> = [0..10, 14..20].into_iter().flatten().map(|index| index * 33).collect();
        assert_eq!(at(&windows, |_| 0).vc16, None, "16 frames, but not in a row");
        let jitter: Vec<u64> = whole.iter().map(|ms| ms + ms % 12).collect();
        assert_eq!(at(&jitter, |_| 0).pairs_left_out, 0);
    }

    #[test]
    fn a_new_size_or_a_frame_without_truth_breaks_the_run() {
        let truth: Option<&[u8]> = Some(&[0, 0]);
        let mut frames: Vec<(&[u8], Option<&[u8]>)> = vec![(&[0, 0], truth); 12];
        assert_eq!(record(&frames).vc8, Some(100.0));
        frames[6].1 = None;
        let broken = record(&frames);
        assert_eq!((broken.pairs, broken.vc8), (11, None));
        frames[6] = (&[0], None);
        assert_eq!(record(&frames).pairs, 9);
    }
}
