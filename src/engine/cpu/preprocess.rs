//! From a camera's bytes to the network's tensor in one pass: colour, size, normalisation.
//!
//! ```text
//! camera row ─unpack─▶ words ─pick──▶ two words a column ─mix──▶ RGB row ─┐
//!            Y0 U Y1 V or R G B 0    left and right tap    [3, cols] f32  ├─blend─▶ [3, rows, cols] f32
//!                                              the row below, kept ───────┘
//! ```
//!
//! Every camera row is read once and every intermediate row stays in the first-level cache. What it
//! computes is [`reference::preprocess`](super::reference::preprocess), within 2e-6 of 1/std.

use super::super::EngineError;
use super::taps::Taps;
use crate::data::{Image, PixelFormat};
use rten_simd::{Isa, SimdOp};
use serde::{Deserialize, Serialize};

/// The order of a network's input planes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelOrder {
    /// Red, green, blue.
    #[default]
    Rgb,
    /// Blue, green, red.
    Bgr,
}

/// What a network expects of its input: `(value / 255 - mean) / std`, plane by plane.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Normalization {
    /// Mean of each plane, of 1, in the order of the planes.
    pub mean: [f32; 3],
    /// Standard deviation of each plane, of 1, in the order of the planes; not 0.
    pub std: [f32; 3],
    /// The order of the planes.
    pub order: ChannelOrder,
}

impl Default for Normalization {
    /// ImageNet's, in RGB: what most published networks were trained with.
    fn default() -> Self {
        Self { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225], order: ChannelOrder::Rgb }
    }
}

/// Turns camera images of any uncompressed format and size into one network's input.
///
/// ```
/// use segfuse::data::{Image, PixelFormat, Size};
/// use segfuse::engine::cpu::preprocess::{Normalization, Preprocessor};
/// let white = Image::packed(PixelFormat::Grey, Size::new(4, 4), vec![255; 16].into())?;
/// let mut tensor = vec![0.0; 3 * 2 * 2];
/// let plain = Normalization { mean: [0.0; 3], std: [1.0; 3], ..Normalization::default() };
/// Preprocessor::new(2, 2, plain).run(&white, &mut tensor)?;
/// assert_eq!(tensor, [1.0; 12]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Preprocessor {
    rows: usize,
    cols: usize,
    plan: Plan,
    lines: Taps,
    scratch: Scratch,
}

impl Preprocessor {
    /// For a network whose input is `[3, rows, cols]`.
    pub fn new(rows: usize, cols: usize, normalization: Normalization) -> Self {
        let plan = Plan::new(&normalization);
        Self { rows, cols, plan, lines: Taps::default(), scratch: Scratch::new(cols) }
    }

    /// Writes `image` into `out`, `[3, rows, cols] f32`.
    ///
    /// # Errors
    /// [`EngineError::Frame`] if the image is a JPEG (decode it first) or `out` has another length.
    pub fn run(&mut self, image: &Image, out: &mut [f32]) -> Result<(), EngineError> {
        let expected = 3 * self.rows * self.cols;
        if out.len() != expected {
            return Err(EngineError::Frame(format!("the input tensor has {} values, expected {expected}", out.len())));
        }
        if image.format() == PixelFormat::Jpeg {
            return Err(EngineError::Frame("a JPEG must be decoded before it is preprocessed".into()));
        }
        if expected > 0 {
            self.plan.refit(image, self.cols);
            self.lines.refit(image.size().height as usize, self.rows);
            self.scratch.forget();
            Pass { image, preprocessor: self, out }.dispatch();
        }
        Ok(())
    }
}

/// How columns are picked and values scaled; depends on the width and the format only.
#[derive(Debug)]
struct Plan {
    columns: Taps,
    format: Option<PixelFormat>,
    pairwise: bool,
    /// For each column the word that holds its left and its right tap, and how far down its luma lies.
    words: [Vec<u32>; 2],
    shifts: [Vec<u32>; 2],
    scale: [f32; 3],
    offset: [f32; 3],
    order: ChannelOrder,
}

impl Plan {
    fn new(how: &Normalization) -> Self {
        let scale = [0, 1, 2].map(|plane| (1.0 / (255.0 * f64::from(how.std[plane]))) as f32);
        let offset = [0, 1, 2].map(|plane| (-f64::from(how.mean[plane]) / f64::from(how.std[plane])) as f32);
        let (columns, words, shifts) = (Taps::default(), Default::default(), Default::default());
        Self { columns, format: None, pairwise: false, words, shifts, scale, offset, order: how.order }
    }

