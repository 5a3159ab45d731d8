//! What the recorder's thread does with each item: into the open file, into the next, or, without room, nowhere.
//!
//! ```text
//! recording ──due, and no frame waits for its mask──▶ next file
//!     └──no room, or the disk failed──▶ paused ──room, and the pause is over──▶ next file
//! ```
//!
//! It goes by the stamps of the items, which come all the time: the source ticks where nothing else happens.

use super::folder::{Folder, MAGIC};
use super::{BEGIN_MIB, Config, Machine, RotationReport, lock};
use crate::data::{Ending, Event, FrameId, Stamp};
use crate::trip::recorder::{Item, Shared, write};
use crate::trip::{self, TripError, TripMetadata, TripWriter};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Time between looks at the disk, ns.
const LOOK_NS: i64 = 250_000_000;
/// What a loss of power can cost besides the open chunk, ns.
const SYNC_NS: i64 = 2_000_000_000;
/// How long a file that is due waits for a frame behind an answered one, ns.
const PATIENCE_NS: i64 = 1_000_000_000;
/// The first and the longest pause before the disk is tried again, ns.
const PAUSE_NS: (i64, i64) = (1_000_000_000, 60_000_000_000);
const REMOVED: &str = "the recording was removed while it was written: another is begun";
const CUT: &str = "another program cut the recording while it was written: another is begun";

/// What was asked for.
pub(super) struct Plan {
    pub(super) config: Config,
    /// How each file is written.
    pub(super) trip: trip::Config,
    /// What each file says of itself.
    pub(super) metadata: TripMetadata,
}

/// The state of a recording.
pub(super) struct Reel {
    folder: Folder,
    plan: Plan,
    machine: Machine,
    state: Arc<Mutex<RotationReport>>,
    open: Option<Open>,
    now: Stamp,
    looked: Option<Stamp>,
    /// Not before this is a file begun.
    resume: Stamp,
    pause_ns: i64,
    told_dropped: u64,
}

/// The file being written.
struct Open {
    writer: TripWriter,
    path: PathBuf,
    /// The same file once more: what the writer has given to the system is put on the disk through it.
    file: File,
    bytes: u64,
    began: Stamp,
    synced: Stamp,
    due_since: Option<Stamp>,
    /// The newest frame without a mask.
    waiting: Option<FrameId>,
    dropped_before: BTreeMap<String, u64>,
}

impl Reel {
    pub(super) fn new(folder: Folder, plan: Plan, machine: Machine, state: Arc<Mutex<RotationReport>>) -> Self {
        if let Some(path) = folder.cut() {
            tracing::warn!(path = %path.display(), "the newest recording was cut; it opens up to its last whole chunk");
        }
        let (now, resume, pause_ns, told_dropped) = (Stamp::ZERO, Stamp::ZERO, PAUSE_NS.0, 0);
        Self { folder, plan, machine, state, open: None, now, looked: None, resume, pause_ns, told_dropped }
    }

    /// Writes `item`, or counts it as lost.
    pub(super) fn take(&mut self, item: &Item, shared: &Shared) {
        self.now = self.now.max(item.arrival());
        self.look(shared);
        if self.open.as_mut().is_some_and(|open| open.is_over(self.now, item)) {
            self.close(&Ending::Complete, shared);
        }
        if self.open.is_none() && self.now >= self.resume {
            self.begin(shared);
        }
        self.write(item, shared);
    }

    /// Ends the recording as the drive ended.
    pub(super) fn finish(&mut self, shared: &Shared) {
        if let Some(mut open) = self.open.take() {
            shared.note_ending(&mut open.writer);
            self.end(open, shared);
        }
    }

    fn write(&mut self, item: &Item, shared: &Shared) {
        let _span = tracing::debug_span!("record").entered();
        let Some(open) = &mut self.open else { return shared.count_dropped(item.topic()) };
        match write(&mut open.writer, item) {
            Ok(()) => open.note(item, self.plan.trip.masks),
            Err(error) => {
                shared.count_dropped(item.topic());
                if matches!(error, TripError::Unstorable(_)) {
                    tracing::warn!(%error, "not recorded");
                } else {
                    self.fail(&error.to_string(), shared);
                }
            }
        }
    }

