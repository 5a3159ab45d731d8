//! Words of camera bytes to planes of red, green and blue, a vector of words at a time.
//!
//! The colours are those of [`yuv_to_rgb`](crate::data::yuv_to_rgb), exactly; a column's colour lies
//! between those of its two taps.

#![allow(clippy::inline_always, reason = "only what is inlined into SimdOp::eval is compiled for its instructions")]

use rten_simd::Isa;
use rten_simd::ops::{BitOps, IntOps, NumOps, ToFloat};

/// Where a word holds two lumas and their chroma, in bits from its lowest.
pub(super) trait Pair {
    fn bytes<I: Isa>(isa: I, word: I::I32) -> PairBytes<I>;
}

/// The four bytes of a pair of pixels, each in its own lane.
pub(super) struct PairBytes<I: Isa> {
    luma: [I::I32; 2],
    u: I::I32,
    v: I::I32,
}

/// `Y0 U Y1 V` from the lowest byte up.
pub(super) struct Yuyv;
/// `U Y0 V Y1` from the lowest byte up.
pub(super) struct Uyvy;
/// `Y0 Y1 U V` from the lowest byte up.
pub(super) struct Nv12;

impl Pair for Yuyv {
    #[inline(always)]
    fn bytes<I: Isa>(isa: I, word: I::I32) -> PairBytes<I> {
        let luma = [byte::<I, 0>(isa, word), byte::<I, 16>(isa, word)];
        PairBytes { luma, u: byte::<I, 8>(isa, word), v: byte::<I, 24>(isa, word) }
    }
}

impl Pair for Uyvy {
    #[inline(always)]
    fn bytes<I: Isa>(isa: I, word: I::I32) -> PairBytes<I> {
        let luma = [byte::<I, 8>(isa, word), byte::<I, 24>(isa, word)];
        PairBytes { luma, u: byte::<I, 0>(isa, word), v: byte::<I, 16>(isa, word) }
    }
}

impl Pair for Nv12 {
    #[inline(always)]
    fn bytes<I: Isa>(isa: I, word: I::I32) -> PairBytes<I> {
        let luma = [byte::<I, 0>(isa, word), byte::<I, 8>(isa, word)];
        PairBytes { luma, u: byte::<I, 16>(isa, word), v: byte::<I, 24>(isa, word) }
    }
}

/// Each column's colour between the two pixels of its word; all in whole vectors.
#[inline(always)]
pub(super) fn mix_pairs<I: Isa, P: Pair>(isa: I, words: &[i32], weights: &[f32], planes: &mut [Vec<f32>; 3]) {
    let ops = isa.i32();
    for at in (0..weights.len()).step_by(ops.len()) {
        let [left, right] = colours::<I, P>(isa, ops.load(&words[at..]));
        for (channel, plane) in planes.iter_mut().enumerate() {
            let taps = (ops.to_float(left[channel]), ops.to_float(right[channel]));
            store_between(isa, taps, (weights, at), plane);
        }
    }
}

/// The even and the odd pixels of pairs as `R G B 0`; all in whole vectors.
#[inline(always)]
pub(super) fn convert_pairs<I: Isa, P: Pair>(isa: I, words: &[i32], [even, odd]: &mut [Vec<i32>; 2]) {
    let ops = isa.i32();
    even.resize(words.len(), 0);
    odd.resize(words.len(), 0);
    for at in (0..words.len()).step_by(ops.len()) {
        let [left, right] = colours::<I, P>(isa, ops.load(&words[at..]));
        ops.store(pack(isa, left), &mut even[at..]);
        ops.store(pack(isa, right), &mut odd[at..]);
    }
}

/// Each column's colour between its two taps, words `R G B` with any highest byte.
#[inline(always)]
pub(super) fn mix_rgb<I: Isa>(isa: I, [left, right]: &[Vec<i32>; 2], weights: &[f32], planes: &mut [Vec<f32>; 3]) {
    let (ops, floats) = (isa.i32(), isa.f32());
    let [red, green, blue] = planes;
    let taps = left.chunks_exact(ops.len()).zip(right.chunks_exact(ops.len())).zip(weights.chunks_exact(ops.len()));
    let red = red.chunks_exact_mut(ops.len());
    let planes = red.zip(green.chunks_exact_mut(ops.len())).zip(blue.chunks_exact_mut(ops.len()));
    for (((left, right), weight), ((red, green), blue)) in taps.zip(planes) {
        let (left, right, weight) = (ops.load(left), ops.load(right), floats.load(weight));
        floats.store(between(isa, byte::<I, 0>(isa, left), byte::<I, 0>(isa, right), weight), red);
        floats.store(between(isa, byte::<I, 8>(isa, left), byte::<I, 8>(isa, right), weight), green);
        floats.store(between(isa, byte::<I, 16>(isa, left), byte::<I, 16>(isa, right), weight), blue);
    }
}

