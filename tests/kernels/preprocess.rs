use super::host::{Case, driver};
use super::numbers::{Numbers, assert_rounded, assert_same, tiles};
use segfuse::data::{Image, PixelFormat, Size};
use segfuse::engine::cpu::preprocess::{ChannelOrder, Normalization, Preprocessor};
use segfuse::engine::cpu::{FeatureMap, residual, round_to_bytes};
use segfuse::engine::network::{Chain, Channels, InputSpec};
use segfuse::flow::GreyPyramid;

const FORMATS: [PixelFormat; 5] =
    [PixelFormat::Yuyv, PixelFormat::Uyvy, PixelFormat::Nv12, PixelFormat::Rgb8, PixelFormat::Grey];
const FRAME: usize = 16;

/// Bytes that look random; rows `gap` bytes longer than they need to be, but for the last.
fn image(format: PixelFormat, size: Size, gap: usize, seed: u32) -> Image {
    let stride = format.row_bytes(size.width) + gap;
    let rows = size.height as usize * if format == PixelFormat::Nv12 { 3 } else { 2 } / 2;
    let mut numbers = Numbers::new(seed);
    let bytes: Vec<u8> = (0..rows * stride).map(|_| numbers.byte()).collect();
    Image::new(format, size, stride, bytes.into()).expect("as many bytes as the rows need")
}

/// What the twins make of a picture.
struct Expected {
    planes: Vec<f32>,
    glance: FeatureMap,
    level_0: Vec<f32>,
    reduction: usize,
}

fn expected(image: &Image, spec: &InputSpec) -> Expected {
    let mut planes = vec![0.0; 3 * spec.rows * spec.cols];
    let how = normalization(spec);
    Preprocessor::new(spec.rows, spec.cols, how).run(image, &mut planes).expect("an uncompressed picture");
    if spec.chain == Chain::Common {
        round_to_bytes(&mut planes, spec);
    }
    let mut glance = FeatureMap::default();
    residual::glance(&planes, [3, spec.rows, spec.cols], &mut glance);
    let pyramid = GreyPyramid::build(image).expect("no JPEG");
    Expected { planes, glance, level_0: pyramid.framed(0).1.to_vec(), reduction: pyramid.reduction() }
}

fn normalization(spec: &InputSpec) -> Normalization {
    let order = if spec.channels == Channels::Rgb { ChannelOrder::Rgb } else { ChannelOrder::Bgr };
    Normalization { mean: spec.mean, std: spec.std, order }
}

/// A launch that makes planes of so many bytes a value, the glance and level 0.
fn case(kernel: &str, value_bytes: usize, image: &Image, spec: &InputSpec, expected: &Expected) -> Case {
    let InputSpec { rows, cols, mean, std, .. } = *spec;
    let [width, height] = [image.size().width, image.size().height].map(|side| side as usize);
    let level = [width, height].map(|side| side / expected.reduction.min(side) + 2 * FRAME);
    let blocks = tiles(cols, 32) * tiles(rows, 8) + tiles(level[0], 32) * tiles(level[1], 8);
    let (luma, chroma) = image.bytes().split_at(match image.format() {
        PixelFormat::Nv12 => image.stride() * height,
        _ => image.bytes().len(),
    });
    let scale = std.map(|std| (1.0 / (255.0 * f64::from(std))) as f32);
    let offset = [0, 1, 2].map(|plane| (-f64::from(mean[plane]) / f64::from(std[plane])) as f32);
    let options = usize::from(spec.channels == Channels::Bgr) + 2 * usize::from(spec.chain == Chain::Common);
    let format = FORMATS.iter().position(|format| *format == image.format()).expect("no JPEG");
    Case::new(kernel, [blocks, 1, 1], [32, 8, 1])
        .input(luma)
        .input(chroma)
        .int(width)
        .int(height)
        .int(image.stride())
        .int(format)
        .output(value_bytes * 3 * rows * cols)
        .int(rows)
        .int(cols)
        .floats(&[scale, offset, mean, std].concat())
        .int(options)
        .output(4 * expected.glance.values.len())
        .output(4 * expected.level_0.len())
        .int(expected.reduction)
}

