//! Between key frames the CPU engine's masks follow the picture, for split and for plain networks alike.

#[path = "support/onnx_graphs.rs"]
mod onnx_graphs;
#[path = "support/networks.rs"]
mod tiny_networks;

use segfuse::data::{
    AlignedFrame, Frame, FrameId, Image, Origin, Perception, PixelFormat, Size, Stamp, VehicleState, to_rgb8,
};
use segfuse::engine::cpu::{Config, CpuEngine, RuntimeChoice};
use segfuse::engine::network::{Network, PlainOptions};
use segfuse::engine::{Engine, EngineError};
use segfuse::perceive::{Perceive, Perceiver};
use std::collections::HashSet;
use tiny_networks::{agreement, networks, shifted_picture, tiny};

const SIZE: Size = Size::new(192, 144);

fn plain() -> Network {
    Network::from_onnx(&networks().join("plain.onnx"), &PlainOptions::default()).expect("the test network is right")
}

fn perceiver(network: &Network, schedule: &str) -> Perceiver<CpuEngine> {
    let config = Config { runtime: RuntimeChoice::Rten, ..Config::default() };
    let engine = CpuEngine::new(network, &config).expect("rten is built in");
    Perceiver::new(
        engine,
        segfuse::perceive::Config { schedule: schedule.parse().expect("a schedule"), ..Default::default() },
    )
}

fn perceive(perceiver: &mut Perceiver<CpuEngine>, id: u64, image: Image) -> Result<Perception, EngineError> {
    let stamp = Stamp::from_ns(id);
    let frame = Frame { id: FrameId(id), sequence: None, stamp, arrival: stamp, image };
    perceiver.perceive(&AlignedFrame { frame, state: VehicleState::default() })
}

/// Four frames of a picture that moves 10 pixels to the right a frame.
fn drive(network: &Network, schedule: &str) -> Vec<Perception> {
    let mut perceiver = perceiver(network, schedule);
    let moved = |id: u64| shifted_picture(SIZE, 10.0 * id as f32);
    (0..4).map(|id| perceive(&mut perceiver, id, moved(id)).expect("a mask")).collect()
}

#[test]
fn propagated_masks_follow_the_motion_that_a_copied_mask_misses() {
    for network in [tiny(), plain()] {
        let (keys, carried) = (drive(&network, "every:1"), drive(&network, "every:4"));
        let (truth, copied, found) = (&keys[3].mask, &keys[0].mask, &carried[3].mask);
        assert_eq!(carried[3].origin, Origin::Propagated { from: FrameId(0), distance: 3 });
        assert_eq!(carried[0], keys[0]);
        let copied = agreement(truth.labels(), copied.labels());
        let followed = agreement(truth.labels(), found.labels());
        println!("{}: copied {copied:.3}, carried {followed:.3}", network.name());
        // What came into view at the left since the key frame cannot be right: a sixth of the picture.
        assert!(1.0 - followed < 0.7 * (1.0 - copied), "{}: copied {copied:.3}, carried {followed:.3}", network.name());
    }
}

/// The picture with up to three grey levels of noise in each byte.
fn noisy(seed: u32) -> Image {
    let mut state = seed;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8 % 7
    };
    let picture = shifted_picture(SIZE, 0.0);
    let bytes: Vec<u8> = picture.bytes().iter().map(|byte| byte.saturating_add(noise()).saturating_sub(3)).collect();
    Image::packed(PixelFormat::Rgb8, SIZE, bytes.into()).expect("three bytes a pixel")
}

#[test]
fn key_frames_that_remember_flicker_less_than_single_looks() {
    for network in [tiny(), plain()] {
        let steadiness = |schedule: &str| {
            let mut perceiver = perceiver(&network, schedule);
            let all: Vec<Perception> =
                (0..7).map(|id| perceive(&mut perceiver, id, noisy(id as u32)).expect("a mask")).collect();
            let keys: Vec<_> = all.iter().step_by(2).map(|perception| perception.mask.labels()).collect();
            keys.windows(2).map(|pair| agreement(pair[0], pair[1])).sum::<f64>() / (keys.len() - 1) as f64
        };
        let (alone, remembering) = (steadiness("every:1"), steadiness("every:2"));
        println!("{}: {alone:.4} of labels stay alone, {remembering:.4} remembering", network.name());
        assert!(1.0 - remembering < 0.7 * (1.0 - alone), "{}: {alone} alone, {remembering}", network.name());
    }
}

