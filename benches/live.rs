//! What a live frame costs beside the network and flow: from its being handed over by the camera's thread to its mask
//! being handed to Zenoh, less the time of perceiving it.
//!
//! ```text
//! camera thread, 30/s ─▶ Inbox ─▶ Decoding ─▶ Aligner ─▶ [ Perceiver ] ─▶ Zenoh (shared memory)
//! bus thread, 1000/s ──▶
//! ```
//!
//! A frame that comes while the one before is still perceived waits for the network: that wait is not counted.
//! `live [frames]`. Every frame must be answered or told as lost, and every answered one must know its speed.

use segfuse::align::{self, Aligner};
use segfuse::clock::{MeasuringClock, MonotonicClock, wall_mapping};
use segfuse::data::{AlignedFrame, CanId, Event, Image, Perception, PixelFormat, Reading, Size, SourceStamp, Stamp};
use segfuse::engine::network::Network;
use segfuse::engine::{EngineError, cpu};
use segfuse::perceive::{self, Perceive, Perceiver};
use segfuse::pipeline::Pipeline;
use segfuse::sink::zenoh::{Config, Run, Timeline, ZenohSink};
use segfuse::sink::{Sink, SinkError};
use segfuse::source::Source;
use segfuse::source::can::{CanDecoder, Decoding, builtin_signals};
use segfuse::source::inbox::{Inbox, Intake};
use segfuse::source::synthetic::{self, SyntheticSource};
use segfuse::wire::session;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const SIZE: Size = Size::new(640, 360);
const WARM_UP: usize = 30;
/// From the middle of the exposure to the frame's being there.
const EXPOSURE_NS: i64 = 15_000_000;

fn main() {
    let frames = std::env::args().find_map(|word| word.parse().ok()).unwrap_or(900);
    let (inbox, intake) = Inbox::new(Arc::new(now));
    let stop = Arc::new(AtomicBool::new(false));
    let bus = bus(intake.clone(), Arc::clone(&stop));
    let camera = camera(intake, frames, Arc::clone(&stop));
    let mut overhead = run(inbox);
    camera.join().expect("it ends");
    bus.join().expect("it ends");
    overhead.sort_by(f64::total_cmp);
    let at = |share: f64| overhead[((overhead.len() - 1) as f64 * share).round() as usize];
    println!(
        "live/overhead/{SIZE}  {} frames  median {:.0} us  p99 {:.0} us  max {:.0} us",
        overhead.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
}

fn now() -> Stamp {
    MonotonicClock.now()
}

/// Sleeps until `number` periods after `start`.
fn pace(start: Stamp, number: u64, period: Duration) {
    let due = start.after(period * u32::try_from(number).expect("a bench is short"));
    std::thread::sleep(Duration::from_nanos(due.signed_ns_since(now()).max(0) as u64));
}

/// The pictures of a rendered drive as a camera gives them, to and fro.
fn pictures() -> Vec<Image> {
    let scene = synthetic::Config { size: SIZE, seconds: 1.0, format: PixelFormat::Yuyv, ..Default::default() };
    let mut source = SyntheticSource::new(scene).expect("a scene");
    let mut pictures = Vec::new();
    while let Some(event) = source.next().expect("it is rendered") {
        if let Event::Frame(frame) = event {
            pictures.push(frame.image);
        }
    }
    pictures
}

fn camera(intake: Intake, frames: u64, stop: Arc<AtomicBool>) -> std::thread::JoinHandle<()> {
    let pictures = pictures();
    std::thread::spawn(move || {
        let (start, last) = (now(), pictures.len() - 1);
        for number in 0..frames {
            pace(start, number, Duration::from_micros(33_333));
            let place = number as usize % (2 * last);
            intake.frame(now().offset_ns(-EXPOSURE_NS), None, pictures[place.min(2 * last - place)].clone());
        }
        stop.store(true, Ordering::Relaxed);
    })
}

/// A thousand frames a second of a speed that does not change.
fn bus(intake: Intake, stop: Arc<AtomicBool>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let (start, mut number) = (now(), 0_u64);
        while !stop.load(Ordering::Relaxed) {
            pace(start, number, Duration::from_millis(1));
            let body = [0x88, 0x13, (number % 16) as u8];
            let checksum = crc::Crc::<u8>::new(&crc::CRC_8_SAE_J1850).checksum(&body);
            let taken = SourceStamp::monotonic(now());
            intake.can(0, CanId::Standard(0x100), taken, &[body[0], body[1], body[2], checksum]).expect("a frame");
            number += 1;
        }
    })
}

/// Drives until the sources end; overhead of each frame in microseconds.
fn run(inbox: Inbox) -> Vec<f64> {
    let network = Network::from_folder("models/tiny".as_ref()).expect("it is shipped");
    let engine = cpu::CpuEngine::new(&network, &cpu::Config::default()).expect("rten is built in");
    let inner = Perceiver::new(engine, perceive::Config::default());
    let took_ns = Rc::new(Cell::new(0));
    let mut perceiver = Timed { inner, took_ns: Rc::clone(&took_ns) };
    let mut zenoh =
        ZenohSink::open(&Config { session: loopback(), ..Config::default() }, told(&network), now).expect("loopback");
    let mut overhead = Overhead { took_ns, us: Vec::new(), without_speed: 0, free: Stamp::ZERO };
    let decoder =
        CanDecoder::new(&builtin_signals("example").expect("built in"), synthetic::example_dbc(), "example.dbc");
    let mut source = Decoding::new(inbox, decoder.expect("they fit"));
    let aligner = Aligner::new(align::Config::default());
    let (counts, ended) =
        Pipeline::new(aligner, &mut perceiver, vec![&mut zenoh, &mut overhead]).run(&mut source, &|| false);
    ended.expect("nothing fails");
    assert_eq!(counts.captured, counts.published + counts.dropped);
    assert_eq!(overhead.without_speed, 0, "every frame knows its speed");
    overhead.us.split_off(WARM_UP)
}

fn loopback() -> session::Config {
    session::Config { listen: Some(vec!["tcp/127.0.0.1:0".into()]), ..Default::default() }
}

fn told(network: &Network) -> Run {
    Run {
        engine: "bench".into(),
        network: network.name().into(),
        network_hash: network.hash(),
        classes: network.classes().clone(),
        wall: wall_mapping(),
        wall_now: None,
        timeline: Timeline::Live,
        vitals: None,
    }
}

/// Notes how long each frame was perceived.
struct Timed<P> {
    inner: P,
    took_ns: Rc<Cell<i64>>,
}

impl<P: Perceive> Perceive for Timed<P> {
    fn perceive(&mut self, frame: &AlignedFrame) -> Result<Perception, EngineError> {
        let before = now();
        let perception = self.inner.perceive(frame);
        self.took_ns.set(now().signed_ns_since(before));
        perception
    }
}

/// Behind the publisher: the rest of the time since the frame was there.
struct Overhead {
    took_ns: Rc<Cell<i64>>,
    us: Vec<f64>,
    without_speed: u64,
    /// When the frame before was through.
    free: Stamp,
}

impl Sink for Overhead {
    fn on_perception(&mut self, frame: &AlignedFrame, _: &Perception) -> Result<(), SinkError> {
        let through = now();
        let since_ns = through.signed_ns_since(frame.frame.arrival.max(self.free));
        self.free = through;
        self.us.push((since_ns - self.took_ns.get()) as f64 / 1e3);
        let speed = frame.state.speed_mps.and_then(Reading::usable);
        self.without_speed += u64::from(speed.is_none() && self.us.len() > WARM_UP);
        Ok(())
    }
}
