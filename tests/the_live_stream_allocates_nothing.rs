//! Once warm, neither frames nor the bus's frames between them allocate on their way through inbox, decoder, aligner,
//! perception and statistics.

#[path = "support/networks.rs"]
mod tiny_networks;

use segfuse::align::{self, Aligner};
use segfuse::data::{AlignedFrame, CanId, Event, Image, Perception, Size, SourceStamp, Stamp};
use segfuse::engine::cpu::{Config, CpuEngine, RuntimeChoice};
use segfuse::engine::network::{Network, PlainOptions};
use segfuse::perceive::Perceiver;
use segfuse::pipeline::Pipeline;
use segfuse::sink::statistics::Statistics;
use segfuse::sink::{Sink, SinkError};
use segfuse::source::can::{CanDecoder, Decoding, builtin_signals};
use segfuse::source::inbox::{Inbox, Intake};
use segfuse::source::{Source, SourceError};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tiny_networks::{networks, shifted_picture};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const SIZE: Size = Size::new(192, 144);
const FRAMES: usize = 40;
const WARM: usize = 12;
const CAN_PER_FRAME: u64 = 33;

/// A camera and a bus that are asked for their next events when nothing waits.
struct Drive {
    stream: Decoding<Inbox>,
    intake: Option<Intake>,
    clock: Arc<AtomicU64>,
    pictures: Vec<Image>,
    waiting: u64,
}

impl Drive {
    fn new(pictures: Vec<Image>) -> Self {
        let clock = Arc::new(AtomicU64::new(1_000_000_000));
        let read = Arc::clone(&clock);
        let (inbox, intake) = Inbox::new(Arc::new(move || Stamp::from_ns(read.load(Ordering::Relaxed))));
        let signals = builtin_signals("example").expect("built in");
        let dbc = include_str!("../config/example.dbc");
        let decoder = CanDecoder::new(&signals, dbc, "example.dbc").expect("they fit");
        Self { stream: Decoding::new(inbox, decoder), intake: Some(intake), clock, pictures, waiting: 0 }
    }

    /// A frame's period of the bus, then a frame.
    fn drive_on(&mut self) {
        let Some(picture) = self.pictures.pop() else { return drop(self.intake.take()) };
        let intake = self.intake.as_ref().expect("there are pictures left");
        for _ in 0..CAN_PER_FRAME {
            let now = self.clock.fetch_add(1_000_000, Ordering::Relaxed);
            let taken = SourceStamp::monotonic(Stamp::from_ns(now));
            intake.can(0, CanId::Standard(0x101), taken, &[0; 8]).expect("a frame");
        }
        intake.frame(Stamp::from_ns(self.clock.load(Ordering::Relaxed)), picture);
        self.waiting = CAN_PER_FRAME + 1;
    }
}

impl Source for Drive {
    fn next(&mut self) -> Result<Option<Event>, SourceError> {
        if self.waiting == 0 {
            self.drive_on();
        }
        let event = self.stream.next()?;
        if matches!(event, Some(Event::Can(_) | Event::Frame(_))) {
            self.waiting -= 1;
        }
        Ok(event)
    }
}

/// Blocks allocated by the time of each mask.
#[derive(Default)]
struct Blocks(Vec<u64>);

impl Sink for Blocks {
    fn on_perception(&mut self, _: &AlignedFrame, _: &Perception) -> Result<(), SinkError> {
        self.0.push(dhat::HeapStats::get().total_blocks);
        Ok(())
    }
}

#[test]
fn a_live_frame_and_the_bus_since_the_last_one_allocate_nothing() {
    let plain = networks().join("plain.onnx");
    let network = Network::from_onnx(&plain, &PlainOptions::default()).expect("the test network is right");
    let config = Config { runtime: RuntimeChoice::Rten, ..Config::default() };
    let engine = CpuEngine::new(&network, &config).expect("rten is built in");
    let schedule = "every:1000".parse().expect("a schedule");
    let mut perceiver =
        Perceiver::new(engine, segfuse::perceive::Config { schedule, ..segfuse::perceive::Config::default() });
    let mut drive = Drive::new((0..FRAMES).rev().map(|id| shifted_picture(SIZE, 2.0 * id as f32)).collect());
    let mut statistics = Statistics::new(network.classes().clone());
    let mut blocks = Blocks(Vec::with_capacity(FRAMES));
    let aligner = Aligner::new(align::Config::default());
    let _profiler = dhat::Profiler::builder().testing().build();
    let pipeline = Pipeline::new(aligner, &mut perceiver, vec![&mut statistics, &mut blocks]);
    let (counts, ended) = pipeline.run(&mut drive, &|| false);
    ended.expect("nothing fails");
    assert_eq!((counts.captured, counts.published), (FRAMES as u64, FRAMES as u64));
    assert_eq!(drive.stream.decoder().counts().frames, CAN_PER_FRAME * FRAMES as u64);
    assert!(blocks.0[0] > 0, "the first frame allocates, else this test would show nothing");
    let each: Vec<u64> = blocks.0.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(each[WARM..].iter().all(|&count| count == 0), "{each:?}");
}
