//! The configuration file: one TOML file, each part owned by the module that it configures.
//!
//! Unknown keys are refused. Every key is optional; `config/vehicle.toml` shows all of them with
//! their defaults and is itself tested.

use crate::data::Calibration;
#[cfg(any(feature = "camera", feature = "can"))]
use crate::source;
use crate::{align, engine, files, perceive, process, trip};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Everything that can be configured.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Pairing frames with vehicle state.
    pub align: align::Config,
    /// The device, and the runtime of the network.
    pub engine: engine::Config,
    /// Key frames and propagation.
    pub perceive: perceive::Config,
    /// Trip files.
    pub trip: trip::Config,
    /// The camera.
    #[cfg(feature = "camera")]
    pub camera: source::camera::Config,
    /// Where the camera sits on the vehicle and how it sees; without it flow goes by the pictures alone.
    pub calibration: Option<Calibration>,
    /// The buses.
    #[cfg(feature = "can")]
    pub bus: Vec<source::can::bus::BusConfig>,
    /// What their frames mean.
    pub signals: SignalFiles,
    /// The network: a folder, a file, or the name of an embedded one.
    pub network: Option<String>,
    /// Recording of drives.
    pub record: trip::rotation::Config,
    /// The program among others on its computer.
    pub process: process::Config,
    /// Publishing.
    #[cfg(feature = "zenoh")]
    pub zenoh: crate::sink::zenoh::Config,
}

/// The files that say what the frames of a bus mean; both or none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SignalFiles {
    /// A DBC file.
    pub dbc: Option<PathBuf>,
    /// Which of its signals are which quantity: a .toml file, or the name of a built-in set.
    pub signals: Option<String>,
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
        let text = files::read_text(path).map_err(|source| ConfigError::Read { path: path.into(), source })?;
        if text.lines().any(|line| line.trim() == "[bus]") {
            let reason = "[bus] is written [[bus]]: there may be several".to_owned();
            return Err(ConfigError::Value { path: path.into(), reason });
        }
        let mut config: Self = toml::from_str(&text)
            .map_err(|source| ConfigError::Syntax { path: path.into(), source: Box::new(source) })?;
        config.find_files(path.parent().unwrap_or(Path::new("")));
        config.check().map_err(|reason| ConfigError::Value { path: path.into(), reason })?;
        Ok(config)
    }

    /// Names of files count from the folder of the file that names them.
    fn find_files(&mut self, folder: &Path) {
        if let Some(dbc) = &mut self.signals.dbc {
            *dbc = folder.join(&dbc);
        }
        let engine = &mut self.engine;
        let places = [&mut engine.tensorrt_libraries, &mut engine.plans, &mut self.record.folder];
        // An empty name stays empty: it is refused as such.
        for place in places.into_iter().flatten().filter(|place| !place.as_os_str().is_empty()) {
            *place = folder.join(&place);
        }
        // A library's bare name is looked for by the system.
        if let Some(library) = engine.onnxruntime_library.as_mut().filter(|library| folder.join(library).exists()) {
            *library = folder.join(&library);
        }
        #[cfg(feature = "zenoh")]
        if let Some(file) = &mut self.zenoh.session.config_file {
            *file = folder.join(&file);
        }
        let is_file = |name: &&mut String| Path::new(name.as_str()).extension().is_some_and(|ending| ending == "toml");
        let named = self.signals.signals.iter_mut().filter(is_file);
        for name in named.chain(self.network.iter_mut().filter(|name| folder.join(name.as_str()).exists())) {
            *name = folder.join(&name).to_string_lossy().into_owned();
        }
    }

    fn check(&self) -> Result<(), String> {
        self.check_sources()?;
        self.engine.check()?;
        self.perceive.check()?;
        self.trip.check()?;
        self.record.check()?;
        #[cfg(feature = "zenoh")]
        self.zenoh.check().map_err(|error| error.to_string())?;
        self.process.check()
    }
}

impl Config {
    fn check_sources(&self) -> Result<(), String> {
        #[cfg(feature = "camera")]
        self.camera.check()?;
        #[cfg(feature = "can")]
        self.check_buses()?;
        self.calibration.as_ref().map_or(Ok(()), Calibration::check)?;
        match (&self.signals.dbc, &self.signals.signals) {
            (Some(_), None) => {
                Err("signals.dbc is given and signals.signals is not: name the signals that are used".into())
            }
            (None, Some(_)) => {
                Err("signals.signals is given and signals.dbc is not: name the DBC that has them".into())
            }
            _ => Ok(()),
        }
    }

