//! Each kernel on the GPU against its twin in Rust, and whole trips against the CPU engine.
//!
//! Without a GPU these tests say loudly that they are skipped; then `without_a_gpu` runs them all against a stand-in for
//! the driver, which runs the kernels on the host.

#![cfg(feature = "cuda")]

#[path = "support/conformance.rs"]
mod conformance;
#[path = "support/device.rs"]
mod device;
#[path = "support/driver_on_host.rs"]
mod host_driver;

use device::{
    Noise, Verdict, download, download_bytes, download_half, halved, stream, upload, upload_field, upload_half,
};
use segfuse::data::{Calibration, Image, PixelFormat, Size};
use segfuse::engine::cpu::blend::Blender;
use segfuse::engine::cpu::decode::Decoder;
use segfuse::engine::cpu::nearest::NearestDecoder;
use segfuse::engine::cpu::preprocess::{ChannelOrder, Normalization, Preprocessor};
use segfuse::engine::cpu::residual::{Residual, glance};
use segfuse::engine::cpu::warp::Warper;
use segfuse::engine::cpu::{FeatureMap, average_blocks, round_to_bytes};
use segfuse::engine::cuda::{device_camera, device_motion, device_picture, preparation};
use segfuse::engine::network::{Chain, Channels, InputSpec};
use segfuse::flow::{DenseFlow, EgoFlow, EgoMotion, FlowField, GreyPyramid};
use segfuse::sys::cuda::{CudaError, DeviceMap, FlowScratch, Half, Stream};

/// The numbers of a map as `[rows, cols, channels]`.
fn turned(map: &FeatureMap) -> FeatureMap {
    let cells = map.rows * map.cols;
    let values = (0..cells).flat_map(|cell| (0..map.channels).map(move |channel| map.values[channel * cells + cell]));
    FeatureMap { values: values.collect(), ..map.clone() }
}

/// A texture whose content lies `shift` pixels further to the left and half as many further up.
fn texture(size: Size, shift: f32) -> Image {
    let pixel = |i: usize| {
        let (x, y) = ((i % size.width as usize) as f32 + shift, (i / size.width as usize) as f32 + shift / 2.0);
        let wave = |fx: f32, fy: f32| (fx * x + fy * y).sin();
        let broad = wave(0.05, 0.02) + wave(-0.02, 0.06);
        (127.0 + 30.0 * broad + 20.0 * (wave(0.21, 0.09) + wave(-0.11, 0.25))) as u8
    };
    let bytes: Vec<u8> = (0..size.pixels()).map(pixel).collect();
    Image::packed(PixelFormat::Grey, size, bytes.into()).expect("a byte a pixel")
}

fn input(rows: usize, cols: usize, channels: Channels, chain: Chain) -> InputSpec {
    InputSpec { rows, cols, channels, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225], chain }
}

/// What the twins make of a picture: planes and glance.
fn prepared(image: &Image, spec: &InputSpec) -> (FeatureMap, FeatureMap) {
    let order = if spec.channels == Channels::Bgr { ChannelOrder::Bgr } else { ChannelOrder::Rgb };
    let how = Normalization { mean: spec.mean, std: spec.std, order };
    let mut planes = FeatureMap::zeros(3, spec.rows, spec.cols);
    Preprocessor::new(spec.rows, spec.cols, how).run(image, &mut planes.values).expect("not a JPEG");
    if spec.chain == Chain::Common {
        round_to_bytes(&mut planes.values, spec);
    }
    let mut small = FeatureMap::default();
    glance(&planes.values, [3, spec.rows, spec.cols], &mut small);
    (planes, small)
}

mod on_the_gpu {
    use super::*;

