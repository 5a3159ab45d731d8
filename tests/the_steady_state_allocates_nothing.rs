//! Once warm, a frame between key frames allocates no memory: nothing grows, and no allocator's lock is waited for.
//!
//! What a network's runtime allocates for its graphs is its own: a plain network runs none between key frames, a network
//! folder runs its head.

#[path = "support/threads.rs"]
mod threads;
#[path = "support/networks.rs"]
mod tiny_networks;

use segfuse::data::{AlignedFrame, Frame, FrameId, Image, Size, Stamp, VehicleState};
use segfuse::engine::cpu::{Config, CpuEngine, RuntimeChoice};
use segfuse::engine::network::{Network, PlainOptions};
use segfuse::perceive::{Perceive, Perceiver};
use tiny_networks::{networks, shifted_picture};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const SIZE: Size = Size::new(192, 144);
const WARM: u64 = 8;
const FRAMES: u64 = 24;

/// Blocks that each frame after the first few allocates.
fn allocated(network: &Network, schedule: &str) -> Vec<u64> {
    let config = Config { runtime: RuntimeChoice::Rten, ..Config::default() };
    let engine = CpuEngine::new(network, &config).expect("rten is built in");
    let perceive = segfuse::perceive::Config { schedule: schedule.parse().expect("a schedule"), ..Default::default() };
    let mut perceiver = Perceiver::new(engine, perceive);
    let frames: Vec<AlignedFrame> = (0..FRAMES).map(|id| aligned(id, shifted_picture(SIZE, 2.0 * id as f32))).collect();
    let mut counts = Vec::with_capacity(frames.len());
    for frame in &frames {
        if frame.frame.id.0 == WARM {
            threads::wait_until_others_sleep();
        }
        let before = dhat::HeapStats::get().total_blocks;
        let perception = perceiver.perceive(frame).expect("a mask");
        counts.push(dhat::HeapStats::get().total_blocks - before);
        drop(perception);
    }
    counts.split_off(WARM as usize)
}

fn aligned(id: u64, image: Image) -> AlignedFrame {
    let stamp = Stamp::from_ns(id * 33_000_000);
    AlignedFrame {
        frame: Frame { id: FrameId(id), sequence: None, stamp, arrival: stamp, image },
        state: VehicleState::default(),
    }
}

#[test]
fn frames_between_key_frames_allocate_nothing_with_any_schedule() {
    let _profiler = dhat::Profiler::builder().testing().build();
    let plain = networks().join("plain.onnx");
    let network = Network::from_onnx(&plain, &PlainOptions::default()).expect("the test network is right");
    for schedule in ["every:30", "adaptive:100%:30", "overlapped:30:2"] {
        let counts = allocated(&network, schedule);
        assert!(counts.iter().all(|&count| count == 0), "{schedule}: {counts:?}");
    }
    let counts = allocated(&network, "every:1");
    assert!(
        counts.iter().all(|&count| count > 0),
        "a runtime allocates, else this test would show nothing: {counts:?}"
    );
}