#[test]
fn a_run_beside_other_work_gives_what_a_run_at_once_gives_whatever_was_forgotten_before() {
    let config = Config { runtime: RuntimeChoice::Rten, ..Config::default() };
    for network in [tiny(), plain()] {
        let mut engine = CpuEngine::new(&network, &config).expect("rten is built in");
        let views: Vec<_> =
            (0..6).map(|id| engine.observe(&shifted_picture(SIZE, 10.0 * id as f32)).expect("a picture")).collect();
        for view in &views[1..5] {
            // Nobody waits for it.
            drop(engine.begin(view).expect("a run"));
        }
        let pending = engine.begin(&views[5]).expect("a run");
        let other = engine.extract(&views[0]).expect("features");
        let begun = engine.finish(pending).expect("features");
        let at_once = engine.extract(&views[5]).expect("features");
        let [begun, at_once, other] =
            [begun, at_once, other].map(|features| engine.decode(&features, SIZE).expect("a mask"));
        assert_eq!(begun, at_once, "{}", network.name());
        assert_ne!(begun, other, "{}: this test would show nothing", network.name());
    }
}

/// An engine, whose backbone runs beside the frames if it is `overlapping`, that has seen a picture and, later, that moved.
fn moved(network: &Network, overlapping: bool) -> (CpuEngine, [<CpuEngine as Engine>::View; 2]) {
    let config = Config { runtime: RuntimeChoice::Rten, ..Config::default() };
    let mut engine = CpuEngine::new(network, &config).expect("rten is built in");
    if overlapping {
        engine.overlap();
    }
    let views = [0.0, 10.0].map(|shift| engine.observe(&shifted_picture(SIZE, shift)).expect("a picture"));
    (engine, views)
}

#[test]
fn an_engine_whose_backbone_runs_beside_the_frames_answers_as_before() {
    for network in [tiny(), plain()] {
        let answers = |overlapping: bool| {
            let (mut engine, [first, later]) = moved(&network, overlapping);
            let key = engine.extract(&first).expect("features");
            let flow = engine.flow(&first, &later, None).expect("a flow");
            let carried = engine.propagate(&key, &flow, &later).expect("features");
            [key, carried].map(|features| engine.decode(&features, SIZE).expect("a mask"))
        };
        assert_eq!(answers(true), answers(false), "{}", network.name());
    }
}

#[test]
fn a_key_frame_that_is_only_blended_comes_to_what_its_full_detail_comes_to() {
    for network in [tiny(), plain()] {
        for overlapping in [false, true] {
            let (mut engine, [first, later]) = moved(&network, overlapping);
            let key = engine.extract(&first).expect("features");
            let flow = engine.flow(&first, &later, None).expect("a flow");
            let mut carried = engine.propagate(&key, &flow, &later).expect("features");
            engine.compare(&key, &flow, &later, &mut carried).expect("a residual");
            let whole = engine.extract(&later).expect("features");
            let to_blend = engine.extract_to_blend(&later).expect("features");
            let [blended, others] = [whole, to_blend].map(|fresh| engine.blend(fresh, &carried).expect("features"));
            let [blended, others, carried] =
                [&blended, &others, &carried].map(|features| engine.decode(features, SIZE).expect("a mask"));
            assert_eq!(blended, others, "{}", network.name());
            assert_ne!(blended, carried, "{}: this test would show nothing", network.name());
        }
    }
}

#[test]
fn the_same_frames_give_the_same_masks_twice() {
    for network in [tiny(), plain()] {
        for schedule in ["every:3", "overlapped:2:1"] {
            assert_eq!(drive(&network, schedule), drive(&network, schedule), "{}: {schedule}", network.name());
        }
    }
}

