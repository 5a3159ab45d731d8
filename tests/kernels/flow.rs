use super::host::{Case, Driver, bytes_of, driver};
use super::numbers::{Numbers, assert_same, tiles};
use segfuse::data::{Image, PixelFormat, Size};
use segfuse::flow::{DenseFlow, FlowField, GreyPyramid};

const FRAME: usize = 16;

/// A smooth texture without a period, seen from elsewhere, with a square in it that moves by itself, and some noise.
fn picture(size: Size, place: impl Fn(f64, f64) -> (f64, f64), square: f64, seed: u32) -> GreyPyramid {
    let (width, height) = (size.width as usize, size.height as usize);
    let mut numbers = Numbers::new(seed);
    let pixel = |index: usize| {
        let (x, y) = ((index % width) as f64, (index / width) as f64);
        let inside = (x - 0.4 * width as f64 - square).abs() < 30.0 && (y - 0.5 * height as f64).abs() < 25.0;
        let (x, y) = if inside { (x - square + 500.0, y + 300.0) } else { place(x, y) };
        let wave = |fx: f64, fy: f64, phase: f64| (fx * x + fy * y + phase).sin();
        let broad = wave(0.055, 0.025, 0.0) + wave(-0.02, 0.065, 1.0) + wave(0.035, -0.045, 2.0);
        let fine = wave(0.21, 0.085, 0.5) + wave(-0.1, 0.25, 1.5);
        (127.0 + 20.0 * broad + 12.0 * fine + f64::from(numbers.between(-3.0, 3.0))).clamp(0.0, 255.0) as u8
    };
    let bytes: Vec<u8> = (0..size.pixels()).map(pixel).collect();
    let image = Image::packed(PixelFormat::Grey, size, bytes.into()).expect("a byte a pixel");
    GreyPyramid::build(&image).expect("no JPEG")
}

/// The levels of a pyramid as the kernels have them: one after the other.
fn framed(pyramid: &GreyPyramid) -> Vec<f32> {
    (0..pyramid.levels()).flat_map(|level| pyramid.framed(level).1.to_vec()).collect()
}

fn patches(side: usize) -> usize {
    if side < 8 { 0 } else { (side - 8) / 4 + 1 }
}

/// Buffers of the search: all bits set, and zeros.
struct Scratch {
    values: Vec<u8>,
    progress: Vec<u8>,
    /// Bytes of the motions in `values`, which come first.
    motions: usize,
    /// Rows of patches of all levels.
    rows: usize,
}

impl Scratch {
    fn new(pyramid: &GreyPyramid) -> Self {
        let levels = (0..pyramid.levels()).map(|level| pyramid.framed(level).0);
        let patches: Vec<_> = levels.map(|(width, height)| (patches(height), patches(width))).collect();
        let values = patches.iter().map(|(rows, cols)| 8 * rows * cols + 2 * (rows + 1) * (cols + 1)).sum::<usize>();
        let rows = patches.iter().map(|(rows, _)| rows).sum();
        let motions = patches.iter().map(|(rows, cols)| 16 * rows * cols).sum();
        Self { values: vec![0xff; 4 * values], progress: vec![0; 4 * (rows + patches.len() + 1)], motions, rows }
    }
}

fn search(
    driver: &Driver,
    (earlier, current): (&GreyPyramid, &GreyPyramid),
    prior: Option<&FlowField>,
    scratch: &mut Scratch,
    room: Option<usize>,
) {
    let ((width, height), _) = current.framed(0);
    let case = Case::new("match_patches", [2 * scratch.rows, 1, 1], [32, 1, 1])
        .room(room)
        .input(&bytes_of(&framed(earlier)))
        .input(&bytes_of(&framed(current)))
        .int(width)
        .int(height)
        .int(current.levels());
    let case = match prior {
        Some(prior) => case.input(&bytes_of(&prior.values)).int(prior.rows).int(prior.cols),
        None => case.null().int(0).int(0),
    };
    let mut answer = driver.run(&case.changed(&scratch.values).changed(&scratch.progress));
    (scratch.values, scratch.progress) = (answer.bytes(), answer.bytes());
}

fn sample(driver: &Driver, size: Size, pyramid: &GreyPyramid, grid: [usize; 2], scratch: &mut Scratch) -> Vec<f32> {
    let ((width, height), _) = pyramid.framed(0);
    let [rows, cols] = grid;
    let case = Case::new("sample_flow", [tiles(rows * cols, 256), 1, 1], [256, 1, 1])
        .changed(&scratch.values)
        .changed(&scratch.progress)
        .int(width)
        .int(height)
        .int(pyramid.levels())
        .int(size.width as usize)
        .int(size.height as usize)
        .int(pyramid.reduction())
        .output(8 * rows * cols)
        .int(rows)
        .int(cols);
    let mut answer = driver.run(&case);
    (scratch.values, scratch.progress) = (answer.bytes(), answer.bytes());
    answer.floats()
}

