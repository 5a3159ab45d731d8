//! Features carried along a flow: each cell fetches its content from where it was.
//!
//! ```text
//! [channels, rows, cols] ──turned──▶ cell by cell, all channels side by side
//! for each row of cells:
//!     for each cell: sixteen inputs, weighed, sixteen channels at a time ──turned back──▶ the row of each channel
//! ```
//!
//! Where a cell comes from is worked out once and serves all its channels, which lie side by side: reads are
//! contiguous however irregular the motion. Several threads take some of the channels each. What it computes is
//! [`reference::warp`](super::reference::warp), within 1e-5 of the largest of the sixteen values.
//!
//! Cubic, because a bilinear fetch between cells of 8 pixels blurs poles and people away: on CamVid at
//! 15 Hz, five frames to a key frame, that alone costs 0.35 mIoU.

#![allow(clippy::inline_always, reason = "only what is inlined into dispatch! is compiled for its instructions")]

use super::FeatureMap;
use crate::flow::FlowField;
use crate::sys::workers::Workers;
use fearless_simd::{Level, Simd, SimdBase, dispatch, f32x16};
use std::sync::Arc;

/// Inputs along each axis that a cell is made of.
const TAPS: usize = 4;
/// The free parameter of cubic convolution (Keys, 1981), as OpenCV and PyTorch choose it.
const SHARPNESS: f32 = -0.75;
/// Channels fetched together, and cells and channels of a square that is turned within registers.
const LANES: usize = 16;
/// Cells that are turned before the next channels are: their channels fit into the second cache level.
const RUN: usize = 256;

/// Warps feature maps; keeps its buffers.
#[derive(Debug)]
pub struct Warper {
    instructions: Level,
    workers: Arc<Workers>,
    /// One for each thread.
    parts: Vec<Part>,
}

/// Buffers of a thread, for its channels.
#[derive(Debug, Default)]
struct Part {
    /// `[rows, cols, room] f32`: the features, all channels of a cell side by side.
    cells: Vec<f32>,
    /// `[cols, room] f32`: a row of the result.
    line: Vec<f32>,
    /// Channels, rounded up to whole vectors.
    room: usize,
}

/// Channels on the way.
struct Channels<'a> {
    rows: usize,
    cols: usize,
    /// `[channels, rows, cols] f32`.
    values: &'a [f32],
    /// The same, as they look after the motion.
    out: &'a mut [f32],
}

impl Warper {
    /// A warper for maps of any shape, on the thread that calls it.
    pub fn new() -> Self {
        Self::shared_with(Arc::new(Workers::alone()))
    }

    /// The same with helpers. What is fetched is the same, bit for bit, whatever their number.
    pub fn shared_with(workers: Arc<Workers>) -> Self {
        let parts = (0..workers.count()).map(|_| Part::default()).collect();
        Self { instructions: Level::new(), workers, parts }
    }

    /// Writes `features` into `out` as they look after the motion `flow`: cubic, the border clamped.
    ///
    /// `flow` points, in cells, from a cell of `out` back into `features`. Where it is NaN the cell is
    /// taken not to have moved. A flow of zero copies finite values exactly; a value that is not finite
    /// spreads to the cells that it is one of the sixteen inputs of.
    ///
    /// # Panics
    /// If `flow` is not on the grid of `features`.
    pub fn warp(&mut self, features: &FeatureMap, flow: &FlowField, out: &mut FeatureMap) {
        let FeatureMap { channels, rows, cols, .. } = *features;
        assert_eq!((flow.rows, flow.cols), (rows, cols), "a flow on another grid than the features");
        out.reshape(channels, rows, cols);
        if features.values.is_empty() {
            return;
        }
        let Self { instructions, workers, parts } = self;
        let values_of_each = channels.div_ceil(LANES).div_ceil(parts.len()) * LANES * rows * cols;
        let (values, outs) = (features.values.chunks(values_of_each), out.values.chunks_mut(values_of_each));
        workers.for_each(parts.iter_mut().zip(values.zip(outs)), |(part, (values, out))| {
            let mut channels = Channels { rows, cols, values, out };
            dispatch!(*instructions, simd => part.carry(simd, flow, &mut channels));
        });
    }
}

impl Channels<'_> {
    #[inline(always)]
    fn count(&self) -> usize {
        self.values.len() / (self.rows * self.cols)
    }
}

