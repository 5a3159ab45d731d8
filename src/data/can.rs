//! Raw CAN frames: the evidence that a trip keeps, whatever was decoded from it.

use super::{SourceStamp, Stamp};

/// The longest payload: CAN FD.
const MAX_PAYLOAD: usize = 64;

/// An arbitration id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CanId {
    /// 11 bits.
    Standard(u16),
    /// 29 bits.
    Extended(u32),
}

impl CanId {
    /// The 11-bit id `raw`.
    pub fn standard(raw: u32) -> Result<Self, CanFrameError> {
        let id = u16::try_from(raw).ok().filter(|&id| id <= 0x7ff);
        id.map(Self::Standard).ok_or(CanFrameError::Id { bits: 11, raw })
    }

    /// The 29-bit id `raw`.
    pub fn extended(raw: u32) -> Result<Self, CanFrameError> {
        if raw <= 0x1fff_ffff { Ok(Self::Extended(raw)) } else { Err(CanFrameError::Id { bits: 29, raw }) }
    }

    /// The id's bits without the distinction.
    pub fn raw(self) -> u32 {
        match self {
            Self::Standard(id) => u32::from(id),
            Self::Extended(id) => id,
        }
    }

    /// Whether it has 29 bits.
    pub fn is_extended(self) -> bool {
        matches!(self, Self::Extended(_))
    }
}

/// Why a CAN frame was refused. Recovery: skip it and count.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CanFrameError {
    /// The id needs more bits than its kind has.
    #[error("CAN id {raw:#x} does not fit in {bits} bits")]
    Id {
        /// Bits that this kind of id has.
        bits: u8,
        /// The id given.
        raw: u32,
    },
    /// More payload than CAN FD carries.
    #[error("CAN payload of {0} bytes: at most {MAX_PAYLOAD} fit")]
    Payload(usize),
}

/// One data frame of one bus. Remote and error frames are health, not data, and have no place here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanFrame {
    /// Which bus, as the vehicle's configuration numbers them.
    pub bus: u8,
    /// The arbitration id.
    pub id: CanId,
    /// When it was seen on the bus, on the controller's own clock.
    pub taken: SourceStamp,
    /// When it reached this program, on the monotonic timeline.
    pub arrival: Stamp,
    payload: heapless::Vec<u8, MAX_PAYLOAD, u8>,
}

impl CanFrame {
    /// A frame with `payload` of at most 64 bytes.
    pub fn new(bus: u8, id: CanId, taken: SourceStamp, arrival: Stamp, payload: &[u8]) -> Result<Self, CanFrameError> {
        let payload = heapless::Vec::from_slice(payload).map_err(|_| CanFrameError::Payload(payload.len()))?;
        Ok(Self { bus, id, taken, arrival, payload })
    }

    /// The data bytes.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_payloads_beyond_the_bus_are_refused() {
        assert!(CanId::standard(0x7ff).is_ok() && CanId::standard(0x800).is_err());
        assert!(CanId::extended(0x1fff_ffff).is_ok() && CanId::extended(0x2000_0000).is_err());
        let taken = SourceStamp::realtime(0);
        let make = |len| CanFrame::new(0, CanId::Standard(1), taken, Stamp::ZERO, &vec![0; len]);
        assert!(make(64).is_ok());
        assert_eq!(make(65), Err(CanFrameError::Payload(65)));
    }
}
