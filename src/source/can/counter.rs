//! Whether a message's counter moves as its sender's rule says.

/// What a counter says of its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Moved,
    Repeated,
    Jumped,
}

/// Follows one counter. A refused message in between is one step that the next may have advanced by.
#[derive(Clone, Debug)]
pub(super) struct CounterTrack {
    modulo: u64,
    increment: u64,
    lost_allowed: u8,
    last: Option<u64>,
    /// Messages since `last`; saturates, so that the search below stays short.
    since: u8,
}

impl CounterTrack {
    pub(super) fn new(modulo: u64, increment: u64, lost_allowed: u8) -> Self {
        Self { modulo, increment, lost_allowed, last: None, since: 0 }
    }

    /// A message came whose counter cannot be trusted.
    pub(super) fn skip(&mut self) {
        self.since = self.since.saturating_add(1);
    }

    /// A message came with this counter. The next is judged against it, whatever the verdict, if it is one at all.
    pub(super) fn judge(&mut self, counter: u64) -> Verdict {
        let verdict = self.verdict(counter);
        if counter < self.modulo {
            (self.last, self.since) = (Some(counter), 0);
        } else {
            self.skip();
        }
        verdict
    }

    fn verdict(&self, counter: u64) -> Verdict {
        let Some(last) = self.last else {
            return if counter < self.modulo { Verdict::Moved } else { Verdict::Jumped };
        };
        let steps = 1 + u64::from(self.since) + u64::from(self.lost_allowed);
        if counter == last {
            Verdict::Repeated
        } else if (1..=steps).any(|step| (last + step * self.increment) % self.modulo == counter) {
            Verdict::Moved
        } else {
            Verdict::Jumped
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict::{Jumped, Moved, Repeated};

    #[test]
    fn a_counter_moves_repeats_or_jumps() {
        let mut track = CounterTrack::new(16, 1, 0);
        let verdicts = [5, 6, 6, 7, 9, 10, 15, 0, 16, 1].map(|counter| track.judge(counter));
        assert_eq!(verdicts, [Moved, Moved, Repeated, Moved, Jumped, Moved, Jumped, Moved, Jumped, Moved]);
    }

    #[test]
    fn a_refused_message_in_between_takes_its_step() {
        let mut track = CounterTrack::new(15, 2, 0);
        track.judge(14);
        track.skip();
        assert_eq!(track.judge(3), Moved);
        assert_eq!(track.judge(7), Jumped);
        let mut lenient = CounterTrack::new(16, 1, 1);
        lenient.judge(0);
        assert_eq!((lenient.judge(2), lenient.judge(5)), (Moved, Jumped));
    }
}
