//! Where a camera's frames and faults go: into the inbox, on the health board, and each change once into the log.

use crate::data::{BufferPool, Image, Reporter, Stamp};
use crate::source::inbox::Intake;

/// Pictures that are copied at once at most before memory is asked for anew: what a recorder holds back.
const COPIES: usize = 8;

/// What is counted.
const COUNTED: [&str; 8] = ["frames", "lost", "damaged", "bad_stamps", "repeated", "overtaken", "copied", "reopened"];

/// Outlives a camera that is unplugged.
pub(super) struct Outlet {
    intake: Intake,
    health: Reporter,
    /// Where pictures are copied to when the driver would run out of buffers.
    pub(super) pool: BufferPool,
    /// Why there are no frames, as it was last told; empty while there are.
    lost: String,
}

impl Outlet {
    pub(super) fn new(intake: Intake, health: Reporter) -> Self {
        // So that each stands on the board from the start, and counting needs no memory later.
        for name in COUNTED {
            health.count(name, 0);
        }
        Self { intake, health, pool: BufferPool::made_at_once(COPIES), lost: String::new() }
    }

    pub(super) fn now(&self) -> Stamp {
        self.intake.now()
    }

    /// A frame that was exposed in the middle at `stamp`, and its driver's number.
    pub(super) fn frame(&mut self, stamp: Stamp, sequence: u32, image: Image) {
        self.intake.frame(stamp, Some(sequence), image);
        self.health.delivers(self.intake.now());
        self.count("frames", 1);
        if !self.lost.is_empty() {
            self.lost.clear();
            tracing::info!("the camera delivers again");
        }
    }

    /// Frames that the camera made and that never came, or could not be used.
    pub(super) fn lost(&self, frames: u32) {
        if frames > 0 {
            self.intake.lost(frames);
            self.count("lost", frames.into());
            // While it is lost, the reason that was told for that stands.
            if self.lost.is_empty() {
                self.health.falters(self.intake.now(), "frames lost");
            }
        }
    }

    /// There are no frames. Told once for each reason.
    pub(super) fn is_lost(&mut self, reason: &str) {
        if self.lost == reason {
            return;
        }
        tracing::warn!("the camera is lost: {reason}");
        self.lost.clear();
        self.lost.push_str(reason);
        self.health.is_lost(self.intake.now(), reason);
    }

    pub(super) fn count(&self, name: &'static str, more: u64) {
        self.health.count(name, more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{HealthBoard, HealthState, PixelFormat, Size};
    use crate::source::inbox::Inbox;
    use std::sync::Arc;

    #[test]
    fn what_befalls_a_camera_stands_on_the_board_and_in_the_inbox() {
        let now = Stamp::from_ns(1);
        let (inbox, intake) = Inbox::new(Arc::new(move || now));
        let board = HealthBoard::new();
        let mut outlet = Outlet::new(intake, board.enter("camera", true, now));
        let image = || Image::packed(PixelFormat::Grey, Size::new(1, 1), vec![0].into()).expect("1 byte");
        outlet.frame(now, 7, image());
        outlet.lost(0);
        assert_eq!(board.state(now), HealthState::Ok);
        outlet.lost(3);
        assert_eq!((board.state(now), inbox.counts().lost), (HealthState::Degraded, 3));
        outlet.is_lost("no frame for 100 ms");
        outlet.is_lost("unplugged");
        outlet.lost(2);
        let camera = board.sources(now).remove(0);
        assert_eq!((camera.state, camera.reason.as_deref()), (HealthState::Lost, Some("unplugged")));
        assert_eq!(camera.counts[..2], [("frames".to_owned(), 1), ("lost".to_owned(), 5)]);
        outlet.frame(now, 7, image());
        assert_eq!(board.state(now), HealthState::Degraded);
    }
}
