//! From a camera's bytes to the network's tensor in one pass: colour, size, normalisation.
//!
//! ```text
//! camera row ─pick──▶ two words a column ─mix──▶ RGB row ─┐
//!                     left and right tap    [3, cols] f32  ├─blend─▶ [3, rows, cols] f32
//!                               the row below, kept ───────┘
//! ```
//!
//! Every camera row is read once (by two threads at most, which take a strip of output rows each) and every intermediate row
//! stays in the first-level cache. What it computes is [`reference::preprocess`](super::reference::preprocess), within 2e-6
//! of 1/std.

#![allow(clippy::inline_always, reason = "only what is inlined into SimdOp::eval is compiled for its instructions")]

mod colour;

use super::super::EngineError;
use super::shuffle::{Row, Shuffle};
use super::taps::Taps;
use crate::data::{Image, PixelFormat};
use crate::sys::workers::Workers;
use colour::{Nv12, Pair, Uyvy, Yuyv};
use rten_simd::{Isa, SimdOp};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The longest vector of any instruction set, in `f32`.
const LANES: usize = 16;

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
    workers: Arc<Workers>,
    /// One for each thread.
    scratch: Vec<Scratch>,
}

impl Preprocessor {
    /// For a network whose input is `[3, rows, cols]`, on the thread that calls it.
    pub fn new(rows: usize, cols: usize, normalization: Normalization) -> Self {
        let workers = Arc::new(Workers::alone());
        let plan = Plan::new(&normalization);
        Self { rows, cols, plan, lines: Taps::default(), workers, scratch: vec![Scratch::new(cols)] }
    }

    /// The same with other helpers. The tensor is the same, bit for bit, whatever their number.
    pub fn shared_with(mut self, workers: Arc<Workers>) -> Self {
        self.scratch.resize_with(workers.count(), || Scratch::new(self.cols));
        Self { workers, ..self }
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
            self.in_strips(image, out);
        }
        Ok(())
    }

    fn in_strips(&mut self, image: &Image, out: &mut [f32]) {
        let Self { rows, cols, plan, lines, workers, scratch } = self;
        let rows_of_each = rows.div_ceil(scratch.len());
        let (first, others) = out.split_at_mut(*rows * *cols);
        let (second, third) = others.split_at_mut(*rows * *cols);
        let [first, second, third] = [first, second, third].map(|plane| plane.chunks_mut(rows_of_each * *cols));
        let strips = scratch.iter_mut().zip(first.zip(second).zip(third)).enumerate();
        workers.for_each(strips, |(strip, (scratch, ((first, second), third)))| {
            scratch.forget();
            let (row, out) = (strip * rows_of_each, [first, second, third]);
            Pass { image, cols: *cols, plan, lines, scratch, row, out }.dispatch();
        });
    }
}

/// How columns are picked and values scaled; depends on the width and the format only.
#[derive(Debug)]
struct Plan {
    columns: Taps,
    format: Option<PixelFormat>,
    pairwise: bool,
    /// How both taps are fetched, sixteen columns at once, where that can be.
    shuffle: Option<Shuffle>,
    /// For each column where its left tap is: a pixel (YUV) or a byte. The right one follows it; at the
    /// far edge, where none follows, it counts for nothing.
    places: Vec<u32>,
    /// Share of each column's right tap; rounded up to whole vectors.
    weights: Vec<f32>,
    scale: [f32; 3],
    offset: [f32; 3],
    order: ChannelOrder,
}

impl Plan {
    fn new(how: &Normalization) -> Self {
        Self {
            columns: Taps::default(),
            format: None,
            pairwise: false,
            shuffle: None,
            places: Vec::new(),
            weights: Vec::new(),
            scale: [0, 1, 2].map(|plane| (1.0 / (255.0 * f64::from(how.std[plane]))) as f32),
            offset: [0, 1, 2].map(|plane| (-f64::from(how.mean[plane]) / f64::from(how.std[plane])) as f32),
            order: how.order,
        }
    }

