//! One frame as the kernel gives it: data for the pipeline, or something else that is counted.

use crate::data::CanId;
use crate::sys::can::{CAN_BYTES, CAN_FD_BYTES, Received};

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    /// Data, with an id and at most 64 bytes.
    Data(CanId, &'a [u8]),
    /// A request for data: somebody else's business.
    Remote,
    /// The controller or its driver tells of a fault: the class bits of `linux/can/error.h` and eight bytes of detail.
    Fault(u32, [u8; 8]),
    /// Not as long as it says, or longer than its kind may be.
    BadLength,
}

/// Tells what `received` is. In memory: the id and its flags, the length, three more bytes, then 8 or 64 of data.
pub(super) fn kind(received: Received<'_>) -> Kind<'_> {
    if received.truncated || ![CAN_BYTES, CAN_FD_BYTES].contains(&received.bytes.len()) {
        return Kind::BadLength;
    }
    let [id @ .., _, _, _, _] = received.bytes.first_chunk::<8>().expect("every frame has a head of 8 bytes");
    let id = u32::from_ne_bytes(*id);
    let data = &received.bytes[8..];
    let len = usize::from(received.bytes[4]);
    match data.get(..len) {
        None => Kind::BadLength,
        Some(_) if id & libc::CAN_ERR_FLAG != 0 => {
            Kind::Fault(id & libc::CAN_ERR_MASK, *data.first_chunk().expect("every frame has room for 8 bytes"))
        }
        Some(_) if id & libc::CAN_RTR_FLAG != 0 => Kind::Remote,
        Some(payload) if id & libc::CAN_EFF_FLAG != 0 => Kind::Data(CanId::Extended(id & libc::CAN_EFF_MASK), payload),
        Some(payload) => Kind::Data(CanId::Standard((id & libc::CAN_SFF_MASK) as u16), payload),
    }
}

/// The kernel's filter that lets `id` through and nothing else: an id and the bits of it that must agree.
///
/// The flags are among these bits: without them an extended id with equal low bits would pass as well.
pub(super) fn filter(id: CanId) -> (u32, u32) {
    const FLAGS: u32 = libc::CAN_EFF_FLAG | libc::CAN_RTR_FLAG;
    match id {
        CanId::Standard(id) => (u32::from(id), libc::CAN_SFF_MASK | FLAGS),
        CanId::Extended(id) => (id | libc::CAN_EFF_FLAG, libc::CAN_EFF_MASK | FLAGS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::can::Beside;

    fn read(id: u32, len: u8, bytes: usize) -> Vec<u8> {
        let mut frame = id.to_ne_bytes().to_vec();
        frame.extend([len, 0, 0, 0]);
        frame.extend((0..64).take(bytes - 8));
        frame
    }

    fn of(bytes: &[u8], truncated: bool) -> Kind<'_> {
        kind(Received { bytes, truncated, beside: Beside::default() })
    }

    #[test]
    fn a_frame_is_data_a_request_a_fault_or_of_a_bad_length() {
        let data: Vec<u8> = (0..64).collect();
        let eight = *data.first_chunk().unwrap();
        let cases = [
            (read(0x7ff, 8, CAN_BYTES), Kind::Data(CanId::Standard(0x7ff), &data[..8])),
            (read(0x123, 0, CAN_BYTES), Kind::Data(CanId::Standard(0x123), &[])),
            (read(0x8000_0123, 2, CAN_BYTES), Kind::Data(CanId::Extended(0x123), &data[..2])),
            (read(0x123, 64, CAN_FD_BYTES), Kind::Data(CanId::Standard(0x123), &data)),
            (read(0x4000_0123, 2, CAN_BYTES), Kind::Remote),
            (read(0x2000_0044, 8, CAN_BYTES), Kind::Fault(0x44, eight)),
            (read(0x123, 9, CAN_BYTES), Kind::BadLength),
            (read(0x123, 65, CAN_FD_BYTES), Kind::BadLength),
            (read(0x123, 2, 20), Kind::BadLength),
            (vec![], Kind::BadLength),
        ];
        for (row, (bytes, expected)) in cases.iter().enumerate() {
            assert_eq!(of(bytes, false), *expected, "row {row}");
            assert_eq!(of(bytes, true), Kind::BadLength, "row {row}, truncated");
        }
    }

    #[test]
    fn a_filter_lets_its_own_id_through_and_no_other() {
        let passes = |(id, mask): (u32, u32), frame: u32| frame & mask == id & mask;
        let standard = filter(CanId::Standard(0x123));
        let extended = filter(CanId::Extended(0x123));
        let cases = [
            (0x123, true, false),
            (0x8000_0123, false, true),
            (0x4000_0123, false, false),
            (0xc000_0123, false, false),
            (0x8001_0123, false, false),
            (0x122, false, false),
        ];
        for (frame, by_standard, by_extended) in cases {
            assert_eq!((passes(standard, frame), passes(extended, frame)), (by_standard, by_extended), "{frame:#x}");
        }
    }
}
