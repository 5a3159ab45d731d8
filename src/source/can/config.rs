//! Which signals of a DBC carry which quantity, in which unit, and how a message proves itself.
//!
//! ```
//! let config = segfuse::source::can::builtin_signals("toyota")?;
//! assert_eq!(config.message[0].name, "WHEEL_SPEEDS");
//! # Ok::<(), segfuse::source::can::CanError>(())
//! ```

use super::{CanError, ChecksumRule};
use crate::data::Quantity;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

const BUILTIN: [(&str, &str); 2] = [
    ("toyota", include_str!("../../../config/signals/toyota.toml")),
    ("example", include_str!("../../../config/signals/example.toml")),
];
const BUILTIN_NAMES: &str = "toyota, example";

/// The signals to decode.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The messages that carry them.
    #[serde(default)]
    pub message: Vec<MessageConfig>,
}

/// One message and what is read from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MessageConfig {
    /// Its name in the DBC.
    pub name: String,
    /// The bus that it is on.
    #[serde(default)]
    pub bus: u8,
    /// The counter that its sender advances; none: not checked.
    pub counter: Option<Counter>,
    /// The checksum that its sender adds; none: not checked.
    pub checksum: Option<Checksum>,
    /// Refused or unmoving messages in a row after which the values are told to be faulty or frozen.
    #[serde(default = "default_refused")]
    pub invalid_after: u8,
    /// What is read from it.
    pub signal: Vec<SignalConfig>,
}

const fn default_refused() -> u8 {
    3
}

/// A quantity made of one or several DBC signals: `unit((sum or mean) * scale + offset)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignalConfig {
    /// The quantity carried.
    pub quantity: Quantity,
    /// The DBC signals whose sum it is, such as a coarse angle and its fraction, or one signal alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sum: Vec<String>,
    /// The DBC signals whose mean it is, such as the speeds of four wheels; instead of `sum`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mean: Vec<String>,
    /// The unit of the value after `scale` and `offset`.
    pub unit: Unit,
    /// Factor on top of the DBC's own; -1 turns the sign.
    #[serde(default = "one")]
    pub scale: f64,
    /// Addend on top of the DBC's own, in `unit`.
    #[serde(default)]
    pub offset: f64,
    /// Plausible values in `unit`, both ends included; a value outside never updates the quantity.
    pub range: Option<Range>,
}

const fn one() -> f64 {
    1.0
}

/// The lowest and the highest plausible value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// The lowest.
    pub min: f64,
    /// The highest.
    pub max: f64,
}

/// A counter that advances by `increment` with each message, modulo `modulo`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counter {
    /// The DBC signal.
    pub signal: String,
    /// The number of its values; 0: all that its bits can hold.
    #[serde(default)]
    pub modulo: u32,
    /// The step from message to message.
    #[serde(default = "one_step")]
    pub increment: u32,
    /// Messages that may be lost in a row without the next one being refused.
    #[serde(default)]
    pub lost_allowed: u8,
}

const fn one_step() -> u32 {
    1
}

/// Where a message's checksum is and how it is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checksum {
    /// The algorithm.
    pub rule: ChecksumRule,
    /// The DBC signal that holds it, a whole byte; none: the message's last byte.
    pub signal: Option<String>,
    /// Bytes that are hashed before the data, such as an AUTOSAR data id; at most 8.
    #[serde(default)]
    pub prefix: Vec<u8>,
}

/// A unit that signals come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unit {
    /// Kilometres per hour.
    #[serde(rename = "km/h")]
    KilometrePerHour,
    /// Miles per hour.
    #[serde(rename = "mph")]
    MilePerHour,
    /// Metres per second.
    #[serde(rename = "m/s")]
    MetrePerSecond,
    /// Degrees of angle.
    #[serde(rename = "deg")]
    Degree,
    /// Radians.
    #[serde(rename = "rad")]
    Radian,
    /// Degrees per second.
    #[serde(rename = "deg/s")]
    DegreePerSecond,
    /// Radians per second.
    #[serde(rename = "rad/s")]
    RadianPerSecond,
    /// Metres per second squared.
    #[serde(rename = "m/s^2")]
    MetrePerSecondSquared,
    /// Standard gravity, 9.80665 m/s².
    #[serde(rename = "g")]
    StandardGravity,
}

impl Unit {
    /// What one of this unit is in the SI unit of its dimension.
    pub fn si(self) -> f64 {
        match self {
            Self::KilometrePerHour => 1.0 / 3.6,
            Self::MilePerHour => 0.44704,
            Self::Degree | Self::DegreePerSecond => 1_f64.to_radians(),
            Self::StandardGravity => 9.80665,
            Self::MetrePerSecond | Self::Radian | Self::RadianPerSecond | Self::MetrePerSecondSquared => 1.0,
        }
    }

    /// Whether `quantity` can be given in this unit.
    pub fn measures(self, quantity: Quantity) -> bool {
        let si = match self {
            Self::KilometrePerHour | Self::MilePerHour | Self::MetrePerSecond => "m/s",
            Self::Degree | Self::Radian => "rad",
            Self::DegreePerSecond | Self::RadianPerSecond => "rad/s",
            Self::MetrePerSecondSquared | Self::StandardGravity => "m/s^2",
        };
        si == quantity.unit()
    }
}

