//! Once warm, neither frames nor the bus's frames between them allocate on their way through inbox, decoder, aligner,
//! perception and statistics, into the recording on the disk, and out over Zenoh.
//!
//! Every thread's blocks are counted. What Zenoh itself takes for a mask that it sends to another process is counted apart.

#[path = "support/threads.rs"]
mod threads;
#[path = "support/networks.rs"]
mod tiny_networks;

use segfuse::align::{self, Aligner};
use segfuse::clock::wall_mapping;
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
use segfuse::trip::rotation::{self, Machine, RotatingRecorder, free_bytes};
use segfuse::trip::{self, TripMetadata};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tiny_networks::{networks, shifted_picture};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const SIZE: Size = Size::new(192, 144);
const FRAMES: usize = 60;
const WARM: usize = 20;
const CAN_PER_FRAME: u64 = 33;
/// Within which threads beside have done with a frame.
const A_WHILE: Duration = Duration::from_millis(3);

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
        let picture_number = self.pictures.len() as u32;
        for _ in 0..CAN_PER_FRAME {
            let now = self.clock.fetch_add(1_000_000, Ordering::Relaxed);
            let taken = SourceStamp::monotonic(Stamp::from_ns(now));
            intake.can(0, CanId::Standard(0x101), taken, &[0; 8]).expect("a frame");
        }
        intake.frame(Stamp::from_ns(self.clock.load(Ordering::Relaxed)), Some(picture_number), picture);
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
struct Blocks {
    total: Vec<u64>,
    /// How long threads beside are waited for.
    patience: Duration,
}

impl Sink for Blocks {
    fn on_perception(&mut self, _: &AlignedFrame, _: &Perception) -> Result<(), SinkError> {
        if self.total.len() + 1 == WARM {
            threads::wait_until_others_sleep();
        }
        std::thread::sleep(self.patience);
        self.total.push(dhat::HeapStats::get().total_blocks);
        Ok(())
    }
}

/// Holds on to masks, more than ever before, once the drive is warm.
struct FallsBehind {
    frames: usize,
    held: Vec<Perception>,
}

impl Sink for FallsBehind {
    fn on_perception(&mut self, _: &AlignedFrame, perception: &Perception) -> Result<(), SinkError> {
        self.frames += 1;
        if self.frames > WARM + 10 && self.held.len() < self.held.capacity() {
            self.held.push(perception.clone());
        }
        Ok(())
    }
}

/// Blocks are counted for the whole process: one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Drives into `sinks`; blocks allocated between each mask and the next, once warm.
fn blocks_a_frame(drive: &mut Drive, sinks: &mut [&mut dyn Sink], patience: Duration) -> Vec<u64> {
    let plain = networks().join("plain.onnx");
    let network = Network::from_onnx(&plain, &PlainOptions::default()).expect("the test network is right");
    let config = Config { runtime: RuntimeChoice::Rten, ..Config::default() };
    let engine = CpuEngine::new(&network, &config).expect("rten is built in");
    let schedule = "every:1000".parse().expect("a schedule");
    let mut perceiver =
        Perceiver::new(engine, segfuse::perceive::Config { schedule, ..segfuse::perceive::Config::default() });
    let mut statistics = Statistics::new(network.classes().clone());
    let mut blocks = Blocks { total: Vec::with_capacity(FRAMES), patience };
    let aligner = Aligner::new(align::Config::default());
    let _profiler = dhat::Profiler::builder().testing().build();
    let mut all: Vec<&mut dyn Sink> = vec![&mut statistics];
    all.extend(sinks.iter_mut().map(|sink| -> &mut dyn Sink { &mut **sink }));
    all.push(&mut blocks);
    let (counts, ended) = Pipeline::new(aligner, &mut perceiver, all).run(drive, &|| false);
    ended.expect("nothing fails");
    assert_eq!((counts.captured, counts.published, counts.refused), (FRAMES as u64, FRAMES as u64, 0));
    assert_eq!(drive.stream.decoder().counts().frames, CAN_PER_FRAME * FRAMES as u64);
    assert!(blocks.total[0] > 0, "the first frame allocates, else this test would show nothing");
    blocks.total.windows(2).skip(WARM).map(|pair| pair[1] - pair[0]).collect()
}

fn drive() -> Drive {
    Drive::new((0..FRAMES).rev().map(|id| shifted_picture(SIZE, 2.0 * id as f32)).collect())
}

#[test]
fn a_live_frame_and_the_bus_since_the_last_one_allocate_nothing() {
    let _alone = alone();
    let blocks = blocks_a_frame(&mut drive(), &mut [], Duration::ZERO);
    assert!(blocks.iter().all(|&count| count == 0), "{blocks:?}");
}

#[test]
fn a_reader_that_falls_behind_for_the_first_time_costs_no_block() {
    let _alone = alone();
    let mut behind = FallsBehind { frames: 0, held: Vec::with_capacity(12) };
    let blocks = blocks_a_frame(&mut drive(), &mut [&mut behind], Duration::ZERO);
    assert_eq!(behind.held.len(), 12);
    assert!(blocks.iter().all(|&count| count == 0), "{blocks:?}");
}

