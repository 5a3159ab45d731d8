//! What can be said of a cell's picture: its colour and place, and what is around it.
//!
//! ```text
//! colours, brightness squared, edges ──mean over 5x5──▶ near ──mean of 5x5, four apart──▶ far: over 21x21
//! ```

use crate::engine::cpu::disocclusion::Seen;

/// Cells that are described together.
pub(super) const LANES: usize = 16;
/// Planes of a description.
pub(super) const PLANES: usize = 15;
/// Cells along each axis of a mean.
const TAPS: usize = 5;
/// How far apart the cells of the wider means are.
const APART: usize = 4;

/// Mean, and what makes the spread one, of each plane.
pub(super) type Scale = [[f32; 2]; PLANES];

/// Describes pictures, in planes of its own.
#[derive(Debug, Default)]
pub(super) struct Describer {
    /// Three colours; near and far each three colours and contrast; near edges, upright and level; column and row.
    planes: [Vec<f32>; PLANES],
    /// Brightness squared; edges.
    made: [Vec<f32>; 3],
    /// Means of brightness squared, near and far.
    squares: [Vec<f32>; 2],
    line: Vec<f32>,
    shape: [usize; 2],
}

const NEAR: usize = 3;
const FAR: usize = 7;
const EDGES: usize = 11;
const PLACE: usize = 13;

impl Describer {
    pub(super) fn planes(&self) -> &[Vec<f32>; PLANES] {
        &self.planes
    }

    pub(super) fn describe(&mut self, seen: &Seen<'_>) {
        let shape @ [rows, cols] = [seen.rows, seen.cols];
        let Self { planes, made: [square, upright, level], squares: [near_square, far_square], line, .. } = self;
        for (plane, colour) in planes.iter_mut().zip(&seen.colours) {
            plane.clear();
            plane.extend_from_slice(colour);
        }
        let [red, green, blue] = seen.colours;
        square.clear();
        square.extend(red.iter().zip(green).zip(blue).map(|((red, green), blue)| (red + green + blue) * (1.0 / 3.0)));
        edges(square, shape, [upright, level]);
        for grey in square.iter_mut() {
            *grey *= *grey;
        }
        for channel in 0..3 {
            let [colour, near, far] = planes.get_disjoint_mut([channel, NEAR + channel, FAR + channel]).expect("three");
            mean(colour, shape, 1, line, near);
            mean(near, shape, APART, line, far);
        }
        mean(square, shape, 1, line, near_square);
        mean(near_square, shape, APART, line, far_square);
        for (first, square) in [(NEAR, &*near_square), (FAR, &*far_square)] {
            let [red, green, blue, contrast] =
                planes.get_disjoint_mut([first, first + 1, first + 2, first + 3]).expect("four");
            contrast.clear();
            contrast.extend(red.iter().zip(&*green).zip(&*blue).zip(square).map(|(((red, green), blue), square)| {
                let grey = (red + green + blue) * (1.0 / 3.0);
                (square - grey * grey).max(0.0).sqrt()
            }));
        }
        mean(upright, shape, 1, line, &mut planes[EDGES]);
        mean(level, shape, 1, line, &mut planes[EDGES + 1]);
        if self.shape != shape {
            self.shape = shape;
            let place = |index: usize, count: usize| (2 * index + 1) as f32 / count as f32 - 1.0;
            self.planes[PLACE] = (0..rows * cols).map(|cell| place(cell % cols, cols)).collect();
            self.planes[PLACE + 1] = (0..rows * cols).map(|cell| place(cell / cols, rows)).collect();
        }
    }

    /// Of the cells `of`, which are not none.
    pub(super) fn scale(&self, of: &[usize]) -> Scale {
        let count = of.len() as f64;
        self.planes.each_ref().map(|plane| {
            let values = || of.iter().map(|&cell| f64::from(plane[cell]));
            let mean = values().sum::<f64>() / count;
            let spread = (values().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
            [mean as f32, (1.0 / (spread + 1e-3)) as f32]
        })
    }
}

/// How much brighter the next cell is than the one before, along rows and along columns; never negative.
fn edges(grey: &[f32], [rows, cols]: [usize; 2], [upright, level]: [&mut Vec<f32>; 2]) {
    upright.clear();
    for row in grey.chunks_exact(cols) {
        upright.extend((0..cols).map(|col| (row[(col + 1).min(cols - 1)] - row[col.saturating_sub(1)]).abs()));
    }
    level.clear();
    for row in 0..rows {
        let [above, below] = [row.saturating_sub(1), (row + 1).min(rows - 1)].map(|row| &grey[row * cols..][..cols]);
        level.extend(above.iter().zip(below).map(|(above, below)| (below - above).abs()));
    }
}

/// The mean of 5x5 cells, `apart` from each other, around each; beyond the border, the border.
fn mean(plane: &[f32], [rows, cols]: [usize; 2], apart: usize, line: &mut Vec<f32>, out: &mut Vec<f32>) {
    let reach = TAPS / 2 * apart;
    out.clear();
    out.resize(rows * cols, 0.0);
    for row in 0..rows {
        // Down first: whole rows are added.
        let of = |tap: usize| &plane[(row + tap * apart).saturating_sub(reach).min(rows - 1) * cols..][..cols];
        line.clear();
        line.resize(cols + 2 * reach, 0.0);
        let middle = &mut line[reach..][..cols];
        middle.copy_from_slice(of(0));
        for tap in 1..TAPS {
            middle.iter_mut().zip(of(tap)).for_each(|(sum, value)| *sum += value);
        }
        let (first, last) = (line[reach], line[reach + cols - 1]);
        line[..reach].fill(first);
        line[reach + cols..].fill(last);
        let out = &mut out[row * cols..][..cols];
        for tap in 0..TAPS {
            out.iter_mut().zip(&line[tap * apart..]).for_each(|(sum, value)| *sum += value);
        }
        for sum in out {
            *sum *= 1.0 / (TAPS * TAPS) as f32;
        }
    }
}

/// Weights of random features: of each `inputs` and a bias, `[hidden / together, inputs + 1, together]`.
///
/// Their squares sum to about one over the inputs; the bias is from -1 to 1.
pub(super) fn fan(hidden: usize, inputs: usize, together: usize) -> Vec<f32> {
    // SplitMix64 (Steele, Lea and Flood, 2014).
    let mut state = 0_u64;
    let mut draw = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    };
    let spread = (3.0 / inputs as f32).sqrt();
    let mut fan = Vec::with_capacity(hidden * (inputs + 1));
    for _ in 0..hidden / together {
        fan.extend((0..inputs * together).map(|_| draw() * spread));
        fan.extend((0..together).map(|_| draw()));
    }
    fan
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "whole numbers are exact")]
mod tests {
    use super::*;

