//! Grey images from coarse to fine, averaged over boxes.
//!
//! Level 0 is the image reduced by a whole number so that its longer side is at most 320, or halved if
//! it is more than 160; each further level halves it. Every level is framed by copies of its edge, so that a patch may lie
//! partly outside.

#![allow(clippy::inline_always, reason = "only what is inlined into dispatch! is compiled for its instructions")]

use super::patch::SIDE;
use crate::data::{Image, ImageError, PixelFormat, Size, luma, to_grey8};
use fearless_simd::{Simd, dispatch};

/// The longer side of the finest level: cells of usual feature grids are 2 to 8 of its pixels.
const FINEST_SIDE: usize = 320;
/// An image with a longer side is halved at least: half its pixels are still finer than any grid carried over it.
const WHOLE_SIDE: usize = 160;
/// Both sides of every level but the first are at least this: two patches.
const COARSEST_SIDE: usize = 16;
/// Copies of the edge pixels around each level.
pub(super) const FRAME: usize = 16;

/// One level, framed.
#[derive(Clone, Debug, Default)]
pub(super) struct Level {
    pub(super) width: usize,
    pub(super) height: usize,
    /// `[height + 2 FRAME, width + 2 FRAME] f32` in `[0, 255]`.
    pub(super) values: Vec<f32>,
}

impl Level {
    /// Pixels from one row to the next.
    pub(super) fn stride(&self) -> usize {
        self.width + 2 * FRAME
    }

    /// Index of pixel `(x, y)`; both may lie up to `FRAME` outside.
    pub(super) fn index(&self, x: isize, y: isize) -> usize {
        let frame = FRAME as isize;
        ((y + frame) * self.stride() as isize + x + frame) as usize
    }

    fn reshape(&mut self, width: usize, height: usize) {
        (self.width, self.height) = (width, height);
        self.values.resize((width + 2 * FRAME) * (height + 2 * FRAME), 0.0);
    }

    fn row_mut(&mut self, y: usize) -> &mut [f32] {
        let start = self.index(0, y as isize);
        &mut self.values[start..start + self.width]
    }

    fn row(&self, y: usize) -> &[f32] {
        let start = self.index(0, y as isize);
        &self.values[start..start + self.width]
    }

    fn frame_edges(&mut self) {
        let (stride, width, height) = (self.stride(), self.width, self.height);
        for row in self.values.chunks_exact_mut(stride).skip(FRAME).take(height) {
            let (left, right) = (row[FRAME], row[FRAME + width - 1]);
            row[..FRAME].fill(left);
            row[FRAME + width..].fill(right);
        }
        for y in 0..FRAME {
            self.values.copy_within(FRAME * stride..(FRAME + 1) * stride, y * stride);
            let last = (FRAME + height - 1) * stride;
            self.values.copy_within(last..last + stride, (FRAME + height + y) * stride);
        }
    }

    fn halve_into(&self, half: &mut Self) {
        half.reshape(self.width / 2, self.height / 2);
        for y in 0..half.height {
            let (upper, lower) = (self.row(2 * y), self.row(2 * y + 1));
            let pairs = upper.chunks_exact(2).zip(lower.chunks_exact(2));
            for (out, (a, b)) in half.row_mut(y).iter_mut().zip(pairs) {
                *out = ((a[0] + a[1]) + (b[0] + b[1])) * 0.25;
            }
        }
        half.frame_edges();
    }
}

/// A frame made ready for flow, used as the current one and later as the earlier one.
///
/// ```
/// use segfuse::data::{Image, PixelFormat, Size};
/// use segfuse::flow::GreyPyramid;
/// let image = Image::packed(PixelFormat::Grey, Size::new(1280, 720), vec![7; 1280 * 720].into())?;
/// assert_eq!(GreyPyramid::build(&image)?.levels(), 4);
/// # Ok::<(), segfuse::data::ImageError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct GreyPyramid {
    /// Pixels of the image to one of level 0, both ways.
    pub(super) reduction: usize,
    width: usize,
    height: usize,
    levels: Vec<Level>,
    used: usize,
    sums: Vec<u32>,
    luma: Vec<u8>,
}

impl GreyPyramid {
    /// The pyramid of `image`; see [`GreyPyramid::fill`].
    pub fn build(image: &Image) -> Result<Self, ImageError> {
        let mut pyramid = Self::default();
        pyramid.fill(image)?;
        Ok(pyramid)
    }