    fn refit(&mut self, image: &Image, cols: usize) {
        let resized = self.columns.refit(image.size().width as usize, cols);
        if !resized && self.format == Some(image.format()) {
            return;
        }
        self.format = Some(image.format());
        self.pairwise = self.columns.pairwise();
        self.weights.clone_from(&self.columns.weight);
        self.weights.resize(cols.next_multiple_of(LANES), 0.0);
        let (step, row) = match image.format() {
            PixelFormat::Rgb8 => (3, Row::Packed(3)),
            PixelFormat::Grey => (1, Row::Packed(1)),
            _ => (1, Row::Halves),
        };
        self.shuffle = Shuffle::new(&self.columns, row);
        self.places.clear();
        self.places.extend(self.columns.first.iter().map(|&x| x * step));
    }

    /// The plane of a resized row that output plane `plane` is made from.
    fn channel(&self, plane: usize) -> usize {
        match (self.format, self.order) {
            (Some(PixelFormat::Grey), _) => 0,
            (_, ChannelOrder::Rgb) => plane,
            (_, ChannelOrder::Bgr) => 2 - plane,
        }
    }
}

/// Rows in the making.
#[derive(Debug)]
struct Scratch {
    /// The camera row, a word for each pair of pixels (YUV).
    pairs: Vec<i32>,
    /// The even and the odd pixels of the camera row as `R G B 0`, and both in order (YUV).
    halves: [Vec<i32>; 2],
    pixels: Vec<i32>,
    /// The camera row with room to read eight bytes from its last pixel on (RGB, grey).
    bytes: Vec<u8>,
    /// Left and right tap of each column; room for a last vector of them that is not full.
    picked: [Vec<i32>; 2],
    /// The two resized camera rows that the output row lies between.
    resized: [ResizedRow; 2],
}

/// `[3, cols rounded up] f32`: red, green, blue in `[0, 255]` of camera row `line`.
#[derive(Clone, Debug)]
struct ResizedRow {
    line: Option<u32>,
    planes: [Vec<f32>; 3],
}

impl Scratch {
    fn new(cols: usize) -> Self {
        let padded = cols.next_multiple_of(LANES);
        let row = ResizedRow { line: None, planes: [(); 3].map(|()| vec![0.0; padded]) };
        let picked = [(); 2].map(|()| vec![0; padded + LANES]);
        let (halves, resized) = (Default::default(), [row.clone(), row]);
        Self { pairs: Vec::new(), halves, pixels: Vec::new(), bytes: Vec::new(), picked, resized }
    }

    fn forget(&mut self) {
        self.resized.iter_mut().for_each(|row| row.line = None);
    }
}

/// One strip's way through; compiled once for every instruction set and chosen when it runs.
struct Pass<'a> {
    image: &'a Image,
    cols: usize,
    plan: &'a Plan,
    lines: &'a Taps,
    scratch: &'a mut Scratch,
    /// The strip's first row; its planes begin there.
    row: usize,
    out: [&'a mut [f32]; 3],
}

impl SimdOp for Pass<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        let Self { image, cols, plan, lines, scratch, row: start, mut out } = self;
        for row in start..start + out[0].len() / cols {
            let (first, weight) = (lines.first[row], lines.weight[row]);
            let second = if weight > 0.0 { lines.second[row] } else { first };
            if scratch.resized[1].line == Some(first) {
                scratch.resized.swap(0, 1);
            }
            resize_line(isa, (image, first), plan, scratch, 0);
            resize_line(isa, (image, second), plan, scratch, usize::from(second != first));
            let [upper, lower] = &scratch.resized;
            let lower = if second == first { upper } else { lower };
            for (plane, out) in out.iter_mut().enumerate() {
                let source = [upper, lower].map(|row| &*row.planes[plan.channel(plane)]);
                let target = (row - start) * cols;
                let affine = (plan.scale[plane], plan.offset[plane]);
                colour::blend(isa, source, weight, affine, &mut out[target..target + cols]);
            }
        }
    }
}

