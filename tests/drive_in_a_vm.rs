//! `segfuse run` and `segfuse record` on a real kernel's camera and bus, inside a small virtual machine; what they record
//! is looked at outside.
#![cfg(all(feature = "camera", feature = "can"))]

#[path = "support/drives.rs"]
mod drives;
mod support;
#[path = "support/vm.rs"]
mod vm;

use drives::{CONFIG, machine, options, plug, replays_to, speed_frame, start, trip_of};
use segfuse::align::{self, Aligner};
use segfuse::clock::{MeasuringClock, MonotonicClock};
use segfuse::data::{Event, Reading, Stamp};
use segfuse::source::Source;
use segfuse::trip::{Range, TripReader};
use socketcan::{CanSocket, Socket};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use support::json;
use vm::Machine;

/// Speed rises and falls between 0 and 40 m/s at 20 m/s²: a millisecond is 0.02 m/s.
const SLOPE_MPS2: f64 = 20.0;
const HALF_PERIOD_S: f64 = 2.0;

/// A frame that came so long after its exposure is too old to be of use, and what is remembered of a busy bus younger.
const LATE_NS: i64 = 100_000_000;

/// The speed of the vehicle that drives in the machine, `since` its start.
fn speed_mps(since_s: f64) -> f64 {
    let phase = since_s.rem_euclid(2.0 * HALF_PERIOD_S);
    SLOPE_MPS2 * phase.min(2.0 * HALF_PERIOD_S - phase)
}

/// Seconds from the nearest moment at which the speed turns round.
fn from_the_turn_s(since_s: f64) -> f64 {
    let phase = since_s.rem_euclid(HALF_PERIOD_S);
    phase.min(HALF_PERIOD_S - phase)
}

/// What was sent: how many frames, and when the machine stood still between reading the clock and sending, so that what
/// was sent is not true.
struct Sent {
    frames: u64,
    untrue: Vec<u64>,
}

/// Sends the speed a thousand times a second until told to stop; gives the start of the drive.
fn drive(stop: &Arc<AtomicBool>) -> (Stamp, std::thread::JoinHandle<Sent>) {
    let socket = CanSocket::open("vcan0").expect("the machine has a bus");
    let (start, stop) = (MonotonicClock.now(), Arc::clone(stop));
    let sending = std::thread::spawn(move || {
        let mut sent = Sent { frames: 0, untrue: Vec::new() };
        while !stop.load(Ordering::Relaxed) {
            let due = start.after(Duration::from_millis(sent.frames));
            std::thread::sleep(Duration::from_nanos(due.signed_ns_since(MonotonicClock.now()).max(0) as u64));
            let before = MonotonicClock.now();
            let since_s = before.signed_ns_since(start) as f64 / 1e9;
            socket.write_frame(&speed_frame(speed_mps(since_s), sent.frames)).expect("it is sent");
            if MonotonicClock.now().signed_ns_since(before) > 500_000 {
                sent.untrue.push(before.ns());
            }
            sent.frames += 1;
        }
        sent
    });
    (start, sending)
}

/// Resident memory of a process, KiB.
fn resident_kib(child: &Child) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("Linux says it");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}

/// Errors of alignment in ms against the speed that was sent, away from where it turns round; and how many frames have no
/// speed though the bus had just told it. While nobody tells it, it is held, and then stale.
fn alignment_errors_ms(trip: &Path, start: Stamp, untrue: &[u64]) -> (Vec<f64>, usize) {
    let mut reader = TripReader::open(trip, Range::default()).expect("a whole trip");
    let mut aligner = Aligner::new(align::Config::default());
    let (mut errors, mut without, mut told_at) = (Vec::new(), 0, Vec::new());
    while let Some(event) = reader.next().expect("nothing is damaged") {
        if let Event::Can(frame) = &event {
            told_at.push(frame.taken.ns);
        }
        aligner.push(&event);
        while let Some(aligned) = aligner.pop() {
            let stamp = aligned.frame.stamp;
            let since_s = stamp.signed_ns_since(start) as f64 / 1e9;
            let waited_ns = aligned.frame.arrival.signed_ns_since(stamp);
            let is_untrue = |ns: &u64| stamp.ns().abs_diff(*ns) < 20_000_000;
            if untrue.iter().any(is_untrue)
                || from_the_turn_s(since_s) < 0.05
                || waited_ns > LATE_NS
                || !is_well_told(&told_at, stamp)
            {
                continue;
            }
            match aligned.state.speed_mps.and_then(Reading::usable) {
                Some(told) => errors.push((told - speed_mps(since_s)).abs() / SLOPE_MPS2 * 1e3),
                None => without += 1,
            }
        }
    }
    (errors, without)
}

