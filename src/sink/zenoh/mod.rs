//! Publishes every mask over Zenoh, and answers who asks for the newest one, the classes or the health.
//!
//! ```text
//! Perception ─pack─▶ shared memory or bytes ─put─▶ <prefix>/<vehicle>/<camera>/mask
//!            state ─────────────────────────put─▶ …/state        once a second ─put─▶ …/health
//! ```
//!
//! A live camera's mask is not sent, nor given to who asks for it, once its picture is older than `max_age_ms`.
//!
//! A call never blocks longer than Zenoh's file allows (as shipped 10 ms for a mask and 5 ms each for
//! state and health; up to 5 s each with `congestion_control = "block"`) and never fails the pipeline: what could not go out is counted.
//! Not here: the format ([`crate::wire`]), receiving ([`crate::subscribe`]).

mod answer;
mod config;
mod health;
mod memory;
mod outgoing;

pub use config::{Config, CongestionControl, Priority, SharedMemory};

use self::answer::{Answers, Queryables};
use self::health::{Handed, Publisher as Who};
use self::memory::MaskMemory;
use self::outgoing::{Lent, Outgoing};
use super::{Sink, SinkError};
use crate::data::{AlignedFrame, ClassTable, Event, Perception, Stamp, VitalSigns, WallMapping};
use crate::wire::session::{self, SessionError};
use crate::wire::{ClassesNotice, Encoder, Envelope, Hashes, Keys, KeysError, Packed, StampClock, StateNotice};
use ::zenoh::bytes::{Encoding, ZBytes};
use ::zenoh::liveliness::LivelinessToken;
use ::zenoh::pubsub::Publisher;
use ::zenoh::{Session, Wait};
use std::sync::Arc;

const NAME: &str = "zenoh";

/// Why the sink cannot start. Recovery: mend the configuration or the network, then start again.
#[derive(Debug, thiserror::Error)]
pub enum ZenohError {
    /// No session.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// A name that cannot be in a key.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// An option out of range.
    #[error("zenoh option {key} = {value}: expected {rule}")]
    Option {
        /// The option.
        key: &'static str,
        /// Its value.
        value: String,
        /// What it must be.
        rule: &'static str,
    },
    /// Zenoh does not let us use a key.
    #[error("zenoh cannot declare '{key}': {reason}")]
    Declare {
        /// The key.
        key: String,
        /// Zenoh's words.
        reason: String,
    },
}

/// What the stamps of perceptions mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeline {
    /// They count on this machine's monotonic clock.
    Live,
    /// They are a recording's.
    Replay {
        /// In a replay at the recorded pace: what to add to a stamp to get the point of the monotonic
        /// clock at which its frame was due. `None` at full speed: there is no latency to speak of.
        offset_ns: Option<i64>,
    },
}

impl Timeline {
    fn clock(self) -> StampClock {
        match self {
            Self::Live => StampClock::Monotonic,
            Self::Replay { .. } => StampClock::Recording,
        }
    }

    fn is_live(self) -> bool {
        self == Self::Live
    }

    /// When a frame was there to be worked on, on the monotonic clock.
    fn due(self, stamp: Stamp) -> Option<Stamp> {
        match self {
            Self::Live => Some(stamp),
            Self::Replay { offset_ns } => offset_ns.map(|offset| stamp.offset_ns(offset)),
        }
    }
}

/// What subscribers are told of the run.
#[derive(Clone, Debug)]
pub struct Run {
    /// The runtime, such as `rten 0.27`.
    pub engine: String,
    /// The network's name.
    pub network: String,
    /// XXH3-64 over the network's files.
    pub network_hash: u64,
    /// What the labels mean.
    pub classes: ClassTable,
    /// Unix time at a point of the timeline.
    pub wall: WallMapping,
    /// Reads that pair anew, where the run lasts for so long that Unix time drifts or is set.
    pub wall_now: Option<fn() -> WallMapping>,
    /// What the stamps mean.
    pub timeline: Timeline,
    /// How the sources of a live run are.
    pub vitals: Option<VitalSigns>,
}

type Now = Arc<dyn Fn() -> Stamp + Send + Sync>;

