//! A pinhole camera: pixels to rays, points to pixels.
//!
//! ```text
//! vehicle (ISO 8855): x forward, y left, z up      image: u right, v down,
//! origin on the ground below the rear axle         (0, 0) the centre of the first pixel
//! ```

use crate::data::{Calibration, Size};
use nalgebra::Vector3;

/// Intrinsics and mounting of a camera without distortion.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Camera {
    /// Picture size.
    pub size: Size,
    /// Focal length in pixels, horizontally.
    pub fx: f64,
    /// Focal length in pixels, vertically.
    pub fy: f64,
    /// Column of the optical axis.
    pub cx: f64,
    /// Row of the optical axis.
    pub cy: f64,
    /// Distance before the rear axle, m.
    pub forward_m: f64,
    /// Distance left of the vehicle's middle, m.
    pub left_m: f64,
    /// Height above the ground, m.
    pub height_m: f64,
    /// Tilt of the optical axis below the horizon, rad.
    pub pitch_rad: f64,
    /// Turn of the optical axis to the left, rad.
    pub yaw_rad: f64,
}

impl Camera {
    /// The same as trips and engines know it.
    pub fn calibration(&self) -> Calibration {
        Calibration {
            width_px: self.size.width,
            height_px: self.size.height,
            fx_px: self.fx,
            fy_px: self.fy,
            cx_px: self.cx,
            cy_px: self.cy,
            distortion: vec![],
            position_m: [self.forward_m, self.left_m, self.height_m],
            yaw_rad: self.yaw_rad,
            pitch_rad: self.pitch_rad,
            roll_rad: 0.0,
        }
    }

    /// The position and axes of this camera on a vehicle at `(x, y)` that looks along `heading_rad`
    /// and is tilted by `sway` (further pitch and roll, rad).
    pub fn placed(&self, (x, y, heading_rad): (f64, f64, f64), sway: (f64, f64)) -> CameraPose {
        let (sin, cos) = (libm::sin(heading_rad), libm::cos(heading_rad));
        let position = Vector3::new(
            x + cos * self.forward_m - sin * self.left_m,
            y + sin * self.forward_m + cos * self.left_m,
            self.height_m,
        );
        CameraPose { position, axes: axes(heading_rad + self.yaw_rad, self.pitch_rad + sway.0, sway.1) }
    }
}

/// Right, down and forward in world coordinates.
fn axes(yaw: f64, pitch: f64, roll: f64) -> [Vector3<f64>; 3] {
    let (sin_yaw, cos_yaw) = (libm::sin(yaw), libm::cos(yaw));
    let (sin_pitch, cos_pitch) = (libm::sin(pitch), libm::cos(pitch));
    let (sin_roll, cos_roll) = (libm::sin(roll), libm::cos(roll));
    let forward = Vector3::new(cos_yaw * cos_pitch, sin_yaw * cos_pitch, -sin_pitch);
    let level_right = Vector3::new(sin_yaw, -cos_yaw, 0.0);
    let level_down = forward.cross(&level_right);
    let right = level_right * cos_roll + level_down * sin_roll;
    let down = level_down * cos_roll - level_right * sin_roll;
    [right, down, forward]
}

/// Where a camera is and how it is turned: world coordinates, m.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CameraPose {
    /// The centre of projection.
    pub position: Vector3<f64>,
    /// Unit vectors to the right, down and forward.
    pub axes: [Vector3<f64>; 3],
}

/// A camera in its place.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// The camera.
    pub camera: Camera,
    /// Its place.
    pub pose: CameraPose,
}

impl View {
    /// The direction seen at `(u, v)`, as long as it takes to be 1 deep: `position + depth * ray`
    /// is the point at that depth.
    pub fn ray(&self, u: f64, v: f64) -> Vector3<f64> {
        let [right, down, forward] = self.pose.axes;
        forward + right * ((u - self.camera.cx) / self.camera.fx) + down * ((v - self.camera.cy) / self.camera.fy)
    }

    /// Column, row and depth of a world point; `None` if it is not in front of the camera.
    pub fn project(&self, point: &Vector3<f64>) -> Option<(f64, f64, f64)> {
        self.project_direction(&(point - self.pose.position))
    }

    /// As [`View::project`], for a direction: where a point infinitely far away is seen.
    pub fn project_direction(&self, direction: &Vector3<f64>) -> Option<(f64, f64, f64)> {
        let [right, down, forward] = self.pose.axes;
        let depth = direction.dot(&forward);
        let column = self.camera.cx + self.camera.fx * direction.dot(&right) / depth;
        let row = self.camera.cy + self.camera.fy * direction.dot(&down) / depth;
        (depth > NEAR_M).then_some((column, row, depth))
    }