/// Whether the bus told its value without a break around `stamp`: a busy host stops the sender now and then.
fn is_well_told(told_at: &[i64], stamp: Stamp) -> bool {
    let since_ns = |ns: i64| stamp.signed_ns_since(Stamp::from_ns(ns.unsigned_abs()));
    let around: Vec<i64> = told_at.iter().rev().map(|&ns| since_ns(ns)).take_while(|&ns| ns < 100_000_000).collect();
    let breaks = around.windows(2).filter(|pair| pair[1] - pair[0] > 8_000_000);
    around.first().is_some_and(|&newest| newest < 2_000_000) && breaks.count() == 0
}

#[test]
fn a_minute_of_driving_is_accounted_for_aligned_and_replays_to_the_same_masks() {
    const NAME: &str = "a_minute_of_driving_is_accounted_for_aligned_and_replays_to_the_same_masks";
    let owned = machine(150);
    let Some(out) = vm::inside(NAME, &Machine { options: &options(&owned), seconds: 150 }) else {
        return check_the_minute(&vm::outputs_of(NAME));
    };
    let stop = Arc::new(AtomicBool::new(false));
    let (began, sending) = drive(&stop);
    let summary = out.join("run.json");
    let mut child = start("run", &["--seconds", "60", "--summary", summary.to_str().expect("UTF-8")]);
    std::thread::sleep(Duration::from_secs(30));
    let early = resident_kib(&child);
    std::thread::sleep(Duration::from_secs(25));
    let late = resident_kib(&child);
    assert!(child.wait().expect("it ends").success(), "the drive failed");
    stop.store(true, Ordering::Relaxed);
    let sent = sending.join().expect("it ends");
    assert!(sent.frames > 50_000, "only {} CAN frames were sent", sent.frames);
    std::fs::write(out.join("untrue.json"), serde_json::to_vec(&sent.untrue).expect("JSON")).expect("room");
    assert!(late <= early + 2048, "memory grew from {early} to {late} KiB");
    std::fs::write(out.join("start"), began.ns().to_string()).expect("room");
    std::fs::write(out.join("memory"), format!("{early} KiB after 30 s, {late} KiB after 55 s\n")).expect("room");
}

fn check_the_minute(outputs: &Path) {
    if !vm::is_possible() {
        return;
    }
    let told = json(&outputs.join("run.json"));
    let [frames, published, dropped] = ["frames", "published", "dropped"].map(|key| told[key].as_u64().expect(key));
    assert_eq!(frames, published + dropped, "{told:#}");
    assert!((1_700..=1_830).contains(&frames), "60 s at 30 a second: {frames}");
    account_for_every_number(&trip_of(outputs));
    let start = std::fs::read_to_string(outputs.join("start")).expect("it was written");
    let start = Stamp::from_ns(start.parse().expect("a number"));
    let trip = trip_of(outputs);
    let untrue = std::fs::read(outputs.join("untrue.json")).expect("it was written");
    let untrue: Vec<u64> = serde_json::from_slice(&untrue).expect("numbers");
    let (mut errors, without) = alignment_errors_ms(&trip, start, &untrue);
    assert!(without == 0 && errors.len() > 40, "{without} frames without speed beside {}", errors.len());
    errors.sort_by(f64::total_cmp);
    let [median, worst] = [errors[errors.len() / 2], errors[errors.len() - 1]];
    println!("alignment: median {median:.3} ms, worst {worst:.3} ms of {} frames", errors.len());
    assert!(worst <= 1.0, "worst {worst} ms, median {median} ms");
    replays_to(&trip, &told);
}

