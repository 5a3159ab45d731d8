//! Real-time replay: each event is handed out no earlier than it came when it was recorded.
//!
//! Pacing only waits. It never drops: a pipeline that is slower than the recording falls behind
//! and says by how much, so that the masks are the same at any speed.

use crate::clock::MeasuringClock;
use crate::data::{Event, Stamp};
use crate::source::{Source, SourceError};
use std::time::Duration;

/// A source at the pace of its recording.
pub(super) struct Paced<'a> {
    source: Box<dyn Source + 'a>,
    clock: &'a dyn MeasuringClock,
    stop: &'a dyn Fn() -> bool,
    /// A point of the recording, and when it is due.
    anchor: (Stamp, Stamp),
    behind_ns: i64,
}

/// The longest single wait: an interrupt is seen within it.
const WAIT: Duration = Duration::from_millis(50);

impl<'a> Paced<'a> {
    /// Paces `source`, whose point `recorded` is due now, until `stop` says otherwise.
    pub(super) fn new(
        source: Box<dyn Source + 'a>,
        recorded: Stamp,
        clock: &'a dyn MeasuringClock,
        stop: &'a dyn Fn() -> bool,
    ) -> Self {
        Self { source, clock, stop, anchor: (recorded, clock.now()), behind_ns: 0 }
    }

    /// What to add to a stamp of the recording to get when it is due.
    pub(super) fn offset_ns(&self) -> i64 {
        self.anchor.1.signed_ns_since(self.anchor.0)
    }

    /// The most that the pipeline has been behind the recording, in milliseconds.
    pub(super) fn behind_ms(&self) -> f64 {
        self.behind_ns as f64 / 1e6
    }

    fn wait_for(&mut self, event: &Event) {
        let due = event.arrival().offset_ns(self.offset_ns());
        self.behind_ns = self.behind_ns.max(self.clock.now().signed_ns_since(due));
        while !(self.stop)() {
            let left = due.signed_ns_since(self.clock.now());
            if left <= 0 {
                return;
            }
            std::thread::sleep(WAIT.min(Duration::from_nanos(left.unsigned_abs())));
        }
    }
}

impl Source for Paced<'_> {
    fn next(&mut self) -> Result<Option<Event>, SourceError> {
        let event = self.source.next()?;
        if let Some(event) = &event {
            self.wait_for(event);
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
    use crate::clock::MonotonicClock;

    #[test]
    fn events_come_no_earlier_than_they_were_recorded() {
        let tick = |ms: u64| Event::Tick(Stamp::from_ns(ms * 1_000_000));
        let recorded = vec![tick(5_000), tick(5_020), tick(5_040)];
        let never = || false;
        let mut paced =
            Paced::new(Box::new(recorded.into_iter()), Stamp::from_ns(5_000_000_000), &MonotonicClock, &never);
        let began = MonotonicClock.now();
        while let Ok(Some(_)) = paced.next() {}
        assert!(MonotonicClock.now().signed_ns_since(began) >= 40_000_000);
        assert!(paced.behind_ms() < 1_000.0);
    }

    #[test]
    fn a_stop_ends_the_wait() {
        let recorded = vec![Event::Tick(Stamp::ZERO), Event::Tick(Stamp::from_ns(u64::MAX / 2))];
        let always = || true;
        let mut paced = Paced::new(Box::new(recorded.into_iter()), Stamp::ZERO, &MonotonicClock, &always);
        assert!(paced.next().is_ok() && paced.next().is_ok());
    }
}
