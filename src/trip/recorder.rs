//! The sink that records: a bounded queue and a thread of its own before the disk.
//!
//! ```text
//! pipeline ─clone (shared bytes)─▶ queue ─▶ recorder thread ─▶ TripWriter ─▶ disk
//! ```
//!
//! With [`WhenFull::Drop`] the pipeline never waits for the disk: what does not fit, and everything
//! after the disk failed, is dropped and counted by topic. With [`WhenFull::Wait`] a recording is
//! whole or the run has failed: the sink then says so at the next item.

use super::message::Kind;
use super::queue::{Queue, Refused};
use super::summary::TripSummary;
use super::writer::{Config, TripWriter, WhenFull};
use super::{SourceCondition, TripError, TripMetadata};
use crate::data::{AlignedFrame, Ending, Event, Image, Perception, Plane, Stamp};
use crate::sink::{Sink, SinkError};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

const NAME: &str = "trip";
/// What an item costs besides its pictures, about.
const ITEM_BYTES: usize = 256;

/// How a recording went, or goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RecordingReport {
    /// What the file holds, once it is finished.
    pub summary: Option<TripSummary>,
    /// What could not be written, by topic.
    pub dropped: BTreeMap<String, u64>,
    /// Why writing stopped early.
    pub failure: Option<String>,
}

/// Looks into a recording from outside, while it runs and afterwards.
#[derive(Clone, Debug)]
pub struct RecorderHandle(Arc<Shared>);

impl RecorderHandle {
    /// The report as it stands.
    pub fn report(&self) -> RecordingReport {
        self.0.lock().clone()
    }

    /// In what condition the trip is that is being recorded anew, for the end of the file; the last word counts.
    pub fn note_source(&self, condition: SourceCondition) {
        *self.0.source.lock().unwrap_or_else(PoisonError::into_inner) = Some(condition);
    }
}

#[derive(Debug, Default)]
pub(super) struct Shared {
    report: Mutex<RecordingReport>,
    failed: AtomicBool,
    ending: Mutex<Option<Ending>>,
    frames_expected: Mutex<Option<u64>>,
    source: Mutex<Option<SourceCondition>>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, RecordingReport> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn count_dropped(&self, topic: &str) {
        let mut report = self.lock();
        match report.dropped.get_mut(topic) {
            Some(count) => *count += 1,
            None => drop(report.dropped.insert(topic.to_owned(), 1)),
        }
    }

    /// What could not be written so far, by topic.
    pub(super) fn dropped(&self) -> BTreeMap<String, u64> {
        self.lock().dropped.clone()
    }

    pub(super) fn note_ending(&self, writer: &mut TripWriter) {
        let frames_expected = *self.frames_expected.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ending) = &*self.ending.lock().unwrap_or_else(PoisonError::into_inner) {
            writer.note_ending(ending, frames_expected);
        }
        if let Some(condition) = *self.source.lock().unwrap_or_else(PoisonError::into_inner) {
            writer.note_source(condition);
        }
    }

    fn fail(&self, error: &TripError) {
        self.failed.store(true, Ordering::Release);
        self.lock().failure = Some(error.to_string());
    }
}

#[derive(Debug)]
pub(super) enum Item {
    Event(Event),
    Perception { arrival: Stamp, perception: Perception },
}

impl Item {
    pub(super) fn arrival(&self) -> Stamp {
        match self {
            Self::Event(event) => event.arrival(),
            Self::Perception { arrival, .. } => *arrival,
        }
    }

    pub(super) fn topic(&self) -> &'static str {
        let kind = match self {
            Self::Event(Event::Frame(_)) => Kind::Raw,
            Self::Event(Event::Truth(_)) => Kind::Truth,
            Self::Event(Event::Can(_)) => Kind::Can,
            Self::Event(Event::State(_)) => Kind::State,
            Self::Event(Event::Lost { .. }) => Kind::Lost,
            Self::Event(Event::Tick(_)) => Kind::Tick,
            Self::Perception { .. } => Kind::Mask,
        };
        kind.topic()
    }

    fn bytes(&self) -> usize {
        let plane = |plane: &Option<Plane>| plane.as_ref().map_or(0, |plane| plane.bytes().len());
        let pictures = match self {
            Self::Event(Event::Frame(frame)) => Image::bytes(&frame.image).len(),
            Self::Event(Event::Truth(truth)) => truth.labels.bytes().len(),
            Self::Event(_) => 0,
            Self::Perception { perception, .. } => {
                perception.mask.labels().len() + plane(&perception.age) + plane(&perception.confidence)
            }
        };
        ITEM_BYTES + pictures
    }
}

/// Records every event and perception of a run.
pub struct Recorder {
    queue: Arc<Queue<Item>>,
    shared: Arc<Shared>,
    config: Config,
    thread: Option<JoinHandle<()>>,
}

impl Recorder {
    /// Starts the trip `path`, and the thread that writes it.
    pub fn start(path: &Path, metadata: &TripMetadata, config: &Config) -> Result<Self, TripError> {
        let writer = TripWriter::create(path, metadata, config)?;
        let begun = Self::begin(config, move |items, shared| record(items, writer, shared));
        begun.map_err(|error| TripError::io(path, "start a thread that writes to it", error))
    }

