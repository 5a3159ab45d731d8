//! From logits on a coarse grid to a label and a confidence for every pixel, in one pass.
//!
//! ```text
//! for each band of output rows between the same two grid rows:
//!     widen both grid rows to the output's width         (once a grid row)
//!     for each block of 32 columns:
//!         drop the classes that cannot be among the two best anywhere in band x block
//!         for each output row: walk the remaining classes, keep the best two
//! ```
//!
//! What it computes is [`reference::decode`](super::reference::decode), bit for bit. The drop is
//! exact: rounding never changes an order, so a class stays between its own corner values, and one
//! whose largest is below the second largest of the smallest values is never among the two best.

use super::FeatureMap;
use super::taps::Taps;
use crate::data::{Size, UNLABELED};
use rten_simd::{Isa, SimdOp};
use std::ops::Range;

/// Columns for which classes are dropped together.
const BLOCK: usize = 32;
/// Columns worked on at once; a divisor of `BLOCK`.
const LANES: usize = 16;
/// Steps of confidence to one unit of logit.
const STEPS: f32 = 16.0;
/// Beyond this a difference of logits may overflow, and the order of corner values means nothing.
const LARGEST_ORDERED: f32 = 1e37;
/// From this many pixels a cell on, a cell is written as a whole instead of pixel by pixel.
const WHOLE_CELLS_FROM: usize = 4;

/// Upsampling and arg-max fused; the full-size logits never exist.
///
/// ```
/// use segfuse::data::Size;
/// use segfuse::engine::cpu::{FeatureMap, decode::Decoder};
/// let logits = FeatureMap { channels: 2, rows: 1, cols: 2, values: vec![4.0, 0.0, 1.0, 3.0] };
/// let (mut labels, mut confidence) = ([0; 4], [0; 4]);
/// Decoder::new().run(&logits, Size::new(4, 1), &mut labels, &mut confidence);
/// assert_eq!((labels, confidence), ([0, 0, 1, 1], [48, 24, 24, 48]));
/// ```
#[derive(Debug, Default)]
pub struct Decoder {
    columns: Taps,
    lines: Taps,
    /// Cells from left to right: grid column and the output column at which it starts.
    cells: Vec<(u32, u32)>,
    /// Output columns rounded up to whole blocks, and room for the last cell to be written as a whole.
    stride: usize,
    wide: [WideRow; 2],
    corners: Corners,
}

/// `[classes, stride] f32`: grid row `line` at the output's width.
#[derive(Debug, Default)]
struct WideRow {
    line: Option<u32>,
    values: Vec<f32>,
}

/// One block of one band: what the remaining classes hold at its upper edge and how much they rise to its lower.
#[derive(Debug, Default)]
struct Corners {
    top: Vec<[f32; BLOCK]>,
    rise: Vec<[f32; BLOCK]>,
    /// Smallest and largest value of every class.
    range: Vec<(f32, f32)>,
    active: Vec<u8>,
}

impl Decoder {
    /// A decoder for any number of classes and any size; its buffers grow with the first frame.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes the class of every pixel of `size` and how sure it is, row-major.
    ///
    /// `logits` is `[classes, rows, cols]`. Grid and pixels have half-pixel centres, edges are clamped,
    /// in between is bilinear, also where the output is the coarser one. Of equal classes the first
    /// wins. A NaN never wins; a pixel where nothing is above minus infinity is [`UNLABELED`] with
    /// confidence 0. Confidence `c` is the margin between the two best logits in steps of 1/16, rounded
    /// down, at most 255: the best class is at least `exp(c / 16)` times as likely as the next.
    ///
    /// # Panics
    /// If there are more than 255 classes (a network is checked for that when it is loaded), or the
    /// slices are not of `size.pixels()` bytes.
    pub fn run(&mut self, logits: &FeatureMap, size: Size, labels: &mut [u8], confidence: &mut [u8]) {
        let FeatureMap { channels, rows, cols, .. } = *logits;
        assert!(channels <= usize::from(UNLABELED), "{channels} classes do not fit labels of one byte");
        assert!(labels.len() == size.pixels() && confidence.len() == size.pixels(), "planes of another size");
        if channels * rows * cols == 0 || size.pixels() == 0 {
            labels.fill(UNLABELED);
            confidence.fill(0);
            return;
        }
        self.refit(logits, size);
        let ordered = logits.values.iter().fold(true, |all, value| all & (value.abs() <= LARGEST_ORDERED));
        Pass { logits, ordered, decoder: self, labels, confidence }.dispatch();
    }

