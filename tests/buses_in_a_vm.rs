//! Live buses on a real kernel's SocketCAN, inside a small virtual machine: nothing is lost unseen, whatever befalls them.
//!
//! The times until a fault is seen and until the bus is well again stand in docs/faults.md.

#![cfg(feature = "can")]

#[path = "support/buses.rs"]
mod buses;
#[path = "support/vm.rs"]
mod vm;

use buses::*;
use segfuse::data::{CanId, Event, HealthState};
use segfuse::source::Source;
use segfuse::source::can::bus::{BusConfig, HardwareStamps, discover};
use socketcan::{CanInterface, CanSocket, Socket};
use std::io::Write as _;
use std::sync::atomic::Ordering;
use vm::Machine;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const ONE: &[&str] = &["--vivid", "none"];
const TWO: &[&str] = &["--vivid", "none", "--vcan", "vcan0 vcan1"];
/// Two real controllers on one wire.
const CONTROLLERS: &[&str] = &[
    "--vivid",
    "none",
    "--vcan",
    "",
    "--module",
    "kvaser_pci",
    "--qemu-arg",
    "-object",
    "--qemu-arg",
    "can-bus,id=cb0",
    "--qemu-arg",
    "-device",
    "--qemu-arg",
    "kvaser_pci,canbus=cb0",
    "--qemu-arg",
    "-device",
    "--qemu-arg",
    "kvaser_pci,canbus=cb0",
];

/// The interface is looked at every 100 ms; the rest is what an emulated machine takes.
const SEEN_MS: f64 = 250.0;
/// A look, a socket, and a frame.
const WELL_MS: f64 = 350.0;
/// After which a bus is silent here.
const SILENCE_MS: u32 = 400;

fn machine(options: &'static [&'static str]) -> Machine<'static> {
    Machine { options, seconds: 100 }
}

#[test]
fn frames_allocate_nothing_once_the_bus_is_warm() {
    let Some(_) = vm::inside("frames_allocate_nothing_once_the_bus_is_warm", &machine(ONE)) else { return };
    let mut rig = Rig::new();
    let _bus = rig.start(&config("vcan0"), &[0x100]);
    let mut socket = CanSocket::open("vcan0").expect("it is there");
    let mut exchange = |frames: u64| {
        for number in 0..frames {
            socket.write_all(&frame(0x100, &number.to_le_bytes())).expect("it is sent");
            let fault = frame(FAULT | 0x20f, &[0, 0x0c, 0, 0, 0, 0, 1, 1]);
            socket.write_all(&fault).expect("it is sent");
            while !matches!(rig.inbox.next(), Ok(Some(Event::Can(_)))) {}
        }
    };
    exchange(50);
    let _profiler = dhat::Profiler::builder().testing().build();
    let before = dhat::HeapStats::get().total_blocks;
    exchange(500);
    let allocated = dhat::HeapStats::get().total_blocks - before;
    assert_eq!(allocated, 0, "blocks for 500 frames and 500 error frames");
    drop(vec![0_u8; 10]);
    assert!(dhat::HeapStats::get().total_blocks > before, "allocations are counted, else this test would show nothing");
}

#[test]
fn only_the_ids_asked_for_pass() {
    let Some(_) = vm::inside("only_the_ids_asked_for_pass", &machine(ONE)) else { return };
    let sent = [0x123, EXTENDED | 0x123, EXTENDED | 0x1_0123, 0x124, REMOTE | 0x123, EXTENDED | REMOTE | 0x123, 0x7ff];
    let frames = sent.map(|id| frame(id, &[1, 2]));
    let passed = |asked: &[u32], all: bool| {
        let mut rig = Rig::new();
        let _bus = rig.start(&BusConfig { all, ..config("vcan0") }, asked);
        send("vcan0", &frames);
        let ids: Vec<_> = rig.frames_for(200).iter().map(|frame| frame.id).collect();
        (ids, rig.count("remote"))
    };
    let (standard, extended) = (CanId::Standard(0x123), CanId::Extended(0x123));
    assert_eq!(passed(&[0x123], false), (vec![standard], 0));
    assert_eq!(passed(&[EXTENDED | 0x123], false), (vec![extended], 0));
    assert_eq!(passed(&[0x123, EXTENDED | 0x123], false), (vec![standard, extended], 0));
    let everything =
        vec![standard, extended, CanId::Extended(0x1_0123), CanId::Standard(0x124), CanId::Standard(0x7ff)];
    assert_eq!(passed(&[], true), (everything, 2));
}

