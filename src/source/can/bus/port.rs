//! A socket on one interface, with every option set before its first frame.

use super::config::HardwareStamps;
use super::stamping::{Overflow, Stamping};
use super::{BusConfig, BusError, discover, frame};
use crate::data::CanId;
use crate::sys;
use crate::sys::can::{Batch, Link, Links};
use socketcan::{CanSocket, SocketOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// Filters that the kernel takes for one socket.
const MAX_FILTERS: usize = libc::CAN_RAW_FILTER_MAX as usize;
/// The place of the lost frames in what `SO_MEMINFO` gives, and the length of that.
const DROPS: usize = 8;
const MEMINFO_BYTES: usize = 9 * 4;

/// What is to be read: a configuration that was checked, and the filters made of its ids.
pub(super) struct Wanted {
    pub(super) config: BusConfig,
    filters: Vec<(u32, u32)>,
}

impl Wanted {
    pub(super) fn new(config: &BusConfig, ids: &[CanId]) -> Result<Self, BusError> {
        config.check()?;
        let interface = || config.interface.clone();
        let filters = match (config.all, ids.len()) {
            (true, _) => vec![(0, 0)],
            (false, 0) => return Err(BusError::NoIds { interface: interface(), bus: config.bus }),
            (false, ids) if ids > MAX_FILTERS => {
                return Err(BusError::TooManyIds { interface: interface(), ids, limit: MAX_FILTERS });
            }
            (false, _) => ids.iter().map(|&id| frame::filter(id)).collect(),
        };
        Ok(Self { config: config.clone(), filters })
    }

    /// The interface, if there is one of this name.
    pub(super) fn look(&self, links: &Links) -> Result<Option<Link>, BusError> {
        links.look(&self.config.interface).map_err(self.kernel("look for it"))
    }

    /// Opens a socket on the interface with this index.
    pub(super) fn open(&self, index: u32) -> Result<Port, BusError> {
        let name = &self.config.interface;
        if !discover::is_can(name) {
            return Err(BusError::Absent { interface: name.clone(), known: discover::known() });
        }
        if self.config.fd && !discover::carries_fd(name) {
            return Err(BusError::NoFd(name.clone()));
        }
        let socket = CanSocket::from(sys::can::socket().map_err(self.kernel("make a socket"))?);
        self.set_options(&socket).map_err(self.kernel("set the socket's options"))?;
        let room_bytes = self.make_room(&socket).map_err(self.kernel("make room for frames"))?;
        sys::can::bind(socket.as_fd(), index).map_err(self.kernel("bind to it"))?;
        if self.config.hardware_stamps == HardwareStamps::Required && !socket.has_hw_timestamps() {
            return Err(BusError::NoHardwareStamps(name.clone()));
        }
        tracing::info!("{name}: open; the kernel keeps up to {} KiB of frames", room_bytes / 1024);
        Ok(Port { socket, stamping: Stamping::new(self.config.hardware_stamps), overflow: Overflow::default() })
    }

    fn set_options(&self, socket: &CanSocket) -> io::Result<()> {
        socket.set_filters(&self.filters)?;
        socket.set_error_filter_accept_all()?;
        if self.config.fd {
            socket.set_socket_option_int(libc::SOL_CAN_RAW, libc::CAN_RAW_FD_FRAMES, 1)?;
        }
        socket.set_socket_option_int(libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 1)?;
        socket.set_recv_timestamp(true)?;
        socket.set_timestamping(sys::can::STAMPING)
    }

    /// Lets frames wait in the kernel, beyond the system's limit where that is allowed; bytes got. The kernel doubles
    /// what it is asked for, to make up for what it needs itself.
    fn make_room(&self, socket: &CanSocket) -> io::Result<u32> {
        let asked = self.config.buffer_kib * 512;
        let set = |option| socket.set_socket_option_int(libc::SOL_SOCKET, option, asked as i32);
        set(libc::SO_RCVBUFFORCE).or_else(|_| set(libc::SO_RCVBUF))?;
        let got = socket.get_socket_option_int(libc::SOL_SOCKET, libc::SO_RCVBUF)?.cast_unsigned();
        if got / 1024 < self.config.buffer_kib {
            let (name, wanted) = (&self.config.interface, self.config.buffer_kib);
            tracing::warn!(
                "{name}: room for {} KiB of frames instead of {wanted}; raise net.core.rmem_max or allow CAP_NET_ADMIN",
                got / 1024
            );
        }
        Ok(got)
    }

    fn kernel(&self, doing: &'static str) -> impl Fn(io::Error) -> BusError {
        move |error| BusError::Kernel { interface: self.config.interface.clone(), doing, error }
    }
}

/// An open socket and what is known of its frames.
pub(super) struct Port {
    socket: CanSocket,
    pub(super) stamping: Stamping,
    pub(super) overflow: Overflow,
}

impl Port {
    /// Takes what waits, without waiting.
    pub(super) fn receive(&self, batch: &mut Batch) -> io::Result<usize> {
        batch.receive(self.socket.as_fd())
    }

    /// Frames lost for want of room since it was asked last: the kernel tells beside a frame of those before it only.
    pub(super) fn lost(&mut self) -> u64 {
        let mut told = [0; MEMINFO_BYTES];
        let read = self.socket.get_socket_option_bytes(libc::SOL_SOCKET, libc::SO_MEMINFO, &mut told);
        let drops = told[DROPS * 4..].first_chunk().filter(|_| read.is_ok_and(|read| read == MEMINFO_BYTES));
        drops.map_or(0, |drops| self.overflow.more(u32::from_ne_bytes(*drops)))
    }
}

impl AsFd for Port {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(config: &BusConfig, ids: &[CanId]) -> String {
        Wanted::new(config, ids).map(|_| ()).expect_err("refused").to_string()
    }

    #[test]
    fn a_bus_without_signals_or_with_too_many_is_refused_and_taken_whole_where_that_is_asked() {
        let config = BusConfig { bus: 3, ..BusConfig::default() };
        let many: Vec<_> = (0..=MAX_FILTERS as u32).map(CanId::Extended).collect();
        assert!(refusal(&config, &[]).contains("no signal is on bus 3"));
        assert!(refusal(&config, &many).contains("513 ids are more than the 512"));
        assert!(Wanted::new(&config, &many[1..]).is_ok());
        let all = BusConfig { all: true, ..config };
        for ids in [&[][..], &many] {
            assert_eq!(Wanted::new(&all, ids).map(|wanted| wanted.filters).ok(), Some(vec![(0, 0)]));
        }
    }
}
