//! Whether confidence is what it says: of the pixels that claim to be right with some probability, how many are.
//!
//! ```text
//! confidence plane ─margin of the two best classes─▶ probability claimed ─▶ bins of claims ─▶ share that is right
//! ```
//!
//! A confidence of `c` stands for margins from `c / 16` to `(c + 1) / 16`, and for more at 255.
//! A margin of `m` says that the best class is `exp(m)` times as likely as the next. Of the two alone, the best is then
//! right with probability `1 / (1 + exp(-m))`. The expected calibration error is the mean, over all pixels, of how far
//! the share that is right is from what was claimed, bin by bin (Guo et al., "On Calibration of Modern Neural
//! Networks", 2017).

use super::confusion::percent;
use super::labels::sample_nearest;
use crate::data::{Plane, Size};

/// Steps of confidence to one unit of logit, as in the published plane.
const STEPS: f64 = 16.0;
/// Bins of claims, equally wide, from an even chance to certainty.
const BINS: usize = 10;
const LEAST_CLAIM: f64 = 0.5;

/// How confidence and truth go together, over the pixels of some frames that have both. Shares are in percent.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Calibration {
    /// `all frames`, `key frames` or `propagated frames`.
    pub of: &'static str,
    /// Labelled pixels with a confidence.
    pub pixels: u64,
    /// What they claim, on average: to be right.
    pub claimed: f64,
    /// How many are.
    pub right: f64,
    /// Expected calibration error, in percentage points.
    pub ece: f64,
    /// By what they claim, least first; without those that nothing claims.
    pub bins: Vec<ReliabilityBin>,
}

/// The pixels whose claims lie between two bounds.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct ReliabilityBin {
    /// How many.
    pub pixels: u64,
    /// What they claim, on average.
    pub claimed: f64,
    /// How many are right.
    pub right: f64,
}

/// Pixels by their confidence, and which of them are right.
#[derive(Clone, Debug)]
struct Counts {
    pixels: Box<[u64; 256]>,
    right: Box<[u64; 256]>,
}

/// Counts key frames and others.
#[derive(Clone, Debug)]
pub(super) struct CalibrationRecorder {
    keys: Counts,
    propagated: Counts,
}

impl CalibrationRecorder {
    pub(super) fn new() -> Self {
        Self { keys: Counts::new(), propagated: Counts::new() }
    }

    /// Counts one frame: `predicted` and `truth` of `size`, in ids of the evaluated table, which has `classes`.
    /// `confidence` may be of another size.
    pub(super) fn record(
        &mut self,
        is_key: bool,
        (confidence, size): (&Plane, Size),
        (predicted, truth): (&[u8], &[u8]),
        classes: usize,
    ) {
        let counts = if is_key { &mut self.keys } else { &mut self.propagated };
        let mut pixels = predicted.iter().zip(truth);
        sample_nearest(confidence.bytes(), confidence.size(), size, |confidence| {
            let Some((predicted, truth)) = pixels.next() else { return };
            if usize::from(*truth) < classes {
                counts.pixels[usize::from(confidence)] += 1;
                counts.right[usize::from(confidence)] += u64::from(predicted == truth);
            }
        });
    }

    /// Nothing if no frame had a confidence; the two kinds apart only where there are both.
    pub(super) fn into_calibrations(self) -> Vec<Calibration> {
        let all = self.keys.plus(&self.propagated);
        let kinds = [("all frames", &all), ("key frames", &self.keys), ("propagated frames", &self.propagated)];
        let found: Vec<_> = kinds.into_iter().filter_map(|(of, counts)| counts.calibration(of)).collect();
        // With one kind alone, "all" says the same again.
        if found.len() == 2 { found.into_iter().skip(1).collect() } else { found }
    }
}

impl Counts {
    fn new() -> Self {
        Self { pixels: Box::new([0; 256]), right: Box::new([0; 256]) }
    }

    fn plus(&self, other: &Self) -> Self {
        let mut sum = self.clone();
        sum.pixels.iter_mut().zip(other.pixels.iter()).for_each(|(sum, more)| *sum += more);
        sum.right.iter_mut().zip(other.right.iter()).for_each(|(sum, more)| *sum += more);
        sum
    }

    fn calibration(&self, of: &'static str) -> Option<Calibration> {
        let whole = self.over(0..=255)?;
        let bins: Vec<_> = (0..BINS).filter_map(|bin| self.over_claims(bin)).collect();
        let error = |bin: &ReliabilityBin| (bin.right - bin.claimed).abs() * bin.pixels as f64;
        let ece = bins.iter().map(error).sum::<f64>() / whole.pixels as f64;
        Some(Calibration { of, pixels: whole.pixels, claimed: whole.claimed, right: whole.right, ece, bins })
    }

