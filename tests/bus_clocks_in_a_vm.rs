//! The stamps of a live bus on a real kernel, inside a small virtual machine: they are of the moment of sending, and stay
//! so while the wall clock steps.

#![cfg(feature = "can")]

#[path = "support/buses.rs"]
mod buses;
#[path = "support/vm.rs"]
mod vm;

use buses::*;
use segfuse::align::{self, Aligner};
use segfuse::data::{CanFrame, Clock, HealthState, Image, PixelFormat, Quantity, Size, Stamp};
use segfuse::source::Source;
use segfuse::source::can::{CanDecoder, ChecksumRule, Decoding, builtin_signals};
use segfuse::source::synthetic::example_dbc;
use socketcan::{CanSocket, Socket};
use std::io::Write;
use std::time::Duration;
use vm::Machine;

const MACHINE: Machine<'static> = Machine { options: &["--vivid", "none"], seconds: 100 };

/// When a frame was sent: what the clock showed before and after.
struct Sent {
    before: Stamp,
    after: Stamp,
}

/// Waits for the next of the moments that are `period_us` apart. One that was missed is not made up for: no sender on a
/// bus sends its messages in a burst.
fn wait_for_next(due: &mut Stamp, period_us: u64) {
    *due = due.after(Duration::from_micros(period_us)).max(now());
    std::thread::sleep(Duration::from_nanos(due.signed_ns_since(now()).max(0) as u64));
}

/// Sends frames with an id of 0x100 and their number, one every `period_us`, and tells when.
fn send_numbered(count: u64, period_us: u64) -> Vec<Sent> {
    let mut socket = CanSocket::open("vcan0").expect("it is there");
    let mut due = now();
    let mut sent = Vec::with_capacity(count as usize);
    for number in 0..count {
        wait_for_next(&mut due, period_us);
        let before = now();
        socket.write_all(&frame(0x100, &number.to_le_bytes())).expect("it is sent");
        sent.push(Sent { before, after: now() });
    }
    sent
}

fn number(frame: &CanFrame) -> u64 {
    u64::from_le_bytes(frame.payload().try_into().expect("8 bytes"))
}

#[test]
fn a_bus_of_1_khz_arrives_whole_and_on_time() {
    let Some(out) = vm::inside("a_bus_of_1_khz_arrives_whole_and_on_time", &MACHINE) else { return };
    let mut rig = Rig::new();
    let _bus = rig.start(&config("vcan0"), &[0x100]);
    sleep_ms(50);
    let sender = std::thread::spawn(|| send_numbered(4000, 1000));
    let mut frames = Vec::new();
    while !sender.is_finished() {
        frames.extend(rig.frames_for(50));
    }
    frames.extend(rig.frames_for(200));
    let sent = sender.join().expect("it ends");
    let numbers: Vec<u64> = frames.iter().map(number).collect();
    assert!(numbers.iter().copied().eq(0..4000), "{} of 4000 frames came", numbers.len());

    assert!(frames.iter().all(|frame| frame.taken.clock == Clock::Monotonic), "stamps are on the timeline");
    // Before the call, or after its return: what is in between is the kernel's.
    let off_us = |frame: &CanFrame, sent: &Sent| {
        let taken = Stamp::from_ns(frame.taken.ns.try_into().expect("after zero"));
        taken.signed_ns_since(sent.after).max(sent.before.signed_ns_since(taken)).max(0) / 1000
    };
    let mut errors_us: Vec<i64> = frames.iter().zip(&sent).map(|(frame, sent)| off_us(frame, sent)).collect();
    errors_us.sort_unstable();
    let (median, worst) = (errors_us[errors_us.len() / 2], errors_us[errors_us.len() - 1]);
    let stamps = [rig.count("software_stamps"), rig.count("socket_stamps")];
    tell(
        &out,
        &format!("1 kHz: 4000 frames, software and socket stamps {stamps:?}, off by {median} µs, at most {worst} µs"),
    );
    assert!(worst <= 1000, "stamps are off by {worst} µs");
    assert_eq!((rig.health(0).state, rig.count("overflow"), rig.count("frames")), (HealthState::Ok, 0, 4000));
}

/// The speed sent at a moment: it grows by 9.1 m/s each second, so that a stamp off by 1 ms shows as 9 mm/s.
fn raw_speed(start: Stamp, at: Stamp) -> f64 {
    1000.0 + at.signed_ns_since(start) as f64 / 1e9 * RAW_PER_S
}

const RAW_PER_S: f64 = 3276.0;
/// m/s of one step of the signal.
const RAW_MPS: f64 = 0.01 / 3.6;

