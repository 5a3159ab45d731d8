//! A pipeline that is slower than the camera answers the newest frame, never an old one, and every frame is accounted for.
//!
//! What is held is exact, whatever the machine does meanwhile: when a mask is published, its picture is older than the time
//! that the pipeline itself took for it by less than one period, the time from that picture's being given to the next
//! one's. Both are read off the clock; on a clock of the test's own they are what they are meant to be.

use segfuse::align::{self, Aligner};
use segfuse::clock::{MeasuringClock, MonotonicClock};
use segfuse::data::{AlignedFrame, Event, Image, LabelMask, Origin, Perception, PixelFormat, Size, Stamp};
use segfuse::perceive::{EngineError, Perceive};
use segfuse::pipeline::{Counts, Pipeline};
use segfuse::sink::{Sink, SinkError};
use segfuse::source::inbox::{Inbox, Intake, Now};
use segfuse::source::{Source, SourceError};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const SIZE: Size = Size::new(4, 4);
const PERIOD: Duration = Duration::from_millis(33);
const SLOW: Duration = Duration::from_millis(500);

fn image() -> Image {
    Image::packed(PixelFormat::Grey, SIZE, vec![0; SIZE.pixels()].into()).expect("right length")
}

/// Takes half a second for a mask, or what `work` does.
struct Slow<W>(W);

impl<W: FnMut()> Perceive for Slow<W> {
    fn perceive(&mut self, frame: &AlignedFrame) -> Result<Perception, EngineError> {
        (self.0)();
        let (id, stamp) = (frame.frame.id, frame.frame.stamp);
        let mask = LabelMask::new(SIZE, vec![0; SIZE.pixels()].into()).expect("right length");
        let (age, confidence, disagreement, late) = (None, None, None, None);
        Ok(Perception { frame: id, stamp, origin: Origin::Key, mask, age, confidence, disagreement, late })
    }
}

/// A mask that was published.
struct Mask {
    /// When its picture was given: the stamp, and what the inbox says.
    given: [Stamp; 2],
    /// When the pipeline turned to what waited, and found this.
    turned: Stamp,
    published: Stamp,
}

/// Notes what became of each frame.
struct Notes {
    now: Now,
    /// When the pipeline last turned to what waited.
    turned: Rc<Cell<Stamp>>,
    masks: Vec<Mask>,
    lost: u64,
}

impl Notes {
    fn new(now: &Now) -> Self {
        Self { now: Arc::clone(now), turned: Rc::default(), masks: Vec::new(), lost: 0 }
    }
}

impl Sink for Notes {
    fn on_event(&mut self, event: &Event) -> Result<(), SinkError> {
        if let Event::Lost { frames, .. } = event {
            self.lost += u64::from(*frames);
        }
        Ok(())
    }

    fn on_perception(&mut self, frame: &AlignedFrame, perception: &Perception) -> Result<(), SinkError> {
        let given = [perception.stamp, frame.frame.arrival];
        self.masks.push(Mask { given, turned: self.turned.get(), published: (self.now)() });
        Ok(())
    }
}

/// The inbox, and when it was turned to.
struct Turning {
    inbox: Inbox,
    now: Now,
    turned: Rc<Cell<Stamp>>,
}

impl Source for Turning {
    fn next(&mut self) -> Result<Option<Event>, SourceError> {
        self.turned.set((self.now)());
        self.inbox.next()
    }
}

/// Runs a pipeline that does `work` for each mask on what comes through `inbox`.
fn run(inbox: Inbox, now: &Now, work: impl FnMut()) -> (Counts, Notes) {
    let mut notes = Notes::new(now);
    let mut source = Turning { inbox, now: Arc::clone(now), turned: Rc::clone(&notes.turned) };
    let aligner = Aligner::new(align::Config { max_wait_ms: 0, ..align::Config::default() });
    let (counts, ended) = Pipeline::new(aligner, &mut Slow(work), vec![&mut notes]).run(&mut source, &|| false);
    ended.expect("nothing fails");
    (counts, notes)
}

/// Holds each mask to the frames given, at `times` in order: by the time that the pipeline turned to what waited, none newer
/// than its own picture had been given. Its own time for a mask is from then on.
fn hold_to_the_newest(masks: &[Mask], times: &[Stamp]) {
    for mask in masks {
        let [stamp, arrival] = mask.given;
        let next = times.iter().copied().find(|given| *given > arrival).unwrap_or(Stamp::MAX);
        let own_ns = mask.published.signed_ns_since(mask.turned);
        let age_ns = mask.published.signed_ns_since(arrival);
        let period_ns = next.signed_ns_since(arrival);
        assert!(
            age_ns - own_ns <= period_ns,
            "{stamp}: {age_ns} ns old, {own_ns} ns its own time, {period_ns} ns apart"
        );
    }
}