    fn over_claims(&self, bin: usize) -> Option<ReliabilityBin> {
        let of = |confidence: u8| {
            let place = (claim(confidence) - LEAST_CLAIM) / (1.0 - LEAST_CLAIM) * BINS as f64;
            (place as usize).min(BINS - 1)
        };
        let first = (0..=255).find(|confidence| of(*confidence) == bin)?;
        let last = (first..=255).take_while(|confidence| of(*confidence) == bin).last()?;
        self.over(first..=last)
    }

    fn over(&self, confidences: std::ops::RangeInclusive<u8>) -> Option<ReliabilityBin> {
        let sum = |counts: &[u64; 256]| confidences.clone().map(|at| counts[usize::from(at)]).sum::<u64>();
        let pixels = sum(&self.pixels);
        let claims: f64 = confidences.clone().map(|at| claim(at) * self.pixels[usize::from(at)] as f64).sum();
        let right = percent(sum(&self.right), pixels)?;
        Some(ReliabilityBin { pixels, claimed: 100.0 * claims / pixels as f64, right })
    }
}

/// The probability of being right that a confidence claims.
fn claim(confidence: u8) -> f64 {
    1.0 / (1.0 + libm::exp(-(f64::from(confidence) + 0.5) / STEPS))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size::new(100, 1);

    fn plane(confidence: u8) -> Plane {
        Plane::new(SIZE, vec![confidence; 100].into()).expect("a byte a pixel")
    }

    /// A frame of 100 pixels of one confidence, so many of them right.
    fn add(recorder: &mut CalibrationRecorder, is_key: bool, confidence: u8, right: usize) {
        let predicted: Vec<u8> = (0..100).map(|pixel| u8::from(pixel >= right)).collect();
        recorder.record(is_key, (&plane(confidence), SIZE), (&predicted, &[0; 100]), 2);
    }

    #[test]
    fn what_claims_less_than_it_keeps_and_what_claims_more_are_both_off() {
        let mut recorder = CalibrationRecorder::new();
        // A margin of 16.5/16 claims 73.716 %, one of 0.5/16 claims 50.781 %.
        add(&mut recorder, true, 16, 83);
        add(&mut recorder, true, 0, 40);
        let [found] = &recorder.into_calibrations()[..] else { panic!("key frames alone") };
        assert_eq!((found.of, found.pixels, found.bins.len()), ("key frames", 200, 2));
        assert!(
            (found.claimed - f64::midpoint(73.716, 50.781)).abs() < 0.01 && (found.right - 61.5).abs() < 1e-9,
            "{found:?}"
        );
        assert!((found.ece - f64::midpoint(83.0 - 73.716, 50.781 - 40.0)).abs() < 0.01, "{found:?}");
        assert_eq!(found.bins.iter().map(|bin| bin.right).collect::<Vec<_>>(), [40.0, 83.0]);
    }

    #[test]
    fn key_frames_and_others_are_told_apart_and_together() {
        let mut recorder = CalibrationRecorder::new();
        add(&mut recorder, true, 255, 100);
        add(&mut recorder, false, 255, 50);
        let found = recorder.into_calibrations();
        let rights: Vec<_> = found.iter().map(|found| (found.of, found.right, found.pixels)).collect();
        assert_eq!(rights, [("all frames", 75.0, 200), ("key frames", 100.0, 100), ("propagated frames", 50.0, 100)]);
        assert!(found[0].claimed > 99.99 && (found[0].ece - 25.0).abs() < 0.01, "{found:?}");
    }

    #[test]
    fn pixels_without_truth_count_nowhere_and_planes_of_another_size_are_resized() {
        let mut recorder = CalibrationRecorder::new();
        recorder.record(true, (&plane(9), SIZE), (&[0; 100], &[255; 100]), 2);
        assert!(recorder.clone().into_calibrations().is_empty());
        recorder.record(true, (&plane(9), Size::new(10, 10)), (&[0; 100], &[0; 100]), 2);
        assert_eq!(recorder.into_calibrations()[0].pixels, 100);
    }

    #[test]
    fn every_confidence_lies_in_one_bin() {
        let mut recorder = CalibrationRecorder::new();
        (0..=255).for_each(|confidence| add(&mut recorder, false, confidence, 60));
        let found = &recorder.into_calibrations()[0];
        assert_eq!((found.bins.len(), found.bins.iter().map(|bin| bin.pixels).sum::<u64>()), (BINS, 25_600));
        assert!(found.bins.is_sorted_by(|one, next| one.claimed < next.claimed), "{found:?}");
    }
}
