//! The sink that records a drive for as long as it lasts: a folder of trips, each whole by itself, within a quota.
//!
//! ```text
//! pipeline ─▶ queue ─▶ recorder thread ─▶ …T22-58-01Z_0007.mcap   removed first when room is short
//!                                         …T23-08-01Z_0008.mcap   finished
//!                                         …T23-18-01Z_0009.mcap   open
//! ```
//!
//! The pipeline's thread only puts into the queue: files are opened, closed and removed on the recorder's own. Where the
//! disk is full or fails, the drive goes on, what is lost is counted, and recording goes on by itself once it can.

mod folder;
mod reel;

use super::recorder::Recorder;
use super::{TripError, TripMetadata, WhenFull};
use crate::data::{AlignedFrame, Ending, Event, Perception, Reporter, WallMapping};
use crate::sink::{Sink, SinkError};
use folder::Folder;
use reel::{Plan, Reel};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where drives are recorded, in what pieces, and how much of the disk they may take.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The folder; nothing is recorded if absent.
    pub folder: Option<PathBuf>,
    /// A new file is begun after this long: 1 to 1440.
    pub rotate_minutes: u32,
    /// A new file is begun where this many bytes are on the disk: from 1 MiB.
    pub rotate_bytes: u64,
    /// All files of the folder that were recorded so may take this many bytes: at least twice `rotate_bytes`.
    pub quota_bytes: u64,
    /// This many bytes of the disk stay free: from 1 MiB.
    pub keep_free_bytes: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            folder: None,
            rotate_minutes: 10,
            rotate_bytes: 4 << 30,
            quota_bytes: 64 << 30,
            keep_free_bytes: 2 << 30,
        }
    }
}

/// What must be free besides what stays free before a file is begun, unless files are smaller, MiB.
const BEGIN_MIB: u64 = 64;

impl Config {
    /// Bytes of the disk that must be free before a file is begun.
    pub fn free_to_begin(&self) -> u64 {
        self.keep_free_bytes.saturating_add(self.rotate_bytes.min(BEGIN_MIB << 20))
    }

    /// Says which value is outside its bounds.
    pub fn check(&self) -> Result<(), String> {
        let Self { rotate_minutes, rotate_bytes, quota_bytes, keep_free_bytes, .. } = self;
        if self.folder.as_ref().is_some_and(|folder| folder.as_os_str().is_empty()) {
            return Err("record.folder is empty: name a folder, or leave the key out to record nothing".into());
        }
        if !(1..=1440).contains(rotate_minutes) {
            return Err(format!("record.rotate_minutes is {rotate_minutes}, must be 1 to 1440"));
        }
        for (key, bytes) in [("rotate_bytes", rotate_bytes), ("keep_free_bytes", keep_free_bytes)] {
            if *bytes < 1 << 20 {
                return Err(format!("record.{key} is {bytes}, must be at least 1048576"));
            }
        }
        if quota_bytes / 2 < *rotate_bytes {
            return Err(format!(
                "record.quota_bytes is {quota_bytes}, must be at least twice record.rotate_bytes, which is {rotate_bytes}"
            ));
        }
        Ok(())
    }
}

/// Tells how many bytes a program may still write to the disk of a folder.
pub type FreeBytes = Box<dyn Fn(&Path) -> io::Result<u64> + Send>;

/// What the recorder knows of its computer. All of it is called on the recorder's thread.
pub struct Machine {
    /// Reads the monotonic clock and Unix time together: for the names of files and what they say of time.
    pub wall: Box<dyn Fn() -> WallMapping + Send>,
    /// [`free_bytes`].
    pub free_bytes: FreeBytes,
    /// Where health is told of the recording; no vital part of a drive.
    pub reporter: Option<Reporter>,
}

/// Bytes of the recordings of `folder`, which make room for newer ones.
pub fn recorded_bytes(folder: &Path) -> io::Result<u64> {
    Ok(folder::scan(folder)?.iter().map(|file| file.bytes).sum())
}