/// A sink that publishes.
pub struct ZenohSink {
    // Fields are dropped in this order: nobody may ask or listen when the session goes.
    _token: LivelinessToken,
    _queryables: Queryables,
    publishers: Publishers,
    session: Session,
    answers: Arc<Answers>,
    encoder: Encoder,
    memory: MaskMemory,
    buffers: Buffers,
    envelope: Envelope,
    run: Run,
    now: Now,
    pace: Pace,
    sends_state: bool,
    max_age_ns: i64,
    /// Whether there was a connection when it was last looked at; `None` if none is configured.
    connected: Option<bool>,
}

/// What goes out, used again.
struct Buffers {
    headers: Outgoing<Vec<u8>>,
    payloads: Outgoing<Vec<u8>>,
    planes: Outgoing<Lent>,
    states: Outgoing<Vec<u8>>,
    healths: Outgoing<Vec<u8>>,
}

/// The declared publishers; `state` and `health` never hold a mask up, so they may always be dropped.
struct Publishers {
    mask: Publisher<'static>,
    state: Publisher<'static>,
    health: Publisher<'static>,
}

/// What is due, by the stamps of events alone.
#[derive(Debug)]
struct Pace {
    min_period_ns: u64,
    next_mask: Stamp,
    health_period_ns: i64,
    next_health: Option<Stamp>,
}

impl Pace {
    /// Whether the mask of `stamp` keeps the rate; later ones are due a period after when it was due.
    fn takes_mask(&mut self, stamp: Stamp) -> bool {
        if self.min_period_ns == 0 {
            return true;
        }
        // A frame that is up to an eighth of a period early is taken: stamps jitter.
        let early = self.next_mask.offset_ns(-((self.min_period_ns / 8) as i64));
        let takes = stamp >= early;
        if takes {
            let base =
                if stamp.signed_ns_since(self.next_mask) > self.min_period_ns as i64 { stamp } else { self.next_mask };
            self.next_mask = base.offset_ns(self.min_period_ns as i64);
        }
        takes
    }

    fn health_is_due(&mut self, arrival: Stamp) -> bool {
        let due = self.next_health.is_none_or(|next| arrival >= next);
        if due {
            self.next_health = Some(arrival.offset_ns(self.health_period_ns));
        }
        due
    }
}

impl ZenohSink {
    /// Opens the session and declares everything. `now` reads the monotonic clock; it only measures.
    pub fn open(
        config: &Config,
        run: Run,
        now: impl Fn() -> Stamp + Send + Sync + 'static,
    ) -> Result<Self, ZenohError> {
        let keys = config.check()?;
        let session = session::open(&config.session, config.shared_memory.enabled)?;
        let envelope = first_envelope(&session, &run);
        let alive = keys.alive(envelope.session);
        let who = Who {
            session: envelope.session,
            engine: run.engine.clone(),
            network: run.network.clone(),
            vitals: run.vitals.clone(),
        };
        let now: Now = Arc::new(now);
        let max_age_ns = i64::from(config.max_age_ms) * 1_000_000;
        let answers = Arc::new(Answers::new(who, ClassesNotice::new(&run.classes).to_json(), Arc::clone(&now)));
        Ok(Self {
            _queryables: Queryables::declare(&session, &keys, &answers)?,
            publishers: Publishers::declare(&session, &keys, config)?,
            _token: declared(&alive, session.liveliness().declare_token(alive.clone()).wait())?,
            session,
            answers,
            encoder: Encoder::new(config.choice()),
            memory: MaskMemory::new(config.shared_memory),
            buffers: Buffers::new(),
            envelope,
            run,
            now,
            pace: Pace {
                min_period_ns: config.min_period_ns(),
                next_mask: Stamp::ZERO,
                health_period_ns: i64::from(config.health_period_ms) * 1_000_000,
                next_health: None,
            },
            sends_state: config.state,
            max_age_ns,
            connected: session::connects(&config.session)?.then_some(true),
        })
    }

    /// Endpoints on which others reach this session, with the ports really taken.
    pub fn endpoints(&self) -> Vec<String> {
        self.session.info().locators().wait().iter().map(ToString::to_string).collect()
    }

    /// Whether somebody subscribes to the masks now.
    pub fn has_subscriber(&self) -> bool {
        self.publishers.mask.matching_status().wait().is_ok_and(|status| status.matching())
    }

    /// How many other sessions this one is connected to, subscribers and routers.
    pub fn neighbours(&self) -> usize {
        session::neighbours(&self.session)
    }

