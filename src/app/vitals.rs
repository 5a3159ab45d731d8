//! How a live run is: its sources, its masks, its temperatures.
//!
//! ```text
//! capture threads ──▶ HealthBoard ◀── MaskWatch (a sink)      /sys/class/thermal ──▶ Thermometer
//!                         └──────────────▶ VitalSigns ◀──────────────────────────────────┘
//! ```

use crate::clock::MeasuringClock;
use crate::data::{AlignedFrame, Event, HealthBoard, Perception, Reporter, Stamp, VitalSigns};
use crate::sink::{Sink, SinkError};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Where Linux shows its temperature sensors.
const SENSORS: &str = "/sys/class/thermal";
/// How often they are read. Some take milliseconds to answer: never on the pipeline's thread.
const READ_EVERY: Duration = Duration::from_secs(2);
/// Sensors that are read; a machine has a dozen.
const MAX_SENSORS: usize = 64;

/// The signs of a run whose sources are on `board`.
pub(super) fn signs(board: &HealthBoard, thermometer: &Thermometer) -> VitalSigns {
    let (board, newest) = (board.clone(), Arc::clone(&thermometer.newest));
    VitalSigns::new(move |now, vitals| {
        vitals.state = board.state(now);
        board.read_sources(now, &mut vitals.sources);
        read_again(&newest.lock().unwrap_or_else(PoisonError::into_inner), &mut vitals.temperatures_c);
    })
}

/// Copies temperatures; the names of sensors that are known already need no memory.
fn read_again(newest: &BTreeMap<String, f64>, told: &mut BTreeMap<String, f64>) {
    if !newest.keys().eq(told.keys()) {
        told.clone_from(newest);
    }
    told.values_mut().zip(newest.values()).for_each(|(told, newest)| *told = *newest);
}

/// Tells the board whether masks come, and in time. Put it behind the sinks that publish.
pub(super) struct MaskWatch {
    reporter: Reporter,
    clock: Arc<dyn MeasuringClock>,
    max_age_ns: i64,
    newest: Option<Stamp>,
    /// Masks in time since the last one that was too late; `None` while all are.
    in_time: Option<u32>,
}

impl MaskWatch {
    /// A watch that tells through `reporter` of masks older than `max_age_ms`.
    pub(super) fn new(reporter: Reporter, clock: Arc<dyn MeasuringClock>, max_age_ms: u32) -> Self {
        Self { reporter, clock, max_age_ns: i64::from(max_age_ms) * 1_000_000, newest: None, in_time: None }
    }
}

/// So many masks in a row in time are told as the end of those that were too late.
const WELL_AGAIN: u32 = 60;

impl MaskWatch {
    fn note_late(&mut self) {
        if self.in_time.replace(0).is_none() {
            let most_ms = self.max_age_ns / 1_000_000;
            tracing::warn!(
                "masks come more than {most_ms} ms after their pictures and are not published: take a faster network or \
                 runtime, fewer key frames (perceive.schedule), or a smaller picture"
            );
        }
    }

    fn note_in_time(&mut self) {
        self.in_time = self.in_time.map(|count| count + 1);
        if self.in_time == Some(WELL_AGAIN) {
            self.in_time = None;
            tracing::info!("masks come in time again");
        }
    }
}

impl Sink for MaskWatch {
    fn on_event(&mut self, event: &Event) -> Result<(), SinkError> {
        let now = event.arrival();
        if self.newest.is_some_and(|newest| now.signed_ns_since(newest) > 2 * self.max_age_ns) {
            self.newest = None;
            self.reporter.is_lost(now, "no mask");
            tracing::warn!("no mask for {} ms", 2 * self.max_age_ns / 1_000_000);
        }
        Ok(())
    }

    fn on_perception(&mut self, _: &AlignedFrame, perception: &Perception) -> Result<(), SinkError> {
        let now = self.clock.now();
        if now.signed_ns_since(perception.stamp) <= self.max_age_ns {
            self.newest = Some(perception.stamp);
            self.reporter.delivers(now);
            self.note_in_time();
        } else {
            self.reporter.count("stale", 1);
            self.reporter.falters(now, "masks come too late to be of use");
            self.note_late();
        }
        Ok(())
    }
}

