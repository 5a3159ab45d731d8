//! What is answered to who asks: the newest mask, the classes, the health.

use super::health::{Counts, Publisher};
use super::{Now, ZenohError, declared};
use crate::data::Stamp;
use crate::wire::Keys;
use ::zenoh::bytes::{Encoding, ZBytes};
use ::zenoh::query::{Query, Queryable};
use ::zenoh::{Session, Wait};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Shared with Zenoh's threads. Locks are held for a copy of a few references at most.
pub(super) struct Answers {
    who: Publisher,
    classes: Vec<u8>,
    counts: Mutex<Counts>,
    mask: Mutex<Option<NewestMask>>,
    now: Now,
}

/// The newest mask, and until when it may be given.
struct NewestMask {
    attachment: ZBytes,
    payload: ZBytes,
    until: Option<Stamp>,
}

impl Answers {
    pub(super) fn new(who: Publisher, classes: Vec<u8>, now: Now) -> Self {
        let counts = Mutex::new(Counts::new(&who));
        Self { who, classes, counts, mask: Mutex::new(None), now }
    }

    pub(super) fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Of a live camera a mask is given `until` it is too old.
    pub(super) fn keep_mask(&self, attachment: ZBytes, payload: ZBytes, until: Option<Stamp>) {
        let newest = Some(NewestMask { attachment, payload, until });
        *self.mask.lock().unwrap_or_else(PoisonError::into_inner) = newest;
    }

    /// Writes the message of how the publisher is doing, in place of what `out` holds.
    pub(super) fn write_health(&self, out: &mut Vec<u8>) {
        out.clear();
        self.counts().health(&self.who, (self.now)()).write_json(out);
    }

    fn newest(&self) -> Option<(ZBytes, ZBytes)> {
        let mask = self.mask.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = mask.as_ref().filter(|mask| mask.until.is_none_or(|until| (self.now)() <= until))?;
        Some((newest.attachment.clone(), newest.payload.clone()))
    }

    /// The newest mask, out of shared memory: an answer may wait longer than shared memory is kept for it.
    fn mask(&self) -> Option<(ZBytes, ZBytes)> {
        let (attachment, payload) = self.newest()?;
        let private = if payload.as_shm().is_some() { ZBytes::from(payload.to_bytes().into_owned()) } else { payload };
        Some((attachment, private))
    }
}

/// Declared until dropped.
pub(super) struct Queryables {
    _all: [Queryable<()>; 3],
}

impl Queryables {
    pub(super) fn declare(session: &Session, keys: &Keys, answers: &Arc<Answers>) -> Result<Self, ZenohError> {
        let mask = queryable(session, &keys.mask(), answers, |query, key, answers| {
            let Some((attachment, payload)) = answers.mask() else { return Ok(()) }; // none that holds: no answer
            query.reply(key, payload).attachment(attachment).encoding(Encoding::APPLICATION_OCTET_STREAM).wait()
        });
        let classes = queryable(session, &keys.classes(), answers, |query, key, answers| {
            query.reply(key, answers.classes.as_slice()).encoding(Encoding::APPLICATION_JSON).wait()
        });
        let health = queryable(session, &keys.health(), answers, |query, key, answers| {
            let mut health = Vec::new();
            answers.write_health(&mut health);
            query.reply(key, health).encoding(Encoding::APPLICATION_JSON).wait()
        });
        Ok(Self { _all: [mask?, classes?, health?] })
    }
}

fn queryable(
    session: &Session,
    key: &str,
    answers: &Arc<Answers>,
    answer: impl Fn(&Query, &str, &Answers) -> ::zenoh::Result<()> + Send + Sync + 'static,
) -> Result<Queryable<()>, ZenohError> {
    let (answers, own_key) = (Arc::clone(answers), key.to_owned());
    let callback = move |query: Query| {
        if let Err(error) = answer(&query, &own_key, &answers) {
            tracing::debug!("zenoh: no answer on {own_key}: {error}");
        }
    };
    declared(key, session.declare_queryable(key.to_owned()).complete(true).callback(callback).wait())
}
