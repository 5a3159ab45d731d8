//! How each mask follows the one before, from sequence and session numbers and who is alive.
//!
//! Every publisher session is accounted for by itself, so that masks of several on one key, one in
//! between the other, are neither losses nor restarts:
//!
//! ```text
//! a0 a1 a2 ─ silence ─ b0 b1        b took over from a: one restart
//! a0 b7 a1 b8 a2 b9                 two publishers; what b7 was first taken for is taken back with a1
//! ```

use super::Counts;
use crate::wire::Header;

/// Sessions remembered: more publishers than anybody starts by mistake, found by walking.
const MAX_SESSIONS: usize = 16;

/// How a mask follows those handed out before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Continuity {
    /// The first one since opening.
    First(Beginning),
    /// Of a publisher session heard before.
    Follows {
        /// Masks of that session published in between and not handed out.
        missed: u64,
    },
    /// Of a session not heard before, in place of one that is gone: the publisher was started again.
    /// What was missed cannot be known, but for the masks of the new session before this one.
    /// Should the other be heard again all the same, the restart is taken back in [`Counts`].
    Restarted {
        /// Masks of the new session before this one.
        missed: u64,
    },
    /// Of a session not heard before, beside those heard: one more publisher on this key, somebody's mistake.
    Joined(Beginning),
}

/// What a session published before the first mask heard of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beginning {
    /// Masks before this one: its sequence number.
    pub before: u64,
    /// Of these, the ones missed: all if the session began while this subscriber was there, else none.
    pub missed: u64,
}

/// What is seen of a publisher session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attendance {
    /// Its token is there.
    pub(super) alive: bool,
    /// Its token appeared while this subscriber was there.
    pub(super) watched: bool,
}

impl Continuity {
    fn missed(self) -> u64 {
        match self {
            Self::First(Beginning { missed, .. })
            | Self::Joined(Beginning { missed, .. })
            | Self::Follows { missed }
            | Self::Restarted { missed } => missed,
        }
    }

    /// Masks before this one that this subscriber came too late for.
    fn before_joining(self) -> u64 {
        match self {
            Self::First(Beginning { before, missed }) | Self::Joined(Beginning { before, missed }) => before - missed,
            Self::Follows { .. } | Self::Restarted { .. } => 0,
        }
    }
}

/// A publisher session heard.
#[derive(Debug)]
struct Voice {
    session: u32,
    sequence: u64,
    /// The beginning of another that was taken to have come in its place.
    replaced: Option<Beginning>,
}

/// Follows the masks handed out.
#[derive(Debug, Default)]
pub(super) struct Tracker {
    /// The one silent longest comes first.
    voices: Vec<Voice>,
    counts: Counts,
    mixed: bool,
}

impl Tracker {
    /// How the mask of `header` follows; `None` if it was heard before and must not be handed out.
    pub(super) fn follow(&mut self, header: &Header, attends: impl Fn(u32) -> Attendance) -> Option<Continuity> {
        let (session, sequence) = (header.session, header.sequence);
        let continuity = match self.voices.iter().position(|voice| voice.session == session) {
            Some(index) => self.again(index, sequence)?,
            None => self.newcomer(session, sequence, attends),
        };
        self.voices.push(Voice { session, sequence, replaced: None });
        self.count(continuity);
        Some(continuity)
    }

    /// Takes a known voice out of the list, to be put last.
    fn again(&mut self, index: usize, sequence: u64) -> Option<Continuity> {
        let last = self.voices[index].sequence;
        if sequence <= last {
            self.counts.repeated += 1;
            return None;
        }
        let voice = self.voices.remove(index);
        self.mixed |= index < self.voices.len();
        if let Some(beginning) = voice.replaced {
            self.take_back(beginning);
        }
        Some(Continuity::Follows { missed: sequence - last - 1 })
    }

