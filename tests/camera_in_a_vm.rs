//! A real kernel's camera interface, the driver vivid, inside a virtual machine: frames, faults, and coming back.
//!
//! vivid injects its faults by controls of its own, which are set here by the same calls that the camera is driven by.

#![cfg(feature = "camera")]

#[allow(unreachable_pub, reason = "a module of every test that includes it, not of a library")]
#[path = "support/vm.rs"]
mod vm;

use segfuse::clock::{MeasuringClock, MonotonicClock};
use segfuse::data::{Event, HealthBoard, HealthState, Image, PixelFormat, Size, Stamp};
use segfuse::source::camera::{Camera, CameraError, Config, discover};
use segfuse::source::inbox::Inbox;
use segfuse::source::{Prepare, Source};
use segfuse::sys::v4l2::{Buffers, Device, Planes};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;
use vm::Machine;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const RATE_HZ: f64 = 30.0;
const PERIOD_MS: f64 = 1000.0 / RATE_HZ;
/// Within which a fault is to be seen, ms: the stall that is configured, and one frame's time because the driver's thread
/// shares two emulated processors with everything here.
const SEEN_MS: f64 = 100.0 + PERIOD_MS;
/// Within which frames are to come again once the fault is over: well within 2 s.
const WELL_MS: f64 = 1500.0;
const UNBIND: &str = "/sys/bus/platform/drivers/vivid/unbind";
const BIND: &str = "/sys/bus/platform/drivers/vivid/bind";

fn now() -> Stamp {
    MonotonicClock.now()
}

fn ms_since(earlier: Stamp) -> f64 {
    now().signed_ns_since(earlier) as f64 / 1e6
}

fn pause(ms: u64) {
    sleep(Duration::from_millis(ms));
}

/// vivid as it streams 30 frames a second without gaps, each stamped with the start of its exposure.
fn config() -> Config {
    Config {
        format: Some(PixelFormat::Yuyv),
        size: Some(Size::new(640, 360)),
        rate_hz: Some(RATE_HZ),
        controls: [("timestamp_source".to_owned(), 1)].into(),
        ..Config::default()
    }
}

/// What a consumer saw.
#[derive(Default)]
struct Seen {
    /// Each frame's stamp, when it was taken out of the inbox, and how many were told as lost before it.
    frames: Vec<(Stamp, Stamp, u32)>,
    /// When, and how many.
    lost: Vec<(Stamp, u32)>,
    lost_before: u32,
    /// Pictures that are held on to.
    held: Vec<Image>,
    hold: usize,
}

/// A camera, and a consumer that works on each frame for a while.
struct Drive {
    camera: Option<Camera>,
    consumer: Option<JoinHandle<()>>,
    seen: Arc<Mutex<Seen>>,
    board: HealthBoard,
    stop: Arc<AtomicBool>,
}

impl Drive {
    fn start(config: &Config) -> Self {
        Self::with(config, 0, 0).expect("vivid is there")
    }

    /// A capture thread that is held up for `ms` before it begins.
    fn held_up(config: &Config, ms: u64) -> Self {
        Self::prepared(config, (0, 0), Arc::new(move |_| pause(ms))).expect("vivid is there")
    }

    /// A consumer that takes `work_ms` a frame and holds on to the last `hold` of them.
    fn with(config: &Config, work_ms: u64, hold: usize) -> Result<Self, CameraError> {
        Self::prepared(config, (work_ms, hold), Arc::new(|_| ()))
    }

    fn prepared(config: &Config, (work_ms, hold): (u64, usize), prepare: Prepare) -> Result<Self, CameraError> {
        let (mut inbox, intake) = Inbox::new(Arc::new(now));
        let board = HealthBoard::new();
        let health = board.enter("camera", true, now());
        let camera = Camera::start(config, intake, health, prepare)?;
        let seen =
            Seen { frames: Vec::with_capacity(10_000), lost: Vec::with_capacity(10_000), hold, ..Seen::default() };
        let seen = Arc::new(Mutex::new(seen));
        let stop = Arc::new(AtomicBool::new(false));
        let (told, stopped) = (Arc::clone(&seen), Arc::clone(&stop));
        let consumer = std::thread::spawn(move || {
            while let Some(event) = inbox.next().expect("nothing fails for good") {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                let is_frame = matches!(event, Event::Frame(_));
                told.lock().expect("no panic").see(event);
                if is_frame && work_ms > 0 {
                    pause(work_ms);
                }
            }
        });
        Ok(Self { camera: Some(camera), consumer: Some(consumer), seen, board, stop })
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("no panic")
    }

