//! What is published, where and how; the session and its links stand in Zenoh's own file.

use super::ZenohError;
use crate::wire::{Choice, Keys, session};
use ::zenoh::qos;
use serde::{Deserialize, Serialize};

/// Options of the Zenoh sink.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(clippy::struct_excessive_bools, reason = "independent switches, each a key of the configuration")]
pub struct Config {
    /// First part of every key.
    pub prefix: String,
    /// Second part: which vehicle.
    pub vehicle: String,
    /// Third part: which of its cameras.
    pub camera: String,
    /// Zenoh's own configuration file and the endpoints that replace its.
    pub session: session::Config,
    /// What happens to a mask that a receiver is too slow for.
    pub congestion_control: CongestionControl,
    /// Which messages go first on a shared link.
    pub priority: Priority,
    /// Send each message at once instead of waiting up to 1 ms for company: latency over throughput.
    pub express: bool,
    /// How processes on this computer get masks.
    pub shared_memory: SharedMemory,
    /// Compress planes with LZ4: a twentieth of the bytes for 0.3 ms. For networks, not for shared memory.
    pub lz4: bool,
    /// Send the plane of age too.
    pub age: bool,
    /// Send the plane of confidence too.
    pub confidence: bool,
    /// Send `state` with each mask.
    pub state: bool,
    /// Leave masks out so that not more than these come per second of the camera's time.
    pub max_rate_hz: Option<f64>,
    /// A live camera's mask is not sent once its picture is older than this.
    pub max_age_ms: u32,
    /// Time between `health` messages.
    pub health_period_ms: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            prefix: "segfuse".into(),
            vehicle: "vehicle".into(),
            camera: "front".into(),
            session: session::Config::default(),
            congestion_control: CongestionControl::Drop,
            priority: Priority::DataHigh,
            express: true,
            shared_memory: SharedMemory::default(),
            lz4: false,
            age: false,
            confidence: false,
            state: true,
            max_rate_hz: None,
            max_age_ms: 200,
            health_period_ms: 1000,
        }
    }
}

/// What happens to a mask that a receiver is too slow for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CongestionControl {
    /// Wait as long as `wait_before_drop` in Zenoh's file says (10 ms in all), then drop it. For driving.
    Drop,
    /// Wait up to `wait_before_close` (5 s), then close that receiver's connection. For complete replays.
    Block,
}

/// Zenoh's priorities, highest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names are Zenoh's and say all there is")]
pub enum Priority {
    RealTime,
    InteractiveHigh,
    InteractiveLow,
    DataHigh,
    Data,
    DataLow,
    Background,
}

/// Masks in memory that receivers on this computer read without the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SharedMemory {
    /// Use it with every receiver that can.
    pub enabled: bool,
    /// Masks that there is room for: those being read, and the newest, which answers requests.
    pub pool_masks: usize,
}

impl Default for SharedMemory {
    fn default() -> Self {
        Self { enabled: true, pool_masks: 8 }
    }
}

impl Config {
    /// The keys, if every option is sound.
    pub fn check(&self) -> Result<Keys, ZenohError> {
        let refuse = |key, value: String, rule| Err(ZenohError::Option { key, value, rule });
        if let Some(rate) = self.max_rate_hz.filter(|rate| !(0.01..=10_000.0).contains(rate)) {
            return refuse("max_rate_hz", rate.to_string(), "0.01 to 10000");
        }
        if !(2..=64).contains(&self.shared_memory.pool_masks) {
            return refuse("shared_memory.pool_masks", self.shared_memory.pool_masks.to_string(), "2 to 64");
        }
        if !(100..=60_000).contains(&self.health_period_ms) {
            return refuse("health_period_ms", self.health_period_ms.to_string(), "100 to 60000");
        }
        if !(1..=60_000).contains(&self.max_age_ms) {
            return refuse("max_age_ms", self.max_age_ms.to_string(), "1 to 60000");
        }
        Ok(Keys::new(&self.prefix, &self.vehicle, &self.camera)?)
    }

    pub(super) fn choice(&self) -> Choice {
        Choice { lz4: self.lz4, age: self.age, confidence: self.confidence }
    }

    /// The least time between two masks, in ns of the camera's clock.
    pub(super) fn min_period_ns(&self) -> u64 {
        self.max_rate_hz.map_or(0, |rate| (1e9 / rate) as u64)
    }
}

impl From<CongestionControl> for qos::CongestionControl {
    fn from(control: CongestionControl) -> Self {
        match control {
            CongestionControl::Drop => Self::Drop,
            CongestionControl::Block => Self::Block,
        }
    }
}

impl From<Priority> for qos::Priority {
    fn from(priority: Priority) -> Self {
        match priority {
            Priority::RealTime => Self::RealTime,
            Priority::InteractiveHigh => Self::InteractiveHigh,
            Priority::InteractiveLow => Self::InteractiveLow,
            Priority::DataHigh => Self::DataHigh,
            Priority::Data => Self::Data,
            Priority::DataLow => Self::DataLow,
            Priority::Background => Self::Background,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_out_of_range_are_refused_by_name() {
        let shared_memory = SharedMemory { enabled: true, pool_masks: 1 };
        let cases = [
            ("max_rate_hz", Config { max_rate_hz: Some(0.0), ..Config::default() }),
            ("max_rate_hz", Config { max_rate_hz: Some(f64::NAN), ..Config::default() }),
            ("pool_masks", Config { shared_memory, ..Config::default() }),
            ("max_age_ms", Config { max_age_ms: 0, ..Config::default() }),
            ("health_period_ms", Config { health_period_ms: 0, ..Config::default() }),
            ("camera", Config { camera: "front/left".into(), ..Config::default() }),
        ];
        for (key, config) in cases {
            let error = config.check().expect_err(key).to_string();
            assert!(error.contains(key), "{key}: {error}");
        }
        assert!(Config::default().check().is_ok());
    }

    #[test]
    fn unknown_keys_are_refused() {
        assert!(toml::from_str::<Config>("camera = \"rear\"\n[session]\nlisten = []").is_ok());
        for text in ["camra = \"rear\"", "[session]\nlissten = []", "[shared_memory]\nsize = 3"] {
            assert!(toml::from_str::<Config>(text).is_err(), "{text}");
        }
    }
}