/// Holds each gap of the driver's numbers to the frames that were told as lost in it: first to last, nothing is missing.
fn account_for_every_number(trip: &Path) {
    let mut reader = TripReader::open(trip, Range::default()).expect("a whole trip");
    let (mut numbers, mut lost_between, mut wrong) = (Vec::new(), 0_u32, Vec::new());
    let (mut delivered, mut lost) = (0_u32, 0_u32);
    while let Some(event) = reader.next().expect("nothing is damaged") {
        match event {
            Event::Lost { frames, .. } => lost_between += frames,
            Event::Frame(frame) => {
                let number = frame.sequence.expect("a live frame has its driver's number");
                let gap = numbers.last().map_or(0, |last| number.wrapping_sub(*last) - 1);
                if !numbers.is_empty() {
                    lost += lost_between;
                    wrong.extend((gap != lost_between).then_some((number, gap, lost_between)));
                }
                (delivered, lost_between) = (delivered + 1, 0);
                numbers.push(number);
            }
            _ => {}
        }
    }
    let [first, newest] = [numbers[0], numbers[numbers.len() - 1]];
    println!("the driver's numbers {first} to {newest}: {delivered} frames delivered, {lost} told as lost");
    assert!(wrong.is_empty(), "number, numbers missing before it, frames told as lost there: {wrong:?}");
    assert_eq!(newest - first + 1, delivered + lost);
}

#[test]
fn a_recording_keeps_every_frame_of_camera_and_bus() {
    const NAME: &str = "a_recording_keeps_every_frame_of_camera_and_bus";
    let owned = machine(60);
    let Some(_) = vm::inside(NAME, &Machine { options: &options(&owned), seconds: 60 }) else {
        return check_the_recording(&vm::outputs_of(NAME));
    };
    let stop = Arc::new(AtomicBool::new(false));
    let (_, sending) = drive(&stop);
    let mut child = start("record", &["--seconds", "20"]);
    assert!(child.wait().expect("it ends").success(), "the recording failed");
    stop.store(true, Ordering::Relaxed);
    sending.join().expect("it ends");
}

fn check_the_recording(outputs: &Path) {
    if !vm::is_possible() {
        return;
    }
    account_for_every_number(&trip_of(outputs));
    let mut reader = TripReader::open(&trip_of(outputs), Range::default()).expect("a whole trip");
    let (mut frames, mut lost, mut can) = (0_u64, 0_u64, 0_u64);
    while let Some(event) = reader.next().expect("nothing is damaged") {
        match event {
            Event::Frame(_) => frames += 1,
            Event::Lost { frames, .. } => lost += u64::from(frames),
            Event::Can(_) => can += 1,
            _ => {}
        }
    }
    println!("{frames} frames, {lost} lost, {can} CAN frames in 20 s");
    assert!((590..=610).contains(&(frames + lost)), "{frames} + {lost}");
    // A busy host stops the emulated machine for longer than its camera has buffers for.
    assert!(lost <= frames / 5, "{lost} frames lost beside {frames}");
    assert!(can >= 15_000, "{can} CAN frames");
}

/// The findings about `subject` of `segfuse doctor --json`, and how it ended.
fn doctor(subject: &str) -> (Vec<serde_json::Value>, bool) {
    std::fs::write("/vm/vehicle.toml", CONFIG).expect("room");
    let mut segfuse = Command::new("/usr/local/bin/segfuse");
    let output = segfuse.args(["doctor", "--json", "--config", "/vm/vehicle.toml"]).output().expect("it starts");
    println!("{}", String::from_utf8_lossy(&output.stdout));
    let findings: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).expect("JSON");
    (findings.into_iter().filter(|finding| finding["subject"] == subject).collect(), output.status.success())
}

