//! Several sources as one, in order of time.

use crate::data::Event;
use crate::source::{Source, SourceError};

/// Several sources in one order of arrival; at equal times the earlier source in the list comes first.
///
/// A source that stops early costs the others nothing: its error comes when they have ended.
pub struct Merged {
    sources: Vec<Head>,
    stopped: Option<SourceError>,
}

struct Head {
    source: Box<dyn Source>,
    next: Option<Event>,
    ended: bool,
}

impl Merged {
    /// Merges `sources`, each of which is in order of arrival.
    pub fn new(sources: Vec<Box<dyn Source>>) -> Self {
        let sources = sources.into_iter().map(|source| Head { source, next: None, ended: false }).collect();
        Self { sources, stopped: None }
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
        for head in &mut self.sources {
            match head.fill() {
                Err(error @ SourceError::Stopped(_)) => {
                    head.ended = true;
                    self.stopped.get_or_insert(error);
                }
                filled => filled?,
            }
        }
        let heads = self.sources.iter_mut().filter(|head| head.next.is_some());
        let first = heads.min_by_key(|head| head.next.as_ref().map(Event::arrival));
        match first.and_then(|head| head.next.take()) {
            Some(event) => Ok(Some(event)),
            None => self.stopped.take().map_or(Ok(None), Err),
        }
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
    fn a_source_that_stops_early_does_not_end_the_others() {
        struct Stops(bool);
        impl Source for Stops {
            fn next(&mut self) -> Result<Option<Event>, SourceError> {
                let again = std::mem::replace(&mut self.0, true);
                assert!(!again, "asked again after it stopped");
                Err(SourceError::Stopped("cut".into()))
            }
        }
        let mut merged = Merged::new(vec![Box::new(Stops(false)), ticks(&[1, 2])]);
        assert!(matches!((merged.next(), merged.next()), (Ok(Some(_)), Ok(Some(_)))));
        assert!(merged.next().is_err() && merged.next().is_ok_and(|event| event.is_none()));
    }

    #[test]
    fn sources_come_in_one_order_of_time() {
        let mut merged = Merged::new(vec![ticks(&[1, 4, 4, 9]), ticks(&[]), ticks(&[0, 4, 10])]);
        let order: Vec<_> = drain(&mut merged).iter().map(|event| event.arrival().ns()).collect();
        assert_eq!(order, [0, 1, 4, 4, 4, 9, 10]);
    }
}
