//! Where a signal's bits are in a payload, and how they become a number.
//!
//! Little-endian (Intel): the start bit is the lowest, counted from bit 0 of byte 0 upwards.
//! Big-endian (Motorola): the start bit is the highest; the bits after it go down to bit 0 of its
//! byte, then on from bit 7 of the next byte.

/// How the raw bits are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Unsigned,
    Signed,
    Float32,
    Float64,
}

/// A signal's place and meaning: `raw * factor + offset`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Layout {
    first_byte: usize,
    bytes: usize,
    shift: u32,
    bits: u32,
    big_endian: bool,
    encoding: Encoding,
    factor: f64,
    offset: f64,
}

/// A DBC's own description of the bits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bits {
    pub(super) start: u64,
    pub(super) len: u64,
    pub(super) big_endian: bool,
    pub(super) encoding: Encoding,
}

impl Layout {
    /// The layout of `bits`, all within a message of `size` bytes; otherwise what is wrong.
    pub(super) fn new(bits: Bits, (factor, offset): (f64, f64), size: usize) -> Result<Self, String> {
        let Bits { start, len, big_endian, encoding } = bits;
        check_width(encoding, len)?;
        let first_bit = if big_endian { start / 8 * 8 + (7 - start % 8) } else { start };
        let end = first_bit.saturating_add(len);
        if start >= 512 || end > size as u64 * 8 {
            return Err(format!("bits {start}|{len} end beyond its {size} bytes"));
        }
        if !factor.is_finite() || !offset.is_finite() || factor == 0.0 {
            return Err(format!("factor {factor} and offset {offset} must be finite, factor not 0"));
        }
        let (first_byte, last_byte) = ((first_bit / 8) as usize, ((end - 1) / 8) as usize);
        let shift = if big_endian { (7 - (end - 1) % 8) as u32 } else { (start % 8) as u32 };
        let bytes = last_byte - first_byte + 1;
        Ok(Self { first_byte, bytes, shift, bits: len as u32, big_endian, encoding, factor, offset })
    }

    /// The raw bits, lowest first; `payload` is at least as long as the size that `new` was given.
    pub(super) fn raw(&self, payload: &[u8]) -> u64 {
        let field = &payload[self.first_byte..self.first_byte + self.bytes];
        let join = |all: u128, byte: &u8| all << 8 | u128::from(*byte);
        let joined = if self.big_endian { field.iter().fold(0, join) } else { field.iter().rev().fold(0, join) };
        (joined >> self.shift) as u64 & (u64::MAX >> (64 - self.bits))
    }

    /// The physical value.
    pub(super) fn value(&self, payload: &[u8]) -> f64 {
        let raw = self.raw(payload);
        let number = match self.encoding {
            Encoding::Unsigned => raw as f64,
            Encoding::Signed => ((raw << (64 - self.bits)) as i64 >> (64 - self.bits)) as f64,
            Encoding::Float32 => f64::from(f32::from_bits(raw as u32)),
            Encoding::Float64 => f64::from_bits(raw),
        };
        number * self.factor + self.offset
    }

    /// Number of bits.
    pub(super) fn bits(&self) -> u32 {
        self.bits
    }

    /// The byte that the signal fills alone and wholly, if it is such a one.
    pub(super) fn whole_byte(&self) -> Option<usize> {
        (self.bits == 8 && self.bytes == 1 && self.encoding == Encoding::Unsigned).then_some(self.first_byte)
    }
}

fn check_width(encoding: Encoding, len: u64) -> Result<(), String> {
    let fits = match encoding {
        Encoding::Unsigned | Encoding::Signed => (1..=64).contains(&len),
        Encoding::Float32 => len == 32,
        Encoding::Float64 => len == 64,
    };
    if fits { Ok(()) } else { Err(format!("{len} bits cannot be read as {encoding:?}")) }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "bits are read exactly or wrongly")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Writes bit by bit, walking the DBC's numbering: nothing in common with `raw`.
    fn encode(payload: &mut [u8], bits: Bits, raw: u64) {
        let mut place = bits.start as usize;
        for bit in 0..bits.len {
            let from = if bits.big_endian { bits.len - 1 - bit } else { bit };
            let value = (raw >> from & 1) as u8;
            payload[place / 8] = payload[place / 8] & !(1 << (place % 8)) | value << (place % 8);
            place = match (bits.big_endian, place % 8) {
                (true, 0) => place + 15,
                (true, _) => place - 1,
                (false, _) => place + 1,
            };
        }
    }

    proptest! {
        #[test]
        fn what_was_written_bit_by_bit_is_read_back(
            start in 0..512_u64, len in 1..=64_u64, big_endian: bool, signed: bool, raw: u64, noise: [u8; 32],
        ) {
            let encoding = if signed { Encoding::Signed } else { Encoding::Unsigned };
            let bits = Bits { start, len, big_endian, encoding };
            if let Ok(layout) = Layout::new(bits, (1.0, 0.0), 64) {
                let mut payload = [noise, noise].concat();
                let raw = raw & (u64::MAX >> (64 - len));
                encode(&mut payload, bits, raw);
                prop_assert_eq!(layout.raw(&payload), raw);
                let expected = if signed && raw >> (len - 1) & 1 == 1 {
                    (i128::from(raw) - (1_i128 << len)) as f64
                } else {
                    raw as f64
                };
                prop_assert_eq!(layout.value(&payload), expected);
            }
        }

        #[test]
        fn no_description_of_bits_panics(start: u64, len: u64, big_endian: bool, size in 0..=64_usize) {
            let bits = Bits { start, len, big_endian, encoding: Encoding::Unsigned };
            if let Ok(layout) = Layout::new(bits, (1.0, 0.0), size) {
                layout.value(&vec![0xff; size]);
            }
        }
    }

    #[test]
    fn floats_are_read_as_floats() {
        let bits = |len, encoding| Bits { start: 8, len, big_endian: false, encoding };
        let float = Layout::new(bits(32, Encoding::Float32), (2.0, 1.0), 8).unwrap();
        let mut payload = [0; 9];
        payload[1..5].copy_from_slice(&1.5_f32.to_le_bytes());
        assert_eq!(float.value(&payload), 4.0);
        let double = Layout::new(bits(64, Encoding::Float64), (1.0, 0.0), 9).unwrap();
        payload[1..9].copy_from_slice(&(-0.1_f64).to_le_bytes());
        assert_eq!(double.value(&payload), -0.1);
        assert!(Layout::new(bits(16, Encoding::Float32), (1.0, 0.0), 8).is_err());
    }

    #[test]
    fn bits_beyond_the_message_are_refused() {
        let layout = |start, len, big_endian| {
            Layout::new(Bits { start, len, big_endian, encoding: Encoding::Unsigned }, (1.0, 0.0), 2).is_ok()
        };
        assert!(layout(0, 16, false) && !layout(0, 17, false) && !layout(16, 1, false));
        assert!(layout(7, 16, true) && !layout(7, 17, true) && layout(8, 1, true) && !layout(8, 2, true));
        assert!(!layout(0, 0, false));
    }
}
