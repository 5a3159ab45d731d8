//! Features carried along a flow: each cell fetches its content from where it was.
//!
//! Neighbouring cells mostly move alike, so a row is cut into runs that read neighbouring inputs;
//! within a run all reads are contiguous. What it computes is
//! [`reference::warp`](super::reference::warp), within 1e-5 of the largest of the sixteen values.
//!
//! Cubic, because a bilinear fetch between cells of 8 pixels blurs poles and people away: on CamVid at
//! 15 Hz, five frames to a key frame, that alone costs 0.35 mIoU.

#![allow(clippy::inline_always, reason = "only what is inlined into SimdOp::eval is compiled for its instructions")]

use super::FeatureMap;
use crate::flow::FlowField;
use rten_simd::ops::{BitOps, NumOps};
use rten_simd::{Isa, SimdOp};
use std::ops::Range;

/// Cells whose places are worked out together before all channels are fetched.
const STRIP: usize = 128;

/// Writes `features` into `out` as they look after the motion `flow`: cubic, the border clamped.
///
/// `flow` points, in cells, from a cell of `out` back into `features`. Where it is NaN the cell is
/// taken not to have moved. A flow of zero copies finite values exactly; a value that is not finite
/// spreads to the cells that it is one of the sixteen inputs of.
///
/// # Panics
/// If `flow` is not on the grid of `features`.
pub fn warp(features: &FeatureMap, flow: &FlowField, out: &mut FeatureMap) {
    let FeatureMap { channels, rows, cols, .. } = *features;
    assert_eq!((flow.rows, flow.cols), (rows, cols), "a flow on another grid than the features");
    out.reshape(channels, rows, cols);
    if !features.values.is_empty() {
        Pass { features, flow, out }.dispatch();
    }
}

struct Pass<'a> {
    features: &'a FeatureMap,
    flow: &'a FlowField,
    out: &'a mut FeatureMap,
}

impl SimdOp for Pass<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        let (rows, cols) = (self.features.rows, self.features.cols);
        let mut strip = Strip::default();
        for row in 0..rows {
            for start in (0..cols).step_by(STRIP) {
                strip.locate(self.flow, row, start..(start + STRIP).min(cols));
                for channel in 0..self.features.channels {
                    let plane = &mut self.out.values[channel * rows * cols..][row * cols + start..];
                    strip.fetch(isa, self.features.plane(channel), plane);
                }
            }
        }
    }
}

/// Runs shorter than this on average are fetched cell by cell.
const SHORT_RUN: usize = 6;
/// Inputs along each axis that a cell is made of.
const TAPS: usize = 4;
/// The free parameter of cubic convolution (Keys, 1981), as OpenCV and PyTorch choose it.
const SHARPNESS: f32 = -0.75;

/// Where up to `STRIP` cells of one row come from.
struct Strip {
    count: usize,
    /// Column and row of the second of the four inputs along each axis.
    places: [(u32, u32); STRIP],
    /// Shares of the four columns, then of the four rows: by input, for runs, and by cell, for single ones.
    shares: [[[f32; STRIP]; TAPS]; 2],
    by_cell: [[[f32; TAPS]; 2]; STRIP],
    /// Cells from `.0` to the next run's read consecutive inputs, if none of these is beyond the border.
    runs: heapless::Vec<u16, STRIP>,
    rows: usize,
    cols: usize,
}

impl Default for Strip {
    fn default() -> Self {
        let (shares, by_cell) = ([[[0.0; STRIP]; TAPS]; 2], [[[0.0; TAPS]; 2]; STRIP]);
        Self { count: 0, places: [(0, 0); STRIP], shares, by_cell, runs: heapless::Vec::new(), rows: 0, cols: 0 }
    }
}

impl Strip {
    #[inline(always)]
    fn locate(&mut self, flow: &FlowField, row: usize, cells: Range<usize>) {
        (self.rows, self.cols, self.count) = (flow.rows, flow.cols, cells.len());
        self.runs.clear();
        for (i, col) in cells.enumerate() {
            let [step_x, step_y] = flow.at(row, col);
            let (x, right) = place(col, step_x, self.cols);
            let (y, down) = place(row, step_y, self.rows);
            self.places[i] = (x as u32, y as u32);
            self.by_cell[i] = [cubic(right), cubic(down)];
            for (all, own) in self.shares.iter_mut().zip(self.by_cell[i]) {
                for (all, share) in all.iter_mut().zip(own) {
                    all[i] = share;
                }
            }
            if i == 0 || !self.follows(i) {
                self.runs.push(i as u16).expect("no more runs than cells in a strip");
            }
        }
    }

    /// Whether cell `i` reads one input to the right of what the cell before it reads, and both lie inside.
    #[inline(always)]
    fn follows(&self, i: usize) -> bool {
        let ((x, y), (before, above)) = (self.places[i], self.places[i - 1]);
        x == before + 1 && y == above && self.is_inside(i) && self.is_inside(i - 1)
    }

    /// Whether all inputs of cell `i` are on the grid.
    #[inline(always)]
    fn is_inside(&self, i: usize) -> bool {
        let inside = |first: u32, count: usize| first > 0 && first as usize + 2 < count;
        let (x, y) = self.places[i];
        inside(x, self.cols) && inside(y, self.rows)
    }

