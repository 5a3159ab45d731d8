//! Each kernel by itself.

use super::Bench;
use super::device::{Noise, download, download_bytes, download_half, halved, upload, upload_field, upload_half};
use segfuse::data::{Image, PixelFormat, Size};
use segfuse::engine::cpu::decode::Decoder;
use segfuse::engine::cpu::preprocess::{Normalization, Preprocessor};
use segfuse::engine::cpu::warp::Warper;
use segfuse::engine::cpu::{FeatureMap, residual::Residual};
use segfuse::engine::cuda::{device_picture, preparation};
use segfuse::engine::network::{Chain, Channels, InputSpec};
use segfuse::flow::{DenseFlow, FlowField, GreyPyramid};
use segfuse::sys::cuda::{DeviceMap, DevicePyramid, FlowScratch, Half, Preparation, Stream};

const HD: Size = Size::new(1280, 720);
const UHD: Size = Size::new(3840, 2160);
/// The shipped networks' input.
const INPUT: (usize, usize) = (384, 640);

pub(crate) fn run(bench: &mut Bench) {
    let quick = bench.quick;
    for size in [HD, UHD].into_iter().take(if quick { 1 } else { 2 }) {
        for format in [PixelFormat::Yuyv, PixelFormat::Nv12, PixelFormat::Rgb8] {
            preprocess(bench, format, size);
        }
    }
    flow(bench, HD);
    compose(bench);
    let large = [[64, 48, 80], [128, 90, 160], [64, 270, 480]];
    for shape in large.into_iter().take(if quick { 1 } else { 3 }) {
        warp(bench, shape);
    }
    residual(bench);
    blend(bench);
    fill_in(bench);
    let masks = [([19, 48, 80], HD), ([19, 96, 160], HD), ([19, 48, 80], UHD), ([19, 270, 480], UHD)];
    for (shape, size) in masks.into_iter().take(if quick { 1 } else { 4 }) {
        decode(bench, shape, size);
    }
    average(bench);
}

/// A picture of the drive's kind: smooth, with a texture that flow can follow, moved by `shift` pixels of 640.
pub(crate) fn picture(format: PixelFormat, size: Size, shift: f32) -> Image {
    let (row, unit) = (format.row_bytes(size.width), 640.0 / size.width as f32);
    let rows = if format == PixelFormat::Nv12 { size.height * 3 / 2 } else { size.height } as usize;
    let per_pixel = (row / size.width as usize).max(1);
    let byte = |i: usize| {
        let (x, y) = ((i % row / per_pixel) as f32 * unit + shift, (i / row) as f32 * unit);
        let wave = |fx: f32, fy: f32| (fx * x + fy * y).sin();
        (127.0 + 30.0 * (wave(0.05, 0.02) + wave(-0.02, 0.06)) + 20.0 * (wave(0.21, 0.09) + wave(-0.11, 0.25))) as u8
    };
    let bytes: Vec<u8> = (0..row * rows).map(byte).collect();
    Image::packed(format, size, bytes.into()).expect("enough bytes")
}

pub(crate) fn how() -> Preparation {
    let (mean, std) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
    let spec = InputSpec { rows: 8, cols: 8, channels: Channels::Rgb, mean, std, chain: Chain::Fine };
    preparation(&spec)
}

/// The pyramid of an image, on the device.
pub(crate) fn pyramid(stream: &Stream, image: &Image) -> DevicePyramid {
    let picture = device_picture(stream, image).expect("room");
    let reduction = GreyPyramid::build(image).expect("not a JPEG").reduction();
    let mut pyramid = stream.pyramid((picture.width, picture.height), reduction).expect("room");
    let mut planes = stream.map::<f32>([3, 8, 8]).expect("room");
    stream.preprocess(&picture, &how(), &mut planes, None, Some(&mut pyramid)).expect("launched");
    pyramid
}

