//! What a synthetic drive is like, and what is refused.

use super::camera::Camera;
use crate::data::{ImageError, PixelFormat, Size};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::ops::RangeInclusive;

/// The longest drive, s: bounds the table of its motion to 23 MB.
const MAX_SECONDS: f64 = 3600.0;
/// Lengths of a drive, s.
pub const SECONDS: RangeInclusive<f64> = 0.001..=MAX_SECONDS;
/// Frames a second: up to faster ones than any camera's.
pub const FPS: RangeInclusive<f64> = 0.1..=1000.0;
/// The most columns and rows, those of 8K video: bounds the planes of a scene to about 2 GB.
pub const MAX_SIZE: Size = Size::new(7680, 4320);

/// Why a drive cannot be rendered. Recovery: mend the configuration.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum SyntheticError {
    /// A number outside its range.
    #[error("synthetic: {key} is {got}, expected {low} to {high}")]
    Range {
        /// The key in the configuration.
        key: &'static str,
        /// The value given.
        got: f64,
        /// The least value.
        low: f64,
        /// The greatest value.
        high: f64,
    },
    /// A size or a pixel format that cannot be had together.
    #[error("synthetic: {0}")]
    Image(#[from] ImageError),
}

/// A synthetic drive. Everything follows from these values: equal values give equal bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Which town, which traffic, which weather.
    pub seed: u64,
    /// Picture size, `"640x360"`.
    #[serde(serialize_with = "write_size", deserialize_with = "read_size")]
    pub size: Size,
    /// How the pictures' bytes are laid out: `"rgb8"`, `"yuyv"`, `"uyvy"`, `"nv12"`, `"grey"` or `"jpeg"`.
    #[serde(serialize_with = "write_format", deserialize_with = "read_format")]
    pub format: PixelFormat,
    /// Frames a second.
    pub fps: f64,
    /// Length of the drive in seconds.
    pub seconds: f64,
    /// From the middle of the exposure to the frame's arrival, ms.
    pub latency_ms: f64,
    /// Whether the exact state is sent with every frame, besides the CAN frames.
    pub states: bool,
    /// What the scene is like.
    pub scenario: Scenario,
    /// The camera's lens and place.
    pub camera: CameraConfig,
    /// The car under the camera.
    pub vehicle: Vehicle,
    /// The bus that the vehicle's state is sent on.
    pub can: CanConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            seed: 1,
            size: Size::new(640, 360),
            format: PixelFormat::Rgb8,
            fps: 30.0,
            seconds: 10.0,
            latency_ms: 20.0,
            states: false,
            scenario: Scenario::default(),
            camera: CameraConfig::default(),
            vehicle: Vehicle::default(),
            can: CanConfig::default(),
        }
    }
}

/// The knobs of the scene.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scenario {
    /// Speed that the driver likes, m/s.
    pub speed_mps: f64,
    /// Whether the driver stops now and then.
    pub stops: bool,
    /// 0 a straight road, 1 a winding one.
    pub curviness: f64,
    /// 0 countryside, 1 the middle of a town.
    pub urbanity: f64,
    /// 0 nobody else on the road, 1 busy.
    pub traffic: f64,
    /// Daylight; `"seed"` lets the seed choose.
    pub weather: Weather,
    /// Standard deviation of the sensor's noise in 8-bit steps at middle grey; 0 for none.
    pub noise: f64,
    /// How much the exposure wanders, as a part of 1; 0 for none.
    pub flicker: f64,
    /// How much the car pitches and rolls on its springs, degrees; 0 for none.
    pub sway_deg: f64,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            speed_mps: 11.0,
            stops: true,
            curviness: 0.7,
            urbanity: 0.7,
            traffic: 0.6,
            weather: Weather::Seed,
            noise: 2.0,
            flicker: 0.03,
            sway_deg: 0.25,
        }
    }
}

/// Daylight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weather {
    /// One of the others, by the seed.
    Seed,
    /// Blue sky and hard shadows.
    Sunny,
    /// A bright grey sky.
    Overcast,
    /// A low warm sun.
    Dusk,
}

