//! Half precision on the host: numbers on their way to the device and back.

use super::memory::Half;

impl Half {
    /// The nearest half, ties to even; infinity beyond 65520; a NaN stays one.
    #[inline]
    pub fn from_f32(value: f32) -> Self {
        let bits = value.to_bits();
        let sign = (bits >> 16 & 0x8000) as u16;
        let magnitude = bits & 0x7fff_ffff;
        let half = if magnitude > 0x7f80_0000 {
            0x7e00
        } else if magnitude >= 0x477f_f000 {
            0x7c00
        } else if magnitude >= 0x3880_0000 {
            // Normal: another bias, 13 bits fewer. Adding just less than half of what is cut off, and one more to an odd
            // result, rounds ties to even; what carries into the exponent is right there.
            ((magnitude - 0x3800_0000 + 0xfff + (magnitude >> 13 & 1)) >> 13) as u16
        } else {
            // Subnormal: added to 0.5, whose last bit is worth 2^-24, the machine rounds it itself.
            ((f32::from_bits(magnitude) + 0.5).to_bits() - 0.5_f32.to_bits()) as u16
        };
        Self(sign | half)
    }

    /// The same number.
    #[inline]
    pub fn to_f32(self) -> f32 {
        let bits = u32::from(self.0);
        let sign = (bits & 0x8000) << 16;
        let magnitude = bits & 0x7fff;
        let value = match magnitude {
            0x7c00.. => magnitude << 13 | 0x7f80_0000,
            0x0400.. => (magnitude << 13) + 0x3800_0000,
            _ => (f32::from_bits(0x3f00_0000 + magnitude) - 0.5).to_bits(),
        };
        f32::from_bits(sign | value)
    }
}

/// [`Half::from_f32`] of every value, into memory that is used again.
pub fn to_halves(values: &[f32], halves: &mut Vec<Half>) {
    halves.clear();
    halves.extend(values.iter().map(|value| Half::from_f32(*value)));
}

/// [`Half::to_f32`] of every value.
///
/// # Panics
/// If there are not as many of both.
pub fn to_singles(halves: &[Half], values: &mut [f32]) {
    assert_eq!(halves.len(), values.len(), "as many numbers as there is room for");
    for (value, half) in values.iter_mut().zip(halves) {
        *value = half.to_f32();
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "halves are exact")]
mod tests {
    use super::*;

    #[test]
    fn every_half_is_a_number_that_comes_back_as_itself() {
        for bits in 0..=u16::MAX {
            let value = Half(bits).to_f32();
            let back = Half::from_f32(value);
            let is_nan = bits & 0x7fff > 0x7c00;
            assert!(
                if is_nan { value.is_nan() && back.to_f32().is_nan() } else { back.0 == bits },
                "{bits:#x} {value}"
            );
        }
        for (bits, value) in
            [(0x3c00, 1.0), (0xc000, -2.0), (0x7bff, 65504.0), (1, 2.0_f32.powi(-24)), (0x3555, 0.333_251_95)]
        {
            assert_eq!(Half(bits).to_f32(), value);
        }
    }

    #[test]
    fn between_two_halves_the_nearest_is_taken_and_of_equals_the_even_one() {
        for bits in 0..0x7bff_u16 {
            let (low, high) = (Half(bits).to_f32(), Half(bits + 1).to_f32());
            let middle = low + (high - low) / 2.0;
            let even = bits + bits % 2;
            assert_eq!(Half::from_f32(middle).0, even, "{middle}");
            assert_eq!(Half::from_f32(-middle).0, even | 0x8000, "{middle}");
            assert_eq!(Half::from_f32(f32::from_bits(middle.to_bits() + 1)).0, bits + 1, "{middle}");
            assert_eq!(Half::from_f32(f32::from_bits(middle.to_bits() - 1)).0, bits, "{middle}");
        }
        assert_eq!([65519.9, 65520.0, f32::INFINITY].map(|value| Half::from_f32(value).0), [0x7bff, 0x7c00, 0x7c00]);
    }
}