impl Config {
    /// Reads a signals file; `file` names it in errors.
    pub fn from_toml(text: &str, file: &str) -> Result<Self, CanError> {
        let config: Self = toml::from_str(text).map_err(|error| CanError::Config(format!("{file}: {error}")))?;
        config.check()?;
        Ok(config)
    }

    /// Whether the configuration agrees with itself; what it says of a DBC is checked with that DBC.
    pub fn check(&self) -> Result<(), CanError> {
        let mut seen = Vec::new();
        for message in &self.message {
            message.check()?;
            for signal in &message.signal {
                if seen.contains(&signal.quantity) {
                    return refuse(format!("{} is given twice; give it once", signal.quantity.name()));
                }
                seen.push(signal.quantity);
            }
        }
        if seen.is_empty() { refuse("no signal is named".into()) } else { Ok(()) }
    }
}

impl MessageConfig {
    fn check(&self) -> Result<(), CanError> {
        let name = &self.name;
        if self.invalid_after == 0 {
            return refuse(format!("message '{name}': invalid_after is 0; write 1 or more"));
        }
        if self.checksum.as_ref().is_some_and(|checksum| checksum.prefix.len() > 8) {
            return refuse(format!("message '{name}': checksum prefix of more than 8 bytes"));
        }
        self.signal.iter().try_for_each(|signal| signal.check(name))
    }
}

impl SignalConfig {
    /// The DBC signals, all of one message.
    pub fn names(&self) -> &[String] {
        if self.mean.is_empty() { &self.sum } else { &self.mean }
    }

    /// What each of them counts for.
    pub(super) fn weight(&self) -> f64 {
        1.0 / self.mean.len().max(1) as f64
    }

    fn check(&self, message: &str) -> Result<(), CanError> {
        let place = format!("message '{message}': {}", self.quantity.name());
        let (sum, mean) = (self.sum.len(), self.mean.len());
        if sum * mean != 0 || !(1..=8).contains(&(sum + mean)) {
            return refuse(format!("{place}: sum of {sum} and mean of {mean} signals; name 1 to 8 in one of the two"));
        }
        if !self.unit.measures(self.quantity) {
            return refuse(format!("{place}: {:?} cannot give {}", self.unit, self.quantity.unit()));
        }
        if !self.scale.is_normal() || !self.offset.is_finite() {
            return refuse(format!(
                "{place}: scale {} and offset {} must be finite, scale not 0",
                self.scale, self.offset
            ));
        }
        match self.range {
            Some(Range { min, max }) if min.partial_cmp(&max) != Some(Ordering::Less) => {
                refuse(format!("{place}: range {min} to {max} is empty"))
            }
            _ => Ok(()),
        }
    }
}

fn refuse(reason: String) -> Result<(), CanError> {
    Err(CanError::Config(reason))
}

/// A signal set that is built in: `toyota` (for `_toyota_2017.dbc`) or `example` (for `config/example.dbc`).
pub fn builtin_signals(name: &str) -> Result<Config, CanError> {
    let found = BUILTIN.iter().find(|(known, _)| *known == name);
    let (_, text) = found.ok_or_else(|| CanError::UnknownSet { name: name.into(), known: BUILTIN_NAMES })?;
    Config::from_toml(text, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_builtin_signal_set_is_well_formed() {
        for (name, _) in BUILTIN {
            assert!(BUILTIN_NAMES.contains(name));
            builtin_signals(name).unwrap();
        }
        let error = builtin_signals("tesla").unwrap_err().to_string();
        assert_eq!(error, "no built-in signal set 'tesla'; there are: toyota, example");
    }

    #[test]
    fn a_signals_file_that_contradicts_itself_is_refused() {
        let message = |signal: &str| format!("[[message]]\nname = 'M'\n[[message.signal]]\n{signal}\n");
        let speed = "quantity = 'speed'\nsum = ['A']\nunit = 'km/h'";
        let cases = [
            (String::new(), "no signal"),
            (message("quantity = 'speed'\nsum = ['A']\nunit = 'deg'"), "cannot give m/s"),
            (message("quantity = 'speed'\nsum = []\nunit = 'm/s'"), "name 1 to 8"),
            (message(&format!("{speed}\nmean = ['A']")), "name 1 to 8"),
            (message(&format!("{speed}\nscale = 0.0")), "scale not 0"),
            (message(&format!("{speed}\nrange = {{ min = 2.0, max = 1.0 }}")), "is empty"),
            (message(&format!("{speed}\nsclae = 1.0")), "sclae"),
            (message("quantity = 'speed'\nunit = 'm/s'"), "sum of 0"),
            (format!("{}{}", message(speed), message(speed)), "given twice"),
            (format!("{}invalid_after = 0\n", "[[message]]\nname = 'M'\nsignal = []\n"), "invalid_after"),
            ("[[messages]]".into(), "messages"),
        ];
        let accepted: Vec<_> = (cases.iter())
            .filter(|(text, part)| !Config::from_toml(text, "f.toml").is_err_and(|e| e.to_string().contains(part)))
            .map(|(text, part)| (part, Config::from_toml(text, "f.toml").map_err(|e| e.to_string())))
            .collect();
        assert!(accepted.is_empty(), "{accepted:?}");
        assert!(Config::from_toml(&message(speed), "f.toml").is_ok());
    }
}
