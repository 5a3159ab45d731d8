//! Raw CAN sockets: frames in batches with what the kernel tells beside them, and how an interface is.
//!
//! ```text
//! socket ─recvmmsg─▶ Batch: up to 64 × (frame, its stamps, frames dropped before it)
//! name ──ioctl────▶ Link: index, up or down
//! ```
//!
//! Not here: socket options, filters and netlink, which the crate `socketcan` does well, and what any of it means.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;

/// Frames that one call takes: what a full 1 Mbit/s bus carries in 8 ms at most.
pub const BATCH: usize = 64;
/// Bytes of a `struct canfd_frame`; a `struct can_frame` has [`CAN_BYTES`].
pub const CAN_FD_BYTES: usize = size_of::<libc::canfd_frame>();
/// Bytes of a `struct can_frame`.
pub const CAN_BYTES: usize = size_of::<libc::can_frame>();
/// Room for the three messages that are asked for: 32 + 64 + 24 bytes.
const CONTROL_BYTES: usize = 128;
/// Bytes of a `struct cmsghdr` as the kernel writes it: `size_t` length, level, type.
const HEADER_BYTES: usize = size_of::<usize>() + 8;

// Stamps are read as pairs of 64 bits.
const _: () = assert!(size_of::<libc::time_t>() == 8, "a target whose time has 64 bits");

/// What `SO_TIMESTAMPING` is asked for: the controller's stamp and the kernel's.
pub const STAMPING: u32 = libc::SOF_TIMESTAMPING_RX_HARDWARE
    | libc::SOF_TIMESTAMPING_RAW_HARDWARE
    | libc::SOF_TIMESTAMPING_RX_SOFTWARE
    | libc::SOF_TIMESTAMPING_SOFTWARE;

/// A raw CAN socket that is bound to nothing yet, so that all its options can be set before the first frame.
pub fn socket() -> io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: `socket` takes three integers and touches no memory of ours.
    let fd = unsafe { libc::socket(libc::AF_CAN, kind, libc::CAN_RAW) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `fd` is open, was made just now, and nothing else holds it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Binds `socket` to the interface with this index.
pub fn bind(socket: BorrowedFd<'_>, index: u32) -> io::Result<()> {
    // SAFETY: a `sockaddr_can` is integers and a union of integers: all zeroes is one.
    let mut address: libc::sockaddr_can = unsafe { std::mem::zeroed() };
    address.can_family = libc::AF_CAN as libc::sa_family_t;
    address.can_ifindex = index as libc::c_int;
    let length = size_of::<libc::sockaddr_can>() as libc::socklen_t;
    // SAFETY: `address` outlives the call, and `length` is its size.
    let status = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) };
    if status < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// What the kernel tells beside a frame. Stamps are Unix time in ns; the hardware's is on the controller's own clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beside {
    /// When the controller saw it.
    pub hardware_ns: Option<i64>,
    /// When the driver gave it to the kernel.
    pub software_ns: Option<i64>,
    /// The same by the older option; where neither was set in time, when it was read.
    pub socket_ns: Option<i64>,
    /// Frames that this socket has lost for want of room when this one was queued, modulo 2^32; not told while 0.
    pub dropped: Option<u32>,
}

/// One frame as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received<'a> {
    /// The `struct can_frame` or `struct canfd_frame`, told apart by their lengths.
    pub bytes: &'a [u8],
    /// Whether there were more bytes than any of the two has.
    pub truncated: bool,
    /// What came beside it.
    pub beside: Beside,
}

/// Room for a batch of frames, taken once.
pub struct Batch {
    slots: Box<[Slot; BATCH]>,
    len: usize,
}

#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Slot {
    control: [u8; CONTROL_BYTES],
    frame: [u8; CAN_FD_BYTES],
    frame_len: usize,
    control_len: usize,
    truncated: bool,
}

impl Slot {
    const EMPTY: Self =
        Self { control: [0; CONTROL_BYTES], frame: [0; CAN_FD_BYTES], frame_len: 0, control_len: 0, truncated: false };
}

impl Default for Batch {
    fn default() -> Self {
        Self { slots: Box::new([Slot::EMPTY; BATCH]), len: 0 }
    }
}

