//! What the tests of live buses share: a bus being read, frames made byte by byte, interfaces set up and torn down.

#![allow(dead_code, reason = "each test file compiles its own copy and uses a part of it")]

use segfuse::clock::{MeasuringClock, MonotonicClock};
use segfuse::data::{CanFrame, CanId, Event, HealthBoard, HealthState, SourceHealth, Stamp};
use segfuse::source::Source;
use segfuse::source::can::bus::{Bus, BusConfig, BusError};
use segfuse::source::inbox::{Inbox, Intake};
use socketcan::{CanFdSocket, CanInterface, CanSocket, Socket};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

pub(crate) const EXTENDED: u32 = 0x8000_0000;
pub(crate) const REMOTE: u32 = 0x4000_0000;
pub(crate) const FAULT: u32 = 0x2000_0000;

/// Buses that put into one inbox, and a board that tells how they are.
pub(crate) struct Rig {
    pub(crate) inbox: Inbox,
    pub(crate) board: HealthBoard,
    intake: Intake,
}

impl Rig {
    pub(crate) fn new() -> Self {
        let (inbox, intake) = Inbox::new(Arc::new(now));
        Self { inbox, board: HealthBoard::new(), intake }
    }

    pub(crate) fn intake(&self) -> Intake {
        self.intake.clone()
    }

    pub(crate) fn try_start(&self, config: &BusConfig, ids: &[u32]) -> Result<Bus, BusError> {
        let health = self.board.enter(&config.interface, false, now());
        let ids: Vec<_> = ids.iter().map(|&id| can_id(id)).collect();
        // A thread that is not named so would end here, and deliver nothing.
        let prepare = Arc::new(|name: &str| assert_eq!(std::thread::current().name(), Some(name)));
        Bus::start(config, &ids, self.intake.clone(), health, prepare)
    }

    pub(crate) fn start(&self, config: &BusConfig, ids: &[u32]) -> Bus {
        self.try_start(config, ids).expect("the bus starts")
    }

    /// The frames of the next `ms`.
    pub(crate) fn frames_for(&mut self, ms: u64) -> Vec<CanFrame> {
        let end = now().after(Duration::from_millis(ms));
        let mut frames = Vec::new();
        while now() < end {
            if let Some(Event::Can(frame)) = self.inbox.next().expect("nothing fails") {
                frames.push(frame);
            }
        }
        frames
    }

    /// Milliseconds until the first bus is as `is_so` says, and the frames that came meanwhile.
    pub(crate) fn until(&mut self, what: &str, is_so: impl Fn(&SourceHealth) -> bool) -> (f64, u64) {
        let (start, mut frames) = (now(), 0);
        loop {
            let is_frame = matches!(self.inbox.next().expect("nothing fails"), Some(Event::Can(_)));
            frames += u64::from(is_frame);
            let passed_ms = now().signed_ns_since(start) as f64 / 1e6;
            let health = self.health(0);
            if is_so(&health) {
                return (passed_ms, frames);
            }
            assert!(passed_ms < 5000.0, "{what}: not within 5 s: {health:?}");
        }
    }

    pub(crate) fn health(&self, bus: usize) -> SourceHealth {
        self.board.sources(now()).swap_remove(bus)
    }

    /// What the first bus has counted under this name.
    pub(crate) fn count(&self, name: &str) -> u64 {
        count(&self.health(0), name)
    }
}

pub(crate) fn count(health: &SourceHealth, name: &str) -> u64 {
    health.counts.iter().find(|(known, _)| known == name).map_or(0, |(_, count)| *count)
}

pub(crate) fn is_lost(health: &SourceHealth) -> bool {
    health.state == HealthState::Lost
}

pub(crate) fn is_lost_by(health: &SourceHealth, reason: &str) -> bool {
    is_lost(health) && health.reason.as_ref().is_some_and(|known| known.contains(reason))
}

pub(crate) fn config(interface: &str) -> BusConfig {
    BusConfig { interface: interface.to_owned(), ..BusConfig::default() }
}

