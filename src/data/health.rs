//! How each live source is: ok, degraded or lost, since when and why, with what it has counted.
//!
//! ```text
//! capture threads ──Reporter──▶ HealthBoard ──▶ `health` message, watchdog, `segfuse doctor`
//! ```
//!
//! A source reports what befell it and when; the state follows from that and from the time asked for alone.

use super::Stamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How long after its last fault a source that works still counts as degraded, ns: one lost frame in a hundred must show.
const MEMORY_NS: i64 = 2_000_000_000;

/// How well a source, or the whole, does what it is there for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthState {
    /// Delivers, and has delivered all for a while.
    #[default]
    Ok,
    /// Delivers, but lost something a short while ago, or less than is asked for.
    Degraded,
    /// Delivers nothing.
    Lost,
}

/// One source as it is at a moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SourceHealth {
    /// The source's name in the configuration, such as `camera` or `can0`.
    pub name: String,
    /// How it is.
    pub state: HealthState,
    /// Milliseconds since it has been so.
    pub for_ms: u64,
    /// What befell it last; `None` if nothing has.
    pub reason: Option<String>,
    /// What it has counted since the start, by name.
    pub counts: Vec<(String, u64)>,
}

/// What a live run tells of itself beside its masks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Vitals {
    /// The whole.
    pub state: HealthState,
    /// Every source, and what is made of them.
    pub sources: Vec<SourceHealth>,
    /// Degrees Celsius of each sensor that the machine has, by its name.
    pub temperatures_c: BTreeMap<String, f64>,
}

/// Reads the vitals off, as of a moment.
type Tell = dyn Fn(Stamp, &mut Vitals) + Send + Sync;

/// Tells the vitals as of a moment.
#[derive(Clone)]
pub struct VitalSigns(Arc<Tell>);

impl VitalSigns {
    /// Signs that `tell` reads off, into vitals that hold what was read off before, or nothing.
    pub fn new(tell: impl Fn(Stamp, &mut Vitals) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    /// The vitals as of `now`.
    pub fn at(&self, now: Stamp) -> Vitals {
        let mut vitals = Vitals::default();
        self.read(now, &mut vitals);
        vitals
    }

    /// The same into `vitals`, whose memory is used again.
    pub fn read(&self, now: Stamp, vitals: &mut Vitals) {
        (self.0)(now, vitals);
    }
}

impl fmt::Debug for VitalSigns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VitalSigns")
    }
}

/// The sources of a live run. Clones share.
#[derive(Clone, Debug, Default)]
pub struct HealthBoard(Arc<Mutex<Vec<Entry>>>);

/// One source's hand on the board. It allocates when a count is first named and when a reason changes, else never.
#[derive(Clone, Debug)]
pub struct Reporter {
    board: HealthBoard,
    place: usize,
}

#[derive(Debug)]
struct Entry {
    name: String,
    /// Whether the whole is lost without it.
    vital: bool,
    lost: bool,
    fault: Option<Stamp>,
    changed: Stamp,
    reason: String,
    counts: Vec<(&'static str, u64)>,
}

impl Entry {
    fn state(&self, now: Stamp) -> HealthState {
        let recent = |fault: Stamp| now.signed_ns_since(fault) < MEMORY_NS;
        match self.fault {
            _ if self.lost => HealthState::Lost,
            Some(fault) if recent(fault) => HealthState::Degraded,
            _ => HealthState::Ok,
        }
    }

    /// Since when it has been in the state that it is in.
    fn since(&self, now: Stamp) -> Stamp {
        match (self.state(now), self.fault) {
            (HealthState::Ok, Some(fault)) => fault.offset_ns(MEMORY_NS).max(self.changed),
            _ => self.changed,
        }
    }

    /// Writes what is known of it into `told`, whose memory is used again.
    fn read(&self, now: Stamp, told: &mut SourceHealth) {
        let for_ns = now.signed_ns_since(self.since(now)).max(0);
        told.name.clone_from(&self.name);
        (told.state, told.for_ms) = (self.state(now), for_ns as u64 / 1_000_000);
        match &mut told.reason {
            _ if self.reason.is_empty() => told.reason = None,
            Some(reason) => reason.clone_from(&self.reason),
            None => told.reason = Some(self.reason.clone()),
        }
        told.counts.resize_with(self.counts.len(), Default::default);
        for ((name, count), (known, counted)) in told.counts.iter_mut().zip(&self.counts) {
            name.clear();
            name.push_str(known);
            *count = *counted;
        }
    }

    fn counter(&mut self, name: &'static str) -> &mut u64 {
        let place = self.counts.iter().position(|(known, _)| *known == name).unwrap_or_else(|| {
            self.counts.push((name, 0));
            self.counts.len() - 1
        });
        &mut self.counts[place].1
    }

    fn befall(&mut self, now: Stamp, reason: &str) {
        self.fault = Some(now);
        if self.reason != reason {
            self.reason.clear();
            self.reason.push_str(reason);
        }
    }
}

impl HealthBoard {
    /// A board without sources.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a source on the board, lost until it first delivers. Without a `vital` one the whole is lost.
    pub fn enter(&self, name: &str, vital: bool, now: Stamp) -> Reporter {
        let mut entries = self.lock();
        entries.push(Entry {
            name: name.to_owned(),
            vital,
            lost: true,
            fault: None,
            changed: now,
            reason: String::new(),
            counts: Vec::new(),
        });
        Reporter { board: self.clone(), place: entries.len() - 1 }
    }

