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
        let [ahead, left, height] = self.position_m;
        let sides = [("width_px", f64::from(self.width_px)), ("height_px", f64::from(self.height_px))];
        let lengths = [("fx_px", self.fx_px), ("fy_px", self.fy_px), ("position_m[2]", height)];
        for (key, value) in sides.into_iter().chain(lengths) {
            if !(value.is_finite() && value > 0.0) {
                return Err(format!("calibration: {key} is {value}, must be above 0"));
            }
        }
        let places = [("cx_px", self.cx_px), ("cy_px", self.cy_px), ("position_m[0]", ahead), ("position_m[1]", left)];
        let angles = [("yaw_rad", self.yaw_rad), ("pitch_rad", self.pitch_rad), ("roll_rad", self.roll_rad)];
        let bends = self.distortion.iter().map(|value| ("distortion", *value));
        for (key, value) in places.into_iter().chain(angles).chain(bends) {
            if !value.is_finite() {
                return Err(format!("calibration: {key} is {value}, must be a number"));
            }
        }
        let within = [("cx_px", self.cx_px, self.width_px), ("cy_px", self.cy_px, self.height_px)];
        if let Some((key, value, most)) =
            within.into_iter().find(|(_, value, most)| !(0.0..=f64::from(*most)).contains(value))
        {
            return Err(format!("calibration: {key} is {value}, must be within the picture, 0 to {most}"));
        }
        if let Some((key, value)) = angles.into_iter().find(|(_, value)| value.abs() > std::f64::consts::PI) {
            return Err(format!("calibration: {key} is {value}, must be -3.14 to 3.14: it is in radians"));
        }
        match self.distortion.len() {
            0 | 5 => Ok(()),
            count => Err(format!("calibration: distortion has {count} values, must be k1, k2, p1, p2, k3 or none")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_camera_has_is_refused_by_its_key() {
        let sound = "width_px = 640\nheight_px = 360\nfx_px = 500.0\nfy_px = 500.0\ncx_px = 320.0\ncy_px = 180.0\n\
                     position_m = [1.5, 0.0, 1.2]\n";
        let check = |text: &str| toml::from_str::<Calibration>(text).expect("TOML").check();
        assert_eq!(check(sound), Ok(()));
        for (good, bad, part) in [
            ("cy_px = 180.0", "cy_px = 3600.0", "cy_px is 3600, must be within the picture, 0 to 360"),
            ("cx_px = 320.0", "cx_px = -1.0", "cx_px is -1"),
            ("fx_px = 500.0", "fx_px = 0.0", "fx_px is 0"),
            ("position_m = [1.5, 0.0, 1.2]", "position_m = [1.5, 0.0, 1.2]\npitch_rad = 20.0", "it is in radians"),
        ] {
            let refused = check(&sound.replace(good, bad)).expect_err(bad);
            assert!(refused.contains(part), "{bad}: {refused}");
        }
    }
}