#[test]
fn can_fd_frames_come_whole_where_they_are_asked_for() {
    let Some(_) = vm::inside("can_fd_frames_come_whole_where_they_are_asked_for", &machine(ONE)) else { return };
    let data: Vec<u8> = (0..64).collect();
    let received = |fd: bool| {
        let mut rig = Rig::new();
        let _bus = rig.start(&BusConfig { fd, ..config("vcan0") }, &[0x100, EXTENDED | 0x101]);
        send_fd("vcan0", &[fd_frame(0x100, &data), fd_frame(EXTENDED | 0x101, &data[..12]), fd_frame(0x102, &data)]);
        send("vcan0", &[frame(0x100, &data[..3])]);
        rig.frames_for(200).iter().map(|frame| (frame.id.raw(), frame.payload().to_vec())).collect::<Vec<_>>()
    };
    let plain = (0x100, data[..3].to_vec());
    assert_eq!(received(true), [(0x100, data.clone()), (0x101, data[..12].to_vec()), plain.clone()]);
    assert_eq!(received(false), [plain]);
    ip("link set vcan0 down");
    ip("link set vcan0 mtu 16");
    ip("link set vcan0 up");
    let error = Rig::new().try_start(&BusConfig { fd: true, ..config("vcan0") }, &[1]).map(|_| ()).expect_err("no FD");
    assert!(error.to_string().contains("carries no CAN FD"), "{error}");
}

#[test]
fn a_start_that_cannot_be_says_why() {
    let Some(_) = vm::inside("a_start_that_cannot_be_says_why", &machine(TWO)) else { return };
    let refusal = |config: &BusConfig| {
        Rig::new().try_start(config, &[0x100]).map(|_| ()).expect_err("it cannot start").to_string()
    };
    let absent = refusal(&config("can7"));
    assert!(absent.contains("no CAN interface 'can7'; there are: vcan0, vcan1"), "{absent}");
    assert!(refusal(&config("lo")).contains("there are: vcan0, vcan1"));
    let hardware = BusConfig { hardware_stamps: HardwareStamps::Required, ..config("vcan0") };
    assert!(refusal(&hardware).contains("makes no hardware stamps"));

    let mut rig = Rig::new();
    let bus = rig.start(&BusConfig { wait: true, ..config("later0") }, &[0x100]);
    rig.until("waiting", |health| is_lost_by(health, "there is no interface 'later0'"));
    let interface = CanInterface::create_vcan("later0", None).expect("it is made");
    interface.bring_up().expect("it is brought up");
    let _feed = Feed::start("later0", 0x100);
    rig.until("the interface came", |health| !is_lost(health));
    let stopping = now();
    drop(bus);
    let stopped_ms = now().signed_ns_since(stopping) / 1_000_000;
    assert!(stopped_ms <= 200, "stopped after {stopped_ms} ms");
}

/// What a fault is, how it is made and ended, and what health says of it.
struct Fault {
    what: &'static str,
    make: fn(),
    end: fn(),
    reason: &'static str,
    seen_ms: f64,
}

const FAULTS: [Fault; 5] = [
    Fault {
        what: "interface down, up again",
        make: || interface("vcan0").bring_down().expect("down"),
        end: || interface("vcan0").bring_up().expect("up"),
        reason: "is down",
        seen_ms: SEEN_MS,
    },
    Fault {
        what: "interface deleted, made again",
        make: || interface("vcan0").delete().expect("deleted"),
        end: || CanInterface::create_vcan("vcan0", None).expect("made").bring_up().expect("up"),
        reason: "there is no interface 'vcan0'",
        seen_ms: SEEN_MS,
    },
    Fault {
        what: "interface renamed, and back",
        make: || ips(&["link set vcan0 down", "link set vcan0 name away0", "link set away0 up"]),
        end: || ips(&["link set away0 down", "link set away0 name vcan0", "link set vcan0 up"]),
        reason: "there is no interface 'vcan0'",
        seen_ms: SEEN_MS + 100.0,
    },
    Fault {
        what: "its name given to another interface",
        make: || ips(&["link set vcan0 down", "link set vcan0 name away0"]),
        end: || ips(&["link set vcan1 down", "link set vcan1 name vcan0", "link set vcan0 up"]),
        reason: "there is no interface 'vcan0'",
        seen_ms: SEEN_MS + 100.0,
    },
    Fault {
        what: "nobody sends any more",
        make: || MUTE.store(true, Ordering::Relaxed),
        end: || MUTE.store(false, Ordering::Relaxed),
        reason: "no frame for 400 ms",
        seen_ms: SILENCE_MS as f64 + 100.0,
    },
];

