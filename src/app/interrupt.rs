//! Ctrl-C and SIGTERM: stop taking events, finish what was begun, lose nothing; where nothing is begun, end at once.

use crate::sys::process::{end_at_once, interrupt_itself};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};

/// Whether the user asked to stop. Clones share the answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Interrupt(Arc<State>);

#[derive(Debug, Default)]
struct State {
    asked: AtomicBool,
    /// Whether what is done may be cut.
    cuts: Mutex<bool>,
}

impl Interrupt {
    /// Listens for SIGINT, SIGTERM and SIGHUP from now on. A second signal ends the process at once.
    pub(super) fn listen() -> Result<Self, ctrlc::Error> {
        let interrupt = Self::default();
        let told = interrupt.clone();
        let (begins, begun) = mpsc::sync_channel(1);
        let mut begins = Some(begins);
        ctrlc::set_handler(move || match begins.take() {
            Some(begins) => begins.send(()).unwrap_or_default(),
            None => told.ask(),
        })?;
        // The first signal is this process's own, and shows that the thread that listens is up. A thread that is just starting
        // needs the loader's lock, which is held for as long as a library is being loaded.
        interrupt_itself().map_err(ctrlc::Error::System)?;
        begun.recv().map_err(|error| ctrlc::Error::System(io::Error::other(error)))?;
        Ok(interrupt)
    }

    /// Whether to stop.
    pub(super) fn asked(&self) -> bool {
        self.0.asked.load(Ordering::Relaxed)
    }

    /// Does `load`, which takes long, cannot be asked to stop, and leaves nothing half made: an interrupt ends the process
    /// there, without waiting for it.
    pub(super) fn cuts<T>(&self, load: impl FnOnce() -> T) -> T {
        *self.lock() = true;
        if self.asked() {
            end();
        }
        let loaded = load();
        // Whoever is about to end the process holds this: nothing is begun behind its back.
        *self.lock() = false;
        loaded
    }

    /// Inside [`cuts`](Self::cuts): something is begun after all, which asks by itself whether to stop.
    pub(super) fn ends_only_when_asked(&self) {
        *self.lock() = false;
    }

    fn ask(&self) {
        let cuts = self.lock();
        if self.0.asked.swap(true, Ordering::Relaxed) {
            // Whatever other threads are in stays as it is: torn down under them, a library would answer nonsense.
            end_at_once(EXIT_INTERRUPTED, "");
        }
        if *cuts {
            end();
        }
        eprintln!("stopping: finishing what was begun (again to stop at once)");
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.0.cuts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn end() -> ! {
    end_at_once(EXIT_INTERRUPTED, "interrupted while the network was loaded or tried: nothing was begun\n")
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
