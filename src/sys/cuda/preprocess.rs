//! `kernels/preprocess.cu`: from a camera's bytes to planes, glance and the finest grey level.

use super::error::CudaError;
use super::flow::DevicePyramid;
use super::launch::{Argument, Grid, Sample, argument, int, side};
use super::map::{DeviceMap, expect_shape};
use super::memory::DeviceBuffer;
use super::stream::Stream;

/// How a camera lays out its pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PictureFormat {
    /// Y0 U Y1 V: two bytes a pixel.
    Yuyv,
    /// U Y0 V Y1: two bytes a pixel.
    Uyvy,
    /// Rows of luma, then half as many rows of U V pairs.
    Nv12,
    /// Three bytes a pixel.
    Rgb8,
    /// One byte a pixel.
    Grey,
}

/// A picture in the device's memory.
#[derive(Debug)]
pub struct DevicePicture {
    /// Row after row; NV12's chroma after its luma.
    pub bytes: DeviceBuffer<u8>,
    /// The layout of its pixels.
    pub format: PictureFormat,
    /// Pixels.
    pub width: usize,
    /// Pixels.
    pub height: usize,
    /// Bytes from row to row.
    pub stride: usize,
}

/// How colours become a network's numbers: `(value / 255 - mean) / std`, for each output plane.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Preparation {
    /// Mean of each plane, of 1.
    pub mean: [f32; 3],
    /// Standard deviation of each plane, of 1.
    pub std: [f32; 3],
    /// Planes in the order blue, green, red.
    pub is_bgr: bool,
    /// The resized picture is rounded to bytes before it is normalised.
    pub rounds_to_bytes: bool,
}

/// `Normalization` of the kernel.
#[repr(C)]
struct Normalization {
    scale: [f32; 3],
    offset: [f32; 3],
    mean: [f32; 3],
    std: [f32; 3],
}

impl Argument for Normalization {}

const KERNEL: &str = "preprocess";
/// Columns and rows of a block's tile.
const TILE: (usize, usize) = (32, 8);

impl DevicePicture {
    fn row_bytes(&self) -> usize {
        match self.format {
            PictureFormat::Yuyv | PictureFormat::Uyvy => self.width * 2,
            PictureFormat::Rgb8 => self.width * 3,
            PictureFormat::Nv12 | PictureFormat::Grey => self.width,
        }
    }

    /// Refuses what the kernel would read beyond.
    fn check(&self) -> Result<(), CudaError> {
        side(KERNEL, "width of the picture", self.width)?;
        side(KERNEL, "height of the picture", self.height)?;
        let pairs = matches!(self.format, PictureFormat::Yuyv | PictureFormat::Uyvy | PictureFormat::Nv12);
        let is_odd = |side: usize| !side.is_multiple_of(2);
        if pairs && is_odd(self.width) || self.format == PictureFormat::Nv12 && is_odd(self.height) {
            let got = format!("{}x{}", self.width, self.height);
            return Err(CudaError::shape(KERNEL, "sides of the picture", "even ones", got));
        }
        if self.stride < self.row_bytes() {
            return Err(CudaError::shape(KERNEL, "stride", format!("at least {}", self.row_bytes()), self.stride));
        }
        let rows = if self.format == PictureFormat::Nv12 { self.height + self.height / 2 } else { self.height };
        let needed = self.stride.saturating_mul(rows - 1).saturating_add(self.row_bytes());
        if self.bytes.len() < needed {
            return Err(CudaError::shape(
                KERNEL,
                "bytes of the picture",
                format!("at least {needed}"),
                self.bytes.len(),
            ));
        }
        Ok(())
    }
}

impl Stream {
    /// Fills `planes` `[3, rows, cols]` from `picture`, and from the same read, where they are wanted, its `glance`
    /// `[3, rows / 4, cols / 4]` and its grey `pyramid`, all levels of it.
    ///
    /// # Errors
    /// [`CudaError::Shape`] if the picture has too few bytes or a map has another shape.
    pub fn preprocess<T: Sample>(
        &self,
        picture: &DevicePicture,
        how: &Preparation,
        planes: &mut DeviceMap<T>,
        glance: Option<&mut DeviceMap<f32>>,
        pyramid: Option<&mut DevicePyramid>,
    ) -> Result<(), CudaError> {
        picture.check()?;
        let [channels, rows, cols] = planes.shape();
        expect_shape(KERNEL, "planes", [3, rows, cols], [channels, rows, cols])?;
        let (plane_rows, plane_cols) = (side(KERNEL, "rows", rows)?, side(KERNEL, "columns", cols)?);
        if let Some(glance) = &glance {
            expect_shape(KERNEL, "glance", [3, rows / 4, cols / 4], glance.shape())?;
        }
        if let Some(pyramid) = &pyramid {
            pyramid.check_is_of(picture.width, picture.height)?;
        }
        let tiles = |cols: usize, rows: usize| cols.div_ceil(TILE.0) * rows.div_ceil(TILE.1);
        let grey_tiles = pyramid.as_ref().map_or(0, |pyramid| {
            let (width, height) = pyramid.framed();
            tiles(width, height)
        });
        let grid = Grid { blocks: (tiles(cols, rows) + grey_tiles, 1, 1), threads: (TILE.0 as u32, TILE.1 as u32) };
        let (bytes, stride) = (picture.bytes.address(), int(KERNEL, "stride", picture.stride)?);
        let chroma = match picture.format {
            PictureFormat::Nv12 => bytes + (picture.stride * picture.height) as u64,
            _ => bytes,
        };
        let normalization = normalization(how);
        let options = i32::from(how.is_bgr) | i32::from(how.rounds_to_bytes) << 1;
        // An empty glance has no address either.
        let glance_address = glance.as_ref().map_or(0, |glance| glance.address());
        let (level_0, reduction) = pyramid.as_ref().map_or((0, 1), |pyramid| (pyramid.address(), pyramid.reduction()));
        let kernel = T::of(&self.device().kernels.preprocess);
        // SAFETY: the parameters of `preprocess_f16` and `_f32`, in order. It reads `stride * rows + row` bytes of the
        // picture, which `check` counted, and writes planes, glance and level 0 of the shapes compared above.
        unsafe {
            self.launch(
                kernel,
                grid,
                &[
                    argument(&bytes),
                    argument(&chroma),
                    argument(&(picture.width as i32)),
                    argument(&(picture.height as i32)),
                    argument(&stride),
                    argument(&(picture.format as i32)),
                    argument(&planes.address()),
                    argument(&plane_rows),
                    argument(&plane_cols),
                    argument(&normalization),
                    argument(&options),
                    argument(&glance_address),
                    argument(&level_0),
                    argument(&int(KERNEL, "reduction", reduction)?),
                ],
            )
        }?;
        self.keep(&picture.bytes);
        self.keep(planes.buffer());
        if let Some(glance) = glance {
            self.keep(glance.buffer());
        }
        pyramid.map_or(Ok(()), |pyramid| self.build_pyramid(pyramid))
    }
}

/// As the twin rounds it: once, from f64.
fn normalization(how: &Preparation) -> Normalization {
    let planes = [0, 1, 2];
    Normalization {
        scale: planes.map(|plane| (1.0 / (255.0 * f64::from(how.std[plane]))) as f32),
        offset: planes.map(|plane| (-f64::from(how.mean[plane]) / f64::from(how.std[plane])) as f32),
        mean: how.mean,
        std: how.std,
    }
}
