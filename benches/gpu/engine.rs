//! Whole frames by the engines: the GPU's, with its network on the host, beside the CPU's, both on the same machine.

use super::Bench;
use super::conformance::shipped;
use super::kernels::picture;
use segfuse::clock::{MeasuringClock, MonotonicClock};
use segfuse::data::{PixelFormat, Size};
use segfuse::engine::cpu::{CpuEngine, RuntimeChoice};
use segfuse::engine::cuda::CudaEngine;
use segfuse::engine::{Config, Engine, EngineError};

const SIZE: Size = Size::new(1280, 720);

pub(crate) fn run(bench: &mut Bench) {
    if bench.wants("engine")
        && let Err(error) = compare(if bench.quick { 1 } else { 20 })
    {
        bench.failed += 1;
        println!("engine: FAILED: {error}");
    }
}

fn compare(runs: usize) -> Result<(), EngineError> {
    println!("\nengine/{SIZE}, yuyv, the host's clock, median ms of a key frame and of one that is carried:");
    for network in shipped() {
        let config = Config { runtime: RuntimeChoice::Rten, ..Config::default() };
        let [gpu, cpu] = [
            frame_ms(&mut CudaEngine::new(&network, &config)?, runs)?,
            frame_ms(&mut CpuEngine::new(&network, &config.cpu())?, runs)?,
        ];
        let name = network.name();
        println!("  {name}, network by rten: GPU {:.2} and {:.2}, CPU {:.2} and {:.2}", gpu[0], gpu[1], cpu[0], cpu[1]);
    }
    Ok(())
}

/// Of a key frame, and of a frame that its features are carried to.
fn frame_ms(engine: &mut impl Engine, runs: usize) -> Result<[f64; 2], EngineError> {
    let (first, second) = (picture(PixelFormat::Yuyv, SIZE, 0.0), picture(PixelFormat::Yuyv, SIZE, 3.0));
    let (mut keys, mut others) = (Vec::new(), Vec::new());
    // The first run of all makes the buffers.
    for _ in 0..=runs {
        let began = MonotonicClock.now();
        let key = engine.observe(&first)?;
        let features = engine.extract(&key)?;
        engine.decode(&features, SIZE)?;
        let between = MonotonicClock.now();
        let view = engine.observe(&second)?;
        let flow = engine.flow(&key, &view, None)?;
        let carried = engine.propagate(&features, &flow, &view)?;
        engine.decode(&carried, SIZE)?;
        let ended = MonotonicClock.now();
        keys.push(between.signed_ns_since(began) as f64 / 1e6);
        others.push(ended.signed_ns_since(between) as f64 / 1e6);
    }
    Ok([keys, others].map(|times| median(times[1..].to_vec())))
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
