//! One 8x8 patch of the current image and the search for it in the earlier one.
//!
//! ```text
//! inverse search: with T the patch, g its gradient, n its pixels, all means taken out,
//!     H = sum g gᵀ (once),  repeat:  d = I(x + u) - T - mean(I - T),  u -= H⁻¹ sum g d
//! ```
//!
//! The gradient is the patch's own, so `H` is inverted once (Baker and Matthews, "Lucas-Kanade 20
//! Years On"; Kroeger et al., "Fast Optical Flow using Dense Inverse Search"). Departures: the mean
//! is taken out, so that exposure does not matter; `H` is damped, so that a patch without texture
//! stays where its neighbours and the coarser level put it.

#![allow(clippy::inline_always, reason = "only what is inlined into SimdOp::eval is compiled for its instructions")]

use super::pyramid::{FRAME, Level};

/// Pixels of a patch's side; also the lanes of the arithmetic.
pub(super) const SIDE: usize = 8;
const PIXELS: f32 = (SIDE * SIDE) as f32;
/// Added to the diagonal of `H`: the gradient energy that camera noise alone has in a patch.
const DAMPING: f32 = PIXELS;
/// A search that has gone further than a patch has lost it.
const FARTHEST: f32 = SIDE as f32;
const STEPS: usize = 6;
/// Steps below this many pixels change nothing that matters.
const SMALLEST_STEP: f32 = 0.1;

type Square = [[f32; SIDE]; SIDE];

/// A patch made ready to be searched for.
pub(super) struct Patch {
    x: isize,
    y: isize,
    template: Square,
    gradient_x: Square,
    gradient_y: Square,
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

impl Patch {
    /// The patch whose upper left pixel is `(x, y)`.
    #[inline(always)]
    pub(super) fn cut(current: &Level, x: usize, y: usize) -> Self {
        let (x, y) = (x as isize, y as isize);
        let mut patch = Self {
            x,
            y,
            template: [[0.0; SIDE]; SIDE],
            gradient_x: [[0.0; SIDE]; SIDE],
            gradient_y: [[0.0; SIDE]; SIDE],
            inverse: (0.0, 0.0, 0.0),
        };
        for row in 0..SIDE {
            let line = |up: isize| &current.values[current.index(x - 1, y + row as isize + up)..][..SIDE + 2];
            let (above, here, below) = (line(-1), line(0), line(1));
            for col in 0..SIDE {
                patch.template[row][col] = here[col + 1];
                patch.gradient_x[row][col] = (here[col + 2] - here[col]) * 0.5;
                patch.gradient_y[row][col] = (below[col + 1] - above[col + 1]) * 0.5;
            }
        }
        take_mean_out(&mut patch.gradient_x);
        take_mean_out(&mut patch.gradient_y);
        patch.inverse = patch.invert();
        patch
    }

    #[inline(always)]
    fn invert(&self) -> (f32, f32, f32) {
        let xx = dot(&self.gradient_x, &self.gradient_x) + DAMPING;
        let yy = dot(&self.gradient_y, &self.gradient_y) + DAMPING;
        let xy = dot(&self.gradient_x, &self.gradient_y);
        let determinant = xx * yy - xy * xy;
        (yy / determinant, -xy / determinant, xx / determinant)
    }

    /// The best of `starts`, refined. Fits never get worse than the best start.
    #[inline(always)]
    pub(super) fn search(&self, earlier: &Level, starts: &[[f32; 2]]) -> Fit {
        let mut difference = [[0.0; SIDE]; SIDE];
        let mut best = Fit { motion: [0.0; 2], quarters: [f32::INFINITY; 4] };
        for &start in starts {
            let fit = self.compare(earlier, start, &mut difference);
            if fit.error() < best.error() {
                best = fit;
            }
        }
        let start = best.motion;
        self.compare(earlier, start, &mut difference);
        for _ in 0..STEPS {
            let [step_x, step_y] = self.step(&difference);
            let motion = [best.motion[0] - step_x, best.motion[1] - step_y];
            let fit = self.compare(earlier, motion, &mut difference);
            let lost = motion.iter().zip(start).any(|(now, start)| (now - start).abs() > FARTHEST);
            let better = fit.error() < best.error();
            if lost || !better {
                break;
            }
            best = fit;
            if step_x.abs().max(step_y.abs()) < SMALLEST_STEP {
                break;
            }
        }
        best
    }

    #[inline(always)]
    fn step(&self, difference: &Square) -> [f32; 2] {
        let (along_x, along_y) = (dot(&self.gradient_x, difference), dot(&self.gradient_y, difference));
        let (xx, xy, yy) = self.inverse;
        [xx * along_x + xy * along_y, xy * along_x + yy * along_y]
    }

    /// Differences to the earlier image at `motion`, their mean taken out.
    #[inline(always)]
    fn compare(&self, earlier: &Level, motion: [f32; 2], difference: &mut Square) -> Fit {
        let (x, right) = split(self.x as f32 + motion[0], earlier.width);
        let (y, down) = split(self.y as f32 + motion[1], earlier.height);
        let shares = [(1.0 - right) * (1.0 - down), right * (1.0 - down), (1.0 - right) * down, right * down];
        for (row, (out, template)) in difference.iter_mut().zip(&self.template).enumerate() {
            let start = earlier.index(x, y + row as isize);
            let upper = &earlier.values[start..][..=SIDE];
            let lower = &earlier.values[start + earlier.stride()..][..=SIDE];
            for col in 0..SIDE {
                let above = upper[col] * shares[0] + upper[col + 1] * shares[1];
                let below = lower[col] * shares[2] + lower[col + 1] * shares[3];
                out[col] = (above + below) - template[col];
            }
        }
        take_mean_out(difference);
        Fit { motion, quarters: quarters(difference) }
    }
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
fn lanes(squares: impl Fn(usize, usize) -> f32, rows: std::ops::Range<usize>) -> [f32; SIDE] {
    let mut sums = [0.0; SIDE];
    for row in rows {
        for (col, sum) in sums.iter_mut().enumerate() {
            *sum += squares(row, col);
        }
    }
    sums
}

#[inline(always)]
fn total(lanes: [f32; SIDE]) -> f32 {
    let [left, right] = halves(lanes);
    left + right
}

#[inline(always)]
fn halves(lanes: [f32; SIDE]) -> [f32; 2] {
    let [l0, l1, l2, l3, r0, r1, r2, r3] = lanes;
    [(l0 + l1) + (l2 + l3), (r0 + r1) + (r2 + r3)]
}

#[inline(always)]
fn dot(a: &Square, b: &Square) -> f32 {
    total(lanes(|row, col| a[row][col] * b[row][col], 0..SIDE))
}

#[inline(always)]
fn quarters(d: &Square) -> [f32; 4] {
    let [upper, lower] =
        [0..SIDE / 2, SIDE / 2..SIDE].map(|rows| halves(lanes(|row, col| d[row][col] * d[row][col], rows)));
    [upper[0], upper[1], lower[0], lower[1]]
}

#[inline(always)]
fn take_mean_out(square: &mut Square) {
    let mean = total(lanes(|row, col| square[row][col], 0..SIDE)) / PIXELS;
    square.iter_mut().flatten().for_each(|value| *value -= mean);
}
