//! A device's buffers, mapped, and lent to readers without a copy.
//!
//! ```text
//! queue ─▶ the driver fills ─▶ dequeue ─▶ lend ─▶ readers ─▶ all let go ─▶ queue
//! ```
//!
//! A buffer that the driver may write shows no bytes, and one that somebody reads is never queued: that is what makes
//! lending sound, and it is kept here and nowhere else. A buffer that is still read when its device goes stays mapped.

use super::abi::{self, Argument};
use super::{Device, Failure, Planes, Ready};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use std::ops::Range;
use std::os::fd::{FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

pub(super) const FLAG_ERROR: u32 = 0x40;
pub(super) const FLAG_CLOCK: u32 = 0xe000;
pub(super) const FLAG_MONOTONIC: u32 = 0x2000;
pub(super) const FLAG_MOMENT: u32 = 0x7_0000;
pub(super) const FLAG_START_OF_EXPOSURE: u32 = 0x1_0000;

/// What a driver said of a buffer that it filled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dequeued {
    /// Which one.
    pub index: usize,
    /// Bytes of picture in it.
    pub bytes: usize,
    /// The driver's number of the frame.
    pub sequence: u32,
    /// When, on the driver's clock: s.
    pub seconds: i64,
    /// And µs.
    pub microseconds: i64,
    /// The driver's flags.
    pub flags: u32,
}

impl Dequeued {
    /// Whether the driver says that the picture is damaged.
    pub fn is_damaged(&self) -> bool {
        self.flags & FLAG_ERROR != 0
    }

    /// Whether the stamp counts on `CLOCK_MONOTONIC`.
    pub fn is_monotonic(&self) -> bool {
        self.flags & FLAG_CLOCK == FLAG_MONOTONIC
    }

    /// Whether the stamp is the start of the exposure, not the end of the frame.
    pub fn is_start_of_exposure(&self) -> bool {
        self.flags & FLAG_MOMENT == FLAG_START_OF_EXPOSURE
    }
}

/// A mapped buffer, empty for as long as the driver may write it.
#[derive(Debug)]
pub struct LentBuffer {
    mapping: Mapping,
    filled: Range<usize>,
}

impl AsRef<[u8]> for LentBuffer {
    fn as_ref(&self) -> &[u8] {
        self.mapping.bytes(&self.filled)
    }
}

/// Pages that a driver shares.
#[derive(Debug)]
struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the pages belong to the process, not to a thread, and are only read through a shared reference.
unsafe impl Send for Mapping {}
// SAFETY: as above; nothing is written through it, and the driver writes only while no bytes are shown.
unsafe impl Sync for Mapping {}

