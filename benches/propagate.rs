//! Whole frames with the shipped networks, by one and two threads: the network, and what a frame between key frames
//! costs instead.
//!
//! Both are measured in one run; what counts is their ratio.

mod support;

use segfuse::data::{Image, PixelFormat, Size};
use segfuse::engine::Engine;
use segfuse::engine::cpu::{Config, CpuEngine, RuntimeChoice};
use segfuse::engine::network::Network;
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::path::Path;
use support::Bench;

const SIZE: Size = Size::new(1280, 720);

fn main() {
    let mut bench = Bench::start("propagate");
    // The runtime built in, and the one that is found, if another is.
    for runtime in [RuntimeChoice::Rten, RuntimeChoice::Auto] {
        for network in ["small", "tiny"] {
            for threads in [1, 2] {
                frames(&mut bench, network, runtime, threads);
            }
        }
    }
    bench.finish();
}

/// Smooth shapes, `shift` pixels to the left.
fn picture(shift: f32) -> Image {
    let pixel = |i: usize| {
        let (x, y) = ((i / 3 % SIZE.width as usize) as f32 + shift, (i / 3 / SIZE.width as usize) as f32);
        let wave = |fx: f32, fy: f32| (fx * x + fy * y + (i % 3) as f32).sin();
        (127.0 + 60.0 * wave(0.03, 0.01) * wave(-0.01, 0.04) + 20.0 * wave(0.21, 0.09)) as u8
    };
    let bytes: Vec<u8> = (0..3 * SIZE.pixels()).map(pixel).collect();
    Image::packed(PixelFormat::Rgb8, SIZE, bytes.into()).expect("three bytes a pixel")
}

fn frames(bench: &mut Bench, name: &str, runtime: RuntimeChoice, threads: usize) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(name);
    let network = Network::from_folder(&folder).expect("a shipped network");
    let config = Config { runtime, threads: NonZeroUsize::new(threads), ..Config::default() };
    let mut engine = CpuEngine::new(&network, &config).expect("a shipped network runs");
    if runtime == RuntimeChoice::Auto && engine.info().runtime.starts_with("rten") {
        return;
    }
    let runtime = engine.info().runtime.clone();
    let pictures = [0.0, 6.0, 12.0].map(picture);
    let views = [0, 1].map(|index| engine.observe(&pictures[index]).expect("a picture"));
    let key = engine.extract(&views[0]).expect("features");
    let step = engine.flow(&views[0], &views[1], None).expect("a flow");
    let label = |kind: &str| format!("{kind}/{name}/{SIZE}/{runtime}/{threads}-threads");
    let bytes = pictures[0].bytes().len() + 2 * SIZE.pixels();
    let network_alone = |engine: &mut CpuEngine| {
        let view = engine.observe(&pictures[2]).expect("a picture");
        let features = engine.extract(&view).expect("features");
        engine.decode(&features, SIZE).expect("a mask")
    };
    let propagated = |engine: &mut CpuEngine| {
        let view = engine.observe(&pictures[2]).expect("a picture");
        let last = engine.flow(&views[1], &view, None).expect("a flow");
        let whole = engine.compose(&step, &last).expect("a flow");
        let features = engine.propagate(&key, &whole, &view).expect("features");
        engine.decode(&features, SIZE).expect("a mask")
    };
    let (fresh, carried) = (network_alone(&mut engine), propagated(&mut engine));
    let equal = fresh.mask.labels().iter().zip(carried.mask.labels().iter()).filter(|(one, two)| one == two).count();
    let share = equal as f64 / SIZE.pixels() as f64;
    let check = || if share > 0.8 { Ok(()) } else { Err(format!("{share} of the labels are the network's")) };
    bench.case(&label("network"), bytes, || drop(black_box(network_alone(&mut engine))), check);
    bench.case(&label("propagate"), bytes, || drop(black_box(propagated(&mut engine))), check);
}
