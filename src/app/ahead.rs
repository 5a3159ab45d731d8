//! A recording read one frame ahead, so that the next picture can be made ready beside the work on this one.

use crate::data::{Event, Image};
use crate::source::{Source, SourceError};
use std::collections::VecDeque;

/// Events that are read ahead at most: more than a vehicle's buses send between two frames of a camera.
const MOST: usize = 4096;

/// The same events in the same order, taken from `source` before they are asked for.
pub(super) struct Ahead<'a> {
    source: &'a mut dyn Source,
    read: VecDeque<Result<Event, SourceError>>,
    /// Nothing more is to be read: the source has ended or cannot go on.
    ended: bool,
    upcoming: Option<Image>,
}

impl<'a> Ahead<'a> {
    pub(super) fn new(source: &'a mut dyn Source) -> Self {
        Self { source, read: VecDeque::new(), ended: false, upcoming: None }
    }

    /// Reads up to the next frame, which it notes.
    fn look(&mut self) {
        while !self.ended && self.read.len() < MOST {
            let item = match self.source.next() {
                Ok(None) => {
                    self.ended = true;
                    return;
                }
                Ok(Some(event)) => Ok(event),
                Err(error) => Err(error),
            };
            self.ended = matches!(item, Err(SourceError::Stopped(_)));
            let image = if let Ok(Event::Frame(frame)) = &item { Some(frame.image.clone()) } else { None };
            self.read.push_back(item);
            if image.is_some() {
                self.upcoming = image;
                return;
            }
        }
    }
}

impl Source for Ahead<'_> {
    fn next(&mut self) -> Result<Option<Event>, SourceError> {
        if self.read.is_empty() {
            self.look();
        }
        let item = self.read.pop_front().transpose();
        if matches!(item, Ok(Some(Event::Frame(_)))) {
            // What was noted is this frame.
            self.upcoming = None;
            if !self.read.iter().any(|item| matches!(item, Ok(Event::Frame(_)))) {
                self.look();
            }
        }
        item
    }

    fn upcoming(&mut self) -> Option<Image> {
        self.upcoming.take()
    }

    fn frames(&self) -> Option<u64> {
        self.source.frames()
    }

    fn was_interrupted(&self) -> bool {
        self.source.was_interrupted()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Frame, FrameId, PixelFormat, Size, Stamp};

    fn frame(id: u64) -> Event {
        let image = Image::packed(PixelFormat::Grey, Size::new(1, 1), vec![id as u8].into()).expect("one pixel");
        Event::Frame(Frame {
            id: FrameId(id),
            sequence: None,
            stamp: Stamp::from_ns(id),
            arrival: Stamp::from_ns(id),
            image,
        })
    }

    fn tick(ns: u64) -> Event {
        Event::Tick(Stamp::from_ns(ns))
    }

    /// Items, then the end.
    struct Items(VecDeque<Result<Event, SourceError>>);

    impl Source for Items {
        fn next(&mut self) -> Result<Option<Event>, SourceError> {
            self.0.pop_front().transpose()
        }
    }

    #[test]
    fn events_come_as_they_are_and_with_each_frame_the_picture_of_the_next_is_known_once() {
        let events = vec![tick(0), frame(1), tick(2), tick(3), frame(4), frame(5), tick(6)];
        let mut source = events.clone().into_iter();
        let mut ahead = Ahead::new(&mut source);
        let mut got = vec![];
        while let Some(event) = ahead.next().expect("no error") {
            let upcoming = ahead.upcoming().map(|image| image.bytes()[0]);
            assert_eq!(ahead.upcoming().map(|image| image.bytes()[0]), None, "told once");
            got.push((event, upcoming));
        }
        let upcoming: Vec<_> = got.iter().map(|(_, upcoming)| *upcoming).collect();
        assert_eq!(upcoming, [Some(1), Some(4), None, None, Some(5), None, None]);
        assert_eq!(got.into_iter().map(|(event, _)| event).collect::<Vec<_>>(), events);
    }

    #[test]
    fn errors_keep_their_place_and_nothing_is_asked_of_a_source_that_cannot_go_on() {
        let skipped = || Err(SourceError::Skipped("broken".into()));
        let stopped = Err(SourceError::Stopped("gone".into()));
        let mut source = Items(vec![Ok(frame(1)), skipped(), Ok(frame(2)), stopped, Ok(frame(3))].into());
        let mut ahead = Ahead::new(&mut source);
        let told: Vec<String> = (0..5)
            .map(|_| match ahead.next() {
                Ok(Some(event)) => format!("{}", event.arrival().ns()),
                Ok(None) => "end".into(),
                Err(error) => error.to_string(),
            })
            .collect();
        assert_eq!(told, ["1", "skipped: broken", "2", "gone", "end"]);
    }

    #[test]
    fn no_more_is_read_ahead_than_a_bound_where_no_frame_comes() {
        let events: Vec<Event> = std::iter::once(frame(1)).chain((0..3 * MOST as u64).map(tick)).collect();
        let mut source = events.into_iter();
        let mut ahead = Ahead::new(&mut source);
        for _ in 0..MOST {
            ahead.next().expect("no error");
            assert!(ahead.read.len() <= MOST);
        }
    }
}
