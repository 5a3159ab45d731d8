//! `segfuse run` publishes masks through the faults of its camera and its bus, inside a small virtual machine: how many a
//! subscriber gets meanwhile, how soon health tells of the fault, and how soon all is well again.
#![cfg(all(feature = "camera", feature = "can", feature = "zenoh"))]

#[path = "support/buses.rs"]
mod buses;
#[path = "support/drives.rs"]
mod drives;
mod support;
#[path = "support/vivid.rs"]
mod vivid;
#[path = "support/vm.rs"]
mod vm;

use buses::{count, frame, ips, is_lost, send, send_fault};
use drives::{machine, options, plug, replays_to, speed_frame, trip_of};
use segfuse::data::{Event, SourceHealth, Stamp, Vitals};
use segfuse::source::Source;
use segfuse::subscribe::{Config, Subscriber};
use segfuse::trip::{Range, TripReader};
use socketcan::{CanSocket, Socket};
use std::fmt::Write;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use support::json;
use vivid::{PERIOD_MS, now, pause, set};
use vm::Machine;

/// Within which health is to tell of a fault, ms: the longest of the bounds of the sources, and the time to ask for it.
const SEEN_MS: f64 = 600.0;
/// The same of a recording, whose disk is looked at four times a second.
const RECORDING_SEEN_MS: f64 = 5000.0;
/// A recording tries again after a pause that has doubled with each try.
const RECORDING_WELL_MS: f64 = 10_000.0;
/// Within which masks are to come again, or the bus is to be back, once the fault is over.
const WELL_MS: f64 = 2000.0;
/// From the end of one fault to the next one.
const BETWEEN_MS: u64 = 1500;

/// What happens to whom: it begins, lasts for `ms`, and ends.
struct Fault {
    name: &'static str,
    of: &'static str,
    begin: fn(),
    ms: u64,
    end: fn(),
    sign: Sign,
    /// Of the masks that would have come otherwise, the share that is to come.
    share: f64,
}

/// What health shows of a fault.
#[derive(Clone, Copy)]
enum Sign {
    /// The source is lost.
    Lost,
    /// It has counted more under this name.
    Counted(&'static str),
    /// Nothing: it is none to what drives.
    Nothing,
}

const CAMERA: &str = "camera";
const BUS: &str = "vcan0";
const RECORDING: &str = "recording";

fn faults() -> Vec<Fault> {
    use Sign::{Counted, Lost, Nothing};
    let of_camera = |name, sign, begin, ms, end| Fault { name, of: CAMERA, begin, ms, end, sign, share: 0.0 };
    let of_bus = |name, sign, begin, ms, end| Fault { name, of: BUS, begin, ms, end, sign, share: 0.5 };
    let nothing: fn() = || ();
    let drop_none: fn() = || set("percentage_of_dropped_buffers", 0);
    let [drop_half, drop_all]: [fn(); 2] =
        [|| set("percentage_of_dropped_buffers", 50), || set("percentage_of_dropped_buffers", 100)];
    let [mute, speak]: [fn(); 2] = [|| MUTE.store(true, Ordering::Relaxed), || MUTE.store(false, Ordering::Relaxed)];
    let [ahead, back]: [fn(); 2] = [|| step_wall_clock(3600), || step_wall_clock(-3600)];
    let [down, up]: [fn(); 2] = [|| ips(&["link set vcan0 down"]), || ips(&["link set vcan0 up"])];
    let delete: fn() = || ips(&["link del vcan0"]);
    vec![
        of_camera(
            "a buffer with the error flag",
            Counted("damaged"),
            || set("inject_v4l2_buf_flag_error", 1),
            1000,
            nothing,
        ),
        of_camera("half of the frames dropped", Counted("lost"), drop_half, 2000, drop_none),
        of_camera("all frames dropped", Lost, drop_all, 1500, drop_none),
        of_camera(
            "fatal streaming error",
            Counted("reopened"),
            || set("inject_fatal_streaming_error", 1),
            1000,
            nothing,
        ),
        of_camera(
            "disconnected, and back once nobody holds a picture",
            Counted("reopened"),
            || set("disconnect", 1),
            1000,
            nothing,
        ),
        of_camera("unplugged, and back", Lost, || plug("unbind"), 2000, || plug("bind")),
        of_bus("interface down, and up", Lost, down, 1500, up),
        of_bus("interface deleted, and made again", Lost, delete, 1500, make_the_bus),
        of_bus("nobody sends", Lost, mute, 1500, speak),
        of_bus("bus-off", Counted("bus_off"), || send_fault("vcan0", 0x040, [0; 8]), 500, nothing),
        of_bus("the wall clock an hour ahead, and back", Nothing, ahead, 2000, back),
    ]
}

fn make_the_bus() {
    ips(&["link add vcan0 type vcan", "link set vcan0 up"]);
}

fn burst() {
    let frames: Vec<_> = (0..20_000_u32).map(|number| frame(0x102, &number.to_le_bytes())).collect();
    send("vcan0", &frames);
}

fn step_wall_clock(by_s: i64) {
    let clock = rustix::time::ClockId::Realtime;
    let mut time = rustix::time::clock_gettime(clock);
    time.tv_sec += by_s;
    rustix::time::clock_settime(clock, time).expect("the machine's own clock");
}

/// Whether the vehicle says nothing.
static MUTE: AtomicBool = AtomicBool::new(false);

/// Says how fast the vehicle is, a hundred times a second, whatever becomes of the interface.
fn tell_the_speed(stop: &AtomicBool) {
    let (mut socket, mut count): (Option<CanSocket>, u64) = (None, 0);
    while !stop.load(Ordering::Relaxed) {
        pause(10);
        if !MUTE.load(Ordering::Relaxed) {
            socket = socket.or_else(|| CanSocket::open("vcan0").ok());
            let sent = socket.as_ref().is_some_and(|socket| socket.write_frame(&speed_frame(10.0, count)).is_ok());
            socket = socket.filter(|_| sent);
            count += 1;
        }
    }
}

/// What a subscriber has seen so far.
#[derive(Default)]
struct Seen {
    /// When the picture of each mask was taken, and when the mask came.
    masks: Vec<(Stamp, Stamp)>,
    /// When health was asked for, and what it said.
    health: Vec<(Stamp, Vitals)>,
}

impl Seen {
    /// Milliseconds from `since` until health said of a source what `is` looks for.
    fn told_after_ms(&self, since: Stamp, of: &str, is: impl Fn(&SourceHealth) -> bool) -> Option<f64> {
        let after = self.health.iter().filter(|(at, _)| *at > since);
        let mut told = after.filter_map(|(at, vitals)| Some((at, vitals.sources.iter().find(|one| one.name == of)?)));
        told.find(|(_, source)| is(source)).map(|(at, _)| at.signed_ns_since(since) as f64 / 1e6)
    }

