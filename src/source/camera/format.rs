//! Which of V4L2's formats are ours.

use crate::data::PixelFormat;
use crate::sys::v4l2::FourCc;

/// In the order in which one is taken where none is asked for.
const KNOWN: [(PixelFormat, FourCc); 7] = [
    (PixelFormat::Nv12, FourCc(*b"NV12")),
    (PixelFormat::Yuyv, FourCc(*b"YUYV")),
    (PixelFormat::Uyvy, FourCc(*b"UYVY")),
    (PixelFormat::Rgb8, FourCc(*b"RGB3")),
    (PixelFormat::Grey, FourCc(*b"GREY")),
    (PixelFormat::Jpeg, FourCc(*b"MJPG")),
    (PixelFormat::Jpeg, FourCc(*b"JPEG")),
];

/// Ours of V4L2's.
pub(super) fn known(code: FourCc) -> Option<PixelFormat> {
    KNOWN.into_iter().find(|&(_, known)| known == code).map(|(format, _)| format)
}

/// V4L2's of ours: that of those `offered` which means it, else the usual one.
pub(super) fn code(format: PixelFormat, offered: &[FourCc]) -> FourCc {
    let meant = || KNOWN.into_iter().filter(move |&(known, _)| known == format).map(|(_, code)| code);
    let usual = meant().next().expect("every format of ours is in the table: a test says so");
    meant().find(|code| offered.contains(code)).unwrap_or(usual)
}

/// The first of ours that is offered.
pub(super) fn readable(offered: &[FourCc]) -> Option<FourCc> {
    KNOWN.into_iter().map(|(_, code)| code).find(|code| offered.contains(code))
}

/// As it is written in the configuration, or V4L2's letters where it cannot be.
pub(super) fn name(code: FourCc) -> String {
    known(code).map_or_else(|| code.to_string(), |format| format.name().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_of_ours_has_letters_and_comes_back_from_them() {
        for format in PixelFormat::ALL {
            assert_eq!(known(code(format, &[])), Some(format));
        }
        assert_eq!(code(PixelFormat::Jpeg, &[FourCc(*b"JPEG")]), FourCc(*b"JPEG"));
        assert_eq!(known(FourCc(*b"NM12")), None);
        assert_eq!(readable(&[*b"NM12", *b"GREY", *b"YUYV"].map(FourCc)), Some(FourCc(*b"YUYV")));
    }
}
