//! How a live bus is read.

use super::BusError;
use serde::{Deserialize, Serialize};

/// The longest name of an interface: 15 bytes and a zero.
const MAX_NAME: usize = 15;

/// Whether the controller's own stamps are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HardwareStamps {
    /// Where there are any and they are near Unix time.
    #[default]
    Auto,
    /// A frame without one that is near Unix time is refused, and so is a controller that makes none.
    Required,
    /// Never: the kernel's are used.
    Off,
}

/// One live bus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BusConfig {
    /// The network interface, such as `can0`.
    pub interface: String,
    /// The number that the signals file gives the messages of this bus.
    pub bus: u8,
    /// Whether CAN FD frames are read as well.
    pub fd: bool,
    /// Whether every frame is read and recorded, instead of only those whose signals are used.
    pub all: bool,
    /// Whether the controller's own stamps are used.
    pub hardware_stamps: HardwareStamps,
    /// Whether a start waits for an interface that is not there, instead of failing.
    pub wait: bool,
    /// The bus counts as lost after this long without any frame; ms.
    pub silence_ms: u32,
    /// What the kernel may keep for this program while it is busy; KiB, somewhat less than 1 for each frame.
    pub buffer_kib: u32,
}

impl Default for BusConfig {
    fn default() -> Self {
        Self {
            interface: "can0".to_owned(),
            bus: 0,
            fd: false,
            all: false,
            hardware_stamps: HardwareStamps::default(),
            wait: false,
            silence_ms: 1000,
            buffer_kib: 4096,
        }
    }
}

impl BusConfig {
    /// Whether the values make sense; what they say of the machine is found out by the start.
    pub fn check(&self) -> Result<(), BusError> {
        let name = self.interface.as_str();
        let odd = |letter: char| letter == '/' || letter.is_whitespace() || letter.is_control();
        if name.is_empty() || name.len() > MAX_NAME || name.contains(odd) || [".", ".."].contains(&name) {
            return self.refuse("interface", name, "write the name of a network interface, such as can0");
        }
        if !(10..=3_600_000).contains(&self.silence_ms) {
            return self.refuse("silence_ms", &self.silence_ms.to_string(), "write 10 to 3600000");
        }
        if !(1..=262_144).contains(&self.buffer_kib) {
            return self.refuse("buffer_kib", &self.buffer_kib.to_string(), "write 1 to 262144");
        }
        Ok(())
    }

    fn refuse(&self, key: &'static str, value: &str, remedy: &'static str) -> Result<(), BusError> {
        Err(BusError::Config { interface: self.interface.clone(), key, value: value.to_owned(), remedy })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bus_that_cannot_be_is_refused_with_its_key_and_value() {
        assert_eq!(BusConfig::default().check().map_err(|error| error.to_string()), Ok(()));
        let cases = [
            ("interface = ''", "interface"),
            ("interface = 'can0/../x'", "can0/../x"),
            ("interface = '..'", ".."),
            ("interface = 'a name'", "a name"),
            ("interface = 'a_name_of_16_byt'", "a_name_of_16_byt"),
            ("silence_ms = 0", "silence_ms"),
            ("buffer_kib = 0", "buffer_kib"),
            ("buffer_kib = 300000", "300000"),
        ];
        let accepted: Vec<_> = (cases.iter())
            .map(|(text, part)| (toml::from_str::<BusConfig>(text).expect("it parses").check(), part))
            .filter(|(result, part)| !result.as_ref().is_err_and(|error| error.to_string().contains(**part)))
            .collect();
        assert!(accepted.is_empty(), "{accepted:?}");
        for text in ["interfaces = 'can0'", "bus = 256", "hardware_stamps = 'yes'", "fd = 1"] {
            assert!(toml::from_str::<BusConfig>(text).is_err(), "{text}");
        }
    }
}