    /// What a source has counted under a name, as was said last.
    fn counted(&self, of: &str, name: &str) -> u64 {
        let source = self.health.last().and_then(|(_, vitals)| vitals.sources.iter().find(|one| one.name == of));
        source.map_or(0, |source| count(source, name))
    }

    /// Masks that came within a time, and the longest that none came in it, ms.
    fn masks_between(&self, from: Stamp, to: Stamp) -> (usize, f64) {
        let came: Vec<Stamp> =
            self.masks.iter().map(|(_, came)| *came).filter(|came| (from..to).contains(came)).collect();
        let ends: Vec<Stamp> = [from].into_iter().chain(came.iter().copied()).chain([to]).collect();
        let longest = ends.windows(2).map(|pair| pair[1].signed_ns_since(pair[0])).max().unwrap_or(0);
        (came.len(), longest as f64 / 1e6)
    }

    /// Milliseconds from `since` until a mask came whose picture is younger.
    fn mask_after_ms(&self, since: Stamp) -> Option<f64> {
        let (_, came) = self.masks.iter().find(|(taken, _)| *taken > since)?;
        Some(came.signed_ns_since(since) as f64 / 1e6)
    }
}

fn subscriber() -> Subscriber {
    let config = Config { connect: vec!["tcp/127.0.0.1:7447".to_owned()], shared_memory: false, ..Config::default() };
    let patience = now().after(Duration::from_secs(20));
    Subscriber::open_when_there(&config, now, || now() < patience).expect("the drive publishes")
}

fn take_masks(seen: &Mutex<Seen>, stop: &AtomicBool) {
    let mut subscriber = subscriber();
    while !stop.load(Ordering::Relaxed) {
        if let Ok(mask) = subscriber.recv_timeout(Duration::from_millis(100)) {
            seen.lock().expect("no panic").masks.push((mask.header.stamp, mask.received));
        }
    }
}

fn ask_for_health(seen: &Mutex<Seen>, stop: &AtomicBool) {
    let subscriber = subscriber();
    while !stop.load(Ordering::Relaxed) {
        pause(50);
        let asked = now();
        if let Ok(health) = subscriber.health(Duration::from_millis(500)) {
            seen.lock().expect("no panic").health.push((asked, health.vitals.expect("a live run tells of itself")));
        }
    }
}

/// Waits until `found` finds something, for `most_ms` at most.
fn wait_for<T>(most_ms: f64, found: impl Fn() -> Option<T>) -> Option<T> {
    let began = now();
    loop {
        if let Some(found) = found() {
            return Some(found);
        }
        if now().signed_ns_since(began) as f64 / 1e6 > most_ms {
            return None;
        }
        pause(10);
    }
}

/// Lets one fault happen to a drive; gives its line of the table.
fn befall(fault: &Fault, seen: &Mutex<Seen>) -> String {
    let locked = || seen.lock().expect("no panic");
    let quiet = now();
    pause(BETWEEN_MS);
    let (seen_ms, back_within_ms) =
        if fault.of == RECORDING { (RECORDING_SEEN_MS, RECORDING_WELL_MS) } else { (SEEN_MS, WELL_MS) };
    let before = if let Sign::Counted(name) = fault.sign { locked().counted(fault.of, name) } else { 0 };
    let began = now();
    (fault.begin)();
    let told_ms = wait_for(if matches!(fault.sign, Sign::Nothing) { 0.0 } else { seen_ms }, || match fault.sign {
        Sign::Lost => locked().told_after_ms(began, fault.of, is_lost),
        Sign::Counted(name) => locked().told_after_ms(began, fault.of, |source| count(source, name) > before),
        Sign::Nothing => None,
    });
    let ends = began.after(Duration::from_millis(fault.ms));
    pause(ends.signed_ns_since(now()).max(0) as u64 / 1_000_000);
    let ended = now();
    (fault.end)();
    let mask_ms = wait_for(2.0 * WELL_MS, || locked().mask_after_ms(ended));
    let back_ms = wait_for(back_within_ms, || locked().told_after_ms(ended, fault.of, |source| !is_lost(source)));
    let (masks, longest_ms) = locked().masks_between(began, ended);
    let lasted_ms = ended.signed_ns_since(began) as f64 / 1e6;
    let shown = |ms: Option<f64>| ms.map_or("-".to_owned(), |ms| format!("{ms:.0}"));
    let line = format!(
        "| {} | {masks} of {:.0} | {longest_ms:.0} | {} | {} | {} |",
        fault.name,
        lasted_ms / PERIOD_MS,
        shown(told_ms),
        shown(mask_ms),
        shown(back_ms)
    );
    println!("{line}");
    assert!(mask_ms.is_some_and(|ms| ms < WELL_MS), "{line}: no masks again");
    assert!(back_ms.is_some_and(|ms| ms < back_within_ms), "{line}: not back");
    assert!(matches!(fault.sign, Sign::Nothing) || told_ms.is_some_and(|ms| ms < seen_ms), "{line}: not seen");
    if fault.share > 0.0 {
        // An emulated machine is slow, and stands still now and then; the bus is no reason to be slower.
        let (before, _) = locked().masks_between(quiet, began);
        let usual = before as f64 / BETWEEN_MS as f64 * lasted_ms;
        assert!(
            masks as f64 > fault.share * usual && longest_ms < 1500.0,
            "{line}: masks stayed away, {before} came before"
        );
    }
    line
}

/// A drive, a vehicle that says how fast it is, and a subscriber.
struct Driven {
    child: Child,
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Driven {
    /// Starts it, and waits until masks come. `change` is made to the configuration.
    fn start(out: &Path, change: impl Fn(String) -> String) -> Self {
        // An emulated machine on a busy host is slow: what it publishes is judged, not how late.
        let config = drives::CONFIG
            .replace("interface = \"vcan0\"", "interface = \"vcan0\"\nsilence_ms = 400")
            .replace("640x360", "320x180")
            .replace("[zenoh.session]", "[zenoh]\nmax_age_ms = 10000\n[zenoh.session]");
        let summary = out.join("run.json");
        let arguments = ["--summary", summary.to_str().expect("UTF-8")];
        let child = drives::start_with(&change(config), "run", &arguments);
        let (seen, stop) = (Arc::new(Mutex::new(Seen::default())), Arc::new(AtomicBool::new(false)));
        let beside = |work: fn(&Mutex<Seen>, &AtomicBool)| {
            let (seen, stop) = (Arc::clone(&seen), Arc::clone(&stop));
            std::thread::spawn(move || work(&seen, &stop))
        };
        let threads = vec![beside(|_, stop| tell_the_speed(stop)), beside(take_masks), beside(ask_for_health)];
        let (driven, began) = (Self { child, seen, stop, threads }, now());
        let begins = wait_for(30_000.0, || {
            let seen = driven.seen.lock().expect("no panic");
            let there = |of| seen.told_after_ms(began, of, |source| !is_lost(source));
            there(CAMERA).and(there(BUS)).and(seen.masks.last().map(|_| ()))
        });
        let so_far = || driven.seen.lock().map(|seen| (seen.masks.len(), seen.health.last().cloned()));
        assert!(begins.is_some(), "the drive does not begin: {:?}", so_far());
        driven
    }

    /// Lets the faults happen one after the other; gives their table.
    fn befall(&self, faults: &[Fault]) -> String {
        let mut table = String::from(
            "| fault | masks published meanwhile, of frames | longest without one, ms | told after, ms | mask again after, \
             ms | source back after, ms |\n|---|---|---|---|---|---|\n",
        );
        for fault in faults {
            writeln!(table, "{}", befall(fault, &self.seen)).expect("text");
        }
        table
    }

    /// Ends it as Ctrl-C does.
    fn end(mut self) {
        let kill = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().expect("busybox has it");
        assert!(kill.success(), "the drive runs no more");
        assert!(self.child.wait().expect("it ends").success(), "the drive failed");
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("it ends");
        }
    }
}

#[test]
fn a_drive_publishes_through_the_faults_of_its_camera_and_its_bus() {
    const NAME: &str = "a_drive_publishes_through_the_faults_of_its_camera_and_its_bus";
    let owned = machine(200);
    let Some(out) = vm::inside(NAME, &Machine { options: &options(&owned), seconds: 200 }) else {
        return check_the_drive(&vm::outputs_of(NAME));
    };
    let driven = Driven::start(&out, |config| config);
    std::fs::write(out.join("faults.md"), driven.befall(&faults())).expect("room");
    driven.end();
}

/// What a drive has told, with every frame accounted for. `None` where there is no machine to drive in.
fn accounted(outputs: &Path) -> Option<serde_json::Value> {
    if !vm::is_possible() {
        return None;
    }
    println!("{}", std::fs::read_to_string(outputs.join("faults.md")).expect("it was written"));
    let told = json(&outputs.join("run.json"));
    let [frames, published, dropped] = ["frames", "published", "dropped"].map(|key| told[key].as_u64().expect(key));
    assert_eq!(frames, published + dropped, "{told:#}");
    Some(told)
}

/// The recording of the drive gives the same masks again.
fn check_the_drive(outputs: &Path) {
    if let Some(told) = accounted(outputs) {
        replays_to(&trip_of(outputs), &told);
    }
}

/// A small disk of its own.
const DISK: &str = "/disk";

fn fill_the_disk() {
    let junk = std::fs::File::create(format!("{DISK}/junk")).expect("it is there");
    let mut taken = 0_u64;
    for bytes in [16 << 20, 1 << 16, 4096] {
        while rustix::fs::fallocate(&junk, rustix::fs::FallocateFlags::empty(), taken, bytes).is_ok() {
            taken += bytes;
        }
    }
}

#[test]
fn a_drive_publishes_while_its_disk_is_full_and_records_again_when_it_is_not() {
    const NAME: &str = "a_drive_publishes_while_its_disk_is_full_and_records_again_when_it_is_not";
    let owned = machine(100);
    let Some(out) = vm::inside(NAME, &Machine { options: &options(&owned), seconds: 100 }) else {
        return check_the_full_disk(&vm::outputs_of(NAME));
    };
    std::fs::create_dir_all(DISK).expect("room");
    let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=256m", "none", DISK]).status();
    assert!(mount.expect("busybox has it").success(), "no disk");
    // One file, so that there is no older recording to make room with.
    let small = format!("folder = \"{DISK}\"\nkeep_free_bytes = 1048576");
    let driven = Driven::start(&out, |config| config.replace("folder = \"/out/trips\"", &small));
    let full = Fault {
        name: "the disk is full",
        of: RECORDING,
        begin: fill_the_disk,
        ms: 6000,
        end: || std::fs::remove_file(format!("{DISK}/junk")).expect("it is there"),
        sign: Sign::Lost,
        share: 0.3,
    };
    // The emulated machine's two processors are busy with nothing else for seconds, and the disk gets what it can.
    let crowd = Fault {
        name: "20,000 frames at once",
        of: BUS,
        begin: burst,
        ms: 1000,
        end: || (),
        sign: Sign::Nothing,
        share: 0.1,
    };
    let mut table = driven.befall(&[full]);
    let cleared = now();
    writeln!(table, "{}", befall(&crowd, &driven.seen)).expect("text");
    std::fs::write(out.join("faults.md"), table).expect("room");
    pause(4000);
    driven.end();
    let mut after = 0;
    for entry in std::fs::read_dir(DISK).expect("it is there").flatten() {
        if entry.path().extension().is_some_and(|ending| ending == "mcap") {
            let mut reader = TripReader::open(&entry.path(), Range::default()).expect("whole, or whole up to its end");
            while let Some(event) = reader.next().expect("nothing is damaged") {
                after += u32::from(matches!(event, Event::Frame(frame) if frame.stamp > cleared));
            }
        }
    }
    println!("{after} frames recorded after the disk had room again");
    assert!(after > 5, "only {after} frames were recorded after the disk had room again");
}

fn check_the_full_disk(outputs: &Path) {
    if let Some(told) = accounted(outputs) {
        println!("recorded: {}", told["rotation"]);
        assert!(told["rotation"]["dropped"]["/camera/image"].as_u64() > Some(0), "it is told: {told:#}");
    }
}