    fn refit(&mut self, logits: &FeatureMap, size: Size) {
        let width = size.width as usize;
        self.lines.refit(logits.rows, size.height as usize);
        if self.columns.refit(logits.cols, width) {
            self.cells.clear();
            let mut start = 0;
            while start < width && width >= WHOLE_CELLS_FROM * logits.cols {
                self.cells.push((self.columns.first[start], start as u32));
                start = self.columns.band(start).end;
            }
            self.stride = width.next_multiple_of(BLOCK) + LANES;
            self.columns.weight.resize(self.stride, 0.0);
        }
        for row in &mut self.wide {
            row.line = None;
            row.values.resize(logits.channels * self.stride, 0.0);
        }
        self.corners.resize(logits.channels);
    }
}

impl Corners {
    fn resize(&mut self, classes: usize) {
        self.top.resize(classes, [0.0; BLOCK]);
        self.rise.resize(classes, [0.0; BLOCK]);
        self.range.resize(classes, (0.0, 0.0));
        self.active.reserve(classes);
    }
}

/// One map's way through; compiled once for every instruction set and chosen when it runs.
struct Pass<'a> {
    logits: &'a FeatureMap,
    /// Whether every logit is finite and small enough for differences to be ordered.
    ordered: bool,
    decoder: &'a mut Decoder,
    labels: &'a mut [u8],
    confidence: &'a mut [u8],
}

impl SimdOp for Pass<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(mut self, _isa: I) {
        let height = self.decoder.lines.len();
        let mut start = 0;
        while start < height {
            let band = self.decoder.lines.band(start);
            start = band.end;
            self.widen_lines(band.start);
            let width = self.decoder.columns.len();
            for block in (0..width).step_by(BLOCK) {
                let Decoder { wide, corners, stride, .. } = &mut *self.decoder;
                corners.measure(wide, *stride, block);
                corners.drop_hopeless(self.ordered);
                self.decode_block(&band, block);
            }
        }
    }
}

impl Pass<'_> {
    /// Makes the two wide rows those around output row `y`.
    #[inline(always)]
    fn widen_lines(&mut self, y: usize) {
        let Decoder { columns, lines, cells, stride, wide, .. } = &mut *self.decoder;
        if wide[1].line == Some(lines.first[y]) {
            wide.swap(0, 1);
        }
        for (row, line) in wide.iter_mut().zip([lines.first[y], lines.second[y]]) {
            if row.line == Some(line) {
                continue;
            }
            row.line = Some(line);
            for (class, out) in row.values.chunks_exact_mut(*stride).enumerate() {
                let narrow = &self.logits.plane(class)[line as usize * self.logits.cols..][..self.logits.cols];
                if cells.is_empty() {
                    widen_by_pixel(narrow, columns, out);
                } else {
                    widen_by_cell(narrow, columns, cells, out);
                }
            }
        }
    }

    #[inline(always)]
    fn decode_block(&mut self, band: &Range<usize>, block: usize) {
        let Decoder { columns, lines, corners, .. } = &*self.decoder;
        let width = columns.len();
        for y in band.clone() {
            for lane in (0..BLOCK.min(width - block)).step_by(LANES) {
                let (labels, confidence) = corners.best_two(lines.weight[y], lane);
                let count = LANES.min(width - block - lane);
                let start = y * width + block + lane;
                self.labels[start..start + count].copy_from_slice(&labels[..count]);
                self.confidence[start..start + count].copy_from_slice(&confidence[..count]);
            }
        }
    }
}

