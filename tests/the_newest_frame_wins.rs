//! A pipeline that is slower than the camera answers the newest frame, never an old one, and every frame is accounted for.

use segfuse::align::{self, Aligner};
use segfuse::clock::{MeasuringClock, MonotonicClock};
use segfuse::data::{AlignedFrame, Event, Image, LabelMask, Origin, Perception, PixelFormat, Size, Stamp};
use segfuse::perceive::{EngineError, Perceive};
use segfuse::pipeline::Pipeline;
use segfuse::sink::{Sink, SinkError};
use segfuse::source::inbox::{Inbox, Intake};
use segfuse::source::{Source, SourceError};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const SIZE: Size = Size::new(4, 4);
const PERIOD: Duration = Duration::from_millis(33);
const SLOW: Duration = Duration::from_millis(500);
/// What a busy machine may be late by, besides.
const SLACK_MS: f64 = 60.0;

/// Takes half a second for a mask.
struct Slow;

impl Perceive for Slow {
    fn perceive(&mut self, frame: &AlignedFrame) -> Result<Perception, EngineError> {
        std::thread::sleep(SLOW);
        let (id, stamp) = (frame.frame.id, frame.frame.stamp);
        let mask = LabelMask::new(SIZE, vec![0; SIZE.pixels()].into()).expect("right length");
        let (age, confidence, disagreement, late) = (None, None, None, None);
        Ok(Perception { frame: id, stamp, origin: Origin::Key, mask, age, confidence, disagreement, late })
    }
}

/// Notes how old each mask's picture is.
#[derive(Default)]
struct Ages {
    ms: Vec<f64>,
    lost: u64,
}

impl Sink for Ages {
    fn on_event(&mut self, event: &Event) -> Result<(), SinkError> {
        if let Event::Lost { frames, .. } = event {
            self.lost += u64::from(*frames);
        }
        Ok(())
    }

    fn on_perception(&mut self, _: &AlignedFrame, perception: &Perception) -> Result<(), SinkError> {
        self.ms.push(MonotonicClock.now().signed_ns_since(perception.stamp) as f64 / 1e6);
        Ok(())
    }
}

/// Thirty frames a second until told to stop; gives how many there were.
fn camera(intake: Intake, stop: Arc<AtomicBool>) -> std::thread::JoinHandle<u64> {
    std::thread::spawn(move || {
        let mut frames = 0;
        while !stop.load(Ordering::Relaxed) {
            let image = Image::packed(PixelFormat::Grey, SIZE, vec![0; SIZE.pixels()].into()).expect("right length");
            intake.frame(MonotonicClock.now(), image);
            frames += 1;
            std::thread::sleep(PERIOD);
        }
        frames
    })
}

/// Ends once `until` has come and the camera is told so, after what waits has been taken.
struct Timed {
    inbox: Inbox,
    until: Stamp,
    stop: Arc<AtomicBool>,
}

impl Source for Timed {
    fn next(&mut self) -> Result<Option<Event>, SourceError> {
        if MonotonicClock.now() >= self.until {
            self.stop.store(true, Ordering::Relaxed);
        }
        self.inbox.next()
    }
}

#[test]
fn a_pipeline_of_two_masks_a_second_gets_no_frame_older_than_a_period() {
    let (inbox, intake) = Inbox::new(Arc::new(|| MonotonicClock.now()));
    let stop = Arc::new(AtomicBool::new(false));
    let camera = camera(intake, Arc::clone(&stop));
    let until = MonotonicClock.now().after(Duration::from_secs(4));
    let (mut slow, mut ages) = (Slow, Ages::default());
    let aligner = Aligner::new(align::Config { max_wait_ms: 0, ..align::Config::default() });
    let mut source = Timed { inbox, until, stop };
    let (counts, ended) = Pipeline::new(aligner, &mut slow, vec![&mut ages]).run(&mut source, &|| false);
    ended.expect("nothing fails");
    let made = camera.join().expect("it ends");
    assert_eq!((counts.captured, counts.published + counts.dropped), (made, made));
    assert_eq!(counts.dropped, ages.lost, "each frame that made way is told");
    assert!((7..=10).contains(&counts.published), "{counts:?}");
    let bound = (SLOW + PERIOD).as_secs_f64() * 1e3 + SLACK_MS;
    assert!(ages.ms.iter().all(|&age| age <= bound), "more than {bound} ms: {:?}", ages.ms);
}