    /// From now on stamps are those of a replay at the recorded pace; see [`Timeline::Replay`].
    pub fn pace_from(&mut self, offset_ns: i64) {
        self.run.timeline = Timeline::Replay { offset_ns: Some(offset_ns) };
    }

    fn publish_mask(&mut self, perception: &Perception) -> Result<(), SinkError> {
        let due = self.run.timeline.due(perception.stamp);
        let packed = self.encoder.pack(perception).map_err(|error| dropped(&error))?;
        let (payload, hashes, shared) = payload_of(&packed, &mut self.memory, &mut self.buffers);
        self.envelope.published = (self.now)();
        self.envelope.unix_ns = self.run.wall.unix_ns(perception.stamp);
        self.envelope.latency_us = due.map(|due| latency_us(due, self.envelope.published));
        let header = packed.header(hashes, &self.envelope).encode();
        let sequence = self.envelope.sequence;
        self.envelope.sequence += 1; // also when it is refused: subscribers see that one is missing
        let attachment = self.buffers.headers.fill(|out| replace(out, &header));
        let put = self.publishers.mask.put(payload.clone()).attachment(attachment.clone()).wait();
        put.map_err(|error| dropped(&error))?;
        let until = self.run.timeline.is_live().then(|| perception.stamp.offset_ns(self.max_age_ns));
        self.answers.keep_mask(attachment, payload, until);
        let handed = Handed { sequence, due, latency_us: self.envelope.latency_us, shared };
        self.answers.counts().published(handed);
        Ok(())
    }

    /// A mask of a live camera that is too old by now is none: whoever gets it would take it for how things are.
    fn refuse_the_past(&self, stamp: Stamp) -> Result<(), SinkError> {
        let age_ns = (self.now)().signed_ns_since(stamp);
        if !self.run.timeline.is_live() || age_ns <= self.max_age_ns {
            return Ok(());
        }
        self.answers.counts().stale();
        let [age, most] = [age_ns, self.max_age_ns].map(|ns| ns / 1_000_000);
        Err(dropped(&format!("the picture is {age} ms old, more than zenoh.max_age_ms = {most}")))
    }

    fn publish_state(&mut self, frame: &AlignedFrame) -> Result<(), SinkError> {
        let notice = StateNotice {
            session: self.envelope.session,
            frame: frame.frame.id,
            stamp: frame.frame.stamp,
            clock: self.run.timeline.clock(),
            unix_ns: self.run.wall.unix_ns(frame.frame.stamp),
            state: frame.state,
        };
        let json = self.buffers.states.fill(|out| {
            out.clear();
            notice.write_json(out);
        });
        self.publishers.state.put(json).wait().map_err(|error| dropped(&error))
    }

    /// Says when the connection that is configured is lost, and when it is back.
    fn look_at_connection(&mut self) {
        let Some(before) = self.connected else { return };
        let now = session::is_connected(&self.session);
        match (before, now) {
            (true, false) => tracing::warn!("the connection is gone and nobody gets masks: trying again"),
            (false, true) => tracing::info!("connected again"),
            _ => {}
        }
        self.connected = Some(now);
    }

    fn publish_health(&mut self) -> Result<(), SinkError> {
        let json = self.buffers.healths.fill(|out| self.answers.write_health(out));
        self.publishers.health.put(json).wait().map_err(|error| dropped(&error))
    }
}

impl Sink for ZenohSink {
    fn on_event(&mut self, event: &Event) -> Result<(), SinkError> {
        match event {
            Event::Frame(frame) => self.answers.counts().captured(frame.id),
            Event::Lost { frames, .. } => self.answers.counts().lost(*frames),
            _ => {}
        }
        if !self.pace.health_is_due(event.arrival()) {
            return Ok(());
        }
        self.look_at_connection();
        if let Some(read) = self.run.wall_now {
            self.run.wall = read();
        }
        self.publish_health()
    }

    fn on_perception(&mut self, frame: &AlignedFrame, perception: &Perception) -> Result<(), SinkError> {
        let _span = tracing::trace_span!("zenoh", frame = perception.frame.0).entered();
        self.answers.counts().answered(perception.frame);
        if !self.pace.takes_mask(perception.stamp) {
            return Ok(());
        }
        self.refuse_the_past(perception.stamp)?;
        let outcome = self.publish_mask(perception);
        if outcome.is_err() {
            self.answers.counts().refused();
        }
        outcome?;
        if self.sends_state { self.publish_state(frame) } else { Ok(()) }
    }