/// Makes `scratch.resized[slot]` camera row `line`, unless it already is.
#[inline(always)]
fn resize_line<I: Isa>(isa: I, (image, line): (&Image, u32), plan: &Plan, scratch: &mut Scratch, slot: usize) {
    if scratch.resized[slot].line == Some(line) {
        return;
    }
    scratch.resized[slot].line = Some(line);
    let row = image.row(line);
    match image.format() {
        PixelFormat::Yuyv => resize_pairs::<I, Yuyv>(isa, packed(row), plan, scratch, slot),
        PixelFormat::Uyvy => resize_pairs::<I, Uyvy>(isa, packed(row), plan, scratch, slot),
        PixelFormat::Nv12 => {
            resize_pairs::<I, Nv12>(isa, planar(row, image.chroma_row(line)), plan, scratch, slot);
        }
        PixelFormat::Rgb8 => {
            let Scratch { bytes, picked, resized, .. } = scratch;
            pick_rgb(row, plan, bytes, picked);
            colour::mix_rgb(isa, picked, &plan.weights, &mut resized[slot].planes);
        }
        PixelFormat::Grey => {
            let Scratch { bytes, picked, resized, .. } = scratch;
            pick_grey(row, plan, bytes, picked);
            colour::mix_grey(isa, picked, &plan.weights, &mut resized[slot].planes[0]);
        }
        PixelFormat::Jpeg => unreachable!("run refuses a JPEG before its rows are asked for"),
    }
}

/// YUYV or UYVY: a word a pair.
#[inline(always)]
fn packed(row: &[u8]) -> impl Iterator<Item = i32> {
    row.chunks_exact(4).map(|pair| i32::from_le_bytes([pair[0], pair[1], pair[2], pair[3]]))
}

/// NV12: `Y0 Y1 U V`, a word a pair.
#[inline(always)]
fn planar(luma: &[u8], chroma: &[u8]) -> impl Iterator<Item = i32> {
    let low = |pair: &[u8]| i32::from(u16::from_le_bytes([pair[0], pair[1]]));
    luma.chunks_exact(2).zip(chroma.chunks_exact(2)).map(move |(y, uv)| low(y) | low(uv) << 16)
}

#[inline(always)]
fn resize_pairs<I: Isa, P: Pair>(
    isa: I,
    words: impl Iterator<Item = i32>,
    plan: &Plan,
    scratch: &mut Scratch,
    slot: usize,
) {
    let Scratch { pairs, halves, pixels, picked, resized, .. } = scratch;
    pairs.clear();
    pairs.extend(words);
    pairs.resize(pairs.len().next_multiple_of(LANES), 0);
    if plan.pairwise {
        colour::mix_pairs::<I, P>(isa, pairs, &plan.weights, &mut resized[slot].planes);
        return;
    }
    colour::convert_pairs::<I, P>(isa, pairs, halves);
    if let Some(shuffle) = &plan.shuffle {
        shuffle.halves(halves, picked);
        colour::mix_rgb(isa, picked, &plan.weights, &mut resized[slot].planes);
        return;
    }
    pixels.resize(2 * pairs.len() + 1, 0);
    for (pair, (&even, &odd)) in pixels.chunks_exact_mut(2).zip(halves[0].iter().zip(&halves[1])) {
        pair.copy_from_slice(&[even, odd]);
    }
    pick(pixels, &plan.places, |taps: &[i32; 2]| *taps, picked);
    colour::mix_rgb(isa, picked, &plan.weights, &mut resized[slot].planes);
}

#[inline(always)]
fn pick_rgb(row: &[u8], plan: &Plan, bytes: &mut Vec<u8>, picked: &mut [Vec<i32>; 2]) {
    if let Some(shuffle) = &plan.shuffle {
        return shuffle.bytes(row, picked);
    }
    bytes.clear();
    bytes.extend_from_slice(row);
    bytes.extend([0; 8]);
    let taps = |eight: &[u8; 8]| {
        let both = u64::from_le_bytes(*eight);
        [both as i32, (both >> 24) as i32]
    };
    if plan.pairwise {
        let [left, right] = picked;
        for ((eight, left), right) in bytes.windows(8).step_by(6).zip(left).zip(right) {
            [*left, *right] = taps(eight.first_chunk().expect("windows of eight"));
        }
        return;
    }
    pick(bytes, &plan.places, taps, picked);
}

#[inline(always)]
fn pick_grey(row: &[u8], plan: &Plan, bytes: &mut Vec<u8>, picked: &mut [Vec<i32>; 2]) {
    if plan.pairwise {
        let [left, right] = picked;
        for ((pair, left), right) in row.chunks_exact(2).zip(left).zip(right) {
            (*left, *right) = (i32::from(pair[0]), i32::from(pair[1]));
        }
        return;
    }
    if let Some(shuffle) = &plan.shuffle {
        return shuffle.bytes(row, picked);
    }
    bytes.clear();
    bytes.extend_from_slice(row);
    bytes.push(0);
    pick(bytes, &plan.places, |taps: &[u8; 2]| [i32::from(taps[0]), i32::from(taps[1])], picked);
}

