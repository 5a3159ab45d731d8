//! Pairs each frame with the vehicle's state at the middle of its exposure.
//!
//! ```text
//! State ──▶ clock mapping ──▶ history of each quantity ──┐
//! Frame ──────────────────▶ waits for a sample after it ─┴─▶ AlignedFrame
//! ```
//!
//! Pure: events are pushed, aligned frames popped; time is what the events say. Not here: which
//! frames a busy program skips (the source's business), and what a message means (the decoder's).

mod aligner;
mod clock_mapping;
mod envelope;
mod history;

pub use aligner::{Aligner, Counts};
pub use clock_mapping::{ClockConfig, ClockMapping, ClockQuality, Observation};

use serde::{Deserialize, Serialize};

/// How frames and states are brought together. Every combination of values is a working one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How long after its last sample a quantity still counts as known, its last value held; ms.
    pub max_extrapolation_ms: u32,
    /// How long after its stamp, in event time, a frame waits for samples to interpolate with; 0: not at all; ms.
    pub max_wait_ms: u32,
    /// A quantity is stale when nothing has been heard of it for this long; ms.
    pub silence_ms: u32,
    /// A quantity is stale when this many of its own periods (the median of recent gaps) have passed without it.
    pub missed_periods: u32,
    /// How the sources' clock is followed.
    pub clock: ClockConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_extrapolation_ms: 50,
            max_wait_ms: 20,
            silence_ms: 500,
            missed_periods: 10,
            clock: ClockConfig::default(),
        }
    }
}