pub(crate) fn now() -> Stamp {
    MonotonicClock.now()
}

pub(crate) fn sleep_ms(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

fn can_id(id: u32) -> CanId {
    let plain = id & !EXTENDED;
    let made = if id & EXTENDED == 0 { CanId::standard(plain) } else { CanId::extended(plain) };
    made.expect("an id of its kind")
}

/// The bytes of a `struct can_frame`: the id with its flags, the length, the data.
pub(crate) fn frame(id: u32, data: &[u8]) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&id.to_ne_bytes());
    bytes[4] = data.len() as u8;
    bytes[8..8 + data.len()].copy_from_slice(data);
    bytes
}

/// The bytes of a `struct canfd_frame`.
pub(crate) fn fd_frame(id: u32, data: &[u8]) -> [u8; 72] {
    let mut bytes = [0; 72];
    bytes[..4].copy_from_slice(&id.to_ne_bytes());
    bytes[4] = data.len() as u8;
    bytes[8..8 + data.len()].copy_from_slice(data);
    bytes
}

/// Sends a fault as a driver would, with these class bits.
pub(crate) fn send_fault(interface: &str, classes: u32, data: [u8; 8]) {
    send(interface, &[frame(FAULT | classes, &data)]);
}

pub(crate) fn send(interface: &str, frames: &[[u8; 16]]) {
    let mut socket = CanSocket::open(interface).expect("the interface is there");
    for frame in frames {
        socket.write_all(frame).expect("it is sent");
    }
}

pub(crate) fn send_fd(interface: &str, frames: &[[u8; 72]]) {
    let mut socket = CanFdSocket::open(interface).expect("the interface is there");
    for frame in frames {
        socket.write_all(frame).expect("it is sent");
    }
}

/// Whether every [`Feed`] is mute.
pub(crate) static MUTE: AtomicBool = AtomicBool::new(false);

/// Sends a frame every millisecond, whatever becomes of the interface, until it is dropped.
pub(crate) struct Feed {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Feed {
    pub(crate) fn start(interface: &'static str, id: u32) -> Self {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&sent));
        let thread = std::thread::spawn(move || {
            let mut socket: Option<CanSocket> = None;
            while !stopped.load(Ordering::Relaxed) {
                sleep_ms(1);
                if MUTE.load(Ordering::Relaxed) {
                    continue;
                }
                socket = socket.or_else(|| CanSocket::open(interface).ok());
                let written = socket.as_mut().map(|socket| socket.write_all(&frame(id, &[1; 8])));
                match written {
                    Some(Ok(())) => {
                        counted.fetch_add(1, Ordering::Relaxed);
                    }
                    _ => socket = None,
                }
            }
        });
        Self { stop, sent, thread: Some(thread) }
    }

    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Ends it, and tells how many frames were sent.
    pub(crate) fn end(self) -> u64 {
        let sent = Arc::clone(&self.sent);
        drop(self);
        sent.load(Ordering::Relaxed)
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().expect("it is joined once").join().expect("it ends");
    }
}

/// Keeps a figure for docs/faults.md.
pub(crate) fn tell(out: &Path, line: &str) {
    println!("{line}");
    let text = std::fs::read_to_string(out.join("figures.txt")).unwrap_or_default();
    std::fs::write(out.join("figures.txt"), format!("{text}{line}\n")).expect("the folder is there");
}

/// Runs `ip` with each of these.
pub(crate) fn ips(lines: &[&str]) {
    for words in lines {
        ip(words);
    }
}

/// Runs `ip` with these words.
pub(crate) fn ip(words: &str) {
    let output = Command::new("ip").args(words.split(' ')).output().expect("ip is there");
    assert!(output.status.success(), "ip {words}: {}", String::from_utf8_lossy(&output.stderr));
}

pub(crate) fn interface(name: &str) -> CanInterface {
    CanInterface::open(name).expect("the interface is there")
}