    /// Sends the last health and closes the session once everything has gone out.
    fn finish(&mut self) -> Result<(), SinkError> {
        let outcome = self.publish_health();
        self.session.close().wait().map_err(|error| dropped(&error))?;
        outcome
    }
}

impl Publishers {
    fn declare(session: &Session, keys: &Keys, config: &Config) -> Result<Self, ZenohError> {
        let mask = session
            .declare_publisher(keys.mask())
            .congestion_control(config.congestion_control.into())
            .priority(config.priority.into())
            .express(config.express)
            .encoding(Encoding::APPLICATION_OCTET_STREAM)
            .wait();
        let json = |key: String| {
            let publisher = session.declare_publisher(key.clone()).priority(config.priority.into());
            declared(&key, publisher.encoding(Encoding::APPLICATION_JSON).wait())
        };
        Ok(Self { mask: declared(&keys.mask(), mask)?, state: json(keys.state())?, health: json(keys.health())? })
    }
}

impl Buffers {
    fn new() -> Self {
        let [headers, payloads, states, healths] = std::array::from_fn(|_| Outgoing::new());
        Self { headers, payloads, planes: Outgoing::new(), states, healths }
    }
}

/// The payload in shared memory if there is room, else as bytes that Zenoh may send.
fn payload_of(packed: &Packed<'_>, memory: &mut MaskMemory, buffers: &mut Buffers) -> (ZBytes, Hashes, bool) {
    if let Some((shared, hashes)) = memory.fill(packed.len(), packed.raw_len(), |out| packed.write_to(out)) {
        return (shared, hashes, true);
    }
    if let Some(labels) = packed.as_plain_labels() {
        return (buffers.planes.lend(labels), packed.hashes(), false);
    }
    let mut hashes = None;
    let payload = buffers.payloads.fill(|out| {
        out.resize(packed.len(), 0);
        hashes = Some(packed.write_to(out));
    });
    (payload, hashes.expect("fill calls its writer once"), false)
}

fn replace(out: &mut Vec<u8>, bytes: &[u8]) {
    out.clear();
    out.extend_from_slice(bytes);
}

fn first_envelope(session: &Session, run: &Run) -> Envelope {
    let zid = session.zid().to_le_bytes(); // drawn at random by Zenoh for every session
    Envelope {
        session: u32::from_le_bytes([zid[0], zid[1], zid[2], zid[3]]),
        sequence: 0,
        clock: run.timeline.clock(),
        unix_ns: 0,
        published: Stamp::ZERO,
        latency_us: None,
        network_hash: run.network_hash,
        classes_hash: run.classes.hash(),
    }
}

/// Saturates at both ends; 71 minutes and "not known" are the same to a subscriber.
fn latency_us(due: Stamp, published: Stamp) -> u32 {
    u32::try_from(published.signed_ns_since(due).max(0) / 1000).unwrap_or(u32::MAX)
}

fn declared<T>(key: &str, outcome: ::zenoh::Result<T>) -> Result<T, ZenohError> {
    outcome.map_err(|error| ZenohError::Declare { key: key.to_owned(), reason: session::words(&error.to_string()) })
}

fn dropped(reason: &(impl std::fmt::Display + ?Sized)) -> SinkError {
    SinkError::Dropped { sink: NAME, reason: session::words(&reason.to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_left_out_by_their_stamps_alone_and_the_rate_holds_under_jitter() {
        let mut pace =
            Pace { min_period_ns: 100_000_000, next_mask: Stamp::ZERO, health_period_ns: 1, next_health: None };
        let stamp = |frame: i64| Stamp::from_ns((1_000_000_000 + frame * 33_333_333 + frame % 3 * 500_000) as u64);
        let taken: Vec<i64> = (0..300).filter(|&frame| pace.takes_mask(stamp(frame))).collect();
        assert_eq!(taken.len(), 100, "{taken:?}");
    }

    #[test]
    fn health_is_due_once_a_period() {
        let mut pace = Pace { min_period_ns: 0, next_mask: Stamp::ZERO, health_period_ns: 10, next_health: None };
        let due: Vec<u64> = (3..40).filter(|&ns| pace.health_is_due(Stamp::from_ns(ns))).collect();
        assert_eq!(due, [3, 13, 23, 33]);
    }
}
