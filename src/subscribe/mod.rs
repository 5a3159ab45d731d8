//! Receiving masks in another process: newest first, verified, with every loss told.
//!
//! ```no_run
//! use segfuse::clock::{MeasuringClock, MonotonicClock};
//! use segfuse::subscribe::{Config, Subscriber};
//! use std::time::Duration;
//!
//! let config = Config { vehicle: "car7".into(), ..Config::default() };
//! let mut subscriber = Subscriber::open(&config, || MonotonicClock.now())?;
//! let classes = subscriber.classes(Duration::from_secs(1))?;
//! let received = subscriber.recv_timeout(Duration::from_secs(1))?;
//! println!("{:?} {:?} of {}", received.continuity, received.labels.size(), classes.name);
//! # Ok::<(), segfuse::subscribe::SubscribeError>(())
//! ```

mod continuity;
mod error;
mod inbox;
mod presence;
mod request;

pub use crate::wire::Presence;
pub use continuity::{Beginning, Continuity};
pub use error::SubscribeError;

use self::continuity::{Attendance, Tracker};
use self::inbox::Inbox;
use self::presence::Alive;
use crate::data::{BufferPool, ClassTable, LabelMask, Plane, Stamp};
use crate::wire::session::{self, SessionError};
use crate::wire::{ClassesNotice, Header, Health, Keys, MaskMessage, WireError, decode};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use zenoh::Session;
use zenoh::bytes::ZBytes;
use zenoh::sample::Sample;

/// The longest queue: a second of a fast camera. A longer one would only make masks older.
pub const MAX_QUEUE: usize = 120;
/// How often a publisher that is not there yet is looked for: less than a publisher waits for more subscribers.
const RETRY: Duration = Duration::from_millis(250);

/// What to listen to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// First part of the publisher's keys.
    pub prefix: String,
    /// Second part: which vehicle.
    pub vehicle: String,
    /// Third part: which camera.
    pub camera: String,
    /// Endpoints to connect to.
    pub connect: Vec<String>,
    /// Endpoints to listen on, for publishers that connect to us; none as a rule.
    pub listen: Vec<String>,
    /// Zenoh's own configuration file instead of the built-in one; its endpoints are not used.
    pub config_file: Option<std::path::PathBuf>,
    /// Read masks in shared memory where the publisher is on this computer.
    pub shared_memory: bool,
    /// Masks that may wait, 1 to 120. When one more comes the oldest is dropped and counted.
    pub queue: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            prefix: "segfuse".into(),
            vehicle: "vehicle".into(),
            camera: "front".into(),
            connect: vec!["tcp/127.0.0.1:7447".into()],
            listen: Vec::new(),
            config_file: None,
            shared_memory: true,
            queue: 4,
        }
    }
}

/// What became of everything that was heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Masks handed out.
    pub received: u64,
    /// Masks published but never handed out: lost on the way, overflowed or damaged.
    pub missed: u64,
    /// Times that some were missed.
    pub gaps: u64,
    /// Sequence number of the first mask handed out; `None` before.
    pub joined_at: Option<u64>,
    /// Masks published before the first one heard, by publishers that were there before this subscriber: told, not missed.
    pub before_joining: u64,
    /// Dropped here because nobody fetched them in time; missed, unless none of that publisher was handed out before.
    pub overflowed: u64,
    /// Messages that were damaged on the way.
    pub damaged: u64,
    /// Messages that are no masks of ours, or of a version that this program does not read.
    pub foreign: u64,
    /// Times that another session took over from one that is gone.
    pub restarts: u64,
    /// Masks heard twice or out of order, not handed out.
    pub repeated: u64,
}

/// A mask, verified against its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// What is known of the mask.
    pub header: Header,
    /// A class for every pixel.
    pub labels: LabelMask,
    /// Frames since a pixel's evidence was seen by the network, if it is published.
    pub age: Option<Plane>,
    /// Margin between the two best classes of a pixel, if it is published.
    pub confidence: Option<Plane>,
    /// How it follows the one before.
    pub continuity: Continuity,
    /// When it arrived, on this machine's monotonic clock.
    pub received: Stamp,
}

impl Received {
    /// From exposure to arrival, in ms; `None` in a replay at full speed.
    /// Right on the publisher's own machine only: monotonic clocks of two machines differ.
    pub fn age_ms(&self) -> Option<f64> {
        let latency_ns = i64::from(self.header.latency_us?) * 1000;
        Some((latency_ns + self.received.signed_ns_since(self.header.published)) as f64 / 1e6)
    }
}

/// Receives the masks of one camera. Dropping it closes its session.
pub struct Subscriber {
    /// `None` only while dropping.
    link: Option<Link>,
    keys: Keys,
    inbox: Arc<Inbox>,
    alive: Arc<Alive>,
    tracker: Tracker,
    warned: bool,
    now: Now,
}

