//! Sources put together: by time, and with the meaning of CAN frames added.

use crate::data::{CanFrame, Event, StateSample};
use crate::source::{Source, SourceError};

/// Several sources in one order of arrival; at equal times the earlier source in the list comes first.
pub struct Merged {
    sources: Vec<Head>,
}

struct Head {
    source: Box<dyn Source>,
    next: Option<Event>,
    ended: bool,
}

impl Merged {
    /// Merges `sources`, each of which is in order of arrival.
    pub fn new(sources: Vec<Box<dyn Source>>) -> Self {
        Self { sources: sources.into_iter().map(|source| Head { source, next: None, ended: false }).collect() }
    }
}

impl Head {
    fn fill(&mut self) -> Result<(), SourceError> {
        if self.next.is_none() && !self.ended {
            self.next = self.source.next()?;
            self.ended = self.next.is_none();
        }
        Ok(())
    }
}

impl Source for Merged {
    fn next(&mut self) -> Result<Option<Event>, SourceError> {
        self.sources.iter_mut().try_for_each(Head::fill)?;
        let heads = self.sources.iter_mut().filter(|head| head.next.is_some());
        let first = heads.min_by_key(|head| head.next.as_ref().map(Event::arrival));
        Ok(first.and_then(|head| head.next.take()))
    }

    fn frames(&self) -> Option<u64> {
        self.sources.iter().filter_map(|head| head.source.frames()).reduce(|a, b| a + b)
    }
}

/// A source whose CAN frames are each followed by what `decode` makes of them.
///
/// The decoder is given by the composition root: what a frame means is configuration, not recording.
pub struct WithStates<S, D> {
    source: S,
    decode: D,
    pending: Option<StateSample>,
}

impl<S: Source, D: FnMut(&CanFrame) -> Option<StateSample>> WithStates<S, D> {
    /// Adds states to `source`.
    pub fn new(source: S, decode: D) -> Self {
        Self { source, decode, pending: None }
    }
}

impl<S: Source, D: FnMut(&CanFrame) -> Option<StateSample>> Source for WithStates<S, D> {
    fn next(&mut self) -> Result<Option<Event>, SourceError> {
        if let Some(sample) = self.pending.take() {
            return Ok(Some(Event::State(sample)));
        }
        let event = self.source.next()?;
        if let Some(Event::Can(frame)) = &event {
            self.pending = (self.decode)(frame);
        }
        Ok(event)
    }

    fn frames(&self) -> Option<u64> {
        self.source.frames()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{CanId, SourceStamp, Stamp, VehicleState};

    fn ticks(stamps: &[u64]) -> Box<dyn Source> {
        let events: Vec<_> = stamps.iter().map(|&ns| Event::Tick(Stamp::from_ns(ns))).collect();
        Box::new(events.into_iter())
    }

    fn drain(source: &mut dyn Source) -> Vec<Event> {
        std::iter::from_fn(|| source.next().expect("memory does not fail")).collect()
    }

    #[test]
    fn sources_come_in_one_order_of_time() {
        let mut merged = Merged::new(vec![ticks(&[1, 4, 4, 9]), ticks(&[]), ticks(&[0, 4, 10])]);
        let order: Vec<_> = drain(&mut merged).iter().map(|event| event.arrival().ns()).collect();
        assert_eq!(order, [0, 1, 4, 4, 4, 9, 10]);
    }

    #[test]
    fn a_state_follows_the_can_frame_that_it_came_in() {
        let can = |ns| {
            let stamp = Stamp::from_ns(ns);
            CanFrame::new(0, CanId::Standard(1), SourceStamp::monotonic(stamp), stamp, &[ns as u8]).expect("one byte")
        };
        let sample = |frame: &CanFrame| StateSample {
            taken: frame.taken,
            arrival: frame.arrival,
            state: VehicleState::default(),
        };
        let events = vec![Event::Can(can(1)), Event::Can(can(2))];
        let decode = |frame: &CanFrame| (frame.payload() == [2]).then(|| sample(frame));
        let mut with_states = WithStates::new(events.into_iter(), decode);
        let expected = [Event::Can(can(1)), Event::Can(can(2)), Event::State(sample(&can(2)))];
        assert_eq!(drain(&mut with_states), expected);
    }
}