#[inline(always)]
fn between<I: Isa>(isa: I, left: I::I32, right: I::I32, weight: I::F32) -> I::F32 {
    let (ops, floats) = (isa.i32(), isa.f32());
    let rise = ops.to_float(ops.sub(right, left));
    floats.add(ops.to_float(left), floats.mul(rise, weight))
}

/// The row between two resized rows, times `scale`, plus `offset`.
#[inline(always)]
pub(super) fn blend<I: Isa>(
    isa: I,
    [upper, lower]: [&[f32]; 2],
    weight: f32,
    (scale, offset): (f32, f32),
    out: &mut [f32],
) {
    let ops = isa.f32();
    let (up, down, offset) = (ops.splat((1.0 - weight) * scale), ops.splat(weight * scale), ops.splat(offset));
    let value = |upper: &[f32], lower: &[f32]| {
        let upper = ops.add(ops.mul(ops.load(upper), up), offset);
        ops.add(upper, ops.mul(ops.load(lower), down))
    };
    let sources = upper.chunks_exact(ops.len()).zip(lower.chunks_exact(ops.len()));
    for ((upper, lower), out) in sources.zip(out.chunks_mut(ops.len())) {
        if out.len() == ops.len() {
            ops.store(value(upper, lower), out);
        } else {
            let mut last = [0.0; super::LANES];
            ops.store(value(upper, lower), &mut last);
            out.copy_from_slice(&last[..out.len()]);
        }
    }
}

/// Each column's grey between its two taps.
#[inline(always)]
pub(super) fn mix_grey<I: Isa>(isa: I, picked: &[Vec<i32>; 2], weights: &[f32], plane: &mut [f32]) {
    let ops = isa.i32();
    for at in (0..weights.len()).step_by(ops.len()) {
        let taps = (ops.to_float(ops.load(&picked[0][at..])), ops.to_float(ops.load(&picked[1][at..])));
        store_between(isa, taps, (weights, at), plane);
    }
}

#[inline(always)]
fn byte<I: Isa, const SHIFT: i32>(isa: I, word: I::I32) -> I::I32 {
    let ops = isa.i32();
    ops.and(ops.shift_right::<SHIFT>(word), ops.splat(255))
}

/// Red, green and blue of the two pixels of a pair: `yuv_to_rgb` with its offsets in one constant.
#[inline(always)]
fn colours<I: Isa, P: Pair>(isa: I, word: I::I32) -> [[I::I32; 3]; 2] {
    const BLACK: i32 = 32_768 - 16 * 76_309;
    let ops = isa.i32();
    let PairBytes { luma: [first, second], u, v } = P::bytes(isa, word);
    let red = ops.add(ops.mul(v, ops.splat(104_597)), ops.splat(BLACK - 128 * 104_597));
    let green = ops.add(ops.mul(u, ops.splat(-25_675)), ops.mul(v, ops.splat(-53_279)));
    let green = ops.add(green, ops.splat(BLACK + 128 * (25_675 + 53_279)));
    let blue = ops.add(ops.mul(u, ops.splat(132_201)), ops.splat(BLACK - 128 * 132_201));
    [shade(isa, first, [red, green, blue]), shade(isa, second, [red, green, blue])]
}

#[inline(always)]
fn shade<I: Isa>(isa: I, luma: I::I32, [red, green, blue]: [I::I32; 3]) -> [I::I32; 3] {
    let ops = isa.i32();
    let luma = ops.mul(luma, ops.splat(76_309));
    [to_u8(isa, ops.add(luma, red)), to_u8(isa, ops.add(luma, green)), to_u8(isa, ops.add(luma, blue))]
}

/// 16-bit fixed point, the half already added, as the nearest byte.
#[inline(always)]
fn to_u8<I: Isa>(isa: I, value: I::I32) -> I::I32 {
    let ops = isa.i32();
    ops.min(ops.max(ops.shift_right::<16>(value), ops.zero()), ops.splat(255))
}

#[inline(always)]
fn pack<I: Isa>(isa: I, [red, green, blue]: [I::I32; 3]) -> I::I32 {
    let ops = isa.i32();
    ops.or(red, ops.or(ops.shift_left::<8>(green), ops.shift_left::<16>(blue)))
}

#[inline(always)]
fn store_between<I: Isa>(isa: I, (left, right): (I::F32, I::F32), (weights, at): (&[f32], usize), plane: &mut [f32]) {
    let ops = isa.f32();
    let value = ops.add(left, ops.mul(ops.sub(right, left), ops.load(&weights[at..])));
    ops.store(value, &mut plane[at..]);
}
