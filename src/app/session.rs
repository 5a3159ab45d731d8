//! What every command is given: the interrupt, the measuring clock, the stage times.

use super::interrupt::Interrupt;
use super::latency::StageTimes;
use crate::clock::{MeasuringClock, MonotonicClock};
use std::sync::Arc;

/// One invocation of the program.
pub(super) struct Session {
    /// Whether the user asked to stop.
    pub(super) interrupt: Interrupt,
    /// Measures, never decides.
    pub(super) clock: Arc<dyn MeasuringClock>,
    /// How long every stage took.
    pub(super) times: StageTimes,
    /// No progress bar.
    pub(super) quiet: bool,
}

impl Session {
    /// Listens for signals and starts the clock.
    pub(super) fn start(quiet: bool) -> anyhow::Result<Self> {
        let clock: Arc<dyn MeasuringClock> = Arc::new(MonotonicClock);
        let times = StageTimes::new(Arc::clone(&clock));
        Ok(Self { interrupt: Interrupt::listen()?, clock, times, quiet })
    }
}
