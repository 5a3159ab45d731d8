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
//! Several threads take a strip of output rows each.
//!
//! What it computes is [`reference::decode`](super::reference::decode), bit for bit. The drop is
//! exact: rounding never changes an order, so a class stays between its own corner values, and one
//! whose largest is below the second largest of the smallest values is never among the two best.

#![allow(clippy::inline_always, reason = "only what is inlined into SimdOp::eval is compiled for its instructions")]

use super::FeatureMap;
use super::shuffle::{Row, Shuffle};
use super::taps::Taps;
use crate::data::{Size, UNLABELED};
use crate::sys::workers::Workers;
use rten_simd::ops::{BitOps, FloatOps, MaskOps, NumOps};
use rten_simd::{Isa, SimdOp};
use std::ops::Range;
use std::sync::Arc;

/// Columns for which classes are dropped together.
const BLOCK: usize = 32;
/// The longest vector of any instruction set, in `f32`; a divisor of `BLOCK`.
const LANES: usize = 16;
/// Steps of confidence to one unit of logit.
const STEPS: f32 = 16.0;
/// Beyond this a difference of logits may overflow, and the order of corner values means nothing.
const LARGEST_ORDERED: f32 = 1e37;
/// From this many pixels a cell on, a cell is written as a whole instead of pixel by pixel.
const WHOLE_CELLS_FROM: usize = 2;
/// From this many output rows a grid row on, looking for hopeless classes first is worth it.
const DROP_FROM: usize = 3;

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
#[derive(Debug)]
pub struct Decoder {
    workers: Arc<Workers>,
    layout: Layout,
    /// One for each thread.
    strips: Vec<Strip>,
}

/// How output rows and columns lie between those of the grid.
#[derive(Debug, Default)]
struct Layout {
    columns: Taps,
    lines: Taps,
    /// Cells from left to right: grid column and the output column at which it starts.
    cells: Vec<(u32, u32)>,
    /// How columns that are not written by cells fetch their two inputs, where that can be.
    shuffle: Option<Shuffle>,
    /// Output columns rounded up to whole blocks, and room for the last cell to be written as a whole.
    stride: usize,
}

/// Buffers of a thread.
#[derive(Debug, Default)]
struct Strip {
    wide: [WideRow; 2],
    corners: Corners,
}

/// `[classes, stride] f32`: grid row `line` at the output's width.
#[derive(Debug, Default)]
struct WideRow {
    line: Option<u32>,
    values: Vec<f32>,
}

/// One block of one band: what each class holds at its upper edge and how much it rises to its lower.
#[derive(Debug)]
struct Corners {
    top: Vec<[f32; BLOCK]>,
    rise: Vec<[f32; BLOCK]>,
    /// The larger of each class's values at the two edges.
    most: Vec<[f32; BLOCK]>,
    /// Every column's second largest of the smaller values at the two edges.
    floor: [f32; BLOCK],
    active: Vec<u8>,
}

impl Decoder {
    /// A decoder for any number of classes and any size, on the thread that calls it; its buffers grow with the first frame.
    pub fn new() -> Self {
        Self::shared_with(Arc::new(Workers::alone()))
    }

    /// The same with helpers. Labels and confidence are the same, bit for bit, whatever their number.
    pub fn shared_with(workers: Arc<Workers>) -> Self {
        let strips = (0..workers.count()).map(|_| Strip::default()).collect();
        Self { workers, layout: Layout::default(), strips }
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
        self.layout.refit(logits, size);
        let drop = size.height as usize >= DROP_FROM * rows;
        let ordered = drop && logits.values.iter().fold(true, |all, value| all & (value.abs() <= LARGEST_ORDERED));
        let Self { workers, layout, strips } = self;
        let width = size.width as usize;
        let rows_of_each = (size.height as usize).div_ceil(strips.len());
        let planes = labels.chunks_mut(rows_of_each * width).zip(confidence.chunks_mut(rows_of_each * width));
        workers.for_each(strips.iter_mut().zip(planes).enumerate(), |(index, (strip, (labels, confidence)))| {
            strip.resize(logits.channels, layout.stride);
            let first = index * rows_of_each;
            Pass { logits, drop, ordered, layout, strip, first, labels, confidence }.dispatch();
        });
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Layout {
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
            self.shuffle = Shuffle::new(&self.columns, Row::Packed(4)).filter(|_| self.cells.is_empty());
        }
    }
}

impl Strip {
    /// Makes room for so many classes, and forgets the rows of the frame before.
    fn resize(&mut self, classes: usize, stride: usize) {
        for row in &mut self.wide {
            row.line = None;
            row.values.resize(classes * stride, 0.0);
        }
        self.corners.resize(classes);
    }
}

impl Default for Corners {
    fn default() -> Self {
        let floor = [f32::NEG_INFINITY; BLOCK];
        Self { top: Vec::new(), rise: Vec::new(), most: Vec::new(), floor, active: Vec::new() }
    }
}