/// A pinhole camera on the vehicle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CameraConfig {
    /// Angle of view from the left to the right edge, degrees; pixels are square.
    pub horizontal_view_deg: f64,
    /// Height above the ground, m.
    pub height_m: f64,
    /// Distance before the rear axle, m.
    pub forward_m: f64,
    /// Distance left of the middle, m.
    pub left_m: f64,
    /// Tilt below the horizon, degrees.
    pub pitch_deg: f64,
    /// Turn to the left, degrees.
    pub yaw_deg: f64,
}

impl Default for CameraConfig {
    fn default() -> Self {
        Self { horizontal_view_deg: 60.0, height_m: 1.35, forward_m: 1.9, left_m: 0.0, pitch_deg: 2.0, yaw_deg: 0.0 }
    }
}

/// A car's geometry.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Vehicle {
    /// From the rear to the front axle, m.
    pub wheelbase_m: f64,
    /// Steering-wheel angle over front-wheel angle.
    pub steering_ratio: f64,
}

impl Default for Vehicle {
    fn default() -> Self {
        Self { wheelbase_m: 2.7, steering_ratio: 15.0 }
    }
}

/// How the bus and its clock misbehave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CanConfig {
    /// Whether CAN frames are sent at all.
    pub enabled: bool,
    /// The bus number that frames carry.
    pub bus: u8,
    /// Frames reach the program up to this much after they were stamped, uniformly, ms.
    pub jitter_ms: f64,
    /// Unix time at the timeline's zero, ms: offset of the stamps' clock.
    pub offset_ms: f64,
    /// How much faster the stamps' clock runs than the timeline, parts in a million.
    pub drift_ppm: f64,
    /// A jump of the stamps' clock.
    pub step: Option<ClockStep>,
}

impl Default for CanConfig {
    fn default() -> Self {
        // 2026-01-01 00:00 UTC.
        Self { enabled: true, bus: 0, jitter_ms: 0.5, offset_ms: 1_767_225_600_000.0, drift_ppm: 0.0, step: None }
    }
}

/// A jump of a clock.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockStep {
    /// When, in seconds of the drive.
    pub at_s: f64,
    /// By how much, ms; negative goes back.
    pub by_ms: f64,
}

impl Config {
    /// Refuses what cannot be rendered.
    pub fn check(&self) -> Result<(), SyntheticError> {
        let (scenario, camera) = (&self.scenario, &self.camera);
        let step = self.can.step.unwrap_or(ClockStep { at_s: 0.0, by_ms: 0.0 });
        let ranges = [
            ("fps", self.fps, *FPS.start(), *FPS.end()),
            ("seconds", self.seconds, *SECONDS.start(), *SECONDS.end()),
            ("fps x seconds (frames)", self.frames() as f64, 1.0, FPS.end() * SECONDS.end()),
            ("latency_ms", self.latency_ms, 0.0, 500.0),
            ("scenario.speed_mps", scenario.speed_mps, 0.0, 30.0),
            ("scenario.curviness", scenario.curviness, 0.0, 1.0),
            ("scenario.urbanity", scenario.urbanity, 0.0, 1.0),
            ("scenario.traffic", scenario.traffic, 0.0, 1.0),
            ("scenario.noise", scenario.noise, 0.0, 64.0),
            ("scenario.flicker", scenario.flicker, 0.0, 0.5),
            ("scenario.sway_deg", scenario.sway_deg, 0.0, 3.0),
            ("camera.horizontal_view_deg", camera.horizontal_view_deg, 10.0, 140.0),
            ("camera.height_m", camera.height_m, 0.5, 4.0),
            ("camera.forward_m", camera.forward_m, -2.0, 5.0),
            ("camera.left_m", camera.left_m, -1.0, 1.0),
            ("camera.pitch_deg", camera.pitch_deg, -20.0, 40.0),
            ("camera.yaw_deg", camera.yaw_deg, -45.0, 45.0),
            ("vehicle.wheelbase_m", self.vehicle.wheelbase_m, 1.0, 8.0),
            ("vehicle.steering_ratio", self.vehicle.steering_ratio, 1.0, 40.0),
            ("can.jitter_ms", self.can.jitter_ms, 0.0, 1000.0),
            ("can.offset_ms", self.can.offset_ms, -4e12, 4e12),
            ("can.drift_ppm", self.can.drift_ppm, -10_000.0, 10_000.0),
            ("can.step.at_s", step.at_s, 0.0, MAX_SECONDS),
            ("can.step.by_ms", step.by_ms, -1e9, 1e9),
        ];
        check_ranges(&ranges)?;
        check_ranges(&[
            ("size (columns)", f64::from(self.size.width), 0.0, f64::from(MAX_SIZE.width)),
            ("size (rows)", f64::from(self.size.height), 0.0, f64::from(MAX_SIZE.height)),
        ])?;
        check_image(self.format, self.size)
    }