    /// A recorder whose thread does `work` on what is queued, until the queue is closed and empty.
    pub(super) fn begin(
        config: &Config,
        work: impl FnOnce(&Queue<Item>, &Shared) + Send + 'static,
    ) -> io::Result<Self> {
        let queue = Arc::new(Queue::new(config.queue_items, config.queue_bytes));
        let shared = Arc::new(Shared::default());
        let (items, seen) = (Arc::clone(&queue), Arc::clone(&shared));
        let thread = std::thread::Builder::new().name("trip-recorder".into());
        let thread = thread.spawn(move || {
            let _close = CloseOnDrop(&items);
            work(&items, &seen);
        })?;
        Ok(Self { queue, shared, config: config.clone(), thread: Some(thread) })
    }

    /// Something to read the report through once the recorder itself is given away.
    pub fn handle(&self) -> RecorderHandle {
        RecorderHandle(Arc::clone(&self.shared))
    }

    /// How many frames the recording is to have, for the end of the file.
    pub fn expect_frames(&self, frames: Option<u64>) {
        *self.shared.frames_expected.lock().unwrap_or_else(PoisonError::into_inner) = frames;
    }

    fn offer(&self, item: Item) -> Result<(), SinkError> {
        let (topic, bytes) = (item.topic(), item.bytes());
        let wait = self.config.when_full == WhenFull::Wait;
        if self.shared.failed.load(Ordering::Acquire) {
            let dropped = self.dropped(topic, "recording has stopped");
            return if wait { self.outcome() } else { Err(dropped) };
        }
        self.queue.push(item, bytes, wait).map_err(|refused| self.dropped(topic, &reason(refused)))
    }

    fn dropped(&self, topic: &str, reason: &str) -> SinkError {
        self.shared.count_dropped(topic);
        SinkError::Dropped { sink: NAME, reason: format!("{topic}: {reason}") }
    }

    fn outcome(&self) -> Result<(), SinkError> {
        let failure = self.shared.lock().failure.clone();
        failure.map_or(Ok(()), |reason| Err(SinkError::Failed { sink: NAME, source: reason.into() }))
    }

    fn close(&mut self) {
        self.queue.close();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            self.shared.lock().failure = Some("the recorder's thread panicked".into());
        }
    }
}

fn reason(refused: Refused) -> String {
    match refused {
        Refused::Full { items, bytes } => format!("{items} items with {bytes} bytes wait for the disk"),
        Refused::Closed => "recording has ended".into(),
    }
}

impl Sink for Recorder {
    fn on_event(&mut self, event: &Event) -> Result<(), SinkError> {
        if self.config.wants(event) { self.offer(Item::Event(event.clone())) } else { Ok(()) }
    }

    fn on_perception(&mut self, frame: &AlignedFrame, perception: &Perception) -> Result<(), SinkError> {
        if !self.config.masks && perception.late.is_none() {
            return Ok(());
        }
        self.offer(Item::Perception { arrival: frame.frame.arrival, perception: perception.clone() })
    }

    fn on_ending(&mut self, ending: &Ending) {
        *self.shared.ending.lock().unwrap_or_else(PoisonError::into_inner) = Some(ending.clone());
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.close();
        self.outcome()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.close();
    }
}

/// Closes the queue however its consumer ends: nobody may wait for a thread that is gone.
struct CloseOnDrop<'a>(&'a Queue<Item>);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// The recorder's thread: until the queue is closed and empty.
fn record(queue: &Queue<Item>, writer: TripWriter, shared: &Shared) {
    let mut writer = Some(writer);
    while let Some(item) = queue.pop() {
        let Some(open) = &mut writer else {
            shared.count_dropped(item.topic());
            continue;
        };
        let _span = tracing::debug_span!("record").entered();
        if let Err(error) = write(open, &item) {
            shared.count_dropped(item.topic());
            if matches!(error, TripError::Unstorable(_)) {
                tracing::warn!(%error, "not recorded");
            } else {
                shared.fail(&error);
                writer = None;
            }
        }
    }
    if let Some(mut writer) = writer {
        writer.note_dropped(shared.lock().dropped.clone());
        shared.note_ending(&mut writer);
        match writer.finish() {
            Ok(summary) => shared.lock().summary = Some(summary),
            Err(error) => shared.fail(&error),
        }
    }
}

pub(super) fn write(writer: &mut TripWriter, item: &Item) -> Result<(), TripError> {
    match item {
        Item::Event(event) => writer.write_event(event),
        Item::Perception { arrival, perception } => writer.write_perception(*arrival, perception),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A recording whose disk failed.
    fn failed(when_full: WhenFull) -> Recorder {
        let folder = tempfile::tempdir().expect("a folder");
        let config = Config { when_full, ..Config::default() };
        let path = folder.path().join("run.mcap");
        let recorder = Recorder::start(&path, &TripMetadata::default(), &config).expect("room");
        recorder.shared.fail(&TripError::io(&path, "write", std::io::Error::from_raw_os_error(28)));
        recorder
    }

    #[test]
    fn a_replay_that_cannot_be_recorded_is_told_so_at_the_next_event_in_the_systems_words() {
        let error = failed(WhenFull::Wait).on_event(&Event::Tick(Stamp::ZERO)).expect_err("the disk failed");
        assert!(matches!(error, SinkError::Failed { .. }), "{error}");
        assert!(error.to_string().contains("run.mcap: cannot write: No space left"), "{error}");
    }

    #[test]
    fn a_live_recording_whose_disk_failed_drops_and_counts_and_the_drive_goes_on() {
        let mut recorder = failed(WhenFull::Drop);
        let error = recorder.on_event(&Event::Tick(Stamp::ZERO)).expect_err("the disk failed");
        assert!(matches!(error, SinkError::Dropped { .. }), "{error}");
        assert_eq!(recorder.handle().report().dropped.values().sum::<u64>(), 1);
    }
}
