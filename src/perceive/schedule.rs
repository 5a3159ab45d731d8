//! Which frames the whole network runs on.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

/// The rule that picks key frames. Written `every:5`, `adaptive:5%` or `overlapped:5:1`.
///
/// ```
/// use segfuse::perceive::Schedule;
/// let schedule: Schedule = "every:3".parse()?;
/// assert_eq!(schedule.longest().get(), 3);
/// let schedule: Schedule = "adaptive:2.5%".parse()?;
/// assert_eq!(schedule.to_string(), "adaptive:2.5%");
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Schedule {
    /// One key frame in so many; 1 makes every frame a key frame.
    Every(NonZeroU32),
    /// A key frame where more labels than a bound allows are expected to differ from the network's own, where the
    /// vehicle has turned away from what the key frame showed, and in any case after so many frames.
    Adaptive {
        /// The bound.
        bound: Bound,
        /// One key frame in so many at least.
        longest: NonZeroU32,
    },
    /// One key frame in so many, on which the network runs beside the work on the frames that follow.
    Overlapped {
        /// One key frame in so many.
        interval: NonZeroU32,
        /// A key frame's features serve from so many frames later on, at most `interval`.
        delay: NonZeroU32,
    },
}

/// A share of labels, in hundredths of a percent: 1 to 10,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bound(u16);

/// One key frame in so many at least, unless a schedule says otherwise: one a second of a common camera.
const LONGEST: NonZeroU32 = NonZeroU32::new(30).expect("30 is not 0");

const FORMS: &str = "write every:K with K from 1 to 4294967295, such as every:5 (every:1 runs the network on each \
    frame), or adaptive:P% with P from 0.01 to 100 in steps of 0.01, the share of labels that may differ from the \
    network's, such as adaptive:5%; adaptive:5%:20 has one key frame in 20 at least (30 if it is not said), or \
    overlapped:K:D with D from 1 to K, such as overlapped:5:2 (overlapped:5 is overlapped:5:1)";

impl Default for Schedule {
    /// `every:5`: at 15 frames a second it costs half a point of mean IoU against `every:1`.
    fn default() -> Self {
        Self::Every(NonZeroU32::new(5).expect("5 is not 0"))
    }
}

impl Schedule {
    /// `every:1`: the network on each frame.
    pub const EACH: Self = Self::Every(NonZeroU32::MIN);

    /// Frames from one key frame to the next, at most.
    pub fn longest(self) -> NonZeroU32 {
        match self {
            Self::Every(longest) | Self::Adaptive { longest, .. } | Self::Overlapped { interval: longest, .. } => {
                longest
            }
        }
    }

    /// The share of labels that may differ, where the schedule goes by it.
    pub fn bound(self) -> Option<Bound> {
        match self {
            Self::Every(_) | Self::Overlapped { .. } => None,
            Self::Adaptive { bound, .. } => Some(bound),
        }
    }

    /// After how many frames a key frame's features serve, where the network runs beside the work on these.
    pub fn delay(self) -> Option<NonZeroU32> {
        match self {
            Self::Every(_) | Self::Adaptive { .. } => None,
            Self::Overlapped { delay, .. } => Some(delay),
        }
    }

    /// Whether any frame is propagated; if not, each is the network's answer to that frame alone.
    pub fn carries(self) -> bool {
        self.longest() > NonZeroU32::MIN || self.delay().is_some()
    }
}

impl Bound {
    /// The share, above 0 and at most 1.
    pub fn share(self) -> f32 {
        f32::from(self.0) / 10_000.0
    }