    /// Whether flow can be looked for: one patch fits into the finest level. Smaller images are taken not to have moved.
    pub fn is_searchable(&self) -> bool {
        self.levels.first().is_some_and(|level| level.width.min(level.height) >= SIDE)
    }

    /// Makes this the pyramid of `image` in any format; allocates only to grow.
    ///
    /// A JPEG is decoded here, which allocates: hand in the decoded frame where there is one.
    ///
    /// # Errors
    /// If a JPEG cannot be decoded: skip the frame and count it. The pyramid is then as before.
    pub fn fill(&mut self, image: &Image) -> Result<(), ImageError> {
        self.fill_reduced(image, Self::reduction_of(image.size()))
    }

    /// Pixels of a picture of this size to one of level 0, both ways.
    pub(crate) fn reduction_of(size: Size) -> usize {
        let longer = size.width.max(size.height) as usize;
        longer.div_ceil(FINEST_SIDE).max(if longer > WHOLE_SIDE { 2 } else { 1 })
    }

    /// [`GreyPyramid::fill`] with so many pixels of the image to one of level 0, both ways.
    pub(super) fn fill_reduced(&mut self, image: &Image, reduction: usize) -> Result<(), ImageError> {
        let size = image.size();
        let decoded = if image.format() == PixelFormat::Jpeg {
            &Image::packed(PixelFormat::Grey, size, to_grey8(image)?.into())?
        } else {
            image
        };
        (self.width, self.height, self.reduction) = (size.width as usize, size.height as usize, reduction);
        self.reduce(decoded);
        self.used = 1;
        while self.levels[self.used - 1].width.min(self.levels[self.used - 1].height) >= 2 * COARSEST_SIDE {
            self.add_level();
        }
        Ok(())
    }

    /// Number of levels, at least 1 once filled.
    pub fn levels(&self) -> usize {
        self.used
    }

    /// Pixels of the image to one of level 0, both ways.
    pub fn reduction(&self) -> usize {
        self.reduction
    }

    /// Width and height of a level without its frame, and `[height + 32, width + 32] f32` in `[0, 255]` with it.
    ///
    /// # Panics
    /// If there is no such level.
    pub fn framed(&self, level: usize) -> ((usize, usize), &[f32]) {
        let level = self.level(level);
        ((level.width, level.height), &level.values[..level.stride() * (level.height + 2 * FRAME)])
    }

    /// Level 0 is the finest.
    pub(super) fn level(&self, level: usize) -> &Level {
        &self.levels[..self.used][level]
    }

    /// Width and height of the image.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    fn add_level(&mut self) {
        if self.levels.len() == self.used {
            self.levels.push(Level::default());
        }
        let (finer, coarser) = self.levels.split_at_mut(self.used);
        finer[self.used - 1].halve_into(&mut coarser[0]);
        self.used += 1;
    }

    /// Level 0: means over boxes of luma; what is left over at the right and lower edge is left out.
    fn reduce(&mut self, image: &Image) {
        let box_width = self.reduction.min(self.width);
        let box_height = self.reduction.min(self.height);
        let (width, height) = (self.width / box_width, self.height / box_height);
        if self.levels.is_empty() {
            self.levels.push(Level::default());
        }
        let finest = &mut self.levels[0];
        finest.reshape(width, height);
        let share = 1.0 / (box_width * box_height) as f32;
        let instructions = fearless_simd::Level::new();
        for y in 0..height {
            self.sums.clear();
            self.sums.resize(width, 0);
            for line in y * box_height..(y + 1) * box_height {
                let (luma, sums) = (&mut self.luma, &mut self.sums[..]);
                dispatch!(instructions, simd => add_row(simd, (image, line as u32), luma, (sums, box_width)));
            }
            for (out, &sum) in finest.row_mut(y).iter_mut().zip(&self.sums) {
                *out = sum as f32 * share;
            }
        }
        finest.frame_edges();
    }
}

/// Adds the luma of each box of `width` pixels of a row to its sum; whole numbers, the same in any order.
#[inline(always)]
fn add_row<S: Simd>(_simd: S, (image, y): (&Image, u32), luma: &mut Vec<u8>, (sums, width): (&mut [u32], usize)) {
    let row = image.row(y);
    let luma = match image.format() {
        PixelFormat::Grey | PixelFormat::Nv12 => row,
        format => {
            luma.resize(image.size().width as usize, 0);
            luma_row(format, row, luma);
            luma
        }
    };
    // Lengths that the compiler knows become vectors.
    match width {
        1 => add_boxes::<1>(luma, sums),
        2 => add_boxes::<2>(luma, sums),
        3 => add_boxes::<3>(luma, sums),
        4 => add_boxes::<4>(luma, sums),
        6 => add_boxes::<6>(luma, sums),
        _ => {
            for (sum, pixels) in sums.iter_mut().zip(luma.chunks_exact(width)) {
                *sum += pixels.iter().map(|&pixel| u32::from(pixel)).sum::<u32>();
            }
        }
    }
}

