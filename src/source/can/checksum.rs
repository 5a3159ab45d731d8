//! The checksums that senders put into messages: a closed set of the field's algorithms.

use serde::{Deserialize, Serialize};

/// How a message's checksum byte is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChecksumRule {
    /// Sum of the id's bytes, the length and the other data bytes, modulo 256.
    Toyota,
    /// Exclusive or of the other data bytes.
    Xor8,
    /// Sum of the other data bytes, modulo 256.
    Sum8,
    /// CRC-8 of SAE J1850 (polynomial 0x1d, start and final exclusive or 0xff).
    Crc8SaeJ1850,
    /// CRC-8 of AUTOSAR (polynomial 0x2f, start and final exclusive or 0xff).
    Crc8Autosar,
}

const SAE_J1850: crc::Crc<u8> = crc::Crc::<u8>::new(&crc::CRC_8_SAE_J1850);
const AUTOSAR: crc::Crc<u8> = crc::Crc::<u8>::new(&crc::CRC_8_AUTOSAR);

impl ChecksumRule {
    /// The checksum of a message: `prefix`, then `data` without the byte at `place`.
    pub fn compute(self, id: u32, prefix: &[u8], data: &[u8], place: usize) -> u8 {
        let others = || prefix.iter().chain(data[..place.min(data.len())].iter()).chain(data.iter().skip(place + 1));
        match self {
            Self::Toyota => sum(id.to_be_bytes().iter().chain(others())).wrapping_add(data.len() as u8),
            Self::Xor8 => others().fold(0, |all, byte| all ^ byte),
            Self::Sum8 => sum(others()),
            Self::Crc8SaeJ1850 => crc8(&SAE_J1850, others()),
            Self::Crc8Autosar => crc8(&AUTOSAR, others()),
        }
    }
}

fn sum<'a>(bytes: impl Iterator<Item = &'a u8>) -> u8 {
    bytes.fold(0, |all, &byte| all.wrapping_add(byte))
}

fn crc8<'a>(crc: &crc::Crc<u8>, bytes: impl Iterator<Item = &'a u8>) -> u8 {
    let mut digest = crc.digest();
    bytes.for_each(|&byte| digest.update(&[byte]));
    digest.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "123456789" are the published check values of the two CRCs; the Toyota row is a message of a real car.
    #[test]
    fn each_rule_gives_its_published_check_value() {
        let digits = b"123456789\0";
        let cases = [
            (ChecksumRule::Crc8SaeJ1850.compute(0, &[], digits, 9), 0x4b),
            (ChecksumRule::Crc8Autosar.compute(0, &[], digits, 9), 0xdf),
            (ChecksumRule::Sum8.compute(0, &[], digits, 9), 0xdd),
            (ChecksumRule::Xor8.compute(0, &[], digits, 9), 0x31),
            (ChecksumRule::Toyota.compute(37, &[], &[0, 0, 0x10, 0, 0xc0, 0, 0, 0xfd], 7), 0xfd),
            (ChecksumRule::Crc8Autosar.compute(0, b"1234", b"\x0056789", 0), 0xdf),
        ];
        for (row, (got, expected)) in cases.into_iter().enumerate() {
            assert_eq!(got, expected, "row {row}");
        }
    }
}
