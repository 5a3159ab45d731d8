//! A live camera by Video4Linux2: every frame as it comes, the newest first, without a copy.
//!
//! ```text
//! driver ─filled buffers─▶ judge ─▶ newest ─lent─▶ Inbox ─▶ the pipeline lets go ─▶ back to the driver
//!                            └── missing, damaged, overtaken: told as lost, and counted
//! no frame: lost after stall_ms ─▶ closed after 1 s, or when the device breaks ─▶ found again, opened ─▶ …
//! ```
//!
//! One thread owns device and buffers. What a frame is worth, when silence is a fault and when to try again is decided
//! by pure code beside it. Not here: decoding pictures, and a camera's calibration.

mod capture;
mod config;
mod discover;
mod exposure;
mod format;
mod judge;
mod negotiate;
mod outlet;
mod place;
mod thread;
mod watch;

pub use config::{Config, StampOf};
pub use discover::{Description, Found, FoundFormat, discover};
pub use negotiate::Agreed;

use crate::data::Reporter;
use crate::source::Prepare;
use crate::source::inbox::Intake;
use crate::sys::v4l2::Failure;
use capture::Capture;
use outlet::Outlet;
use place::Place;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use thread::Run;

/// Why there are no pictures. Recovery: as the message says; while driving it is tried again by itself.
#[derive(Debug, thiserror::Error)]
pub enum CameraError {
    /// A value out of its range.
    #[error("{0}")]
    Config(String),
    /// Nothing there.
    #[error("camera {device}: not there; {seen}; plug it in, or set camera.device, or camera.wait = true")]
    Absent {
        /// As it is configured.
        device: String,
        /// What is there.
        seen: String,
    },
    /// Something is there that this user may not open.
    #[error("camera {device}: {failure}; let this user into the group that owns it (video), or mend its permissions")]
    Denied {
        /// The device.
        device: String,
        /// The kernel's answer.
        failure: Failure,
    },
    /// Another program has it.
    #[error("camera {device}: {failure}: another program captures from it; stop that one")]
    Busy {
        /// The device.
        device: String,
        /// The kernel's answer.
        failure: Failure,
    },
    /// Not a camera, or one that gives what cannot be read here.
    #[error("camera {device}: {reason}")]
    Unsupported {
        /// The device.
        device: String,
        /// What it is, and the remedy.
        reason: String,
    },
    /// It does something else than it was asked to.
    #[error("camera {device}: asked for {key} = {asked}, it gives {got}; set camera.{key} to what it offers: {offers}")]
    Substituted {
        /// The device.
        device: String,
        /// The key in the configuration.
        key: &'static str,
        /// What was asked for.
        asked: String,
        /// What came back.
        got: String,
        /// What there is.
        offers: String,
    },
    /// A control that has another value than it was given.
    #[error("camera {device}: camera.controls.{name} = {asked}: {got}; it takes {range}")]
    Control {
        /// The device.
        device: String,
        /// The control.
        name: String,
        /// The value asked for.
        asked: i64,
        /// What it has instead, or why it cannot be set.
        got: String,
        /// Its least and greatest value, and its steps.
        range: String,
    },
    /// No such control.
    #[error("camera {device}: no control '{name}'; closest are: {known}")]
    UnknownControl {
        /// The device.
        device: String,
        /// The name asked for.
        name: String,
        /// Those that are written most like it.
        known: String,
    },
    /// The kernel refused a call.
    #[error("camera {device}: {failure}")]
    Call {
        /// The device.
        device: String,
        /// The call and its answer.
        failure: Failure,
    },
    /// No thread can be had.
    #[error("camera: no thread: {0}")]
    Thread(#[source] std::io::Error),
}

/// A camera that captures until this is dropped.
#[derive(Debug)]
pub struct Camera {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    agreed: Option<Agreed>,
}

impl Camera {
    /// Opens the camera, agrees with it on its pictures, and captures on a thread of its own named `camera`.
    ///
    /// What is wrong with it is told here; only a camera that is not there may come later, with `config.wait`.
    pub fn start(config: &Config, intake: Intake, health: Reporter, prepare: Prepare) -> Result<Self, CameraError> {
        config.check().map_err(CameraError::Config)?;
        let mut place = Place::new(&config.device);
        let capture = match Capture::open(config, &mut place, &|| intake.now()) {
            Err(absent @ CameraError::Absent { .. }) if config.wait => {
                tracing::warn!("{absent}: waiting for it");
                None
            }
            opened => Some(opened?),
        };
        let agreed = capture.as_ref().map(|capture| capture.agreed().clone());
        let stop = Arc::new(AtomicBool::new(false));
        let run = Run { config: config.clone(), place, outlet: Outlet::new(intake, health), stop: Arc::clone(&stop) };
        let name = "camera";
        let thread = std::thread::Builder::new().name(name.into()).spawn(move || {
            prepare(name);
            run.until_stopped(capture);
        });
        Ok(Self { stop, thread: Some(thread.map_err(CameraError::Thread)?), agreed })
    }

    /// What it gives; `None` if it was not there at the start.
    pub fn agreed(&self) -> Option<&Agreed> {
        self.agreed.as_ref()
    }
}

impl Drop for Camera {
    /// Stops capturing; the thread ends within 50 ms, and what the driver takes to stop.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("the camera's thread had panicked");
            }
        }
    }
}
