//! Where live sources meet: many threads put in, the pipeline's thread takes out one stream of events.
//!
//! ```text
//! camera thread ──frame, lost──▶ the newest frame ┐
//! bus thread ────CAN frames────▶ a bounded queue  ├─ by arrival ─▶ Inbox::next ─▶ the pipeline
//! bus thread ────CAN frames────▶ (the same)       ┘  nothing: a tick
//! ```
//!
//! **Order.** A thing's arrival is read off the clock inside the lock that orders the stream, so nothing ever comes
//! late to it and nothing waits for another source; how long a frame waits for samples older than itself is the
//! aligner's to bound. **The newest frame wins.** One frame waits here at most: a newer one takes its place, and the
//! stream tells that one was lost. **CAN frames** queue; where the queue is full the oldest go, and are counted.

use super::{Source, SourceError};
use crate::data::{CanFrame, CanFrameError, CanId, Event, Frame, FrameId, Image, SourceStamp, Stamp};
use heapless::Deque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// CAN frames that may wait: half a second of a full 1 Mbit/s bus of short frames.
const QUEUE: usize = 4096;
/// How long the pipeline waits before it is told that nothing came: sinks and the wait for samples go by it.
const TICK: Duration = Duration::from_millis(10);

/// Reads the monotonic clock.
pub type Now = Arc<dyn Fn() -> Stamp + Send + Sync>;

/// The pipeline's end: a [`Source`] that ends only with its last [`Intake`].
pub struct Inbox(Arc<Shared>);

/// A source thread's end. Clones put into the same inbox.
pub struct Intake(Arc<Shared>);

/// What has gone through the inbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Frames put in.
    pub frames: u64,
    /// Of these, frames whose place a newer one took because the pipeline had not taken them.
    pub replaced: u64,
    /// Of these, how many the pipeline has been told of, as lost.
    pub replaced_told: u64,
    /// Frames that the camera made and that never were put in.
    pub lost: u64,
    /// CAN frames put in.
    pub can_frames: u64,
    /// Of these, frames that made room for newer ones.
    pub can_overflow: u64,
    /// The most CAN frames that waited at once.
    pub can_most_waiting: u64,
}

struct Shared {
    now: Now,
    waiting: Mutex<Waiting>,
    something: Condvar,
}

/// What waits. Each of the three is in order of arrival by itself.
#[derive(Default)]
struct Waiting {
    can: Box<Deque<CanFrame, QUEUE>>,
    frame: Option<Frame>,
    /// Frames to be told as lost before the frame that waits, and when the first of them was missed.
    lost: Option<(Stamp, u32)>,
    /// The same behind it.
    lost_after: Option<(Stamp, u32)>,
    next_id: u64,
    intakes: usize,
    failure: Option<Box<dyn std::error::Error + Send + Sync>>,
    counts: Counts,
    ticked: Stamp,
}

impl Inbox {
    /// An inbox and the first way into it; `now` reads the monotonic clock.
    pub fn new(now: Now) -> (Self, Intake) {
        let waiting = Mutex::new(Waiting { intakes: 1, ..Waiting::default() });
        let shared = Arc::new(Shared { now, waiting, something: Condvar::new() });
        (Self(Arc::clone(&shared)), Intake(shared))
    }

    /// What has gone through so far.
    pub fn counts(&self) -> Counts {
        self.0.lock().counts
    }
}

impl Source for Inbox {
    /// The next event. If nothing comes for 10 ms, a tick, so that whoever asks is never held up for longer.
    fn next(&mut self) -> Result<Option<Event>, SourceError> {
        let mut waiting = self.0.lock();
        if let Some(event) = waiting.take_first() {
            return Ok(Some(event));
        }
        if let Some(failure) = waiting.failure.take() {
            return Err(SourceError::Stopped(failure));
        }
        if waiting.intakes == 0 {
            return Ok(None);
        }
        (waiting, _) = (self.0.something)
            .wait_timeout_while(waiting, TICK, |waiting| waiting.is_idle())
            .unwrap_or_else(PoisonError::into_inner);
        // Under the lock, so that nothing with an earlier arrival can follow the tick.
        let now = (self.0.now)().max(waiting.ticked);
        let event = waiting.take_first().unwrap_or(Event::Tick(now));
        waiting.ticked = event.arrival().max(waiting.ticked);
        Ok(Some(event))
    }
}