    /// Makes room for a voice not heard before and says whose place it takes.
    fn newcomer(&mut self, session: u32, sequence: u64, attends: impl Fn(u32) -> Attendance) -> Continuity {
        let beginning = Beginning { before: sequence, missed: if attends(session).watched { sequence } else { 0 } };
        if self.voices.is_empty() {
            self.counts.joined_at = Some(sequence);
            return Continuity::First(beginning);
        }
        if self.voices.len() == MAX_SESSIONS {
            let replaced = self.voices.iter().position(|voice| voice.replaced.is_some());
            self.voices.remove(replaced.unwrap_or(0));
            if replaced.is_none() {
                return Continuity::Joined(beginning); // with so many at once nothing is known of who replaces whom
            }
        }
        let gone = self.voices.iter_mut().find(|voice| voice.replaced.is_none() && !attends(voice.session).alive);
        gone.map_or(Continuity::Joined(beginning), |gone| {
            gone.replaced = Some(beginning);
            Continuity::Restarted { missed: sequence }
        })
    }

    fn count(&mut self, continuity: Continuity) {
        let missed = continuity.missed();
        self.counts.received += 1;
        self.counts.missed = self.counts.missed.saturating_add(missed);
        self.counts.before_joining = self.counts.before_joining.saturating_add(continuity.before_joining());
        self.counts.gaps += u64::from(missed > 0);
        self.counts.restarts += u64::from(matches!(continuity, Continuity::Restarted { .. }));
    }

    /// What was counted as a restart, and all before it as missed, was another publisher's beginning.
    fn take_back(&mut self, Beginning { before, missed }: Beginning) {
        self.counts.restarts -= 1;
        self.counts.missed = self.counts.missed.saturating_sub(before - missed);
        self.counts.before_joining = self.counts.before_joining.saturating_add(before - missed);
        self.counts.gaps -= u64::from(before > missed);
    }

