//! Every fault of a camera that the driver vivid can have, in a virtual machine: when it is seen, and when it is over.
//!
//! vivid injects its faults by controls of its own, which are set here by the same calls that the camera is driven by.

#![cfg(feature = "camera")]

#[path = "support/vivid.rs"]
mod vivid;
#[path = "support/vm.rs"]
mod vm;

use segfuse::data::HealthState;
use segfuse::source::camera::Config;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use vivid::{BIND, Drive, PERIOD_MS, Sign, UNBIND, WELL_MS, config, first_node, ms_since, now, pause, set};
use vm::Machine;

/// A fault, what was delivered while it lasted, and how long until it was seen and until frames came again.
struct Row {
    fault: &'static str,
    frames: usize,
    lost: u32,
    seen_ms: f64,
    reason: String,
    well_ms: f64,
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
