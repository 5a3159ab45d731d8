//! The structures and numbers of `<linux/videodev2.h>`, as the kernel lays them out on 64-bit machines.
//!
//! Unions are spelled as the one member that is used here, the rest is reserved. Sizes are asserted when this is
//! compiled; a test compares sizes, places and numbers with the system's own header.

use rustix::ioctl::{Opcode, opcode};
use std::marker::PhantomData;

/// Memory planes that a buffer may have.
pub(super) const PLANES: usize = 8;
/// `V4L2_MEMORY_MMAP`.
pub(super) const MEMORY_MMAP: u32 = 1;
/// `V4L2_FIELD_NONE`: whole frames, not interlaced.
pub(super) const FIELD_NONE: u32 = 1;
/// `V4L2_CAP_TIMEPERFRAME`.
pub(super) const PARM_HAS_INTERVAL: u32 = 0x1000;
/// `V4L2_CTRL_FLAG_NEXT_CTRL`.
pub(super) const NEXT_CONTROL: u32 = 0x8000_0000;

/// What a call hands to the kernel and gets back in the same place.
///
/// # Safety
/// The type is `repr(C)` and made of integers, arrays of them and raw pointers alone, so that whatever bytes the kernel
/// writes are a value of it, all zeroes included.
pub(super) unsafe trait Argument: Copy {
    fn zeroed() -> Self {
        // SAFETY: the trait promises that all zeroes are a value.
        unsafe { std::mem::zeroed() }
    }
}

/// A call by its number, and the argument that the kernel expects for that number.
pub(super) struct Request<T> {
    pub(super) name: &'static str,
    pub(super) opcode: Opcode,
    argument: PhantomData<fn(T)>,
}

impl<T: Argument> Request<T> {
    const fn read(number: u8, name: &'static str) -> Self {
        Self { name, opcode: opcode::read::<T>(b'V', number), argument: PhantomData }
    }

    const fn write(number: u8, name: &'static str) -> Self {
        Self { name, opcode: opcode::write::<T>(b'V', number), argument: PhantomData }
    }

    const fn both(number: u8, name: &'static str) -> Self {
        Self { name, opcode: opcode::read_write::<T>(b'V', number), argument: PhantomData }
    }
}

pub(super) const QUERYCAP: Request<Capability> = Request::read(0, "QUERYCAP");
pub(super) const ENUM_FMT: Request<FormatDescription> = Request::both(2, "ENUM_FMT");
pub(super) const G_FMT: Request<SingleFormat> = Request::both(4, "G_FMT");
pub(super) const S_FMT: Request<SingleFormat> = Request::both(5, "S_FMT");
pub(super) const G_FMT_MULTIPLE: Request<MultipleFormat> = Request::both(4, "G_FMT");
pub(super) const S_FMT_MULTIPLE: Request<MultipleFormat> = Request::both(5, "S_FMT");
pub(super) const REQBUFS: Request<RequestBuffers> = Request::both(8, "REQBUFS");
pub(super) const QUERYBUF: Request<Buffer> = Request::both(9, "QUERYBUF");
pub(super) const QBUF: Request<Buffer> = Request::both(15, "QBUF");
pub(super) const EXPBUF: Request<ExportBuffer> = Request::both(16, "EXPBUF");
pub(super) const DQBUF: Request<Buffer> = Request::both(17, "DQBUF");
pub(super) const STREAMON: Request<i32> = Request::write(18, "STREAMON");
pub(super) const STREAMOFF: Request<i32> = Request::write(19, "STREAMOFF");
pub(super) const G_PARM: Request<StreamParameters> = Request::both(21, "G_PARM");
pub(super) const S_PARM: Request<StreamParameters> = Request::both(22, "S_PARM");
pub(super) const S_INPUT: Request<i32> = Request::both(39, "S_INPUT");
pub(super) const G_EXT_CTRLS: Request<ExtendedControls> = Request::both(71, "G_EXT_CTRLS");
pub(super) const S_EXT_CTRLS: Request<ExtendedControls> = Request::both(72, "S_EXT_CTRLS");
pub(super) const ENUM_FRAMESIZES: Request<FrameSizeEntry> = Request::both(74, "ENUM_FRAMESIZES");
pub(super) const ENUM_FRAMEINTERVALS: Request<FrameIntervalEntry> = Request::both(75, "ENUM_FRAMEINTERVALS");
pub(super) const QUERY_EXT_CTRL: Request<ControlDescription> = Request::both(103, "QUERY_EXT_CTRL");