    /// Each bus by itself, and that no two of them have the same number or interface.
    #[cfg(feature = "can")]
    fn check_buses(&self) -> Result<(), String> {
        for (place, bus) in self.bus.iter().enumerate() {
            bus.check().map_err(|error| error.to_string())?;
            if let Some(other) = self.bus[..place].iter().find(|other| other.interface == bus.interface) {
                return Err(format!("bus: interface '{}' is named twice: name it once", other.interface));
            }
            if let Some(other) = self.bus[..place].iter().find(|other| other.bus == bus.bus) {
                let (one, two, number) = (&other.interface, &bus.interface, bus.bus);
                return Err(format!("bus: '{one}' and '{two}' have the number bus = {number}: give each its own"));
            }
        }
        Ok(())
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
    fn threads_below_one_are_told_as_those_above_the_most_are() {
        for text in ["[engine]\nthreads = 0", "[engine]\nthreads = -1"] {
            let error = toml::from_str::<Config>(text).expect_err("no engine has as many").to_string();
            assert!(error.contains("must be 1 to 256; leave it out to use every core"), "{text}: {error}");
        }
    }

    #[test]
    fn a_value_out_of_its_range_is_refused_by_key() {
        for (text, key) in [
            ("[engine]\nthreads = 100000", "engine.threads"),
            ("[engine]\ndla_core = 8", "engine.dla_core"),
            ("[engine]\nworkspace_mib = 0", "engine.workspace_mib"),
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
    #[cfg(feature = "can")]
    fn sources_that_contradict_each_other_are_refused() {
        let bus = |interface: &str, number: u8| format!("[[bus]]\ninterface = \"{interface}\"\nbus = {number}\n");
        for (text, part) in [
            (bus("can0", 0) + &bus("can0", 1), "named twice"),
            (bus("can0", 1) + &bus("can1", 1), "give each its own"),
            ("[signals]\ndbc = \"x.dbc\"".into(), "signals.signals is not"),
            ("[signals]\nsignals = \"toyota\"".into(), "signals.dbc is not"),
        ] {
            let config: Config = toml::from_str(&text).expect("TOML");
            let error = config.check().expect_err(part);
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn names_of_files_count_from_the_configurations_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("vehicle.toml");
        std::fs::create_dir(folder.path().join("mynet")).expect("room");
        let text = "network = \"mynet\"\n[signals]\ndbc = \"car.dbc\"\nsignals = \"car.toml\"";
        std::fs::write(&path, text).expect("room");
        let config = Config::load(&path).expect("sound");
        let there = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
        assert_eq!(config.signals.dbc, Some(there("car.dbc").into()));
        assert_eq!((config.signals.signals, config.network), (Some(there("car.toml")), Some(there("mynet"))));
        std::fs::write(&path, "network = \"small\"\n[signals]\ndbc = \"/etc/car.dbc\"\nsignals = \"toyota\"")
            .expect("room");
        let config = Config::load(&path).expect("sound");
        assert_eq!(config.signals.dbc, Some("/etc/car.dbc".into()));
        assert_eq!((config.signals.signals, config.network), (Some("toyota".into()), Some("small".into())));
    }

    #[test]
    #[cfg(feature = "zenoh")]
    fn folders_and_zenohs_file_count_from_there_too_and_what_zenoh_cannot_do_is_refused_with_the_file() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("vehicle.toml");
        std::fs::write(&path, "[record]\nfolder = \"drives\"\n[zenoh.session]\nconfig_file = \"z.json5\"")
            .expect("room");
        let config = Config::load(&path).expect("sound");
        assert_eq!(config.record.folder, Some(folder.path().join("drives")));
        assert_eq!(config.zenoh.session.config_file, Some(folder.path().join("z.json5")));
        for (text, told) in [
            ("[zenoh]\nprefix = \"a/b*\"", "prefix 'a/b*'"),
            ("[zenoh]\nmax_age_ms = 0", "max_age_ms = 0: expected 1 to 60000"),
            ("[zenoh.shared_memory]\npool_masks = 65", "pool_masks = 65"),
            ("[record]\nfolder = \"\"", "record.folder is empty"),
        ] {
            std::fs::write(&path, text).expect("room");
            let error = Config::load(&path).expect_err(text).to_string();
            assert!(error.contains("vehicle.toml: ") && error.contains(told), "{error}");
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