    #[test]
    fn planes_glance_and_pyramid_equal_the_cpus() {
        let Some(stream) = stream("planes_glance_and_pyramid") else { return };
        let (mut noise, mut verdict) = (Noise(1), Verdict::default());
        let formats = &PixelFormat::ALL[..5];
        let sizes = [Size::new(1280, 720), Size::new(322, 182), Size::new(8, 2), Size::new(640, 480)];
        for (place, (format, size)) in sizes.iter().flat_map(|size| formats.iter().map(move |f| (f, size))).enumerate()
        {
            let image = noise.picture(*format, *size, place % 3 * 5);
            let channels = if place % 2 == 0 { Channels::Rgb } else { Channels::Bgr };
            let chain = if place % 3 == 0 { Chain::Common } else { Chain::Fine };
            let (rows, cols) = [(384, 640), (97, 131), (3, 5)][place % 3];
            let spec = input(rows, cols, channels, chain);
            preprocess_case(&stream, &mut verdict, &image, &spec);
        }
        verdict.give("preprocess, build_pyramid");
    }

    fn preprocess_case(stream: &Stream, verdict: &mut Verdict, image: &Image, spec: &InputSpec) {
        let (rows, cols) = (spec.rows, spec.cols);
        let what = format!("{} {} to {rows}x{cols}, {:?}", image.size(), image.format().name(), spec.chain);
        let (planes, small) = prepared(image, spec);
        let picture = device_picture(stream, image).expect("room");
        let (mut single, mut half) =
            (stream.map([3, rows, cols]).expect("room"), stream.map([3, rows, cols]).expect("room"));
        let mut device_glance = stream.map([3, rows / 4, cols / 4]).expect("room");
        let grey = GreyPyramid::build(image).expect("not a JPEG");
        let mut pyramid = stream.pyramid((picture.width, picture.height), grey.reduction()).expect("room");
        let how = preparation(spec);
        let wanted = (Some(&mut device_glance), Some(&mut pyramid));
        stream.preprocess::<f32>(&picture, &how, &mut single, wanted.0, wanted.1).expect("launched");
        stream.preprocess::<Half>(&picture, &how, &mut half, None, None).expect("launched");
        verdict.equal(&format!("{what}: planes"), &download(stream, &single), &planes.values);
        verdict.equal(&format!("{what}: half planes"), &download_half(stream, &half), &halved(&planes).values);
        verdict.equal(&format!("{what}: glance"), &download(stream, &device_glance), &small.values);
        let mut levels = vec![0.0; pyramid.buffer().len()];
        stream.download(pyramid.buffer(), &mut levels).expect("done");
        let expected: Vec<f32> = (0..grey.levels()).flat_map(|level| grey.framed(level).1.to_vec()).collect();
        verdict.equal(&format!("{what}: pyramid"), &levels, &expected);
    }

    #[test]
    fn flow_equals_the_cpus() {
        let Some(stream) = stream("flow_equals") else { return };
        let mut verdict = Verdict::default();
        let mut scratch = FlowScratch::default();
        for (size, grid, shift) in [
            (Size::new(1280, 720), (48, 80), 9.0),
            (Size::new(640, 480), (45, 60), -3.0),
            (Size::new(161, 97), (12, 20), 2.5),
            (Size::new(320, 320), (40, 40), 30.0),
            (Size::new(9, 17), (3, 2), 0.5),
            (Size::new(7, 40), (2, 2), 0.5),
        ] {
            let pictures = [texture(size, 0.0), texture(size, shift)];
            for prior in [None, Some([1.5, -0.25])] {
                flow_case(&stream, (&mut verdict, &mut scratch), &pictures, grid, prior);
            }
        }
        verdict.give("match_patches, sample_flow");
    }