impl Part {
    #[inline(always)]
    fn carry<S: Simd>(&mut self, simd: S, flow: &FlowField, channels: &mut Channels<'_>) {
        self.room = channels.count().next_multiple_of(LANES);
        self.cells.resize(channels.rows * channels.cols * self.room, 0.0);
        self.line.resize(channels.cols * self.room, 0.0);
        self.turn(simd, channels);
        for row in 0..channels.rows {
            self.fetch_line(simd, flow, row);
            self.turn_back(simd, row, channels);
        }
    }

    /// Puts all channels of each cell side by side.
    #[inline(always)]
    fn turn<S: Simd>(&mut self, simd: S, channels: &Channels<'_>) {
        let count = channels.rows * channels.cols;
        for (start, channel) in squares(count, channels.count()) {
            let square = gathered(simd, &channels.values[channel * count + start..], count);
            let out = &mut self.cells[start * self.room + channel..];
            scattered(turned(square), out, self.room, [count - start, LANES]);
        }
    }

    /// Writes the line into row `row` of every channel.
    #[inline(always)]
    fn turn_back<S: Simd>(&self, simd: S, row: usize, channels: &mut Channels<'_>) {
        let (cols, count, number) = (channels.cols, channels.rows * channels.cols, channels.count());
        for (start, channel) in squares(cols, number) {
            let square = gathered(simd, &self.line[start * self.room + channel..], self.room);
            let left = [number - channel, cols - start];
            scattered(turned(square), &mut channels.out[channel * count + row * cols + start..], count, left);
        }
    }

    /// All cells of row `row`.
    #[inline(always)]
    fn fetch_line<S: Simd>(&mut self, simd: S, flow: &FlowField, row: usize) {
        let Self { cells, line, room, .. } = self;
        for (col, out) in line.chunks_exact_mut(*room).enumerate() {
            let [step_x, step_y] = flow.at(row, col);
            let ((x, right), (y, down)) = (place(col, step_x, flow.cols), place(row, step_y, flow.rows));
            let (xs, ys) = (taps(x, flow.cols), taps(y, flow.rows));
            let (across, down) = (cubic(right), cubic(down));
            let mut inputs = [[0; TAPS]; TAPS];
            for (inputs, y) in inputs.iter_mut().zip(ys) {
                for (input, x) in inputs.iter_mut().zip(xs) {
                    *input = (y * flow.cols + x) * *room;
                }
            }
            for first in (0..*room).step_by(LANES) {
                fetch(simd, &cells[first..], &inputs, [across, down]).store_slice(&mut out[first..first + LANES]);
            }
        }
    }
}

impl Default for Warper {
    fn default() -> Self {
        Self::new()
    }
}

/// First cell and first channel of the squares that are turned: of the same channels a whole run of cells, which
/// the processor foresees and fetches ahead.
#[inline(always)]
fn squares(cells: usize, channels: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..cells).step_by(RUN).flat_map(move |first| {
        let last = cells.min(first + RUN);
        let of = move |channel| (first..last).step_by(LANES).map(move |cell| (cell, channel));
        (0..channels).step_by(LANES).flat_map(of)
    })
}

/// A square with its rows as columns.
///
/// The place of a value in it is a number of eight bits, four of its row and four of its column. Each round moves the
/// highest bit to the end; after four the two halves have changed places.
#[inline(always)]
fn turned<S: Simd>(square: [f32x16<S>; LANES]) -> [f32x16<S>; LANES] {
    shuffled(shuffled(shuffled(shuffled(square))))
}

/// One round of [`turned`]: the values of the first half of the rows and of the second in turn.
#[inline(always)]
fn shuffled<S: Simd>(square: [f32x16<S>; LANES]) -> [f32x16<S>; LANES] {
    let mut out = square;
    for row in 0..LANES / 2 {
        (out[2 * row], out[2 * row + 1]) = square[row].interleave(square[row + LANES / 2]);
    }
    out
}