#[test]
fn the_doctor_finds_what_a_drive_needs_and_what_is_wrong_with_it() {
    const NAME: &str = "the_doctor_finds_what_a_drive_needs_and_what_is_wrong_with_it";
    let owned = machine(60);
    if vm::inside(NAME, &Machine { options: &options(&owned), seconds: 60 }).is_none() {
        return;
    }
    std::fs::create_dir_all("/out/trips").expect("room");
    let stop = Arc::new(AtomicBool::new(false));
    let (_, sending) = drive(&stop);
    let (signals, is_well) = doctor("signals");
    stop.store(true, Ordering::Relaxed);
    sending.join().expect("it ends");
    assert!(is_well, "camera, bus and the rest are there");
    let speed = signals.iter().find(|finding| finding["seen"].as_str().expect("text").starts_with("speed: "));
    assert_eq!(speed.expect("it is looked for")["mark"], "ok", "{signals:?}");
    assert!(Command::new("ip").args(["link", "set", "vcan0", "down"]).status().expect("busybox").success());
    let (buses, is_well) = doctor("bus");
    assert!(!is_well && buses[0]["mark"] == "fault", "{buses:?}");
    assert_eq!(buses[0]["remedy"], "ip link set vcan0 up");
}

#[test]
fn a_drive_goes_on_with_its_camera_back_and_tells_that_it_was_away() {
    const NAME: &str = "a_drive_goes_on_with_its_camera_back_and_tells_that_it_was_away";
    let owned = machine(60);
    let Some(out) = vm::inside(NAME, &Machine { options: &options(&owned), seconds: 60 }) else {
        return check_the_absence(&vm::outputs_of(NAME));
    };
    let summary = out.join("run.json");
    let mut child = start("run", &["--seconds", "20", "--summary", summary.to_str().expect("UTF-8")]);
    std::thread::sleep(Duration::from_secs(8));
    plug("unbind");
    let gone = MonotonicClock.now();
    std::thread::sleep(Duration::from_secs(2));
    plug("bind");
    let back = MonotonicClock.now();
    std::fs::write(out.join("absence"), format!("{} {}", gone.ns(), back.ns())).expect("room");
    assert!(child.wait().expect("it ends").success(), "the drive failed");
}

fn check_the_absence(outputs: &Path) {
    if !vm::is_possible() {
        return;
    }
    let absence = std::fs::read_to_string(outputs.join("absence")).expect("it was written");
    let times: Vec<u64> = absence.split(' ').map(|ns| ns.parse().expect("a number")).collect();
    let [gone, back] = [Stamp::from_ns(times[0]), Stamp::from_ns(times[1])];
    let trip = trip_of(outputs);
    let mut reader = TripReader::open(&trip, Range::default()).expect("a whole trip");
    let mut frames = Vec::new();
    while let Some(event) = reader.next().expect("nothing is damaged") {
        if let Event::Frame(frame) = event {
            frames.push(frame.stamp);
        }
    }
    let before = frames.iter().filter(|stamp| **stamp < gone).count();
    let again = frames.iter().find(|stamp| **stamp > back).expect("there are frames again");
    let away_ms = again.signed_ns_since(back) as f64 / 1e6;
    let meanwhile = frames.iter().filter(|stamp| **stamp > gone.offset_ns(200_000_000) && **stamp < back).count();
    println!("{before} frames before, {meanwhile} meanwhile, again {away_ms:.0} ms after the camera was back");
    assert!(before > 5 && meanwhile == 0 && away_ms < 2_000.0);
    let told = json(&outputs.join("run.json"));
    let [frames, published, dropped] = ["frames", "published", "dropped"].map(|key| told[key].as_u64().expect(key));
    assert_eq!(frames, published + dropped);
    let camera = told["vitals"]["sources"].as_array().expect("a list").iter().find(|source| source["name"] == "camera");
    assert!(camera.expect("it is there")["counts"].to_string().contains("[\"reopened\",1]"), "{camera:?}");
    replays_to(&trip, &told);
}
