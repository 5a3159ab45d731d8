//! Both inputs of every output sample, fetched by shuffling registers instead of one by one.
//!
//! ```text
//! 128 bytes of the row ─┬─shuffle by `left`──▶ the left inputs of up to 16 outputs, a word each
//!                       └─shuffle by `right`─▶ the right inputs
//! ```
//!
//! It only moves bytes, so that nothing depends on whether a machine has it. That is worth it where one
//! instruction shuffles 128 bytes (AVX-512 with VBMI); elsewhere [`Shuffle::new`] gives none.

#![allow(clippy::inline_always, reason = "only what is inlined into dispatch! is compiled for its instructions")]

use super::taps::Taps;
use fearless_simd::{Bytes, Level, Simd, SimdBase, dispatch, f32x16, i32x16, u8x64};
use std::ops::Range;

/// Output samples of the longest group, and words of a register.
pub(super) const LANES: usize = 16;
/// Groups shorter than this are no faster than fetching one by one.
const SHORTEST_GROUP: usize = 6;
/// Bytes that one shuffle chooses from.
const WINDOW: usize = 128;
/// Chooses a byte of zero.
const NONE: u8 = 255;

/// How a row keeps its samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Row {
    /// One after the other, each of so many bytes, at most 4.
    Packed(usize),
    /// Words; the even ones in one slice, the odd ones in another, in vectors of 16.
    Halves,
}

/// The shuffles from rows of one width to another.
#[derive(Debug)]
pub(super) struct Shuffle {
    level: Level,
    /// Outputs from a group to the next.
    step: usize,
    groups: Vec<Group>,
}

#[derive(Debug)]
struct Group {
    /// Where the window begins: a byte of a packed row, a word of both halves.
    base: usize,
    left: [u8; 4 * LANES],
    right: [u8; 4 * LANES],
}

impl Shuffle {
    /// None if this machine, a row that short, or inputs that far apart are better served one by one.
    pub(super) fn new(taps: &Taps, row: Row) -> Option<Self> {
        let level = Level::new();
        if !chooses_from_a_window(level) {
            return None;
        }
        (SHORTEST_GROUP..=LANES).rev().find_map(|step| {
            let starts = (0..taps.len()).step_by(step);
            let groups = starts.map(|start| Group::new(taps, row, start..(start + step).min(taps.len())));
            Some(Self { level, step, groups: groups.collect::<Option<_>>()? })
        })
    }

    /// Both inputs of every output, from a packed row of bytes, with zeros above; writes up to 16 more.
    pub(super) fn bytes(&self, row: &[u8], picked: &mut [Vec<i32>; 2]) {
        dispatch!(self.level, simd => pick_bytes(simd, self, row, picked));
    }

    /// Both inputs of every output, from [`Row::Halves`]; writes up to 16 more.
    pub(super) fn halves(&self, row: &[Vec<i32>; 2], picked: &mut [Vec<i32>; 2]) {
        dispatch!(self.level, simd => pick_halves(simd, self, row, picked));
    }

    /// `left + (right - left) * weight` of every output, from `Row::Packed(4)`; writes up to 16 more.
    pub(super) fn between(&self, row: &[f32], weights: &[f32], out: &mut [f32]) {
        dispatch!(self.level, simd => pick_between(simd, self, row, (weights, out)));
    }
}

impl Group {
    /// None if the inputs of `outputs` do not lie in one window.
    fn new(taps: &Taps, row: Row, outputs: Range<usize>) -> Option<Self> {
        let base = row.base(taps, outputs.start)?;
        let mut group = Self { base, left: [NONE; 4 * LANES], right: [NONE; 4 * LANES] };
        let words = group.left.chunks_exact_mut(4).zip(group.right.chunks_exact_mut(4));
        for (output, (left, right)) in outputs.zip(words) {
            row.choose(taps.first[output] as usize, base, left)?;
            row.choose(taps.second[output] as usize, base, right)?;
        }
        Some(group)
    }
}

impl Row {
    /// Where the window of a group begins whose first output is `output`; it ends inside the row.
    fn base(self, taps: &Taps, output: usize) -> Option<usize> {
        let (first, len) = (taps.first[output] as usize, taps.input());
        match self {
            Self::Packed(size) => Some((first * size).min((len * size).checked_sub(WINDOW)?)),
            Self::Halves => Some((first / 2).min(len.div_ceil(2).next_multiple_of(LANES) - LANES)),
        }
    }

    /// The bytes of the window that are `sample`.
    fn choose(self, sample: usize, base: usize, word: &mut [u8]) -> Option<()> {
        let (at, size) = match self {
            Self::Packed(size) => (sample * size - base, size),
            Self::Halves if sample / 2 - base >= LANES => return None,
            Self::Halves => ((sample % 2 * LANES + sample / 2 - base) * 4, 4),
        };
        for (choice, at) in word.iter_mut().zip(at..at + size) {
            *choice = u8::try_from(at).ok().filter(|_| at < WINDOW)?;
        }
        Some(())
    }
}