    fn flow_case(
        stream: &Stream,
        (verdict, scratch): (&mut Verdict, &mut FlowScratch),
        pictures: &[Image; 2],
        (rows, cols): (usize, usize),
        prior: Option<[f32; 2]>,
    ) {
        let size = pictures[0].size();
        let grey = pictures.each_ref().map(|image| GreyPyramid::build(image).expect("not a JPEG"));
        let prior = prior.map(|[x, y]| FlowField { rows: 6, cols: 9, values: [[x; 54], [y; 54]].concat() });
        let mut expected = FlowField::default();
        DenseFlow::new().estimate_into((&grey[0], &grey[1]), (rows, cols), prior.as_ref(), &mut expected);
        let spec = input(8, 8, Channels::Rgb, Chain::Fine);
        let pyramids = pictures.each_ref().map(|image| {
            let picture = device_picture(stream, image).expect("room");
            let mut pyramid = stream.pyramid((picture.width, picture.height), grey[0].reduction()).expect("room");
            let mut planes = stream.map::<f32>([3, 8, 8]).expect("room");
            stream.preprocess(&picture, &preparation(&spec), &mut planes, None, Some(&mut pyramid)).expect("launched");
            pyramid
        });
        let device_prior = prior.as_ref().map(|prior| upload_field(stream, prior));
        let mut flow = stream.map([2, rows, cols]).expect("room");
        stream
            .estimate_flow((&pyramids[0], &pyramids[1]), device_prior.as_ref(), scratch, &mut flow)
            .expect("launched");
        let what = format!("{size} to {rows}x{cols}, prior {}", prior.is_some());
        // Equal bits are aimed at; a step that ends otherwise moves single patches.
        verdict.share(&what, (&download(stream, &flow), &expected.values), 1e-3, 0.999);
    }

    #[test]
    fn composed_flow_equals_the_cpus() {
        let Some(stream) = stream("composed_flow") else { return };
        let (mut noise, mut verdict) = (Noise(2), Verdict::default());
        for (rows, cols) in [(48, 80), (1, 1), (33, 7)] {
            let (earlier, later) = (noise.field(rows, cols, 5.0), noise.field(rows, cols, 20.0));
            let mut expected = FlowField::default();
            earlier.compose_into(&later, &mut expected);
            let mut both = stream.map([2, rows, cols]).expect("room");
            let (earlier, later) = (upload_field(&stream, &earlier), upload_field(&stream, &later));
            stream.compose_flow(&earlier, &later, &mut both).expect("launched");
            verdict.equal(&format!("{rows}x{cols}"), &download(&stream, &both), &expected.values);
        }
        verdict.give("compose_flow");
    }

    #[test]
    fn flow_from_the_vehicles_motion_is_the_cpus_within_a_hundred_thousandth_of_a_cell() {
        let Some(stream) = stream("flow_from_the_vehicles_motion") else { return };
        let mut verdict = Verdict::default();
        for distortion in [vec![], vec![-0.3, 0.1, 0.001, -0.002, 0.01]] {
            let camera = Calibration { distortion, ..calibration() };
            let mut ego = EgoFlow::new(&camera).expect("a camera");
            for (forward_m, turned_rad) in [(1.2, 0.03), (0.0, 0.0), (-0.5, -0.2), (900.0, 3.0)] {
                let motion = EgoMotion { forward_m, turned_rad };
                let mut expected = FlowField::default();
                ego.predict_into(motion, (48, 80), &mut expected);
                let mut flow = stream.map([2, 48, 80]).expect("room");
                stream.ego_flow(&device_camera(&ego), &device_motion(motion), &mut flow).expect("launched");
                verdict.near(&format!("{motion:?}"), &download(&stream, &flow), &expected.values, 1e-5);
            }
        }
        verdict.give("ego_flow");
    }

    fn calibration() -> Calibration {
        Calibration {
            width_px: 1280,
            height_px: 720,
            fx_px: 1100.0,
            fy_px: 1105.0,
            cx_px: 640.5,
            cy_px: 350.0,
            distortion: vec![],
            position_m: [1.9, 0.1, 1.35],
            yaw_rad: 0.02,
            pitch_rad: 0.04,
            roll_rad: -0.01,
        }
    }