    /// The pixels that the convex hull of `points` can cover; `None` if it covers none.
    pub(super) fn bounds(&self, points: &[Vector3<f64>; 8]) -> Option<Bounds> {
        let seen = points.map(|point| self.depth_first(&point));
        let mut bounds = Bounds::nothing();
        for (index, point) in seen.iter().enumerate() {
            if point[0] >= NEAR_M {
                bounds.include(self, point);
            }
            let crossing = seen[..index].iter().filter(|other| (other[0] < NEAR_M) != (point[0] < NEAR_M));
            for other in crossing {
                let part = (NEAR_M - point[0]) / (other[0] - point[0]);
                bounds.include(self, &(point + (other - point) * part));
            }
        }
        bounds.clipped(self.camera.size)
    }

    fn depth_first(&self, point: &Vector3<f64>) -> Vector3<f64> {
        let [right, down, forward] = self.pose.axes;
        let offset = point - self.pose.position;
        Vector3::new(offset.dot(&forward), offset.dot(&right), offset.dot(&down))
    }
}

/// What is nearer is inside the camera's own vehicle and not drawn.
pub(super) const NEAR_M: f64 = 0.3;

/// A rectangle of pixels, half open, with the least depth inside.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bounds {
    low: [f64; 2],
    high: [f64; 2],
    /// No part of the hull is nearer.
    pub(super) depth: f64,
}

impl Bounds {
    fn nothing() -> Self {
        Self { low: [f64::INFINITY; 2], high: [f64::NEG_INFINITY; 2], depth: f64::INFINITY }
    }

    fn include(&mut self, view: &View, point: &Vector3<f64>) {
        let camera = &view.camera;
        let seen = [camera.cx + camera.fx * point[1] / point[0], camera.cy + camera.fy * point[2] / point[0]];
        for (axis, value) in seen.into_iter().enumerate() {
            self.low[axis] = self.low[axis].min(value);
            self.high[axis] = self.high[axis].max(value);
        }
        self.depth = self.depth.min(point[0]);
    }

    fn clipped(mut self, size: Size) -> Option<Self> {
        for (axis, side) in [size.width, size.height].into_iter().enumerate() {
            self.low[axis] = self.low[axis].ceil().max(0.0);
            self.high[axis] = (self.high[axis].floor() + 1.0).min(f64::from(side));
        }
        (self.low[0] < self.high[0] && self.low[1] < self.high[1]).then_some(self)
    }

    pub(super) fn columns(&self) -> std::ops::Range<usize> {
        self.low[0] as usize..self.high[0] as usize
    }

    pub(super) fn rows(&self) -> std::ops::Range<usize> {
        self.low[1] as usize..self.high[1] as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(heading: f64) -> View {
        let camera = Camera {
            size: Size::new(640, 360),
            fx: 500.0,
            fy: 500.0,
            cx: 319.5,
            cy: 179.5,
            forward_m: 1.5,
            left_m: 0.1,
            height_m: 1.4,
            pitch_rad: 0.03,
            yaw_rad: 0.01,
        };
        View { camera, pose: camera.placed((10.0, -4.0, heading), (0.01, 0.02)) }
    }

    #[test]
    fn a_point_on_a_ray_is_seen_where_the_ray_started() {
        let view = view(0.7);
        for (u, v, depth) in [(0.0, 0.0, 5.0), (639.0, 100.5, 80.0), (319.5, 359.0, 2.0)] {
            let point = view.pose.position + view.ray(u, v) * depth;
            let (column, row, far) = view.project(&point).expect("in front");
            assert!((column - u).abs() + (row - v).abs() + (far - depth).abs() < 1e-9, "{u} {v} {depth}");
        }
    }

    #[test]
    fn left_is_left_and_up_is_up() {
        let view = view(0.0);
        let ahead = Vector3::new(40.0, -3.9, 1.4);
        let (u, v, _) = view.project(&ahead).expect("in front");
        let (left, _, _) = view.project(&(ahead + Vector3::y())).expect("in front");
        let (_, above, _) = view.project(&(ahead + Vector3::z())).expect("in front");
        assert!(left < u && above < v);
        assert_eq!(view.project(&Vector3::new(0.0, 0.0, 1.0)), None);
    }
}
