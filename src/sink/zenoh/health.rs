//! Counting what became of every frame, and how late its mask was.

use crate::data::{FrameId, Stamp, VitalSigns};
use crate::wire::{Health, LatencyMs};

/// Masks that the latency figures look back on: 17 s at 30 a second.
const WINDOW: usize = 512;

/// What became of every frame so far.
#[derive(Debug)]
pub(super) struct Counts {
    captured: u64,
    published: u64,
    pending: u64,
    refused: u64,
    stale: u64,
    unshared: u64,
    newest: Option<FrameId>,
    sequence: Option<u64>,
    /// When the newest published mask was due, on the monotonic clock.
    newest_due: Option<Stamp>,
    latencies_us: Vec<u32>,
    next: usize,
    sorted_us: Vec<u32>,
    told: Health,
}

/// A mask that was handed over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Handed {
    pub(super) sequence: u64,
    pub(super) due: Option<Stamp>,
    pub(super) latency_us: Option<u32>,
    pub(super) shared: bool,
}

impl Counts {
    pub(super) fn new(who: &Publisher) -> Self {
        Self {
            captured: 0,
            published: 0,
            pending: 0,
            refused: 0,
            stale: 0,
            unshared: 0,
            newest: None,
            sequence: None,
            newest_due: None,
            latencies_us: Vec::with_capacity(WINDOW),
            next: 0,
            sorted_us: Vec::with_capacity(WINDOW),
            told: who.health(),
        }
    }

    /// A frame has come.
    pub(super) fn captured(&mut self, frame: FrameId) {
        if self.newest.is_none_or(|newest| frame > newest) {
            self.newest = Some(frame);
            self.captured += 1;
            self.pending += 1;
        }
    }

    /// Frames that the camera made and that never came.
    pub(super) fn lost(&mut self, frames: u32) {
        self.captured += u64::from(frames);
    }

    /// The perception of `frame` has come: every frame up to it is no longer pending.
    pub(super) fn answered(&mut self, frame: FrameId) {
        self.captured(frame);
        self.pending = self.newest.map_or(0, |newest| newest.0 - frame.0);
    }

    /// Its mask went out.
    pub(super) fn published(&mut self, mask: Handed) {
        self.published += 1;
        self.sequence = Some(mask.sequence);
        self.newest_due = mask.due;
        self.unshared += u64::from(!mask.shared);
        if let Some(latency_us) = mask.latency_us {
            self.remember(latency_us);
        }
    }

    /// Its mask did not go out.
    pub(super) fn refused(&mut self) {
        self.refused += 1;
    }

    /// Its mask was too old to go out.
    pub(super) fn stale(&mut self) {
        self.stale += 1;
    }

    fn remember(&mut self, latency_us: u32) {
        match self.latencies_us.get_mut(self.next) {
            Some(oldest) => *oldest = latency_us,
            None => self.latencies_us.push(latency_us),
        }
        self.next = (self.next + 1) % WINDOW;
    }

    /// The message, as of `now`. Its memory is that of the one before.
    pub(super) fn health(&mut self, who: &Publisher, now: Stamp) -> &Health {
        let latency_ms = self.latency_ms();
        let told = &mut self.told;
        (told.captured, told.published, told.pending) = (self.captured, self.published, self.pending);
        told.dropped = (self.captured - self.pending).saturating_sub(self.published);
        (told.refused, told.stale, told.unshared) = (self.refused, self.stale, self.unshared);
        (told.sequence, told.latency_ms) = (self.sequence, latency_ms);
        told.newest_mask_age_ms = self.newest_due.map(|due| now.signed_ns_since(due) as f64 / 1e6);
        if let Some(signs) = &who.vitals {
            signs.read(now, told.vitals.get_or_insert_default());
        }
        told
    }

    fn latency_ms(&mut self) -> Option<LatencyMs> {
        let sorted = &mut self.sorted_us;
        sorted.clone_from(&self.latencies_us);
        sorted.sort_unstable();
        let at = |share: f64| sorted[((sorted.len() - 1) as f64 * share).round() as usize];
        let ms = |us: u32| f64::from(us) / 1e3;
        let max = *sorted.last()?;
        Some(LatencyMs { p50: ms(at(0.5)), p99: ms(at(0.99)), max: ms(max), masks: sorted.len() as u32 })
    }
}

/// Who says it.
#[derive(Clone, Debug)]
pub(super) struct Publisher {
    pub(super) session: u32,
    pub(super) engine: String,
    pub(super) network: String,
    /// Of a live run.
    pub(super) vitals: Option<VitalSigns>,
}

impl Publisher {
    /// The message before anything has happened.
    fn health(&self) -> Health {
        Health {
            session: self.session,
            engine: self.engine.clone(),
            network: self.network.clone(),
            captured: 0,
            published: 0,
            dropped: 0,
            pending: 0,
            refused: 0,
            stale: 0,
            unshared: 0,
            sequence: None,
            latency_ms: None,
            newest_mask_age_ms: None,
            vitals: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who() -> Publisher {
        Publisher { session: 1, engine: "e".into(), network: "n".into(), vitals: None }
    }

    fn health(counts: &mut Counts) -> Health {
        counts.health(&who(), Stamp::from_ns(5_000_000)).clone()
    }

    fn handed(sequence: u64, latency_us: u32) -> Handed {
        Handed { sequence, due: Some(Stamp::ZERO), latency_us: Some(latency_us), shared: true }
    }

    #[test]
    fn every_frame_is_published_dropped_or_pending() {
        let mut counts = Counts::new(&who());
        let mut sequence = 0;
        for step in 0..40 {
            counts.captured(FrameId(step));
            if step % 7 == 0 {
                counts.lost(3);
            }
            if step % 3 == 0 {
                counts.answered(FrameId(step.saturating_sub(1)));
                if step % 2 == 0 {
                    counts.published(handed(sequence, 10));
                    sequence += 1;
                } else {
                    counts.refused();
                }
            }
            let now = health(&mut counts);
            assert_eq!(now.captured, now.published + now.dropped + now.pending, "step {step}: {now:?}");
        }
        let end = health(&mut counts);
        assert_eq!((end.captured, end.published, end.pending, end.refused), (40 + 6 * 3, 7, 1, 7));
        assert_eq!((end.sequence, end.newest_mask_age_ms), (Some(6), Some(5.0)));
    }

    #[test]
    fn latency_looks_back_on_the_last_masks_only() {
        let mut counts = Counts::new(&who());
        assert_eq!(health(&mut counts).latency_ms, None);
        counts.published(handed(0, 1_000_000));
        for sequence in 1..=WINDOW as u64 {
            counts.published(handed(sequence, sequence as u32));
        }
        let latency = health(&mut counts).latency_ms.expect("there were masks");
        assert_eq!((latency.p50, latency.max, latency.masks), (0.257, 0.512, WINDOW as u32));
    }
}
