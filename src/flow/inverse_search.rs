//! Dense flow from patches, coarse to fine.
//!
//! ```text
//! for each level, coarse to fine:
//!     for each 8x8 patch, 4 pixels apart, row by row:
//!         start from the prior, the coarser level, the patch to the left, the one above; keep the best; refine
//!     for each patch, the last one first:
//!         start from the patch to the right, from the one below, if they moved otherwise; refine; keep the better
//!     each 4x4 block: mean of the up to 4 patches over it, weighted by how well each fits this block
//! each cell of the grid: bilinear between blocks
//! ```
//!
//! Several threads work on a level row by row, each a little behind who works on the row before: a patch waits for the
//! one above it. So the order above holds, and with it every bit, whatever their number.

#![allow(clippy::inline_always, reason = "only what is inlined into dispatch! is compiled for its instructions")]

use super::FlowField;
use super::patch::{Fit, Patch, SIDE};
use super::pyramid::{GreyPyramid, Level};
use super::relay::Relay;
use crate::sys::workers::Workers;
use fearless_simd::{Simd, dispatch};
use std::ops::Range;
use std::sync::Arc;

/// Pixels between patches and to a block's side.
const BLOCK: usize = SIDE / 2;
/// Squared difference of a block that counts as none: a grey level of noise in each pixel.
const NOISE: f32 = (BLOCK * BLOCK) as f32;
/// A prior is left only for a patch that fits better by this much, squared difference: what noise of two grey levels in
/// both pictures comes to. Where pictures show nothing, the prior stays.
const MARGIN: f32 = 8.0 * (SIDE * SIDE) as f32;
/// Starts not further apart lead a search to the same place, in pixels.
const ALIKE: f32 = 0.5;
/// What was found already is searched for again only from further away.
const APART: f32 = 1.0;

/// Estimates flow between frames; keeps its buffers.
///
/// ```
/// use segfuse::data::{Image, PixelFormat, Size};
/// use segfuse::flow::{DenseFlow, GreyPyramid};
/// let stripes = |shift: u32| -> Vec<u8> {
///     (0..128 * 96).map(|i| if (i % 128 + shift) % 16 < 8 { 200 } else { 40 }).collect()
/// };
/// let grey = |bytes: Vec<u8>| Image::packed(PixelFormat::Grey, Size::new(128, 96), bytes.into());
/// let (earlier, current) = (GreyPyramid::build(&grey(stripes(0))?)?, GreyPyramid::build(&grey(stripes(2))?)?);
/// let flow = DenseFlow::new().estimate(&earlier, &current, 24, 32);
/// assert!((flow.at(12, 16)[0] - 2.0 / 4.0).abs() < 0.1);
/// # Ok::<(), segfuse::data::ImageError>(())
/// ```
#[derive(Debug)]
pub struct DenseFlow {
    /// Instructions of this machine.
    instructions: fearless_simd::Level,
    workers: Arc<Workers>,
    fits: Vec<Fit>,
    /// What patches found, and what they kept on the way back.
    relays: [Relay; 2],
    blocks: Blocks,
    coarser: Blocks,
}

/// Motion of 4x4 blocks, in pixels of their level.
#[derive(Clone, Debug, Default)]
struct Blocks {
    rows: usize,
    cols: usize,
    motion: Vec<[f32; 2]>,
}

impl DenseFlow {
    /// An estimator for images of any size, on the thread that calls it.
    pub fn new() -> Self {
        Self::with(fearless_simd::Level::new(), Arc::new(Workers::alone()))
    }

    /// The same with helpers. Flow is the same, bit for bit, whatever their number.
    pub fn shared_with(workers: Arc<Workers>) -> Self {
        Self::with(fearless_simd::Level::new(), workers)
    }

    fn with(instructions: fearless_simd::Level, workers: Arc<Workers>) -> Self {
        Self {
            instructions,
            workers,
            fits: Vec::new(),
            relays: Default::default(),
            blocks: Blocks::default(),
            coarser: Blocks::default(),
        }
    }