    #[test]
    fn a_mean_is_over_cells_so_far_apart_and_beyond_the_border_it_is_the_border() {
        let (rows, cols) = (12, 14);
        let plane: Vec<f32> = (0..rows * cols).map(|cell| (cell as f32 * 0.9).sin()).collect();
        for apart in [1, 3] {
            let (mut line, mut out) = (Vec::new(), Vec::new());
            mean(&plane, [rows, cols], apart, &mut line, &mut out);
            for (row, col) in [(0, 0), (5, 6), (11, 13), (1, 12), (9, 0)] {
                let at = |index: usize, tap: usize, count: usize| {
                    (index + tap * apart).saturating_sub(2 * apart).min(count - 1)
                };
                let taps = (0..25).map(|tap| plane[at(row, tap / 5, rows) * cols + at(col, tap % 5, cols)]);
                let expected = taps.sum::<f32>() / 25.0;
                assert!((out[row * cols + col] - expected).abs() < 1e-6, "{row} {col}");
            }
        }
    }

    #[test]
    fn edges_are_told_by_their_direction() {
        // Brighter to the right by 1 a cell, downwards by 3.
        let grey: Vec<f32> = (0..20).map(|cell| (cell % 5 + cell / 5 * 3) as f32).collect();
        let (mut upright, mut level) = (Vec::new(), Vec::new());
        edges(&grey, [4, 5], [&mut upright, &mut level]);
        assert_eq!((upright[7], level[7]), (2.0, 6.0));
        assert_eq!((upright[0], level[0]), (1.0, 3.0));
    }

    #[test]
    fn a_description_is_of_colours_contrast_edges_and_place() {
        let (rows, cols) = (30, 30);
        let checked: Vec<f32> = (0..rows * cols).map(|cell| ((cell / cols + cell % cols) % 2) as f32).collect();
        let trust = vec![0.0; rows * cols];
        let seen = Seen { rows, cols, colours: [&checked; 3], trust: &trust, strength: &[] };
        let mut describer = Describer::default();
        describer.describe(&seen);
        let middle = 15 * cols + 14;
        let told = |plane: usize| describer.planes()[plane][middle];
        assert_eq!(told(0), checked[middle]);
        assert!((told(NEAR) - 0.5).abs() < 0.03 && (told(FAR) - 0.5).abs() < 0.03);
        // Of a field of as many zeros as ones.
        assert!((told(NEAR + 3) - 0.5).abs() < 0.01 && (told(FAR + 3) - 0.5).abs() < 0.01);
        assert_eq!([told(EDGES), told(EDGES + 1)], [0.0; 2]);
        assert!((told(PLACE) + 1.0 / 30.0).abs() < 1e-6 && (told(PLACE + 1) - 1.0 / 30.0).abs() < 1e-6);
        // Upright stripes, two cells wide.
        let striped: Vec<f32> = (0..rows * cols).map(|cell| (cell / 2 % 2) as f32).collect();
        let mut other = Describer::default();
        other.describe(&Seen { colours: [&striped; 3], ..seen });
        assert_eq!([other.planes()[EDGES][middle], other.planes()[EDGES + 1][middle]], [1.0, 0.0]);
        let scale = describer.scale(&[0, 1, cols, cols + 1]);
        assert!((scale[0][0] - 0.5).abs() < 1e-6 && (scale[0][1] - 1.0 / 0.501).abs() < 1e-4, "{:?}", scale[0]);
    }

    #[test]
    fn random_features_are_the_same_on_every_machine_and_of_even_size() {
        let fan = fan(256, 16, 4);
        assert_eq!(fan.len(), 256 * 17);
        assert_eq!([fan[0], fan[1]].map(f32::to_bits), FIRST);
        let (weights, biases): (Vec<_>, Vec<_>) =
            fan.iter().enumerate().partition(|(index, _)| index % (17 * 4) < 16 * 4);
        let square = |values: &[(usize, &f32)]| {
            values.iter().map(|(_, value)| *value * *value).sum::<f32>() / values.len() as f32
        };
        assert!((square(&weights) * 16.0 - 1.0).abs() < 0.05 && (square(&biases) - 1.0 / 3.0).abs() < 0.06);
    }

    /// Of weights that were drawn once.
    const FIRST: [u32; 2] = [0x3ea9_f641, 0xbd72_e300];
}
