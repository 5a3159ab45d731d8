//! Pyramids and dense flow: against OpenCV's DIS (its fastest preset) on as many threads.

mod support;

use segfuse::data::{Image, PixelFormat, Size};
use segfuse::flow::{DenseFlow, FlowField, GreyPyramid};
use std::hint::black_box;
use support::Bench;

fn main() {
    let mut bench = Bench::start("flow");
    for size in [Size::new(320, 180), Size::new(640, 360), Size::new(1280, 720)] {
        let earlier = picture(size, 0.0);
        let current = picture(size, 6.0);
        flow(&mut bench, size, &earlier, &current);
    }
    bench.finish();
}

/// A texture `shift` pixels (of 640 across) to the left.
fn picture(size: Size, shift: f32) -> Image {
    let unit = 640.0 / size.width as f32;
    let pixel = |i: usize| {
        let (x, y) = ((i % size.width as usize) as f32 * unit + shift, (i / size.width as usize) as f32 * unit);
        let wave = |fx: f32, fy: f32| (fx * x + fy * y).sin();
        let broad = wave(0.05, 0.02) + wave(-0.02, 0.06);
        (127.0 + 30.0 * broad + 20.0 * (wave(0.21, 0.09) + wave(-0.11, 0.25))) as u8
    };
    let bytes: Vec<u8> = (0..size.pixels()).map(pixel).collect();
    Image::packed(PixelFormat::Grey, size, bytes.into()).expect("as many bytes as pixels")
}

fn flow(bench: &mut Bench, size: Size, earlier: &Image, current: &Image) {
    let (rows, cols) = (45, 80);
    let before = GreyPyramid::build(earlier).expect("not a JPEG");
    let mut estimator = DenseFlow::shared_with(bench.workers());
    let (mut pyramid, mut field) = (GreyPyramid::default(), FlowField::default());
    let check = || {
        let now = GreyPyramid::build(current).expect("not a JPEG");
        let field = DenseFlow::new().estimate(&before, &now, rows, cols);
        let along = field.at(rows / 2, cols / 2)[0] * 640.0 / cols as f32;
        if (along - 6.0).abs() < 0.2 { Ok(()) } else { Err(format!("{along} pixels instead of 6")) }
    };
    let work = || {
        pyramid.fill(black_box(current)).expect("not a JPEG");
        estimator.estimate_into((&before, &pyramid), (rows, cols), None, black_box(&mut field));
    };
    bench.case(&format!("flow/pyramid-and-search/{size}"), size.pixels() + rows * cols * 8, work, check);
}
