//! A publisher and a subscriber that meet over real sessions on loopback.
#![allow(dead_code, reason = "each test file uses its part")]

use segfuse::clock::{MeasuringClock, MonotonicClock, wall_mapping};
use segfuse::data::{
    AlignedFrame, ClassTable, Event, Frame, FrameId, Image, LabelMask, Origin, Perception, PixelFormat, Plane, Reading,
    Size, Stamp, VehicleState,
};
use segfuse::sink::Sink;
use segfuse::sink::zenoh::{Config, CongestionControl, Run, SharedMemory, Timeline, ZenohSink};
use segfuse::subscribe::{self, Subscriber};
use segfuse::wire::session;
use std::time::Duration;

pub(crate) const SIZE: Size = Size::new(1280, 720);
pub(crate) const SOON: Duration = Duration::from_secs(10);

pub(crate) fn now() -> Stamp {
    MonotonicClock.now()
}

/// Lossless, on any free port; masks hold for longer than any busy machine takes for a test.
pub(crate) fn config(shared: bool) -> Config {
    let shared_memory = SharedMemory { enabled: shared, ..SharedMemory::default() };
    let congestion_control = CongestionControl::Block;
    let session = listening("tcp/127.0.0.1:0");
    Config { session, congestion_control, shared_memory, max_age_ms: 60_000, ..Config::default() }
}

pub(crate) fn listening(endpoint: &str) -> session::Config {
    session::Config { listen: Some(vec![endpoint.into()]), ..session::Config::default() }
}

pub(crate) fn run() -> Run {
    Run {
        engine: "test 1.0".into(),
        network: "stripes".into(),
        network_hash: 0x1234,
        classes: ClassTable::cityscapes(),
        wall: wall_mapping(),
        wall_now: None,
        timeline: Timeline::Live,
        vitals: None,
    }
}

pub(crate) fn publisher(config: &Config) -> ZenohSink {
    ZenohSink::open(config, run(), now).expect("loopback is there")
}

pub(crate) fn subscriber_of(sink: &ZenohSink, config: subscribe::Config) -> Subscriber {
    subscriber_at(&sink.endpoints()[0], config)
}

pub(crate) fn subscriber_at(endpoint: &str, config: subscribe::Config) -> Subscriber {
    let config = subscribe::Config { connect: vec![endpoint.into()], ..config };
    Subscriber::open(&config, now).expect("the publisher listens")
}

fn plane(number: u64, step: u64) -> Vec<u8> {
    let pixel = |i: u64| ((i / 160 + number * step) % 19) as u8;
    (0..SIZE.pixels() as u64).map(pixel).collect()
}

/// The answer for frame `number`: every mask differs from the others.
pub(crate) fn perception(number: u64) -> Perception {
    let origin = match number % 3 {
        0 => Origin::Key,
        distance => Origin::Propagated { from: FrameId(number - distance), distance: distance as u32 },
    };
    let plane_of = |step| Some(Plane::new(SIZE, plane(number, step).into()).expect("right length"));
    Perception {
        frame: FrameId(number),
        stamp: now(),
        origin,
        mask: LabelMask::new(SIZE, plane(number, 1).into()).expect("right length"),
        age: plane_of(2),
        confidence: plane_of(3),
        disagreement: None,
        late: None,
    }
}

pub(crate) fn frame_of(perception: &Perception) -> AlignedFrame {
    let image = Image::packed(PixelFormat::Grey, Size::new(1, 1), vec![0].into()).expect("one pixel");
    let frame =
        Frame { id: perception.frame, sequence: None, stamp: perception.stamp, arrival: perception.stamp, image };
    let state = VehicleState { speed_mps: Some(Reading::valid(13.9)), ..VehicleState::default() };
    AlignedFrame { frame, state }
}

/// What the pipeline does with one frame.
pub(crate) fn publish(sink: &mut ZenohSink, perception: &Perception) {
    let frame = frame_of(perception);
    sink.on_event(&Event::Frame(frame.frame.clone())).expect("taken");
    sink.on_perception(&frame, perception).expect("taken");
}

/// Publishes until the subscriber hears: the number of the first mask heard.
pub(crate) fn until_heard(sink: &mut ZenohSink, subscriber: &mut Subscriber) -> u64 {
    for number in 0..100 {
        publish(sink, &perception(number));
        if subscriber.recv_timeout(Duration::from_millis(100)).is_ok() {
            return number;
        }
    }
    panic!("nothing heard in 10 s");
}

/// Waits until `done`, for at most ten seconds.
pub(crate) fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if done() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("not within 10 s: {what}");
}
