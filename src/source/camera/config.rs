//! What is asked of a camera.

use crate::data::{PixelFormat, Size};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;

const BUFFERS: RangeInclusive<u32> = 2..=32;
const STALL_MS: RangeInclusive<u32> = 10..=10_000;
const RATE_HZ: RangeInclusive<f64> = 0.1..=1000.0;
const EXPOSURE_MS: RangeInclusive<f64> = 0.0..=1000.0;
/// What a device is named by that is looked for by its place on a bus.
pub(super) const BUS: &str = "bus:";

/// A camera and what it is to give. What is left out stays as the camera has it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `"/dev/video0"`, `"/dev/v4l/by-id/..."`, or `"bus:usb-0000:00:14.0-1"`: where the camera is plugged in, under
    /// whatever number.
    pub device: String,
    /// Which of a card's inputs.
    pub input: Option<u16>,
    /// How the pictures' bytes are laid out: `"yuyv"`, `"uyvy"`, `"nv12"`, `"grey"`, `"rgb8"` or `"jpeg"`.
    #[serde(deserialize_with = "read_text")]
    pub format: Option<PixelFormat>,
    /// Picture size, `"1280x720"`.
    #[serde(deserialize_with = "read_text")]
    pub size: Option<Size>,
    /// Frames a second.
    pub rate_hz: Option<f64>,
    /// Buffers that the driver fills in turn. Pictures are lent out of them, and copied where fewer than two remain.
    pub buffers: u32,
    /// Without a frame for so long the camera counts as lost; longer than from one frame to the next.
    pub stall_ms: u32,
    /// Which moment the driver's stamps are of.
    pub stamp: StampOf,
    /// How long a row is exposed.
    pub exposure_ms: f64,
    /// From the first row's reading to the last one's: a rolling shutter's; 0 for a global one.
    pub readout_ms: f64,
    /// Controls to set, by the names that `v4l2-ctl --list-ctrls` prints.
    pub controls: BTreeMap<String, i64>,
    /// Whether to start without the camera where it is not there, and to open it when it comes.
    pub wait: bool,
}

/// Which moment a driver's stamps are of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StampOf {
    /// What the driver says with each frame.
    #[default]
    Auto,
    /// The first row's exposure began.
    StartOfExposure,
    /// The last row was read.
    EndOfFrame,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            device: "/dev/video0".into(),
            input: None,
            format: None,
            size: None,
            rate_hz: None,
            buffers: 4,
            stall_ms: 100,
            stamp: StampOf::Auto,
            exposure_ms: 0.0,
            readout_ms: 0.0,
            controls: BTreeMap::new(),
            wait: false,
        }
    }
}

impl Config {
    /// Whether every value is in its range.
    pub fn check(&self) -> Result<(), String> {
        if self.device.is_empty() || self.device == BUS {
            return Err(format!(
                "camera.device is '{}', which names none: write /dev/video0, or {BUS} and where it is plugged in",
                self.device
            ));
        }
        within("buffers", &self.buffers, &BUFFERS)?;
        within("stall_ms", &self.stall_ms, &STALL_MS)?;
        self.rate_hz.map_or(Ok(()), |rate_hz| within("rate_hz", &rate_hz, &RATE_HZ))?;
        within("exposure_ms", &self.exposure_ms, &EXPOSURE_MS)?;
        within("readout_ms", &self.readout_ms, &EXPOSURE_MS)
    }
}

fn within<T: PartialOrd + Display>(key: &str, got: &T, range: &RangeInclusive<T>) -> Result<(), String> {
    if range.contains(got) {
        return Ok(());
    }
    Err(format!("camera.{key} is {got}, expected {} to {}", range.start(), range.end()))
}

fn read_text<'de, D: Deserializer<'de>, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: std::str::FromStr,
    T::Err: Display,
{
    let text = String::deserialize(deserializer)?;
    text.parse().map(Some).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, String> {
        let config: Config = toml::from_str(text).map_err(|error| error.to_string())?;
        config.check().map(|()| config)
    }

    #[test]
    fn a_camera_is_described_in_whole() {
        let text = "device = 'bus:usb-1'\nformat = 'nv12'\nsize = '1280x720'\nrate_hz = 29.97\nbuffers = 6\n\
                    stamp = 'start_of_exposure'\nexposure_ms = 8.0\nwait = true\ncontrols = { gain = 3 }";
        let config = read(text).expect("it is right");
        assert_eq!((config.format, config.size), (Some(PixelFormat::Nv12), Some(Size::new(1280, 720))));
        assert_eq!((config.stamp, config.controls["gain"], config.wait), (StampOf::StartOfExposure, 3, true));
        assert_eq!(read("").expect("all is optional"), Config::default());
    }

    #[test]
    fn a_value_that_is_not_one_is_refused_by_key_value_and_remedy() {
        let cases = [
            ("device = ''", "camera.device is ''"),
            ("device = 'bus:'", "write /dev/video0"),
            ("buffers = 1", "camera.buffers is 1, expected 2 to 32"),
            ("buffers = 33", "expected 2 to 32"),
            ("stall_ms = 9", "camera.stall_ms is 9"),
            ("rate_hz = 0.0", "camera.rate_hz is 0"),
            ("rate_hz = nan", "camera.rate_hz is NaN"),
            ("exposure_ms = -1.0", "camera.exposure_ms is -1"),
            ("readout_ms = 1001.0", "camera.readout_ms is 1001"),
            ("format = 'yv12'", "unknown pixel format 'yv12': known are"),
            ("size = '1280'", "write WIDTHxHEIGHT"),
            ("stamp = 'middle'", "unknown variant `middle`"),
            ("colour = 3", "unknown field `colour`"),
        ];
        let wrong: Vec<_> =
            cases.iter().filter(|(text, part)| !read(text).is_err_and(|error| error.contains(part))).collect();
        assert!(wrong.is_empty(), "{:?}", wrong.iter().map(|(text, _)| (text, read(text))).collect::<Vec<_>>());
    }
}
