//! Logits to labels and confidence, and features along a flow: against OpenCV on as many threads.

mod support;

use segfuse::data::Size;
use segfuse::engine::cpu::decode::Decoder;
use segfuse::engine::cpu::warp::Warper;
use segfuse::engine::cpu::{FeatureMap, reference};
use segfuse::flow::FlowField;
use std::hint::black_box;
use support::Bench;

fn main() {
    let mut bench = Bench::start("decode");
    let full = Size::new(1280, 720);
    for (rows, cols) in [(48, 80), (90, 160)] {
        decode(&mut bench, "scene", &scene(19, rows, cols), full);
        decode(&mut bench, "noise", &noise(19, rows, cols), full);
    }
    decode(&mut bench, "scene", &scene(19, 512, 1024), Size::new(480, 360));
    decode(&mut bench, "scene", &scene(19, 512, 1024), full);
    let features = noise(128, 90, 160);
    warp_features(&mut bench, "smooth", &features, |row, col| [row as f32 * 0.03 - 1.5, col as f32 * 0.01 + 0.2]);
    let mut wild = support::noise(5).map(|value| (value % 800) as f32 / 100.0 - 4.0);
    warp_features(&mut bench, "wild", &features, |_, _| [(); 2].map(|()| wild.next().unwrap_or(0.0)));
    bench.finish();
}

/// Every class at every place equally likely: no class can be left out early.
fn noise(channels: usize, rows: usize, cols: usize) -> FeatureMap {
    let values = support::noise(3).map(|value| (value % 20_000) as f32 / 2_000.0 - 5.0);
    FeatureMap { channels, rows, cols, values: values.take(channels * rows * cols).collect() }
}

/// Regions of one class each, the others well below, some texture: what a trained network says.
fn scene(channels: usize, rows: usize, cols: usize) -> FeatureMap {
    let mut map = noise(channels, rows, cols);
    for (index, value) in map.values.iter_mut().enumerate() {
        let (class, row, col) = (index / (rows * cols), index / cols % rows, index % cols);
        let (x, y) = (col as f32 / cols as f32, row as f32 / rows as f32);
        let region = (y * 4.0 + (x * 9.0).sin()) as usize * 5 + (x * 5.0) as usize;
        let height = if region % channels == class { 9.0 } else { 0.0 };
        let sway = (x * (5.0 + class as f32) + class as f32).sin() + (y * (7.0 + class as f32)).cos();
        *value = *value * 0.1 + height + 1.5 * sway;
    }
    map
}

fn decode(bench: &mut Bench, case: &str, logits: &FeatureMap, size: Size) {
    let name = format!("decode/{case}/{}x{}x{}-{size}", logits.channels, logits.rows, logits.cols);
    let mut decoder = Decoder::shared_with(bench.workers());
    let (mut labels, mut confidence) = (vec![0; size.pixels()], vec![0; size.pixels()]);
    let check = || {
        let (mut labels, mut confidence) = (vec![0; size.pixels()], vec![0; size.pixels()]);
        Decoder::new().run(logits, size, &mut labels, &mut confidence);
        let same = (labels, confidence) == reference::decode(logits, size);
        if same { Ok(()) } else { Err("not what the reference says".to_owned()) }
    };
    let bytes = logits.values.len() * 4 + 2 * size.pixels();
    let work = || decoder.run(black_box(logits), size, black_box(&mut labels), black_box(&mut confidence));
    bench.case(&name, bytes, work, check);
}

fn warp_features(
    bench: &mut Bench,
    case: &str,
    features: &FeatureMap,
    mut motion: impl FnMut(usize, usize) -> [f32; 2],
) {
    let (rows, cols) = (features.rows, features.cols);
    let mut flow = FlowField { rows, cols, values: vec![0.0; 2 * rows * cols] };
    for cell in 0..rows * cols {
        [flow.values[cell], flow.values[rows * cols + cell]] = motion(cell / cols, cell % cols);
    }
    let (mut warper, mut out) = (Warper::shared_with(bench.workers()), FeatureMap::default());
    let check = || {
        let mut out = FeatureMap::default();
        Warper::new().warp(features, &flow, &mut out);
        let plain = reference::warp(features, &flow);
        let apart =
            out.values.iter().zip(plain).map(|(fast, plain)| (f64::from(*fast) - plain).abs()).fold(0.0, f64::max);
        if apart < 1e-3 { Ok(()) } else { Err(format!("{apart} away from the reference")) }
    };
    let name = format!("warp/{case}/{}x{rows}x{cols}", features.channels);
    let bytes = features.values.len() * 8 + flow.values.len() * 4;
    bench.case(&name, bytes, || warper.warp(black_box(features), black_box(&flow), black_box(&mut out)), check);
}
