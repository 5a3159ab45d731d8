//! Camera images as they come: packed, planar and compressed, with the stride of their rows.

use super::SharedBytes;
use std::fmt;
use std::str::FromStr;

/// The longest side an image may have: bounds every allocation that a file or a message asks for.
const MAX_SIDE: u32 = 16_384;

/// Width and height in pixels, both at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Size {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl Size {
    /// `width` columns by `height` rows.
    pub const fn new(width: u32, height: u32) -> Self {
        Self { width, height }
    }

    /// Number of pixels.
    pub const fn pixels(self) -> usize {
        self.width as usize * self.height as usize
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

impl FromStr for Size {
    type Err = String;
    /// Reads `WIDTHxHEIGHT`, such as `1280x720`.
    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || format!("'{text}' is not a size: write WIDTHxHEIGHT, such as 1280x720");
        let (width, height) = text.split_once('x').ok_or_else(refuse)?;
        let size = Self::new(width.parse().map_err(|_| refuse())?, height.parse().map_err(|_| refuse())?);
        check_sides(size).map_err(|error| error.to_string())?;
        Ok(size)
    }
}

/// How an image's bytes are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PixelFormat {
    /// 4:2:2 packed, `Y0 U Y1 V`; even width.
    Yuyv,
    /// 4:2:2 packed, `U Y0 V Y1`; even width.
    Uyvy,
    /// 4:2:0: a plane of Y, then a plane of `U V` pairs at half height, same stride; even width and height.
    Nv12,
    /// `R G B`, 8 bits each.
    Rgb8,
    /// Luma only.
    Grey,
    /// A JPEG file; stride has no meaning and is 0.
    Jpeg,
}

impl PixelFormat {
    /// Every format, in the order of the documentation.
    pub const ALL: [Self; 6] = [Self::Yuyv, Self::Uyvy, Self::Nv12, Self::Rgb8, Self::Grey, Self::Jpeg];

    /// The format's name in configuration, trips and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Yuyv => "yuyv",
            Self::Uyvy => "uyvy",
            Self::Nv12 => "nv12",
            Self::Rgb8 => "rgb8",
            Self::Grey => "grey",
            Self::Jpeg => "jpeg",
        }
    }

    /// Bytes of one row of `width` pixels without padding; 0 for JPEG.
    pub const fn row_bytes(self, width: u32) -> usize {
        let width = width as usize;
        match self {
            Self::Yuyv | Self::Uyvy => width * 2,
            Self::Nv12 | Self::Grey => width,
            Self::Rgb8 => width * 3,
            Self::Jpeg => 0,
        }
    }

    const fn rows(self, height: u32) -> usize {
        let height = height as usize;
        match self {
            Self::Nv12 => height + height / 2,
            _ => height,
        }
    }
}

impl FromStr for PixelFormat {
    type Err = ImageError;
    fn from_str(name: &str) -> Result<Self, ImageError> {
        let found = Self::ALL.into_iter().find(|format| format.name() == name);
        found.ok_or_else(|| ImageError::UnknownFormat(name.to_owned()))
    }
}

/// Why bytes are not the image they claim to be. Recovery: skip the image and count it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ImageError {
    /// A side is 0 or longer than 16384.
    #[error("image size {0} is outside 1x1 to {MAX_SIDE}x{MAX_SIDE}")]
    Size(Size),
    /// A subsampled format with an odd side.
    #[error("{} needs an even width{}, got {size}", .format.name(), if matches!(.format, PixelFormat::Nv12) { " and height" } else { "" })]
    OddSide {
        /// The subsampled format.
        format: PixelFormat,
        /// The size given.
        size: Size,
    },
    /// Rows closer together than they are long.
    #[error("stride {got} is shorter than a row of {expected} bytes")]
    Stride {
        /// Bytes of a row without padding.
        expected: usize,
        /// The stride given.
        got: usize,
    },
    /// Fewer bytes than the rows need.
    #[error("image of {size} {} needs {expected} bytes, got {got}", .format.name())]
    Short {
        /// The layout.
        format: PixelFormat,
        /// The size given.
        size: Size,
        /// Bytes needed.
        expected: usize,
        /// Bytes given.
        got: usize,
    },
    /// Not a JPEG, cut short, or not of the size it was said to have.
    #[error("jpeg: {0}")]
    Jpeg(String),
    /// Not one of the format names.
    #[error("unknown pixel format '{0}': known are yuyv, uyvy, nv12, rgb8, grey, jpeg")]
    UnknownFormat(String),
}

/// One camera image; its invariants (size, stride, enough bytes) were checked when it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    format: PixelFormat,
    size: Size,
    stride: usize,
    bytes: SharedBytes,
}

impl Image {
    /// An uncompressed image whose rows are `stride` bytes apart. The last row needs no padding.
    pub fn new(format: PixelFormat, size: Size, stride: usize, bytes: SharedBytes) -> Result<Self, ImageError> {
        check_sides(size)?;
        check_parity(format, size)?;
        let row = format.row_bytes(size.width);
        if stride < row {
            return Err(ImageError::Stride { expected: row, got: stride });
        }
        let expected = stride.saturating_mul(format.rows(size.height) - 1).saturating_add(row);
        if bytes.len() < expected || bytes.is_empty() {
            return Err(ImageError::Short { format, size, expected, got: bytes.len() });
        }
        Ok(Self { format, size, stride, bytes })
    }

