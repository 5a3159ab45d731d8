//! The capture thread: one open camera after the other.

use super::CameraError;
use super::capture::{Capture, Ending};
use super::config::Config;
use super::outlet::Outlet;
use super::place::Place;
use super::watch::Backoff;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What the thread owns.
pub(super) struct Run {
    pub(super) config: Config,
    pub(super) place: Place,
    pub(super) outlet: Outlet,
    pub(super) stop: Arc<AtomicBool>,
}

impl Run {
    /// Captures, and opens the camera anew whenever it is gone.
    pub(super) fn until_stopped(mut self, mut camera: Option<Capture>) {
        if camera.is_none() {
            self.outlet.is_lost("not there yet");
        }
        let mut backoff = Backoff::new();
        while !self.stop.load(Ordering::Relaxed) {
            camera = if let Some(camera) = camera.take() {
                self.step(camera, &mut backoff)
            } else {
                // Woken up early when it is to stop.
                std::thread::park_timeout(backoff.next());
                self.reopen()
            };
        }
    }

    /// The camera, unless it has to be closed.
    fn step(&mut self, mut camera: Capture, backoff: &mut Backoff) -> Option<Capture> {
        match camera.step(&mut self.outlet) {
            Ok(()) => {
                // A camera that fills buffers, though none of use, is opened anew but once a second anyway.
                if camera.is_running() {
                    backoff.reset();
                }
                return Some(camera);
            }
            Err(Ending::Silent) => self.outlet.is_lost(camera.why_silent()),
            Err(Ending::Broken) => self.outlet.is_lost("the device is gone, or its stream broke"),
            Err(Ending::Failed(failure)) => self.outlet.is_lost(&failure.to_string()),
        }
        None
    }

    fn reopen(&mut self) -> Option<Capture> {
        if self.stop.load(Ordering::Relaxed) {
            return None;
        }
        match Capture::open(&self.config, &mut self.place, &|| self.outlet.now()) {
            Ok(camera) => {
                self.outlet.count("reopened", 1);
                Some(camera)
            }
            // Said when it went; that it is still away is no news.
            Err(CameraError::Absent { .. }) => None,
            Err(refused) => {
                self.outlet.is_lost(&refused.to_string());
                None
            }
        }
    }
}
