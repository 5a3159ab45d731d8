//! The service manager's patience while something is built before the run begins.

use super::Notifier;
use crate::clock::MeasuringClock;
use crate::data::Stamp;
use std::fmt::Write as _;
use std::sync::Arc;

/// How long the manager is asked to wait for the next word: no single step of a build takes as long.
const PATIENCE_US: i64 = 300_000_000;
/// How often it is asked.
const PERIOD_NS: i64 = 1_000_000_000;

/// Asks the service manager to wait on, step by step: a build that hangs is not waited for.
pub struct Starting {
    notifier: Notifier,
    /// Measures how long ago the manager was told; decides nothing else.
    clock: Arc<dyn MeasuringClock>,
    told: Option<Stamp>,
    message: String,
}

impl Starting {
    /// Has not said anything yet.
    pub fn new(notifier: Notifier, clock: Arc<dyn MeasuringClock>) -> Self {
        Self { notifier, clock, told: None, message: String::new() }
    }

    /// A step of building `what` is done.
    pub fn goes_on(&mut self, what: &str) {
        let now = self.clock.now();
        if self.told.is_some_and(|told| now.signed_ns_since(told) < PERIOD_NS) {
            return;
        }
        self.message.clear();
        let _ = write!(self.message, "EXTEND_TIMEOUT_USEC={PATIENCE_US}\nSTATUS=building {what}");
        if self.notifier.send(&self.message) {
            self.told = Some(now);
        }
    }
}
