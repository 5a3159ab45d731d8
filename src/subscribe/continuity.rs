//! How each mask follows the one before, from sequence and session numbers alone.

use super::Counts;
use crate::wire::Header;

/// How a mask follows the one handed out before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Continuity {
    /// The first one since opening.
    First,
    /// Of the same session of the publisher.
    Follows {
        /// Masks published in between and not handed out.
        missed: u64,
    },
    /// Of another session: the publisher was started again. What was missed cannot be known,
    /// but for the masks of the new session before this one.
    Restarted {
        /// Masks of the new session before this one.
        missed: u64,
    },
}

/// Follows the masks handed out.
#[derive(Debug, Default)]
pub(super) struct Tracker {
    last: Option<(u32, u64)>,
    counts: Counts,
}

impl Tracker {
    /// How the mask of `header` follows; `None` if it was heard before and must not be handed out.
    pub(super) fn follow(&mut self, header: &Header) -> Option<Continuity> {
        let (session, sequence) = (header.session, header.sequence);
        let continuity = match self.last {
            None => Continuity::First,
            Some((before, _)) if before != session => Continuity::Restarted { missed: sequence },
            Some((_, last)) if sequence > last => Continuity::Follows { missed: sequence - last - 1 },
            Some(_) => {
                self.counts.repeated += 1;
                return None;
            }
        };
        self.last = Some((session, sequence));
        self.count(continuity);
        Some(continuity)
    }

    fn count(&mut self, continuity: Continuity) {
        self.counts.received += 1;
        match continuity {
            Continuity::First => {}
            Continuity::Follows { missed } => self.counts.missed = self.counts.missed.saturating_add(missed),
            Continuity::Restarted { missed } => {
                self.counts.restarts += 1;
                self.counts.missed = self.counts.missed.saturating_add(missed);
            }
        }
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{FrameId, Origin, Size, Stamp};
    use crate::wire::{PlaneBytes, StampClock};

    fn header(session: u32, sequence: u64) -> Header {
        Header {
            lz4: false,
            origin: Origin::Key,
            clock: StampClock::Monotonic,
            size: Size::new(1, 1),
            planes: PlaneBytes { labels: 1, age: 0, confidence: 0 },
            sequence,
            frame: FrameId(sequence),
            stamp: Stamp::ZERO,
            published: Stamp::ZERO,
            unix_ns: 0,
            network_hash: 0,
            classes_hash: 0,
            labels_hash: 0,
            planes_hash: 0,
            session,
            latency_us: None,
        }
    }

    #[test]
    fn gaps_repeats_and_restarts_are_told_apart() {
        let mut tracker = Tracker::default();
        let steps = [
            ((1, 10), Some(Continuity::First)),
            ((1, 11), Some(Continuity::Follows { missed: 0 })),
            ((1, 15), Some(Continuity::Follows { missed: 3 })),
            ((1, 15), None),
            ((1, 12), None),
            ((2, 2), Some(Continuity::Restarted { missed: 2 })),
            ((2, u64::MAX), Some(Continuity::Follows { missed: u64::MAX - 3 })),
        ];
        for ((session, sequence), expected) in steps {
            assert_eq!(tracker.follow(&header(session, sequence)), expected, "{session} {sequence}");
        }
        let counts = tracker.counts();
        assert_eq!((counts.received, counts.restarts, counts.repeated), (5, 1, 2));
    }
}