/// Fetches both taps of every column with one look.
#[inline(always)]
fn pick<T: Copy, const N: usize>(
    row: &[T],
    places: &[u32],
    taps: impl Fn(&[T; N]) -> [i32; 2],
    [left, right]: &mut [Vec<i32>; 2],
) {
    for ((&place, left), right) in places.iter().zip(left).zip(right) {
        let window = row[place as usize..].first_chunk().expect("rows are lengthened by what a window needs");
        [*left, *right] = taps(window);
    }
}

#[cfg(test)]
mod tests {
    use super::super::reference;
    use super::*;
    use crate::data::Size;
    use crate::sys::workers::workers;
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
    fn any_number_of_threads_gives_the_same_bits() {
        let how = Normalization::default();
        for format in FORMATS {
            for (size, rows, cols) in
                [(Size::new(128, 72), 24, 40), (Size::new(60, 34), 33, 70), (Size::new(8, 4), 2, 3)]
            {
                let image = image(format, size, 3, (7, 1));
                for threads in 2..=5 {
                    let mut preprocessor = Preprocessor::new(rows, cols, how).shared_with(workers(threads));
                    let mut out = vec![f32::NAN; 3 * rows * cols];
                    preprocessor.run(&image, &mut out).expect("an uncompressed image");
                    assert!(out == run(&image, rows, cols, how), "{format:?}, {size}, {threads} threads");
                }
            }
        }
    }

    #[test]
    fn halving_the_next_frame_and_another_camera_give_what_the_reference_gives() {
        let how = Normalization::default();
        let mut preprocessor = Preprocessor::new(24, 40, how);
        let mut out = vec![0.0; 3 * 24 * 40];
        let sizes = [Size::new(80, 46), Size::new(40, 24), Size::new(82, 50), Size::new(40, 2), Size::new(40, 2)];
        for (turn, format) in FORMATS.into_iter().chain(FORMATS).enumerate() {
            for (seed, size) in sizes.into_iter().enumerate() {
                let image = image(format, size, 3, ((seed + 10 * turn) as u32, 1));
                preprocessor.run(&image, &mut out).expect("an uncompressed image");
                let plain = reference::preprocess(&image, 24, 40, &how).expect("not a JPEG");
                assert!(farthest(&out, &plain) < 1e-5, "{format:?} {size}: {}", farthest(&out, &plain));
            }
        }
    }

    #[test]
    fn rows_of_a_real_camera_are_fetched_from_where_the_reference_fetches_them() {
        let how = Normalization::default();
        for format in FORMATS {
            for (width, cols) in [(1280, 1024), (480, 1024), (1280, 640), (1282, 640), (300, 517), (640, 131)] {
                let image = image(format, Size::new(width, 6), 5, (width, 9));
                let plain = reference::preprocess(&image, 5, cols, &how).expect("not a JPEG");
                let apart = farthest(&run(&image, 5, cols, how), &plain);
                assert!(apart < 1e-5, "{format:?} {width}-{cols}: {apart}");
            }
        }
    }

    #[test]
    fn every_colour_is_converted_exactly() {
        let how = Normalization { mean: [0.0; 3], std: [1.0 / 255.0; 3], ..Normalization::default() };
        let mut bytes = Vec::new();
        for u in (0..=255).step_by(3) {
            for v in (0..=255).step_by(5) {
                bytes.extend((0..=255).flat_map(|y: u8| if y.is_multiple_of(2) { [y, u] } else { [y, v] }));
            }
        }
        let size = Size::new(256, bytes.len() as u32 / 512);
        let image = Image::packed(PixelFormat::Yuyv, size, bytes.into()).expect("rows of 256 pixels");
        let rows = size.height as usize;
        let plain = reference::preprocess(&image, rows, 256, &how).expect("not a JPEG");
        let same =
            run(&image, rows, 256, how).iter().zip(&plain).all(|(fast, plain)| (f64::from(*fast) - plain).abs() < 1e-3);
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