    fn state(&self) -> HealthState {
        self.board.state(now())
    }

    fn reason(&self) -> String {
        self.board.sources(now())[0].reason.clone().unwrap_or_default()
    }

    fn counted(&self, name: &str) -> u64 {
        let counts = self.board.sources(now()).remove(0).counts;
        counts.iter().find(|(known, _)| known == name).map_or(0, |&(_, count)| count)
    }

    /// Frames and losses whose moment lies in a time.
    fn between(&self, from: Stamp, to: Stamp) -> (usize, u32) {
        let seen = self.seen();
        let frames = seen.frames.iter().filter(|(_, at, _)| (from..to).contains(at)).count();
        (frames, seen.lost.iter().filter(|(at, _)| (from..to).contains(at)).map(|(_, lost)| lost).sum())
    }

    /// How long from `since` until `is` becomes true, ms; 9999 if it does not within 6 s.
    fn until(&self, since: Stamp, is: impl Fn(&Self) -> bool) -> f64 {
        while ms_since(since) < 6000.0 {
            if is(self) {
                return ms_since(since);
            }
            pause(1);
        }
        9999.0
    }

    /// How much of a sign the board shows.
    fn shown(&self, sign: Sign) -> u64 {
        match sign {
            Sign::Count(name) => self.counted(name),
            Sign::Lost => u64::from(self.state() == HealthState::Lost),
        }
    }

    fn has_frame_after(&self, since: Stamp) -> bool {
        self.seen().frames.last().is_some_and(|&(_, at, _)| at > since)
    }

    fn settle(&self) {
        let began = now();
        let settled = self.until(began, |drive| drive.state() != HealthState::Lost && drive.has_frame_after(began));
        assert!(settled < 6000.0, "no frames: {:?}", self.board.sources(now()));
    }
}

impl Seen {
    fn see(&mut self, event: Event) {
        match event {
            Event::Frame(frame) => {
                self.frames.push((frame.stamp, now(), std::mem::take(&mut self.lost_before)));
                if self.held.len() == self.hold && self.hold > 0 {
                    self.held.rotate_left(1);
                    self.held.pop();
                }
                if self.hold > 0 {
                    self.held.push(frame.image);
                }
            }
            Event::Lost { stamp, frames } => {
                self.lost.push((stamp, frames));
                self.lost_before += frames;
            }
            _ => {}
        }
    }
}

impl Drop for Drive {
    fn drop(&mut self) {
        let stopping = now();
        drop(self.camera.take());
        let took_ms = ms_since(stopping);
        self.stop.store(true, Ordering::Relaxed);
        self.consumer.take().expect("once").join().expect("the consumer does not panic");
        assert!(took_ms < 200.0, "the camera took {took_ms:.0} ms to stop");
    }
}

/// Sets one of vivid's controls, and lets go of the device again.
fn set(name: &str, value: i64) {
    let path = first_node();
    let device = Device::open(&path).expect("vivid is there");
    let control = device.control_named(name).unwrap_or_else(|| panic!("vivid has no {name}: {:?}", names(&device)));
    device.set_control(&control, value).unwrap_or_else(|failure| panic!("{name} = {value}: {failure}"));
}

fn names(device: &Device) -> Vec<String> {
    device.controls().into_iter().map(|control| control.name).collect()
}

fn first_node() -> PathBuf {
    (0..8).map(|number| PathBuf::from(format!("/dev/video{number}"))).find(|path| path.exists()).expect("a camera")
}

/// A fault, what was delivered while it lasted, and how long until it was seen and until frames came again.
struct Row {
    fault: &'static str,
    frames: usize,
    lost: u32,
    seen_ms: f64,
    reason: String,
    well_ms: f64,
}

