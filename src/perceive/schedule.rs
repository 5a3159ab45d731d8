//! Which frames the whole network runs on.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

/// The rule that picks key frames. Written `every:5`.
///
/// ```
/// use segfuse::perceive::Schedule;
/// let schedule: Schedule = "every:3".parse()?;
/// assert!(!schedule.is_key(2) && schedule.is_key(3));
/// assert_eq!(schedule.to_string(), "every:3");
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Schedule {
    /// One key frame in so many; 1 makes every frame a key frame.
    Every(NonZeroU32),
}

impl Default for Schedule {
    /// `every:5`: at 15 frames a second it costs half a point of mean IoU against `every:1`.
    fn default() -> Self {
        Self::Every(NonZeroU32::new(5).expect("5 is not 0"))
    }
}

impl Schedule {
    /// `every:1`: the network on each frame.
    pub const EACH: Self = Self::Every(NonZeroU32::MIN);

    /// Whether a frame that would lie `distance` frames behind the last key frame becomes one itself.
    pub fn is_key(self, distance: u32) -> bool {
        match self {
            Self::Every(interval) => distance >= interval.get(),
        }
    }

    /// Whether any frame is propagated; if not, each is the network's answer to that frame alone.
    pub fn carries(self) -> bool {
        !self.is_key(1)
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every(interval) => write!(f, "every:{interval}"),
        }
    }
}

impl FromStr for Schedule {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let interval = text.strip_prefix("every:").and_then(|interval| interval.parse().ok());
        interval.map(Self::Every).ok_or_else(|| {
            format!("'{text}' is no schedule: write every:K with K at least 1, such as every:5 (every:1 runs the network on each frame)")
        })
    }
}

impl TryFrom<String> for Schedule {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Schedule> for String {
    fn from(schedule: Schedule) -> Self {
        schedule.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_reads_what_it_writes_and_nothing_else() {
        for text in ["every:1", "every:5", "every:4294967295"] {
            assert_eq!(text.parse::<Schedule>().map(|schedule| schedule.to_string()).as_deref(), Ok(text));
        }
        for text in ["every:0", "every:", "every", "every:-1", "every:4294967296", "Every:5", ""] {
            let error = text.parse::<Schedule>().expect_err(text);
            assert!(error.contains("every:5"), "{text}: {error}");
        }
    }
}
