//! Features carried along a flow: each cell fetches its content from where it was.
//!
//! Neighbouring cells mostly move alike, so a row is cut into runs that read neighbouring inputs;
//! within a run all reads are contiguous. What it computes is
//! [`reference::warp`](super::reference::warp), within 1e-5 of the largest of the four values.

#![allow(clippy::inline_always, reason = "only what is inlined into SimdOp::eval is compiled for its instructions")]

use super::FeatureMap;
use crate::flow::FlowField;
use rten_simd::ops::{BitOps, NumOps};
use rten_simd::{Isa, SimdOp};
use std::ops::Range;

/// Cells whose places are worked out together before all channels are fetched.
const STRIP: usize = 128;

/// Writes `features` into `out` as they look after the motion `flow`: bilinear, the border clamped.
///
/// `flow` points, in cells, from a cell of `out` back into `features`. Where it is NaN the cell is
/// taken not to have moved. A flow of zero copies finite values exactly; a value that is not finite
/// spreads to the cells that it is one of the four inputs of.
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

/// Where up to `STRIP` cells of one row come from.
struct Strip {
    count: usize,
    /// Index of the upper left input of each cell.
    upper_left: [u32; STRIP],
    /// Shares of the upper left, upper right, lower left and lower right input.
    shares: [[f32; STRIP]; 4],
    /// Cells from `.0` to the next run's read consecutive inputs.
    runs: heapless::Vec<u16, STRIP>,
    /// Steps from an input to its right and its lower neighbour; 0 where the grid has only one.
    steps: (usize, usize),
}

impl Default for Strip {
    fn default() -> Self {
        let (upper_left, shares) = ([0; STRIP], [[0.0; STRIP]; 4]);
        Self { count: 0, upper_left, shares, runs: heapless::Vec::new(), steps: (0, 0) }
    }
}

impl Strip {
    #[inline(always)]
    fn locate(&mut self, flow: &FlowField, row: usize, cells: Range<usize>) {
        let (rows, cols) = (flow.rows, flow.cols);
        self.count = cells.len();
        self.steps = (usize::from(cols > 1), if rows > 1 { cols } else { 0 });
        self.runs.clear();
        for (i, col) in cells.enumerate() {
            let [step_x, step_y] = flow.at(row, col);
            let (x, right) = place(col, step_x, cols);
            let (y, down) = place(row, step_y, rows);
            self.upper_left[i] = (y * cols + x) as u32;
            let shares = [(1.0 - right) * (1.0 - down), right * (1.0 - down), (1.0 - right) * down, right * down];
            for (all, share) in self.shares.iter_mut().zip(shares) {
                all[i] = share;
            }
            if i == 0 || self.upper_left[i] != self.upper_left[i - 1] + 1 {
                self.runs.push(i as u16).expect("no more runs than cells in a strip");
            }
        }
    }

    #[inline(always)]
    fn fetch<I: Isa>(&self, isa: I, plane: &[f32], out: &mut [f32]) {
        if self.runs.len() * SHORT_RUN > self.count {
            self.fetch_cells(plane, 0..self.count, out);
            return;
        }
        let ends = self.runs.iter().skip(1).map(|&start| usize::from(start)).chain([self.count]);
        for (start, end) in self.runs.iter().map(|&start| usize::from(start)).zip(ends) {
            let whole = end - (end - start) % isa.f32().len();
            self.fetch_run(isa, plane, start..whole, out);
            self.fetch_cells(plane, whole..end, out);
        }
    }

    #[inline(always)]
    fn fetch_run<I: Isa>(&self, isa: I, plane: &[f32], run: Range<usize>, out: &mut [f32]) {
        let ops = isa.f32();
        let (right, down) = self.steps;
        let [p, q, r, s] = &self.shares;
        for at in run.step_by(ops.len()) {
            let upper = &plane[self.upper_left[at] as usize..];
            let lower = &upper[down..];
            let corner = |inputs: &[f32], shares: &[f32]| ops.mul(ops.load(inputs), ops.load(&shares[at..]));
            let upper = ops.add(corner(upper, p), corner(&upper[right..], q));
            let lower = ops.add(corner(lower, r), corner(&lower[right..], s));
            ops.store(ops.add(upper, lower), &mut out[at..]);
        }
    }

    #[inline(always)]
    fn fetch_cells(&self, plane: &[f32], cells: Range<usize>, out: &mut [f32]) {
        let (right, down) = self.steps;
        let [p, q, r, s] = &self.shares;
        for i in cells {
            let upper = &plane[self.upper_left[i] as usize..];
            let lower = &upper[down..];
            out[i] = (upper[0] * p[i] + upper[right] * q[i]) + (lower[0] * r[i] + lower[right] * s[i]);
        }
    }
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