/// What Zenoh holds for us; dropped in this order.
struct Link {
    _masks: zenoh::pubsub::Subscriber<()>,
    _liveliness: zenoh::pubsub::Subscriber<()>,
    session: Session,
}

type Now = Arc<dyn Fn() -> Stamp + Send + Sync>;

impl Drop for Subscriber {
    fn drop(&mut self) {
        let link = self.link.take();
        if let Err(error) = outside(|| {
            drop(link);
            Ok(())
        }) {
            tracing::warn!("{error}");
        }
    }
}

impl Subscriber {
    /// Connects and listens. `now` reads this machine's monotonic clock, to say when masks arrived.
    ///
    /// What publishers that are there already have published is not missed. Of those that appear more than a second later, all is.
    pub fn open(config: &Config, now: impl Fn() -> Stamp + Send + Sync + 'static) -> Result<Self, SubscribeError> {
        keys(config)?;
        let session = session::open(&session_config(config), config.shared_memory)?;
        let alive = Alive::new(Some(now()));
        Self::listening(config, session, alive, Arc::new(now))
    }

    /// As [`Subscriber::open`], but waits until somebody answers at the endpoints, trying four times a second
    /// while `keeps_waiting`; then ends with the last [`SessionError::Refused`]. If it had to wait, the publisher
    /// found has begun meanwhile, and its masks before the first one heard are missed; found through a router or at one of
    /// several endpoints, not.
    pub fn open_when_there(
        config: &Config,
        now: impl Fn() -> Stamp + Send + Sync + 'static,
        mut keeps_waiting: impl FnMut() -> bool,
    ) -> Result<Self, SubscribeError> {
        keys(config)?;
        let mut waited = false;
        let session = loop {
            match session::open_at_once(&session_config(config), config.shared_memory) {
                Err(SessionError::Refused { .. }) if keeps_waiting() => std::thread::sleep(RETRY),
                outcome => break outcome?,
            }
            waited = true;
        };
        // Of several endpoints, or behind a router, another may have been there all the while.
        let first = waited && config.connect.len() == 1 && !outside(|| Ok(session::has_router(&session)))?;
        let alive = Alive::new((!first).then(&now));
        Self::listening(config, session, alive, Arc::new(now))
    }

    fn listening(config: &Config, session: Session, alive: Alive, now: Now) -> Result<Self, SubscribeError> {
        let keys = keys(config)?;
        let inbox = Arc::new(Inbox::new(config.queue));
        let alive = Arc::new(alive);
        let link = Link {
            _masks: listen(&session, &keys, receiver(&inbox, config.queue, Arc::clone(&now)))?,
            _liveliness: presence::watch(&session, &keys, &alive, Arc::clone(&now))?,
            session,
        };
        Ok(Self { link: Some(link), keys, inbox, alive, tracker: Tracker::default(), warned: false, now })
    }

    fn session(&self) -> &Session {
        &self.link.as_ref().expect("taken by drop alone").session
    }

    /// The next mask, waiting at most `timeout`.
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Received, SubscribeError> {
        while let Some((message, received)) = self.inbox.wait(timeout) {
            if let Some(continuity) = self.follow(&message.header) {
                return Ok(received_of(message, continuity, received));
            }
        }
        if self.session().is_closed() {
            return Err(SubscribeError::Closed("by this process".into()));
        }
        Err(SubscribeError::Timeout { key: self.keys.mask(), waited: timeout, publishers: self.publishers() })
    }

    /// The next mask, for any async runtime. Dropping the future loses nothing, so it may be raced
    /// against a timer; without one it waits for as long as nobody publishes.
    pub async fn recv_async(&mut self) -> Received {
        loop {
            let (message, received) = self.inbox.next().await;
            if let Some(continuity) = self.follow(&message.header) {
                return received_of(message, continuity, received);
            }
        }
    }

    fn follow(&mut self, header: &Header) -> Option<Continuity> {
        let continuity = self.tracker.follow(header, |session| self.alive.attendance(session));
        if self.tracker.is_mixed() && !self.warned {
            self.warned = true;
            tracing::warn!(
                "several publishers use '{}' and their masks come mixed: give each vehicle and camera its own name \
                 (--vehicle, --camera, or [zenoh] in the publisher's configuration)",
                self.keys.mask()
            );
        }
        if let Some(Continuity::First(Beginning { before: before @ 1.., missed })) = continuity {
            let counted = if missed > 0 { ", counted as missed" } else { "" };
            tracing::info!("joined at sequence {before} ({before} masks before it{counted})");
        }
        continuity
    }

