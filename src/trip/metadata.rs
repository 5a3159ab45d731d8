//! What a trip says of itself: calibration, class tables, clock mapping, DBC, network.
//!
//! One MCAP metadata record named `segfuse`, written before the first chunk so that a cut file
//! still has it. MCAP keeps no checksum of metadata; the key `xxh3` is ours.

use super::message::Kind;
use super::names::{FrameNames, NAMES_RECORD};
use crate::data::{Calibration, ClassTable, Stamp, WallMapping};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use xxhash_rust::xxh3::Xxh3;

/// Name of the metadata record.
pub(super) const RECORD: &str = "segfuse";
/// Name of the metadata record that ends a finished recording.
pub(super) const END_RECORD: &str = "segfuse.end";
/// The version that this program writes; it reads this one and no newer.
pub const FORMAT_VERSION: u32 = 1;

/// The network that made the masks inside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkIdentity {
    /// Its name.
    pub name: String,
    /// The runtime that ran it.
    pub runtime: String,
    /// XXH3-64 over its files, as 16 hex digits.
    pub hash: String,
}

/// A DBC as text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DbcText {
    /// Its file name.
    pub name: String,
    /// All of it.
    pub text: String,
}

/// Everything a trip says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TripMetadata {
    /// Where the events came from, in words.
    pub source: String,
    /// What Unix time it was at a point of the timeline.
    pub wall: Option<WallMapping>,
    /// From where seconds are counted; `None`: from the first frame. Runs of a part keep their trip's.
    pub zero: Option<Stamp>,
    /// The camera.
    pub calibration: Option<Calibration>,
    /// Every class table that truth or masks inside speak of.
    pub class_tables: Vec<ClassTable>,
    /// Name of the table of the masks.
    pub mask_classes: Option<String>,
    /// What made the masks.
    pub network: Option<NetworkIdentity>,
    /// Which frames the network ran on, such as `every:5`.
    pub schedule: Option<String>,
    /// What the CAN frames mean.
    pub dbc: Option<DbcText>,
    /// What frames were called before they were imported.
    pub frame_names: FrameNames,
}

impl TripMetadata {
    /// The class table called `name`.
    pub fn class_table(&self, name: &str) -> Option<&ClassTable> {
        self.class_tables.iter().find(|table| table.name == name)
    }

    /// Adds `table` unless one of its name is there.
    pub fn add_class_table(&mut self, table: &ClassTable) {
        if self.class_table(&table.name).is_none() {
            self.class_tables.push(table.clone());
        }
    }

    /// Adds what `other` says where this says nothing; both sources are named.
    pub fn merge(&mut self, other: Self) {
        let joint = if self.source.is_empty() || other.source.is_empty() { "" } else { "; " };
        self.source = format!("{}{joint}{}", self.source, other.source);
        self.wall = self.wall.or(other.wall);
        self.zero = self.zero.or(other.zero);
        self.calibration = self.calibration.take().or(other.calibration);
        other.class_tables.iter().for_each(|table| self.add_class_table(table));
        self.mask_classes = self.mask_classes.take().or(other.mask_classes);
        self.network = self.network.take().or(other.network);
        self.schedule = self.schedule.take().or(other.schedule);
        self.dbc = self.dbc.take().or(other.dbc);
        if self.frame_names.is_empty() {
            self.frame_names = other.frame_names;
        }
    }

    /// The channel metadata of `kind`.
    pub(super) fn channel_notes(&self, kind: Kind) -> BTreeMap<String, String> {
        let classes = self.mask_classes.as_ref().filter(|_| kind == Kind::Mask);
        classes.map(|name| ("classes".to_owned(), name.clone())).into_iter().collect()
    }

    /// Every metadata record that says it, by name.
    pub(super) fn records(&self) -> Vec<(&'static str, BTreeMap<String, String>)> {
        let names = (!self.frame_names.is_empty()).then(|| (NAMES_RECORD, self.frame_names.to_map()));
        [(RECORD, self.to_map())].into_iter().chain(names).collect()
    }

    /// The record's map: all but the frames' names, which have a record of their own.
    pub(super) fn to_map(&self) -> BTreeMap<String, String> {
        let mut map = BTreeMap::from([
            ("format_version".to_owned(), FORMAT_VERSION.to_string()),
            ("program".to_owned(), concat!("segfuse ", env!("CARGO_PKG_VERSION")).to_owned()),
            ("source".to_owned(), self.source.clone()),
        ]);
        let mut put = |key: &str, value: Option<String>| value.map(|value| map.insert(key.to_owned(), value));
        put("wall_at_ns", self.wall.map(|wall| wall.at.ns().to_string()));
        put("wall_unix_ns", self.wall.map(|wall| wall.unix_ns.to_string()));
        put("zero_ns", self.zero.map(|zero| zero.ns().to_string()));
        put("calibration_toml", self.calibration.as_ref().map(to_toml));
        put("mask_classes", self.mask_classes.clone());
        put("network_toml", self.network.as_ref().map(to_toml));
        put("schedule", self.schedule.clone());
        put("dbc_name", self.dbc.as_ref().map(|dbc| dbc.name.clone()));
        put("dbc_text", self.dbc.as_ref().map(|dbc| dbc.text.clone()));
        for table in &self.class_tables {
            put(&format!("{TABLE_PREFIX}{}", table.name), Some(table.to_toml()));
        }
        map.insert("xxh3".to_owned(), checksum(&map));
        map
    }

