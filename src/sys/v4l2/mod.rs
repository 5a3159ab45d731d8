//! Video4Linux2: a capture device's calls, each asked once and answered with what the kernel said.
//!
//! ```text
//! Device::open ─▶ ability, formats, sizes, rates, set_format, set_interval, controls
//!              ─▶ Buffers::request ─▶ queue ─▶ stream_on ─▶ wait ─▶ dequeue ─▶ lend a picture without a copy
//! ```
//!
//! Single-planar and multi-planar queues look the same from outside, with one memory plane. No policy: what is refused,
//! tried again or given up is decided in `source::camera`.

mod abi;
mod buffers;
mod controls;
mod formats;

pub use buffers::{Buffers, Dequeued, LentBuffer};
pub use controls::{Control, ControlKind};
pub use formats::{Format, FormatAsked, FourCc, Fraction, FrameSizes, OfferedFormat};

use abi::{Argument, Request};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, retry_on_intr};
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, ioctl};
use std::ffi::c_void;
use std::fmt;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

/// Entries that a list of a driver's may have: no real one has as many, a broken one never ends.
const MOST_ENTRIES: u32 = 256;

const CAPTURE: u32 = 0x1;
const CAPTURE_MULTIPLE: u32 = 0x1000;
const STREAMING: u32 = 0x0400_0000;
const DEVICE_CAPS: u32 = 0x8000_0000;

/// Flags by the kernel's names, for the test against its header.
#[cfg(test)]
const FLAGS: [(&str, u32); 11] = [
    ("V4L2_CAP_VIDEO_CAPTURE", CAPTURE),
    ("V4L2_CAP_VIDEO_CAPTURE_MPLANE", CAPTURE_MULTIPLE),
    ("V4L2_CAP_STREAMING", STREAMING),
    ("V4L2_CAP_DEVICE_CAPS", DEVICE_CAPS),
    ("V4L2_BUF_TYPE_VIDEO_CAPTURE", Planes::Single as u32),
    ("V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE", Planes::Multiple as u32),
    ("V4L2_BUF_FLAG_ERROR", buffers::FLAG_ERROR),
    ("V4L2_BUF_FLAG_TIMESTAMP_MASK", buffers::FLAG_CLOCK),
    ("V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC", buffers::FLAG_MONOTONIC),
    ("V4L2_BUF_FLAG_TSTAMP_SRC_MASK", buffers::FLAG_MOMENT),
    ("V4L2_BUF_FLAG_TSTAMP_SRC_SOE", buffers::FLAG_START_OF_EXPOSURE),
];

/// What the kernel refused, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The call, as the kernel's documentation names it: `S_FMT`.
    pub call: &'static str,
    /// The error number.
    pub errno: Errno,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.call, std::io::Error::from(self.errno))
    }
}

impl std::error::Error for Failure {}

impl Failure {
    /// Whether the device is gone, or not there yet.
    pub fn is_absence(&self) -> bool {
        [Errno::NOENT, Errno::NODEV, Errno::NXIO].contains(&self.errno)
    }
}

/// How a capture queue lays out memory; the values are the kernel's buffer types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planes {
    /// One memory plane, always.
    Single = 1,
    /// Several in principle.
    Multiple = 9,
}

/// What a device is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ability {
    /// The driver's name.
    pub driver: String,
    /// The device's name.
    pub card: String,
    /// Where it is plugged in; stays when the number of `/dev/video` changes.
    pub bus: String,
    /// How it captures video, if it does.
    pub captures: Option<Planes>,
    /// Whether buffers can be mapped.
    pub streams: bool,
}

/// What waiting for a device came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// A buffer may be dequeued.
    Filled,
    /// Nothing within the time, or a signal.
    Nothing,
    /// The device is gone, or its stream is broken.
    Broken,
}

/// An open device.
#[derive(Debug)]
pub struct Device {
    file: OwnedFd,
}