    /// Now and then: how large the file is, whether there is room, and what is written goes to the disk.
    fn look(&mut self, shared: &Shared) {
        if self.looked.is_some_and(|looked| self.now.signed_ns_since(looked) < LOOK_NS) {
            return;
        }
        self.looked = Some(self.now);
        if let Some(reason) = self.open.as_ref().and_then(Open::gone) {
            self.close(&Ending::Failed(reason.to_owned()), shared);
        }
        if let Some(open) = &mut self.open {
            let (now, config) = (self.now, &self.plan.config);
            let looked = open.look(now, config).and_then(|()| self.make_room(self.plan.config.keep_free_bytes));
            match looked {
                Ok(()) => self.pause_ns = self.calm(),
                Err(reason) => self.fail(&reason, shared),
            }
        }
        self.report(shared);
    }

    /// The next pause: short again once a file has been written for longer than the longest.
    fn calm(&self) -> i64 {
        let calm = self.open.as_ref().is_some_and(|open| self.now.signed_ns_since(open.began) > PAUSE_NS.1);
        if calm { PAUSE_NS.0 } else { self.pause_ns }
    }

    fn begin(&mut self, shared: &Shared) {
        let begun = self
            .make_room(self.plan.config.free_to_begin())
            .and_then(|()| self.create(shared).map_err(|error| error.to_string()));
        match begun {
            Ok(open) => {
                tracing::info!(path = %open.path.display(), "recording");
                let mut state = lock(&self.state);
                (state.file, state.paused) = (Some(open.path.clone()), None);
                drop(state);
                self.open = Some(open);
            }
            Err(reason) => self.pause(&reason),
        }
    }

    fn create(&mut self, shared: &Shared) -> Result<Open, TripError> {
        let wall = (self.machine.wall)();
        let path = self.folder.next_path(wall.unix_ns);
        let metadata = TripMetadata { wall: Some(wall), ..self.plan.metadata.clone() };
        let opened = TripWriter::create(&path, &metadata, &self.plan.trip).and_then(|writer| {
            let file = File::open(&path).and_then(|file| self.folder.sync().map(|()| file));
            Ok((writer, file.map_err(|error| TripError::io(&path, "open", error))?))
        });
        let (writer, file) = opened.inspect_err(|_| {
            // It has nothing in it; that it cannot be removed either is no news.
            let _ = std::fs::remove_file(&path);
        })?;
        let (began, synced, due_since, waiting) = (self.now, self.now, None, None);
        let dropped_before = shared.dropped();
        Ok(Open { writer, path, file, bytes: 0, began, synced, due_since, waiting, dropped_before })
    }

    /// Removes our oldest files until the quota is kept and `needed` bytes are free. Where all of them would not be
    /// enough, none is removed for it.
    fn make_room(&mut self, needed: u64) -> Result<(), String> {
        loop {
            let old = self.folder.bytes();
            let ours = old + self.open.as_ref().map_or(0, |open| open.bytes);
            let free = (self.machine.free_bytes)(self.folder.path())
                .map_err(|error| format!("{}: cannot tell what is free: {error}", self.folder.path().display()))?;
            if free.saturating_add(old) < needed {
                return Err(self.short(free, needed));
            }
            if ours <= self.plan.config.quota_bytes && free >= needed {
                return Ok(());
            }
            match self.folder.remove_oldest() {
                Some(removed) => lock(&self.state).removed += u64::from(removed),
                None => return Ok(()),
            }
        }
    }

    fn short(&self, free: u64, needed: u64) -> String {
        let (folder, old) = (self.folder.path().display(), self.folder.bytes());
        format!(
            "{folder}: {free} bytes are free, {needed} are needed (record.keep_free_bytes, and {BEGIN_MIB} MiB or \
             record.rotate_bytes to begin a file), and older recordings hold {old}: free space, or lower these"
        )
    }

    /// The open file cannot go on.
    fn fail(&mut self, reason: &str, shared: &Shared) {
        self.close(&Ending::Failed(reason.to_owned()), shared);
        self.pause(reason);
    }

    fn pause(&mut self, reason: &str) {
        let mut state = lock(&self.state);
        if state.paused.is_none() {
            state.pauses += 1;
            tracing::warn!(reason, "recording stops until it can go on; the drive goes on");
        }
        state.paused = Some(reason.to_owned());
        drop(state);
        self.resume = self.now.offset_ns(self.pause_ns);
        self.pause_ns = (self.pause_ns * 2).min(PAUSE_NS.1);
        if let Some(reporter) = &self.machine.reporter {
            reporter.is_lost(self.now, reason);
        }
    }

