//! Where a camera sits on the vehicle and how it sees.

use serde::{Deserialize, Serialize};

/// Where the camera sits and how it sees.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Width of the pictures that the numbers are for, pixels.
    pub width_px: u32,
    /// Height of them, pixels.
    pub height_px: u32,
    /// Focal length along a row, pixels.
    pub fx_px: f64,
    /// Focal length along a column, pixels.
    pub fy_px: f64,
    /// Principal point, column.
    pub cx_px: f64,
    /// Principal point, row.
    pub cy_px: f64,
    /// Distortion k1, k2, p1, p2, k3 of the plumb-bob model; empty: none.
    #[serde(default)]
    pub distortion: Vec<f64>,
    /// Position of the camera from the rear axle's middle on the ground, ISO 8855 axes, metres.
    pub position_m: [f64; 3],
    /// Turn of the camera left from straight ahead, radians.
    #[serde(default)]
    pub yaw_rad: f64,
    /// Tilt of the camera down from level, radians.
    #[serde(default)]
    pub pitch_rad: f64,
    /// Roll of the camera clockwise as it looks, radians.
    #[serde(default)]
    pub roll_rad: f64,
}

impl Calibration {
    /// Says which value no camera has.
    pub fn check(&self) -> Result<(), String> {
        let lengths = [("fx_px", self.fx_px), ("fy_px", self.fy_px), ("position_m[2]", self.position_m[2])];
        for (key, value) in lengths {
            if !(value.is_finite() && value > 0.0) {
                return Err(format!("calibration: {key} is {value}, must be above 0"));
            }
        }
        let angles = [self.yaw_rad, self.pitch_rad, self.roll_rad, self.cx_px, self.cy_px];
        let numbers = angles.iter().chain(&self.position_m).chain(&self.distortion);
        if self.width_px == 0 || self.height_px == 0 || !numbers.clone().all(|value| value.is_finite()) {
            return Err("calibration: width_px or height_px is 0, or another value is no number".to_owned());
        }
        match self.distortion.len() {
            0 | 5 => Ok(()),
            count => Err(format!("calibration: distortion has {count} values, must be k1, k2, p1, p2, k3 or none")),
        }
    }
}