    #[test]
    fn warped_features_equal_the_cpus() {
        let Some(stream) = stream("warped_features") else { return };
        let (mut noise, mut verdict) = (Noise(3), Verdict::default());
        for shape in [[64, 48, 80], [16, 5, 3], [19, 33, 70], [8, 1, 1]] {
            let [channels, rows, cols] = shape;
            let (features, flow) = (noise.map(shape, 8.0), noise.field(rows, cols, 4.0));
            let (field, halves) = (upload_field(&stream, &flow), halved(&features));
            let (mut expected, mut of_halves) = (FeatureMap::default(), FeatureMap::default());
            Warper::new().warp(&features, &flow, &mut expected);
            Warper::new().warp(&halves, &flow, &mut of_halves);
            let mut out = stream.map(shape).expect("room");
            stream.warp_features(&upload(&stream, &features), &field, &mut out).expect("launched");
            verdict.equal(&format!("{shape:?}"), &download(&stream, &out), &expected.values);
            let mut out = stream.map(shape).expect("room");
            stream.warp_features(&upload_half(&stream, &features), &field, &mut out).expect("launched");
            let expected = halved(&of_halves);
            verdict.equal(&format!("{shape:?}, half"), &download_half(&stream, &out), &expected.values);
            if channels % 8 == 0 {
                let mut out = stream.map(shape).expect("room");
                let features = upload_half(&stream, &turned(&features));
                stream.warp_features_hwc8(&features, &field, &mut out).expect("launched");
                let expected = turned(&expected);
                verdict.equal(&format!("{shape:?}, hwc8"), &download_half(&stream, &out), &expected.values);
            }
        }
        verdict.give("warp_features");
    }

    #[test]
    fn residual_and_its_sum_equal_the_cpus() {
        let Some(stream) = stream("residual_and_its_sum") else { return };
        let (mut noise, mut verdict) = (Noise(4), Verdict::default());
        for ((rows, cols), grid) in [((96, 160), (48, 80)), ((7, 9), (3, 2)), ((33, 5), (33, 5))] {
            let (earlier, current) = (noise.map([3, rows, cols], 2.0), noise.map([3, rows, cols], 2.0));
            let flow = noise.field(grid.0, grid.1, 3.0);
            let mut expected = FeatureMap::default();
            Residual::default().between(&earlier, &current, &flow, &mut expected);
            let (mut map, mut half) =
                (stream.map([1, rows, cols]).expect("room"), stream.map([1, rows, cols]).expect("room"));
            let (earlier, current) = (upload(&stream, &earlier), upload(&stream, &current));
            let field = upload_field(&stream, &flow);
            stream.residual(&earlier, &current, &field, &mut map, Some(&mut half)).expect("launched");
            verdict.equal(&format!("{rows}x{cols}"), &download(&stream, &map), &expected.values);
            verdict.equal(&format!("{rows}x{cols}, half"), &download_half(&stream, &half), &halved(&expected).values);
            let mut sum = stream.buffer(1).expect("room");
            stream.sum_residual(&map, &mut sum).expect("launched");
            let mut found = [0.0];
            stream.download(&sum, &mut found).expect("done");
            let exact = expected.values.iter().map(|value| f64::from(*value)).sum::<f64>() as f32;
            verdict.near(&format!("{rows}x{cols}: sum"), &found, &[exact], exact.abs() * 1e-5);
        }
        verdict.give("residual, sum_residual");
    }

    #[test]
    fn blended_features_are_the_cpus_within_a_millionth_of_their_range() {
        let Some(stream) = stream("blended_features") else { return };
        let (mut noise, mut verdict) = (Noise(5), Verdict::default());
        for (shape, fine) in
            [([64, 48, 80], (96, 160)), ([8, 5, 3], (5, 3)), ([16, 9, 7], (40, 30)), ([8, 9, 7], (4, 30))]
        {
            let (fresh, mut carried) = (noise.map(shape, 8.0), noise.map(shape, 8.0));
            carried.values[0] = f32::NAN;
            let mut residual = noise.map([1, fine.0, fine.1], 0.2);
            residual.values.iter_mut().for_each(|value| *value = value.abs());
            let blended = |fresh: &FeatureMap, carried: &FeatureMap| {
                let mut blended = fresh.clone();
                Blender::default().blend(&mut blended, carried, &residual, 0.226);
                blended
            };
            let map = upload(&stream, &residual);
            let mut out = upload(&stream, &fresh);
            stream.blend_features(&mut out, &upload(&stream, &carried), &map, 0.226).expect("launched");
            let expected = blended(&fresh, &carried);
            verdict.near(&format!("{shape:?}"), &download(&stream, &out), &expected.values, 16e-6);
            let expected = halved(&blended(&halved(&fresh), &halved(&carried)));
            let mut out = upload_half(&stream, &fresh);
            stream.blend_features(&mut out, &upload_half(&stream, &carried), &map, 0.226).expect("launched");
            // The last bit of a half near 8 is worth 0.0078.
            verdict.near(&format!("{shape:?}, half"), &download_half(&stream, &out), &expected.values, 0.008);
            let mut out = upload_half(&stream, &turned(&fresh));
            stream
                .blend_features_hwc8(&mut out, &upload_half(&stream, &turned(&carried)), &map, 0.226)
                .expect("launched");
            let expected = turned(&expected);
            verdict.near(&format!("{shape:?}, hwc8"), &download_half(&stream, &out), &expected.values, 0.008);
        }
        verdict.give("blend_features");
    }