    /// For each cell of a grid over `current`, where in `earlier` its content was, in cells.
    ///
    /// Images of different sizes, and images too small for one patch, are taken not to have moved.
    pub fn estimate(&mut self, earlier: &GreyPyramid, current: &GreyPyramid, rows: usize, cols: usize) -> FlowField {
        let mut field = FlowField::default();
        self.estimate_into((earlier, current), (rows, cols), None, &mut field);
        field
    }

    /// [`DenseFlow::estimate`] into a field whose memory is used again. A `prior`, on any grid, says where to look first.
    pub fn estimate_into(
        &mut self,
        (earlier, current): (&GreyPyramid, &GreyPyramid),
        (rows, cols): (usize, usize),
        prior: Option<&FlowField>,
        field: &mut FlowField,
    ) {
        (field.rows, field.cols) = (rows, cols);
        field.values.clear();
        field.values.resize(2 * rows * cols, 0.0);
        self.blocks = std::mem::take(&mut self.blocks).cleared();
        if earlier.size() == current.size() {
            for level in (0..current.levels()).rev() {
                std::mem::swap(&mut self.blocks, &mut self.coarser);
                self.match_level(earlier.level(level), current.level(level), prior);
            }
        }
        if !self.blocks.motion.is_empty() {
            self.blocks.sample(&self.workers, current, field);
        }
    }

    fn match_level(&mut self, earlier: &Level, current: &Level, prior: Option<&FlowField>) {
        let (rows, cols) = (patches(current.height), patches(current.width));
        self.fits.clear();
        self.fits.resize(rows * cols, Fit::default());
        if rows * cols == 0 {
            self.blocks = std::mem::take(&mut self.blocks).cleared();
            return;
        }
        let Self { instructions, workers, fits, relays, coarser, .. } = self;
        for relay in &mut *relays {
            relay.reset(rows * cols);
        }
        let matching = Matching { earlier, current, coarser, prior, relays, rows, cols };
        workers.for_each(fits.chunks_exact_mut(cols).enumerate(), |(row, fits)| {
            dispatch!(*instructions, simd => matching.search(simd, row, fits));
        });
        workers.for_each(fits.chunks_exact_mut(cols).enumerate().rev(), |(row, fits)| {
            dispatch!(*instructions, simd => matching.search_again(simd, row, fits));
        });
        self.blocks.spread(workers, fits, rows, cols);
    }
}

/// Patches along `side` pixels.
fn patches(side: usize) -> usize {
    if side < SIDE { 0 } else { (side - SIDE) / BLOCK + 1 }
}

/// What the patches of one level are matched with; compiled once for every instruction set and chosen when it runs.
struct Matching<'a> {
    earlier: &'a Level,
    current: &'a Level,
    coarser: &'a Blocks,
    prior: Option<&'a FlowField>,
    relays: &'a [Relay; 2],
    rows: usize,
    cols: usize,
}

