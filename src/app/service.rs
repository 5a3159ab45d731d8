//! What a run tells the service manager that started it: ready, alive, how it is, stopping.
//!
//! ```text
//! events, masks ─▶ Pulse: is there progress? ─▶ Notifier ─▶ $NOTIFY_SOCKET (systemd)
//! ```
//!
//! The watchdog is fed from the pipeline's thread alone, by what it does: while each frame that came has its mask or is
//! not waiting for long, and, where no frame comes, by the loop's own turning. A camera that is lost is therefore no
//! reason to start the program anew, a network that hangs is.

mod notifier;
mod pulse;
mod starting;

pub use notifier::{Notifier, ServiceError};
pub use starting::Starting;

use crate::clock::MeasuringClock;
use crate::data::{AlignedFrame, Ending, Event, HealthBoard, HealthState, Perception, Stamp};
use crate::sink::{Sink, SinkError};
use pulse::Pulse;
use std::fmt::Write as _;
use std::sync::Arc;

/// Characters of a status line: `systemctl status` shows one line.
const MAX_STATUS: usize = 300;

/// Tells the service manager of a run. Put it last among the sinks: a mask counts once the others have it.
pub struct ServiceSink {
    notifier: Notifier,
    pulse: Pulse,
    board: HealthBoard,
    /// Measures how old masks are; decides nothing.
    clock: Arc<dyn MeasuringClock>,
    /// When the latest event came.
    now: Stamp,
    /// Whether the manager was told of the first mask.
    ready: bool,
    masks: Masks,
    message: String,
}

/// Masks since the last status.
#[derive(Clone, Copy, Default)]
struct Masks {
    since: Option<Stamp>,
    count: u32,
    oldest_ns: i64,
}

impl ServiceSink {
    /// A sink that speaks through `notifier` and knows of the sources by `board`.
    pub fn new(notifier: Notifier, board: HealthBoard, clock: Arc<dyn MeasuringClock>) -> Self {
        let pulse = Pulse::new(notifier.watchdog());
        let message = String::with_capacity(2 * MAX_STATUS);
        Self { notifier, pulse, board, clock, now: Stamp::ZERO, ready: false, masks: Masks::default(), message }
    }

    fn beat(&mut self) {
        if !self.pulse.is_due(self.now) {
            return;
        }
        let told = if self.ready {
            self.notifier.send("WATCHDOG=1")
        } else {
            self.message.clear();
            let _ = write!(self.message, "EXTEND_TIMEOUT_USEC={}", self.pulse.patience_us());
            self.notifier.send(&self.message)
        };
        if told {
            self.pulse.beaten(self.now);
        }
    }

    fn tell_status(&mut self) {
        let since = *self.masks.since.get_or_insert(self.now);
        let passed_ns = self.now.signed_ns_since(since);
        if passed_ns < 1_000_000_000 {
            return;
        }
        self.message.clear();
        self.message.push_str("STATUS=");
        let state = self.board.state(self.now);
        describe(&mut self.message, self.masks, passed_ns, state);
        if state != HealthState::Ok {
            self.blame();
        }
        self.notifier.send(&self.message);
        self.masks = Masks { since: Some(self.now), ..Masks::default() };
    }

    /// Adds which source is not ok, and why. A line break would begin another message.
    fn blame(&mut self) {
        for source in self.board.sources(self.now).iter().filter(|source| source.state != HealthState::Ok) {
            let (state, reason) = (word(source.state), source.reason.as_deref().unwrap_or("nothing has come yet"));
            let _ = write!(self.message, "; {} {state}: ", source.name);
            self.message.extend(reason.chars().map(|letter| if letter.is_control() { ' ' } else { letter }));
        }
        if let Some((end, _)) = self.message.char_indices().nth(MAX_STATUS) {
            self.message.truncate(end);
        }
    }
}

/// One line on the masks of the last second or so.
fn describe(line: &mut String, masks: Masks, passed_ns: i64, state: HealthState) {
    let rate_hz = f64::from(masks.count) * 1e9 / passed_ns as f64;
    let _ = match masks.count {
        0 => write!(line, "no masks, {}", word(state)),
        _ => write!(line, "{rate_hz:.1} masks/s, at most {} ms old, {}", masks.oldest_ns / 1_000_000, word(state)),
    };
}

fn word(state: HealthState) -> &'static str {
    match state {
        HealthState::Ok => "ok",
        HealthState::Degraded => "degraded",
        HealthState::Lost => "lost",
    }
}

impl Sink for ServiceSink {
    fn on_event(&mut self, event: &Event) -> Result<(), SinkError> {
        self.now = self.now.max(event.arrival());
        if matches!(event, Event::Frame(_)) {
            self.pulse.frame_came(self.now);
        }
        self.beat();
        self.tell_status();
        Ok(())
    }

    fn on_perception(&mut self, frame: &AlignedFrame, _perception: &Perception) -> Result<(), SinkError> {
        let age_ns = self.clock.now().signed_ns_since(frame.frame.stamp);
        self.masks.count += 1;
        self.masks.oldest_ns = self.masks.oldest_ns.max(age_ns);
        self.pulse.mask_made();
        if !self.ready {
            // Not sent is tried again with the next mask.
            self.ready = self.notifier.send("READY=1");
        }
        self.beat();
        Ok(())
    }

    fn on_ending(&mut self, _ending: &Ending) {
        self.notifier.send("STOPPING=1");
    }
}