    #[test]
    fn averaged_blocks_equal_the_cpus() {
        let Some(stream) = stream("averaged_blocks") else { return };
        let (mut noise, mut verdict) = (Noise(6), Verdict::default());
        for (shape, side) in [([19, 96, 160], 4), ([3, 7, 9], 1), ([2, 12, 6], 3)] {
            let map = noise.map(shape, 20.0);
            let out_shape = [shape[0], shape[1] / side, shape[2] / side];
            let (mut expected, mut of_halves) = (FeatureMap::default(), FeatureMap::default());
            average_blocks(&map, side, &mut expected);
            average_blocks(&halved(&map), side, &mut of_halves);
            let mut out = stream.map(out_shape).expect("room");
            stream.average_blocks(&upload(&stream, &map), side, &mut out).expect("launched");
            verdict.equal(&format!("{shape:?}"), &download(&stream, &out), &expected.values);
            let mut out = stream.map(out_shape).expect("room");
            stream.average_blocks(&upload_half(&stream, &map), side, &mut out).expect("launched");
            verdict.equal(&format!("{shape:?}, half"), &download_half(&stream, &out), &halved(&of_halves).values);
        }
        verdict.give("average_blocks");
    }

    /// Logits, some of which are equal, infinite or no number at all.
    fn logits(noise: &mut Noise, shape: [usize; 3]) -> FeatureMap {
        let mut map = noise.map(shape, 12.0);
        for (place, value) in [(0, f32::NAN), (5, f32::INFINITY), (11, f32::NEG_INFINITY)] {
            if let Some(at) = map.values.get_mut(place * 7) {
                *at = value;
            }
        }
        map.values.iter_mut().skip(3).step_by(5).for_each(|value| *value = value.round());
        map
    }

    #[test]
    fn labels_and_margins_equal_the_cpus() {
        let Some(stream) = stream("labels_and_margins") else { return };
        let (mut noise, mut verdict) = (Noise(7), Verdict::default());
        for (shape, size) in [
            ([19, 48, 80], Size::new(1280, 720)),
            ([19, 96, 160], Size::new(642, 359)),
            ([1, 1, 1], Size::new(3, 5)),
            ([255, 3, 4], Size::new(33, 65)),
            ([5, 40, 60], Size::new(16, 9)),
            ([19, 48, 80], Size::new(80, 48)),
        ] {
            let map = logits(&mut noise, shape);
            decode_case(&stream, &mut verdict, &map, size);
        }
        verdict.give("decode_mask, decode_nearest");
    }

