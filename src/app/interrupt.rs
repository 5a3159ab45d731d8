//! Ctrl-C and SIGTERM: stop taking events, finish what was begun, lose nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the user asked to stop. Clones share the answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Listens for SIGINT, SIGTERM and SIGHUP from now on. A second signal ends the process at once.
    pub(super) fn listen() -> Result<Self, ctrlc::Error> {
        let interrupt = Self::default();
        let told = interrupt.clone();
        ctrlc::set_handler(move || told.ask())?;
        Ok(interrupt)
    }

    /// Whether to stop.
    pub(super) fn asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn ask(&self) {
        if self.0.swap(true, Ordering::Relaxed) {
            std::process::exit(EXIT_INTERRUPTED.into());
        }
        eprintln!("stopping: finishing what was begun (again to stop at once)");
    }
}

/// 128 + SIGINT, as shells report it.
pub(super) const EXIT_INTERRUPTED: u8 = 130;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupt_is_seen_by_every_clone() {
        let interrupt = Interrupt::default();
        let seen = interrupt.clone();
        assert!(!seen.asked());
        interrupt.ask();
        assert!(seen.asked());
    }
}
