//! The thread of a bus: waits for frames, looks after the interface, passes on and reports.

use super::fault::{self, Gravity};
use super::frame::{self, Kind};
use super::port::{Port, Wanted};
use super::stamping::Stamper;
use super::standing::{Absence, Change, Standing, Step};
use super::wall::Wall;
use super::{BusError, discover};
use crate::data::{Reporter, SourceStamp, Stamp};
use crate::source::inbox::Intake;
use crate::sys::can::{Batch, Links, Received};
use crate::sys::clock;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Time between two looks at the interface, and the longest wait: a silent interface tells nothing of itself.
const LOOK: Duration = Duration::from_millis(100);

const OVERFLOWED: &str = "frames were lost: the program took them too late; raise buffer_kib or its priority";
const BAD_LENGTH: &str = "frames of a length that no bus carries";
const UNSTAMPED: &str = "frames without a usable stamp were refused; see hardware_stamps";
const OTHER_STAMPER: &str = "frames are stamped by another clock than before";

/// What the thread works with.
pub(super) struct Listener {
    wanted: Wanted,
    intake: Intake,
    health: Reporter,
    stop: Arc<AtomicBool>,
    links: Links,
    port: Option<Port>,
    standing: Standing,
    next_look: Stamp,
    stamper: Option<Stamper>,
    wall: Wall,
}

impl Listener {
    /// Opens the interface if it is there; if not, that is an error unless it is to be waited for.
    pub(super) fn new(
        wanted: Wanted,
        intake: Intake,
        health: Reporter,
        stop: Arc<AtomicBool>,
    ) -> Result<Self, BusError> {
        let interface = &wanted.config.interface;
        let failed = |error| BusError::Kernel { interface: interface.clone(), doing: "ask for it", error };
        let links = Links::new().map_err(failed)?;
        let now = intake.now();
        let mut standing = Standing::new(wanted.config.silence_ms, now);
        let port = match standing.look(wanted.look(&links)?, now) {
            Step::Open(index) => {
                let port = wanted.open(index)?;
                standing.opened(index);
                Some(port)
            }
            _ if wanted.config.wait => None,
            _ => return Err(BusError::Absent { interface: interface.clone(), known: discover::known() }),
        };
        Ok(Self {
            wanted,
            intake,
            health,
            stop,
            links,
            port,
            standing,
            next_look: now,
            stamper: None,
            wall: Wall::default(),
        })
    }

    /// Works until it is told to stop.
    pub(super) fn run(mut self) {
        let mut batch = Batch::default();
        while !self.stop.load(Ordering::Relaxed) {
            let now = self.intake.now();
            if now >= self.next_look {
                self.next_look = now.after(LOOK);
                self.look(now);
            }
            self.report(now);
            self.wait(now);
            self.receive(&mut batch);
        }
    }

    /// Waits for frames, but not beyond the next look, nor for longer than a bus may be silent.
    fn wait(&self, now: Stamp) {
        let until = self.standing.silent_at().map_or(self.next_look, |silent| silent.min(self.next_look));
        let left_ns = until.signed_ns_since(now).clamp(0, LOOK.as_nanos() as i64);
        match &self.port {
            Some(port) => {
                let left = Timespec { tv_sec: 0, tv_nsec: left_ns };
                // Why it ended does not matter: what is there is taken, and the loop goes on.
                poll(&mut [PollFd::new(port, PollFlags::IN)], Some(&left)).ok();
            }
            None => std::thread::park_timeout(Duration::from_nanos(left_ns as u64)),
        }
    }

    fn look(&mut self, now: Stamp) {
        if let Some(port) = &mut self.port {
            let lost = port.lost();
            self.overflowed(lost, now);
        }
        let Ok(link) = self.wanted.look(&self.links) else {
            self.health.count("look_failed", 1);
            return;
        };
        match self.standing.look(link, now) {
            Step::Stay => {}
            Step::Close => self.port = None,
            Step::Open(index) => self.open(index),
        }
    }

    fn open(&mut self, index: u32) {
        match self.wanted.open(index) {
            Ok(port) => {
                self.port = Some(port);
                self.standing.opened(index);
                self.health.count("reopened", 1);
            }
            Err(error) => {
                self.port = None;
                self.standing.refused(error.to_string());
            }
        }
    }

    fn report(&mut self, now: Stamp) {
        let config = &self.wanted.config;
        match self.standing.change(now) {
            None => {}
            Some(Change::Back) => tracing::info!("{}: no longer lost", config.interface),
            Some(Change::Absent(absence)) => {
                let reason = reason(absence, &config.interface, config.silence_ms);
                tracing::warn!("{}: {reason}", config.interface);
                self.health.count(count(absence), 1);
                self.health.is_lost(now, &reason);
            }
        }
    }

    fn receive(&mut self, batch: &mut Batch) {
        let Some(port) = &self.port else { return };
        match port.receive(batch) {
            Ok(_) => self.take(batch),
            Err(error) => self.fail(&error),
        }
    }