    fn decode_case(stream: &Stream, verdict: &mut Verdict, logits: &FeatureMap, size: Size) {
        let twin = |map: &FeatureMap, nearest: bool| {
            let (mut labels, mut margins) = (vec![0; size.pixels()], vec![0; size.pixels()]);
            match nearest {
                true => NearestDecoder::default().run(map, size, &mut labels, &mut margins),
                false => Decoder::new().run(map, size, &mut labels, &mut margins),
            }
            (labels, margins)
        };
        let shape = [1, size.height as usize, size.width as usize];
        let (mut labels, mut margins) = (stream.map(shape).expect("room"), stream.map(shape).expect("room"));
        let (single, half) = (upload(stream, logits), upload_half(stream, logits));
        for (what, nearest) in [("interpolated", false), ("nearest", true)] {
            let what = format!("{}x{}x{} to {size}, {what}", logits.channels, logits.rows, logits.cols);
            let mut compare =
                |labels: &DeviceMap<u8>, margins: &DeviceMap<u8>, (expected, sure): (Vec<u8>, Vec<u8>)| {
                    verdict.equal_bytes(&format!("{what}: labels"), &download_bytes(stream, labels), &expected);
                    verdict.equal_bytes(&format!("{what}: margins"), &download_bytes(stream, margins), &sure);
                };
            match nearest {
                true => stream.decode_nearest(&single, &mut labels, &mut margins).expect("launched"),
                false => stream.decode_mask(&single, &mut labels, &mut margins).expect("launched"),
            }
            compare(&labels, &margins, twin(logits, nearest));
            match nearest {
                true => stream.decode_nearest(&half, &mut labels, &mut margins).expect("launched"),
                false => stream.decode_mask(&half, &mut labels, &mut margins).expect("launched"),
            }
            compare(&labels, &margins, twin(&halved(logits), nearest));
        }
    }

    #[test]
    fn a_wrong_size_is_an_error_before_anything_is_launched() {
        let Some(stream) = stream("a_wrong_size") else { return };
        let map = |shape: [usize; 3]| stream.map::<f32>(shape).expect("room");
        let bytes = |shape: [usize; 3]| stream.map::<u8>(shape).expect("room");
        let short = device_picture(&stream, &texture(Size::new(16, 8), 0.0)).expect("room");
        let picture = |height: usize, stride: usize| segfuse::sys::cuda::DevicePicture {
            bytes: stream.buffer(short.bytes.len()).expect("room"),
            height,
            stride,
            ..short
        };
        let how = preparation(&input(4, 4, Channels::Rgb, Chain::Fine));
        let prepare = |picture, shape| stream.preprocess(&picture, &how, &mut map(shape), None, None);
        let mut values = [0.0; 9];
        let refused = [
            ("a picture with too few bytes", prepare(picture(9, 16), [3, 4, 4])),
            ("a stride shorter than a row", prepare(picture(8, 15), [3, 4, 4])),
            ("two planes", prepare(picture(8, 16), [2, 4, 4])),
            ("a flow on another grid", stream.warp_features(&map([8, 4, 4]), &map([2, 4, 3]), &mut map([8, 4, 4]))),
            ("an answer of another shape", stream.warp_features(&map([8, 4, 4]), &map([2, 4, 4]), &mut map([8, 4, 5]))),
            ("no classes", stream.decode_mask(&map([0, 4, 4]), &mut bytes([1, 8, 8]), &mut bytes([1, 8, 8]))),
            ("256 classes", stream.decode_mask(&map([256, 4, 4]), &mut bytes([1, 8, 8]), &mut bytes([1, 8, 8]))),
            (
                "margins of another size",
                stream.decode_mask(&map([5, 4, 4]), &mut bytes([1, 8, 8]), &mut bytes([1, 8, 9])),
            ),
            ("flows on two grids", stream.compose_flow(&map([2, 4, 4]), &map([2, 4, 3]), &mut map([2, 4, 4]))),
            ("blocks of nothing", stream.average_blocks(&map([1, 4, 4]), 0, &mut map([1, 4, 4]))),
            ("more than a buffer holds", stream.download(map([1, 2, 4]).buffer(), &mut values)),
            ("more than a buffer takes", stream.upload(&values, map([1, 2, 4]).buffer_mut())),
            ("a level of 400 pixels", stream.pyramid((800, 400), 2).map(drop)),
        ];
        for (what, answer) in refused {
            assert!(matches!(answer, Err(CudaError::Shape { .. })), "{what}: {answer:?}");
        }
        stream.synchronize().expect("nothing was launched that could fail");
    }