    /// Reads the record's map; what cannot be read is left out and told in the notes.
    pub(super) fn from_map(map: &BTreeMap<String, String>) -> (Self, Vec<String>) {
        let mut notes = Vec::new();
        if map.get("xxh3").is_some_and(|stated| *stated != checksum(map)) {
            notes.push("the metadata record is damaged: its checksum does not fit".to_owned());
        }
        let text = |key: &str| map.get(key).cloned();
        let metadata = Self {
            source: text("source").unwrap_or_default(),
            wall: read_wall(map),
            zero: text("zero_ns").and_then(|ns| ns.parse().ok()).map(Stamp::from_ns),
            calibration: read_toml(map, "calibration_toml", &mut notes),
            class_tables: read_tables(map, &mut notes),
            mask_classes: text("mask_classes"),
            network: read_toml(map, "network_toml", &mut notes),
            schedule: text("schedule"),
            dbc: text("dbc_name").zip(text("dbc_text")).map(|(name, text)| DbcText { name, text }),
            frame_names: FrameNames::default(),
        };
        (metadata, notes)
    }
}

/// The version that a record states; 0 where it states none.
pub(super) fn format_version(map: &BTreeMap<String, String>) -> u32 {
    map.get("format_version").and_then(|text| text.parse().ok()).unwrap_or(0)
}

const TABLE_PREFIX: &str = "class_table.";

fn to_toml(value: &impl Serialize) -> String {
    toml::to_string(value).expect("calibration and identity hold only numbers, strings and lists: TOML writes them all")
}

fn read_toml<T: for<'a> Deserialize<'a>>(
    map: &BTreeMap<String, String>,
    key: &str,
    notes: &mut Vec<String>,
) -> Option<T> {
    toml::from_str(map.get(key)?).map_err(|error| notes.push(format!("metadata '{key}' is not read: {error}"))).ok()
}

fn read_tables(map: &BTreeMap<String, String>, notes: &mut Vec<String>) -> Vec<ClassTable> {
    let texts = map.iter().filter(|(key, _)| key.starts_with(TABLE_PREFIX));
    let mut read = |(key, text): (&String, &String)| {
        ClassTable::from_toml(text).map_err(|error| notes.push(format!("metadata '{key}' is not read: {error}"))).ok()
    };
    texts.filter_map(&mut read).collect()
}

fn read_wall(map: &BTreeMap<String, String>) -> Option<WallMapping> {
    let at = map.get("wall_at_ns")?.parse().ok()?;
    Some(WallMapping { at: Stamp::from_ns(at), unix_ns: map.get("wall_unix_ns")?.parse().ok()? })
}

fn checksum(map: &BTreeMap<String, String>) -> String {
    let mut hash = Xxh3::new();
    for (key, value) in map.iter().filter(|(key, _)| *key != "xxh3") {
        hash.update(key.as_bytes());
        hash.update(&[0]);
        hash.update(value.as_bytes());
        hash.update(&[0]);
    }
    format!("{:016x}", hash.digest())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Metadata with every field filled.
    pub(crate) fn filled() -> TripMetadata {
        TripMetadata {
            source: "a test".into(),
            wall: Some(WallMapping { at: Stamp::from_ns(5), unix_ns: -7 }),
            zero: Some(Stamp::from_ns(9)),
            calibration: Some(Calibration {
                width_px: 64,
                height_px: 48,
                fx_px: 50.5,
                fy_px: 50.0,
                cx_px: 32.0,
                cy_px: 24.0,
                distortion: vec![0.1, -0.2],
                position_m: [1.5, 0.0, 1.2],
                yaw_rad: 0.0,
                pitch_rad: 0.05,
                roll_rad: 0.0,
            }),
            class_tables: vec![ClassTable::camvid(), ClassTable::cityscapes()],
            mask_classes: Some("cityscapes".into()),
            network: Some(NetworkIdentity { name: "n".into(), runtime: "r 1".into(), hash: "00ff".into() }),
            schedule: Some("overlapped:5".into()),
            dbc: Some(DbcText { name: "x.dbc".into(), text: "VERSION \"\"\n".into() }),
            frame_names: FrameNames::default(),
        }
    }

    #[test]
    fn metadata_survives_its_record() {
        for metadata in [filled(), TripMetadata::default()] {
            assert_eq!(TripMetadata::from_map(&metadata.to_map()), (metadata, vec![]));
        }
    }

    #[test]
    fn a_changed_or_unreadable_value_is_told() {
        let mut map = filled().to_map();
        map.insert("calibration_toml".into(), "fx = broken".into());
        let (metadata, notes) = TripMetadata::from_map(&map);
        assert!(metadata.calibration.is_none() && metadata.dbc.is_some());
        assert_eq!(notes.len(), 2, "{notes:?}");
    }
}