#[inline(always)]
fn widen_by_pixel(narrow: &[f32], columns: &Taps, out: &mut [f32]) {
    let taps = columns.first.iter().zip(&columns.second).zip(&columns.weight);
    for (((&first, &second), weight), out) in taps.zip(out) {
        let (left, right) = (narrow[first as usize], narrow[second as usize]);
        *out = left + (right - left) * weight;
    }
}

/// Writes each cell as whole vectors; what is written past its end the next cell overwrites.
#[inline(always)]
fn widen_by_cell(narrow: &[f32], columns: &Taps, cells: &[(u32, u32)], out: &mut [f32]) {
    let ends = cells.iter().skip(1).map(|cell| cell.1 as usize).chain([columns.len()]);
    for (&(first, start), end) in cells.iter().zip(ends) {
        let left = narrow[first as usize];
        let rise = narrow[(first as usize + 1).min(narrow.len() - 1)] - left;
        for at in (start as usize..end).step_by(LANES) {
            let weights = &columns.weight[at..at + LANES];
            for (out, weight) in out[at..at + LANES].iter_mut().zip(weights) {
                *out = left + rise * weight;
            }
        }
    }
}

impl Corners {
    /// Reads the block that starts at output column `block`.
    #[inline(always)]
    fn measure(&mut self, wide: &[WideRow; 2], stride: usize, block: usize) {
        let rows = wide[0].values.chunks_exact(stride).zip(wide[1].values.chunks_exact(stride));
        let slots = self.top.iter_mut().zip(&mut self.rise).zip(&mut self.range);
        for ((upper, lower), ((top, rise), range)) in rows.zip(slots) {
            top.copy_from_slice(&upper[block..block + BLOCK]);
            let lower = &lower[block..block + BLOCK];
            let (mut least, mut most) = ([f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES]);
            for lane in 0..BLOCK {
                rise[lane] = lower[lane] - top[lane];
                let end = top[lane] + rise[lane];
                let slot = lane % LANES;
                least[slot] = smaller(least[slot], smaller(top[lane], end));
                most[slot] = larger(most[slot], larger(top[lane], end));
            }
            *range = (fold(least, smaller), fold(most, larger));
        }
    }

    /// Keeps the classes that can be among the two best; all of them where the values are not ordered.
    #[inline(always)]
    fn drop_hopeless(&mut self, ordered: bool) {
        let (mut best, mut second) = (f32::NEG_INFINITY, f32::NEG_INFINITY);
        for &(least, _) in &self.range {
            second = larger(second, smaller(best, least));
            best = larger(best, least);
        }
        self.active.clear();
        let classes = self.range.iter().zip(0..=u8::MAX);
        self.active.extend(classes.filter(|((_, most), _)| !ordered || *most >= second).map(|(_, class)| class));
    }

    /// Labels and confidence of `LANES` pixels at share `weight` of the way down.
    #[inline(always)]
    fn best_two(&self, weight: f32, lane: usize) -> ([u8; LANES], [u8; LANES]) {
        let (mut best, mut second) = ([f32::NEG_INFINITY; LANES], [f32::NEG_INFINITY; LANES]);
        let mut label = [u32::from(UNLABELED); LANES];
        for &class in &self.active {
            let top = &self.top[usize::from(class)][lane..lane + LANES];
            let rise = &self.rise[usize::from(class)][lane..lane + LANES];
            for i in 0..LANES {
                let value = top[i] + rise[i] * weight;
                let wins = value > best[i];
                let runner_up = if value > second[i] { value } else { second[i] };
                second[i] = if wins { best[i] } else { runner_up };
                label[i] = if wins { u32::from(class) } else { label[i] };
                best[i] = if wins { value } else { best[i] };
            }
        }
        let mut confidence = [0; LANES];
        for i in 0..LANES {
            confidence[i] = ((best[i] - second[i]) * STEPS) as u8;
        }
        (label.map(|label| label as u8), confidence)
    }
}