impl Matching<'_> {
    /// Patches of a row.
    #[inline(always)]
    fn patches(&self, row: usize) -> Range<usize> {
        row * self.cols..(row + 1) * self.cols
    }

    /// Finds the patches of `row`.
    #[inline(always)]
    fn search<S: Simd>(&self, simd: S, row: usize, fits: &mut [Fit]) {
        let found = &self.relays[0];
        let _told = found.told_whatever_happens(self.patches(row));
        for col in 0..self.cols {
            let mut starts: heapless::Vec<[f32; 2], 5> = heapless::Vec::new();
            if let Some(prior) = self.prior {
                offer(&mut starts, self.foretold(prior, row, col));
            }
            if !self.coarser.motion.is_empty() {
                offer(&mut starts, self.coarser.doubled((row + 1) * BLOCK, (col + 1) * BLOCK));
            }
            if col > 0 {
                offer(&mut starts, fits[col - 1].motion);
            }
            if row > 0 {
                let above = self.patches(row - 1);
                offer(&mut starts, found.ask(above.start + col, &above));
            }
            offer(&mut starts, [0.0; 2]);
            fits[col] = self.patch(simd, row, col).search(self.earlier, &starts, self.margin());
            found.tell(row * self.cols + col, fits[col].motion);
        }
    }

    /// What the patches that had not been searched for yet know now.
    #[inline(always)]
    fn search_again<S: Simd>(&self, simd: S, row: usize, fits: &mut [Fit]) {
        let kept = &self.relays[1];
        let _told = kept.told_whatever_happens(self.patches(row));
        for col in (0..self.cols).rev() {
            let found = fits[col];
            let right = fits.get(col + 1).map(|fit| fit.motion);
            let below = (row + 1 < self.rows).then(|| {
                let below = self.patches(row + 1);
                kept.ask_on_the_way_back(below.start + col, &below)
            });
            let mut starts: heapless::Vec<[f32; 2], 2> = heapless::Vec::new();
            for motion in [right, below].into_iter().flatten() {
                if !within(APART, motion, found.motion) {
                    offer(&mut starts, motion);
                }
            }
            if !starts.is_empty() {
                let fit = self.patch(simd, row, col).search(self.earlier, &starts, 0.0);
                if fit.error() + self.margin() < found.error() {
                    fits[col] = fit;
                }
            }
            kept.tell(row * self.cols + col, fits[col].motion);
        }
    }

    /// By how much pictures must speak against the prior.
    #[inline(always)]
    fn margin(&self) -> f32 {
        if self.prior.is_some() { MARGIN } else { 0.0 }
    }

    /// The prior at the middle of a patch, in pixels of the level.
    #[inline(always)]
    fn foretold(&self, prior: &FlowField, row: usize, col: usize) -> [f32; 2] {
        let (width, height) = (self.current.width, self.current.height);
        let [middle_y, middle_x] = [row, col].map(|place| place * BLOCK + BLOCK);
        let [x, y] = prior.at(middle_y * prior.rows / height, middle_x * prior.cols / width);
        [x * width as f32 / prior.cols as f32, y * height as f32 / prior.rows as f32]
    }

    #[inline(always)]
    fn patch<S: Simd>(&self, simd: S, row: usize, col: usize) -> Patch<S> {
        Patch::cut(simd, self.current, col * BLOCK, row * BLOCK)
    }
}

/// One start more, unless one is there that leads to the same place.
#[inline(always)]
fn offer<const N: usize>(starts: &mut heapless::Vec<[f32; 2], N>, motion: [f32; 2]) {
    if !starts.iter().any(|start| within(ALIKE, *start, motion)) {
        starts.push(motion).expect("there is room for every neighbour");
    }
}

#[inline(always)]
fn within(pixels: f32, one: [f32; 2], other: [f32; 2]) -> bool {
    (0..2).all(|axis| (one[axis] - other[axis]).abs() <= pixels)
}

impl Default for DenseFlow {
    fn default() -> Self {
        Self::new()
    }
}

impl Blocks {
    fn cleared(mut self) -> Self {
        (self.rows, self.cols) = (0, 0);
        self.motion.clear();
        self
    }

    /// The motion at pixel `(y, x)` of the next finer level, in its pixels.
    fn doubled(&self, y: usize, x: usize) -> [f32; 2] {
        let (row, col) = (y / (2 * BLOCK), x / (2 * BLOCK));
        let [along_x, along_y] = self.motion[row.min(self.rows - 1) * self.cols + col.min(self.cols - 1)];
        [along_x * 2.0, along_y * 2.0]
    }

    /// Blends the patches over each block; `rows` by `cols` patches make one block more each way.
    fn spread(&mut self, workers: &Workers, fits: &[Fit], rows: usize, cols: usize) {
        (self.rows, self.cols) = (rows + 1, cols + 1);
        self.motion.resize(self.rows * self.cols, [0.0; 2]);
        workers.for_each(self.motion.chunks_exact_mut(self.cols).enumerate(), |(row, motions)| {
            for (col, motion) in motions.iter_mut().enumerate() {
                *motion = blend(fits, (rows, cols), (row, col));
            }
        });
    }

    fn sample(&self, workers: &Workers, pyramid: &GreyPyramid, field: &mut FlowField) {
        let (width, height) = pyramid.size();
        let (rows, cols) = (field.rows, field.cols);
        let (along_x, along_y) = field.values.split_at_mut(rows * cols);
        let unit = pyramid.reduction as f32;
        let (cell_width, cell_height) = (width as f32 / cols as f32, height as f32 / rows as f32);
        let lines = along_x.chunks_mut(cols.max(1)).zip(along_y.chunks_mut(cols.max(1)));
        workers.for_each(lines.enumerate(), |(row, (along_x, along_y))| {
            for (col, (along_x, along_y)) in along_x.iter_mut().zip(along_y).enumerate() {
                let [x, y] =
                    self.between((row as f32 + 0.5) * cell_height / unit, (col as f32 + 0.5) * cell_width / unit);
                (*along_x, *along_y) = (x * unit / cell_width, y * unit / cell_height);
            }
        });
    }

