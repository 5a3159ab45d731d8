//! Labels without interpolation: arg-max on the logits' own grid, then the nearest cell for each pixel.
//!
//! Pixel `x` of `width` takes cell `floor(x * cols / width)`, the rule of OpenCV's `INTER_NEAREST` and
//! PyTorch's `nearest`: for figures that are to be compared with those of such scripts. Better masks
//! come from [`super::decode`], which interpolates.

use super::FeatureMap;
use crate::data::{Size, UNLABELED};

/// Confidence counts the margin between the two best logits in steps of 1/16, as in [`super::decode`].
const STEPS: f32 = 16.0;

/// The decoder and its buffers for one row of cells.
#[derive(Debug, Default)]
pub struct NearestDecoder {
    best: Vec<f32>,
    second: Vec<f32>,
    winner: Vec<u32>,
}

impl NearestDecoder {
    /// Labels and margins `[size.height, size.width]` of `logits`; a NaN never wins.
    pub fn run(&mut self, logits: &FeatureMap, size: Size, labels: &mut [u8], confidence: &mut [u8]) {
        let (width, height) = (size.width as usize, size.height as usize);
        let mut judged = None;
        for (y, (labels, confidence)) in
            labels.chunks_exact_mut(width).zip(confidence.chunks_exact_mut(width)).enumerate()
        {
            let row = y * logits.rows / height;
            if judged != Some(row) {
                self.judge(logits, row);
                judged = Some(row);
            }
            for (x, (label, margin)) in labels.iter_mut().zip(confidence).enumerate() {
                let col = x * logits.cols / width;
                *label = self.winner[col] as u8;
                *margin = ((self.best[col] - self.second[col]) * STEPS) as u8;
            }
        }
    }

    /// Finds the two best logits of each cell of `row`.
    fn judge(&mut self, logits: &FeatureMap, row: usize) {
        self.best.clear();
        self.best.resize(logits.cols, f32::NEG_INFINITY);
        self.second.clear();
        self.second.resize(logits.cols, f32::NEG_INFINITY);
        self.winner.clear();
        self.winner.resize(logits.cols, u32::from(UNLABELED));
        for channel in 0..logits.channels {
            let line = &logits.plane(channel)[row * logits.cols..(row + 1) * logits.cols];
            self.admit(channel as u32, line);
        }
    }

    fn admit(&mut self, class: u32, line: &[f32]) {
        let cells = self.best.iter_mut().zip(&mut self.second).zip(&mut self.winner);
        for (((best, second), winner), &logit) in cells.zip(line) {
            let wins = logit > *best;
            let loser = if wins { *best } else { logit };
            *second = if loser > *second { loser } else { *second };
            *winner = if wins { class } else { *winner };
            *best = if wins { logit } else { *best };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(logits: &FeatureMap, size: Size) -> (Vec<u8>, Vec<u8>) {
        let (mut labels, mut confidence) = (vec![77; size.pixels()], vec![77; size.pixels()]);
        NearestDecoder::default().run(logits, size, &mut labels, &mut confidence);
        (labels, confidence)
    }

    #[test]
    fn a_pixel_takes_the_cell_at_its_upper_left() {
        let logits = FeatureMap { channels: 2, rows: 1, cols: 3, values: vec![1.0, 0.0, 4.0, 0.0, 2.0, 1.0] };
        let (labels, confidence) = run(&logits, Size::new(4, 2));
        assert_eq!(labels, [0, 0, 1, 0, 0, 0, 1, 0]);
        assert_eq!(confidence, [16, 16, 32, 48, 16, 16, 32, 48]);
    }

    #[test]
    fn on_its_own_grid_it_equals_the_plain_arg_max() {
        let values: Vec<f32> = (0..5 * 6 * 7).map(|i| ((i * 7919) % 101) as f32 * 0.13).collect();
        let logits = FeatureMap { channels: 5, rows: 6, cols: 7, values };
        let size = Size::new(7, 6);
        assert_eq!(run(&logits, size), super::super::reference::decode(&logits, size));
    }

    #[test]
    fn nan_never_wins_and_nothing_at_all_is_unlabeled() {
        let logits = FeatureMap { channels: 2, rows: 1, cols: 2, values: vec![f32::NAN, f32::NAN, -3.0, f32::NAN] };
        assert_eq!(run(&logits, Size::new(2, 1)).0, [1, UNLABELED]);
    }
}
