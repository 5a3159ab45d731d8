//! THE LOOP: source → align → perceive → sinks, the same for a live drive and a recorded one.
//!
//! It decides nothing by a clock and holds no queue: an event is taken, told to every sink, pushed
//! into the aligner, and every frame that this completes is perceived and handed to every sink
//! before the next event is taken. What happened to each frame is counted, and it adds up:
//! `captured = published + dropped`.

use crate::align::Aligner;
use crate::data::{AlignedFrame, Ending, Event};
use crate::perceive::{EngineError, Perceive};
use crate::sink::{Sink, SinkError};
use crate::source::{Source, SourceError};
use tracing::{debug_span, warn};

/// What happened to the frames and events of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Frames that the camera made: handed out by the source, and known to be lost before.
    pub captured: u64,
    /// Frames whose mask every sink was offered.
    pub published: u64,
    /// Frames without a mask: lost, replaced by a newer one, out of order, or unreadable.
    pub dropped: u64,
    /// Of those dropped, frames that the engine could not read.
    pub unreadable: u64,
    /// Of those dropped, frames in the middle of which the engine or a sink failed for good: at most one.
    pub failed: u64,
    /// Of those dropped, frames that never came: lost by the camera, or in a damaged part of a trip.
    pub lost: u64,
    /// Items that the source could not read.
    pub skipped: u64,
    /// Results that a sink did not take.
    pub refused: u64,
    /// Whether `stop` ended the run before its source did.
    pub stopped: bool,
}

/// Why a run ended before its source did. Every sink has been finished all the same.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The source cannot go on.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The engine cannot go on.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A sink can take nothing more.
    #[error(transparent)]
    Sink(#[from] SinkError),
}

/// The stages after the source, and the counts of what went through them.
pub struct Pipeline<'a> {
    aligner: Aligner,
    perceiver: &'a mut dyn Perceive,
    sinks: Vec<Served<'a>>,
    counts: Counts,
}

/// A sink, and how many results it did not take.
struct Served<'a> {
    sink: &'a mut dyn Sink,
    refused: u64,
}

impl<'a> Pipeline<'a> {
    /// Connects the stages. Sinks are served in the order given.
    pub fn new(aligner: Aligner, perceiver: &'a mut dyn Perceive, sinks: Vec<&'a mut dyn Sink>) -> Self {
        let sinks = sinks.into_iter().map(|sink| Served { sink, refused: 0 }).collect();
        Self { aligner, perceiver, sinks, counts: Counts::default() }
    }

    /// Runs until the source ends, `stop` says so, or something fails for good; then finishes every sink.
    pub fn run(mut self, source: &mut dyn Source, stop: &dyn Fn() -> bool) -> (Counts, Result<(), PipelineError>) {
        let ran = match self.take_all(source, stop) {
            // A source that fails does not take back the frames that it gave.
            Ok(()) => self.release(),
            Err(PipelineError::Source(error)) => self.release().and(Err(error.into())),
            Err(error) => Err(error),
        };
        self.tell_ending(&ran);
        let finished = self.finish_sinks();
        self.counts.dropped = self.unanswered();
        (self.counts, ran.and(finished))
    }

    fn take_all(&mut self, source: &mut dyn Source, stop: &dyn Fn() -> bool) -> Result<(), PipelineError> {
        while !stop() {
            match source.next() {
                Ok(Some(event)) => {
                    source.upcoming().iter().for_each(|image| self.perceiver.foresee(image));
                    self.take(&event)?;
                }
                Ok(None) => return Ok(()),
                Err(SourceError::Skipped(reason)) => self.skip(&reason),
                Err(stopped) => return Err(stopped.into()),
            }
        }
        self.counts.stopped = true;
        Ok(())
    }

    fn take(&mut self, event: &Event) -> Result<(), PipelineError> {
        match event {
            Event::Frame(_) => self.counts.captured += 1,
            Event::Lost { frames, .. } => {
                self.counts.captured += u64::from(*frames);
                self.counts.lost += u64::from(*frames);
            }
            _ => (),
        }
        self.offer(|sink| sink.on_event(event))?;
        debug_span!("align").in_scope(|| self.aligner.push(event));
        self.answer_all()
    }

    fn release(&mut self) -> Result<(), PipelineError> {
        self.aligner.finish();
        self.answer_all()
    }

    fn answer_all(&mut self) -> Result<(), PipelineError> {
        while let Some(frame) = self.aligner.pop() {
            debug_span!("frame", id = frame.frame.id.0).in_scope(|| self.answer(&frame))?;
        }
        Ok(())
    }

    fn answer(&mut self, frame: &AlignedFrame) -> Result<(), PipelineError> {
        match debug_span!("perceive").in_scope(|| self.perceiver.perceive(frame)) {
            Ok(perception) => {
                self.counts.published += 1;
                debug_span!("sinks").in_scope(|| self.offer(|sink| sink.on_perception(frame, &perception)))
            }
            Err(error) if error.is_about_one_frame() => {
                self.counts.unreadable += 1;
                warn!(frame = frame.frame.id.0, stamp = %frame.frame.stamp, %error, "frame dropped");
                Ok(())
            }
            Err(error) => {
                self.counts.failed += 1;
                Err(error.into())
            }
        }
    }

    fn offer(&mut self, give: impl Fn(&mut dyn Sink) -> Result<(), SinkError>) -> Result<(), PipelineError> {
        for served in &mut self.sinks {
            match give(served.sink) {
                Ok(()) => (),
                Err(error @ SinkError::Dropped { .. }) => {
                    self.counts.refused += 1;
                    served.count_refused(&error);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn skip(&mut self, reason: &str) {
        self.counts.skipped += 1;
        warn!(reason, "source item skipped");
    }

    /// Frames that the camera made and that got no mask; frames still waiting are those of a run that failed.
    fn unanswered(&self) -> u64 {
        let aligned = self.aligner.counts();
        let refused = aligned.duplicate_frames + aligned.backward_frames + aligned.implausible_frames;
        aligned.dropped + aligned.waiting + refused + self.counts.unreadable + self.counts.failed + self.counts.lost
    }

    fn tell_ending(&mut self, ran: &Result<(), PipelineError>) {
        let ending = match ran {
            Err(error) => Ending::Failed(error.to_string()),
            Ok(()) if self.counts.stopped => Ending::Interrupted,
            Ok(()) => Ending::Complete,
        };
        self.sinks.iter_mut().for_each(|served| served.sink.on_ending(&ending));
    }

    fn finish_sinks(&mut self) -> Result<(), PipelineError> {
        let results: Vec<_> = self.sinks.iter_mut().map(|served| served.sink.finish()).collect();
        results.into_iter().collect::<Result<(), SinkError>>().map_err(PipelineError::from)
    }
}

impl Served<'_> {
    /// Tells of the first refusal, the second, the fourth and so on: a sink that takes nothing must not fill the log.
    fn count_refused(&mut self, error: &SinkError) {
        self.refused += 1;
        if self.refused.is_power_of_two() {
            warn!(%error, refused = self.refused, "result not taken");
        }
    }
}
