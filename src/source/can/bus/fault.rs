//! What error frames say: the controller's and the driver's faults, by name.
//!
//! A frame may tell of several. The crate `socketcan` decodes them too, but allocates where there are more than two,
//! and a disturbed bus gives thousands a second.

/// What a fault does to the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gravity {
    /// It belongs to the life of a bus.
    Noted,
    /// Something may have been lost.
    Falters,
    /// Nothing comes any more.
    BusOff,
    /// The controller is back after it had left the bus.
    Restarted,
}

/// One of the faults that an error frame can tell.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// The bit of the frame's id.
    class: u32,
    /// The byte of its data and the bits there that tell it from others of its class; bits of 0: the class alone.
    detail: (usize, u8),
    /// What it is counted as.
    pub(super) count: &'static str,
    /// What is said of it.
    pub(super) reason: &'static str,
    pub(super) gravity: Gravity,
}

const fn fault(class: u32, detail: (usize, u8), said: (&'static str, &'static str), gravity: Gravity) -> Fault {
    Fault { class, detail, count: said.0, reason: said.1, gravity }
}

const PASSIVE: &str = "error-passive: many frames of this controller fail; check wiring, termination and bit rate";
const WARNING: &str = "error-warning: frames of this controller begin to fail; check wiring, termination and bit rate";
const OVERFLOW: &str = "the controller's own buffer overflowed: the machine answers its interrupts too late";
const NO_ACK: &str = "no acknowledgement: nobody else listens on the bus, or at another bit rate";
/// What is said of a controller that has left the bus.
pub(super) const OFF: &str =
    "bus-off: the controller has left the bus; check wiring and bit rate, and restart it (restart-ms)";

/// All that are told, in the order of the class bits.
const FAULTS: [Fault; 12] = [
    fault(libc::CAN_ERR_TX_TIMEOUT, (0, 0), ("transmit_timeout", "sending timed out"), Gravity::Falters),
    fault(libc::CAN_ERR_LOSTARB, (0, 0), ("arbitration_lost", "arbitration lost"), Gravity::Noted),
    fault(libc::CAN_ERR_CRTL, (1, 0x03), ("controller_overflow", OVERFLOW), Gravity::Falters),
    fault(libc::CAN_ERR_CRTL, (1, 0x0c), ("error_warning", WARNING), Gravity::Falters),
    fault(libc::CAN_ERR_CRTL, (1, 0x30), ("error_passive", PASSIVE), Gravity::Falters),
    fault(libc::CAN_ERR_CRTL, (1, 0x40), ("error_active", "error-active again"), Gravity::Noted),
    fault(libc::CAN_ERR_PROT, (0, 0), ("protocol_violation", "a frame broke the protocol"), Gravity::Falters),
    fault(libc::CAN_ERR_TRX, (0, 0), ("transceiver_fault", "the transceiver reports a fault"), Gravity::Falters),
    fault(libc::CAN_ERR_ACK, (0, 0), ("ack_missing", NO_ACK), Gravity::Falters),
    fault(libc::CAN_ERR_BUSOFF, (0, 0), ("bus_off", OFF), Gravity::BusOff),
    fault(libc::CAN_ERR_BUSERROR, (0, 0), ("bus_error", "an error on the wire"), Gravity::Falters),
    fault(libc::CAN_ERR_RESTARTED, (0, 0), ("restarted", "restarted after bus-off"), Gravity::Restarted),
];

/// The faults that an error frame with these class bits and this detail tells.
pub(super) fn faults(classes: u32, data: [u8; 8]) -> impl Iterator<Item = &'static Fault> {
    FAULTS.iter().filter(move |fault| {
        let (byte, bits) = fault.detail;
        classes & fault.class != 0 && (bits == 0 || data[byte] & bits != 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_of_an_error_frame_is_told_by_its_name() {
        let controller = |bits| (libc::CAN_ERR_CRTL, [0, bits, 0, 0, 0, 0, 0, 0]);
        let alone = |class| (class, [0xff; 8]);
        let cases = [
            (alone(libc::CAN_ERR_BUSOFF), vec!["bus_off"]),
            (alone(libc::CAN_ERR_LOSTARB), vec!["arbitration_lost"]),
            (alone(libc::CAN_ERR_ACK), vec!["ack_missing"]),
            (alone(libc::CAN_ERR_RESTARTED), vec!["restarted"]),
            (alone(libc::CAN_ERR_CNT), vec![]),
            (controller(0x01), vec!["controller_overflow"]),
            (controller(0x0c), vec!["error_warning"]),
            (controller(0x10), vec!["error_passive"]),
            (controller(0x40), vec!["error_active"]),
            (controller(0x00), vec![]),
            (
                (libc::CAN_ERR_CRTL | libc::CAN_ERR_CNT, [0, 0x24, 0, 0, 0, 0, 9, 9]),
                vec!["error_warning", "error_passive"],
            ),
            ((libc::CAN_ERR_PROT | libc::CAN_ERR_BUSERROR, [0; 8]), vec!["protocol_violation", "bus_error"]),
            ((0x1fff_fc00, [0xff; 8]), vec![]),
        ];
        let wrong: Vec<_> = (cases.iter())
            .map(|((classes, data), expected)| (faults(*classes, *data).map(|fault| fault.count).collect(), expected))
            .filter(|(told, expected): &(Vec<_>, _)| told != *expected)
            .collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }

    #[test]
    fn only_bus_off_loses_the_bus_and_only_a_restart_brings_it_back() {
        let with = |gravity| FAULTS.iter().filter(move |fault| fault.gravity == gravity).map(|fault| fault.count);
        assert_eq!(with(Gravity::BusOff).collect::<Vec<_>>(), ["bus_off"]);
        assert_eq!(with(Gravity::Restarted).collect::<Vec<_>>(), ["restarted"]);
        assert_eq!(with(Gravity::Noted).collect::<Vec<_>>(), ["arbitration_lost", "error_active"]);
    }
}
