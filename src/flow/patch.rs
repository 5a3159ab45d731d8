//! One 8x8 patch of the current image and the search for it in the earlier one.
//!
//! ```text
//! inverse search: with T the patch, g its gradient, n its pixels, all means taken out,
//!     H = sum g gᵀ (once),  repeat:  d = I(x + u) - T,  u -= H⁻¹ sum g d
//!     error = sum (d - mean d)² = sum d² - n (mean d)²;  as sum g = 0, the mean of d does not move u
//! ```
//!
//! One pass over a patch gathers all sums. It multiplies and adds, never both in one, and in one order: flow is the
//! same, bit for bit, on every instruction set.
//!
//! The gradient is the patch's own, so `H` is inverted once (Baker and Matthews, "Lucas-Kanade 20
//! Years On"; Kroeger et al., "Fast Optical Flow using Dense Inverse Search"). Departures: the mean
//! is taken out, so that exposure does not matter; `H` is damped, so that a patch without texture
//! stays where its neighbours and the coarser level put it.

#![allow(clippy::inline_always, reason = "only what is inlined into dispatch! is compiled for its instructions")]

use super::pyramid::{FRAME, Level};
use fearless_simd::{Simd, SimdBase, f32x8};

/// Pixels of a patch's side; also the lanes of the arithmetic.
pub(super) const SIDE: usize = 8;
const PIXELS: f32 = (SIDE * SIDE) as f32;
/// Pixels of a quarter.
const QUARTER: f32 = PIXELS / 4.0;
/// Added to the diagonal of `H`: the gradient energy that camera noise alone has in a patch.
const DAMPING: f32 = PIXELS;
/// A search that has gone further than a patch has lost it.
const FARTHEST: f32 = SIDE as f32;
const STEPS: usize = 6;
/// Steps below this many pixels change nothing that matters.
const SMALLEST_STEP: f32 = 0.05;

/// A patch's worth of values, row by row.
type Square<S> = [f32x8<S>; SIDE];

/// A patch made ready to be searched for.
pub(super) struct Patch<S: Simd> {
    simd: S,
    x: isize,
    y: isize,
    template: Square<S>,
    gradient_x: Square<S>,
    gradient_y: Square<S>,
    /// Rows of the inverse of the damped `H`: `(xx, xy, yy)`.
    inverse: (f32, f32, f32),
}

/// How a patch fits at some displacement.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fit {
    /// Displacement into the earlier image, in pixels of the level.
    pub(super) motion: [f32; 2],
    /// Squared differences, the mean taken out, of the four quarters: upper left, upper right, lower left, lower right.
    pub(super) quarters: [f32; 4],
}

impl Fit {
    pub(super) fn error(&self) -> f32 {
        (self.quarters[0] + self.quarters[1]) + (self.quarters[2] + self.quarters[3])
    }
}

impl<S: Simd> Patch<S> {
    /// The patch whose upper left pixel is `(x, y)`.
    #[inline(always)]
    pub(super) fn cut(simd: S, current: &Level, x: usize, y: usize) -> Self {
        let (x, y) = (x as isize, y as isize);
        let (start, stride) = (current.index(x - 1, y - 1), current.stride());
        let values = &current.values[start..start + (SIDE + 1) * stride + SIDE + 2];
        let half = f32x8::splat(simd, 0.5);
        let mut patch = Self {
            simd,
            x,
            y,
            template: [half; SIDE],
            gradient_x: [half; SIDE],
            gradient_y: [half; SIDE],
            inverse: (0.0, 0.0, 0.0),
        };
        for row in 0..SIDE {
            let here = (row + 1) * stride;
            patch.template[row] = eight(simd, values, here + 1);
            patch.gradient_x[row] = (eight(simd, values, here + 2) - eight(simd, values, here)) * half;
            patch.gradient_y[row] =
                (eight(simd, values, here + stride + 1) - eight(simd, values, here - stride + 1)) * half;
        }
        take_mean_out(simd, &mut patch.gradient_x);
        take_mean_out(simd, &mut patch.gradient_y);
        patch.inverse = invert(&patch.gradient_x, &patch.gradient_y);
        patch
    }