    /// Whether masks of several publishers have come one in between the other.
    pub(super) fn is_mixed(&self) -> bool {
        self.mixed
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
    use proptest::prelude::*;

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
            residual_ppm: None,
            expected_ppm: None,
            measured_ppm: None,
        }
    }

    /// Nobody declares a token: what a subscriber sees of publishers that are not ours.
    const UNTOLD: fn(u32) -> Attendance = |_| Attendance { alive: false, watched: false };
    const ALL_ALIVE: fn(u32) -> Attendance = |_| Attendance { alive: true, watched: false };
    const WATCHED: fn(u32) -> Attendance = |_| Attendance { alive: true, watched: true };

    fn late(before: u64) -> Beginning {
        Beginning { before, missed: 0 }
    }

    #[test]
    fn gaps_repeats_and_restarts_are_told_apart() {
        let mut tracker = Tracker::default();
        let steps = [
            ((1, 10), Some(Continuity::First(late(10)))),
            ((1, 11), Some(Continuity::Follows { missed: 0 })),
            ((1, 15), Some(Continuity::Follows { missed: 3 })),
            ((1, 15), None),
            ((1, 12), None),
            ((2, 2), Some(Continuity::Restarted { missed: 2 })),
            ((1, 15), None),
            ((2, u64::MAX), Some(Continuity::Follows { missed: u64::MAX - 3 })),
        ];
        for ((session, sequence), expected) in steps {
            assert_eq!(tracker.follow(&header(session, sequence), UNTOLD), expected, "{session} {sequence}");
        }
        let counts = tracker.counts();
        assert_eq!((counts.received, counts.restarts, counts.repeated, counts.gaps), (5, 1, 3, 3));
        assert!(!tracker.is_mixed());
    }

    #[test]
    fn publishers_in_turns_give_neither_gaps_nor_restarts_whether_or_not_their_tokens_are_seen() {
        for (case, attends) in [("no tokens", UNTOLD), ("tokens", ALL_ALIVE)] {
            for publishers in 2..=5 {
                let mut tracker = Tracker::default();
                for turn in 0..40 {
                    for session in 0..publishers {
                        tracker.follow(&header(session, 6000 * u64::from(session) + turn), attends);
                    }
                }
                let before_joining = (0..u64::from(publishers)).map(|session| 6000 * session).sum();
                let received = 40 * u64::from(publishers);
                let expected = Counts { received, before_joining, joined_at: Some(0), ..Counts::default() };
                assert_eq!(tracker.counts(), expected, "{case}, {publishers} publishers");
                assert!(tracker.is_mixed(), "{case}, {publishers} publishers");
            }
        }
    }

    #[test]
    fn a_second_publisher_joins_while_the_first_is_alive_and_restarts_it_when_it_is_gone() {
        for (alive, expected) in [(true, Continuity::Joined(late(7))), (false, Continuity::Restarted { missed: 7 })] {
            let mut tracker = Tracker::default();
            tracker.follow(&header(1, 0), ALL_ALIVE);
            let attends = |session| Attendance { alive: alive && session == 1, watched: false };
            assert_eq!(tracker.follow(&header(2, 7), attends), Some(expected));
        }
    }

    #[test]
    fn what_came_before_the_first_mask_heard_is_missed_by_who_was_there_and_told_to_who_came_late() {
        for (attends, missed, before_joining) in [(WATCHED, 24, 0), (ALL_ALIVE, 0, 24), (UNTOLD, 0, 24)] {
            let mut tracker = Tracker::default();
            let first = tracker.follow(&header(1, 24), attends);
            assert_eq!(first, Some(Continuity::First(Beginning { before: 24, missed })));
            let joined = tracker.follow(&header(2, 0), ALL_ALIVE);
            assert_ne!(joined, None);
            let counts = tracker.counts();
            assert_eq!((counts.missed, counts.before_joining), (missed, before_joining));
            assert_eq!((counts.joined_at, counts.gaps), (Some(24), u64::from(missed > 0)));
        }
    }

    #[test]
    fn a_publisher_taken_for_a_restart_keeps_what_was_missed_of_it_only_if_its_beginning_was_watched() {
        for (watched, missed, before_joining) in [(true, 7, 0), (false, 0, 7)] {
            let mut tracker = Tracker::default();
            let attends = |_| Attendance { alive: false, watched };
            for (session, sequence) in [(1, 0), (2, 7), (1, 1)] {
                tracker.follow(&header(session, sequence), attends);
            }
            let counts = tracker.counts();
            assert_eq!((counts.restarts, counts.missed, counts.before_joining), (0, missed, before_joining));
        }
    }

    #[test]
    fn one_of_two_publishers_that_is_started_again_is_one_restart() {
        let mut tracker = Tracker::default();
        for sequence in 0..5 {
            tracker.follow(&header(1, sequence), UNTOLD);
            tracker.follow(&header(2, sequence), UNTOLD);
        }
        for sequence in 5..9 {
            tracker.follow(&header(2, sequence), UNTOLD);
        }
        for sequence in 0..9 {
            tracker.follow(&header(3, sequence), UNTOLD);
            tracker.follow(&header(2, sequence + 9), UNTOLD);
        }
        let counts = tracker.counts();
        assert_eq!((counts.received, counts.restarts, counts.gaps, counts.missed), (32, 1, 0, 0));
    }

    #[test]
    fn more_publishers_than_are_remembered_invent_nothing() {
        let mut tracker = Tracker::default();
        for turn in 0..10 {
            for session in 0..100 {
                tracker.follow(&header(session, turn), ALL_ALIVE);
            }
        }
        let counts = tracker.counts();
        assert_eq!((counts.received, counts.restarts, counts.missed), (1000, 0, 0));
        assert!(tracker.voices.len() <= MAX_SESSIONS);
    }

    proptest! {
        #[test]
        fn any_messages_are_counted_without_contradiction(
            messages in prop::collection::vec((0u32..40, prop_oneof![0u64..50, any::<u64>()]), 0..400),
            alive in any::<u64>(),
        ) {
            let mut tracker = Tracker::default();
            for (session, sequence) in &messages {
                tracker.follow(&header(*session, *sequence), |session| {
                    let alive = alive >> (session % 64) & 1 == 1;
                    Attendance { alive, watched: alive }
                });
                let counts = tracker.counts();
                prop_assert_eq!(counts.gaps > 0, counts.missed > 0);
                prop_assert!(counts.restarts + counts.gaps <= 2 * counts.received);
                prop_assert!(tracker.voices.len() <= MAX_SESSIONS);
            }
            prop_assert_eq!(tracker.counts().received + tracker.counts().repeated, messages.len() as u64);
        }
    }
}