#[test]
fn recording_them_allocates_nothing() {
    let _alone = alone();
    let blocks = {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let trip = trip::Config { chunk_span_ms: 200, ..trip::Config::default() };
        let machine = Machine { wall: Box::new(wall_mapping), free_bytes: Box::new(free_bytes), reporter: None };
        let (rotation, metadata) = (rotation::Config::default(), TripMetadata::default());
        let recorder = RotatingRecorder::start(folder.path(), &rotation, &trip, &metadata, machine);
        let mut recorder = recorder.expect("the folder is ours");
        let blocks = blocks_a_frame(&mut drive(), &mut [&mut recorder], A_WHILE);
        let report = recorder.handle().report();
        assert_eq!((report.finished, report.dropped.len()), (1, 0), "{report:?}");
        blocks
    };
    assert!(blocks.iter().all(|&count| count == 0), "{blocks:?}");
}

#[test]
#[cfg(feature = "zenoh")]
fn publishing_them_their_state_and_the_health_allocates_nothing() {
    let _alone = alone();
    for (shared, lz4) in [(true, false), (false, false), (false, true)] {
        let mut drive = drive();
        let mut sink = publishing::sink(&drive.clock, shared, lz4);
        let blocks = blocks_a_frame(&mut drive, &mut [&mut sink], A_WHILE);
        assert!(blocks.iter().all(|&count| count == 0), "shared {shared}, LZ4 {lz4}: {blocks:?}");
    }
}

/// Blocks that Zenoh itself takes to send a mask and its state to one process: a description of the shared memory (2), the
/// account of who has it, the sender's being woken and its write. Without shared memory the last two.
#[cfg(feature = "zenoh")]
const OF_ZENOH: [(bool, u64); 2] = [(true, 5), (false, 2)];

#[test]
#[cfg(feature = "zenoh")]
fn sending_them_to_another_process_costs_five_blocks_of_zenohs_own() {
    let _alone = alone();
    for (shared, expected) in OF_ZENOH {
        let mut drive = drive();
        let mut sink = publishing::sink(&drive.clock, shared, false);
        let _subscriber = publishing::subscriber(&sink);
        let mut blocks = blocks_a_frame(&mut drive, &mut [&mut sink], A_WHILE);
        println!("shared {shared}: {blocks:?}");
        // Its sender is woken once a frame, on a busy machine twice for most, which takes one block more.
        blocks.sort_unstable();
        let most = blocks[blocks.len() / 2];
        assert!((expected..=expected + 1).contains(&most), "shared {shared}: {blocks:?}");
    }
}

/// Masks over Zenoh, and a process that receives them.
#[cfg(feature = "zenoh")]
mod publishing {
    use segfuse::clock::wall_mapping;
    use segfuse::data::{ClassTable, HealthBoard, Stamp, VitalSigns};
    use segfuse::sink::zenoh::{Config, Run, SharedMemory, Timeline, ZenohSink};
    use segfuse::wire::session;
    use std::process::{Child, Command, Stdio};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    /// It tells of two sources, one of which has faltered.
    fn signs() -> VitalSigns {
        let (board, now) = (HealthBoard::new(), Stamp::from_ns(1));
        let camera = board.enter("camera", true, now);
        camera.count("frames", 1);
        camera.falters(now, "frames lost");
        board.enter("can0", false, now).delivers(now);
        VitalSigns::new(move |now, vitals| {
            vitals.state = board.state(now);
            board.read_sources(now, &mut vitals.sources);
        })
    }

    pub(crate) fn sink(clock: &Arc<AtomicU64>, shared: bool, lz4: bool) -> ZenohSink {
        let session = session::Config { listen: Some(vec!["tcp/127.0.0.1:0".into()]), ..session::Config::default() };
        let shared_memory = SharedMemory { enabled: shared, ..SharedMemory::default() };
        let config = Config { session, shared_memory, lz4, ..Config::default() };
        let run = Run {
            engine: "test 1.0".into(),
            network: "plain".into(),
            network_hash: 1,
            classes: ClassTable::cityscapes(),
            wall: wall_mapping(),
            wall_now: Some(wall_mapping),
            timeline: Timeline::Live,
            vitals: Some(signs()),
        };
        let clock = Arc::clone(clock);
        ZenohSink::open(&config, run, move || Stamp::from_ns(clock.load(Ordering::Relaxed))).expect("loopback is there")
    }

    /// Ends with the test.
    pub(crate) struct Subscriber(Child);

    impl Drop for Subscriber {
        fn drop(&mut self) {
            drop(self.0.kill());
            drop(self.0.wait());
        }
    }

    /// A process that subscribes to the masks of `sink`; it does by the time that this returns.
    pub(crate) fn subscriber(sink: &ZenohSink) -> Subscriber {
        let mut command = Command::new(env!("CARGO_BIN_EXE_segfuse"));
        command.args(["subscribe", "--connect", &sink.endpoints()[0]]).stdout(Stdio::null()).stderr(Stdio::null());
        let subscriber = Subscriber(command.spawn().expect("it starts"));
        for _ in 0..1000 {
            if sink.has_subscriber() {
                return subscriber;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("nobody subscribes within 10 s");
    }
}