    /// The best of `starts`, refined; another than the first one has to be better by `margin`. Fits never get worse than
    /// the best start.
    #[inline(always)]
    pub(super) fn search(&self, earlier: &Level, starts: &[[f32; 2]], margin: f32) -> Fit {
        let mut best = Fit { motion: [0.0; 2], quarters: [f32::INFINITY; 4] };
        let (mut step, mut bar) = ([0.0; 2], f32::INFINITY);
        for (place, &start) in starts.iter().enumerate() {
            let (fit, next) = self.compare(earlier, start);
            if fit.error() < bar {
                bar = fit.error() - if place == 0 { margin } else { 0.0 };
                (best, step) = (fit, next);
            }
        }
        let start = best.motion;
        for _ in 0..STEPS {
            if step[0].abs().max(step[1].abs()) < SMALLEST_STEP {
                break;
            }
            let motion = [best.motion[0] - step[0], best.motion[1] - step[1]];
            let (fit, next) = self.compare(earlier, motion);
            let lost = motion.iter().zip(start).any(|(now, start)| (now - start).abs() > FARTHEST);
            if lost || fit.error() >= best.error() {
                break;
            }
            (best, step) = (fit, next);
        }
        best
    }

    /// How the patch fits the earlier image at `motion`, and the step to take from there.
    #[inline(always)]
    fn compare(&self, earlier: &Level, motion: [f32; 2]) -> (Fit, [f32; 2]) {
        let simd = self.simd;
        let (x, right) = split(self.x as f32 + motion[0], earlier.width);
        let (y, down) = split(self.y as f32 + motion[1], earlier.height);
        let (start, stride) = (earlier.index(x, y), earlier.stride());
        let values = &earlier.values[start..=start + SIDE * stride + SIDE];
        let (right, down) = (f32x8::splat(simd, right), f32x8::splat(simd, down));
        let none = f32x8::splat(simd, 0.0);
        let (mut along_x, mut along_y, mut sums, mut squares) = (none, none, [none; 2], [none; 2]);
        let mut above = between(simd, values, 0, right);
        for row in 0..SIDE {
            let half = row / (SIDE / 2);
            let below = between(simd, values, (row + 1) * stride, right);
            let apart = above + (below - above) * down - self.template[row];
            sums[half] += apart;
            squares[half] += apart * apart;
            along_x += self.gradient_x[row] * apart;
            along_y += self.gradient_y[row] * apart;
            above = below;
        }
        let (along_x, along_y) = (total(along_x), total(along_y));
        let (xx, xy, yy) = self.inverse;
        let step = [xx * along_x + xy * along_y, xy * along_x + yy * along_y];
        let (upper, lower) = (halves(sums[0]), halves(sums[1]));
        let mean = ((upper[0] + upper[1]) + (lower[0] + lower[1])) / PIXELS;
        let sums = [upper[0], upper[1], lower[0], lower[1]];
        let (upper, lower) = (halves(squares[0]), halves(squares[1]));
        let mut quarters = [upper[0], upper[1], lower[0], lower[1]];
        for (quarter, sum) in quarters.iter_mut().zip(sums) {
            *quarter = (*quarter - mean * (2.0 * sum - QUARTER * mean)).max(0.0);
        }
        (Fit { motion, quarters }, step)
    }
}

#[inline(always)]
fn invert<S: Simd>(gradient_x: &Square<S>, gradient_y: &Square<S>) -> (f32, f32, f32) {
    let xx = dot(gradient_x, gradient_x) + DAMPING;
    let yy = dot(gradient_y, gradient_y) + DAMPING;
    let xy = dot(gradient_x, gradient_y);
    let determinant = xx * yy - xy * xy;
    (yy / determinant, -xy / determinant, xx / determinant)
}

#[inline(always)]
fn dot<S: Simd>(one: &Square<S>, other: &Square<S>) -> f32 {
    let mut sums = one[0] * other[0];
    for row in 1..SIDE {
        sums += one[row] * other[row];
    }
    total(sums)
}

#[inline(always)]
fn take_mean_out<S: Simd>(simd: S, square: &mut Square<S>) {
    let mut sums = square[0];
    for row in &square[1..] {
        sums += *row;
    }
    let mean = f32x8::splat(simd, total(sums) / PIXELS);
    for row in square {
        *row -= mean;
    }
}

#[inline(always)]
fn eight<S: Simd>(simd: S, values: &[f32], start: usize) -> f32x8<S> {
    f32x8::from_slice(simd, &values[start..start + SIDE])
}

/// Eight values a share of a pixel to the right of `start`.
#[inline(always)]
fn between<S: Simd>(simd: S, values: &[f32], start: usize, share: f32x8<S>) -> f32x8<S> {
    let left = eight(simd, values, start);
    left + (eight(simd, values, start + 1) - left) * share
}

/// The pixel at or before `place`, where a patch still lies in the framed image, and the share of the next.
#[inline(always)]
fn split(place: f32, count: usize) -> (isize, f32) {
    let frame = FRAME as f32;
    let place = place.max(-frame).min(count as f32 + frame - (SIDE + 2) as f32);
    let first = place.floor();
    (first as isize, place - first)
}

#[inline(always)]
fn total<S: Simd>(lanes: f32x8<S>) -> f32 {
    let [left, right] = halves(lanes);
    left + right
}

