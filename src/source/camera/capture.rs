//! One open camera: its buffers go round, and the newest good frame of each turn goes out.
//!
//! ```text
//! give back what nobody reads ─▶ wait ─▶ take all that is filled ─▶ judge each ─▶ send the newest, lent or copied
//! ```

use super::CameraError;
use super::config::Config;
use super::exposure::{Exposure, Moment};
use super::judge::{Judge, Verdict};
use super::negotiate::{Agreed, negotiate, set_controls};
use super::outlet::Outlet;
use super::place::{Place, refusal};
use super::watch::{Silence, WITH_THE_DRIVER, Watch};
use crate::data::{Image, SharedBytes, Stamp};
use crate::sys::v4l2::{Buffers, Dequeued, Failure, Ready};

/// Why a camera is to be closed and opened anew.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// A call failed.
    Failed(Failure),
    /// The device says that its stream is broken.
    Broken,
    /// No frame for too long.
    Silent,
}

impl From<Failure> for Ending {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// A camera that streams.
#[derive(Debug)]
pub(super) struct Capture {
    buffers: Buffers,
    agreed: Agreed,
    exposure: Exposure,
    judge: Judge,
    watch: Watch,
    /// What is told when no frame comes, made before so that telling it needs no memory.
    silent: String,
    unusable: String,
    /// Whether the driver has filled a buffer since the last frame that could be used.
    filled: bool,
}

/// A frame on its way out.
struct Newest {
    taken: Dequeued,
    stamp: Stamp,
}

impl Capture {
    /// Finds the camera, agrees with it, and starts its stream.
    pub(super) fn open(config: &Config, place: &mut Place, now: &dyn Fn() -> Stamp) -> Result<Self, CameraError> {
        let opened = place.open()?;
        let path = opened.path.display().to_string();
        let (agreed, planes) = negotiate(&opened, config)?;
        let refuse = |failure| refusal(&path, failure);
        // From here on the camera is ours: its controls are not changed under another program.
        let mut buffers = Buffers::request(opened.device, planes, config.buffers).map_err(refuse)?;
        set_controls(buffers.device(), &path, config)?;
        check_buffers(&buffers, &path)?;
        buffers.queue_free().map_err(refuse)?;
        buffers.stream_on().map_err(refuse)?;
        let rate_hz = agreed.reckoned_rate_hz();
        tracing::info!(
            "camera {path}: {} gives {} {} at {rate_hz:.2} Hz",
            agreed.card,
            agreed.size,
            agreed.format.name()
        );
        Ok(Self {
            buffers,
            exposure: Exposure::new(config),
            judge: Judge::new(rate_hz),
            watch: Watch::new(config.stall_ms, now()),
            silent: format!("no frame for {} ms", config.stall_ms),
            unusable: format!("no frame that can be used for {} ms", config.stall_ms),
            filled: false,
            agreed,
        })
    }

    pub(super) fn agreed(&self) -> &Agreed {
        &self.agreed
    }

    /// Waits for frames, at most 50 ms, and sends the newest out.
    pub(super) fn step(&mut self, outlet: &mut Outlet) -> Result<(), Ending> {
        let lent = self.buffers.queue_free()?;
        let patience = self.watch.patience(outlet.now(), self.buffers.queued(), lent);
        match self.buffers.wait(patience)? {
            Ready::Broken => return Err(Ending::Broken),
            Ready::Nothing => {}
            Ready::Filled => self.take_all(outlet)?,
        }
        match self.watch.silence(outlet.now()) {
            Silence::Usual => {}
            Silence::Stalled => outlet.is_lost(self.why_silent()),
            Silence::Final => return Err(Ending::Silent),
        }
        Ok(())
    }

    /// Whether the driver has filled a buffer since it was opened.
    pub(super) fn is_running(&self) -> bool {
        self.watch.is_running()
    }

    /// Why there is no frame: nothing came, or nothing that can be used.
    pub(super) fn why_silent(&self) -> &str {
        if self.filled { &self.unusable } else { &self.silent }
    }

    fn take_all(&mut self, outlet: &mut Outlet) -> Result<(), Ending> {
        let mut newest = None;
        let mut lost = 0;
        let drained = self.drain(&mut newest, &mut lost, outlet);
        outlet.lost(lost);
        // Also before a failure: what came before it came.
        if let Some(newest) = newest {
            self.send(&newest, outlet)?;
        }
        drained
    }

    /// Takes what is filled, at most each buffer once, and keeps the newest good one.
    fn drain(&mut self, newest: &mut Option<Newest>, lost: &mut u32, outlet: &Outlet) -> Result<(), Ending> {
        for _ in 0..self.buffers.len() {
            let Some(taken) = self.buffers.dequeue()? else { break };
            self.watch.filled();
            self.filled = true;
            let (missing, verdict) = self.judge.judge(&taken, outlet.now());
            *lost += missing;
            let rejected = match verdict {
                Verdict::Good(stamp) => newest.replace(Newest { taken, stamp }).map(|older| (older.taken, "overtaken")),
                Verdict::Damaged => Some((taken, "damaged")),
                Verdict::BadStamp => Some((taken, "bad_stamps")),
                Verdict::Repeated => Some((taken, "repeated")),
            };
            if let Some((rejected, why)) = rejected {
                *lost += u32::from(verdict != Verdict::Repeated);
                outlet.count(why, 1);
                self.buffers.queue(rejected.index)?;
            }
        }
        Ok(())
    }

    fn send(&mut self, newest: &Newest, outlet: &mut Outlet) -> Result<(), Ending> {
        let bytes = self.bytes(newest.taken, outlet)?;
        let Agreed { format, size, stride, .. } = self.agreed;
        let Ok(image) = Image::new(format, size, stride, bytes) else {
            outlet.count("damaged", 1);
            outlet.lost(1);
            return Ok(());
        };
        let told = if newest.taken.is_start_of_exposure() { Moment::StartOfExposure } else { Moment::EndOfFrame };
        outlet.frame(self.exposure.middle(newest.stamp, told), newest.taken.sequence, image);
        self.watch.delivered(outlet.now());
        self.filled = false;
        Ok(())
    }

    /// The picture, lent out of its buffer; copied where the driver would be left with too few.
    fn bytes(&mut self, taken: Dequeued, outlet: &mut Outlet) -> Result<SharedBytes, Ending> {
        let lent = self.buffers.lend(taken.index);
        self.buffers.queue_free()?;
        if self.buffers.queued() >= WITH_THE_DRIVER {
            return Ok(SharedBytes::from_owner(lent));
        }
        let picture: &[u8] = (*lent).as_ref();
        let copied = outlet.pool.fill(picture.len(), |copy| copy.copy_from_slice(picture));
        outlet.count("copied", 1);
        drop(lent);
        self.buffers.queue(taken.index)?;
        Ok(copied)
    }
}

fn check_buffers(buffers: &Buffers, path: &str) -> Result<(), CameraError> {
    let unsupported = |reason| CameraError::Unsupported { device: path.to_owned(), reason };
    if buffers.len() < WITH_THE_DRIVER {
        let got = buffers.len();
        return Err(unsupported(format!("the driver gives {got} buffers, {WITH_THE_DRIVER} are needed")));
    }
    let told = buffers.flags(0).map_err(|failure| refusal(path, failure))?;
    if !told.is_monotonic() {
        let flags = told.flags;
        return Err(unsupported(format!(
            "its stamps do not count on CLOCK_MONOTONIC (flags {flags:#x}), so that they cannot be aligned with a bus; \
             use a driver that stamps by it"
        )));
    }
    Ok(())
}
