//! From pictures to planes, pyramids and flow.

use crate::device::{Noise, Verdict, download, download_half, halved, stream, upload_field};
use crate::pictures::{input, prepared, texture};
use segfuse::data::{Calibration, Image, PixelFormat, Size};
use segfuse::engine::cuda::{device_camera, device_motion, device_picture, preparation};
use segfuse::engine::network::{Chain, Channels, InputSpec};
use segfuse::flow::{DenseFlow, EgoFlow, EgoMotion, FlowField, GreyPyramid};
use segfuse::sys::cuda::{FlowScratch, Half, Stream};

#[test]
fn planes_glance_and_pyramid_equal_the_cpus() {
    let Some(stream) = stream("planes_glance_and_pyramid") else { return };
    let (mut noise, mut verdict) = (Noise(1), Verdict::default());
    let formats = &PixelFormat::ALL[..5];
    let sizes = [Size::new(1280, 720), Size::new(322, 182), Size::new(8, 2), Size::new(640, 480)];
    for (place, (format, size)) in sizes.iter().flat_map(|size| formats.iter().map(move |f| (f, size))).enumerate() {
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
    stream.estimate_flow((&pyramids[0], &pyramids[1]), device_prior.as_ref(), scratch, &mut flow).expect("launched");
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
