//! What is built before a run can begin, which takes minutes: shown on a terminal, told to the service manager, given up
//! where the user asks.

use super::progress::Progress;
use super::service::{Notifier, Starting};
use super::session::Session;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Watches what is built.
pub(super) struct Builds<'a> {
    session: &'a Session,
    /// Begun with the first step: mostly nothing is built.
    progress: OnceLock<Progress>,
    /// The service manager that waits for this program to be ready, if one started it.
    manager: Option<Mutex<Starting>>,
}

impl<'a> Builds<'a> {
    /// Nothing is built yet.
    pub(super) fn new(session: &'a Session) -> anyhow::Result<Self> {
        let starting = |notifier| Mutex::new(Starting::new(notifier, Arc::clone(&session.clock)));
        Ok(Self { session, progress: OnceLock::new(), manager: Notifier::from_environment()?.map(starting) })
    }

    /// A step of building `what` is done; whether to go on.
    pub(super) fn goes_on(&self, what: &str) -> bool {
        let begun = || {
            self.session.interrupt.ends_only_when_asked();
            Progress::new("build", None, self.session.quiet)
        };
        self.progress.get_or_init(begun).advance();
        if let Some(manager) = &self.manager {
            manager.lock().unwrap_or_else(PoisonError::into_inner).goes_on(what);
        }
        !self.session.interrupt.asked()
    }

    /// Takes the bar away.
    pub(super) fn close(&self) {
        if let Some(progress) = self.progress.get() {
            progress.close();
        }
    }
}
