//! The CAN interfaces that there are, and how they are set up.

use crate::sys;
use crate::sys::can::Links;
use socketcan::nl::{CanState, InterfaceDetails};
use socketcan::{CanInterface, CanSocket};
use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// Where the kernel shows its interfaces.
const NET: &str = "/sys/class/net";
/// Bytes of the longest frame where an interface carries CAN FD.
const FD_MTU: u32 = sys::can::CAN_FD_BYTES as u32;

/// One CAN interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// The driver of its controller; `None`: it is virtual (vcan, vxcan) and has neither state nor bit rate.
    pub driver: Option<String>,
    /// Whether it is up.
    pub is_up: bool,
    /// Whether it carries CAN FD frames.
    pub fd: bool,
    /// Whether its controller stamps frames.
    pub hardware_stamps: bool,
    /// `error-active`, `error-warning`, `error-passive`, `bus-off`, `stopped` or `sleeping`; `None`: not told.
    pub state: Option<&'static str>,
    /// Bits a second; `None`: not set.
    pub bit_rate_hz: Option<u32>,
    /// Bits a second of the data of CAN FD frames; `None`: not set.
    pub data_bit_rate_hz: Option<u32>,
    /// The controller's counts of errors in sending and in receiving.
    pub error_counters: Option<(u16, u16)>,
    /// Why some of this is not known.
    pub unknown: Option<String>,
}

/// Every CAN interface, in order of its name. What cannot be found out is said in [`Found::unknown`].
pub fn discover() -> Vec<Found> {
    names().into_iter().map(find).collect()
}

fn find(name: String) -> Found {
    let driver = fs::read_link(place(&name, "device/driver")).ok();
    let driver = driver.and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    let mut found = Found { fd: carries_fd(&name), driver, name, ..Found::default() };
    match CanInterface::open(&found.name).and_then(|interface| interface.details()) {
        Ok(details) => found.take(&details),
        Err(error) => found.unknown = Some(format!("netlink: {error}")),
    }
    match stamps(&found.name) {
        Ok(hardware) => found.hardware_stamps = hardware,
        Err(error) => found.unknown = Some(format!("no CAN socket: {error} (modprobe can_raw)")),
    }
    found
}

impl Found {
    fn take(&mut self, details: &InterfaceDetails) {
        self.is_up = details.is_up;
        self.state = details.can.state.map(state_name);
        self.bit_rate_hz = details.can.bit_timing.map(|timing| timing.bitrate).filter(|&rate| rate > 0);
        self.data_bit_rate_hz = details.can.data_bit_timing.map(|timing| timing.bitrate).filter(|&rate| rate > 0);
        self.error_counters = details.can.berr_counter.map(|counter| (counter.txerr, counter.rxerr));
    }
}

/// The state of an interface's controller, if it tells one.
pub(super) fn state(name: &str) -> Option<&'static str> {
    CanInterface::open(name).ok()?.state().ok()?.map(state_name)
}

fn state_name(state: CanState) -> &'static str {
    match state {
        CanState::ErrorActive => "error-active",
        CanState::ErrorWarning => "error-warning",
        CanState::ErrorPassive => "error-passive",
        CanState::BusOff => "bus-off",
        CanState::Stopped => "stopped",
        CanState::Sleeping => "sleeping",
    }
}

fn stamps(name: &str) -> std::io::Result<bool> {
    let socket = CanSocket::from(sys::can::socket()?);
    let link = Links::new()?.look(name)?;
    sys::can::bind(socket.as_fd(), link.map_or(0, |link| link.index))?;
    Ok(socket.has_hw_timestamps())
}

/// The names of all CAN interfaces with commas; `none` if there are none.
pub(super) fn known() -> String {
    let names = names();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// Whether there is an interface of this name and it is one of CAN.
pub(super) fn is_can(name: &str) -> bool {
    number(name, "type") == Some(u32::from(libc::ARPHRD_CAN))
}

/// Whether an interface carries CAN FD frames.
pub(super) fn carries_fd(name: &str) -> bool {
    number(name, "mtu").is_some_and(|mtu| mtu >= FD_MTU)
}

fn names() -> Vec<String> {
    let entries = fs::read_dir(NET).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<_> = names.filter(|name| is_can(name)).collect();
    names.sort();
    names
}

fn number(name: &str, attribute: &str) -> Option<u32> {
    fs::read_to_string(place(name, attribute)).ok()?.trim().parse().ok()
}

fn place(name: &str, attribute: &str) -> PathBuf {
    Path::new(NET).join(name).join(attribute)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_that_is_not_can_is_not_found() {
        assert!(!is_can("lo") && !is_can("nosuchcan") && !carries_fd("nosuchcan"));
        assert!(discover().iter().all(|found| found.name != "lo"));
        assert!(!known().is_empty());
    }
}
