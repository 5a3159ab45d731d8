//! Several sources as one, in order of time.

use crate::data::Event;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Stamp;

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
}
