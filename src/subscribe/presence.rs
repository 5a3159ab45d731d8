//! Who is there: the publishers of our camera, and those of others, by their liveliness tokens.

use super::{Attendance, SubscribeError, outside};
use crate::wire::{Keys, Presence};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use zenoh::query::Reply;
use zenoh::sample::{Sample, SampleKind};
use zenoh::{Session, Wait};

/// Publishers of one camera that are kept track of: more than one is a mistake already.
const MAX_ALIVE: usize = 64;
/// Tokens of others looked at, and cameras named: a network may hold thousands, a person reads a few.
const MAX_TOKENS: usize = 256;
const MAX_NAMED: usize = 8;

/// Who is there takes no longer to tell than this, or it is not known.
const PRESENT: Duration = Duration::from_secs(1);

/// The sessions of our camera's publishers that are alive.
#[derive(Debug, Default)]
pub(super) struct Alive {
    sessions: Mutex<BTreeSet<u32>>,
    /// Those that were there before us.
    earlier: OnceLock<BTreeSet<u32>>,
}

impl Alive {
    fn sessions(&self) -> MutexGuard<'_, BTreeSet<u32>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says once which publishers were there before us.
    pub(super) fn were_there(&self, sessions: &BTreeSet<u32>) {
        self.earlier.get_or_init(|| sessions.clone());
    }

    pub(super) fn attendance(&self, session: u32) -> Attendance {
        let alive = self.sessions().contains(&session);
        let earlier = self.earlier.get().is_some_and(|earlier| earlier.contains(&session));
        Attendance { alive, watched: alive && !earlier }
    }

    pub(super) fn count(&self) -> usize {
        self.sessions().len()
    }

    fn hear(&self, sample: &Sample) {
        let Some(Presence { session, .. }) = Presence::from_key(sample.key_expr().as_str()) else { return };
        let mut sessions = self.sessions();
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
) -> Result<zenoh::pubsub::Subscriber<()>, SubscribeError> {
    let alive = Arc::clone(alive);
    let hear = move |sample: Sample| alive.hear(&sample);
    outside(|| session.liveliness().declare_subscriber(keys.all_alive()).history(true).callback(hear).wait())
}

/// The publishers of our camera that are there now.
pub(super) fn present(session: &Session, keys: &Keys) -> Result<BTreeSet<u32>, SubscribeError> {
    let replies = outside(|| session.liveliness().get(keys.all_alive()).timeout(PRESENT).wait())?;
    let token = |reply: Reply| Presence::from_key(reply.result().ok()?.key_expr().as_str());
    let each = std::iter::from_fn(|| replies.recv_timeout(PRESENT * 2).ok().flatten());
    Ok(each.take(MAX_TOKENS).filter_map(token).map(|presence| presence.session).collect())
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