#[inline(always)]
fn add_boxes<const WIDTH: usize>(luma: &[u8], sums: &mut [u32]) {
    for (sum, pixels) in sums.iter_mut().zip(luma.as_chunks::<WIDTH>().0) {
        let mut more = 0;
        for pixel in pixels {
            more += u32::from(*pixel);
        }
        *sum += more;
    }
}

#[inline(always)]
fn luma_row(format: PixelFormat, row: &[u8], out: &mut [u8]) {
    match format {
        PixelFormat::Yuyv => {
            for (out, [luma, _]) in out.iter_mut().zip(row.as_chunks::<2>().0) {
                *out = *luma;
            }
        }
        PixelFormat::Uyvy => {
            for (out, [_, luma]) in out.iter_mut().zip(row.as_chunks::<2>().0) {
                *out = *luma;
            }
        }
        PixelFormat::Rgb8 => {
            for (out, [red, green, blue]) in out.iter_mut().zip(row.as_chunks::<3>().0) {
                *out = luma(*red, *green, *blue);
            }
        }
        PixelFormat::Grey | PixelFormat::Nv12 | PixelFormat::Jpeg => {
            unreachable!("grey rows are read as they are, and fill decodes a JPEG before its rows are asked for")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn level_0_is_the_mean_of_luma_whatever_the_layout(
            (format, gap, seed) in (0..5_usize, 0..9_usize, any::<u8>()),
            (width, height) in (1..400_u32, 1..30_u32),
        ) {
            let size = Size::new(width * 2, height * 2);
            let format = PixelFormat::ALL[format];
            let stride = format.row_bytes(size.width) + gap;
            let bytes: Vec<u8> = (0..stride * size.height as usize * 2).map(|i| (i as u8).wrapping_mul(37) ^ seed).collect();
            let image = Image::new(format, size, stride, bytes.into()).expect("more than enough bytes");
            let pyramid = GreyPyramid::build(&image).expect("not a JPEG");
            let grey = to_grey8(&image).expect("not a JPEG");
            let (level, n) = (pyramid.level(0), pyramid.reduction);
            let tall = n.min(size.height as usize);
            for (x, y) in [(0, 0), (level.width - 1, level.height - 1), (level.width / 2, level.height / 3)] {
                let pixel = |i: usize| f64::from(grey[(y * tall + i / n) * size.width as usize + x * n + i % n]);
                let mean = (0..n * tall).map(pixel).sum::<f64>() / (n * tall) as f64;
                let got = level.values[level.index(x as isize, y as isize)];
                prop_assert!((f64::from(got) - mean).abs() < 1e-3, "{got} {mean}");
            }
        }
    }

    #[test]
    fn the_finest_level_is_at_most_320_wide_and_whole_only_for_tiny_images() {
        for (width, height, reduction) in
            [(160, 90, 1), (162, 90, 2), (320, 180, 2), (90, 320, 2), (640, 360, 2), (642, 360, 3), (1280, 720, 4)]
        {
            let size = Size::new(width, height);
            let image = Image::packed(PixelFormat::Grey, size, vec![7; size.pixels()].into()).expect("a byte a pixel");
            assert_eq!(GreyPyramid::build(&image).expect("not a JPEG").reduction, reduction, "{size}");
        }
    }

    #[test]
    fn levels_are_framed_by_their_edges() {
        let bytes: Vec<u8> = (0..40 * 40).map(|i| (i % 251) as u8).collect();
        let image = Image::packed(PixelFormat::Grey, Size::new(40, 40), bytes.into()).expect("40x40");
        let pyramid = GreyPyramid::build(&image).expect("not a JPEG");
        assert_eq!(pyramid.levels(), 2);
        for level in [pyramid.level(0), pyramid.level(1)] {
            let side = level.width as isize - 1;
            let at = |x, y| level.values[level.index(x, y)];
            let framed = [at(-16, -16), at(side + 16, 5), at(3, side + 16)].map(f32::to_bits);
            assert_eq!(framed, [at(0, 0), at(side, 5), at(3, side)].map(f32::to_bits));
        }
    }
}