/// Reads the machine's temperatures now and then, on a thread of its own.
pub(super) struct Thermometer {
    newest: Arc<Mutex<BTreeMap<String, f64>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Thermometer {
    /// Begins to read. A machine without sensors has no temperatures.
    pub(super) fn start() -> std::io::Result<Self> {
        let newest = Arc::new(Mutex::new(read(SENSORS.as_ref())));
        let stop = Arc::new(AtomicBool::new(false));
        let (shown, stopped) = (Arc::clone(&newest), Arc::clone(&stop));
        let thread = std::thread::Builder::new().name("thermometer".into()).spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                std::thread::park_timeout(READ_EVERY);
                let temperatures = read(SENSORS.as_ref());
                *shown.lock().unwrap_or_else(PoisonError::into_inner) = temperatures;
            }
        })?;
        Ok(Self { newest, stop, thread: Some(thread) })
    }
}

impl Drop for Thermometer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            drop(thread.join());
        }
    }
}

/// Degrees of every sensor under `folder` that answers; of several with one name the hottest.
fn read(folder: &Path) -> BTreeMap<String, f64> {
    let zones = std::fs::read_dir(folder).into_iter().flatten().flatten().take(MAX_SENSORS);
    let mut temperatures = BTreeMap::new();
    for (name, degrees) in zones.filter_map(|zone| sensor(&zone.path())) {
        let hottest = temperatures.entry(name).or_insert(degrees);
        *hottest = degrees.max(*hottest);
    }
    temperatures
}

fn sensor(zone: &Path) -> Option<(String, f64)> {
    let text = |file: &str| std::fs::read_to_string(zone.join(file)).ok();
    let thousandths: f64 = text("temp")?.trim().parse().ok()?;
    let name: String = text("type")?.trim().chars().take(64).collect();
    Some((name, thousandths / 1000.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::HealthState;

    fn at(ms: u64) -> Stamp {
        Stamp::from_ns(ms * 1_000_000)
    }

    #[test]
    fn temperatures_are_read_by_the_names_of_their_sensors() {
        let folder = tempfile::tempdir().expect("a folder");
        for (zone, name, temp) in
            [("0", "cpu", "61500\n"), ("1", "gpu", "-2000"), ("2", "cpu", "70000"), ("3", "x", "?")]
        {
            let zone = folder.path().join(format!("thermal_zone{zone}"));
            std::fs::create_dir(&zone).expect("room");
            std::fs::write(zone.join("type"), format!("{name}\n")).expect("room");
            std::fs::write(zone.join("temp"), temp).expect("room");
        }
        let expected = [("cpu".to_owned(), 70.0), ("gpu".to_owned(), -2.0)];
        assert_eq!(read(folder.path()), BTreeMap::from(expected));
        assert_eq!(read(Path::new("/nowhere")), BTreeMap::new());
    }

    #[test]
    fn late_masks_are_told_when_they_begin_and_again_only_after_many_in_time() {
        let board = HealthBoard::new();
        let clock = Arc::new(crate::clock::MonotonicClock);
        let mut watch = MaskWatch::new(board.enter("masks", true, at(0)), clock, 200);
        watch.note_in_time();
        assert_eq!(watch.in_time, None, "all are in time");
        watch.note_late();
        assert_eq!(watch.in_time, Some(0));
        (1..WELL_AGAIN).for_each(|_| watch.note_in_time());
        assert_eq!(watch.in_time, Some(WELL_AGAIN - 1), "not yet well");
        watch.note_in_time();
        assert_eq!(watch.in_time, None);
    }

    #[test]
    fn masks_that_stop_coming_are_told_as_lost() {
        let board = HealthBoard::new();
        let clock = Arc::new(crate::clock::MonotonicClock);
        let mut watch = MaskWatch::new(board.enter("masks", true, at(0)), clock, 200);
        watch.reporter.delivers(at(1_000));
        watch.newest = Some(at(1_000));
        watch.on_event(&Event::Tick(at(1_400))).expect("it only looks");
        assert_eq!(board.state(at(1_400)), HealthState::Ok);
        watch.on_event(&Event::Tick(at(1_401))).expect("it only looks");
        assert_eq!(board.state(at(1_401)), HealthState::Lost);
        assert_eq!(board.sources(at(1_401))[0].reason.as_deref(), Some("no mask"));
    }
}
