//! Frames whose masks tell what they were made of, and the perceiver that makes them: by the engine without a network.

#![allow(dead_code, reason = "each test takes what it needs")]

use segfuse::data::{AlignedFrame, Frame, FrameId, Image, PixelFormat, Size, Stamp, VehicleState};
use segfuse::engine::fake::FakeEngine;
use segfuse::perceive::{Config, Perceiver};

pub(crate) const SIZE: Size = Size::new(6, 4);

pub(crate) fn perceiver(schedule: &str) -> Perceiver<FakeEngine> {
    with(FakeEngine::default(), schedule)
}

pub(crate) fn with(engine: FakeEngine, schedule: &str) -> Perceiver<FakeEngine> {
    Perceiver::new(engine, Config { schedule: schedule.parse().expect("a schedule"), ..Config::default() })
}

/// A grey frame whose pixels all have the value `id`, so that a mask tells which frame it was made of.
pub(crate) fn frame(id: u64, size: Size) -> AlignedFrame {
    let bytes = vec![id as u8; size.pixels()];
    aligned(id, Image::packed(PixelFormat::Grey, size, bytes.into()).expect("one byte a pixel"))
}

pub(crate) fn aligned(id: u64, image: Image) -> AlignedFrame {
    let (stamp, arrival) = (Stamp::from_ns(1_000 + id), Stamp::from_ns(6_000 + id));
    AlignedFrame {
        frame: Frame { id: FrameId(id), sequence: None, stamp, arrival, image },
        state: VehicleState::default(),
    }
}
