//! Which pictures a device can give: formats, sizes, rates; and choosing one of each.

use super::abi::{self, Argument};
use super::{Device, Failure, Planes, text};
use std::fmt;

/// A pixel format by the four letters that V4L2 knows it by.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FourCc(pub [u8; 4]);

impl FourCc {
    fn from_code(code: u32) -> Self {
        Self(code.to_le_bytes())
    }

    fn code(self) -> u32 {
        u32::from_le_bytes(self.0)
    }
}

impl fmt::Display for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|&byte| write!(f, "{}", byte.escape_ascii()))
    }
}

impl fmt::Debug for FourCc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A fraction of a second: the time from frame to frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fraction {
    /// Above the line.
    pub numerator: u32,
    /// Below it.
    pub denominator: u32,
}

impl Fraction {
    /// Frames a second; `None` where a part is 0.
    pub fn rate_hz(self) -> Option<f64> {
        let whole = self.numerator != 0 && self.denominator != 0;
        whole.then(|| f64::from(self.denominator) / f64::from(self.numerator))
    }
}

/// A format that a device offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferedFormat {
    /// Its letters.
    pub code: FourCc,
    /// The driver's words for it.
    pub description: String,
}

/// Sizes that a device offers for a format: one, or all between two in steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameSizes {
    /// Width and height of the least.
    pub least: (u32, u32),
    /// Width and height of the greatest; equal to the least where it is one size.
    pub greatest: (u32, u32),
    /// Steps of width and height.
    pub step: (u32, u32),
}

/// A picture to ask for; the device may change each part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FormatAsked {
    /// Its letters.
    pub code: FourCc,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

/// The pictures that a device is set to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// Its letters.
    pub code: FourCc,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Bytes from row to row of the first plane; 0 where compressed.
    pub stride: u32,
    /// Planes that lie in memory of their own.
    pub memory_planes: u8,
    /// Whether whole frames come, not every second row.
    pub progressive: bool,
}

impl Device {
    /// The formats on offer.
    pub fn formats(&self, planes: Planes) -> Vec<OfferedFormat> {
        let entry = |index| abi::FormatDescription { index, kind: planes as u32, ..Argument::zeroed() };
        self.list(&abi::ENUM_FMT, entry, |found| OfferedFormat {
            code: FourCc::from_code(found.pixelformat),
            description: text(&found.description),
        })
    }

    /// The sizes on offer for a format; none where the driver does not tell.
    pub fn sizes(&self, code: FourCc) -> Vec<FrameSizes> {
        let entry = |index| abi::FrameSizeEntry { index, pixelformat: code.code(), ..Argument::zeroed() };
        self.list(&abi::ENUM_FRAMESIZES, entry, |found| match (found.kind, found.sides) {
            (1, [width, height, ..]) => FrameSizes { least: (width, height), greatest: (width, height), step: (0, 0) },
            (_, [least_width, width, step_width, least_height, height, step_height]) => FrameSizes {
                least: (least_width, least_height),
                greatest: (width, height),
                step: (step_width, step_height),
            },
        })
    }

    /// The times from frame to frame on offer for a size; of a range, its ends.
    pub fn intervals(&self, asked: FormatAsked) -> Vec<Fraction> {
        let entry = |index| abi::FrameIntervalEntry {
            index,
            pixelformat: asked.code.code(),
            width: asked.width,
            height: asked.height,
            ..Argument::zeroed()
        };
        let fraction = |parts: &[u32]| Fraction { numerator: parts[0], denominator: parts[1] };
        let found = self.list(&abi::ENUM_FRAMEINTERVALS, entry, |found| match found.kind {
            1 => vec![fraction(&found.fractions[..2])],
            _ => vec![fraction(&found.fractions[..2]), fraction(&found.fractions[2..4])],
        });
        found.concat()
    }