fn compare(image: &Image, spec: &InputSpec) {
    let Some(driver) = driver("preprocess") else { return };
    let expected = expected(image, spec);
    let what = format!("{:?} {} stride {} to {spec:?}", image.format(), image.size(), image.stride());
    let mut answer = driver.run(&case("preprocess_f32", 4, image, spec, &expected));
    assert_same(&answer.floats(), &expected.planes, &format!("planes, {what}"));
    assert_same(&answer.floats(), &expected.glance.values, &format!("glance, {what}"));
    assert_same(&answer.floats(), &expected.level_0, &format!("level 0, {what}"));
    let mut answer = driver.run(&case("preprocess_f16", 2, image, spec, &expected));
    assert_rounded(&answer.halves(), &expected.planes, &format!("f16 planes, {what}"));
    assert_same(&answer.floats(), &expected.glance.values, &format!("glance beside f16 planes, {what}"));
}

fn spec(rows: usize, cols: usize, channels: Channels, chain: Chain) -> InputSpec {
    InputSpec { rows, cols, channels, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225], chain }
}

#[test]
fn pictures_of_every_layout_are_prepared_as_the_twins_prepare_them() {
    for (seed, format) in (0..).zip(FORMATS) {
        for (width, height, gap) in [(2, 2, 0), (30, 14, 5), (322, 50, 1), (64, 180, 32)] {
            let image = image(format, Size::new(width, height), gap, seed);
            for (rows, cols) in [(8, 32), (13, 37), (1, 1), (50, 9)] {
                compare(&image, &spec(rows, cols, Channels::Rgb, Chain::Fine));
            }
        }
    }
}

#[test]
fn pictures_with_odd_sides_are_prepared_as_the_twins_prepare_them() {
    for format in [PixelFormat::Rgb8, PixelFormat::Grey] {
        for (width, height, gap) in [(1, 1, 0), (31, 1, 0), (1, 63, 3), (333, 77, 2)] {
            compare(&image(format, Size::new(width, height), gap, 3), &spec(21, 35, Channels::Rgb, Chain::Fine));
        }
    }
}

#[test]
fn a_camera_s_picture_becomes_a_shipped_network_s_input() {
    for (format, gap) in [(PixelFormat::Yuyv, 0), (PixelFormat::Nv12, 64), (PixelFormat::Rgb8, 0)] {
        compare(&image(format, Size::new(1280, 720), gap, 9), &spec(384, 640, Channels::Rgb, Chain::Fine));
    }
}

#[test]
fn planes_may_be_in_blue_green_red_and_rounded_to_bytes() {
    let image = image(PixelFormat::Uyvy, Size::new(62, 40), 2, 5);
    for (channels, chain) in
        [(Channels::Bgr, Chain::Fine), (Channels::Rgb, Chain::Common), (Channels::Bgr, Chain::Common)]
    {
        compare(&image, &spec(24, 40, channels, chain));
    }
}

#[test]
fn the_grey_level_alone_is_made_where_no_planes_are_wanted() {
    let Some(driver) = driver("preprocess") else { return };
    let image = image(PixelFormat::Yuyv, Size::new(320, 100), 0, 5);
    let none = spec(0, 0, Channels::Rgb, Chain::Fine);
    let pyramid = GreyPyramid::build(&image).expect("no JPEG");
    let level_0 = pyramid.framed(0).1.to_vec();
    let only_grey =
        Expected { planes: Vec::new(), glance: FeatureMap::default(), level_0, reduction: pyramid.reduction() };
    let mut answer = driver.run(&case("preprocess_f16", 2, &image, &none, &only_grey));
    assert!(answer.bytes().is_empty() && answer.bytes().is_empty());
    assert_same(&answer.floats(), &only_grey.level_0, "level 0");
}