    fn refit(&mut self, image: &Image, cols: usize) {
        let resized = self.columns.refit(image.size().width as usize, cols);
        if !resized && self.format == Some(image.format()) {
            return;
        }
        self.format = Some(image.format());
        self.pairwise = self.columns.pairwise();
        let pairs = is_yuv(image.format());
        for (side, taps) in [&self.columns.first, &self.columns.second].into_iter().enumerate() {
            self.words[side].clear();
            self.words[side].extend(taps.iter().map(|&x| if pairs { x / 2 } else { x }));
            self.shifts[side].clear();
            self.shifts[side].extend(taps.iter().map(|&x| if pairs { x % 2 * 16 } else { 0 }));
        }
    }
}

fn is_yuv(format: PixelFormat) -> bool {
    matches!(format, PixelFormat::Yuyv | PixelFormat::Uyvy | PixelFormat::Nv12)
}

/// Rows in the making.
#[derive(Debug)]
struct Scratch {
    /// The camera row: a word for each pair of pixels (`Y0 U Y1 V`) or for each pixel (`R G B 0`).
    words: Vec<u32>,
    /// Left and right word of each column.
    picked: [Vec<u32>; 2],
    /// The two resized camera rows that the output row lies between.
    resized: [ResizedRow; 2],
}

/// `[3, cols] f32`: red, green, blue in `[0, 255]` of camera row `line`.
#[derive(Clone, Debug)]
struct ResizedRow {
    line: Option<u32>,
    planes: Vec<f32>,
}

impl Scratch {
    fn new(cols: usize) -> Self {
        let row = ResizedRow { line: None, planes: vec![0.0; 3 * cols] };
        Self { words: Vec::new(), picked: [vec![0; cols], vec![0; cols]], resized: [row.clone(), row] }
    }

    fn forget(&mut self) {
        self.resized.iter_mut().for_each(|row| row.line = None);
    }
}

/// One image's way through; compiled once for every instruction set and chosen when it runs.
struct Pass<'a> {
    image: &'a Image,
    preprocessor: &'a mut Preprocessor,
    out: &'a mut [f32],
}

impl SimdOp for Pass<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, _isa: I) {
        let Preprocessor { rows, cols, plan, lines, scratch } = self.preprocessor;
        for row in 0..*rows {
            let (first, weight) = (lines.first[row], lines.weight[row]);
            let second = if weight > 0.0 { lines.second[row] } else { first };
            if scratch.resized[1].line == Some(first) {
                scratch.resized.swap(0, 1);
            }
            resize_line(self.image, first, plan, scratch, 0);
            resize_line(self.image, second, plan, scratch, usize::from(second != first));
            let [upper, lower] = &scratch.resized;
            let lower = if second == first { upper } else { lower };
            for plane in 0..3 {
                let channel = if plan.order == ChannelOrder::Rgb { plane } else { 2 - plane };
                let source = channel * *cols..(channel + 1) * *cols;
                let target = (plane * *rows + row) * *cols;
                let rows = [&upper.planes[source.clone()], &lower.planes[source]];
                blend(rows, weight, (plan.scale[plane], plan.offset[plane]), &mut self.out[target..target + *cols]);
            }
        }
    }
}

/// Makes `scratch.resized[slot]` camera row `line`, unless it already is.
#[inline(always)]
fn resize_line(image: &Image, line: u32, plan: &Plan, scratch: &mut Scratch, slot: usize) {
    let Scratch { words, picked, resized } = scratch;
    if resized[slot].line == Some(line) {
        return;
    }
    resized[slot].line = Some(line);
    unpack(image, line, words);
    let weights = &plan.columns.weight;
    let planes = &mut resized[slot].planes;
    if is_yuv(image.format()) && plan.pairwise {
        mix_pairs(words, weights, planes);
        return;
    }
    pick(words, plan, picked);
    let taps = [(&*picked[0], &*plan.shifts[0]), (&*picked[1], &*plan.shifts[1])];
    if is_yuv(image.format()) {
        mix(taps, weights, yuv, planes);
    } else {
        mix(taps, weights, rgb, planes);
    }
}

