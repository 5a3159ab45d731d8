//! The aligner: one frame waits, histories answer for its stamp.

use super::history::{History, Insertion, Limits};
use super::{ClockMapping, ClockQuality, Config, Observation};
use crate::data::{AlignedFrame, Clock, Event, Frame, Quantity, Reading, Stamp, StateSample, VehicleState};
use heapless::Deque;

/// One pushed event releases at most two frames: the one that waited and, if nothing is to be waited for, the new one.
const READY: usize = 2;
/// Samples that are kept while it is not clear whether their clock has stepped: the 20 ms that takes, of 3000 a second.
const MAX_UNSETTLED: usize = 64;
/// A stamp this far after its own arrival is none (drivers stamp up to some 30 ms ahead); it would block all later frames.
const MAX_AHEAD_NS: i64 = 1_000_000_000;
/// A mapped stamp may lie after its own arrival by what the line still has to be corrected by.
const MAX_CORRECTION_NS: i64 = 10_000_000;

/// What became of the frames and samples pushed. Always `captured == aligned + dropped + waiting`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Frames taken in.
    pub captured: u64,
    /// Frames popped.
    pub aligned: u64,
    /// Frames that newer ones replaced because nobody popped them.
    pub dropped: u64,
    /// Frames taken in and not yet popped: at most three.
    pub waiting: u64,
    /// Frames refused: their stamp is that of the frame before.
    pub duplicate_frames: u64,
    /// Frames refused: their stamp is before that of the frame before.
    pub backward_frames: u64,
    /// Frames refused: stamped more than a second after they arrived.
    pub implausible_frames: u64,
    /// Values that came after a later one and were put in their place.
    pub out_of_order_samples: u64,
    /// Values whose stamp was known already; the later to come stays.
    pub duplicate_samples: u64,
    /// Values older than all that is remembered.
    pub late_samples: u64,
    /// State samples that could not be put on the timeline, about a step of their clock.
    pub unmapped_samples: u64,
    /// State samples stamped before the timeline's zero or more than a second after they arrived.
    pub implausible_samples: u64,
}

/// Pairs frames with the vehicle's state.
///
/// ```
/// use segfuse::align::{Aligner, Config};
/// let mut aligner = Aligner::new(Config::default());
/// # let events: Vec<segfuse::data::Event> = Vec::new();
/// for event in &events {
///     aligner.push(event);
///     while let Some(_aligned) = aligner.pop() { /* perceive */ }
/// }
/// aligner.finish();
/// assert!(aligner.pop().is_none());
/// ```
///
/// After each push pop until there is nothing: then no frame is ever dropped here. Frames come out in
/// order of strictly growing stamps; one whose stamp does not grow is refused and counted.
#[derive(Debug)]
pub struct Aligner {
    max_wait_ns: i64,
    limits: Limits,
    clock: ClockMapping,
    unsettled: Deque<StateSample, MAX_UNSETTLED>,
    histories: [History; Quantity::ALL.len()],
    now: Stamp,
    newest: Option<Stamp>,
    waiting: Option<Frame>,
    ready: Deque<AlignedFrame, READY>,
    counts: Counts,
}

impl Aligner {
    /// An aligner that has heard nothing.
    pub fn new(config: Config) -> Self {
        Self {
            max_wait_ns: i64::from(config.max_wait_ms) * 1_000_000,
            limits: Limits::new(&config),
            clock: ClockMapping::new(config.clock),
            unsettled: Deque::new(),
            histories: Default::default(),
            now: Stamp::ZERO,
            newest: None,
            waiting: None,
            ready: Deque::new(),
            counts: Counts::default(),
        }
    }

    /// Takes an event in. Events come in order of arrival.
    pub fn push(&mut self, event: &Event) {
        self.now = self.now.max(event.arrival());
        match event {
            Event::Frame(frame) => self.take_frame(frame),
            Event::State(sample) => self.take_sample(sample),
            Event::Can(_) | Event::Truth(_) | Event::Lost { .. } | Event::Tick(_) => {}
        }
        if self.waiting.as_ref().is_some_and(|frame| !self.is_awaiting(frame.stamp)) {
            self.release();
        }
    }

    /// The next aligned frame, if one is ready.
    pub fn pop(&mut self) -> Option<AlignedFrame> {
        let aligned = self.ready.pop_front()?;
        self.counts.aligned += 1;
        Some(aligned)
    }

