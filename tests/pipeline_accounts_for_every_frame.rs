//! The loop loses nothing unseen: captured = published + dropped, whatever source, engine and sinks do.

use segfuse::align::{Aligner, Config};
use segfuse::data::{
    AlignedFrame, Event, Frame, FrameId, Image, LabelMask, Origin, Perception, PixelFormat, Size, Stamp,
};
use segfuse::engine::EngineError;
use segfuse::perceive::Perceive;
use segfuse::pipeline::{Counts, Pipeline, PipelineError};
use segfuse::sink::{Sink, SinkError};
use segfuse::source::{Source, SourceError};
use std::cell::Cell;

const SIZE: Size = Size::new(2, 2);

fn frame(id: u64, stamp_ms: u64) -> Event {
    let stamp = Stamp::from_ns(stamp_ms * 1_000_000);
    let image = Image::packed(PixelFormat::Grey, SIZE, vec![0; 4].into()).expect("2x2");
    Event::Frame(Frame { id: FrameId(id), sequence: None, stamp, arrival: stamp, image })
}

fn frames(count: u64) -> Vec<Result<Event, SourceError>> {
    (0..count).map(|id| Ok(frame(id, 100 * (id + 1)))).collect()
}

struct Scripted(std::vec::IntoIter<Result<Event, SourceError>>);

impl Source for Scripted {
    fn next(&mut self) -> Result<Option<Event>, SourceError> {
        self.0.next().transpose()
    }
}

/// Answers every frame but those named.
#[derive(Default)]
struct Answering {
    unreadable: Option<u64>,
    fatal: Option<u64>,
}

impl Perceive for Answering {
    fn perceive(&mut self, frame: &AlignedFrame) -> Result<Perception, EngineError> {
        let id = frame.frame.id;
        if self.unreadable == Some(id.0) {
            return Err(EngineError::Frame("broken".into()));
        }
        if self.fatal == Some(id.0) {
            return Err(EngineError::Failed { runtime: "test", reason: "gone".into() });
        }
        let mask = LabelMask::new(SIZE, vec![0; 4].into()).expect("2x2");
        Ok(Perception {
            frame: id,
            stamp: frame.frame.stamp,
            origin: Origin::Key,
            mask,
            age: None,
            confidence: None,
            disagreement: None,
            late: None,
        })
    }
}

/// Counts what it is given; refuses or fails where it is told to.
#[derive(Default)]
struct Counting {
    perceptions: u64,
    finished: u64,
    refuses: Option<u64>,
    fails: Option<u64>,
}

impl Sink for Counting {
    fn on_perception(&mut self, _frame: &AlignedFrame, perception: &Perception) -> Result<(), SinkError> {
        if self.refuses == Some(perception.frame.0) {
            return Err(SinkError::Dropped { sink: "test", reason: "full".into() });
        }
        if self.fails == Some(perception.frame.0) {
            return Err(SinkError::Failed { sink: "test", source: "broken".into() });
        }
        self.perceptions += 1;
        Ok(())
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.finished += 1;
        Ok(())
    }
}

fn run(
    events: Vec<Result<Event, SourceError>>,
    mut perceiver: Answering,
    sinks: [&mut Counting; 2],
) -> (Counts, Result<(), PipelineError>) {
    let sinks = sinks.map(|sink| sink as &mut dyn Sink).into();
    Pipeline::new(Aligner::new(Config::default()), &mut perceiver, sinks)
        .run(&mut Scripted(events.into_iter()), &|| false)
}

fn adds_up(counts: Counts) {
    assert_eq!(counts.captured, counts.published + counts.dropped, "{counts:?}");
}

#[test]
fn every_frame_is_answered_and_every_sink_is_finished_once() {
    let (mut one, mut two) = (Counting::default(), Counting::default());
    let (counts, ended) = run(frames(5), Answering::default(), [&mut one, &mut two]);
    assert!(ended.is_ok());
    assert_eq!((counts.captured, counts.published, counts.dropped), (5, 5, 0));
    assert_eq!((one.perceptions, one.finished, two.perceptions, two.finished), (5, 1, 5, 1));
}

#[test]
fn unreadable_repeated_and_backward_frames_are_dropped_and_counted() {
    let (mut one, mut two) = (Counting::default(), Counting::default());
    let mut events = frames(4);
    events.push(Ok(frame(4, 400)));
    events.push(Ok(frame(5, 50)));
    events.push(Ok(Event::Lost { stamp: Stamp::from_ns(500_000_000), frames: 3 }));
    events.push(Err(SourceError::Skipped("a broken message".into())));
    let perceiver = Answering { unreadable: Some(1), ..Answering::default() };
    let (counts, ended) = run(events, perceiver, [&mut one, &mut two]);
    assert!(ended.is_ok());
    let found = (counts.captured, counts.published, counts.dropped, counts.unreadable);
    assert_eq!(found, (9, 3, 6, 1), "lost frames are captured and dropped");
    adds_up(counts);
    assert_eq!((counts.lost, counts.skipped, one.perceptions), (3, 1, 3));
}

#[test]
fn an_engine_that_fails_for_good_ends_the_run_and_the_sinks_are_finished() {
    let (mut one, mut two) = (Counting::default(), Counting::default());
    let perceiver = Answering { fatal: Some(2), ..Answering::default() };
    let (counts, ended) = run(frames(5), perceiver, [&mut one, &mut two]);
    assert!(matches!(ended, Err(PipelineError::Engine(_))));
    assert_eq!((counts.published, counts.failed, one.finished, two.finished), (2, 1, 1, 1));
    adds_up(counts);
}

#[test]
fn a_source_that_stops_ends_the_run_after_the_frames_that_it_gave() {
    let (mut one, mut two) = (Counting::default(), Counting::default());
    let mut events = frames(3);
    events.push(Err(SourceError::Stopped("unplugged".into())));
    let (counts, ended) = run(events, Answering::default(), [&mut one, &mut two]);
    assert!(matches!(ended, Err(PipelineError::Source(_))));
    assert_eq!((counts.captured, counts.published, one.finished, two.finished), (3, 3, 1, 1));
}

#[test]
fn one_sink_that_refuses_does_not_keep_a_mask_from_the_others() {
    let mut full = Counting { refuses: Some(1), ..Counting::default() };
    let mut other = Counting::default();
    let (counts, ended) = run(frames(3), Answering::default(), [&mut full, &mut other]);
    assert!(ended.is_ok());
    assert_eq!((counts.published, counts.refused, full.perceptions, other.perceptions), (3, 1, 2, 3));
}

#[test]
fn a_sink_that_breaks_ends_the_run_and_all_are_finished() {
    let mut broken = Counting { fails: Some(1), ..Counting::default() };
    let mut other = Counting::default();
    let (counts, ended) = run(frames(3), Answering::default(), [&mut broken, &mut other]);
    assert!(matches!(ended, Err(PipelineError::Sink(_))));
    assert_eq!((broken.finished, other.finished), (1, 1));
    adds_up(counts);
}

#[test]
fn a_stop_releases_the_frame_that_waits_and_finishes_the_sinks() {
    let mut sink = Counting::default();
    let mut perceiver = Answering::default();
    let looks = Cell::new(0);
    let stop = || looks.replace(looks.get() + 1) == 3;
    let pipeline = Pipeline::new(Aligner::new(Config::default()), &mut perceiver, vec![&mut sink]);
    let (counts, ended) = pipeline.run(&mut Scripted(frames(9).into_iter()), &stop);
    assert!(ended.is_ok());
    assert_eq!((counts.captured, counts.published, sink.finished), (3, 3, 1));
}