/// What a fault is seen by on the health board.
#[derive(Clone, Copy)]
enum Sign {
    /// A count that goes up, and that the camera is not ok.
    Count(&'static str),
    /// That it is lost.
    Lost,
}

impl Sign {
    /// Within which it is to be shown, ms.
    fn within_ms(self) -> f64 {
        match self {
            // Of frames that are dropped by chance, one in two, hardly ten in a row are spared.
            Self::Count("lost") => 10.0 * PERIOD_MS,
            _ => SEEN_MS,
        }
    }
}

/// Rows as they are measured, and what is wrong with them.
#[derive(Default)]
struct Table {
    rows: Vec<Row>,
    wrong: Vec<String>,
}

impl Table {
    /// Begins the fault, waits until the board shows it, goes on for some ms, ends it, and waits for a frame.
    fn measure(&mut self, fault: &'static str, drive: &Drive, sign: Sign, acts: (&dyn Fn(), u64, &dyn Fn())) {
        let (fault_begins, last_ms, fault_ends) = acts;
        drive.settle();
        let (began, before) = (now(), drive.shown(sign));
        fault_begins();
        let seen_ms = drive.until(began, |drive| drive.shown(sign) > before && drive.state() != HealthState::Ok);
        let reason = drive.reason();
        pause(last_ms);
        let ended = now();
        fault_ends();
        let well_ms = drive.until(ended, |drive| drive.has_frame_after(ended));
        // What was lost is told with the first frame after it.
        let (frames, lost) = (drive.between(began, ended).0, drive.between(began, now()).1);
        println!("{fault}: {frames} frames, {lost} lost, seen {seen_ms:.1} ms ({reason}), well {well_ms:.1} ms");
        self.check(fault, seen_ms < sign.within_ms(), &format!("seen after {seen_ms:.0} ms"));
        self.check(fault, well_ms < WELL_MS, &format!("well after {well_ms:.0} ms"));
        self.rows.push(Row { fault, frames, lost, seen_ms, reason, well_ms });
    }

    fn check(&mut self, fault: &str, right: bool, told: &str) {
        if !right {
            self.wrong.push(format!("{fault}: {told}"));
        }
    }