    /// The camera that [`Config::camera`] describes for pictures of [`Config::size`].
    pub fn lens(&self) -> Camera {
        let CameraConfig { horizontal_view_deg, height_m, forward_m, left_m, pitch_deg, yaw_deg } = self.camera;
        let half_width = f64::from(self.size.width) / 2.0;
        let focal = half_width / libm::tan(horizontal_view_deg.to_radians() / 2.0);
        Camera {
            size: self.size,
            fx: focal,
            fy: focal,
            cx: half_width - 0.5,
            cy: f64::from(self.size.height) / 2.0 - 0.5,
            forward_m,
            left_m,
            height_m,
            pitch_rad: pitch_deg.to_radians(),
            yaw_rad: yaw_deg.to_radians(),
        }
    }

    /// Frames in the whole drive.
    pub fn frames(&self) -> u64 {
        (self.seconds * self.fps).round() as u64
    }
}

fn check_ranges(ranges: &[(&'static str, f64, f64, f64)]) -> Result<(), SyntheticError> {
    // Written so that NaN is refused too.
    let outside = ranges.iter().find(|(_, got, low, high)| !(low..=high).contains(&got));
    outside.map_or(Ok(()), |&(key, got, low, high)| Err(SyntheticError::Range { key, got, low, high }))
}

fn check_image(format: PixelFormat, size: Size) -> Result<(), SyntheticError> {
    size.to_string().parse::<Size>().map_err(|_| ImageError::Size(size))?;
    let subsampled = !matches!(format, PixelFormat::Rgb8 | PixelFormat::Grey | PixelFormat::Jpeg);
    let odd = size.width % 2 == 1 || (format == PixelFormat::Nv12 && size.height % 2 == 1);
    if subsampled && odd { Err(ImageError::OddSide { format, size }.into()) } else { Ok(()) }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn write_size<S: Serializer>(size: &Size, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(size)
}

fn read_size<'de, D: Deserializer<'de>>(from: D) -> Result<Size, D::Error> {
    String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn write_format<S: Serializer>(format: &PixelFormat, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(format.name())
}

fn read_format<'de, D: Deserializer<'de>>(from: D) -> Result<PixelFormat, D::Error> {
    String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_survives_a_round_trip_and_refuses_unknown_keys() {
        let mut config = Config { seed: 7, format: PixelFormat::Nv12, ..Config::default() };
        config.can.step = Some(ClockStep { at_s: 2.0, by_ms: 1000.0 });
        let text = toml::to_string(&config).expect("plain values");
        assert_eq!(toml::from_str::<Config>(&text).expect("what was written"), config);
        for wrong in ["sede = 1", "size = \"640\"", "format = \"rgb\"", "[can]\njiter_ms = 1.0"] {
            assert!(toml::from_str::<Config>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn values_outside_their_range_are_named() {
        assert_eq!(Config::default().check(), Ok(()));
        for (key, config) in [
            ("fps", Config { fps: 0.0, ..Config::default() }),
            ("seconds", Config { seconds: f64::NAN, ..Config::default() }),
            ("nv12", Config { size: Size::new(64, 63), format: PixelFormat::Nv12, ..Config::default() }),
            ("columns", Config { size: Size::new(9999, 1), ..Config::default() }),
            ("rows", Config { size: Size::new(64, 4321), ..Config::default() }),
            ("image size", Config { size: Size::new(0, 63), ..Config::default() }),
        ] {
            let error = config.check().expect_err(key).to_string();
            assert!(error.contains(key), "{error}");
        }
    }
}