fn same(found: &[f32], expected: &[f32], tolerance: f32) -> Result<(), String> {
    let apart = found.iter().zip(expected).map(|(found, expected)| (found - expected).abs()).fold(0.0, f32::max);
    if apart <= tolerance { Ok(()) } else { Err(format!("{apart} away from the twin, allowed are {tolerance}")) }
}

fn preprocess(bench: &mut Bench, format: PixelFormat, size: Size) {
    let name = format!("preprocess/{}/{size}-{}x{}", format.name(), INPUT.1, INPUT.0);
    if !bench.wants(&name) {
        return;
    }
    let ((rows, cols), image) = (INPUT, picture(format, size, 0.0));
    let outputs = 3 * rows * cols * 2 + 3 * (rows / 4) * (cols / 4) * 4;
    let grey = GreyPyramid::build(&image).expect("not a JPEG");
    let levels: usize = (0..grey.levels()).map(|level| grey.framed(level).1.len() * 4).sum();
    let bytes = image.bytes().len() + outputs + levels;
    let how = how();
    let stream = &bench.stream;
    let set = |_| {
        let picture = device_picture(stream, &image).expect("room");
        let planes = stream.map::<Half>([3, rows, cols]).expect("room");
        let glance = stream.map::<f32>([3, rows / 4, cols / 4]).expect("room");
        let pyramid = stream.pyramid((picture.width, picture.height), grey.reduction()).expect("room");
        (picture, planes, glance, pyramid)
    };
    let mut sets: Vec<_> = (0..bench.sets(bytes)).map(set).collect();
    let check = |stream: &Stream, set: &(_, DeviceMap<Half>, _, _)| {
        let mut planes = FeatureMap::zeros(3, rows, cols);
        let twin = Preprocessor::new(rows, cols, Normalization::default()).run(&image, &mut planes.values);
        twin.map_err(|error| error.to_string())?;
        same(&download_half(stream, &set.1), &halved(&planes).values, 0.0)
    };
    let work = |stream: &Stream, (picture, planes, glance, pyramid): &mut (_, _, _, _)| {
        stream.preprocess(picture, &how, planes, Some(glance), Some(pyramid))
    };
    bench.case(&name, bytes, &mut sets, work, check);
}

fn flow(bench: &mut Bench, size: Size) {
    let name = format!("flow/{size}-80x48");
    if !bench.wants(&name) {
        return;
    }
    let pictures = [picture(PixelFormat::Grey, size, 0.0), picture(PixelFormat::Grey, size, 3.0)];
    let stream = &bench.stream;
    let set = |_| {
        let pyramids = pictures.each_ref().map(|image| pyramid(stream, image));
        (pyramids, FlowScratch::default(), stream.map::<f32>([2, 48, 80]).expect("room"))
    };
    let mut sets: Vec<_> = (0..if bench.quick { 1 } else { 4 }).map(set).collect();
    let grey = pictures.each_ref().map(|image| GreyPyramid::build(image).expect("not a JPEG"));
    let expected = DenseFlow::new().estimate(&grey[0], &grey[1], 48, 80);
    let bytes = 2 * sets[0].0[0].buffer().bytes() + expected.values.len() * 4;
    let check = |stream: &Stream, set: &(_, _, DeviceMap<f32>)| same(&download(stream, &set.2), &expected.values, 1e-3);
    let work = |stream: &Stream, (pyramids, scratch, flow): &mut ([DevicePyramid; 2], FlowScratch, _)| {
        stream.estimate_flow((&pyramids[0], &pyramids[1]), None, scratch, flow)
    };
    bench.case(&name, bytes, &mut sets, work, check);
}