    /// An uncompressed image with no padding between rows.
    pub fn packed(format: PixelFormat, size: Size, bytes: SharedBytes) -> Result<Self, ImageError> {
        Self::new(format, size, format.row_bytes(size.width), bytes)
    }

    /// A JPEG file whose header says it is `size`.
    pub fn jpeg(size: Size, bytes: SharedBytes) -> Result<Self, ImageError> {
        Self::new(PixelFormat::Jpeg, size, 0, bytes)
    }

    /// How the bytes are laid out.
    pub fn format(&self) -> PixelFormat {
        self.format
    }

    /// Width and height in pixels.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Bytes from one row to the next; 0 for JPEG.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// All bytes, padding included.
    pub fn bytes(&self) -> &SharedBytes {
        &self.bytes
    }

    /// Row `y` of the first plane without its padding.
    ///
    /// # Panics
    /// If `y` is not below the height, or the image is a JPEG.
    pub fn row(&self, y: u32) -> &[u8] {
        assert!(
            y < self.size.height && self.format != PixelFormat::Jpeg,
            "row {y} of a {} {:?}",
            self.size,
            self.format
        );
        self.row_at(y as usize)
    }

    /// The `U V` row that belongs to luma row `y` of an NV12 image.
    ///
    /// # Panics
    /// If `y` is not below the height, or the image is not NV12.
    pub fn chroma_row(&self, y: u32) -> &[u8] {
        assert!(y < self.size.height && self.format == PixelFormat::Nv12, "chroma row {y} of a {:?}", self.format);
        self.row_at(self.size.height as usize + y as usize / 2)
    }

    fn row_at(&self, row: usize) -> &[u8] {
        let start = row * self.stride;
        &self.bytes[start..start + self.format.row_bytes(self.size.width)]
    }
}

fn check_sides(size: Size) -> Result<(), ImageError> {
    let fits = |side: u32| (1..=MAX_SIDE).contains(&side);
    if fits(size.width) && fits(size.height) { Ok(()) } else { Err(ImageError::Size(size)) }
}

fn check_parity(format: PixelFormat, size: Size) -> Result<(), ImageError> {
    let even = |side: u32| side.is_multiple_of(2);
    let fits = match format {
        PixelFormat::Yuyv | PixelFormat::Uyvy => even(size.width),
        PixelFormat::Nv12 => even(size.width) && even(size.height),
        PixelFormat::Rgb8 | PixelFormat::Grey | PixelFormat::Jpeg => true,
    };
    if fits { Ok(()) } else { Err(ImageError::OddSide { format, size }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(len: usize) -> SharedBytes {
        vec![0; len].into()
    }

    #[test]
    fn an_image_with_too_few_bytes_or_a_short_stride_is_refused() {
        let size = Size::new(4, 2);
        for (format, stride, len, fits) in [
            (PixelFormat::Yuyv, 8, 16, true),
            (PixelFormat::Yuyv, 8, 15, false),
            (PixelFormat::Yuyv, 7, 16, false),
            (PixelFormat::Nv12, 4, 12, true),
            (PixelFormat::Nv12, 4, 11, false),
            (PixelFormat::Rgb8, 16, 28, true),
            (PixelFormat::Grey, usize::MAX, 28, false),
            (PixelFormat::Jpeg, 0, 1, true),
            (PixelFormat::Jpeg, 0, 0, false),
        ] {
            let made = Image::new(format, size, stride, bytes(len));
            assert_eq!(made.is_ok(), fits, "{format:?} stride {stride} {len} bytes: {made:?}");
        }
    }

    #[test]
    fn odd_and_absurd_sizes_are_refused() {
        assert!(matches!(
            Image::packed(PixelFormat::Yuyv, Size::new(3, 2), bytes(99)),
            Err(ImageError::OddSide { .. })
        ));
        assert!(matches!(
            Image::packed(PixelFormat::Nv12, Size::new(2, 3), bytes(99)),
            Err(ImageError::OddSide { .. })
        ));
        assert!(matches!(Image::packed(PixelFormat::Grey, Size::new(0, 3), bytes(9)), Err(ImageError::Size(_))));
        assert!("99999x2".parse::<Size>().is_err());
        assert_eq!("1280x720".parse(), Ok(Size::new(1280, 720)));
    }

    #[test]
    fn rows_leave_the_padding_out() {
        let data: Vec<u8> = (0..18).collect();
        let image = Image::new(PixelFormat::Nv12, Size::new(4, 2), 6, data.into()).expect("18 bytes hold 3 rows of 6");
        assert_eq!(image.row(1), [6, 7, 8, 9]);
        assert_eq!(image.chroma_row(1), [12, 13, 14, 15]);
    }
}