    /// Nothing more will come: the frame that waits is made ready.
    pub fn finish(&mut self) {
        self.release();
    }

    /// What became of everything so far.
    pub fn counts(&self) -> Counts {
        Counts { waiting: self.ready.len() as u64 + u64::from(self.waiting.is_some()), ..self.counts }
    }

    /// How well the sources' clock is followed.
    pub fn clock_quality(&self) -> ClockQuality {
        self.clock.quality()
    }

    fn take_frame(&mut self, frame: &Frame) {
        let refused = match self.newest {
            _ if frame.stamp.signed_ns_since(frame.arrival) > MAX_AHEAD_NS => &mut self.counts.implausible_frames,
            Some(newest) if frame.stamp == newest => &mut self.counts.duplicate_frames,
            Some(newest) if frame.stamp < newest => &mut self.counts.backward_frames,
            _ => {
                self.release();
                self.newest = Some(frame.stamp);
                self.waiting = Some(frame.clone());
                self.counts.captured += 1;
                return;
            }
        };
        *refused += 1;
    }

    /// Whether samples that would make the state at `stamp` better may still come in time.
    fn is_awaiting(&self, stamp: Stamp) -> bool {
        self.max_wait_ns > 0
            && self.now.signed_ns_since(stamp) < self.max_wait_ns
            && self.histories.iter().any(|history| history.awaits(stamp, &self.limits))
    }

    /// Makes the frame that waits ready. Where frames are not popped the newest win.
    fn release(&mut self) {
        let Some(frame) = self.waiting.take() else { return };
        if self.ready.is_full() {
            self.counts.dropped += u64::from(self.ready.pop_front().is_some());
        }
        let aligned = AlignedFrame { state: self.state_at(frame.stamp), frame };
        self.ready.push_back(aligned).expect("its oldest was taken out where it was full");
    }

    fn state_at(&self, stamp: Stamp) -> VehicleState {
        let mut state = VehicleState::default();
        for (quantity, history) in Quantity::ALL.into_iter().zip(&self.histories) {
            state.set(quantity, history.at(stamp, &self.limits));
        }
        state
    }

    fn take_sample(&mut self, sample: &StateSample) {
        if sample.taken.clock == Clock::Monotonic {
            match u64::try_from(sample.taken.ns) {
                Ok(ns) => self.insert(Stamp::from_ns(ns), sample),
                Err(_) => self.counts.implausible_samples += 1,
            }
            return;
        }
        let observation = self.clock.observe(sample.taken.ns, sample.arrival);
        self.keep_unsettled(sample);
        if observation != Observation::Unsettled {
            self.settle();
        }
    }

    fn keep_unsettled(&mut self, sample: &StateSample) {
        if self.unsettled.is_full() {
            self.unsettled.pop_front();
            self.counts.unmapped_samples += 1;
        }
        self.unsettled.push_back(*sample).expect("its oldest was taken out where it was full");
    }

    /// Maps the samples whose clock was in doubt. What then lies far from its own arrival was stamped by a
    /// clock that had stepped and has stepped back.
    fn settle(&mut self) {
        while let Some(sample) = self.unsettled.pop_front() {
            let plausible = |stamp: &Stamp| {
                let age_ns = sample.arrival.signed_ns_since(*stamp);
                (-MAX_CORRECTION_NS..=self.limits.silence_ns()).contains(&age_ns)
            };
            match self.clock.map(sample.taken.ns).filter(plausible) {
                Some(stamp) => self.insert(stamp, &sample),
                None => self.counts.unmapped_samples += 1,
            }
        }
    }

    fn insert(&mut self, stamp: Stamp, sample: &StateSample) {
        if stamp.signed_ns_since(sample.arrival) > MAX_AHEAD_NS {
            self.counts.implausible_samples += 1;
            return;
        }
        for (index, quantity) in Quantity::ALL.into_iter().enumerate() {
            if let Some(reading) = sample.state.get(quantity) {
                self.insert_reading(index, stamp, reading);
            }
        }
    }

    fn insert_reading(&mut self, index: usize, stamp: Stamp, reading: Reading) {
        let counts = &mut self.counts;
        match self.histories[index].insert(stamp, reading) {
            Insertion::Newest => {}
            Insertion::OutOfOrder => counts.out_of_order_samples += 1,
            Insertion::Duplicate => counts.duplicate_samples += 1,
            Insertion::TooOld => counts.late_samples += 1,
        }
    }
}