#[test]
fn an_interface_that_goes_is_seen_and_one_that_comes_back_is_read_again() {
    let name = "an_interface_that_goes_is_seen_and_one_that_comes_back_is_read_again";
    let Some(out) = vm::inside(name, &machine(TWO)) else { return };
    let mut rig = Rig::new();
    let _bus = rig.start(&BusConfig { silence_ms: SILENCE_MS, ..config("vcan0") }, &[0x100]);
    let feed = Feed::start("vcan0", 0x100);
    rig.until("frames come", |health| !is_lost(health));
    for fault in &FAULTS {
        rig.frames_for(300);
        (fault.make)();
        let (seen_ms, meanwhile) = rig.until(fault.what, |health| is_lost_by(health, fault.reason));
        // What waited in the socket and in the inbox still comes.
        rig.frames_for(50);
        let while_lost = rig.frames_for(500).len();
        assert!(is_lost_by(&rig.health(0), fault.reason), "{}: {:?}", fault.what, rig.health(0));
        (fault.end)();
        let (well_ms, _) = rig.until(fault.what, |health| !is_lost(health));
        let frames = rig.frames_for(200).len();
        tell(
            &out,
            &format!(
                "{}: seen after {seen_ms:.0} ms, {meanwhile} frames meanwhile, well after {well_ms:.0} ms",
                fault.what
            ),
        );
        assert!(seen_ms <= fault.seen_ms && well_ms <= WELL_MS, "{}: {seen_ms} ms, {well_ms} ms", fault.what);
        assert!(while_lost == 0 && frames > 20, "{}: {while_lost} while lost, {frames} after", fault.what);
    }
    let (sent, came) = (feed.sent(), rig.count("frames"));
    tell(&out, &format!("of {sent} frames sent {came} came; {:?}", rig.health(0).counts));
    assert!(came <= sent);
    sleep_ms(100);
}

/// A fault that a driver tells, and the name that it is counted under.
const TOLD: [(u32, [u8; 8], &str); 9] = [
    (0x004, [0, 0x0c, 0, 0, 0, 0, 0, 0], "error_warning"),
    (0x204, [0, 0x30, 0, 0, 0, 0, 130, 0], "error_passive"),
    (0x004, [0, 0x01, 0, 0, 0, 0, 0, 0], "controller_overflow"),
    (0x002, [5, 0, 0, 0, 0, 0, 0, 0], "arbitration_lost"),
    (0x020, [0; 8], "ack_missing"),
    (0x088, [0, 0, 4, 8, 0, 0, 0, 0], "protocol_violation"),
    (0x080, [0; 8], "bus_error"),
    (0x010, [0, 0, 0, 0, 4, 0, 0, 0], "transceiver_fault"),
    (0x001, [0; 8], "transmit_timeout"),
];

#[test]
fn error_frames_tell_how_the_bus_is_and_are_no_data() {
    let Some(out) = vm::inside("error_frames_tell_how_the_bus_is_and_are_no_data", &machine(ONE)) else { return };
    let mut rig = Rig::new();
    let _bus = rig.start(&config("vcan0"), &[0x100]);
    let feed = Feed::start("vcan0", 0x100);
    rig.until("frames come", |health| health.state == HealthState::Ok);
    for (classes, data, name) in TOLD {
        let before = rig.count(name);
        send_fault("vcan0", classes, data);
        let (seen_ms, _) = rig.until(name, |health| count(health, name) == before + 1);
        tell(&out, &format!("{name}: seen after {seen_ms:.1} ms, {:?}", rig.health(0).reason));
        assert!(seen_ms <= 50.0 && !is_lost(&rig.health(0)), "{name}: {seen_ms} ms");
    }
    assert_eq!(rig.health(0).state, HealthState::Degraded);
    drop(feed);
    rig.frames_for(20);
    send_fault("vcan0", 0x040, [0; 8]);
    let (seen_ms, _) = rig.until("bus-off", |health| is_lost_by(health, "bus-off"));
    sleep_ms(100);
    send_fault("vcan0", 0x100, [0; 8]);
    rig.until("restarted", |health| count(health, "restarted") == 1);
    assert!(is_lost(&rig.health(0)), "no frame has come yet");
    let _feed = Feed::start("vcan0", 0x100);
    let (well_ms, _) = rig.until("a frame", |health| health.state == HealthState::Degraded);
    tell(&out, &format!("bus-off: seen after {seen_ms:.1} ms, well {well_ms:.1} ms after frames come again"));
    assert!(seen_ms <= 50.0 && well_ms <= 100.0);
    let foreign = rig.frames_for(100).iter().filter(|frame| frame.id != CanId::Standard(0x100)).count();
    assert_eq!((foreign, rig.count("error_frames")), (0, TOLD.len() as u64 + 2));
}