/// Kernels and twin over one pair of pictures: equal bits.
fn compare(size: Size, grid: [usize; 2], prior: Option<&FlowField>) {
    compare_with_room(size, grid, prior, None);
}

fn compare_with_room(size: Size, grid: [usize; 2], prior: Option<&FlowField>, room: Option<usize>) {
    let Some(driver) = driver("flow") else { return };
    let earlier = picture(size, |x, y| (x, y), 0.0, 1);
    let current = picture(size, |x, y| (x * 1.015 - 7.0, y * 1.01 + 4.0), 21.0, 2);
    let mut expected = FlowField::default();
    DenseFlow::new().estimate_into((&earlier, &current), (grid[0], grid[1]), prior, &mut expected);
    let mut scratch = Scratch::new(&current);
    if scratch.rows > 0 {
        search(&driver, (&earlier, &current), prior, &mut scratch, room);
    }
    let found = sample(&driver, size, &current, grid, &mut scratch);
    assert_same(&found, &expected.values, &format!("{size} on {grid:?}, prior {}, room {room:?}", prior.is_some()));
    let Scratch { values, progress, motions, .. } = scratch;
    let ready = progress.iter().all(|byte| *byte == 0) && values[..motions].iter().all(|byte| *byte == 0xff);
    assert!(ready, "{size}: scratch and progress are not ready for the next search");
}

#[test]
fn coarser_levels_are_the_twin_s() {
    let Some(driver) = driver("build_pyramid") else { return };
    for (width, height) in [(1280, 720), (320, 320), (90, 64), (65, 33), (1280, 129)] {
        let pyramid = picture(Size::new(width, height), |x, y| (x, y), 0.0, 1);
        let (((width, height), finest), expected) = (pyramid.framed(0), framed(&pyramid));
        let mut values = vec![f32::NAN; expected.len()];
        values[..finest.len()].copy_from_slice(finest);
        let grid = [tiles(width / 2 + 2 * FRAME, 32), tiles(height / 2 + 2 * FRAME, 8), pyramid.levels() - 1];
        let case = Case::new("build_pyramid", grid, [32, 8, 1]).changed(&bytes_of(&values)).int(width).int(height);
        assert_same(&driver.run(&case).floats(), &expected, &format!("{width}x{height}"));
    }
}

#[test]
fn motion_is_found_as_the_twin_finds_it() {
    for ((width, height), grid) in
        [((96, 64), [8, 12]), ((151, 93), [7, 9]), ((70, 148), [37, 11]), ((322, 130), [16, 40])]
    {
        compare(Size::new(width, height), grid, None);
    }
}

#[test]
fn motion_is_found_the_same_however_few_blocks_the_device_has_room_for() {
    for blocks in [1, 2, 7, 40] {
        compare_with_room(Size::new(96, 64), [8, 12], None, Some(blocks));
        compare_with_room(Size::new(70, 320), [37, 11], None, Some(blocks));
    }
}

#[test]
fn a_prior_leads_the_search_as_it_leads_the_twin() {
    let mut numbers = Numbers::new(3);
    for grid in [[8, 12], [5, 3]] {
        let values = (0..2 * grid[0] * grid[1]).map(|_| numbers.between(-0.8, 0.8)).collect();
        let prior = FlowField { rows: grid[0], cols: grid[1], values };
        compare(Size::new(120, 90), [12, 10], Some(&prior));
    }
}

#[test]
fn pictures_too_small_for_a_patch_have_not_moved() {
    for (width, height) in [(7, 40), (1, 1), (8, 8), (400, 9)] {
        compare(Size::new(width, height), [3, 4], None);
    }
}

#[test]
fn a_camera_s_pictures_move_on_the_grid_of_features_as_the_twin_says() {
    compare(Size::new(1280, 720), [48, 80], None);
}

#[test]
fn two_motions_are_composed_as_the_twin_composes_them() {
    let Some(driver) = driver("compose_flow") else { return };
    for (seed, grid) in (0..).zip([[48, 80], [1, 1], [5, 1], [13, 37]]) {
        let mut numbers = Numbers::new(seed);
        let [earlier, later] = [(); 2].map(|()| numbers.flow(grid, 4.0));
        let mut expected = FlowField::default();
        earlier.compose_into(&later, &mut expected);
        let cells = grid[0] * grid[1];
        let case = Case::new("compose_flow", [tiles(cells, 256), 1, 1], [256, 1, 1])
            .input(&bytes_of(&earlier.values))
            .input(&bytes_of(&later.values))
            .output(8 * cells)
            .int(grid[0])
            .int(grid[1]);
        assert_same(&driver.run(&case).floats(), &expected.values, &format!("{grid:?}"));
    }
}