    /// Bilinear between block centres at `(y, x)` of level 0, measured from its corner.
    fn between(&self, y: f32, x: f32) -> [f32; 2] {
        let split = |place: f32, count: usize| {
            let place = (place / BLOCK as f32 - 0.5).clamp(0.0, (count - 1) as f32);
            (place as usize, (place as usize + 1).min(count - 1), place - place.floor())
        };
        let ((top, bottom, down), (left, right, along)) = (split(y, self.rows), split(x, self.cols));
        let at = |row: usize, col: usize| self.motion[row * self.cols + col];
        [0, 1].map(|axis| {
            let upper = at(top, left)[axis] * (1.0 - along) + at(top, right)[axis] * along;
            let lower = at(bottom, left)[axis] * (1.0 - along) + at(bottom, right)[axis] * along;
            upper * (1.0 - down) + lower * down
        })
    }
}

/// Mean motion of the patches over block `(row, col)`, each weighted by how well it fits there, squared.
fn blend(fits: &[Fit], (rows, cols): (usize, usize), (row, col): (usize, usize)) -> [f32; 2] {
    let (mut sum, mut weights) = ([0.0; 2], 0.0);
    for quarter in 0..4 {
        let (down, right) = (quarter / 2, quarter % 2);
        let (Some(y), Some(x)) = (row.checked_sub(down), col.checked_sub(right)) else { continue };
        if y < rows && x < cols {
            let fit = &fits[y * cols + x];
            let weight = (fit.quarters[quarter] + NOISE).powi(-2);
            sum = [sum[0] + weight * fit.motion[0], sum[1] + weight * fit.motion[1]];
            weights += weight;
        }
    }
    [sum[0] / weights, sum[1] / weights]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Image, PixelFormat, Size};
    use crate::sys::workers::workers;

    /// Of the pictures and of the finest level.
    const SIZE: (usize, usize) = (320, 240);

    /// A smooth texture without a period, in `[0, 255]`, for any place.
    fn texture(x: f64, y: f64) -> f64 {
        let wave = |fx: f64, fy: f64, phase: f64| (fx * x + fy * y + phase).sin();
        let broad = wave(0.11, 0.05, 0.0) + wave(-0.04, 0.13, 1.0) + wave(0.07, -0.09, 2.0);
        let fine = wave(0.43, 0.17, 0.5) + wave(-0.21, 0.51, 1.5) + wave(0.33, -0.37, 2.5);
        127.0 + 20.0 * broad + 15.0 * fine * wave(0.013, 0.017, 0.3)
    }

    fn picture(place: impl Fn(f64, f64) -> (f64, f64)) -> GreyPyramid {
        exposed(place, 0.0)
    }

    /// The texture seen from elsewhere and so many grey levels brighter.
    fn exposed(place: impl Fn(f64, f64) -> (f64, f64), grey: f64) -> GreyPyramid {
        let pixel = |i: usize| {
            let (x, y) = place((i % SIZE.0) as f64, (i / SIZE.0) as f64);
            (texture(x, y) * 0.5 + 64.0 + grey).clamp(0.0, 255.0) as u8
        };
        let bytes: Vec<u8> = (0..SIZE.0 * SIZE.1).map(pixel).collect();
        let image = Image::packed(PixelFormat::Grey, Size::new(SIZE.0 as u32, SIZE.1 as u32), bytes.into());
        let mut pyramid = GreyPyramid::default();
        pyramid.fill_reduced(&image.expect("as many bytes as pixels"), 1).expect("not a JPEG");
        pyramid
    }

    /// Mean end-point error in pixels of a flow that should send `(x, y)` to `place(x, y)`.
    fn error_px(flow: &FlowField, place: impl Fn(f64, f64) -> (f64, f64)) -> f64 {
        let cell = SIZE.0 as f64 / flow.cols as f64;
        let mut errors = Vec::new();
        for row in 0..flow.rows {
            for col in 0..flow.cols {
                let (x, y) = ((col as f64 + 0.5) * cell - 0.5, (row as f64 + 0.5) * cell - 0.5);
                let (to_x, to_y) = place(x, y);
                let inside = to_x > 0.0 && to_y > 0.0 && to_x < SIZE.0 as f64 - 1.0 && to_y < SIZE.1 as f64 - 1.0;
                let [along_x, along_y] = flow.at(row, col).map(|step| f64::from(step) * cell);
                errors.extend(inside.then(|| (along_x - (to_x - x)).hypot(along_y - (to_y - y))));
            }
        }
        errors.iter().sum::<f64>() / errors.len() as f64
    }

    #[test]
    fn known_motions_are_found_within_a_fifth_of_a_pixel() {
        type Place = fn(f64, f64) -> (f64, f64);
        let motions: [(&str, Place); 6] = [
            ("none", |x, y| (x, y)),
            ("right", |x, y| (x + 3.5, y)),
            ("far", |x, y| (x - 21.0, y + 12.25)),
            ("grow", |x, y| (160.0 + (x - 160.0) * 0.95, 120.0 + (y - 120.0) * 0.95)),
            ("turn", |x, y| (x - (y - 120.0) * 0.04, y + (x - 160.0) * 0.04)),
            ("shear", |x, y| (x + y * 0.05, y - 2.0)),
        ];
        let earlier = picture(|x, y| (x, y));
        let mut estimator = DenseFlow::new();
        let found = motions.map(|(name, place)| {
            let flow = estimator.estimate(&earlier, &picture(place), 30, 40);
            (name, error_px(&flow, place))
        });
        println!("mean end-point error in pixels: {found:?}");
        assert!(found.iter().all(|(_, error)| *error < 0.2), "{found:?}");
    }

    /// A square of `side` pixels moves before a still picture: the error inside it, and of what surrounds it.
    fn errors_of_a_moving_square(left: f64, top: f64, side: f64, motion: (f64, f64)) -> [f64; 2] {
        let inside = move |x: f64, y: f64| x >= left && y >= top && x < left + side && y < top + side;
        // Another part of the texture, so that the square is not the background.
        let earlier = picture(move |x, y| if inside(x, y) { (x + 500.0, y + 300.0) } else { (x, y) });
        let was = move |x: f64, y: f64| (x + motion.0, y + motion.1);
        let current = picture(move |x, y| {
            let (from_x, from_y) = was(x, y);
            if inside(from_x, from_y) { (from_x + 500.0, from_y + 300.0) } else { (x, y) }
        });
        let flow = DenseFlow::new().estimate(&earlier, &current, 60, 80);
        let mut errors = [Vec::new(), Vec::new()];
        for (row, col) in (0..60).flat_map(|row| (0..80).map(move |col| (row, col))) {
            let (x, y) = (f64::from(col) * 4.0 + 1.5, f64::from(row) * 4.0 + 1.5);
            let [along_x, along_y] = flow.at(row as usize, col as usize).map(|step| f64::from(step) * 4.0);
            let (from_x, from_y) = was(x, y);
            if inside(from_x, from_y) {
                errors[0].push((along_x - motion.0).hypot(along_y - motion.1));
            } else if !inside(x, y) {
                errors[1].push(along_x.hypot(along_y));
            }
        }
        errors.map(|errors| errors.iter().sum::<f64>() / errors.len() as f64)
    }

    #[test]
    fn a_thing_that_moves_by_itself_is_followed_whichever_of_its_corners_is_found_first() {
        for motion in [(-14.0, -6.0), (14.0, 6.0), (-14.0, 6.0), (14.0, -6.0), (-28.0, -14.0)] {
            let [thing, around] = errors_of_a_moving_square(120.0, 90.0, 64.0, motion);
            println!("{motion:?}: {thing:.2} pixels off, around it {around:.2}");
            assert!(thing < 1.0 && around < 0.3, "{motion:?}: {thing} pixels off, around it {around}");
        }
    }

    #[test]
    fn a_change_of_exposure_neither_is_nor_hides_motion() {
        let (dark, place) = (picture(|x, y| (x, y)), |x: f64, y: f64| (x - 13.0, y + 6.0));
        for (grey, place) in [(60.0, (|x, y| (x, y)) as fn(f64, f64) -> (f64, f64)), (-60.0, place)] {
            let bright = exposed(place, grey);
            let error = error_px(&DenseFlow::new().estimate(&dark, &bright, 30, 40), place);
            assert!(error < 0.05, "{grey} grey levels brighter: {error} pixels off");
        }
    }

    #[test]
    fn images_without_texture_too_small_or_of_other_sizes_have_not_moved() {
        let flat = |width, height, grey| {
            let image = Image::packed(PixelFormat::Grey, Size::new(width, height), vec![grey; 99_999].into());
            GreyPyramid::build(&image.expect("more than enough bytes")).expect("not a JPEG")
        };
        let mut estimator = DenseFlow::new();
        for (earlier, current) in [
            (flat(64, 64, 9), flat(64, 64, 200)),
            (flat(5, 64, 9), flat(5, 64, 9)),
            (flat(64, 64, 9), flat(64, 62, 9)),
            (flat(1, 1, 9), flat(1, 1, 9)),
            (flat(1600, 1, 9), flat(1600, 1, 9)),
        ] {
            assert_eq!(estimator.estimate(&earlier, &current, 3, 4).values, [0.0; 24]);
        }
        assert_eq!(estimator.estimate(&flat(64, 64, 9), &flat(64, 64, 9), 0, 4).values, [0.0_f32; 0]);
    }

    fn alone(instructions: fearless_simd::Level) -> DenseFlow {
        DenseFlow::with(instructions, Arc::new(Workers::alone()))
    }

    #[test]
    fn any_number_of_threads_gives_the_same_bits() {
        let (first, second) = (picture(|x, y| (x, y)), picture(|x, y| (x * 1.03 - 5.0, y * 0.98 + 2.5)));
        let values = (0..2 * 12 * 16).map(|i| if i % 7 == 0 { f32::NAN } else { (i as f32 * 0.7).sin() }).collect();
        let prior = FlowField { rows: 12, cols: 16, values };
        for prior in [None, Some(&prior)] {
            let flow = |mut estimator: DenseFlow| {
                let mut field = FlowField::default();
                // Twice: what the time before left there changes nothing.
                for _ in 0..2 {
                    estimator.estimate_into((&first, &second), (60, 80), prior, &mut field);
                }
                field.values.iter().map(|value| value.to_bits()).collect::<Vec<_>>()
            };
            let expected = flow(DenseFlow::new());
            for threads in [2, 3, 4, 7] {
                assert!(flow(DenseFlow::shared_with(workers(threads))) == expected, "{threads} threads");
            }
        }
    }

    #[test]
    fn every_instruction_set_of_this_machine_gives_the_same_bits() {
        use fearless_simd::Level;
        let (first, second) = (picture(|x, y| (x, y)), picture(|x, y| (x * 1.03 - 5.0, y * 0.98 + 2.5)));
        let best = Level::new();
        let expected = alone(best).estimate(&first, &second, 60, 80);
        #[cfg(target_arch = "x86_64")]
        let others = [
            Some(Level::baseline()),
            best.as_sse4_2().map(Level::Sse4_2),
            best.as_avx2().map(Level::Avx2),
            best.as_avx512().map(Level::Avx512),
        ];
        #[cfg(not(target_arch = "x86_64"))]
        let others = [Some(Level::baseline())];
        for other in others.into_iter().flatten() {
            let found = alone(other).estimate(&first, &second, 60, 80);
            let same = found.values.iter().zip(&expected.values).all(|(one, two)| one.to_bits() == two.to_bits());
            assert!(same, "{other:?} against {best:?}");
        }
    }

    #[test]
    fn the_same_images_give_the_same_flow_whatever_came_before() {
        let (first, second) = (picture(|x, y| (x, y)), picture(|x, y| (x * 1.02 - 2.0, y + 1.0)));
        let mut used = DenseFlow::new();
        used.estimate(&second, &first, 7, 9);
        assert_eq!(used.estimate(&first, &second, 48, 80), DenseFlow::new().estimate(&first, &second, 48, 80));
    }
}