/// One instruction each, unlike `f32::min` and `f32::max`. A NaN in `b` is passed over: columns past the
/// width hold what an earlier frame left there, and may only make a range wider.
#[inline(always)]
fn smaller(a: f32, b: f32) -> f32 {
    if b < a { b } else { a }
}

#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

#[inline(always)]
fn fold(mut values: [f32; LANES], pick: impl Fn(f32, f32) -> f32) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            values[lane] = pick(values[lane], values[lane + half]);
        }
        half /= 2;
    }
    values[0]
}

#[cfg(test)]
mod tests {
    use super::super::reference;
    use super::*;
    use proptest::prelude::*;

    fn run(decoder: &mut Decoder, logits: &FeatureMap, size: Size) -> (Vec<u8>, Vec<u8>) {
        let (mut labels, mut confidence) = (vec![77; size.pixels()], vec![77; size.pixels()]);
        decoder.run(logits, size, &mut labels, &mut confidence);
        (labels, confidence)
    }

    /// Logits with ties, big steps, smooth parts and, now and then, values that are no numbers.
    fn value(kind: u8, smooth: f32) -> impl Strategy<Value = f32> {
        let strange = prop_oneof![Just(f32::NAN), Just(f32::INFINITY), Just(f32::NEG_INFINITY), Just(3e38), Just(-3e38)];
        prop_oneof![
            8 => -9.0..9.0_f32,
            4 => (-3..3_i8).prop_map(f32::from),
            4 => Just(smooth),
            (if kind == 0 { 1 } else { 0 }) => strange,
            (if kind == 1 { 1 } else { 0 }) => Just(1e30),
            1 => Just(0.0),
        ]
    }

    fn logits() -> impl Strategy<Value = FeatureMap> {
        (0..3_u8, 1..24_usize, 1..8_usize, 1..12_usize, -4.0..4.0_f32).prop_flat_map(|(kind, channels, rows, cols, smooth)| {
            let values = proptest::collection::vec(value(kind, smooth), channels * rows * cols);
            values.prop_map(move |values| FeatureMap { channels, rows, cols, values })
        })
    }

    proptest! {
        #[test]
        fn any_logits_decode_to_exactly_what_the_reference_says(
            maps in proptest::collection::vec((logits(), 1..90_u32, 1..70_u32), 1..3),
        ) {
            let mut decoder = Decoder::new();
            for (logits, width, height) in maps {
                let size = Size::new(width, height);
                prop_assert_eq!(run(&mut decoder, &logits, size), reference::decode(&logits, size));
            }
        }
    }

    #[test]
    fn pixels_without_a_number_stay_unlabeled() {
        for value in [f32::NAN, f32::NEG_INFINITY] {
            let logits = FeatureMap { channels: 3, rows: 2, cols: 2, values: vec![value; 12] };
            assert_eq!(run(&mut Decoder::new(), &logits, Size::new(5, 3)), (vec![UNLABELED; 15], vec![0; 15]));
        }
        let none = FeatureMap::zeros(0, 4, 4);
        assert_eq!(run(&mut Decoder::new(), &none, Size::new(2, 1)), (vec![UNLABELED; 2], vec![0; 2]));
    }

    #[test]
    fn the_first_of_equal_classes_wins_and_is_not_sure() {
        let logits = FeatureMap { channels: 3, rows: 1, cols: 1, values: vec![1.0, 2.0, 2.0] };
        assert_eq!(run(&mut Decoder::new(), &logits, Size::new(1, 1)), (vec![1], vec![0]));
    }

    #[test]
    fn hopeless_classes_are_dropped_and_the_runner_up_never_is() {
        let mut corners = Corners::default();
        corners.range = vec![(0.0, 1.0), (5.0, 6.0), (-1.0, 4.9), (2.0, 3.0), (1.0, 1.9)];
        corners.drop_hopeless(true);
        assert_eq!(corners.active, [1, 2, 3]);
        corners.drop_hopeless(false);
        assert_eq!(corners.active, [0, 1, 2, 3, 4]);
    }
}
