//! Camera bytes to network input, and features along a flow: against OpenCV on as many threads.

mod support;

use segfuse::data::{Image, PixelFormat, Size};
use segfuse::engine::cpu::preprocess::{Normalization, Preprocessor};
use segfuse::engine::cpu::reference;
use std::hint::black_box;
use support::Bench;

fn main() {
    let mut bench = Bench::start("preprocess");
    let camera = Size::new(1280, 720);
    for format in [PixelFormat::Yuyv, PixelFormat::Uyvy, PixelFormat::Nv12, PixelFormat::Rgb8, PixelFormat::Grey] {
        for (rows, cols) in [(384, 640), (512, 1024)] {
            let image = camera_image(format, camera);
            preprocess(&mut bench, &image, rows, cols);
        }
    }
    let image = camera_image(PixelFormat::Rgb8, Size::new(480, 360));
    preprocess(&mut bench, &image, 512, 1024);
    bench.finish();
}

fn camera_image(format: PixelFormat, size: Size) -> Image {
    let planes = if format == PixelFormat::Nv12 { 3 } else { 2 };
    let len = format.row_bytes(size.width) * size.height as usize * planes / 2;
    let bytes: Vec<u8> = support::noise(1).map(|value| value as u8).take(len).collect();
    Image::packed(format, size, bytes.into()).expect("as many bytes as the format needs")
}

fn preprocess(bench: &mut Bench, image: &Image, rows: usize, cols: usize) {
    let name = format!("preprocess/{}/{}-{cols}x{rows}", image.format().name(), image.size());
    let how = Normalization::default();
    let mut preprocessor = Preprocessor::new(rows, cols, how).shared_with(bench.workers());
    let mut out = vec![0.0; 3 * rows * cols];
    let check = || {
        let mut out = vec![0.0; 3 * rows * cols];
        Preprocessor::new(rows, cols, how).run(image, &mut out).map_err(|error| error.to_string())?;
        let plain = reference::preprocess(image, rows, cols, &how).map_err(|error| error.to_string())?;
        let apart = out.iter().zip(plain).map(|(fast, plain)| (f64::from(*fast) - plain).abs()).fold(0.0, f64::max);
        if apart < 1e-5 { Ok(()) } else { Err(format!("{apart} away from the reference")) }
    };
    let bytes = image.bytes().len() + out.len() * 4;
    let work = || preprocessor.run(black_box(image), black_box(&mut out)).expect("the format is not JPEG");
    bench.case(&name, bytes, work, check);
}