impl Corners {
    fn resize(&mut self, classes: usize) {
        for values in [&mut self.top, &mut self.rise, &mut self.most] {
            values.resize(classes, [0.0; BLOCK]);
        }
        self.active.reserve(classes);
    }
}

/// One strip's way through; compiled once for every instruction set and chosen when it runs.
struct Pass<'a> {
    logits: &'a FeatureMap,
    /// Whether bands are high enough to drop classes first.
    drop: bool,
    /// Whether every logit is finite and small enough for differences to be ordered.
    ordered: bool,
    layout: &'a Layout,
    strip: &'a mut Strip,
    /// The strip's first output row; its planes begin there.
    first: usize,
    labels: &'a mut [u8],
    confidence: &'a mut [u8],
}

impl SimdOp for Pass<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(mut self, isa: I) {
        let Layout { columns, lines, stride, .. } = self.layout;
        let end = self.first + self.labels.len() / columns.len();
        let mut start = self.first;
        while start < end {
            let band = start..lines.band(start).end.min(end);
            start = band.end;
            self.widen_lines(isa, band.start);
            for block in (0..columns.len()).step_by(BLOCK) {
                if self.drop {
                    let Strip { wide, corners } = &mut *self.strip;
                    corners.measure(isa, wide, *stride, block);
                    corners.drop_hopeless(isa, self.ordered);
                }
                self.decode_block(isa, &band, block);
            }
        }
    }
}

impl Pass<'_> {
    /// Makes the two wide rows those around output row `y`.
    #[inline(always)]
    fn widen_lines<I: Isa>(&mut self, isa: I, y: usize) {
        let Layout { columns, lines, cells, shuffle, stride } = self.layout;
        let wide = &mut self.strip.wide;
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
                if let Some(next) = self.logits.values.get(row_of_next_class(self.logits, class, line)) {
                    next.chunks(LANES).for_each(|ahead| isa.f32().prefetch(ahead.as_ptr()));
                }
                match shuffle {
                    Some(shuffle) => shuffle.between(narrow, &columns.weight, out),
                    None if cells.is_empty() => widen_by_pixel(narrow, columns, out),
                    None => widen_by_cell(isa, narrow, (columns, cells), out),
                }
            }
        }
    }

    #[inline(always)]
    fn decode_block<I: Isa>(&mut self, isa: I, band: &Range<usize>, block: usize) {
        let (Layout { columns, lines, stride, .. }, Strip { wide, corners }) = (self.layout, &*self.strip);
        let count = BLOCK.min(columns.len() - block);
        let (mut labels, mut confidence) = ([0; BLOCK], [0; BLOCK]);
        for y in band.clone() {
            if self.drop {
                corners.best_two(isa, lines.weight[y], &mut labels, &mut confidence);
            } else {
                best_two_of_all(isa, (wide, *stride, block), lines.weight[y], (&mut labels, &mut confidence));
            }
            let start = (y - self.first) * columns.len() + block;
            narrow(&labels, &mut self.labels[start..start + count]);
            narrow(&confidence, &mut self.confidence[start..start + count]);
        }
    }
}

/// Where the same row of the next class lies: too far away for the machine to see it coming.
#[inline(always)]
fn row_of_next_class(logits: &FeatureMap, class: usize, line: u32) -> Range<usize> {
    let start = ((class + 1) * logits.rows + line as usize) * logits.cols;
    start..start + logits.cols
}