    fn close(&mut self, ending: &Ending, shared: &Shared) {
        if let Some(mut open) = self.open.take() {
            open.writer.note_ending(ending, None);
            self.end(open, shared);
        }
    }

    /// What cannot be finished stays as it is: it opens up to its last whole chunk.
    fn end(&mut self, open: Open, shared: &Shared) {
        let gone = open.gone();
        let Open { mut writer, path, bytes, dropped_before, .. } = open;
        writer.note_dropped(since(&dropped_before, shared.dropped()));
        let bytes = match writer.finish() {
            Ok(summary) => summary.bytes,
            Err(error) => {
                tracing::warn!(%error, "a recording could not be finished");
                bytes
            }
        };
        if let Some(reason) = gone {
            return self.tell_gone(&path, reason);
        }
        self.folder.add(path, bytes);
        let mut state = lock(&self.state);
        state.file = None;
        (state.finished, state.finished_bytes) = (state.finished + 1, state.finished_bytes + bytes);
    }

    fn tell_gone(&self, path: &Path, reason: &str) {
        tracing::warn!(path = %path.display(), "{reason}");
        if let Some(reporter) = &self.machine.reporter {
            reporter.count("removed_while_written", 1);
            reporter.falters(self.now, reason);
        }
        let mut state = lock(&self.state);
        (state.file, state.removed_while_written) = (None, state.removed_while_written + 1);
    }

    fn report(&mut self, shared: &Shared) {
        let Some(reporter) = &self.machine.reporter else { return };
        let dropped: u64 = shared.dropped().values().sum();
        if dropped > self.told_dropped {
            reporter.count("dropped", dropped - self.told_dropped);
            if self.open.is_some() {
                reporter.falters(self.now, "the disk is too slow: what it does not take is dropped");
            }
            self.told_dropped = dropped;
        }
        if self.open.is_some() {
            reporter.delivers(self.now);
        }
    }
}

impl Open {
    /// Whether somebody has removed the file, or cut it: then there is a hole where it begins, for the writer goes on
    /// where it was. What is written to it would be gone with it.
    fn gone(&self) -> Option<&'static str> {
        let file = self.file.metadata().ok()?;
        if file.nlink() == 0 {
            return Some(REMOVED);
        }
        let mut head = [0; MAGIC.len()];
        let there = self.file.read_exact_at(&mut head, 0).is_ok();
        (self.bytes > 0 && !(there && head == MAGIC)).then_some(CUT)
    }

    /// Whether `item` belongs to the next file: a frame behind an answered one, or anything if none such comes.
    fn is_over(&mut self, now: Stamp, item: &Item) -> bool {
        let Some(due_since) = self.due_since else { return false };
        match item {
            Item::Perception { .. } => false,
            Item::Event(Event::Frame(_)) if self.waiting.is_none() => true,
            Item::Event(_) => now.signed_ns_since(due_since) > PATIENCE_NS,
        }
    }

    fn note(&mut self, item: &Item, masks: bool) {
        match item {
            Item::Event(Event::Frame(frame)) if masks => self.waiting = Some(frame.id),
            Item::Perception { perception, .. } if self.waiting <= Some(perception.frame) => self.waiting = None,
            _ => (),
        }
    }

    fn look(&mut self, now: Stamp, config: &Config) -> Result<(), String> {
        let failed = |error| format!("{}: {error}", self.path.display());
        self.bytes = self.file.metadata().map_err(failed)?.len();
        if now.signed_ns_since(self.synced) >= SYNC_NS {
            self.file.sync_data().map_err(failed)?;
            self.synced = now;
        }
        let long = now.signed_ns_since(self.began) >= i64::from(config.rotate_minutes) * 60_000_000_000;
        if long || self.bytes >= config.rotate_bytes {
            self.due_since.get_or_insert(now);
        }
        Ok(())
    }
}

/// What was counted since `before`.
fn since(before: &BTreeMap<String, u64>, counted: BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let more = |(topic, count)| {
        let count = count - before.get(&topic).copied().unwrap_or(0);
        (topic, count)
    };
    counted.into_iter().map(more).filter(|(_, count)| *count > 0).collect()
}