impl Batch {
    /// Takes what waits at `socket`, at most [`BATCH`] frames, without waiting: `WouldBlock` where there is nothing.
    pub fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        self.len = 0;
        let mut vectors = self
            .slots
            .each_mut()
            .map(|slot| libc::iovec { iov_base: slot.frame.as_mut_ptr().cast(), iov_len: CAN_FD_BYTES });
        // SAFETY: a `mmsghdr` is integers and pointers that may be null: all zeroes is one.
        let mut headers: [libc::mmsghdr; BATCH] = unsafe { std::mem::zeroed() };
        for ((header, vector), slot) in headers.iter_mut().zip(&mut vectors).zip(self.slots.iter_mut()) {
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = slot.control.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = CONTROL_BYTES as _;
        }
        let (fd, room, flags) = (socket.as_raw_fd(), BATCH as libc::c_uint, libc::MSG_DONTWAIT as _);
        // SAFETY: there are `BATCH` headers; each points to one vector and to control bytes of the lengths given, all
        // of which live in `headers`, `vectors` and `self.slots` until after the call and are not read meanwhile.
        let taken = unsafe { libc::recvmmsg(fd, headers.as_mut_ptr(), room, flags, std::ptr::null_mut()) };
        let taken = usize::try_from(taken).map_err(|_| io::Error::last_os_error())?;
        for (slot, header) in self.slots.iter_mut().zip(&headers[..taken.min(BATCH)]) {
            slot.frame_len = (header.msg_len as usize).min(CAN_FD_BYTES);
            slot.control_len = CONTROL_BYTES.min(header.msg_hdr.msg_controllen as _);
            slot.truncated = header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
        }
        self.len = taken.min(BATCH);
        Ok(self.len)
    }

    /// The frames of the last call that succeeded, in order.
    pub fn received(&self) -> impl Iterator<Item = Received<'_>> {
        self.slots[..self.len].iter().map(|slot| Received {
            bytes: &slot.frame[..slot.frame_len],
            truncated: slot.truncated,
            beside: beside(&slot.control[..slot.control_len]),
        })
    }
}

/// Reads the control messages of one frame; what is not known, and whatever follows a broken one, is passed over.
fn beside(mut control: &[u8]) -> Beside {
    let mut told = Beside::default();
    while let Some((level, kind, data, rest)) = first_message(control) {
        match (level, kind) {
            (libc::SOL_SOCKET, libc::SO_TIMESTAMPNS) => told.socket_ns = stamp_ns(data, 0),
            (libc::SOL_SOCKET, libc::SO_TIMESTAMPING) => {
                told.software_ns = stamp_ns(data, 0);
                told.hardware_ns = stamp_ns(data, 2);
            }
            (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => {
                told.dropped = data.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes));
            }
            _ => {}
        }
        control = rest;
    }
    told
}

/// Level, type and data of the first control message, and what follows it.
fn first_message(control: &[u8]) -> Option<(i32, i32, &[u8], &[u8])> {
    const WORD: usize = size_of::<usize>();
    let length = usize::from_ne_bytes(*control.first_chunk::<WORD>()?);
    let level = i32::from_ne_bytes(*control.get(WORD..)?.first_chunk()?);
    let kind = i32::from_ne_bytes(*control.get(WORD + 4..)?.first_chunk()?);
    let data = control.get(HEADER_BYTES..length)?;
    let next = length.checked_next_multiple_of(WORD)?;
    Some((level, kind, data, control.get(next..).unwrap_or_default()))
}

/// The stamp with this number in an array of `struct timespec`; zero means none.
fn stamp_ns(data: &[u8], number: usize) -> Option<i64> {
    let bytes = data.get(number * 16..)?.first_chunk::<16>()?;
    let (seconds, ns) = bytes.split_at(8);
    let [seconds, ns] = [seconds, ns].map(|half| half.first_chunk().map(|half| i64::from_ne_bytes(*half)));
    let stamp = seconds?.checked_mul(1_000_000_000)?.checked_add(ns?)?;
    (stamp != 0).then_some(stamp)
}

/// A network interface as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its index; one that was deleted and made again has another.
    pub index: u32,
    /// Whether it is up.
    pub is_up: bool,
}

/// Asks how interfaces are, over a socket of its own.
pub struct Links(UnixDatagram);

impl Links {
    /// Opens that socket.
    pub fn new() -> io::Result<Self> {
        UnixDatagram::unbound().map(Self)
    }