#[test]
fn on_a_clock_of_its_own_a_pipeline_of_two_masks_a_second_publishes_none_older_than_its_time_and_a_period() {
    const FRAMES: u64 = 400;
    let clock = Arc::new(AtomicU64::new(1_000_000_000));
    let read = Arc::clone(&clock);
    let now: Now = Arc::new(move || Stamp::from_ns(read.load(Ordering::Relaxed)));
    let (inbox, intake) = Inbox::new(Arc::clone(&now));
    let mut intake = Some(intake);
    let (mut times, mut next) = (Vec::new(), now());
    // Half a second, in which the camera goes on.
    let mut work = || {
        let ends = now().after(SLOW);
        while next <= ends && (times.len() as u64) < FRAMES {
            clock.store(next.ns(), Ordering::Relaxed);
            intake.as_ref().expect("there are frames left").frame(next, None, image());
            times.push(next);
            next = next.after(PERIOD);
        }
        if times.len() as u64 == FRAMES {
            intake.take();
        }
        clock.store(ends.ns(), Ordering::Relaxed);
    };
    work();
    let (counts, notes) = run(inbox, &now, &mut work);
    assert_eq!((counts.captured, counts.published + counts.dropped), (FRAMES, FRAMES));
    assert_eq!((counts.dropped, counts.published), (notes.lost, FRAMES * 33 / 500 + 1));
    let most_ns = (SLOW + PERIOD).as_nanos() as i64;
    let ages: Vec<_> = notes.masks.iter().map(|mask| mask.published.signed_ns_since(mask.given[0])).collect();
    let (last, others) = ages.split_last().expect("there are masks");
    assert!(others.iter().all(|&age_ns| (SLOW.as_nanos() as i64..most_ns).contains(&age_ns)), "{ages:?}");
    // No frame comes after the last: it waits for the mask before.
    assert!(*last <= 2 * most_ns, "{last}");
    hold_to_the_newest(&notes.masks, &times);
}

/// Thirty frames a second until told to stop; gives when each was given.
fn camera(intake: Intake, stop: Arc<AtomicBool>, given: Arc<Mutex<Vec<Stamp>>>) -> std::thread::JoinHandle<Vec<Stamp>> {
    std::thread::spawn(move || {
        let mut frames = 0;
        while !stop.load(Ordering::Relaxed) {
            intake.frame(MonotonicClock.now(), None, image());
            frames += 1;
            std::thread::sleep(PERIOD);
        }
        let given = given.lock().unwrap_or_else(PoisonError::into_inner).clone();
        assert_eq!(given.len(), frames, "the inbox reads the clock once for each frame");
        given
    })
}

#[test]
fn a_pipeline_of_two_masks_a_second_gets_no_frame_older_than_a_period() {
    // What the inbox reads off the clock while it takes a frame in, on the camera's thread, is when that was given.
    let given = Arc::new(Mutex::new(Vec::new()));
    let (read, here) = (Arc::clone(&given), std::thread::current().id());
    let (inbox, intake) = Inbox::new(Arc::new(move || {
        let now = MonotonicClock.now();
        if std::thread::current().id() != here {
            read.lock().unwrap_or_else(PoisonError::into_inner).push(now);
        }
        now
    }));
    let stop = Arc::new(AtomicBool::new(false));
    let camera = camera(intake, Arc::clone(&stop), given);
    let until = MonotonicClock.now().after(Duration::from_secs(4));
    let now: Now = Arc::new(|| MonotonicClock.now());
    let (counts, notes) = run(inbox, &now, || {
        std::thread::sleep(SLOW);
        if MonotonicClock.now() >= until {
            stop.store(true, Ordering::Relaxed);
        }
    });
    let times = camera.join().expect("it ends");
    let made = times.len() as u64;
    assert_eq!((counts.captured, counts.published + counts.dropped), (made, made));
    assert_eq!(counts.dropped, notes.lost, "each frame that made way is told");
    assert!((7..=10).contains(&counts.published), "{counts:?}");
    hold_to_the_newest(&notes.masks, &times);
}
