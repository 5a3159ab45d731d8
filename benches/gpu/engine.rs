//! Whole frames by the engines: the GPU's, with its network on the host or by TensorRT, with CUDA graphs and without, beside the
//! CPU's, all on the same machine.

use super::Bench;
use super::conformance::{configured, shipped};
use super::kernels::picture;
use segfuse::clock::{MeasuringClock, MonotonicClock};
use segfuse::data::{LabelMask, PixelFormat, Size};
use segfuse::engine::cpu::{CpuEngine, RuntimeChoice};
use segfuse::engine::cuda::CudaEngine;
use segfuse::engine::network::Network;
use segfuse::engine::{Config, Engine, EngineError};

const SIZE: Size = Size::new(1280, 720);

pub(crate) fn run(bench: &mut Bench) {
    if !bench.wants("engine") {
        return;
    }
    let runs = if bench.quick { 1 } else { 20 };
    println!("\nengine/{SIZE}, yuyv, the host's clock, median ms of a key frame and of one that is carried:");
    for network in shipped() {
        // One that fails is told, and the others are still timed.
        for runtime in [RuntimeChoice::Rten, RuntimeChoice::Tensorrt] {
            if let Err(error) = on_the_gpu(&network, runtime, runs) {
                bench.failed += 1;
                println!("  {}, network by {runtime:?}: FAILED: {error}", network.name());
            }
        }
        if let Err(error) = on_the_cpu(&network, runs) {
            bench.failed += 1;
            println!("  {}, all of it on the CPU: FAILED: {error}", network.name());
        }
    }
}

fn on_the_gpu(network: &Network, runtime: RuntimeChoice, runs: usize) -> Result<(), EngineError> {
    let config = |cuda_graphs| Config { runtime, cuda_graphs, ..configured() };
    let with = match CudaEngine::new(network, &config(true)) {
        Err(EngineError::Unavailable { reason, .. }) => {
            println!("  {}, network by {runtime:?}: not here: {reason}", network.name());
            return Ok(());
        }
        opened => frame_ms(&mut opened?, runs)?,
    };
    let without = frame_ms(&mut CudaEngine::new(network, &config(false))?, runs)?;
    let ([key, carried], by) = (with.ms, with.runtime);
    println!("  {}, {by}:", network.name());
    println!("    with CUDA graphs {key:.2} and {carried:.2}, without {:.2} and {:.2}", without.ms[0], without.ms[1]);
    if with.masks == without.masks {
        return Ok(());
    }
    let reason = format!("{}, {by}: masks differ with and without CUDA graphs", network.name());
    Err(EngineError::Failed { runtime: "cuda", reason })
}

fn on_the_cpu(network: &Network, runs: usize) -> Result<(), EngineError> {
    let config = Config { runtime: RuntimeChoice::Rten, ..Config::default() };
    let Frames { ms: [key, carried], .. } = frame_ms(&mut CpuEngine::new(network, &config.cpu())?, runs)?;
    println!("  {}, all of it on the CPU, network by rten: {key:.2} and {carried:.2}", network.name());
    Ok(())
}

/// Of a key frame, and of a frame that its features are carried to.
struct Frames {
    runtime: String,
    ms: [f64; 2],
    masks: [LabelMask; 2],
}

fn frame_ms(engine: &mut impl Engine, runs: usize) -> Result<Frames, EngineError> {
    let runtime = engine.info().runtime.clone();
    let mut masks = None;
    let (first, second) = (picture(PixelFormat::Yuyv, SIZE, 0.0), picture(PixelFormat::Yuyv, SIZE, 3.0));
    let (mut keys, mut others) = (Vec::new(), Vec::new());
    // The first run of all makes the buffers.
    for _ in 0..=runs {
        let began = MonotonicClock.now();
        let key = engine.observe(&first)?;
        let features = engine.extract(&key)?;
        let first_mask = engine.decode(&features, SIZE)?.mask;
        let between = MonotonicClock.now();
        let view = engine.observe(&second)?;
        let flow = engine.flow(&key, &view, None)?;
        let carried = engine.propagate(&features, &flow, &view)?;
        let second_mask = engine.decode(&carried, SIZE)?.mask;
        let ended = MonotonicClock.now();
        masks = Some([first_mask, second_mask]);
        keys.push(between.signed_ns_since(began) as f64 / 1e6);
        others.push(ended.signed_ns_since(between) as f64 / 1e6);
    }
    let ms = [keys, others].map(|times| median(times[1..].to_vec()));
    Ok(Frames { runtime, ms, masks: masks.expect("one run at least") })
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