fn compose(bench: &mut Bench) {
    if !bench.wants("compose/80x48") {
        return;
    }
    let mut noise = Noise(1);
    let (earlier, later) = (noise.field(48, 80, 3.0), noise.field(48, 80, 3.0));
    let stream = &bench.stream;
    let set = (upload_field(stream, &earlier), upload_field(stream, &later), stream.map([2, 48, 80]).expect("room"));
    let check = |stream: &Stream, set: &(_, _, DeviceMap<f32>)| {
        let mut both = FlowField::default();
        earlier.compose_into(&later, &mut both);
        same(&download(stream, &set.2), &both.values, 0.0)
    };
    let work = |stream: &Stream, (earlier, later, both): &mut (_, _, _)| stream.compose_flow(earlier, later, both);
    bench.case("compose/80x48", 3 * 2 * 48 * 80 * 4, &mut [set], work, check);
}

fn warp(bench: &mut Bench, shape: [usize; 3]) {
    let [channels, rows, cols] = shape;
    let (name, hwc8) = (format!("warp/{channels}x{rows}x{cols}"), format!("warp-hwc8/{channels}x{rows}x{cols}"));
    if !bench.wants(&name) && !bench.wants(&hwc8) {
        return;
    }
    let mut noise = Noise(2);
    let features = halved(&noise.map(shape, 8.0));
    let flow = FlowField { rows, cols, values: (0..2 * rows * cols).map(|_| noise.within(2.0)).collect() };
    let bytes = 2 * channels * rows * cols * 2 + 2 * rows * cols * 4;
    let stream = &bench.stream;
    let set =
        |_| (upload_half(stream, &features), upload_field(stream, &flow), stream.map::<Half>(shape).expect("room"));
    let mut sets: Vec<_> = (0..bench.sets(bytes)).map(set).collect();
    let check = |stream: &Stream, set: &(_, _, DeviceMap<Half>)| {
        let mut expected = FeatureMap::default();
        Warper::new().warp(&features, &flow, &mut expected);
        same(&download_half(stream, &set.2), &halved(&expected).values, 0.0)
    };
    bench.case(&name, bytes, &mut sets, |stream, (from, flow, to)| stream.warp_features(from, flow, to), check);
    let work = |stream: &Stream, (from, flow, to): &mut (_, _, _)| stream.warp_features_hwc8(from, flow, to);
    // The same numbers read as another layout: their values are checked by the tests.
    bench.case(&hwc8, bytes, &mut sets, work, |_, _| Ok(()));
}

fn residual(bench: &mut Bench) {
    let (rows, cols, name) = (INPUT.0 / 4, INPUT.1 / 4, "residual/160x96");
    if !bench.wants(name) {
        return;
    }
    let mut noise = Noise(3);
    let glances = [noise.map([3, rows, cols], 2.0), noise.map([3, rows, cols], 2.0)];
    let flow = noise.field(48, 80, 2.0);
    let stream = &bench.stream;
    let [earlier, current] = glances.each_ref().map(|glance| upload(stream, glance));
    let set = (earlier, current, upload_field(stream, &flow), stream.map([1, rows, cols]).expect("room"));
    let bytes = 7 * rows * cols * 4 + 2 * 48 * 80 * 4;
    let check = |stream: &Stream, set: &(_, _, _, DeviceMap<f32>)| {
        let mut expected = FeatureMap::default();
        Residual::default().between(&glances[0], &glances[1], &flow, &mut expected);
        same(&download(stream, &set.3), &expected.values, 0.0)
    };
    let work = |stream: &Stream, (earlier, current, flow, map): &mut (_, _, _, _)| {
        stream.residual(earlier, current, flow, map, None)
    };
    bench.case(name, bytes, &mut [set], work, check);
    let set = (upload(stream_of(bench), &glances[0]), stream_of(bench).buffer::<f32>(1).expect("room"));
    let work = |stream: &Stream, (map, sum): &mut (_, _)| stream.sum_residual(map, sum);
    bench.case("sum_residual/160x96x3", 3 * rows * cols * 4, &mut [set], work, |_, _| Ok(()));
}

fn stream_of(bench: &Bench) -> &Stream {
    &bench.stream
}