/// The square whose rows begin `pitch` values apart; zeros behind the end of the values.
#[inline(always)]
fn gathered<S: Simd>(simd: S, values: &[f32], pitch: usize) -> [f32x16<S>; LANES] {
    // Not a loop: each of sixteen instructions reads on from where it read before, which a processor fetches ahead.
    // Through a single one, which leaps from row to row, it takes three times as long.
    macro_rules! rows {
        ($($row:literal)*) => { [$(f32x16::from_slice(simd, &values[$row * pitch..][..LANES])),*] };
    }
    if values.len() >= (LANES - 1) * pitch + LANES {
        return rows!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
    }
    let mut square = [f32x16::splat(simd, 0.0); LANES];
    for (row, values) in square.iter_mut().zip(values.chunks(pitch)) {
        let mut padded = [0.0; LANES];
        let there = values.len().min(LANES);
        padded[..there].copy_from_slice(&values[..there]);
        *row = f32x16::from_slice(simd, &padded);
    }
    square
}

/// Writes a square, its rows `pitch` values apart; no more rows and columns of it than are `left`.
#[inline(always)]
fn scattered<S: Simd>(square: [f32x16<S>; LANES], out: &mut [f32], pitch: usize, left: [usize; 2]) {
    if left[0] >= LANES && left[1] >= LANES {
        for row in 0..LANES {
            square[row].store_slice(&mut out[row * pitch..][..LANES]);
        }
        return;
    }
    for row in 0..left[0].min(LANES) {
        let mut values = [0.0; LANES];
        square[row].store_slice(&mut values);
        let wanted = left[1].min(LANES);
        out[row * pitch..][..wanted].copy_from_slice(&values[..wanted]);
    }
}

/// Sixteen inputs of as many channels, weighed by the shares of their columns and rows.
#[inline(always)]
fn fetch<S: Simd>(
    simd: S,
    cells: &[f32],
    inputs: &[[usize; TAPS]; TAPS],
    [across, down]: [[f32; TAPS]; 2],
) -> f32x16<S> {
    // Loops, not closures: these would not be compiled for the instructions that dispatch! chooses.
    let mut sum = f32x16::splat(simd, 0.0);
    for tap in 0..TAPS {
        let mut column = f32x16::splat(simd, 0.0);
        for row in 0..TAPS {
            let start = inputs[row][tap];
            column += f32x16::from_slice(simd, &cells[start..start + LANES]) * down[row];
        }
        sum += column * across[tap];
    }
    sum
}

/// The four inputs around the place after `second`; beyond the border, the border.
#[inline(always)]
fn taps(second: usize, count: usize) -> [usize; TAPS] {
    [0, 1, 2, 3].map(|tap| (second + tap).saturating_sub(1).min(count - 1))
}

/// Shares of four inputs for a place `part` of the way from the second to the third.
#[inline(always)]
fn cubic(part: f32) -> [f32; TAPS] {
    let near = |far: f32| ((SHARPNESS + 2.0) * far - (SHARPNESS + 3.0)) * far * far + 1.0;
    let outer = |far: f32| ((SHARPNESS * far - 5.0 * SHARPNESS) * far + 8.0 * SHARPNESS) * far - 4.0 * SHARPNESS;
    [outer(1.0 + part), near(part), near(1.0 - part), outer(2.0 - part)]
}

/// The input at or before the place that cell `index` comes from, never the last, and the share of the next.
#[inline(always)]
fn place(index: usize, step: f32, count: usize) -> (usize, f32) {
    let step = if step.is_nan() { 0.0 } else { step };
    let place = (index as f32 + step).clamp(0.0, (count - 1) as f32);
    let first = (place as usize).min(count.saturating_sub(2));
    (first, place - first as f32)
}

#[cfg(test)]
mod tests {
    use super::super::reference;
    use super::*;
    use crate::sys::workers::workers;
    use proptest::prelude::*;

    fn map_and_flow() -> impl Strategy<Value = (FeatureMap, FlowField)> {
        let channels = prop_oneof![1..6_usize, 15..35_usize];
        (channels, 1..9_usize, 1..160_usize, -3.0..3.0_f32).prop_flat_map(|(channels, rows, cols, drift)| {
            let values = proptest::collection::vec(-9.0..9.0_f32, channels * rows * cols);
            let special =
                prop_oneof![Just(f32::NAN), Just(f32::INFINITY), Just(f32::NEG_INFINITY), Just(1e30), Just(-2.0)];
            let step = prop_oneof![6 => Just(drift), 3 => -4.0..4.0_f32, 1 => special];
            let steps = proptest::collection::vec(step, 2 * rows * cols);
            (values, steps).prop_map(move |(values, steps)| {
                (FeatureMap { channels, rows, cols, values }, FlowField { rows, cols, values: steps })
            })
        })
    }

