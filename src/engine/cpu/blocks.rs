//! Means of square blocks of cells: pictures and logits on coarser grids.

#![allow(clippy::inline_always, reason = "only what is inlined into dispatch! is compiled for its instructions")]

use super::FeatureMap;
use fearless_simd::{Level, Simd, SimdBase, dispatch, f32x16};

/// The side of blocks that have a way of their own: the prepared picture's, and most logits'.
const FOUR: usize = 4;
/// Blocks side by side, that are averaged together.
const LANES: usize = 16;

/// Averages blocks of `side` by `side` cells: `[C, rows, cols]` to `[C, rows / side, cols / side]`.
pub fn average_blocks(map: &FeatureMap, side: usize, out: &mut FeatureMap) {
    average([map.channels, map.rows, map.cols], &map.values, side, out);
}

/// The same of `values` of the shape `[C, rows, cols]`; what is left of rows and columns is not in any block.
///
/// Sums first down, then along: the same bits whatever the instructions.
pub(super) fn average([channels, rows, cols]: [usize; 3], values: &[f32], side: usize, out: &mut FeatureMap) {
    out.reshape(channels, rows / side, cols / side);
    if out.values.is_empty() {
        return;
    }
    let lines = out.values.chunks_exact_mut(cols / side);
    let planes = values.chunks_exact(rows * cols);
    let of_each = lines.zip(planes.flat_map(|plane| plane.chunks_exact(side * cols)));
    if side == FOUR {
        dispatch!(Level::new(), simd => lines_of_fours(simd, of_each));
    } else {
        of_each.for_each(|(line, rows)| line_of_blocks(rows, cols, side, line));
    }
}

fn line_of_blocks(rows: &[f32], cols: usize, side: usize, line: &mut [f32]) {
    let share = 1.0 / (side * side) as f32;
    for (block, mean) in line.iter_mut().enumerate() {
        let down = |col: usize| rows[block * side + col..].iter().step_by(cols).take(side).sum::<f32>();
        *mean = (0..side).map(down).sum::<f32>() * share;
    }
}

#[inline(always)]
fn lines_of_fours<'a, S: Simd>(simd: S, lines: impl Iterator<Item = (&'a mut [f32], &'a [f32])>) {
    for (line, four_rows) in lines {
        line_of_fours(simd, four_rows, line);
    }
}

#[inline(always)]
fn line_of_fours<S: Simd>(simd: S, four_rows: &[f32], line: &mut [f32]) {
    let cols = four_rows.len() / FOUR;
    let whole = line.len() / LANES * LANES;
    let (together, others) = line.split_at_mut(whole);
    for (at, means) in together.chunks_exact_mut(LANES).enumerate() {
        let col = at * FOUR * LANES;
        let first = down_from(simd, four_rows, cols, col);
        let second = down_from(simd, four_rows, cols, col + LANES);
        let third = down_from(simd, four_rows, cols, col + 2 * LANES);
        let fourth = down_from(simd, four_rows, cols, col + 3 * LANES);
        let [even, odd] = [first.unzip_low(second), first.unzip_high(second)];
        let [later_even, later_odd] = [third.unzip_low(fourth), third.unzip_high(fourth)];
        let along = even.unzip_low(later_even) + odd.unzip_low(later_odd);
        let along = along + even.unzip_high(later_even) + odd.unzip_high(later_odd);
        (along * (1.0 / (FOUR * FOUR) as f32)).store_slice(means);
    }
    if !others.is_empty() {
        line_of_blocks(&four_rows[whole * FOUR..], cols, FOUR, others);
    }
}

/// Sums of four rows, of the columns from `col` on.
#[inline(always)]
fn down_from<S: Simd>(simd: S, four_rows: &[f32], cols: usize, col: usize) -> f32x16<S> {
    let mut sums = f32x16::from_slice(simd, &four_rows[col..][..LANES]);
    for row in 1..FOUR {
        sums += f32x16::from_slice(simd, &four_rows[row * cols + col..][..LANES]);
    }
    sums
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "the same sums in the same order")]
mod tests {
    use super::*;

    fn map(channels: usize, rows: usize, cols: usize) -> FeatureMap {
        let values = (0..channels * rows * cols).map(|index| (index as f32 * 0.37).sin()).collect();
        FeatureMap { channels, rows, cols, values }
    }

    #[test]
    fn blocks_of_every_plane_are_averaged() {
        let map = FeatureMap { channels: 2, rows: 2, cols: 4, values: (0..16_u8).map(f32::from).collect() };
        let mut out = FeatureMap::zeros(7, 7, 7);
        average_blocks(&map, 2, &mut out);
        assert_eq!(out, FeatureMap { channels: 2, rows: 1, cols: 2, values: vec![2.5, 4.5, 10.5, 12.5] });
    }

    #[test]
    fn each_mean_is_that_of_its_block_and_what_is_left_over_is_in_none() {
        // More than a whole vector of blocks of four, and fewer.
        for (side, cols) in [(4, 150), (4, 64), (4, 22), (3, 50), (1, 9)] {
            let map = map(2, 9, cols);
            let mut out = FeatureMap::default();
            average_blocks(&map, side, &mut out);
            assert_eq!((out.channels, out.rows, out.cols), (2, 9 / side, cols / side));
            for (index, mean) in out.values.iter().enumerate() {
                let (plane, row, col) = (index / (out.rows * out.cols), index / out.cols % out.rows, index % out.cols);
                let cells = (0..side * side)
                    .map(|cell| map.plane(plane)[(row * side + cell / side) * cols + col * side + cell % side]);
                let expected = cells.sum::<f32>() / (side * side) as f32;
                assert!((mean - expected).abs() < 1e-6, "{side} {cols}: {index}: {mean}, expected {expected}");
            }
        }
    }

    #[test]
    fn blocks_of_four_come_to_the_same_bits_one_by_one() {
        let map = map(1, 4, 4 * 35);
        let (mut together, mut one_by_one) = (FeatureMap::default(), vec![0.0; 35]);
        average_blocks(&map, FOUR, &mut together);
        line_of_blocks(&map.values, 4 * 35, FOUR, &mut one_by_one);
        assert_eq!(together.values, one_by_one);
    }

    #[test]
    fn what_is_smaller_than_a_block_has_none() {
        for (rows, cols) in [(3, 8), (8, 3), (0, 0)] {
            let mut out = FeatureMap::zeros(1, 2, 2);
            average_blocks(&map(1, rows, cols), FOUR, &mut out);
            assert!(out.values.is_empty());
        }
    }
}