fn blend(bench: &mut Bench) {
    let (shape, name) = ([64, 48, 80], "blend/64x48x80");
    if !bench.wants(name) {
        return;
    }
    let mut noise = Noise(4);
    let [fresh, carried] = [noise.map(shape, 8.0), noise.map(shape, 8.0)];
    let residual = noise.map([1, 96, 160], 0.2);
    let stream = &bench.stream;
    let set = (upload_half(stream, &fresh), upload_half(stream, &carried), upload(stream, &residual));
    let bytes = 3 * 64 * 48 * 80 * 2 + 96 * 160 * 4;
    let work = |stream: &Stream, (fresh, carried, residual): &mut (DeviceMap<Half>, _, _)| {
        stream.blend_features(fresh, carried, residual, 0.226)
    };
    bench.case(name, bytes, &mut [set], work, |_, _| Ok(()));
}

fn fill_in(bench: &mut Bench) {
    let (shape, name) = ([19, 128, 256], "fill_in/19x128x256");
    if !bench.wants(name) {
        return;
    }
    let mut noise = Noise(6);
    let (logits, glance) = (noise.map(shape, 8.0), noise.map([3, 128, 256], 1.0));
    let mut residual = noise.map([1, 128, 256], 0.6);
    residual.values.iter_mut().for_each(|value| *value = value.abs());
    let stream = &bench.stream;
    let set = (upload_half(stream, &logits), upload(stream, &glance), upload(stream, &residual));
    let bytes = 2 * 19 * 128 * 256 * 2 + 4 * 128 * 256 * 4 + 2 * 6 * 128 * 256 * 4;
    let work = |stream: &Stream, (logits, glance, residual): &mut (DeviceMap<Half>, _, _)| {
        stream.fill_in(logits, glance, residual, 0.226)
    };
    bench.case(name, bytes, &mut [set], work, |_, _| Ok(()));
}

fn decode(bench: &mut Bench, shape: [usize; 3], size: Size) {
    let [classes, rows, cols] = shape;
    let name = format!("decode/{classes}x{rows}x{cols}-{size}");
    if !bench.wants(&name) {
        return;
    }
    let logits = halved(&Noise(5).map(shape, 12.0));
    let bytes = classes * rows * cols * 2 + 2 * size.pixels();
    let out = [1, size.height as usize, size.width as usize];
    let stream = &bench.stream;
    let map = || stream.map::<u8>(out).expect("room");
    let mut sets: Vec<_> = (0..bench.sets(bytes)).map(|_| (upload_half(stream, &logits), map(), map())).collect();
    let check = |stream: &Stream, set: &(_, DeviceMap<u8>, DeviceMap<u8>)| {
        let (mut labels, mut margins) = (vec![0; size.pixels()], vec![0; size.pixels()]);
        Decoder::new().run(&logits, size, &mut labels, &mut margins);
        let equal = download_bytes(stream, &set.1) == labels && download_bytes(stream, &set.2) == margins;
        if equal { Ok(()) } else { Err("labels or margins are not the twin's".to_owned()) }
    };
    let work = |stream: &Stream, (logits, labels, margins): &mut (DeviceMap<Half>, _, _)| {
        stream.decode_mask(logits, labels, margins)
    };
    bench.case(&name, bytes, &mut sets, work, check);
}

fn average(bench: &mut Bench) {
    let (shape, name) = ([19, 384, 640], "average/19x384x640-4");
    if !bench.wants(name) {
        return;
    }
    let bytes = 19 * 384 * 640 * 2 * 17 / 16;
    let map = Noise(6).map(shape, 12.0);
    let stream = &bench.stream;
    let set = |_| (upload_half(stream, &map), stream.map::<Half>([19, 96, 160]).expect("room"));
    let mut sets: Vec<_> = (0..bench.sets(bytes)).map(set).collect();
    bench.case(name, bytes, &mut sets, |stream, (map, out)| stream.average_blocks(map, 4, out), |_, _| Ok(()));
}