/// Sends VEHICLE_SPEED of the example every 10 ms for so long. Gives the moments at which the machine stood still while it
/// sent: what was sent there may not be true.
fn send_speeds(start: Stamp, seconds: u64) -> Vec<Stamp> {
    let mut stalls = Vec::new();
    let mut socket = CanSocket::open("vcan0").expect("it is there");
    let (mut due, mut number) = (start, 0_u8);
    while now() < start.after(Duration::from_secs(seconds)) {
        wait_for_next(&mut due, 10_000);
        let before = now();
        let [low, high] = (raw_speed(start, before).round() as u16).to_le_bytes();
        let mut data = [low, high, number % 16, 0];
        data[3] = ChecksumRule::Crc8SaeJ1850.compute(0x100, &[], &data, 3);
        socket.write_all(&frame(0x100, &data)).expect("it is sent");
        if now().signed_ns_since(before) > 2_000_000 {
            stalls.push(before);
        }
        number = number.wrapping_add(1);
    }
    stalls
}

fn step_wall_clock(by_s: i64) -> Stamp {
    let clock = rustix::time::ClockId::Realtime;
    let mut time = rustix::time::clock_gettime(clock);
    time.tv_sec += by_s;
    rustix::time::clock_settime(clock, time).expect("the machine's own clock");
    now()
}

#[test]
fn states_stay_aligned_while_the_wall_clock_steps() {
    let Some(out) = vm::inside("states_stay_aligned_while_the_wall_clock_steps", &MACHINE) else { return };
    let rig = Rig::new();
    let signals = builtin_signals("example").expect("it is built in");
    let decoder = CanDecoder::new(&signals, example_dbc(), "example.dbc").expect("it fits");
    let ids: Vec<u32> = decoder.ids(0).iter().map(|id| id.raw()).collect();
    assert_eq!((ids.as_slice(), decoder.ids(1).len()), (&[0x100, 0x101, 0x102][..], 0));
    let _bus = rig.start(&config("vcan0"), &ids);
    sleep_ms(50);
    let (intake, start) = (rig.intake(), now());
    let sender = std::thread::spawn(move || send_speeds(start, 12));
    let steps = std::thread::spawn(move || {
        [(4, 3600), (8, -3600)].map(|(at_s, by_s)| {
            let due = start.after(Duration::from_secs(at_s));
            std::thread::sleep(Duration::from_nanos(due.signed_ns_since(now()).max(0) as u64));
            step_wall_clock(by_s)
        })
    });
    let camera = std::thread::spawn(move || {
        for number in 0..120 {
            let due = start.after(Duration::from_millis(number * 100));
            std::thread::sleep(Duration::from_nanos(due.signed_ns_since(now()).max(0) as u64));
            let image = Image::packed(PixelFormat::Grey, Size::new(2, 2), vec![0; 4].into()).expect("4 bytes");
            intake.frame(now(), None, image);
        }
    });

    // Every frame waits for a sample after it, so that no value is held.
    let mut aligner = Aligner::new(align::Config { max_wait_ms: 90, ..align::Config::default() });
    let board = rig.board.clone();
    let mut source = Decoding::new(rig.inbox, decoder);
    let mut answered = Vec::new();
    while now() < start.after(Duration::from_millis(12_300)) {
        let event = source.next().expect("nothing fails").expect("it goes on");
        aligner.push(&event);
        answered.extend(std::iter::from_fn(|| aligner.pop()));
    }
    let stalls = sender.join().expect("it ends");
    camera.join().expect("it ends");
    let [up, down] = steps.join().expect("it ends");
    assert!(up < down, "both steps were made");

    let settled = |at: Stamp| {
        let disturbed = |stall: &Stamp| at.signed_ns_since(*stall).abs() < 15_000_000;
        let started = at > start.after(Duration::from_millis(500));
        started && !stalls.iter().any(disturbed)
    };
    let error_us = |at: Stamp, speed: f64| (speed / RAW_MPS - raw_speed(start, at)) / RAW_PER_S * 1e6;
    let judged: Vec<_> = answered.iter().filter(|aligned| settled(aligned.frame.stamp)).collect();
    let speeds = judged.iter().filter_map(|aligned| {
        let speed = aligned.state.get(Quantity::Speed)?.usable()?;
        Some(error_us(aligned.frame.stamp, speed).abs() as i64)
    });
    let mut errors: Vec<i64> = speeds.collect();
    errors.sort_unstable();
    let quality = aligner.clock_quality();
    let of_hundred = |part: usize| errors.get(errors.len() * part / 100).copied();
    let (median, most, worst) = (of_hundred(50), of_hundred(95), errors.last());
    tell(
        &out,
        &format!(
            "wall clock ±1 h: {} stalls, {} of {} frames judged, {} with a speed, off by {median:?} µs, 95 of 100 by {most:?} at most, all by {worst:?}; {quality:?}",
            stalls.len(),
            judged.len(),
            answered.len(),
            errors.len()
        ),
    );
    assert_eq!(quality.steps, 0, "the aligner has no clock to follow");
    // An emulated machine that is starved stands still now and then: what it sent then is late, not misplaced.
    assert!(judged.len() > 40 && errors.len() * 100 >= judged.len() * 95, "{} of {}", errors.len(), judged.len());
    assert!(most <= Some(1000), "off by {most:?} µs");
    assert_eq!(board.sources(now())[0].state, HealthState::Ok);
}