impl Device {
    /// Opens `path`; nothing is changed on the device, and it never blocks.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = retry_on_intr(|| open(path, flags, Mode::empty()));
        opened.map(|file| Self { file }).map_err(|errno| Failure { call: "open", errno })
    }

    /// What it is.
    pub fn ability(&self) -> Result<Ability, Failure> {
        let mut found = abi::Capability::zeroed();
        self.ask(&abi::QUERYCAP, &mut found)?;
        // A driver with several nodes tells of this one apart.
        let all = if found.capabilities & DEVICE_CAPS == 0 { found.capabilities } else { found.device_caps };
        let captures = match (all & CAPTURE != 0, all & CAPTURE_MULTIPLE != 0) {
            (true, _) => Some(Planes::Single),
            (false, true) => Some(Planes::Multiple),
            (false, false) => None,
        };
        let [driver, card, bus] = [&found.driver[..], &found.card, &found.bus_info].map(text);
        Ok(Ability { driver, card, bus, captures, streams: all & STREAMING != 0 })
    }

    /// Chooses one of a card's inputs.
    pub fn set_input(&self, input: i32) -> Result<(), Failure> {
        self.ask(&abi::S_INPUT, &mut { input })
    }

    /// Waits until a buffer is filled, the device breaks, a signal comes, or `timeout` is over.
    pub fn wait(&self, timeout: Duration) -> Result<Ready, Failure> {
        let limit = rustix::event::Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(timeout.subsec_nanos()),
        };
        let mut waited = [PollFd::new(&self.file, PollFlags::IN)];
        match poll(&mut waited, Some(&limit)) {
            Ok(0) | Err(Errno::INTR) => return Ok(Ready::Nothing),
            Ok(_) => {}
            Err(errno) => return Err(Failure { call: "poll", errno }),
        }
        let broken = PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL;
        Ok(if waited[0].revents().intersects(broken) { Ready::Broken } else { Ready::Filled })
    }

    /// Makes one call. A signal that interrupts it changes nothing.
    fn ask<T: Argument>(&self, request: &Request<T>, argument: &mut T) -> Result<(), Failure> {
        let asked = retry_on_intr(|| {
            let call = Call { opcode: request.opcode, argument: &mut *argument };
            // SAFETY: the opcode belongs to a T, as `Request` was made, and the kernel writes no further than a T. Pointers
            // in it, where it has some, lead to arrays that live in the caller and are as long as it says beside them.
            unsafe { ioctl(&self.file, call) }
        });
        asked.map_err(|errno| Failure { call: request.name, errno })
    }

    /// Asks for entry 0, 1, ... of a list until the driver says that there are no more.
    fn list<T: Argument, R>(&self, request: &Request<T>, entry: impl Fn(u32) -> T, read: impl Fn(&T) -> R) -> Vec<R> {
        let ask = |index| {
            let mut argument = entry(index);
            self.ask(request, &mut argument).ok().map(|()| read(&argument))
        };
        (0..MOST_ENTRIES).map_while(ask).collect()
    }
}

/// One call with its argument, which the kernel reads and writes.
struct Call<'a, T> {
    opcode: Opcode,
    argument: &'a mut T,
}

// SAFETY: the pointer is to a whole T that is borrowed for as long as this lives; the opcode says how long a T is.
unsafe impl<T: Argument> Ioctl for Call<'_, T> {
    type Output = ();
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        self.opcode
    }

    fn as_ptr(&mut self) -> *mut c_void {
        std::ptr::from_mut(self.argument).cast()
    }

    unsafe fn output_from_ptr(_: IoctlOutput, _: *mut c_void) -> rustix::io::Result<()> {
        Ok(())
    }
}

/// Text that ends at the first zero.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_camera_is_told_by_the_call_that_failed() {
        let absent = Device::open(Path::new("/dev/no-such-camera")).expect_err("it is not there");
        assert_eq!((absent.call, absent.is_absence()), ("open", true));
        let null = Device::open(Path::new("/dev/null")).expect("every Linux has it");
        let refused = null.ability().expect_err("it is no camera");
        assert_eq!((refused.call, refused.errno), ("QUERYCAP", Errno::NOTTY));
        assert!(refused.to_string().starts_with("QUERYCAP: "), "{refused}");
    }

    #[test]
    fn text_ends_at_the_first_zero_or_with_its_field() {
        for (bytes, expected) in [(&b"vivid\0\0x"[..], "vivid"), (b"abc", "abc"), (b"", ""), (b"\0", "")] {
            assert_eq!(text(bytes), expected);
        }
    }
}