    #[test]
    fn a_graph_does_what_was_captured_on_what_is_there_now() {
        let Some(stream) = stream("a_graph") else { return };
        let (mut noise, mut verdict) = (Noise(8), Verdict::default());
        let (features, flow) = (noise.map([16, 12, 20], 4.0), noise.field(12, 20, 2.0));
        let field = upload_field(&stream, &flow);
        let (mut from, mut to) = (upload(&stream, &features), stream.map([16, 12, 20]).expect("room"));
        let graph = stream.capture(|stream| stream.warp_features(&from, &field, &mut to)).expect("captured");
        for _ in 0..3 {
            let features = noise.map([16, 12, 20], 4.0);
            stream.upload(&features.values, from.buffer_mut()).expect("copied");
            graph.launch().expect("launched");
            let mut expected = FeatureMap::default();
            Warper::new().warp(&features, &flow, &mut expected);
            verdict.equal("warp", &download(&stream, &to), &expected.values);
        }
        // The graph keeps the memory of buffers that are gone: nobody else gets it.
        let address = to.address();
        drop((from, to));
        let other = stream.map::<f32>([16, 12, 20]).expect("room");
        assert_ne!(other.address(), address);
        graph.launch().expect("launched");
        stream.synchronize().expect("done");
        verdict.give("graph");
    }

    #[test]
    fn a_flow_that_is_captured_is_the_same_each_time() {
        let Some(stream) = stream("a_flow_that_is_captured") else { return };
        let mut verdict = Verdict::default();
        let pictures = [texture(Size::new(640, 360), 0.0), texture(Size::new(640, 360), 4.0)];
        let grey = pictures.each_ref().map(|image| GreyPyramid::build(image).expect("not a JPEG"));
        let expected = DenseFlow::new().estimate(&grey[0], &grey[1], 45, 80);
        let spec = preparation(&input(8, 8, Channels::Rgb, Chain::Fine));
        let pyramids = pictures.each_ref().map(|image| {
            let picture = device_picture(&stream, image).expect("room");
            let mut pyramid = stream.pyramid((640, 360), grey[0].reduction()).expect("room");
            let mut planes = stream.map::<f32>([3, 8, 8]).expect("room");
            stream.preprocess(&picture, &spec, &mut planes, None, Some(&mut pyramid)).expect("launched");
            pyramid
        });
        let mut flow = stream.map([2, 45, 80]).expect("room");
        let (pair, mut scratch) = ((&pyramids[0], &pyramids[1]), FlowScratch::default());
        // Once by itself, so that all buffers are there.
        stream.estimate_flow(pair, None, &mut scratch, &mut flow).expect("launched");
        stream.synchronize().expect("done");
        let captured = stream.capture(|stream| stream.estimate_flow(pair, None, &mut scratch, &mut flow));
        let graph = captured.expect("captured");
        for _ in 0..3 {
            graph.launch().expect("launched");
            verdict.share("flow", (&download(&stream, &flow), &expected.values), 1e-3, 0.999);
        }
        verdict.give("graph of a flow");
    }

    #[test]
    fn one_stream_waits_for_what_another_has_marked() {
        let Some(stream) = stream("one_stream_waits") else { return };
        let beside = stream.device().low_priority_stream().expect("a stream");
        let values: Vec<f32> = (0..1 << 20).map(|value| value as f32).collect();
        let (mut from, mut to) =
            (stream.buffer(values.len()).expect("room"), beside.buffer(values.len()).expect("room"));
        stream.upload(&values, &mut from).expect("copied");
        let begun = stream.mark().expect("marked");
        beside.wait_for(&begun).expect("asked");
        beside.copy(&from, &mut to).expect("asked");
        let done = beside.mark().expect("marked");
        done.wait().expect("done");
        assert!(done.has_passed().expect("no failure") && done.ms_since(&begun).expect("a time") >= 0.0);
        let mut back = vec![0.0; values.len()];
        beside.download(&to, &mut back).expect("done");
        assert!(back == values, "what came back is what went up");
    }

