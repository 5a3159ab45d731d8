//! Where output samples lie between input samples: half-pixel centres, edges clamped.
//!
//! Sample `i` of `output` stands at `(i + 0.5) * input / output - 0.5` of the input, clamped to its
//! first and last sample. No antialiasing. The same rule as OpenCV's `INTER_LINEAR` and PyTorch's
//! `interpolate(mode="bilinear", align_corners=False)`.

/// For every output sample the two input samples around it and the weight of the second.
#[derive(Clone, Debug, Default)]
pub(super) struct Taps {
    input: usize,
    /// Index of the input sample at or before the output sample; never falls.
    pub(super) first: Vec<u32>,
    /// The input sample after `first`, or `first` itself at the far edge.
    pub(super) second: Vec<u32>,
    /// Share of `second`, in `[0, 1)`.
    pub(super) weight: Vec<f32>,
}

impl Taps {
    /// Makes the taps those from `input` samples to `output` samples (both at least 1).
    ///
    /// Does nothing if they already are; allocates only to grow.
    pub(super) fn refit(&mut self, input: usize, output: usize) -> bool {
        if (self.input, self.first.len()) == (input, output) {
            return false;
        }
        self.input = input;
        self.first.clear();
        self.second.clear();
        self.weight.clear();
        for index in 0..output {
            self.push(index, output);
        }
        true
    }

    fn push(&mut self, index: usize, output: usize) {
        let last = self.input - 1;
        let place = (index as f64 + 0.5) * self.input as f64 / output as f64 - 0.5;
        let place = place.clamp(0.0, last as f64);
        let first = place as usize;
        self.first.push(first as u32);
        self.second.push((first + 1).min(last) as u32);
        self.weight.push((place - first as f64) as f32);
    }

    /// Number of input samples.
    pub(super) fn input(&self) -> usize {
        self.input
    }

    /// Number of output samples.
    pub(super) fn len(&self) -> usize {
        self.first.len()
    }

    /// Whether output sample `i` lies between inputs `2 i` and `2 i + 1`: halving, or a hair away from it.
    pub(super) fn pairwise(&self) -> bool {
        let mut taps = self.first.iter().zip(&self.second).enumerate();
        taps.all(|(i, (&first, &second))| first as usize == 2 * i && second as usize == 2 * i + 1)
    }

    /// Samples from `start` on that share their two input samples: `start..end`.
    pub(super) fn band(&self, start: usize) -> std::ops::Range<usize> {
        let same = |&index: &usize| self.first[index] == self.first[start];
        start..(start..self.len()).take_while(same).last().map_or(start, |last| last + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taps(input: usize, output: usize) -> Taps {
        let mut taps = Taps::default();
        taps.refit(input, output);
        taps
    }

    #[test]
    fn samples_lie_at_half_pixel_centres_and_stay_inside() {
        let double = taps(2, 4);
        assert_eq!(double.first, [0, 0, 0, 1]);
        assert_eq!(double.second, [1, 1, 1, 1]);
        assert_eq!(double.weight, [0.0, 0.25, 0.75, 0.0]);
        assert_eq!(taps(3, 3).weight, [0.0; 3]);
        assert_eq!(taps(1, 5).second, [0; 5]);
    }

    #[test]
    fn halving_is_pairwise_and_nothing_else_is() {
        assert!(taps(1280, 640).pairwise());
        assert!(!taps(1280, 641).pairwise() && !taps(4, 4).pairwise());
    }

    #[test]
    fn bands_cut_the_output_into_runs_of_equal_inputs() {
        let taps = taps(3, 12);
        let mut bands = vec![taps.band(0)];
        while bands[bands.len() - 1].end < taps.len() {
            bands.push(taps.band(bands[bands.len() - 1].end));
        }
        assert_eq!(bands, [0..6, 6..10, 10..12]);
    }
}
