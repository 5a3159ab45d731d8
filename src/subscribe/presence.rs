//! Who is there: the publishers of our camera, and those of others, by their liveliness tokens.

use super::{Attendance, Now, SubscribeError, outside};
use crate::data::Stamp;
use crate::wire::{Keys, Presence};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use zenoh::sample::{Sample, SampleKind};
use zenoh::{Session, Wait};

/// Publishers of one camera that are kept track of: more than one is a mistake already.
const MAX_ALIVE: usize = 64;
/// Tokens of others looked at, and cameras named: a network may hold thousands, a person reads a few.
const MAX_TOKENS: usize = 256;
const MAX_NAMED: usize = 8;

/// A token that comes this soon after opening is of a publisher that may have been there before.
const GRACE_NS: i64 = 1_000_000_000;

/// The sessions of our camera's publishers that are alive.
#[derive(Debug)]
pub(super) struct Alive {
    sessions: Mutex<BTreeSet<u32>>,
    /// Those that were there before us.
    earlier: Mutex<BTreeSet<u32>>,
    /// Until when tokens are of publishers that were there before us; `None` if we were there before all.
    opening_until: Option<Stamp>,
}

impl Alive {
    /// `opened` is when we came; `None` if we were there before any publisher.
    pub(super) fn new(opened: Option<Stamp>) -> Self {
        let opening_until = opened.map(|opened| opened.offset_ns(GRACE_NS));
        Self { sessions: Mutex::default(), earlier: Mutex::default(), opening_until }
    }

    fn sessions(&self) -> MutexGuard<'_, BTreeSet<u32>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn earlier(&self) -> MutexGuard<'_, BTreeSet<u32>> {
        self.earlier.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn attendance(&self, session: u32) -> Attendance {
        let alive = self.sessions().contains(&session);
        let watched = self.opening_until.is_none() || (alive && !self.earlier().contains(&session));
        Attendance { alive, watched }
    }

    pub(super) fn count(&self) -> usize {
        self.sessions().len()
    }

    fn hear(&self, sample: &Sample, now: Stamp) {
        let Some(Presence { session, .. }) = Presence::from_key(sample.key_expr().as_str()) else { return };
        let mut sessions = self.sessions();
        if self.opening_until.is_some_and(|until| now < until) && sessions.len() < MAX_ALIVE {
            self.earlier().insert(session);
        }
        match sample.kind() {
            SampleKind::Put if sessions.len() < MAX_ALIVE => sessions.insert(session),
            SampleKind::Put => false,
            SampleKind::Delete => sessions.remove(&session),
        };
    }
}

/// Keeps `alive` up to date for as long as the subscription lives.
pub(super) fn watch(
    session: &Session,
    keys: &Keys,
    alive: &Arc<Alive>,
    now: Now,
) -> Result<zenoh::pubsub::Subscriber<()>, SubscribeError> {
    let alive = Arc::clone(alive);
    let hear = move |sample: Sample| alive.hear(&sample, now());
    outside(|| session.liveliness().declare_subscriber(keys.all_alive()).history(true).callback(hear).wait())
}

/// A few publishers whose vehicle, camera or prefix is another than that of `keys`, one for each camera.
pub(super) fn elsewhere(session: &Session, keys: &Keys, timeout: Duration) -> Result<Vec<Presence>, SubscribeError> {
    let replies = outside(|| session.liveliness().get(Presence::ANYWHERE).timeout(timeout).wait())?;
    let mut found: Vec<Presence> = Vec::new();
    for _ in 0..MAX_TOKENS {
        // Zenoh ends the replies at its own timeout; this one is for a session that has died.
        let Ok(Some(reply)) = replies.recv_timeout(timeout.saturating_add(Duration::from_secs(1))) else { break };
        let Some(other) = reply.result().ok().and_then(|sample| Presence::from_key(sample.key_expr().as_str())) else {
            continue;
        };
        let known = found.iter().any(|known| same_camera(known, &other));
        if !known && other.keys().is_some_and(|other| other != *keys) {
            found.push(other);
        }
    }
    found.sort();
    found.truncate(MAX_NAMED);
    Ok(found)
}

fn same_camera(one: &Presence, other: &Presence) -> bool {
    (&one.prefix, &one.vehicle, &one.camera) == (&other.prefix, &other.vehicle, &other.camera)
}