    #[inline(always)]
    fn fetch<I: Isa>(&self, isa: I, plane: &[f32], out: &mut [f32]) {
        if self.runs.len() * SHORT_RUN > self.count {
            self.fetch_cells(plane, 0..self.count, out);
            return;
        }
        let ends = self.runs.iter().skip(1).map(|&start| usize::from(start)).chain([self.count]);
        for (start, end) in self.runs.iter().map(|&start| usize::from(start)).zip(ends) {
            let whole = if self.is_inside(start) { end - (end - start) % isa.f32().len() } else { start };
            self.fetch_run(isa, plane, start..whole, out);
            self.fetch_cells(plane, whole..end, out);
        }
    }

    #[inline(always)]
    fn fetch_run<I: Isa>(&self, isa: I, plane: &[f32], run: Range<usize>, out: &mut [f32]) {
        let ops = isa.f32();
        let [across, down] = &self.shares;
        for at in run.step_by(ops.len()) {
            let (x, y) = self.places[at];
            let corner = &plane[(y as usize - 1) * self.cols + x as usize - 1..];
            // Loops, not closures: these would not be compiled for the instructions that eval is compiled for.
            let mut columns = [ops.zero(); TAPS];
            for tap in 0..TAPS {
                let mut parts = [ops.zero(); TAPS];
                for row in 0..TAPS {
                    parts[row] = ops.mul(ops.load(&corner[row * self.cols + tap..]), ops.load(&down[row][at..]));
                }
                let sum = ops.add(ops.add(parts[0], parts[1]), ops.add(parts[2], parts[3]));
                columns[tap] = ops.mul(sum, ops.load(&across[tap][at..]));
            }
            let sum = ops.add(ops.add(columns[0], columns[1]), ops.add(columns[2], columns[3]));
            ops.store(sum, &mut out[at..]);
        }
    }

    #[inline(always)]
    fn fetch_cells(&self, plane: &[f32], cells: Range<usize>, out: &mut [f32]) {
        for i in cells {
            let (x, y) = self.places[i];
            let mut lines = [[0.0; TAPS]; TAPS];
            if self.is_inside(i) {
                let corner = (y as usize - 1) * self.cols + x as usize - 1;
                for (row, line) in lines.iter_mut().enumerate() {
                    line.copy_from_slice(&plane[corner + row * self.cols..][..TAPS]);
                }
            } else {
                let (xs, ys) = (taps(x, self.cols), taps(y, self.rows));
                for (line, y) in lines.iter_mut().zip(ys) {
                    for (value, x) in line.iter_mut().zip(xs) {
                        *value = plane[y * self.cols + x];
                    }
                }
            }
            out[i] = blend(&lines, &self.by_cell[i]);
        }
    }
}

/// Sixteen inputs, line by line, weighed by the shares of their columns and rows; summed as runs are.
#[inline(always)]
fn blend(lines: &[[f32; TAPS]; TAPS], [across, down]: &[[f32; TAPS]; 2]) -> f32 {
    let mut columns = [0.0; TAPS];
    for (tap, column) in columns.iter_mut().enumerate() {
        let upper = lines[0][tap] * down[0] + lines[1][tap] * down[1];
        let lower = lines[2][tap] * down[2] + lines[3][tap] * down[3];
        *column = (upper + lower) * across[tap];
    }
    (columns[0] + columns[1]) + (columns[2] + columns[3])
}

/// The four inputs around the place after `second`; beyond the border, the border.
#[inline(always)]
fn taps(second: u32, count: usize) -> [usize; TAPS] {
    [0, 1, 2, 3].map(|tap| (second as usize + tap).saturating_sub(1).min(count - 1))
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
    use proptest::prelude::*;

    fn map_and_flow() -> impl Strategy<Value = (FeatureMap, FlowField)> {
        (1..6_usize, 1..9_usize, 1..160_usize, -3.0..3.0_f32).prop_flat_map(|(channels, rows, cols, drift)| {
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
            warp(&features, &flow, &mut out);
            for (fast, plain) in out.values.iter().zip(reference::warp(&features, &flow)) {
                prop_assert!((f64::from(*fast) - plain).abs() < 2e-4, "{fast} {plain}");
            }
        }
    }

    #[test]
    fn no_motion_copies_exactly_and_whole_cells_shift_exactly() {
        let values: Vec<f32> = (0..2 * 5 * 300).map(|i| (i as f32 * 0.37).sin()).collect();
        let features = FeatureMap { channels: 2, rows: 5, cols: 300, values };
        let mut flow = FlowField { rows: 5, cols: 300, values: vec![0.0; 2 * 5 * 300] };
        let mut out = FeatureMap::default();
        warp(&features, &flow, &mut out);
        assert_eq!(out, features);
        flow.values[..1500].fill(2.0);
        warp(&features, &flow, &mut out);
        assert_eq!(out.values[..298], features.values[2..300]);
        assert_eq!(out.values[298..300], [features.values[299]; 2]);
    }
}