/// Sums of the left four and of the right four.
#[inline(always)]
fn halves<S: Simd>(lanes: f32x8<S>) -> [f32; 2] {
    let [l0, l1, l2, l3, r0, r1, r2, r3] = lanes.into();
    [(l0 + l1) + (l2 + l3), (r0 + r1) + (r2 + r3)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Image, PixelFormat, Size};
    use crate::flow::GreyPyramid;
    use fearless_simd::dispatch;

    fn noise(seed: u32, brighter: u8) -> GreyPyramid {
        let byte = |i: u32| ((i.wrapping_mul(2_654_435_761) ^ seed).wrapping_mul(0x9e37_79b1) >> 25) as u8 + brighter;
        let bytes: Vec<u8> = (0..40 * 40).map(byte).collect();
        let image = Image::packed(PixelFormat::Grey, Size::new(40, 40), bytes.into()).expect("a byte a pixel");
        GreyPyramid::build(&image).expect("not a JPEG")
    }

    /// The formulas of the module, one pixel after the other, in `f64`: error of each quarter, and step.
    fn plainly(current: &Level, earlier: &Level, x: usize, y: usize, motion: [f32; 2]) -> ([f64; 4], [f64; 2]) {
        let pixels: Vec<(usize, usize)> = (0..SIDE).flat_map(|row| (0..SIDE).map(move |col| (row, col))).collect();
        let at = |level: &Level, x: isize, y: isize| f64::from(level.values[level.index(x, y)]);
        let (x, y) = (x as isize, y as isize);
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let gradient = |dx: isize, dy: isize| -> Vec<f64> {
            let slope = |&(row, col): &(usize, usize)| {
                let (x, y) = (x + col as isize, y + row as isize);
                (at(current, x + dx, y + dy) - at(current, x - dx, y - dy)) / 2.0
            };
            let slopes: Vec<f64> = pixels.iter().map(slope).collect();
            let middle = mean(&slopes);
            slopes.iter().map(|slope| slope - middle).collect()
        };
        let difference = |&(row, col): &(usize, usize)| {
            let (from_x, from_y) =
                (x as f64 + col as f64 + f64::from(motion[0]), y as f64 + row as f64 + f64::from(motion[1]));
            let (left, top) = (from_x.floor() as isize, from_y.floor() as isize);
            let (along, down) = (from_x - from_x.floor(), from_y - from_y.floor());
            let upper = at(earlier, left, top) * (1.0 - along) + at(earlier, left + 1, top) * along;
            let lower = at(earlier, left, top + 1) * (1.0 - along) + at(earlier, left + 1, top + 1) * along;
            upper * (1.0 - down) + lower * down - at(current, x + col as isize, y + row as isize)
        };
        let differences: Vec<f64> = pixels.iter().map(difference).collect();
        let (gx, gy, middle) = (gradient(1, 0), gradient(0, 1), mean(&differences));
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let damping = f64::from(DAMPING);
        let (xx, xy, yy) = (dot(&gx, &gx) + damping, dot(&gx, &gy), dot(&gy, &gy) + damping);
        let (dx, dy, determinant) = (dot(&gx, &differences), dot(&gy, &differences), xx * yy - xy * xy);
        let mut quarters = [0.0; 4];
        for ((row, col), difference) in pixels.iter().zip(&differences) {
            quarters[row / 4 * 2 + col / 4] += (difference - middle).powi(2);
        }
        (quarters, [(yy * dx - xy * dy) / determinant, (xx * dy - xy * dx) / determinant])
    }

    #[test]
    fn fits_and_steps_are_those_of_the_formulas() {
        for brighter in [0, 100] {
            let (current, earlier) = (noise(1, 0), noise(2, brighter));
            let (current, earlier) = (current.level(0), earlier.level(0));
            for (x, y, motion) in
                [(4, 4, [0.0, 0.0]), (16, 8, [1.25, -2.5]), (28, 20, [-3.75, 4.125]), (0, 0, [-6.5, -7.5])]
            {
                let (fit, step) = dispatch!(fearless_simd::Level::new(), simd => {
                    Patch::cut(simd, current, x, y).compare(earlier, motion)
                });
                let (quarters, expected) = plainly(current, earlier, x, y, motion);
                for (found, expected) in fit.quarters.iter().zip(quarters) {
                    assert!(
                        (f64::from(*found) - expected).abs() < 1e-4 * expected + 1.0,
                        "{fit:?}, expected {quarters:?}"
                    );
                }
                for (found, expected) in step.iter().zip(expected) {
                    assert!((f64::from(*found) - expected).abs() < 1e-4, "{step:?}, expected {expected:?}");
                }
            }
        }
    }
}