impl Intake {
    /// A camera frame exposed in the middle at `stamp`, with its driver's number. One that still waits is lost: the newest
    /// wins.
    pub fn frame(&self, stamp: Stamp, sequence: Option<u32>, image: Image) {
        self.put(|waiting, arrival| {
            waiting.give_way(arrival);
            let id = FrameId(waiting.next_id);
            waiting.next_id += 1;
            waiting.counts.frames += 1;
            waiting.frame = Some(Frame { id, sequence, stamp, arrival, image });
        });
    }

    /// Frames that the camera made and that never came.
    pub fn lost(&self, frames: u32) {
        if frames == 0 {
            return;
        }
        self.put(|waiting, arrival| {
            waiting.counts.lost += u64::from(frames);
            let told = if waiting.frame.is_some() { &mut waiting.lost_after } else { &mut waiting.lost };
            add(told, arrival, frames);
        });
    }

    /// A CAN frame that was on the bus at `taken`; of one that is none, the error.
    pub fn can(&self, bus: u8, id: CanId, taken: SourceStamp, payload: &[u8]) -> Result<(), CanFrameError> {
        let mut outcome = Ok(());
        self.put(|waiting, arrival| match CanFrame::new(bus, id, taken, arrival, payload) {
            Ok(frame) => waiting.queue(frame),
            Err(error) => outcome = Err(error),
        });
        outcome
    }

    /// A source cannot ever go on: the pipeline is told once all that waits is taken.
    pub fn fail(&self, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) {
        let error = error.into();
        self.put(|waiting, _| waiting.failure = Some(error));
    }

    /// Now, on the clock of arrivals.
    pub fn now(&self) -> Stamp {
        (self.0.now)()
    }

    fn put(&self, act: impl FnOnce(&mut Waiting, Stamp)) {
        let mut waiting = self.0.lock();
        let arrival = (self.0.now)().max(waiting.ticked);
        act(&mut waiting, arrival);
        drop(waiting);
        self.0.something.notify_one();
    }
}