#[inline(always)]
fn unpack(image: &Image, line: u32, words: &mut Vec<u32>) {
    let row = image.row(line);
    words.clear();
    match image.format() {
        PixelFormat::Yuyv => words.extend(row.chunks_exact(4).map(|p| u32::from_le_bytes([p[0], p[1], p[2], p[3]]))),
        PixelFormat::Uyvy => words.extend(row.chunks_exact(4).map(|p| u32::from_le_bytes([p[1], p[0], p[3], p[2]]))),
        PixelFormat::Nv12 => {
            let pairs = row.chunks_exact(2).zip(image.chroma_row(line).chunks_exact(2));
            words.extend(pairs.map(|(y, uv)| u32::from_le_bytes([y[0], uv[0], y[1], uv[1]])));
        }
        PixelFormat::Rgb8 => words.extend(row.chunks_exact(3).map(|p| u32::from_le_bytes([p[0], p[1], p[2], 0]))),
        PixelFormat::Grey => words.extend(row.iter().map(|&grey| u32::from(grey) * 0x01_01_01)),
        PixelFormat::Jpeg => unreachable!("run refuses a JPEG before its rows are asked for"),
    }
}

/// The words of every column's two taps.
#[inline(always)]
fn pick(words: &[u32], plan: &Plan, picked: &mut [Vec<u32>; 2]) {
    let [left, right] = picked;
    if plan.pairwise {
        for ((pair, left), right) in words.chunks_exact(2).zip(left).zip(right) {
            (*left, *right) = (pair[0], pair[1]);
        }
        return;
    }
    for ((&index, left), (&next, right)) in plan.words[0].iter().zip(left).zip(plan.words[1].iter().zip(right)) {
        (*left, *right) = (words[index as usize], words[next as usize]);
    }
}

/// Each column's colour between its two taps.
#[inline(always)]
fn mix(
    [(left, left_shift), (right, right_shift)]: [(&[u32], &[u32]); 2],
    weights: &[f32],
    colour: impl Fn(u32, u32) -> [f32; 3],
    planes: &mut [f32],
) {
    let cols = weights.len();
    let (red, rest) = planes.split_at_mut(cols);
    let (green, blue) = rest.split_at_mut(cols);
    let (left, right) = (&left[..cols], &right[..cols]);
    let (left_shift, right_shift) = (&left_shift[..cols], &right_shift[..cols]);
    let blue = &mut blue[..cols];
    for col in 0..cols {
        let (from, to) = (colour(left[col], left_shift[col]), colour(right[col], right_shift[col]));
        [red[col], green[col], blue[col]] = [0, 1, 2].map(|c| from[c] + (to[c] - from[c]) * weights[col]);
    }
}

/// [`mix`] where both taps of a column are the two pixels of one `Y0 U Y1 V` word.
#[inline(always)]
fn mix_pairs(words: &[u32], weights: &[f32], planes: &mut [f32]) {
    let cols = weights.len();
    let (red, rest) = planes.split_at_mut(cols);
    let (green, blue) = rest.split_at_mut(cols);
    let (words, blue) = (&words[..cols], &mut blue[..cols]);
    for col in 0..cols {
        let (from, to) = (yuv(words[col], 0), yuv(words[col], 16));
        [red[col], green[col], blue[col]] = [0, 1, 2].map(|c| from[c] + (to[c] - from[c]) * weights[col]);
    }
}

/// `data::yuv_to_rgb` with its offsets folded into one constant a channel.
#[inline(always)]
fn yuv(word: u32, shift: u32) -> [f32; 3] {
    const BLACK: i32 = 32_768 - 16 * 76_309;
    let byte = |shift: u32| (word >> shift & 255) as i32;
    let (luma, u, v) = (76_309 * byte(shift), byte(8), byte(24));
    let red = 104_597 * v + (BLACK - 128 * 104_597);
    let green = -25_675 * u - 53_279 * v + (BLACK + 128 * (25_675 + 53_279));
    let blue = 132_201 * u + (BLACK - 128 * 132_201);
    [red, green, blue].map(|chroma| ((luma + chroma) >> 16).clamp(0, 255) as f32)
}

#[inline(always)]
fn rgb(word: u32, _shift: u32) -> [f32; 3] {
    [0, 8, 16].map(|shift| (word >> shift & 255) as i32 as f32)
}

/// The output row between two resized rows, normalised.
#[inline(always)]
fn blend([upper, lower]: [&[f32]; 2], weight: f32, (scale, offset): (f32, f32), out: &mut [f32]) {
    for ((upper, lower), out) in upper.iter().zip(lower).zip(out) {
        *out = (upper + (lower - upper) * weight) * scale + offset;
    }
}

#[cfg(test)]
mod tests {
    use super::super::reference;
    use super::*;
    use crate::data::Size;
    use proptest::prelude::*;

    const FORMATS: [PixelFormat; 5] =
        [PixelFormat::Yuyv, PixelFormat::Uyvy, PixelFormat::Nv12, PixelFormat::Rgb8, PixelFormat::Grey];