    proptest! {
        #[test]
        fn any_flow_fetches_what_the_reference_fetches((features, flow) in map_and_flow()) {
            let mut out = FeatureMap::default();
            Warper::new().warp(&features, &flow, &mut out);
            for (fast, plain) in out.values.iter().zip(reference::warp(&features, &flow)) {
                prop_assert!((f64::from(*fast) - plain).abs() < 2e-4, "{fast} {plain}");
            }
        }
    }

    #[test]
    fn every_instruction_set_of_this_machine_fetches_the_same_bits() {
        let (channels, rows, cols) = (19, 12, 33);
        let values = (0..channels * rows * cols).map(|i| (i as f32 * 0.71).sin() * 8.0).collect();
        let features = FeatureMap { channels, rows, cols, values };
        let values = (0..2 * rows * cols).map(|i| (i as f32 * 1.3).sin() * 5.0).collect();
        let flow = FlowField { rows, cols, values };
        let warped = |instructions: Level| {
            let mut out = FeatureMap::default();
            Warper { instructions, ..Warper::new() }.warp(&features, &flow, &mut out);
            out.values.iter().map(|value| value.to_bits()).collect::<Vec<_>>()
        };
        let best = Level::new();
        assert!(warped(best) == warped(Level::baseline()), "{best:?} against {:?}", Level::baseline());
        #[cfg(target_arch = "x86_64")]
        for other in [best.as_sse4_2().map(Level::Sse4_2), best.as_avx2().map(Level::Avx2)].into_iter().flatten() {
            assert!(warped(best) == warped(other), "{best:?} against {other:?}");
        }
    }

    #[test]
    fn any_number_of_threads_fetches_the_same_bits() {
        for channels in [1, 16, 19, 40, 64] {
            let (rows, cols) = (9, 31);
            let values = (0..channels * rows * cols).map(|i| (i as f32 * 0.71).sin() * 8.0).collect();
            let features = FeatureMap { channels, rows, cols, values };
            let values = (0..2 * rows * cols).map(|i| (i as f32 * 1.3).sin() * 5.0).collect();
            let flow = FlowField { rows, cols, values };
            let warped = |mut warper: Warper| {
                let mut out = FeatureMap::default();
                warper.warp(&features, &flow, &mut out);
                out
            };
            for threads in 2..=5 {
                assert!(
                    warped(Warper::shared_with(workers(threads))) == warped(Warper::new()),
                    "{channels}, {threads}"
                );
            }
        }
    }

    #[test]
    fn a_map_of_another_shape_leaves_nothing_behind() {
        let map = |channels: usize, rows: usize, cols: usize, value: f32| FeatureMap {
            channels,
            rows,
            cols,
            values: vec![value; channels * rows * cols],
        };
        let (mut warper, mut out) = (Warper::new(), FeatureMap::default());
        for (channels, rows, cols, value) in [(40, 6, 50, 9.0), (3, 4, 7, 2.0), (17, 9, 60, -1.0)] {
            let still = FlowField { rows, cols, values: vec![0.0; 2 * rows * cols] };
            warper.warp(&map(channels, rows, cols, value), &still, &mut out);
            assert_eq!(out, map(channels, rows, cols, value));
        }
    }

    #[test]
    fn no_motion_copies_exactly_and_whole_cells_shift_exactly() {
        let values: Vec<f32> = (0..2 * 5 * 300).map(|i| (i as f32 * 0.37).sin()).collect();
        let features = FeatureMap { channels: 2, rows: 5, cols: 300, values };
        let mut flow = FlowField { rows: 5, cols: 300, values: vec![0.0; 2 * 5 * 300] };
        let mut out = FeatureMap::default();
        Warper::new().warp(&features, &flow, &mut out);
        assert_eq!(out, features);
        flow.values[..1500].fill(2.0);
        Warper::new().warp(&features, &flow, &mut out);
        assert_eq!(out.values[..298], features.values[2..300]);
        assert_eq!(out.values[298..300], [features.values[299]; 2]);
    }
}
