//! How a bus stands: what keeps frames from coming, and what to do about its socket.
//!
//! ```text
//! interface gone ─▶ close      made again, other index ─▶ open      down, bus-off, silent ─▶ wait
//! ```
//!
//! Pure: it is told what was seen and when, and tells what follows. Reports are of changes only.

use crate::data::Stamp;
use crate::sys::can::Link;
use std::time::Duration;

/// What keeps frames from coming, the gravest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Absence {
    /// There is no interface of this name.
    Gone,
    /// There is, and it cannot be used, for this reason.
    Unusable(String),
    /// It is down.
    Down,
    /// The controller has left the bus.
    BusOff,
    /// Nothing has come for too long.
    Silent,
}

/// What to do about the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing.
    Stay,
    /// Let go of it: its interface is gone.
    Close,
    /// Open one on the interface with this index.
    Open(u32),
}

/// How a bus stands otherwise than it was told last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change<'a> {
    /// Frames cannot come.
    Absent(&'a Absence),
    /// Nothing speaks against frames any more.
    Back,
}

/// How a bus stands.
#[derive(Debug)]
pub(super) struct Standing {
    silence_ms: u32,
    /// The interface that the socket is on.
    bound: Option<u32>,
    link: Option<Link>,
    refusal: Option<String>,
    bus_off: bool,
    /// When the last frame came, or waiting for one began: with the start, or an interface that came up.
    heard: Stamp,
    told: Option<Absence>,
}

impl Standing {
    pub(super) fn new(silence_ms: u32, now: Stamp) -> Self {
        Self { silence_ms, bound: None, link: None, refusal: None, bus_off: false, heard: now, told: None }
    }

    /// The interface was looked at.
    pub(super) fn look(&mut self, link: Option<Link>, now: Stamp) -> Step {
        if link.is_some_and(|link| link.is_up) && !self.link.is_some_and(|link| link.is_up) {
            self.heard = now;
        }
        self.link = link;
        match (link.map(|link| link.index), self.bound) {
            (index, bound) if index == bound => Step::Stay,
            (Some(index), _) => Step::Open(index),
            (None, _) => {
                self.unbind();
                Step::Close
            }
        }
    }

    /// A socket was opened on the interface with this index.
    pub(super) fn opened(&mut self, index: u32) {
        (self.bound, self.refusal, self.bus_off) = (Some(index), None, false);
    }

    /// None could be opened, for this reason.
    pub(super) fn refused(&mut self, reason: String) {
        self.unbind();
        self.refusal = Some(reason);
    }

    /// The socket was let go of.
    pub(super) fn unbind(&mut self) {
        (self.bound, self.bus_off) = (None, false);
    }

    /// The interface said that it is down.
    pub(super) fn went_down(&mut self) {
        if let Some(link) = &mut self.link {
            link.is_up = false;
        }
    }

    /// A frame came: whatever was before, the bus works.
    pub(super) fn heard(&mut self, now: Stamp) {
        (self.heard, self.bus_off) = (now, false);
    }

    /// Whether nothing was told to keep frames from coming. Frames that waited in the socket while the interface went
    /// down come all the same.
    pub(super) fn is_well(&self) -> bool {
        self.told.is_none()
    }

    /// The controller has left the bus, or is back.
    pub(super) fn set_bus_off(&mut self, bus_off: bool) {
        self.bus_off = bus_off;
    }

    /// When the bus will have been silent for too long, if nothing comes and nothing else is wrong.
    pub(super) fn silent_at(&self) -> Option<Stamp> {
        self.is_well().then(|| self.heard.after(Duration::from_millis(self.silence_ms.into())))
    }