    /// Bytes that look random and are the same every time; `padding` fills everything beyond the rows.
    fn image(format: PixelFormat, size: Size, gap: usize, (seed, padding): (u32, u8)) -> Image {
        let row = format.row_bytes(size.width);
        let rows = size.height as usize * if format == PixelFormat::Nv12 { 3 } else { 2 } / 2;
        let mut state = seed;
        let mut bytes = vec![padding; rows * (row + gap)];
        for line in bytes.chunks_exact_mut(row + gap) {
            for byte in &mut line[..row] {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *byte = (state >> 24) as u8;
            }
        }
        Image::new(format, size, row + gap, bytes.into()).expect("as many bytes as the rows need")
    }

    fn run(image: &Image, rows: usize, cols: usize, how: Normalization) -> Vec<f32> {
        let mut out = vec![f32::NAN; 3 * rows * cols];
        Preprocessor::new(rows, cols, how).run(image, &mut out).expect("an uncompressed image");
        out
    }

    fn farthest(fast: &[f32], plain: &[f64]) -> f64 {
        assert_eq!(fast.len(), plain.len());
        let apart = fast.iter().zip(plain).map(|(fast, plain)| (f64::from(*fast) - plain).abs());
        apart.fold(0.0, |most, one| if one <= most { most } else { one })
    }

    proptest! {
        #[test]
        fn any_image_is_preprocessed_as_the_reference_says(
            (format, seed, gap) in (0..5_usize, any::<u32>(), 0..40_usize),
            (width, height) in (1..60_u32, 1..40_u32),
            (rows, cols) in (1..50_usize, 1..70_usize),
            bgr in any::<bool>(),
        ) {
            let size = Size::new(width * 2, height * 2);
            let order = if bgr { ChannelOrder::Bgr } else { ChannelOrder::Rgb };
            let how = Normalization { order, ..Normalization::default() };
            let first = image(FORMATS[format], size, gap, (seed, 0));
            let fast = run(&first, rows, cols, how);
            let plain = reference::preprocess(&first, rows, cols, &how).expect("not a JPEG");
            prop_assert!(farthest(&fast, &plain) < 2e-6 / 0.224, "{}", farthest(&fast, &plain));
            let padded = image(FORMATS[format], size, gap, (seed, 255));
            prop_assert_eq!(run(&padded, rows, cols, how), fast);
        }
    }

    #[test]
    fn halving_and_a_change_of_camera_give_what_the_reference_gives() {
        let how = Normalization::default();
        let mut preprocessor = Preprocessor::new(24, 40, how);
        let mut out = vec![0.0; 3 * 24 * 40];
        for format in FORMATS.into_iter().chain(FORMATS) {
            for size in [Size::new(80, 46), Size::new(40, 24), Size::new(82, 50)] {
                let image = image(format, size, 3, (7, 1));
                preprocessor.run(&image, &mut out).expect("an uncompressed image");
                let plain = reference::preprocess(&image, 24, 40, &how).expect("not a JPEG");
                assert!(farthest(&out, &plain) < 1e-5, "{format:?} {size}: {}", farthest(&out, &plain));
            }
        }
    }

    #[test]
    fn every_colour_is_converted_exactly() {
        let how = Normalization { mean: [0.0; 3], std: [1.0 / 255.0; 3], ..Normalization::default() };
        let mut bytes = Vec::new();
        for u in (0..=255).step_by(3) {
            for v in (0..=255).step_by(5) {
                bytes.extend((0..=255).flat_map(|y: u8| if y % 2 == 0 { [y, u] } else { [y, v] }));
            }
        }
        let size = Size::new(256, bytes.len() as u32 / 512);
        let image = Image::packed(PixelFormat::Yuyv, size, bytes.into()).expect("rows of 256 pixels");
        let rows = size.height as usize;
        let plain = reference::preprocess(&image, rows, 256, &how).expect("not a JPEG");
        let same = run(&image, rows, 256, how).iter().zip(&plain).all(|(fast, plain)| f64::from(fast.round()) == plain.round());
        assert!(same);
    }

    #[test]
    fn a_jpeg_and_a_tensor_of_another_size_are_refused() {
        let jpeg = Image::jpeg(Size::new(8, 8), vec![1].into()).expect("not empty");
        let grey = image(PixelFormat::Grey, Size::new(2, 2), 0, (1, 1));
        let mut preprocessor = Preprocessor::new(2, 2, Normalization::default());
        assert!(matches!(preprocessor.run(&jpeg, &mut [0.0; 12]), Err(EngineError::Frame(_))));
        assert!(matches!(preprocessor.run(&grey, &mut [0.0; 11]), Err(EngineError::Frame(_))));
    }
}
