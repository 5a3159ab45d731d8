//! Asking the publisher.

use super::{SubscribeError, outside};
use std::time::Duration;
use zenoh::sample::Sample;
use zenoh::{Session, Wait};

/// Errors that are looked past: other programs may answer on our keys, but not for ever.
const MAX_ERRORS: usize = 16;

/// The first sound answer to a request on `key`.
pub(super) fn first_answer(session: &Session, key: &str, timeout: Duration) -> Result<Sample, SubscribeError> {
    let replies = outside(|| session.get(key).timeout(timeout).wait())?;
    for _ in 0..MAX_ERRORS {
        // Zenoh ends the replies at its own timeout; this one is for a session that has died.
        let Ok(Some(reply)) = replies.recv_timeout(timeout.saturating_add(Duration::from_secs(1))) else { break };
        if let Ok(sample) = reply.into_result() {
            return Ok(sample);
        }
    }
    Err(SubscribeError::NoAnswer { key: key.to_owned(), waited: timeout })
}