    /// Reads `5%` or `2.25%`.
    fn of_percent(text: &str) -> Option<Self> {
        let percent: f64 = text.strip_suffix('%')?.trim().parse().ok()?;
        let hundredths = (percent * 100.0).round();
        let exact = (percent * 100.0 - hundredths).abs() < 1e-6;
        (exact && (1.0..=10_000.0).contains(&hundredths)).then_some(Self(hundredths as u16))
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", f64::from(self.0) / 100.0)
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every(interval) => write!(f, "every:{interval}"),
            Self::Adaptive { bound, longest: LONGEST } => write!(f, "adaptive:{bound}"),
            Self::Adaptive { bound, longest } => write!(f, "adaptive:{bound}:{longest}"),
            Self::Overlapped { interval, delay: NonZeroU32::MIN } => write!(f, "overlapped:{interval}"),
            Self::Overlapped { interval, delay } => write!(f, "overlapped:{interval}:{delay}"),
        }
    }
}

impl FromStr for Schedule {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let schedule = match text.split_once(':') {
            Some(("every", interval)) => interval.parse().ok().map(Self::Every),
            Some(("adaptive", rule)) => adaptive(rule),
            Some(("overlapped", rule)) => overlapped(rule),
            _ => None,
        };
        schedule.ok_or_else(|| format!("'{text}' is no schedule: {FORMS}"))
    }
}

fn adaptive(rule: &str) -> Option<Schedule> {
    let (bound, longest) = match rule.split_once(':') {
        Some((bound, longest)) => (bound, longest.parse().ok()?),
        None => (rule, LONGEST),
    };
    Some(Schedule::Adaptive { bound: Bound::of_percent(bound)?, longest })
}

fn overlapped(rule: &str) -> Option<Schedule> {
    let (interval, delay) = match rule.split_once(':') {
        Some((interval, delay)) => (interval.parse().ok()?, delay.parse().ok()?),
        None => (rule.parse().ok()?, NonZeroU32::MIN),
    };
    (delay <= interval).then_some(Schedule::Overlapped { interval, delay })
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
        for text in [
            "every:1",
            "every:5",
            "every:4294967295",
            "adaptive:5%",
            "adaptive:0.01%",
            "adaptive:2.25%",
            "adaptive:100%",
            "adaptive:5%:20",
            "adaptive:5%:1",
            "overlapped:5",
            "overlapped:5:2",
            "overlapped:5:5",
            "overlapped:1",
        ] {
            assert_eq!(text.parse::<Schedule>().map(|schedule| schedule.to_string()).as_deref(), Ok(text));
        }
        for text in ["every:0", "every:", "every", "every:-1", "every:4294967296", "Every:5", "", "adaptive"]
            .into_iter()
            .chain(["adaptive:5", "adaptive:%", "adaptive:0%", "adaptive:101%", "adaptive:0.001%", "adaptive:nan%"])
            .chain([
                "adaptive:-1%",
                "adaptive:inf%",
                "adaptive:5%:",
                "adaptive:5%:0",
                "adaptive:5%:x",
                "adaptive:5%:2:3",
            ])
            .chain([
                "overlapped:",
                "overlapped:0",
                "overlapped:5:0",
                "overlapped:5:6",
                "overlapped:5%",
                "overlapped:5:2:1",
            ])
        {
            let error = text.parse::<Schedule>().expect_err(text);
            assert!(error.contains("every:5") && error.contains("adaptive:5%"), "{text}: {error}");
            assert!(error.contains(&format!("from 1 to {}", u32::MAX)), "{text}: {error}");
        }
    }

    #[test]
    fn a_bound_is_written_in_as_few_digits_as_it_has() {
        for (text, short) in
            [("adaptive:5.00%", "adaptive:5%"), ("adaptive:5%:30", "adaptive:5%"), ("overlapped:5:1", "overlapped:5")]
        {
            assert_eq!(text.parse::<Schedule>().map(|schedule| schedule.to_string()).as_deref(), Ok(short));
        }
    }

    #[test]
    fn a_bound_is_a_share() {
        let schedule: Schedule = "adaptive:2.5%".parse().expect("a schedule");
        let share = schedule.bound().expect("a bound").share();
        assert!((share - 0.025).abs() < 1e-7, "{share}");
        assert_eq!(Schedule::default().bound(), None);
    }
}