#[test]
fn what_one_drive_teaches_is_not_heard_in_the_next() {
    let config = Config { runtime: RuntimeChoice::Rten, ..Config::default() };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("broad.onnx");
    // Of as many cells as are learnt from.
    onnx_graphs::broad(&path);
    let network = Network::from_onnx(&path, &PlainOptions::default()).expect("the test network is right");
    let mut engine = CpuEngine::new(&network, &config).expect("rten is built in");
    let mut run = |pictures: &[Image]| -> Vec<Perception> {
        let schedule =
            segfuse::perceive::Config { schedule: "every:3".parse().expect("a schedule"), ..Default::default() };
        let mut perceiver = Perceiver::new(&mut engine, schedule);
        let frames = pictures.iter().zip(0..).map(|(image, id)| {
            let stamp = Stamp::from_ns(id);
            let frame = Frame { id: FrameId(id), sequence: None, stamp, arrival: stamp, image: image.clone() };
            perceiver.perceive(&AlignedFrame { frame, state: VehicleState::default() }).expect("a mask")
        });
        frames.collect()
    };
    let ahead: Vec<_> = (0..9).map(|id| shifted_picture(SIZE, 17.0 * id as f32)).collect();
    let other: Vec<_> = (0..9).map(|id| shifted_picture(SIZE, 300.0 - 23.0 * id as f32)).collect();
    let (first, between, again) = (run(&ahead), run(&other), run(&ahead));
    assert!(first == again, "another drive between changes masks");
    assert!(first != between);
}

#[test]
fn frames_in_every_format_are_perceived_and_a_cut_jpeg_costs_only_itself() {
    let mut perceiver = perceiver(&tiny(), "every:100");
    let rgb = shifted_picture(SIZE, 0.0);
    let jpeg = encode_jpeg(&rgb);
    let whole = Image::jpeg(SIZE, jpeg.clone().into()).expect("a JPEG");
    let cut = Image::jpeg(SIZE, jpeg[..jpeg.len() / 3].to_vec().into()).expect("bytes");
    let grey = Image::packed(PixelFormat::Grey, SIZE, vec![90; SIZE.pixels()].into()).expect("one byte a pixel");
    let yuyv = Image::packed(PixelFormat::Yuyv, SIZE, vec![90; SIZE.pixels() * 2].into()).expect("two bytes a pixel");
    let nv12 = Image::packed(PixelFormat::Nv12, SIZE, vec![90; SIZE.pixels() * 3 / 2].into()).expect("1.5 a pixel");
    let origins = [rgb, whole.clone(), cut, whole, grey, yuyv, nv12].into_iter().enumerate().map(|(id, image)| {
        match perceive(&mut perceiver, id as u64, image) {
            Ok(perception) => Some(perception.origin.distance()),
            Err(EngineError::Frame(_)) => None,
            Err(other) => panic!("frame {id}: {other}"),
        }
    });
    assert_eq!(origins.collect::<Vec<_>>(), [Some(0), Some(1), None, Some(3), Some(4), Some(5), Some(6)]);
}

#[test]
fn a_dropped_masks_memory_is_used_for_a_later_one() {
    let mut perceiver = perceiver(&plain(), "every:3");
    let mut places = HashSet::new();
    for id in 0..60 {
        let perception = perceive(&mut perceiver, id, shifted_picture(SIZE, id as f32)).expect("a mask");
        places.insert(perception.mask.labels().as_ptr() as usize);
    }
    assert!(places.len() <= 2, "60 masks lay in {} places", places.len());
}

#[test]
fn a_picture_of_one_pixel_is_perceived() {
    let mut perceiver = perceiver(&tiny(), "every:3");
    for id in 0..4 {
        let image = Image::packed(PixelFormat::Rgb8, Size::new(1, 1), vec![9; 3].into()).expect("three bytes");
        let perception = perceive(&mut perceiver, id, image).expect("a mask");
        assert_eq!(perception.mask.size(), Size::new(1, 1));
    }
}

fn encode_jpeg(image: &Image) -> Vec<u8> {
    let mut bytes = Vec::new();
    let rgb = to_rgb8(image).expect("an RGB picture");
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 90)
        .encode(&rgb, SIZE.width, SIZE.height, image::ExtendedColorType::Rgb8)
        .expect("memory takes it");
    bytes
}