    /// The interface called `name` (at most 15 bytes); `None` if there is none.
    pub fn look(&self, name: &str) -> io::Result<Option<Link>> {
        let is_there = |asked: io::Result<libc::ifreq>| match asked {
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
            asked => asked.map(Some),
        };
        let Some(index) = is_there(self.ask(name, libc::SIOCGIFINDEX as _))? else { return Ok(None) };
        let Some(flags) = is_there(self.ask(name, libc::SIOCGIFFLAGS as _))? else { return Ok(None) };
        // SAFETY: SIOCGIFINDEX succeeded and has written this member.
        let index = unsafe { index.ifr_ifru.ifru_ifindex };
        // SAFETY: SIOCGIFFLAGS succeeded and has written this member.
        let flags = unsafe { flags.ifr_ifru.ifru_flags };
        Ok(Some(Link { index: index as u32, is_up: i32::from(flags) & libc::IFF_UP != 0 }))
    }

    fn ask(&self, name: &str, request: libc::Ioctl) -> io::Result<libc::ifreq> {
        // SAFETY: an `ifreq` is characters and a union of integers and pointers: all zeroes is one.
        let mut asked: libc::ifreq = unsafe { std::mem::zeroed() };
        if name.len() >= asked.ifr_name.len() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        asked.ifr_name.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from as libc::c_char);
        // SAFETY: both requests read the name, which ends with a zero, and write into the `ifreq`, which outlives them.
        let status = unsafe { libc::ioctl(self.0.as_raw_fd(), request, &raw mut asked) };
        if status < 0 { Err(io::Error::last_os_error()) } else { Ok(asked) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: i32, data: &[u8]) -> Vec<u8> {
        let mut bytes = (HEADER_BYTES + data.len()).to_ne_bytes().to_vec();
        bytes.extend(libc::SOL_SOCKET.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(data);
        bytes.resize(bytes.len().next_multiple_of(8), 0xee);
        bytes
    }

    fn times(stamps: &[(i64, i64)]) -> Vec<u8> {
        stamps.iter().flat_map(|(seconds, ns)| [seconds.to_ne_bytes(), ns.to_ne_bytes()].concat()).collect()
    }

    #[test]
    fn stamps_and_drops_are_read_in_whatever_order_they_come() {
        let mut messages = [
            message(libc::SO_RXQ_OVFL, &7_u32.to_ne_bytes()),
            message(libc::SO_TIMESTAMPNS, &times(&[(1, 5)])),
            message(libc::SO_TIMESTAMPING, &times(&[(1, 4), (0, 0), (1, 3)])),
            message(77, &[1, 2, 3]),
        ];
        for _ in 0..messages.len() {
            messages.rotate_left(1);
            let expected = Beside {
                hardware_ns: Some(1_000_000_003),
                software_ns: Some(1_000_000_004),
                socket_ns: Some(1_000_000_005),
                dropped: Some(7),
            };
            assert_eq!(beside(&messages.concat()), expected);
        }
    }

    #[test]
    fn an_empty_stamp_is_none_and_a_broken_message_is_passed_over() {
        let none = message(libc::SO_TIMESTAMPING, &times(&[(0, 0), (0, 0), (0, 0)]));
        assert_eq!(beside(&none), Beside::default());
        let short = message(libc::SO_TIMESTAMPING, &times(&[(3, 0)]));
        assert_eq!(beside(&short), Beside { software_ns: Some(3_000_000_000), ..Beside::default() });
        let good = message(libc::SO_RXQ_OVFL, &7_u32.to_ne_bytes());
        for length in [0_usize, 3, 15, 4096, usize::MAX] {
            let mut broken = message(libc::SO_RXQ_OVFL, &9_u32.to_ne_bytes());
            broken[..8].copy_from_slice(&length.to_ne_bytes());
            assert_eq!(beside(&[broken.clone(), good.clone()].concat()), Beside::default(), "{length}");
            assert_eq!(beside(&[good.clone(), broken].concat()).dropped, Some(7), "{length}");
        }
        (0..good.len())
            .for_each(|cut| assert!(beside(&good[..cut]).dropped.is_none_or(|dropped| dropped == 7), "{cut}"));
    }

    #[test]
    fn the_loopback_interface_is_there_and_a_made_up_one_is_not() {
        let links = Links::new().expect("a socket");
        let lo = links.look("lo").expect("it can be asked").expect("it is there");
        assert!(lo.index > 0);
        assert_eq!(links.look("nosuchcan").expect("it can be asked"), None);
        assert!(links.look("a_name_of_16_byt").is_err());
    }
}