#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
fn chooses_from_a_window(level: Level) -> bool {
    level.as_avx512().is_some()
}

#[cfg(not(any(target_arch = "x86", target_arch = "x86_64")))]
fn chooses_from_a_window(_: Level) -> bool {
    false
}

#[inline(always)]
fn pick_bytes<S: Simd>(simd: S, shuffle: &Shuffle, row: &[u8], [lefts, rights]: &mut [Vec<i32>; 2]) {
    for (group, start) in shuffle.groups.iter().zip((0..).step_by(shuffle.step)) {
        let window = &row[group.base..][..WINDOW];
        let (low, high) = (u8x64::from_slice(simd, &window[..64]), u8x64::from_slice(simd, &window[64..]));
        let left = simd.concat_swizzle_dyn_precise_u8x64(low, high, u8x64::from_slice(simd, &group.left));
        let right = simd.concat_swizzle_dyn_precise_u8x64(low, high, u8x64::from_slice(simd, &group.right));
        left.bitcast::<i32x16<S>>().store_slice(&mut lefts[start..start + LANES]);
        right.bitcast::<i32x16<S>>().store_slice(&mut rights[start..start + LANES]);
    }
}

#[inline(always)]
fn pick_halves<S: Simd>(simd: S, shuffle: &Shuffle, row: &[Vec<i32>; 2], [lefts, rights]: &mut [Vec<i32>; 2]) {
    for (group, start) in shuffle.groups.iter().zip((0..).step_by(shuffle.step)) {
        let even = i32x16::from_slice(simd, &row[0][group.base..group.base + LANES]);
        let odd = i32x16::from_slice(simd, &row[1][group.base..group.base + LANES]);
        let left = simd.concat_swizzle_dyn_i32x16(even, odd, u8x64::from_slice(simd, &group.left));
        let right = simd.concat_swizzle_dyn_i32x16(even, odd, u8x64::from_slice(simd, &group.right));
        left.store_slice(&mut lefts[start..start + LANES]);
        right.store_slice(&mut rights[start..start + LANES]);
    }
}

#[inline(always)]
fn pick_between<S: Simd>(simd: S, shuffle: &Shuffle, row: &[f32], (weights, out): (&[f32], &mut [f32])) {
    for (group, start) in shuffle.groups.iter().zip((0..).step_by(shuffle.step)) {
        let window = &row[group.base / 4..][..2 * LANES];
        let low = f32x16::from_slice(simd, &window[..LANES]);
        let high = f32x16::from_slice(simd, &window[LANES..]);
        let left = simd.concat_swizzle_dyn_f32x16(low, high, u8x64::from_slice(simd, &group.left));
        let right = simd.concat_swizzle_dyn_f32x16(low, high, u8x64::from_slice(simd, &group.right));
        let weight = f32x16::from_slice(simd, &weights[start..start + LANES]);
        (left + (right - left) * weight).store_slice(&mut out[start..start + LANES]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_output_gets_its_two_inputs_from_every_kind_of_row() {
        for (input, output) in [(128, 100), (131, 64), (130, 257), (1280, 1024), (1024, 480), (200, 61), (480, 1024)] {
            let mut taps = Taps::default();
            taps.refit(input, output);
            let sample = |x: u32| x.wrapping_mul(2_654_435_761) as i32;
            let wanted =
                |mask: i32| [&taps.first, &taps.second].map(|side| side.iter().map(|&x| sample(x) & mask).collect());
            for size in [1, 3] {
                let Some(shuffle) = Shuffle::new(&taps, Row::Packed(size)) else { continue };
                let row: Vec<u8> = (0..input as u32).flat_map(|x| sample(x).to_le_bytes()[..size].to_vec()).collect();
                let mut picked = [vec![0; output + LANES], vec![0; output + LANES]];
                shuffle.bytes(&row, &mut picked);
                let wanted: [Vec<i32>; 2] = wanted((1 << (8 * size)) - 1);
                assert_eq!(picked.map(|side| side[..output].to_vec()), wanted, "{input}-{output} of {size} bytes");
            }
            if let Some(shuffle) = Shuffle::new(&taps, Row::Halves) {
                let half = |odd: u32| {
                    (0..input.div_ceil(2).next_multiple_of(LANES) as u32).map(|i| sample(2 * i + odd)).collect()
                };
                let mut picked = [vec![0; output + LANES], vec![0; output + LANES]];
                shuffle.halves(&[half(0), half(1)], &mut picked);
                assert_eq!(picked.map(|side| side[..output].to_vec()), wanted(-1), "{input}-{output} of halves");
            }
        }
    }

    #[test]
    fn inputs_too_far_apart_and_rows_too_short_are_left_to_others() {
        for (input, output, row) in [(4000, 100, Row::Packed(4)), (20, 40, Row::Packed(4)), (40, 40, Row::Packed(3))] {
            let mut taps = Taps::default();
            taps.refit(input, output);
            assert!(Shuffle::new(&taps, row).is_none(), "{input}-{output}");
        }
    }
}