/// Bytes that this program may still write to the disk of `folder`.
pub fn free_bytes(folder: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(folder)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// How a recording goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RotationReport {
    /// The file being written.
    pub file: Option<PathBuf>,
    /// Files that were closed.
    pub finished: u64,
    /// Bytes of these.
    pub finished_bytes: u64,
    /// Old files that were removed to make room.
    pub removed: u64,
    /// Files that somebody removed while they were written: what was in them is gone.
    pub removed_while_written: u64,
    /// What could not be written, by topic.
    pub dropped: BTreeMap<String, u64>,
    /// Why nothing is recorded now.
    pub paused: Option<String>,
    /// How often recording had to stop.
    pub pauses: u64,
    /// The newest file as it was found at the start, if a loss of power had cut it. It opens up to its last whole chunk.
    pub found_cut: Option<PathBuf>,
}

/// Looks into a recording from outside, while it runs and afterwards.
#[derive(Clone)]
pub struct RotationHandle {
    state: Arc<Mutex<RotationReport>>,
    recorder: super::RecorderHandle,
}

impl RotationHandle {
    /// The report as it stands.
    pub fn report(&self) -> RotationReport {
        RotationReport { dropped: self.recorder.report().dropped, ..lock(&self.state).clone() }
    }
}

fn lock(state: &Mutex<RotationReport>) -> MutexGuard<'_, RotationReport> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Records every event and perception of a drive into the files of a folder.
pub struct RotatingRecorder {
    recorder: Recorder,
    state: Arc<Mutex<RotationReport>>,
}

impl RotatingRecorder {
    /// Takes the folder for this program alone, and starts the thread that writes there. `trip` says how each file is
    /// written, `metadata` what each says of itself; items that find the queue full are dropped.
    pub fn start(
        folder: &Path,
        config: &Config,
        trip: &super::Config,
        metadata: &TripMetadata,
        machine: Machine,
    ) -> Result<Self, TripError> {
        config.check().and_then(|()| trip.check()).map_err(TripError::Unstorable)?;
        let trip = super::Config { when_full: WhenFull::Drop, ..trip.clone() };
        let taken = Folder::take(folder)?;
        let state = Arc::new(Mutex::new(RotationReport { found_cut: taken.cut(), ..RotationReport::default() }));
        let plan = Plan { config: config.clone(), trip: trip.clone(), metadata: metadata.clone() };
        let mut reel = Reel::new(taken, plan, machine, Arc::clone(&state));
        let begun = Recorder::begin(&trip, move |items, shared| {
            while let Some(item) = items.pop() {
                reel.take(&item, shared);
            }
            reel.finish(shared);
        });
        let recorder = begun.map_err(|error| TripError::io(folder, "start a thread that writes to it", error))?;
        Ok(Self { recorder, state })
    }

    /// Something to read the report through once the recorder itself is given away.
    pub fn handle(&self) -> RotationHandle {
        RotationHandle { state: Arc::clone(&self.state), recorder: self.recorder.handle() }
    }
}

impl Sink for RotatingRecorder {
    fn on_event(&mut self, event: &Event) -> Result<(), SinkError> {
        self.recorder.on_event(event)
    }

    fn on_perception(&mut self, frame: &AlignedFrame, perception: &Perception) -> Result<(), SinkError> {
        self.recorder.on_perception(frame, perception)
    }

    fn on_ending(&mut self, ending: &Ending) {
        self.recorder.on_ending(ending);
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.recorder.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_outside_their_bounds_are_refused_by_key() {
        assert_eq!(Config::default().check(), Ok(()));
        assert_eq!(toml::from_str::<Config>("").expect("all keys have defaults"), Config::default());
        for (text, key) in [
            ("folder = ''", "record.folder is empty"),
            ("rotate_minutes = 0", "record.rotate_minutes is 0"),
            ("rotate_minutes = 1441", "record.rotate_minutes is 1441"),
            ("rotate_bytes = 5", "record.rotate_bytes is 5"),
            ("keep_free_bytes = 0", "record.keep_free_bytes is 0"),
            ("rotate_bytes = 2000000\nquota_bytes = 3999999", "record.quota_bytes is 3999999"),
        ] {
            let error = toml::from_str::<Config>(text).expect("TOML").check().expect_err(text);
            assert!(error.contains(key), "{text}: {error}");
        }
        assert!(toml::from_str::<Config>("rotate_hours = 1").is_err(), "unknown key");
    }

    #[test]
    fn the_disk_tells_what_is_free() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(free_bytes(folder.path()).expect("a disk") > 0);
        assert!(free_bytes("/nowhere".as_ref()).is_err());
    }
}
