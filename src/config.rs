//! The configuration file: one TOML file, each part owned by the module that it configures.
//!
//! Unknown keys are refused. Every key is optional; `config/vehicle.toml` shows all of them with
//! their defaults and is itself tested.

use crate::{align, engine, perceive, process, trip};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Everything that can be configured.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Pairing frames with vehicle state.
    pub align: align::Config,
    /// The runtime of the network.
    pub engine: engine::cpu::Config,
    /// Key frames and propagation.
    pub perceive: perceive::Config,
    /// Trip files.
    pub trip: trip::Config,
    /// Recording of drives.
    pub record: trip::rotation::Config,
    /// The program among others on its computer.
    pub process: process::Config,
    /// Publishing.
    #[cfg(feature = "zenoh")]
    pub zenoh: crate::sink::zenoh::Config,
}

/// Why a configuration cannot be used. Recovery: mend the file.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: cannot read the configuration: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// Not TOML, a key that does not exist, or a value out of its range.
    #[error("{path}: {source}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, column and what is wrong there.
        source: Box<toml::de::Error>,
    },
    /// A value out of its range.
    #[error("{path}: {reason}")]
    Value {
        /// The file.
        path: PathBuf,
        /// The key, the value and its range.
        reason: String,
    },
}

impl Config {
    /// Reads and checks `path`.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.into(), source })?;
        let config: Self = toml::from_str(&text)
            .map_err(|source| ConfigError::Syntax { path: path.into(), source: Box::new(source) })?;
        config.check().map_err(|reason| ConfigError::Value { path: path.into(), reason })?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        self.engine.check()?;
        self.perceive.check()?;
        self.trip.check()?;
        self.record.check()?;
        self.process.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHIPPED: &str = include_str!("../config/vehicle.toml");

    #[test]
    fn the_shipped_file_states_the_defaults() {
        let shipped: Config = toml::from_str(SHIPPED).expect("config/vehicle.toml is well-formed");
        assert_eq!(format!("{shipped:#?}"), format!("{:#?}", Config::default()));
    }

    #[test]
    fn a_value_out_of_its_range_is_refused_by_key() {
        for (text, key) in [
            ("[engine]\nthreads = 100000", "engine.threads"),
            ("[record]\nrotate_minutes = 0", "record.rotate_minutes"),
            ("[process]\nrealtime_priority = 100", "process.realtime_priority"),
            ("[perceive.bicycle]\nwheelbase_m = 0.0\nsteering_ratio = 15.0", "perceive.bicycle.wheelbase_m"),
        ] {
            let config: Config = toml::from_str(text).expect("TOML");
            let error = config.check().expect_err(key);
            assert!(error.contains(key), "{text}: {error}");
        }
    }

    #[test]
    fn a_key_that_does_not_exist_is_refused_by_name() {
        for text in ["spede = 1", "[align]\nmax_extrapolation = 3", "[perceive]\nschedule = \"sometimes\""] {
            let error = toml::from_str::<Config>(text).expect_err(text).to_string();
            let word = text.rsplit(['\n', '"']).find(|part| !part.is_empty()).expect("not empty");
            let word = word.split(' ').next().expect("not empty");
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