    /// What it is set to.
    pub fn format(&self, planes: Planes) -> Result<Format, Failure> {
        match planes {
            Planes::Single => {
                let mut found = abi::SingleFormat { kind: planes as u32, ..Argument::zeroed() };
                self.ask(&abi::G_FMT, &mut found).map(|()| single(&found))
            }
            Planes::Multiple => {
                let mut found = abi::MultipleFormat { kind: planes as u32, ..Argument::zeroed() };
                self.ask(&abi::G_FMT_MULTIPLE, &mut found).map(|()| multiple(&found))
            }
        }
    }

    /// Asks for pictures; what the device made of it comes back.
    pub fn set_format(&self, planes: Planes, asked: FormatAsked) -> Result<Format, Failure> {
        match planes {
            Planes::Single => {
                let mut format = abi::SingleFormat { kind: planes as u32, ..Argument::zeroed() };
                let layout = &mut format.layout;
                (layout.width, layout.height) = (asked.width, asked.height);
                (layout.pixelformat, layout.field) = (asked.code.code(), abi::FIELD_NONE);
                self.ask(&abi::S_FMT, &mut format).map(|()| single(&format))
            }
            Planes::Multiple => {
                let mut format = abi::MultipleFormat { kind: planes as u32, num_planes: 1, ..Argument::zeroed() };
                (format.width, format.height) = (asked.width, asked.height);
                (format.pixelformat, format.field) = (asked.code.code(), abi::FIELD_NONE);
                self.ask(&abi::S_FMT_MULTIPLE, &mut format).map(|()| multiple(&format))
            }
        }
    }

    /// The time from frame to frame that it is set to; `None` where the driver has no such thing.
    pub fn interval(&self, planes: Planes) -> Option<Fraction> {
        let mut found = abi::StreamParameters { kind: planes as u32, ..Argument::zeroed() };
        self.ask(&abi::G_PARM, &mut found).ok()?;
        interval(&found)
    }

    /// Asks for a time from frame to frame; what the device made of it comes back, `None` where it cannot be set.
    pub fn set_interval(&self, planes: Planes, asked: Fraction) -> Result<Option<Fraction>, Failure> {
        let mut parameters = abi::StreamParameters {
            kind: planes as u32,
            numerator: asked.numerator,
            denominator: asked.denominator,
            ..Argument::zeroed()
        };
        self.ask(&abi::S_PARM, &mut parameters)?;
        Ok(interval(&parameters))
    }
}

fn interval(found: &abi::StreamParameters) -> Option<Fraction> {
    let told = found.capability & abi::PARM_HAS_INTERVAL != 0;
    told.then_some(Fraction { numerator: found.numerator, denominator: found.denominator })
}

fn single(found: &abi::SingleFormat) -> Format {
    let layout = &found.layout;
    Format {
        code: FourCc::from_code(layout.pixelformat),
        width: layout.width,
        height: layout.height,
        stride: layout.bytesperline,
        memory_planes: 1,
        progressive: layout.field <= abi::FIELD_NONE,
    }
}

fn multiple(found: &abi::MultipleFormat) -> Format {
    Format {
        code: FourCc::from_code(found.pixelformat),
        width: found.width,
        height: found.height,
        stride: found.planes[0].bytesperline,
        memory_planes: found.num_planes,
        progressive: found.field <= abi::FIELD_NONE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_letters_are_the_number_that_the_kernel_makes_of_them() {
        assert_eq!(FourCc(*b"YUYV").code(), 0x5659_5559);
        assert_eq!(FourCc::from_code(0x5659_5559).to_string(), "YUYV");
        assert_eq!(FourCc(*b"Y8\0 ").to_string(), "Y8\\x00 ");
    }

    #[test]
    fn an_interval_without_an_end_is_no_rate() {
        let rate_hz = |numerator, denominator| Fraction { numerator, denominator }.rate_hz();
        assert_eq!((rate_hz(1, 30), rate_hz(0, 30), rate_hz(1, 0)), (Some(30.0), None, None));
    }
}