    /// The kernel gives an error once and is silent then: what it means is kept.
    fn fail(&mut self, error: &io::Error) {
        match error.raw_os_error() {
            Some(libc::EAGAIN | libc::EINTR) => {}
            Some(libc::ENETDOWN) => self.standing.went_down(),
            Some(libc::ENODEV) => {
                self.let_go();
                self.next_look = self.intake.now();
            }
            _ => {
                self.let_go();
                self.health.count("receive_failed", 1);
                self.health.falters(self.intake.now(), &format!("receiving failed: {error}"));
            }
        }
    }

    /// Drops the socket; the next look opens another.
    fn let_go(&mut self) {
        self.port = None;
        self.standing.unbind();
    }

    /// Passes a batch on.
    fn take(&mut self, batch: &Batch) {
        self.wall.read(clock::both());
        let now = self.intake.now();
        let delivered: u64 = batch.received().map(|received| u64::from(self.take_one(received, now))).sum();
        if delivered > 0 {
            self.standing.heard(now);
            self.report(now);
            self.health.count("frames", delivered);
            if self.standing.is_well() {
                self.health.delivers(now);
            }
        }
    }

    /// Passes one frame on, or counts it; whether the pipeline has got it.
    fn take_one(&mut self, received: Received<'_>, now: Stamp) -> bool {
        if let (Some(dropped), Some(port)) = (received.beside.dropped, &mut self.port) {
            let lost = port.overflow.more(dropped);
            self.overflowed(lost, now);
        }
        match frame::kind(received) {
            Kind::Data(id, payload) => {
                let Some(taken) = self.stamp(received, now) else { return self.refuse("unstamped", UNSTAMPED, now) };
                let put = self.intake.can(self.wanted.config.bus, id, taken, payload);
                put.is_ok() || self.refuse("bad_length", BAD_LENGTH, now)
            }
            Kind::Remote => self.pass_over("remote"),
            Kind::BadLength => self.refuse("bad_length", BAD_LENGTH, now),
            Kind::Fault(classes, data) => self.take_fault(classes, data, now),
        }
    }
    fn take_fault(&mut self, classes: u32, data: [u8; 8], now: Stamp) -> bool {
        for fault in fault::faults(classes, data) {
            self.health.count(fault.count, 1);
            match fault.gravity {
                Gravity::Noted => {}
                Gravity::Falters => self.health.falters(now, fault.reason),
                Gravity::BusOff => self.standing.set_bus_off(true),
                Gravity::Restarted => {
                    self.standing.set_bus_off(false);
                    self.health.falters(now, fault.reason);
                }
            }
        }
        self.report(now);
        self.pass_over("error_frames")
    }

    /// The stamp of a frame, on the timeline. Whose it is is told when it changes.
    fn stamp(&mut self, received: Received<'_>, now: Stamp) -> Option<SourceStamp> {
        let (stamper, unix_ns) = self.port.as_mut()?.stamping.choose(received.beside)?;
        if self.stamper != Some(stamper) {
            tracing::info!("{}: frames are stamped by {}", self.wanted.config.interface, stamper.name());
            if self.stamper.replace(stamper).is_some() {
                self.health.falters(now, OTHER_STAMPER);
            }
        }
        self.health.count(stamper.count(), 1);
        self.wall.map(unix_ns).map(SourceStamp::monotonic)
    }

    fn overflowed(&self, frames: u64, now: Stamp) {
        if frames > 0 {
            self.health.count("overflow", frames);
            self.health.falters(now, OVERFLOWED);
        }
    }

    fn refuse(&self, count: &'static str, reason: &str, now: Stamp) -> bool {
        self.health.falters(now, reason);
        self.pass_over(count)
    }

    fn pass_over(&self, count: &'static str) -> bool {
        self.health.count(count, 1);
        false
    }
}

/// What an absence is counted as.
fn count(absence: &Absence) -> &'static str {
    match absence {
        Absence::Gone => "gone",
        Absence::Unusable(_) => "unusable",
        Absence::Down => "down",
        Absence::BusOff => "lost_by_bus_off",
        Absence::Silent => "silent",
    }
}

/// What is said of it. A controller that was off before the start has told nothing: it is asked.
fn reason(absence: &Absence, interface: &str, silence_ms: u32) -> String {
    match absence {
        Absence::Gone => format!("there is no interface '{interface}'"),
        Absence::Unusable(reason) => reason.clone(),
        Absence::Down => format!("interface '{interface}' is down; bring it up: ip link set {interface} up"),
        Absence::BusOff => fault::OFF.to_owned(),
        Absence::Silent => {
            let controller = discover::state(interface).map(|state| format!("; the controller is {state}"));
            format!("no frame for {silence_ms} ms{}", controller.unwrap_or_default())
        }
    }
}