impl Mapping {
    fn new(device: &Device, offset: u64, len: usize) -> Result<Self, Failure> {
        let (protection, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
        // SAFETY: the kernel chooses the place, so that no memory of ours is replaced.
        let mapped = unsafe { mmap(std::ptr::null_mut(), len, protection, flags, &device.file, offset) };
        let start = mapped.map_err(|errno| Failure { call: "mmap", errno })?;
        let start = NonNull::new(start.cast()).ok_or(Failure { call: "mmap", errno: Errno::INVAL })?;
        Ok(Self { start, len })
    }

    fn bytes(&self, part: &Range<usize>) -> &[u8] {
        assert!(part.start <= part.end && part.end <= self.len, "{part:?} of {} bytes", self.len);
        // SAFETY: at most `len` from the start, as asserted.
        let first = unsafe { self.start.as_ptr().add(part.start) };
        // SAFETY: mapped until this is dropped; of an owner of `Buffers`, who shows bytes only between dequeueing and
        // queueing, so that the driver does not write them meanwhile.
        unsafe { std::slice::from_raw_parts(first, part.len()) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this length, and no reference to it outlives this.
        let unmapped = unsafe { munmap(self.start.as_ptr().cast(), self.len) };
        debug_assert!(unmapped.is_ok(), "munmap of what was mapped: {unmapped:?}");
    }
}

/// A capture queue: the device, its mapped buffers, and which of them the driver has.
#[derive(Debug)]
pub struct Buffers {
    device: Device,
    planes: Planes,
    slots: Vec<Arc<LentBuffer>>,
    queued: Vec<bool>,
}

impl Buffers {
    /// Asks the driver for `count` buffers and maps those that it gives, which may be more or fewer.
    pub fn request(device: Device, planes: Planes, count: u32) -> Result<Self, Failure> {
        let mut asked = request(planes, count);
        device.ask(&abi::REQBUFS, &mut asked)?;
        let mut all = Self { device, planes, slots: Vec::new(), queued: Vec::new() };
        for index in 0..asked.count.min(super::MOST_ENTRIES) {
            let (offset, len) = all.place(index)?;
            let mapping = Mapping::new(&all.device, offset, len)?;
            all.slots.push(Arc::new(LentBuffer { mapping, filled: 0..0 }));
            all.queued.push(false);
        }
        Ok(all)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The device, for its controls.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// How many the driver has.
    pub fn queued(&self) -> usize {
        self.queued.iter().filter(|&&queued| queued).count()
    }

    /// What the driver says of a buffer that it has not filled: the clock of its stamps, before there is one.
    pub fn flags(&self, index: usize) -> Result<Dequeued, Failure> {
        let mut plane = abi::Plane::zeroed();
        let mut buffer = self.buffer(index as u32, &mut plane);
        self.device.ask(&abi::QUERYBUF, &mut buffer)?;
        Ok(Dequeued { index, flags: buffer.flags, ..Dequeued::default() })
    }

    /// Gives every buffer to the driver that nobody reads any more. How many are read still.
    pub fn queue_free(&mut self) -> Result<usize, Failure> {
        let mut lent = 0;
        for index in 0..self.slots.len() {
            if !self.queued[index] && !self.queue(index)? {
                lent += 1;
            }
        }
        Ok(lent)
    }

    /// Gives a buffer to the driver; `false`, and nothing done, if somebody reads it.
    pub fn queue(&mut self, index: usize) -> Result<bool, Failure> {
        let Some(buffer) = Arc::get_mut(&mut self.slots[index]) else {
            return Ok(false);
        };
        buffer.filled = 0..0;
        let mut plane = abi::Plane::zeroed();
        let mut asked = self.buffer(index as u32, &mut plane);
        self.device.ask(&abi::QBUF, &mut asked)?;
        self.queued[index] = true;
        Ok(true)
    }

    /// Takes the next buffer that the driver filled; `None` if there is none yet.
    pub fn dequeue(&mut self) -> Result<Option<Dequeued>, Failure> {
        let mut plane = abi::Plane::zeroed();
        let mut taken = self.buffer(0, &mut plane);
        match self.device.ask(&abi::DQBUF, &mut taken) {
            Ok(()) => self.taken(&taken, plane).map(Some),
            Err(failure) if failure.errno == Errno::AGAIN => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// The bytes of a dequeued buffer, for as long as the clones of this live.
    pub fn lend(&self, index: usize) -> Arc<LentBuffer> {
        Arc::clone(&self.slots[index])
    }

    /// Starts the stream.
    pub fn stream_on(&self) -> Result<(), Failure> {
        self.device.ask(&abi::STREAMON, &mut { self.planes as i32 })
    }

    /// Waits as [`Device::wait`] does.
    pub fn wait(&self, timeout: Duration) -> Result<Ready, Failure> {
        self.device.wait(timeout)
    }

    /// A buffer as a DMABUF, for a device that reads it without the processor.
    pub fn export(&self, index: usize) -> Result<OwnedFd, Failure> {
        let mut asked = abi::ExportBuffer {
            kind: self.planes as u32,
            index: index as u32,
            flags: OFlags::CLOEXEC.bits(),
            ..Argument::zeroed()
        };
        self.device.ask(&abi::EXPBUF, &mut asked)?;
        // SAFETY: the call succeeded, so that this is a new file of ours that nobody else closes.
        Ok(unsafe { OwnedFd::from_raw_fd(asked.fd) })
    }

    fn taken(&mut self, taken: &abi::Buffer, plane: abi::Plane) -> Result<Dequeued, Failure> {
        let odd = Failure { call: "DQBUF", errno: Errno::PROTO };
        let index = taken.index as usize;
        let slot = self.slots.get_mut(index).filter(|_| self.queued[index]).ok_or(odd)?;
        self.queued[index] = false;
        let (from, used) = match self.planes {
            Planes::Single => (0, taken.bytesused),
            Planes::Multiple => (plane.data_offset, plane.bytesused),
        };
        // Nobody was lent it while it was queued; a driver that says more than there is gets what there is.
        let buffer = Arc::get_mut(slot).ok_or(odd)?;
        let end = (used as usize).min(buffer.mapping.len);
        buffer.filled = (from as usize).min(end)..end;
        Ok(Dequeued {
            index,
            bytes: buffer.filled.len(),
            sequence: taken.sequence,
            seconds: taken.seconds,
            microseconds: taken.microseconds,
            flags: taken.flags,
        })
    }

    /// Where a buffer lies in the device, and how long it is.
    fn place(&self, index: u32) -> Result<(u64, usize), Failure> {
        let mut plane = abi::Plane::zeroed();
        let mut buffer = self.buffer(index, &mut plane);
        self.device.ask(&abi::QUERYBUF, &mut buffer)?;
        Ok(match self.planes {
            Planes::Single => (buffer.place.addr() as u64 & 0xffff_ffff, buffer.length as usize),
            Planes::Multiple => (plane.place & 0xffff_ffff, plane.length as usize),
        })
    }

    /// What the calls about a buffer are asked with; `plane` must outlive the call.
    fn buffer(&self, index: u32, plane: &mut abi::Plane) -> abi::Buffer {
        let asked = abi::Buffer { index, kind: self.planes as u32, memory: abi::MEMORY_MMAP, ..Argument::zeroed() };
        match self.planes {
            Planes::Single => asked,
            Planes::Multiple => abi::Buffer { place: plane, length: 1, ..asked },
        }
    }
}

impl Drop for Buffers {
    /// Stops the stream and gives the buffers back, so that others can open the device even while pictures are read.
    fn drop(&mut self) {
        // A device that is gone refuses both, and has nothing left to stop.
        let _ = self.device.ask(&abi::STREAMOFF, &mut { self.planes as i32 });
        let _ = self.device.ask(&abi::REQBUFS, &mut request(self.planes, 0));
    }
}

fn request(planes: Planes, count: u32) -> abi::RequestBuffers {
    abi::RequestBuffers { count, kind: planes as u32, memory: abi::MEMORY_MMAP, ..Argument::zeroed() }
}