    /// Every source as it is `now`, in the order of their entering.
    pub fn sources(&self, now: Stamp) -> Vec<SourceHealth> {
        let mut told = Vec::new();
        self.read_sources(now, &mut told);
        told
    }

    /// The same into `told`, whose memory is used again.
    pub fn read_sources(&self, now: Stamp, told: &mut Vec<SourceHealth>) {
        let entries = self.lock();
        told.resize_with(entries.len(), SourceHealth::default);
        entries.iter().zip(told).for_each(|(entry, told)| entry.read(now, told));
    }

    /// The whole: lost without a vital source, degraded where any source is not ok.
    pub fn state(&self, now: Stamp) -> HealthState {
        let weigh = |entry: &Entry| match entry.state(now) {
            HealthState::Lost if !entry.vital => HealthState::Degraded,
            state => state,
        };
        self.lock().iter().map(weigh).max().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reporter {
    /// Something was delivered. A source that was lost is degraded first: it has just been away.
    pub fn delivers(&self, now: Stamp) {
        self.with(|entry| {
            if entry.lost {
                // What has never been there was not away.
                entry.fault = entry.fault.map(|_| now);
                (entry.lost, entry.changed) = (false, now);
            }
        });
    }

    /// Something went wrong that it works on after.
    pub fn falters(&self, now: Stamp, reason: &str) {
        self.with(|entry| {
            if entry.state(now) == HealthState::Ok {
                entry.changed = now;
            }
            entry.befall(now, reason);
        });
    }

    /// Nothing is delivered any more.
    pub fn is_lost(&self, now: Stamp, reason: &str) {
        self.with(|entry| {
            if !entry.lost {
                (entry.lost, entry.changed) = (true, now);
            }
            entry.befall(now, reason);
        });
    }

    /// Counts `more` of what `name` says.
    pub fn count(&self, name: &'static str, more: u64) {
        self.with(|entry| *entry.counter(name) += more);
    }

    /// What `name` says is `now` so.
    pub fn measure(&self, name: &'static str, now: u64) {
        self.with(|entry| *entry.counter(name) = now);
    }

    /// What was counted under `name` so far.
    pub fn counted(&self, name: &str) -> u64 {
        self.with(|entry| entry.counts.iter().find(|(known, _)| *known == name).map_or(0, |&(_, count)| count))
    }

    fn with<T>(&self, act: impl FnOnce(&mut Entry) -> T) -> T {
        act(&mut self.board.lock()[self.place])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Stamp {
        Stamp::from_ns(ms * 1_000_000)
    }

    fn state(board: &HealthBoard, ms: u64) -> (HealthState, u64) {
        let health = &board.sources(at(ms))[0];
        (health.state, health.for_ms)
    }

    #[test]
    fn a_source_is_lost_until_it_delivers_and_degraded_for_a_while_after_a_fault() {
        let board = HealthBoard::new();
        let camera = board.enter("camera", true, at(0));
        assert_eq!(state(&board, 5), (HealthState::Lost, 5));
        camera.delivers(at(10));
        assert_eq!(state(&board, 15), (HealthState::Ok, 5));
        camera.falters(at(100), "3 frames lost");
        assert_eq!(state(&board, 1100), (HealthState::Degraded, 1000));
        assert_eq!(state(&board, 2150), (HealthState::Ok, 50));
        camera.is_lost(at(3000), "no frame for 100 ms");
        assert_eq!(state(&board, 9000), (HealthState::Lost, 6000));
        camera.delivers(at(9000));
        assert_eq!(state(&board, 9500), (HealthState::Degraded, 500));
        assert_eq!(state(&board, 11_500), (HealthState::Ok, 500));
        assert_eq!(board.sources(at(11_500))[0].reason.as_deref(), Some("no frame for 100 ms"));
    }

    #[test]
    fn the_whole_is_lost_with_what_is_vital_and_degraded_with_the_rest() {
        let board = HealthBoard::new();
        let (camera, bus) = (board.enter("camera", true, at(0)), board.enter("can0", false, at(0)));
        assert_eq!(board.state(at(1)), HealthState::Lost);
        camera.delivers(at(1));
        assert_eq!(board.state(at(1)), HealthState::Degraded);
        bus.delivers(at(1));
        assert_eq!(board.state(at(1)), HealthState::Ok);
        bus.is_lost(at(2), "interface down");
        assert_eq!(board.state(at(2)), HealthState::Degraded);
        camera.is_lost(at(2), "unplugged");
        assert_eq!(board.state(at(2)), HealthState::Lost);
    }

    #[test]
    fn counts_add_up_by_name() {
        let board = HealthBoard::new();
        let camera = board.enter("camera", true, at(0));
        camera.count("lost", 2);
        camera.count("damaged", 1);
        camera.count("lost", 3);
        assert_eq!((camera.counted("lost"), camera.counted("none")), (5, 0));
        camera.measure("waiting", 7);
        camera.measure("waiting", 4);
        assert_eq!(camera.counted("waiting"), 4);
        assert_eq!(
            board.sources(at(0))[0].counts,
            [("lost".to_owned(), 5), ("damaged".to_owned(), 1), ("waiting".to_owned(), 4)]
        );
    }
}