impl Clone for Intake {
    fn clone(&self) -> Self {
        self.0.lock().intakes += 1;
        Self(Arc::clone(&self.0))
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        self.0.lock().intakes -= 1;
        self.0.something.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn is_idle(&self) -> bool {
        self.can.is_empty() && self.frame.is_none() && self.lost.is_none() && self.failure.is_none() && self.intakes > 0
    }

    fn queue(&mut self, frame: CanFrame) {
        self.counts.can_frames += 1;
        if self.can.is_full() {
            self.can.pop_front();
            self.counts.can_overflow += 1;
        }
        self.can.push_back(frame).expect("its oldest was taken out where it was full");
        self.counts.can_most_waiting = self.counts.can_most_waiting.max(self.can.len() as u64);
    }

    /// The frame that waits makes room for one that came at `arrival`.
    fn give_way(&mut self, arrival: Stamp) {
        if self.frame.take().is_some() {
            self.counts.replaced += 1;
            add(&mut self.lost, arrival, 1);
        }
        if let Some((since, frames)) = self.lost_after.take() {
            add(&mut self.lost, since, frames);
        }
    }

    /// What came first of all that waits. Lost frames go before the frame that came after them.
    fn take_first(&mut self) -> Option<Event> {
        let can = self.can.front().map(|frame| frame.arrival);
        let lost = self.lost.map(|(stamp, _)| stamp);
        let frame = self.frame.as_ref().map(|frame| frame.arrival);
        let first = [can, lost, frame].into_iter().flatten().min()?;
        if can == Some(first) {
            return self.can.pop_front().map(Event::Can);
        }
        if lost == Some(first) {
            // All that were replaced so far are in it.
            self.counts.replaced_told = self.counts.replaced;
            return self.lost.take().map(|(stamp, frames)| Event::Lost { stamp, frames });
        }
        self.lost = self.lost_after.take();
        self.frame.take().map(Event::Frame)
    }
}

fn add(lost: &mut Option<(Stamp, u32)>, at: Stamp, frames: u32) {
    let (since, before) = lost.unwrap_or((at, 0));
    *lost = Some((since.min(at), before.saturating_add(frames)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{PixelFormat, Size};
    use std::sync::atomic::{AtomicU64, Ordering};

    /// An inbox whose clock shows what the test says, in ms.
    fn inbox() -> (Inbox, Intake, Arc<AtomicU64>) {
        let clock = Arc::new(AtomicU64::new(1));
        let read = Arc::clone(&clock);
        let (inbox, intake) = Inbox::new(Arc::new(move || Stamp::from_ns(read.load(Ordering::Relaxed) * 1_000_000)));
        (inbox, intake, clock)
    }

    fn image() -> Image {
        Image::packed(PixelFormat::Grey, Size::new(2, 2), vec![0; 4].into()).expect("4 bytes")
    }

    fn can(intake: &Intake, id: u16) {
        intake.can(0, CanId::Standard(id), SourceStamp::realtime(0), &[1]).expect("a frame");
    }

    /// What the inbox holds, in a letter and a number each.
    fn told(inbox: &mut Inbox) -> Vec<String> {
        let next = || match inbox.next().expect("nothing failed") {
            Some(Event::Frame(frame)) => Some(format!("F{}", frame.id.0)),
            Some(Event::Can(frame)) => Some(format!("C{}", frame.id.raw())),
            Some(Event::Lost { frames, .. }) => Some(format!("L{frames}")),
            _ => None,
        };
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn events_come_in_the_order_of_their_arrival() {
        let (mut inbox, intake, clock) = inbox();
        for step in 0..9 {
            clock.store(10 + step, Ordering::Relaxed);
            match step {
                4 => intake.frame(Stamp::ZERO, None, image()),
                6 => intake.lost(2),
                _ => can(&intake, step as u16),
            }
        }
        assert_eq!(told(&mut inbox), ["C0", "C1", "C2", "C3", "F0", "C5", "L2", "C7", "C8"]);
    }

    #[test]
    fn a_newer_frame_takes_the_place_of_one_that_waits_and_the_loss_is_told_in_its_place() {
        let (mut inbox, intake, clock) = inbox();
        intake.frame(Stamp::ZERO, None, image());
        intake.lost(2);
        for at in [5, 6] {
            clock.store(at, Ordering::Relaxed);
            intake.frame(Stamp::from_ns(at), None, image());
        }
        intake.lost(7);
        assert_eq!(told(&mut inbox), ["L4", "F2", "L7"]);
        let counts = inbox.counts();
        assert_eq!((counts.frames, counts.replaced, counts.lost), (3, 2, 9));
        assert_eq!(counts.replaced_told, 2);
        // One is replaced that nobody is told of any more, as when the pipeline stops.
        (0..2).for_each(|_| intake.frame(Stamp::ZERO, None, image()));
        let counts = inbox.counts();
        assert_eq!((counts.replaced, counts.replaced_told), (3, 2));
    }

    #[test]
    fn a_full_queue_loses_its_oldest_frames_and_counts_them() {
        let (mut inbox, intake, _) = inbox();
        (0..QUEUE as u16 + 3).for_each(|id| can(&intake, id % 2048));
        assert_eq!(told(&mut inbox)[..2], ["C3", "C4"]);
        let counts = inbox.counts();
        assert_eq!((counts.can_overflow, counts.can_most_waiting), (3, QUEUE as u64));
    }

    #[test]
    fn a_payload_that_no_bus_carries_is_refused() {
        let (mut inbox, intake, _) = inbox();
        assert!(intake.can(0, CanId::Standard(1), SourceStamp::realtime(0), &[0; 65]).is_err());
        assert_eq!(told(&mut inbox), [""; 0]);
    }

    #[test]
    fn where_nothing_comes_there_are_ticks_and_nothing_arrives_before_one() {
        let (mut inbox, intake, clock) = inbox();
        clock.store(50, Ordering::Relaxed);
        let ticked = inbox.next().expect("nothing failed");
        assert_eq!(ticked, Some(Event::Tick(Stamp::from_ns(50_000_000))));
        clock.store(40, Ordering::Relaxed);
        can(&intake, 1);
        let arrival = inbox.next().expect("nothing failed").expect("a frame").arrival();
        assert_eq!(arrival, Stamp::from_ns(50_000_000));
    }

    #[test]
    fn the_stream_ends_with_its_last_source_and_a_failure_comes_after_all_that_waits() {
        let (mut inbox, intake, _) = inbox();
        let other = intake.clone();
        can(&intake, 1);
        other.fail("the camera cannot do 999x999");
        drop(other);
        assert!(matches!(inbox.next(), Ok(Some(Event::Can(_)))));
        let error = inbox.next().expect_err("it failed").to_string();
        assert_eq!(error, "the camera cannot do 999x999");
        drop(intake);
        assert_eq!(inbox.next().expect("all is told"), None);
    }

    #[test]
    fn a_thread_that_waits_is_woken_by_what_comes() {
        let (mut inbox, intake, _) = inbox();
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(2));
            (0..100).for_each(|id| can(&intake, id));
        });
        let mut seen = 0;
        while let Some(event) = inbox.next().expect("nothing failed") {
            seen += u32::from(matches!(event, Event::Can(_)));
        }
        thread.join().expect("it ends");
        assert_eq!(seen, 100);
    }
}
