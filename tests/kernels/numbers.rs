//! Numbers for cases, the same every time; half precision by its definition; comparison by bits.

use segfuse::engine::cpu::FeatureMap;
use segfuse::flow::FlowField;
use std::cmp::Ordering;

/// Numbers that look random.
pub(super) struct Numbers(u32);

impl Numbers {
    pub(super) fn new(seed: u32) -> Self {
        Self(seed)
    }

    pub(super) fn byte(&mut self) -> u8 {
        (self.next() >> 24) as u8
    }

    pub(super) fn between(&mut self, least: f32, most: f32) -> f32 {
        least + (most - least) * (self.next() >> 8) as f32 / (1 << 24) as f32
    }

    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.0
    }

    /// Values in `[-reach, reach)`, which half precision holds exactly: the device's storage rounds nothing of the input.
    pub(super) fn map(&mut self, [channels, rows, cols]: [usize; 3], reach: f32) -> FeatureMap {
        let values = (0..channels * rows * cols).map(|_| half_to_f32(to_half(self.between(-reach, reach)))).collect();
        FeatureMap { channels, rows, cols, values }
    }

    /// Motions of up to `reach` cells, one in 50 of them no number or far outside.
    pub(super) fn flow(&mut self, [rows, cols]: [usize; 2], reach: f32) -> FlowField {
        let strange = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30, -2000.0];
        let mut step = || match self.byte() {
            which @ 0..5 => strange[usize::from(which)],
            _ => self.between(-reach, reach),
        };
        FlowField { rows, cols, values: (0..2 * rows * cols).map(|_| step()).collect() }
    }
}

/// The value of a half: IEEE 754's definition of binary16.
pub(super) fn half_to_f32(half: u16) -> f32 {
    let sign = if half >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(half >> 10 & 31), f32::from(half & 1023));
    sign * match exponent {
        0 => fraction * 2.0_f32.powi(-24),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1024.0 + fraction) * 2.0_f32.powi(exponent - 25),
    }
}

/// The nearest half, of two as near the even one; NaN as the device writes it.
pub(super) fn to_half(value: f32) -> u16 {
    if value.is_nan() {
        return 0x7fff;
    }
    let sign = if value.is_sign_negative() { 0x8000 } else { 0 };
    let size = f64::from(value.abs());
    // Halves are in the order of their codes; where infinity is, the next step would have been 65536.
    let at = |code: u16| if code == 0x7c00 { 65_536.0 } else { f64::from(half_to_f32(code)) };
    let (mut below, mut above) = (0, 0x7c00);
    while above - below > 1 {
        let middle = u16::midpoint(below, above);
        if at(middle) <= size { below = middle } else { above = middle }
    }
    let is_below = match (size - at(below)).total_cmp(&(at(above) - size)) {
        Ordering::Less => true,
        Ordering::Equal => below % 2 == 0,
        Ordering::Greater => false,
    };
    sign | if is_below { below } else { above }
}

pub(super) fn to_halves(values: &[f32]) -> Vec<u16> {
    values.iter().map(|value| to_half(*value)).collect()
}

/// Where the first two differ, for a message; NaN equals NaN whatever its bits.
pub(super) fn first_difference(found: &[f32], expected: &[f32]) -> Option<String> {
    assert_eq!(found.len(), expected.len());
    let same = |(one, other): (&f32, &f32)| one.to_bits() == other.to_bits() || (one.is_nan() && other.is_nan());
    let count = found.iter().zip(expected).filter(|(one, other)| !same((one, other))).count();
    let place = found.iter().zip(expected).position(|pair| !same(pair))?;
    Some(format!("{count} of {} differ; value {place} is {}, expected {}", found.len(), found[place], expected[place]))
}

/// Panics unless all are equal, bit for bit.
pub(super) fn assert_same(found: &[f32], expected: &[f32], what: &str) {
    if let Some(difference) = first_difference(found, expected) {
        panic!("{what}: {difference}");
    }
}

/// Panics unless the halves are the values rounded.
pub(super) fn assert_rounded(found: &[u16], expected: &[f32], what: &str) {
    let found: Vec<f32> = found.iter().map(|half| half_to_f32(*half)).collect();
    let rounded: Vec<f32> = expected.iter().map(|value| half_to_f32(to_half(*value))).collect();
    assert_same(&found, &rounded, what);
}

/// How many tiles of `tile` cover `side`.
pub(super) fn tiles(side: usize, tile: usize) -> usize {
    side.div_ceil(tile)
}
