//! How steady the masks are from frame to frame, seen at fixed pixels.
//!
//! Four figures, each over consecutive frames of one size:
//! - unchanged: pixels whose predicted class is that of the frame before;
//! - steady: the same, over the pixels whose true class stayed the same (what moves by itself is left out);
//! - flicker: pixels whose class went and came back, A B A in three frames;
//! - VC8, VC16, the video consistency of Miao et al., "VSPW: A Large-scale Dataset for Video Scene Parsing
//!   in the Wild", CVPR 2021: of the pixels whose true class is the same in n consecutive frames, the share
//!   predicted right in all n; averaged over the windows.

use super::confusion::percent;
use crate::data::{Size, UNLABELED};
use serde::Serialize;

/// The two window lengths of the paper, in frames.
const WINDOWS: [u8; 2] = [8, 16];

/// Steadiness over a whole set, in percent. `None` where no frame pair or window could tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct TemporalConsistency {
    /// Pairs of consecutive frames compared.
    pub pairs: u64,
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

/// Takes frames in order and keeps one [`Past`] a pixel: memory is that of five masks, whatever the length.
#[derive(Debug, Default)]
pub(super) struct TemporalRecorder {
    size: Option<Size>,
    pixels: Vec<Past>,
    frames: u64,
    pairs: u64,
    unchanged: Share,
    steady: Share,
    flicker: Share,
    windows: [WindowMean; 2],
}

impl TemporalRecorder {
    /// One frame, in ids of the evaluated table; `truth` is `None` for a frame without labels.
    pub(super) fn record(&mut self, size: Size, predicted: &[u8], truth: Option<&[u8]>) {
        if self.size == Some(size) {
            self.advance(predicted, truth);
        } else {
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
        for (index, (past, &label)) in self.pixels.iter_mut().zip(predicted).enumerate() {
            let truth = truth_at(truth, index);
            self.unchanged.add(label == past.predicted);
            if truth != UNLABELED && truth == past.truth {
                self.steady.add(label == past.predicted);
            }
            if self.frames >= 2 {
                self.flicker.add(label == past.before && label != past.predicted);
            }
            past.advance(label, truth);
            for (share, &window) in consistent.iter_mut().zip(&WINDOWS) {
                if past.same >= window {
                    share.add(past.right >= window);
                }
            }
        }
        for (mean, share) in self.windows.iter_mut().zip(consistent) {
            mean.add(share);
        }
        self.frames += 1;
        self.pairs += 1;
    }

    pub(super) fn consistency(&self) -> TemporalConsistency {
        TemporalConsistency {
            pairs: self.pairs,
            unchanged: self.unchanged.percent(),
            steady: self.steady.percent(),
            flicker: self.flicker.percent(),
            vc8: self.windows[0].mean(),
            vc16: self.windows[1].mean(),
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
            recorder.record(Size::new(predicted.len() as u32, 1), predicted, *truth);
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