    /// What keeps frames from coming, if that has changed since it was asked last.
    pub(super) fn change(&mut self, now: Stamp) -> Option<Change<'_>> {
        let absence = self.absence(now);
        if absence == self.told {
            return None;
        }
        self.told = absence;
        Some(self.told.as_ref().map_or(Change::Back, Change::Absent))
    }

    fn absence(&self, now: Stamp) -> Option<Absence> {
        let silence_ns = i64::from(self.silence_ms) * 1_000_000;
        match &self.link {
            None => Some(Absence::Gone),
            Some(_) if self.bound.is_none() && self.refusal.is_some() => self.refusal.clone().map(Absence::Unusable),
            Some(link) if !link.is_up => Some(Absence::Down),
            Some(_) if self.bus_off => Some(Absence::BusOff),
            Some(_) if now.signed_ns_since(self.heard) >= silence_ns => Some(Absence::Silent),
            Some(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Stamp {
        Stamp::from_ns(ms * 1_000_000)
    }

    fn link(index: u32, is_up: bool) -> Link {
        Link { index, is_up }
    }

    fn running() -> Standing {
        let mut standing = Standing::new(1000, at(0));
        assert_eq!(standing.look(Some(link(3, true)), at(0)), Step::Open(3));
        standing.opened(3);
        standing.heard(at(0));
        standing
    }

    #[test]
    fn a_socket_follows_the_interface_of_its_name() {
        let mut standing = Standing::new(1000, at(0));
        assert_eq!(standing.look(None, at(0)), Step::Stay, "it is not there yet");
        assert_eq!(standing.look(Some(link(3, false)), at(0)), Step::Open(3), "it is there, and down");
        standing.opened(3);
        assert_eq!(standing.look(Some(link(3, true)), at(0)), Step::Stay, "up");
        assert_eq!(standing.look(Some(link(4, true)), at(0)), Step::Open(4), "made again between two looks");
        standing.opened(4);
        assert_eq!(standing.look(None, at(0)), Step::Close, "deleted or renamed");
        assert_eq!(standing.look(None, at(0)), Step::Stay);
        assert_eq!(standing.look(Some(link(4, true)), at(0)), Step::Open(4), "renamed back");
        standing.refused("no CAN FD".into());
        assert_eq!(standing.look(Some(link(4, true)), at(0)), Step::Open(4), "it is tried again");
    }

    #[test]
    fn each_absence_is_told_once_and_the_gravest_of_several() {
        let mut standing = running();
        assert_eq!(standing.change(at(10)), None);
        standing.set_bus_off(true);
        assert_eq!(standing.change(at(20)), Some(Change::Absent(&Absence::BusOff)));
        assert_eq!(standing.change(at(30)), None);
        standing.went_down();
        assert_eq!(standing.change(at(40)), Some(Change::Absent(&Absence::Down)));
        standing.heard(at(41));
        assert_eq!(standing.change(at(42)), None, "a frame that waited in the socket");
        assert!(!standing.is_well());
        standing.look(None, at(0));
        assert_eq!(standing.change(at(50)), Some(Change::Absent(&Absence::Gone)));
        standing.look(Some(link(9, true)), at(0));
        standing.refused("no CAN FD".into());
        assert_eq!(standing.change(at(60)), Some(Change::Absent(&Absence::Unusable("no CAN FD".into()))));
        standing.opened(9);
        assert_eq!(standing.change(at(70)), Some(Change::Back));
    }

    #[test]
    fn a_bus_is_silent_after_the_time_allowed_and_a_frame_ends_that() {
        let mut standing = running();
        assert_eq!(standing.change(at(999)), None);
        assert_eq!(standing.silent_at(), Some(at(1000)), "then it is to be told");
        assert_eq!(standing.change(at(1000)), Some(Change::Absent(&Absence::Silent)));
        assert_eq!(standing.silent_at(), None, "it is told");
        standing.heard(at(5000));
        assert_eq!(standing.change(at(5001)), Some(Change::Back));
        assert_eq!(standing.change(at(6000)), Some(Change::Absent(&Absence::Silent)));
        standing.went_down();
        assert_eq!(standing.change(at(6001)), Some(Change::Absent(&Absence::Down)));
        standing.look(Some(link(3, true)), at(9000));
        assert_eq!(standing.change(at(9999)), Some(Change::Back), "it has the time allowed to be heard again");
        assert_eq!(standing.change(at(10_000)), Some(Change::Absent(&Absence::Silent)));
    }

    #[test]
    fn bus_off_ends_with_a_restart_a_frame_or_another_socket() {
        for (row, end) in [
            |standing: &mut Standing| standing.set_bus_off(false),
            |standing: &mut Standing| standing.heard(at(5)),
            |standing: &mut Standing| standing.opened(3),
        ]
        .into_iter()
        .enumerate()
        {
            let mut standing = running();
            standing.set_bus_off(true);
            assert_eq!(standing.change(at(1)), Some(Change::Absent(&Absence::BusOff)), "row {row}");
            end(&mut standing);
            assert_eq!(standing.change(at(6)), Some(Change::Back), "row {row}");
        }
    }
}