    /// What became of everything heard so far.
    pub fn counts(&self) -> Counts {
        let heard = self.inbox.counts();
        Counts { overflowed: heard.overflowed, damaged: heard.damaged, foreign: heard.foreign, ..self.tracker.counts() }
    }

    /// How many publishers of this camera are alive: 0 none, 1 as it should be, 2 somebody's mistake.
    pub fn publishers(&self) -> usize {
        self.alive.count()
    }

    /// Whether there is a connection to anybody, publisher or router. One that is lost comes back by itself.
    pub fn is_connected(&self) -> Result<bool, SubscribeError> {
        outside(|| Ok(session::is_connected(self.session())))
    }

    /// Up to eight publishers of other vehicles or cameras that are alive: to say why nothing comes.
    pub fn elsewhere(&self, timeout: Duration) -> Result<Vec<Presence>, SubscribeError> {
        presence::elsewhere(self.session(), &self.keys, timeout)
    }

    /// What the labels mean.
    pub fn classes(&self, timeout: Duration) -> Result<ClassTable, SubscribeError> {
        let key = self.keys.classes();
        let answer = request::first_answer(self.session(), &key, timeout)?;
        ClassesNotice::table_from_json(&answer.payload().to_bytes())
            .map_err(|source| SubscribeError::Answer { key, source })
    }

    /// How the publisher is doing.
    pub fn health(&self, timeout: Duration) -> Result<Health, SubscribeError> {
        let key = self.keys.health();
        let answer = request::first_answer(self.session(), &key, timeout)?;
        Health::from_json(&answer.payload().to_bytes()).map_err(|source| SubscribeError::Answer { key, source })
    }

    /// The newest mask published so far: for who comes late. It does not count as received, and those before it not as
    /// missed.
    pub fn newest(&self, timeout: Duration) -> Result<Received, SubscribeError> {
        let key = self.keys.mask();
        let answer = request::first_answer(self.session(), &key, timeout)?;
        let received = (self.now)();
        let message =
            read(&answer, &mut BufferPool::new(0)).map_err(|source| SubscribeError::Answer { key, source })?;
        let beginning = Beginning { before: message.header.sequence, missed: 0 };
        Ok(received_of(message, Continuity::First(beginning), received))
    }
}

/// The keys, if every option is sound.
fn keys(config: &Config) -> Result<Keys, SubscribeError> {
    if !(1..=MAX_QUEUE).contains(&config.queue) {
        return Err(SubscribeError::Queue(config.queue));
    }
    Ok(Keys::new(&config.prefix, &config.vehicle, &config.camera)?)
}

fn received_of(message: MaskMessage, continuity: Continuity, received: Stamp) -> Received {
    let MaskMessage { header, labels, age, confidence } = message;
    Received { header, labels, age, confidence, continuity, received }
}

fn session_config(config: &Config) -> session::Config {
    session::Config {
        config_file: config.config_file.clone(),
        listen: Some(config.listen.clone()),
        connect: Some(config.connect.clone()),
    }
}

fn closed(error: impl std::fmt::Display) -> SubscribeError {
    SubscribeError::Closed(session::words(&error.to_string()))
}

/// Runs `declare`, one of Zenoh's blocking calls, outside the caller's async runtime.
fn outside<T: Send>(declare: impl FnOnce() -> zenoh::Result<T> + Send) -> Result<T, SubscribeError> {
    std::thread::scope(|scope| scope.spawn(declare).join()).map_err(|_| closed("zenoh panicked"))?.map_err(closed)
}

fn listen(
    session: &Session,
    keys: &Keys,
    receive: impl Fn(Sample) + Send + Sync + 'static,
) -> Result<zenoh::pubsub::Subscriber<()>, SubscribeError> {
    use zenoh::Wait;
    outside(|| session.declare_subscriber(keys.mask()).callback(receive).wait())
}

/// What Zenoh calls with every mask: copies, verifies and queues it, so that shared memory is given
/// back at once and a mask in the queue cannot change.
fn receiver(inbox: &Arc<Inbox>, queue: usize, now: Now) -> impl Fn(Sample) + Send + Sync + 'static {
    let inbox = Arc::clone(inbox);
    // Those in the queue and two in the consumer's hands, each of up to three planes.
    let pool = Mutex::new(BufferPool::new((queue + 2) * 3));
    move |sample| {
        let message = read(&sample, &mut pool.lock().unwrap_or_else(PoisonError::into_inner));
        drop(sample);
        match message {
            Ok(message) => inbox.push((message, now())),
            Err(error) => inbox.refuse(&error),
        }
    }
}

fn read(sample: &Sample, pool: &mut BufferPool) -> Result<MaskMessage, WireError> {
    let attachment = sample.attachment().map(ZBytes::to_bytes).unwrap_or_default();
    decode(&attachment, sample.payload().slices(), pool)
}