/// Declares a structure of the kernel's with the size that it has there.
macro_rules! kernel_struct {
    ($(#[$doc:meta])* $name:ident, $size:literal, { $($field:ident: $kind:ty),* $(,)? }) => {
        $(#[$doc])*
        #[repr(C)]
        #[derive(Clone, Copy)]
        pub(super) struct $name { $(pub(super) $field: $kind),* }
        const _: () = assert!(size_of::<$name>() == $size);
        // SAFETY: repr(C), and every field below is an integer, an array of such, a structure of the same kind or a
        // raw pointer.
        unsafe impl Argument for $name {}
    };
}

// SAFETY: an integer.
unsafe impl Argument for i32 {}

kernel_struct!(
    /// `v4l2_capability`.
    Capability, 104, {
        driver: [u8; 16], card: [u8; 32], bus_info: [u8; 32], version: u32, capabilities: u32, device_caps: u32,
        reserved: [u32; 3],
    }
);
kernel_struct!(
    /// `v4l2_fmtdesc`.
    FormatDescription, 64, {
        index: u32, kind: u32, flags: u32, description: [u8; 32], pixelformat: u32, mbus_code: u32, reserved: [u32; 3],
    }
);
kernel_struct!(
    /// `v4l2_pix_format`.
    PixelLayout, 48, {
        width: u32, height: u32, pixelformat: u32, field: u32, bytesperline: u32, sizeimage: u32, colorspace: u32,
        private: u32, flags: u32, encoding: u32, quantization: u32, transfer: u32,
    }
);
kernel_struct!(
    /// `v4l2_plane_pix_format`.
    PlaneLayout, 20, { sizeimage: u32, bytesperline: u32, reserved: [u16; 6] }
);
kernel_struct!(
    /// `v4l2_format` of a single-planar queue.
    SingleFormat, 208, { kind: u32, padding: u32, layout: PixelLayout, rest: [u64; 19] }
);
kernel_struct!(
    /// `v4l2_format` of a multi-planar queue: `v4l2_pix_format_mplane` from byte 8 on.
    MultipleFormat, 208, {
        kind: u32, padding: u32, width: u32, height: u32, pixelformat: u32, field: u32, colorspace: u32,
        planes: [PlaneLayout; PLANES], num_planes: u8, flags: u8, encoding: u8, quantization: u8, transfer: u8,
        reserved: [u8; 7], rest: u64,
    }
);
kernel_struct!(
    /// `v4l2_streamparm` of a capture queue: `v4l2_captureparm` from byte 4 on.
    StreamParameters, 204, {
        kind: u32, capability: u32, mode: u32, numerator: u32, denominator: u32, extended: u32, read_buffers: u32,
        reserved: [u32; 4], rest: [u32; 40],
    }
);
kernel_struct!(
    /// `v4l2_requestbuffers`.
    RequestBuffers, 20, { count: u32, kind: u32, memory: u32, capabilities: u32, flags: u8, reserved: [u8; 3] }
);
kernel_struct!(
    /// `v4l2_plane`; the offset is the low half of `place`.
    Plane, 64, { bytesused: u32, length: u32, place: u64, data_offset: u32, reserved: [u32; 11] }
);
kernel_struct!(
    /// `v4l2_buffer`; `place` is an offset in a single-planar queue, the address of planes in a multi-planar one.
    Buffer, 88, {
        index: u32, kind: u32, bytesused: u32, flags: u32, field: u32, padding: u32, seconds: i64, microseconds: i64,
        timecode: [u32; 4], sequence: u32, memory: u32, place: *mut Plane, length: u32, reserved: u32, request: i32,
        tail: u32,
    }
);
kernel_struct!(
    /// `v4l2_exportbuffer`.
    ExportBuffer, 64, { kind: u32, index: u32, plane: u32, flags: u32, fd: i32, reserved: [u32; 11] }
);
kernel_struct!(
    /// `v4l2_frmsizeenum`: a width and a height, or least, greatest and step of each.
    FrameSizeEntry, 44, { index: u32, pixelformat: u32, kind: u32, sides: [u32; 6], reserved: [u32; 2] }
);
kernel_struct!(
    /// `v4l2_frmivalenum`: an interval as a fraction of a second, or least, greatest and step.
    FrameIntervalEntry, 52, {
        index: u32, pixelformat: u32, width: u32, height: u32, kind: u32, fractions: [u32; 6], reserved: [u32; 2],
    }
);
kernel_struct!(
    /// `v4l2_query_ext_ctrl`.
    ControlDescription, 232, {
        id: u32, kind: u32, name: [u8; 32], minimum: i64, maximum: i64, step: u64, default: i64, flags: u32,
        element_size: u32, elements: u32, dimensions: u32, dims: [u32; 4], reserved: [u32; 32],
    }
);
kernel_struct!(
    /// `v4l2_ext_control`, which the kernel packs: the value in two halves, low half first.
    ExtendedControl, 20, { id: u32, size: u32, reserved: u32, value: [u32; 2] }
);
kernel_struct!(
    /// `v4l2_ext_controls`.
    ExtendedControls, 32, {
        which: u32, count: u32, error_index: u32, request: i32, reserved: u32, padding: u32,
        controls: *mut ExtendedControl,
    }
);

const _: () = assert!(cfg!(target_endian = "little"), "the halves of 64-bit fields are spelled low half first");

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;
    use std::mem::offset_of;
    use std::process::Command;

    /// A structure's name in C, and its size and the places of its fields here.
    macro_rules! laid_out {
        ($name:ident, $c:literal, $($field:ident = $member:literal),*) => {{
            let mut lines = vec![(concat!("sizeof(", $c, ")").to_owned(), size_of::<$name>())];
            $(lines.push((format!("offsetof({}, {})", $c, $member), offset_of!($name, $field)));)*
            lines
        }};
    }

    fn places() -> Vec<(String, usize)> {
        [
            laid_out!(Capability, "struct v4l2_capability", card = "card", device_caps = "device_caps"),
            laid_out!(
                FormatDescription,
                "struct v4l2_fmtdesc",
                pixelformat = "pixelformat",
                description = "description"
            ),
            laid_out!(PixelLayout, "struct v4l2_pix_format", bytesperline = "bytesperline", transfer = "xfer_func"),
            laid_out!(PlaneLayout, "struct v4l2_plane_pix_format", bytesperline = "bytesperline"),
            laid_out!(SingleFormat, "struct v4l2_format", layout = "fmt.pix"),
            laid_out!(
                MultipleFormat,
                "struct v4l2_format",
                width = "fmt.pix_mp.width",
                planes = "fmt.pix_mp.plane_fmt",
                num_planes = "fmt.pix_mp.num_planes",
                transfer = "fmt.pix_mp.xfer_func"
            ),
            laid_out!(
                StreamParameters,
                "struct v4l2_streamparm",
                capability = "parm.capture.capability",
                numerator = "parm.capture.timeperframe.numerator",
                denominator = "parm.capture.timeperframe.denominator"
            ),
            laid_out!(RequestBuffers, "struct v4l2_requestbuffers", memory = "memory", capabilities = "capabilities"),
            laid_out!(Plane, "struct v4l2_plane", length = "length", place = "m", data_offset = "data_offset"),
            laid_out!(
                Buffer,
                "struct v4l2_buffer",
                bytesused = "bytesused",
                flags = "flags",
                field = "field",
                seconds = "timestamp.tv_sec",
                microseconds = "timestamp.tv_usec",
                sequence = "sequence",
                memory = "memory",
                place = "m",
                length = "length",
                request = "request_fd"
            ),
            laid_out!(ExportBuffer, "struct v4l2_exportbuffer", index = "index", flags = "flags", fd = "fd"),
            laid_out!(FrameSizeEntry, "struct v4l2_frmsizeenum", kind = "type", sides = "discrete"),
            laid_out!(FrameIntervalEntry, "struct v4l2_frmivalenum", kind = "type", fractions = "discrete"),
            laid_out!(
                ControlDescription,
                "struct v4l2_query_ext_ctrl",
                name = "name",
                minimum = "minimum",
                step = "step",
                flags = "flags",
                dims = "dims"
            ),
            laid_out!(ExtendedControl, "struct v4l2_ext_control", size = "size", value = "value64"),
            laid_out!(ExtendedControls, "struct v4l2_ext_controls", count = "count", controls = "controls"),
        ]
        .concat()
    }

    fn numbers() -> Vec<(String, usize)> {
        macro_rules! numbered {
            ($($c:literal = $request:expr),* $(,)?) => { vec![$(($c.to_owned(), $request.opcode as usize)),*] };
        }
        let mut all = numbered!(
            "VIDIOC_QUERYCAP" = QUERYCAP,
            "VIDIOC_ENUM_FMT" = ENUM_FMT,
            "VIDIOC_G_FMT" = G_FMT,
            "VIDIOC_S_FMT" = S_FMT,
            "VIDIOC_G_FMT" = G_FMT_MULTIPLE,
            "VIDIOC_S_FMT" = S_FMT_MULTIPLE,
            "VIDIOC_REQBUFS" = REQBUFS,
            "VIDIOC_QUERYBUF" = QUERYBUF,
            "VIDIOC_QBUF" = QBUF,
            "VIDIOC_EXPBUF" = EXPBUF,
            "VIDIOC_DQBUF" = DQBUF,
            "VIDIOC_STREAMON" = STREAMON,
            "VIDIOC_STREAMOFF" = STREAMOFF,
            "VIDIOC_G_PARM" = G_PARM,
            "VIDIOC_S_PARM" = S_PARM,
            "VIDIOC_S_INPUT" = S_INPUT,
            "VIDIOC_G_EXT_CTRLS" = G_EXT_CTRLS,
            "VIDIOC_S_EXT_CTRLS" = S_EXT_CTRLS,
            "VIDIOC_ENUM_FRAMESIZES" = ENUM_FRAMESIZES,
            "VIDIOC_ENUM_FRAMEINTERVALS" = ENUM_FRAMEINTERVALS,
            "VIDIOC_QUERY_EXT_CTRL" = QUERY_EXT_CTRL,
        );
        all.extend([("V4L2_MEMORY_MMAP", MEMORY_MMAP), ("V4L2_FIELD_NONE", FIELD_NONE)].map(named));
        all.extend(
            [("V4L2_CAP_TIMEPERFRAME", PARM_HAS_INTERVAL), ("V4L2_CTRL_FLAG_NEXT_CTRL", NEXT_CONTROL)].map(named),
        );
        all.push(("VIDEO_MAX_PLANES".to_owned(), PLANES));
        all.extend(super::super::FLAGS.map(named));
        all
    }

    fn named((name, value): (&str, u32)) -> (String, usize) {
        (name.to_owned(), value as usize)
    }

    #[test]
    fn the_kernels_own_header_gives_the_same_sizes_places_and_numbers() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let [source, program] = ["layout.c", "layout"].map(|name| folder.path().join(name));
        let ours = [places(), numbers()].concat();
        let mut text =
            "#include <stddef.h>\n#include <stdio.h>\n#include <linux/videodev2.h>\nint main() {\n".to_owned();
        for (expression, _) in &ours {
            writeln!(text, "printf(\"%zu\\n\", (size_t)(unsigned)({expression}));").expect("a string takes it");
        }
        std::fs::write(&source, text + "}\n").expect("the folder is ours");
        let built = Command::new("cc").arg("-w").arg(&source).arg("-o").arg(&program).output();
        if !built.as_ref().is_ok_and(|output| output.status.success()) {
            eprintln!("SKIPPED: no C compiler with <linux/videodev2.h>: {built:?}");
            return;
        }
        let told = Command::new(&program).output().expect("what was built runs").stdout;
        let theirs: Vec<usize> =
            String::from_utf8_lossy(&told).lines().map(|line| line.parse().expect("a number")).collect();
        assert_eq!(theirs.len(), ours.len());
        let other: Vec<_> = ours.iter().zip(theirs).filter(|((_, ours), theirs)| ours != theirs).collect();
        assert!(other.is_empty(), "ours and the header's: {other:?}");
    }
}