/// The low bytes of what are bytes already.
#[inline(always)]
fn narrow(from: &[i32; BLOCK], to: &mut [u8]) {
    let bytes = from.map(|value| value as u8);
    to.copy_from_slice(&bytes[..to.len()]);
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
fn widen_by_cell<I: Isa>(isa: I, narrow: &[f32], (columns, cells): (&Taps, &[(u32, u32)]), out: &mut [f32]) {
    let ops = isa.f32();
    let ends = cells.iter().skip(1).map(|cell| cell.1 as usize).chain([columns.len()]);
    for (&(first, start), end) in cells.iter().zip(ends) {
        let value = narrow[first as usize];
        let rise = ops.splat(narrow[(first as usize + 1).min(narrow.len() - 1)] - value);
        let left = ops.splat(value);
        for at in (start as usize..end).step_by(ops.len()) {
            let weight = ops.load(&columns.weight[at..]);
            ops.store(ops.add(left, ops.mul(rise, weight)), &mut out[at..]);
        }
    }
}

impl Corners {
    /// Reads the block that starts at output column `block`.
    #[inline(always)]
    fn measure<I: Isa>(&mut self, isa: I, wide: &[WideRow; 2], stride: usize, block: usize) {
        let ops = isa.f32();
        let mut best = [f32::NEG_INFINITY; BLOCK];
        self.floor = best;
        let rows = wide[0].values.chunks_exact(stride).zip(wide[1].values.chunks_exact(stride));
        let slots = self.top.iter_mut().zip(&mut self.rise).zip(&mut self.most);
        for ((upper, lower), ((top, rise), most)) in rows.zip(slots) {
            for lane in (0..BLOCK).step_by(ops.len()) {
                let start = ops.load(&upper[block + lane..]);
                let step = ops.sub(ops.load(&lower[block + lane..]), start);
                let end = ops.add(start, step);
                let falls = ops.lt(end, start);
                let (least, largest) = (ops.select(end, start, falls), ops.select(start, end, falls));
                ops.store(start, &mut top[lane..]);
                ops.store(step, &mut rise[lane..]);
                ops.store(largest, &mut most[lane..]);
                let (first, second) = (ops.load(&best[lane..]), ops.load(&self.floor[lane..]));
                let wins = ops.gt(least, first);
                let runner_up = ops.select(least, second, ops.gt(least, second));
                ops.store(ops.select(first, runner_up, wins), &mut self.floor[lane..]);
                ops.store(ops.select(least, first, wins), &mut best[lane..]);
            }
        }
    }

    /// Keeps the classes that can be among the two best; all of them where the values are not ordered.
    ///
    /// Columns past the width hold what an earlier frame left there: they may only keep a class more.
    #[inline(always)]
    fn drop_hopeless<I: Isa>(&mut self, isa: I, ordered: bool) {
        let (ops, masks) = (isa.f32(), isa.m32());
        self.active.clear();
        for (most, class) in self.most.iter().zip(0..=u8::MAX) {
            let mut lanes = (0..BLOCK).step_by(ops.len());
            let hopes = |lane: usize| masks.any(ops.ge(ops.load(&most[lane..]), ops.load(&self.floor[lane..])));
            if !ordered || lanes.any(hopes) {
                self.active.push(class);
            }
        }
    }

    /// Labels and confidence of the block's pixels at share `weight` of the way down.
    #[inline(always)]
    fn best_two<I: Isa>(&self, isa: I, weight: f32, labels: &mut [i32; BLOCK], confidence: &mut [i32; BLOCK]) {
        let (ops, ints) = (isa.f32(), isa.i32());
        let weight = ops.splat(weight);
        for lane in (0..BLOCK).step_by(ops.len()) {
            let mut podium = Podium::new(isa);
            for &class in &self.active {
                let top = ops.load(&self.top[usize::from(class)][lane..]);
                let rise = ops.load(&self.rise[usize::from(class)][lane..]);
                podium.admit(isa, class, ops.add(top, ops.mul(rise, weight)));
            }
            ints.store(podium.label, &mut labels[lane..]);
            ints.store(steps_of_margin(isa, podium.best, podium.second), &mut confidence[lane..]);
        }
    }
}

/// The same straight from the two wide rows, without a look at which classes can be left out.
#[inline(always)]
fn best_two_of_all<I: Isa>(
    isa: I,
    (wide, stride, block): (&[WideRow; 2], usize, usize),
    weight: f32,
    (labels, confidence): (&mut [i32; BLOCK], &mut [i32; BLOCK]),
) {
    let (ops, ints) = (isa.f32(), isa.i32());
    let weight = ops.splat(weight);
    for lane in (0..BLOCK).step_by(ops.len()) {
        let mut podium = Podium::new(isa);
        let rows = wide[0].values.chunks_exact(stride).zip(wide[1].values.chunks_exact(stride));
        for ((upper, lower), class) in rows.zip(0..=u8::MAX) {
            let top = ops.load(&upper[block + lane..]);
            let rise = ops.sub(ops.load(&lower[block + lane..]), top);
            podium.admit(isa, class, ops.add(top, ops.mul(rise, weight)));
        }
        ints.store(podium.label, &mut labels[lane..]);
        ints.store(steps_of_margin(isa, podium.best, podium.second), &mut confidence[lane..]);
    }
}

/// The best two values so far and whose the best is.
struct Podium<I: Isa> {
    best: I::F32,
    second: I::F32,
    label: I::I32,
}

impl<I: Isa> Podium<I> {
    #[inline(always)]
    fn new(isa: I) -> Self {
        let lowest = isa.f32().splat(f32::NEG_INFINITY);
        Self { best: lowest, second: lowest, label: isa.i32().splat(i32::from(UNLABELED)) }
    }

    #[inline(always)]
    fn admit(&mut self, isa: I, class: u8, value: I::F32) {
        let (ops, ints) = (isa.f32(), isa.i32());
        let wins = ops.gt(value, self.best);
        let runner_up = ops.select(value, self.second, ops.gt(value, self.second));
        self.second = ops.select(self.best, runner_up, wins);
        self.label = ints.select(ints.splat(i32::from(class)), self.label, wins);
        self.best = ops.select(value, self.best, wins);
    }
}

/// `16 * (best - second)` rounded down, 0 to 255; 0 where the difference is no number.
#[inline(always)]
fn steps_of_margin<I: Isa>(isa: I, best: I::F32, second: I::F32) -> I::I32 {
    let (ops, most) = (isa.f32(), isa.f32().splat(255.0));
    let steps = ops.mul(ops.sub(best, second), ops.splat(STEPS));
    let steps = ops.select(steps, ops.zero(), ops.gt(steps, ops.zero()));
    ops.to_int_trunc(ops.select(steps, most, ops.lt(steps, most)))
}

#[cfg(test)]
mod tests {
    use super::super::reference;
    use super::*;
    use crate::sys::workers::workers;
    use proptest::prelude::*;

    fn run(decoder: &mut Decoder, logits: &FeatureMap, size: Size) -> (Vec<u8>, Vec<u8>) {
        let (mut labels, mut confidence) = (vec![77; size.pixels()], vec![77; size.pixels()]);
        decoder.run(logits, size, &mut labels, &mut confidence);
        (labels, confidence)
    }

    /// Logits with ties, big steps, smooth parts and, now and then, values that are no numbers.
    fn value(kind: u8, smooth: f32) -> impl Strategy<Value = f32> {
        let strange =
            prop_oneof![Just(f32::NAN), Just(f32::INFINITY), Just(f32::NEG_INFINITY), Just(3e38), Just(-3e38)];
        prop_oneof![
            8 => -9.0..9.0_f32,
            4 => (-3..3_i8).prop_map(f32::from),
            4 => Just(smooth),
            u32::from(kind == 0) => strange,
            u32::from(kind == 1) => Just(1e30),
            1 => Just(0.0),
        ]
    }

    fn logits() -> impl Strategy<Value = FeatureMap> {
        (0..3_u8, 1..24_usize, 1..8_usize, 1..12_usize, -4.0..4.0_f32).prop_flat_map(
            |(kind, channels, rows, cols, smooth)| {
                let values = proptest::collection::vec(value(kind, smooth), channels * rows * cols);
                values.prop_map(move |values| FeatureMap { channels, rows, cols, values })
            },
        )
    }

    proptest! {
        #[test]
        fn any_logits_decode_to_exactly_what_the_reference_says(
            maps in proptest::collection::vec((logits(), 1..90_u32, 1..70_u32), 1..3),
            threads in 1..5_usize,
        ) {
            let mut decoder = Decoder::shared_with(workers(threads));
            for (logits, width, height) in maps {
                let size = Size::new(width, height);
                prop_assert_eq!(run(&mut decoder, &logits, size), reference::decode(&logits, size));
            }
        }
    }

    proptest! {
        #[test]
        fn logits_about_as_fine_as_the_output_decode_to_exactly_what_the_reference_says(
            (channels, rows, cols) in (1..5_usize, 1..6_usize, 30..90_usize),
            (width, height) in (12..200_u32, 1..17_u32),
            strange in 0..3_u8,
            seed in any::<u32>(),
        ) {
            let mut state = seed;
            let mut next = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                match state >> 24 {
                    0 if strange == 0 => f32::NAN,
                    1 if strange == 0 => f32::INFINITY,
                    other => other as f32 / 16.0 + (state >> 12 & 15) as f32 * 0.01,
                }
            };
            let values = (0..channels * rows * cols).map(|_| next()).collect();
            let (logits, size) = (FeatureMap { channels, rows, cols, values }, Size::new(width, height));
            prop_assert_eq!(run(&mut Decoder::new(), &logits, size), reference::decode(&logits, size));
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

    /// One block in which class `i` goes from `edges[i].0` down to `edges[i].1` everywhere.
    struct Active<'a>(&'a [(f32, f32)]);

    impl SimdOp for Active<'_> {
        type Output = Vec<u8>;
        fn eval<I: Isa>(self, isa: I) -> Vec<u8> {
            let row = |pick: fn(&(f32, f32)) -> f32| WideRow {
                line: None,
                values: self.0.iter().flat_map(|edges| [pick(edges); BLOCK]).collect(),
            };
            let mut corners = Corners::default();
            corners.resize(self.0.len());
            corners.measure(isa, &[row(|edges| edges.0), row(|edges| edges.1)], BLOCK, 0);
            corners.drop_hopeless(isa, true);
            corners.active
        }
    }

    #[test]
    fn hopeless_classes_are_dropped_and_the_runner_up_never_is() {
        let edges = [(0.0, 1.0), (6.0, 5.0), (-1.0, 4.0), (3.0, 2.0), (1.0, 1.75), (2.0, 2.0)];
        assert_eq!(Active(&edges).dispatch(), [1, 2, 3, 5]);
    }
}
