//! From the publisher's process to the subscriber's: a 1280x720 mask at 30 a second, one way.
//!
//! ```text
//! this process ── on_perception ──▶ Zenoh on loopback ──▶ the same program again: recv_timeout
//! ```
//!
//! Both read `CLOCK_MONOTONIC`, which is one for the machine. `hop` is from handing over to Zenoh to
//! having a verified copy; `whole` begins before hashing and packing. Every mask is checked.
//! `zenoh_hop [masks]`; without a filter all of tcp, shm, tcp+lz4 run.

use segfuse::clock::{MeasuringClock, MonotonicClock, wall_mapping};
use segfuse::data::{
    AlignedFrame, ClassTable, Frame, FrameId, Image, LabelMask, Origin, Perception, PixelFormat, Size, Stamp,
    VehicleState,
};
use segfuse::sink::Sink;
use segfuse::sink::zenoh::{Config, Run, SharedMemory, Timeline, ZenohSink};
use segfuse::subscribe::{self, Subscriber};
use segfuse::wire::session;
use std::process::{Command, Stdio};
use std::time::Duration;

const SIZE: Size = Size::new(1280, 720);
const PERIOD: Duration = Duration::from_millis(33);
const WARM_UP: u64 = 20;
const ROLE: &str = "SEGFUSE_BENCH_SUBSCRIBE_TO";
const CASES: [(&str, bool, bool); 3] = [("tcp", false, false), ("shm", true, false), ("tcp+lz4", false, true)];

fn main() {
    match std::env::var(ROLE) {
        Ok(endpoint) => subscribe(&endpoint),
        Err(_) => CASES.iter().for_each(|(name, shared, lz4)| measure(name, *shared, *lz4)),
    }
}

fn now() -> Stamp {
    MonotonicClock.now()
}

/// Masks asked for on the command line (cargo adds `--bench`), 300 otherwise.
fn masks() -> u64 {
    std::env::args().find_map(|word| word.parse().ok()).unwrap_or(300)
}

/// Blocks of 16x16 pixels, as compressible as the masks of a street.
fn perception(number: u64) -> Perception {
    let pixel = |i: u64| ((i % 1280 / 16 + i / (1280 * 16) + number) % 19) as u8;
    let labels: Vec<u8> = (0..SIZE.pixels() as u64).map(pixel).collect();
    let mask = LabelMask::new(SIZE, labels.into()).expect("one label a pixel");
    Perception {
        frame: FrameId(number),
        stamp: now(),
        origin: Origin::Key,
        mask,
        age: None,
        confidence: None,
        disagreement: None,
        late: None,
    }
}

fn frame_of(perception: &Perception) -> AlignedFrame {
    let image = Image::packed(PixelFormat::Grey, Size::new(1, 1), vec![0].into()).expect("one pixel");
    let frame =
        Frame { id: perception.frame, sequence: None, stamp: perception.stamp, arrival: perception.stamp, image };
    AlignedFrame { frame, state: VehicleState::default() }
}

fn open(shared: bool, lz4: bool) -> ZenohSink {
    let session = session::Config { listen: Some(vec!["tcp/127.0.0.1:0".into()]), ..Default::default() };
    let shared_memory = SharedMemory { enabled: shared, ..Default::default() };
    let (engine, network, network_hash, classes) = (String::new(), String::new(), 0, ClassTable::cityscapes());
    let (wall, wall_now, timeline, vitals) = (wall_mapping(), None, Timeline::Live, None);
    let run = Run { engine, network, network_hash, classes, wall, wall_now, timeline, vitals };
    ZenohSink::open(&Config { session, shared_memory, lz4, ..Config::default() }, run, now).expect("loopback is there")
}

fn measure(name: &str, shared: bool, lz4: bool) {
    let mut sink = open(shared, lz4);
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    let command = command.arg(masks().to_string()).env(ROLE, &sink.endpoints()[0]).stdout(Stdio::piped());
    let mut subscriber = command.spawn().expect("this program runs again");
    let mut sent_us = Vec::new();
    for number in 0.. {
        let mut perception = perception(number);
        std::thread::sleep(PERIOD);
        perception.stamp = now();
        let frame = frame_of(&perception);
        sink.on_perception(&frame, &perception).expect("taken");
        sent_us.push(now().signed_ns_since(perception.stamp) as f64 / 1e3);
        if subscriber.try_wait().expect("it was spawned").is_some() {
            break;
        }
    }
    let output = subscriber.wait_with_output().expect("it has ended");
    assert!(output.status.success(), "the subscriber failed");
    let report = String::from_utf8_lossy(&output.stdout);
    println!("zenoh_hop/{name}/1280x720: {}, publisher busy {}", report.trim(), quantiles(sent_us));
}

fn subscribe(endpoint: &str) {
    let config = subscribe::Config { connect: vec![endpoint.into()], ..subscribe::Config::default() };
    let mut subscriber = Subscriber::open(&config, now).expect("the publisher listens");
    let (mut hop_us, mut whole_us) = (Vec::new(), Vec::new());
    for count in 0..masks() + WARM_UP {
        let received = subscriber.recv_timeout(Duration::from_secs(10)).expect("published");
        let here = now();
        let expected = perception(received.header.frame.0).mask;
        assert_eq!(received.labels, expected, "the mask of frame {}", received.header.frame.0);
        if count >= WARM_UP {
            hop_us.push(here.signed_ns_since(received.header.published) as f64 / 1e3);
            whole_us.push(here.signed_ns_since(received.header.stamp) as f64 / 1e3);
        }
    }
    let counts = subscriber.counts();
    println!("hop {}, whole {}, missed {}", quantiles(hop_us), quantiles(whole_us), counts.missed);
}

fn quantiles(mut us: Vec<f64>) -> String {
    us.sort_by(f64::total_cmp);
    let at = |share: f64| us[((us.len() - 1) as f64 * share).round() as usize];
    format!("p50 {:.0} p99 {:.0} µs", at(0.5), at(0.99))
}