#[test]
fn of_a_burst_every_frame_is_accounted_for() {
    let Some(out) = vm::inside("of_a_burst_every_frame_is_accounted_for", &machine(ONE)) else { return };
    for buffer_kib in [4096, 64] {
        let mut rig = Rig::new();
        let _bus = rig.start(&BusConfig { buffer_kib, ..config("vcan0") }, &[0x100]);
        sleep_ms(50);
        let start = now();
        let sender = std::thread::spawn(|| send("vcan0", &vec![frame(0x100, &[1; 8]); 20_000]));
        let mut taken = 0;
        while !sender.is_finished() {
            taken += rig.frames_for(20).len() as u64;
        }
        let seconds = now().signed_ns_since(start) as f64 / 1e9;
        taken += rig.frames_for(400).len() as u64;
        let (received, overflow) = (rig.count("frames"), rig.count("overflow"));
        let inbox = rig.inbox.counts();
        tell(
            &out,
            &format!(
                "burst at {:.0} frames/s, {buffer_kib} KiB: {received} received, {overflow} overflow, {inbox:?}",
                20_000.0 / seconds
            ),
        );
        assert_eq!(received + overflow, 20_000);
        assert_eq!((taken + inbox.can_overflow, inbox.can_frames), (received, received));
    }
}

#[test]
fn two_buses_meet_in_one_stream() {
    let Some(_) = vm::inside("two_buses_meet_in_one_stream", &machine(TWO)) else { return };
    let mut rig = Rig::new();
    let _first = rig.start(&config("vcan0"), &[0x100]);
    let _second = rig.start(&BusConfig { bus: 1, ..config("vcan1") }, &[0x100]);
    let (first, second) = (Feed::start("vcan0", 0x100), Feed::start("vcan1", 0x100));
    let mut frames = rig.frames_for(1500);
    let sent = [first, second].map(Feed::end);
    frames.extend(rig.frames_for(200));
    let of = |bus: u8| frames.iter().filter(|frame| frame.bus == bus).count() as u64;
    assert_eq!([of(0), of(1)], sent);
    assert!(frames.is_sorted_by_key(|frame| frame.arrival));
    assert_eq!([0, 1].map(|bus| count(&rig.health(bus), "frames")), sent);
}

#[test]
fn a_controller_is_found_with_its_state_and_its_faults_are_told() {
    let name = "a_controller_is_found_with_its_state_and_its_faults_are_told";
    let Some(out) = vm::inside(name, &machine(CONTROLLERS)) else { return };
    for name in ["can0", "can1"] {
        interface(name).set_bitrate(500_000, None).expect("a bit rate");
    }
    let stopped = discover();
    let [can0, can1] = &stopped[..] else { panic!("two interfaces: {stopped:?}") };
    assert_eq!((can0.name.as_str(), can1.name.as_str()), ("can0", "can1"));
    assert_eq!((can0.driver.as_deref(), can0.is_up, can0.state), (Some("kvaser_pci"), false, Some("stopped")));
    ips(&["link set can0 up", "link set can1 up"]);
    let found = discover().swap_remove(0);
    tell(&out, &format!("{found:?}"));
    assert_eq!((found.is_up, found.state, found.bit_rate_hz), (true, Some("error-active"), Some(500_000)));
    assert_eq!((found.error_counters, found.fd, found.unknown), (Some((0, 0)), false, None));

    let mut rig = Rig::new();
    let _bus = rig.start(&config("can0"), &[0x100, EXTENDED | 0x100]);
    let _other = rig.start(&BusConfig { bus: 1, ..config("can1") }, &[0x200]);
    for number in 0..100 {
        send("can1", &[frame(0x100, &[number; 8]), frame(EXTENDED | 0x100, &[number]), frame(0x101, &[number])]);
        send("can0", &[frame(0x200, &[number; 3])]);
        sleep_ms(2);
    }
    let frames = rig.frames_for(300);
    let of = |id: CanId, bus: u8| frames.iter().filter(|frame| frame.id == id && frame.bus == bus).count();
    let came = [of(CanId::Standard(0x100), 0), of(CanId::Extended(0x100), 0), of(CanId::Standard(0x200), 1)];
    tell(&out, &format!("frames each way: {came:?} of 100, {} in all", frames.len()));
    assert_eq!((came, frames.len()), ([100; 3], 300));

    let mut flood = CanSocket::open("can1").expect("it is there");
    let sent = (0..5000).filter(|_| flood.write_all(&frame(0x100, &[7; 8])).is_ok()).count();
    rig.frames_for(500);
    let (received, overflow) = (rig.count("frames"), rig.count("overflow"));
    let driver = rig.count("controller_overflow");
    tell(
        &out,
        &format!("flood: {sent} taken to send, {received} received, {overflow} overflow; {:?}", rig.health(0).counts),
    );
    assert!(driver > 0, "the controller's buffer overflowed: {:?}", rig.health(0).counts);

    interface("can0").bring_down().expect("down");
    rig.until("down", |health| is_lost_by(health, "is down"));
    interface("can0").bring_up().expect("up");
    let feed = Feed::start("can1", 0x100);
    rig.until("up", |health| !is_lost(health));
    drop(feed);
}