    fn write(&self, path: &Path) {
        let mut text = "fault\tframes meanwhile\tlost\tseen after ms\tseen as\twell again after ms\n".to_owned();
        for Row { fault, frames, lost, seen_ms, reason, well_ms } in &self.rows {
            writeln!(text, "{fault}\t{frames}\t{lost}\t{seen_ms:.1}\t{reason}\t{well_ms:.1}")
                .expect("a string takes it");
        }
        std::fs::write(path, text).expect("the folder is there");
    }
}

#[test]
fn a_camera_streams_for_a_minute_without_a_gap_untold_or_a_block_of_memory() {
    let name = "a_camera_streams_for_a_minute_without_a_gap_untold_or_a_block_of_memory";
    let Some(out) = vm::inside(name, &Machine { seconds: 200, ..Machine::default() }) else { return };
    let _profiler = dhat::Profiler::builder().testing().build();
    let drive = Drive::start(&config());
    pause(3000);
    let (began, before) = (now(), dhat::HeapStats::get().total_blocks);
    pause(60_000);
    let (ended, blocks) = (now(), dhat::HeapStats::get().total_blocks - before);
    let (frames, lost) = drive.between(began, ended);
    let made = (ended.signed_ns_since(began) as f64 / 1e6 / PERIOD_MS).round();
    let ages: Vec<f64> =
        drive.seen().frames.iter().map(|(stamp, at, _)| at.signed_ns_since(*stamp) as f64 / 1e6).collect();
    let oldest_ms = ages.iter().copied().fold(0.0, f64::max);
    let untold = most_untold(&drive);
    let told = format!(
        "60 s: {frames} frames + {lost} lost of {made} by the clock; of ten at most {untold:.2} not told; {blocks} blocks; \
         oldest {oldest_ms:.1} ms; \
         overtaken {} copied {} damaged {} bad_stamps {}\n",
        drive.counted("overtaken"),
        drive.counted("copied"),
        drive.counted("damaged"),
        drive.counted("bad_stamps"),
    );
    print!("{told}");
    drop(drive);
    let held = held_pictures();
    print!("{held}");
    std::fs::write(out.join("minute.txt"), told + &held).expect("the folder is there");
    // For the words that a first loss and a first stall are told by.
    assert!(blocks <= 4, "{blocks} blocks of memory in 60 s");
    assert!(untold < 1.9, "{untold:.2} frames of ten missing with nothing told as lost");
    // vivid takes its numbers from the time, and late ones twice: a frame in three hundred may be one too many.
    assert!((frames as f64 + f64::from(lost) - made).abs() <= made / 300.0, "{frames} + {lost} of {made}");
}

/// The most frames that any ten took too long for and that were not told as lost, by their stamps. One is stamped late
/// by up to a period and more where the driver's thread had to wait; two missing untold would show.
fn most_untold(drive: &Drive) -> f64 {
    let seen = drive.seen();
    let untold = |frames: &[(Stamp, Stamp, u32)]| {
        let span_ms = frames[10].0.signed_ns_since(frames[0].0) as f64 / 1e6;
        let lost: u32 = frames[1..].iter().map(|(_, _, lost)| lost).sum();
        span_ms / PERIOD_MS - 10.0 - f64::from(lost)
    };
    seen.frames.windows(11).map(untold).fold(0.0, f64::max)
}

/// A consumer that holds as many pictures as there are buffers: they are copied, none is lost, no memory is taken.
fn held_pictures() -> String {
    let drive = Drive::with(&config(), 0, 4).expect("vivid is there");
    pause(3000);
    let copied_before = drive.counted("copied");
    let (began, before) = (now(), dhat::HeapStats::get().total_blocks);
    pause(5000);
    let blocks = dhat::HeapStats::get().total_blocks - before;
    let (frames, lost) = drive.between(began, now());
    let copied = drive.counted("copied") - copied_before;
    let distinct = {
        let seen = drive.seen();
        seen.held.iter().all(|image| image.bytes().len() == 640 * 360 * 2)
    };
    assert!(distinct, "a picture that is held keeps its bytes");
    let made = frames as u32 + lost;
    assert!(copied > 20 && made.abs_diff(150) <= 4 && lost < 20, "{frames} frames, {lost} lost, {copied} copied");
    // Copies are kept and used again; at a peak there may be one or two more of them, of two blocks each.
    assert!(blocks <= 5, "{blocks} blocks of memory in 5 s with pictures held");
    format!("4 pictures held for 5 s: {frames} frames, {lost} lost, {copied} copied, {blocks} blocks\n")
}

#[test]
fn every_fault_of_a_camera_is_seen_and_gone_again() {
    let name = "every_fault_of_a_camera_is_seen_and_gone_again";
    let Some(out) = vm::inside(name, &Machine { seconds: 300, ..Machine::default() }) else {
        if let Ok(table) = std::fs::read_to_string(vm::outputs_of(name).join("faults.tsv")) {
            println!("{table}");
        }
        return;
    };
    let mut table = Table::default();
    let drive = Drive::start(&config());
    in_the_stream(&mut table, &drive);
    of_the_calls(&mut table, &drive);
    signals(&mut table, &drive);
    absence(&mut table, &drive);
    drop(drive);
    at_the_start(&mut table);
    table.write(&out.join("faults.tsv"));
    assert!(table.wrong.is_empty(), "{:#?}", table.wrong);
}

/// Faults that the stream goes on with.
fn in_the_stream(table: &mut Table, drive: &Drive) {
    let nothing: &dyn Fn() = &|| ();
    let damage: &dyn Fn() = &|| set("inject_v4l2_buf_flag_error", 1);
    table.measure("one buffer with the error flag", drive, Sign::Count("damaged"), (damage, 0, nothing));
    table.check("error flag", drive.counted("damaged") == 1, &format!("{} damaged", drive.counted("damaged")));
    let drop_half: &dyn Fn() = &|| set("percentage_of_dropped_buffers", 50);
    let drop_all: &dyn Fn() = &|| set("percentage_of_dropped_buffers", 100);
    let drop_none: &dyn Fn() = &|| set("percentage_of_dropped_buffers", 0);
    table.measure("50 % of frames dropped", drive, Sign::Count("lost"), (drop_half, 2000, drop_none));
    let row = table.rows.last().expect("just measured");
    let (frames, told) = (row.frames, row.frames as f64 + f64::from(row.lost));
    let made = 2000.0 / PERIOD_MS;
    table.check("50 %", frames > 15 && told > made * 0.9, &format!("{frames} frames, {told} told of {made}"));
    table.measure("all frames dropped for 0.6 s", drive, Sign::Lost, (drop_all, 500, drop_none));
    table.measure("all frames dropped for 2.5 s", drive, Sign::Lost, (drop_all, 2400, drop_none));
}

/// Faults by which the kernel refuses to go on.
fn of_the_calls(table: &mut Table, drive: &Drive) {
    let nothing: &dyn Fn() = &|| ();
    let fatal: &dyn Fn() = &|| set("inject_fatal_streaming_error", 1);
    table.measure("fatal streaming error", drive, Sign::Lost, (fatal, 0, nothing));
    let queue: &dyn Fn() = &|| set("inject_vidioc_qbuf_error", 1);
    table.measure("QBUF refused", drive, Sign::Lost, (queue, 0, nothing));
    for (fault, control) in [
        ("fatal error, then STREAMON refused", "inject_vidioc_streamon_error"),
        ("fatal error, then REQBUFS refused", "inject_vidioc_reqbufs_error"),
    ] {
        let both: &dyn Fn() = &|| {
            set(control, 1);
            set("inject_fatal_streaming_error", 1);
        };
        table.measure(fault, drive, Sign::Lost, (both, 0, nothing));
    }
}

/// A signal while the camera's thread waits or calls changes nothing.
fn signals(table: &mut Table, drive: &Drive) {
    drive.settle();
    ctrlc::set_handler(|| ()).expect("the first handler");
    let (began, reopened) = (now(), drive.counted("reopened"));
    let thread = camera_thread();
    let script = format!("for i in $(seq 20); do kill -INT {thread} || exit 1; usleep 30000; done");
    let sent = std::process::Command::new("sh").args(["-c", &script]).status();
    assert!(sent.is_ok_and(|status| status.success()), "signals can be sent");
    pause(100);
    let (frames, lost) = drive.between(began, now());
    println!("20 signals: {frames} frames, {lost} lost in {:.0} ms", ms_since(began));
    let made = ms_since(began) / PERIOD_MS;
    let told = frames as f64 + f64::from(lost);
    let right = drive.counted("reopened") == reopened && told > made - 3.0 && frames as f64 > made * 0.6;
    table.check("signals", right, &format!("{:?} {}: {frames} of {made}", drive.state(), drive.reason()));
    let reason = "nothing to be seen".into();
    table.rows.push(Row {
        fault: "20 signals to the camera's thread",
        frames,
        lost,
        seen_ms: 0.0,
        reason,
        well_ms: 0.0,
    });
}

fn camera_thread() -> String {
    let tasks = std::fs::read_dir("/proc/self/task").expect("proc is there").flatten();
    let is_camera =
        |path: &PathBuf| std::fs::read_to_string(path.join("comm")).is_ok_and(|name| name.trim() == "camera");
    let found = tasks.map(|task| task.path()).find(is_camera).expect("the thread is named camera");
    found.file_name().expect("a number").to_string_lossy().into_owned()
}

/// The camera goes, and comes back: with the same number, and with another one.
fn absence(table: &mut Table, drive: &Drive) {
    let nothing: &dyn Fn() = &|| ();
    let disconnect: &dyn Fn() = &|| set("disconnect", 1);
    table.measure("disconnect", drive, Sign::Lost, (disconnect, 0, nothing));
    let unbind: &dyn Fn() = &|| std::fs::write(UNBIND, "vivid.0").expect("vivid can be unbound");
    let bind: &dyn Fn() = &|| std::fs::write(BIND, "vivid.0").expect("vivid can be bound");
    table.measure("unplugged for 1 s", drive, Sign::Lost, (unbind, 1000, bind));
    table.measure("unplugged for 3.5 s", drive, Sign::Lost, (unbind, 3500, bind));
    // A picture that is still read keeps the old node's number taken.
    drive.seen().hold = 1;
    pause(200);
    drive.seen().hold = 0;
    table.measure("unplugged, back under another number", drive, Sign::Lost, (unbind, 500, bind));
    let node = first_node();
    table.check("another number", node != Path::new("/dev/video0"), &format!("it came back as {}", node.display()));
    drive.seen().held.clear();
}

/// What is seen when a camera starts, or must not be seen at all.
fn at_the_start(table: &mut Table) {
    let device = || Config { device: "bus:platform:vivid-000".into(), ..config() };
    set("wrap_sequence_number", 1);
    let drive = Drive::start(&device());
    pause(6000);
    let (lost, bad) = (drive.counted("lost"), drive.counted("bad_stamps"));
    println!("sequence wraps: {} frames, {lost} lost, {bad} bad stamps", drive.counted("frames"));
    let told = drive.counted("frames") + lost;
    table.check("sequence", told.abs_diff(180) < 6 && lost < 20, &format!("{lost} lost of {told}"));
    let (frames, reason) = (drive.seen().frames.len(), "nothing to be seen".into());
    let row = Row { fault: "sequence number wraps", frames, lost: lost as u32, seen_ms: 0.0, reason, well_ms: 0.0 };
    table.rows.push(row);
    set("wrap_sequence_number", 0);
    drop(drive);
    for (fault, value) in [("stamps near 2^63 ns", 1), ("stamps near 2^31 s", 2)] {
        set("wrap_timestamp", value);
        let began = now();
        let drive = Drive::start(&device());
        let seen_ms = drive.until(began, |drive| drive.reason().starts_with("no frame that can be used"));
        pause(1500);
        let ended = now();
        set("wrap_timestamp", 0);
        let well_ms = drive.until(ended, |drive| drive.has_frame_after(ended));
        let (frames, lost) = drive.between(began, ended);
        let bad = drive.counted("bad_stamps");
        println!("{fault}: {frames} frames, {lost} lost, {bad} bad stamps, seen {seen_ms:.1} ms, well {well_ms:.1} ms");
        table.check(fault, bad > 20 && frames == 0 && u64::from(lost) <= bad, &format!("{frames} frames, {bad} bad"));
        table.check(
            fault,
            seen_ms < 250.0 && well_ms < WELL_MS,
            &format!("seen {seen_ms:.0} ms, well {well_ms:.0} ms"),
        );
        table.rows.push(Row { fault, frames, lost, seen_ms, reason: drive.reason(), well_ms });
    }
}

#[test]
fn a_camera_is_refused_by_what_it_gives_instead_and_a_slow_consumer_sees_the_newest_frame() {
    let name = "a_camera_is_refused_by_what_it_gives_instead_and_a_slow_consumer_sees_the_newest_frame";
    let Some(out) = vm::inside(name, &Machine { seconds: 120, ..Machine::default() }) else { return };
    let mut wrong = refusals();
    wrong.extend(second_opener());
    wrong.extend(formats());
    wrong.extend(waiting());
    wrong.extend(slow_consumer());
    wrong.extend(late_thread());
    std::fs::write(out.join("discovered.txt"), format!("{:#?}", discover())).expect("the folder is there");
    let found = discover();
    let described = found[0].camera.as_ref().expect("vivid opens");
    assert_eq!((described.driver.as_str(), described.bus.as_str()), ("vivid", "platform:vivid-000"));
    assert!(described.formats.iter().any(|format| format.format == Some(PixelFormat::Nv12)));
    exports();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_multi_planar_camera_gives_the_same_pictures_and_each_of_two_is_found_by_its_bus() {
    let name = "a_multi_planar_camera_gives_the_same_pictures_and_each_of_two_is_found_by_its_bus";
    let two = "n_devs=2 node_types=0x1,0x1 num_inputs=1,1 input_types=0x0,0x0 multiplanar=2,1";
    let Some(_) = vm::inside(name, &Machine { options: &["--vivid", two], seconds: 60 }) else { return };
    let ability = Device::open(Path::new("/dev/video0")).expect("vivid is there").ability().expect("it says");
    assert_eq!(ability.captures, Some(Planes::Multiple));
    let mut wrong = formats();
    for (bus, node) in [("bus:platform:vivid-000", "/dev/video0"), ("bus:platform:vivid-001", "/dev/video1")] {
        let drive = Drive::start(&Config { device: bus.into(), ..config() });
        let agreed = drive.camera.as_ref().and_then(Camera::agreed).expect("it was there").clone();
        println!("{agreed:?}");
        if agreed.path != Path::new(node) || agreed.stride != 1280 {
            wrong.push(format!("{bus}: {agreed:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn refused(config: &Config) -> String {
    Drive::with(config, 0, 0).err().map_or_else(|| "it was accepted".into(), |error| error.to_string())
}

fn refusals() -> Vec<String> {
    let with = |change: &dyn Fn(&mut Config)| {
        let mut config = config();
        change(&mut config);
        config
    };
    let control = |name: &str, value| with(&|config| config.controls = [(name.to_owned(), value)].into());
    let cases = [
        (with(&|config| config.format = Some(PixelFormat::Jpeg)), "asked for format = jpeg, it gives yuyv"),
        (with(&|config| config.size = Some(Size::new(642, 362))), "asked for size = 642x362, it gives 640x360"),
        (with(&|config| config.rate_hz = Some(33.0)), "asked for rate_hz = 33, it gives"),
        (control("brightnes", 3), "no control 'brightnes'; closest are: brightness, "),
        (
            control("brightness", 999),
            "camera.controls.brightness = 999: it is out of range; it takes 0 to 255 in steps",
        ),
        (with(&|config| config.device = "/dev/video9".into()), "/dev/video0 is bus:platform:vivid-000"),
        (with(&|config| config.device = "bus:elsewhere".into()), "camera bus:elsewhere: not there; "),
        (with(&|config| config.buffers = 1), "camera.buffers is 1"),
        (with(&|config| config.stall_ms = 30), "camera.stall_ms is 30, but /dev/video0 gives a frame every 33.3 ms"),
        (with(&|config| config.input = Some(7)), "S_INPUT: "),
    ];
    let told = cases.iter().map(|(config, part)| (refused(config), part));
    told.inspect(|(told, _)| println!("{told}"))
        .filter(|(told, part)| !told.contains(*part))
        .map(|(told, part)| format!("'{part}' is not in: {told}"))
        .collect()
}

fn second_opener() -> Option<String> {
    let drive = Drive::start(&config());
    let told = refused(&config());
    println!("{told}");
    drive.settle();
    (!told.contains("another program captures from it")).then_some(told)
}

/// Every format comes whole.
fn formats() -> Vec<String> {
    let formats = [PixelFormat::Yuyv, PixelFormat::Uyvy, PixelFormat::Nv12, PixelFormat::Rgb8, PixelFormat::Grey];
    let frames = |format| {
        let drive = Drive::start(&Config { format: Some(format), ..config() });
        pause(700);
        (format, drive.counted("frames"), drive.counted("damaged"))
    };
    let all: Vec<_> = formats.into_iter().map(frames).collect();
    println!("{all:?}");
    all.into_iter().filter(|&(_, frames, damaged)| frames < 12 || damaged > 0).map(|row| format!("{row:?}")).collect()
}

/// A camera that is not there at the start is opened when it comes.
fn waiting() -> Option<String> {
    std::fs::write(UNBIND, "vivid.0").expect("vivid can be unbound");
    let absent = refused(&config());
    let drive = Drive::start(&Config { wait: true, ..config() });
    pause(300);
    let state = drive.state();
    let came = now();
    std::fs::write(BIND, "vivid.0").expect("vivid can be bound");
    let well_ms = drive.until(came, |drive| drive.has_frame_after(came));
    println!("waited for: {state:?} before, a frame {well_ms:.0} ms after it came; without waiting: {absent}");
    let right = state == HealthState::Lost && well_ms < WELL_MS && absent.contains("camera.wait");
    (!right).then(|| format!("{state:?}, {well_ms} ms, {absent}"))
}

/// Two frames a second: none is older than the time from one frame to the next.
fn slow_consumer() -> Option<String> {
    let drive = Drive::with(&config(), 500, 1).expect("vivid is there");
    pause(8000);
    let seen = drive.seen();
    let ages = seen.frames.iter().skip(1).map(|(stamp, at, _)| at.signed_ns_since(*stamp) as f64 / 1e6);
    let oldest_ms = ages.fold(0.0, f64::max);
    let lost: u32 = seen.lost.iter().map(|(_, lost)| lost).sum();
    println!("2 fps: {} frames, {lost} lost, the oldest {oldest_ms:.1} ms old", seen.frames.len());
    let right = seen.frames.len() >= 5 && oldest_ms < 2.0 * PERIOD_MS;
    (!right).then(|| format!("{} frames, the oldest {oldest_ms:.1} ms", seen.frames.len()))
}

/// Of the buffers that are filled when the thread comes to look, the newest is sent.
fn late_thread() -> Option<String> {
    let drive = Drive::held_up(&config(), 125);
    pause(500);
    let (stamp, at, lost) = drive.seen().frames[0];
    let (age_ms, overtaken) = (at.signed_ns_since(stamp) as f64 / 1e6, drive.counted("overtaken"));
    println!("held up for 125 ms: the first frame is {age_ms:.1} ms old, {overtaken} overtaken, {lost} told as lost");
    let right = age_ms < 2.0 * PERIOD_MS && overtaken >= 2 && lost >= 2;
    (!right).then(|| format!("held up: {age_ms:.1} ms, {overtaken} overtaken, {lost} lost"))
}

/// A buffer can be handed on as a DMABUF.
fn exports() {
    let device = Device::open(Path::new("/dev/video0")).expect("vivid is there");
    let buffers = Buffers::request(device, Planes::Single, 2).expect("two buffers");
    println!("EXPBUF: {:?}", buffers.export(0).expect("vivid exports"));
}