    #[test]
    fn more_memory_than_there_is_is_refused_and_nothing_is_lost() {
        let Some(stream) = stream("more_memory") else { return };
        let all = stream.device().info().memory;
        let refused = stream.buffer::<u8>(all + (1 << 30));
        assert!(matches!(refused, Err(CudaError::OutOfMemory { .. })), "{refused:?}");
        let mut buffer = stream.buffer(4).expect("there is still room");
        stream.upload(&[1.0_f32, 2.0, 3.0, 4.0], &mut buffer).expect("copied");
        let mut back = [0.0_f32; 4];
        stream.download(&buffer, &mut back).expect("done");
        assert_eq!(back.map(f32::to_bits), [1.0_f32, 2.0, 3.0, 4.0].map(f32::to_bits));
    }
}

mod whole_trips {
    use super::conformance::{AGREEMENT, Trip, agreement, shipped, trips};
    use super::stream;
    use segfuse::engine::cpu::{CpuEngine, RuntimeChoice};
    use segfuse::engine::cuda::CudaEngine;
    use segfuse::engine::network::Network;
    use segfuse::engine::{Config, Engine};

    fn rten() -> Config {
        Config { runtime: RuntimeChoice::Rten, ..Config::default() }
    }

    /// Answers `trips` with `network` on both; what did not agree.
    fn compare(network: &Network, trips: &[Trip]) -> Vec<String> {
        let rten = rten();
        let mut cpu = CpuEngine::new(network, &rten.cpu()).expect("rten is built in");
        let mut gpu = CudaEngine::new(network, &rten).expect("there is a GPU");
        println!("{} on {}", network.name(), gpu.info().runtime);
        let compared = trips.iter().map(|trip| {
            cpu.set_camera(trip.calibration().as_ref()).expect("a camera");
            gpu.set_camera(trip.calibration().as_ref()).expect("a camera");
            let (mean, least) = agreement(&trip.masks(&mut gpu), &trip.masks(&mut cpu));
            let [mean_percent, least_percent] = [mean, least].map(|share| share * 100.0);
            let told =
                format!("{}: {mean_percent:.3} % of labels equal, of a mask {least_percent:.3} % at least", trip.what);
            println!("{}, {told}", network.name());
            (mean < AGREEMENT).then_some(told)
        });
        compared.flatten().collect()
    }

    #[test]
    fn of_every_kind_have_the_labels_of_the_cpu() {
        if stream("whole_trips::of_every_kind").is_some() {
            let [tiny, _] = shipped();
            assert_eq!(compare(&tiny, &trips()), Vec::<String>::new());
        }
    }

    #[test]
    fn with_the_default_network_have_the_labels_of_the_cpu() {
        if stream("whole_trips::with_the_default_network").is_some() {
            let [_, small] = shipped();
            assert_eq!(compare(&small, &trips()[..1]), Vec::<String>::new());
        }
    }

    #[test]
    fn give_the_same_masks_each_time() {
        if stream("whole_trips::give_the_same_masks").is_none() {
            return;
        }
        let ([tiny, _], trip) = (shipped(), &trips()[1]);
        let masks = || trip.masks(CudaEngine::new(&tiny, &rten()).expect("there is a GPU"));
        assert!(masks() == masks(), "two runs of a trip differ");
    }
}

mod without_a_gpu {
    use super::host_driver::driver_on_host;
    use std::process::Command;

    #[test]
    fn a_stand_in_for_the_driver_passes_every_test() {
        let Some(folder) = driver_on_host("a_stand_in_for_the_driver") else { return };
        let mut again = Command::new(std::env::current_exe().expect("this test has a file"));
        again.args(["on_the_gpu", "whole_trips", "--nocapture", "--test-threads", "2"]);
        let output = again.env("LD_LIBRARY_PATH", folder).env("SEGFUSE_GPU_REQUIRED", "1").output().expect("it starts");
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
        print!("{told}");
    }
}
