//! Flow from the vehicle's own motion: of the ground, and of what is far away.
//!
//! ```text
//! cell ─calibration─▶ ray ─┬ meets the ground ─▶ point ─┐ vehicle moved along an arc
//!                          └ at or above the horizon ─▶ direction, turned ─┴─▶ pixel in the earlier frame
//! ```
//!
//! Right for a flat road and for what is far; wrong for whatever stands beside the road or moves by itself, which
//! only the pictures show. No picture is looked at.

use super::FlowField;
use crate::data::Calibration;
use nalgebra::{Rotation3, Vector3};

/// What lies further away on the ground moves like what is at infinity, in metres.
const FAR_M: f64 = 200.0;
/// Points nearer to the camera's plane than this project nowhere, in metres.
const NEAREST_M: f64 = 0.1;
/// Rounds that take a lens's distortion out of a pixel: each leaves about a tenth of what the one before left.
const UNDISTORT: usize = 8;

/// The way of the rear axle's middle from one frame to the next: an arc over flat ground.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EgoMotion {
    /// Length of the arc, forward positive, in metres.
    pub forward_m: f64,
    /// Change of heading, left positive, in rad.
    pub turned_rad: f64,
}

impl EgoMotion {
    /// Where the later vehicle is, in the earlier one's axes (ISO 8855), and how it is turned.
    pub(crate) fn pose(self) -> (Vector3<f64>, Rotation3<f64>) {
        let Self { forward_m, turned_rad } = self;
        // sin(t) / t and (1 - cos(t)) / t, whose limits at 0 are 1 and 0.
        let (ahead, left) = if turned_rad.abs() < 1e-6 {
            (1.0, 0.5 * turned_rad)
        } else {
            (libm::sin(turned_rad) / turned_rad, (1.0 - libm::cos(turned_rad)) / turned_rad)
        };
        (Vector3::new(forward_m * ahead, forward_m * left, 0.0), about_z(turned_rad))
    }
}

/// libm's functions give the same bits on every machine.
fn about_z(angle_rad: f64) -> Rotation3<f64> {
    let (sin, cos) = (libm::sin(angle_rad), libm::cos(angle_rad));
    Rotation3::from_matrix_unchecked(nalgebra::Matrix3::new(cos, -sin, 0.0, sin, cos, 0.0, 0.0, 0.0, 1.0))
}

/// Predicts flow for one camera.
#[derive(Clone, Debug)]
pub struct EgoFlow {
    camera: Calibration,
    /// Right, down and forward in the vehicle's axes.
    axes: [Vector3<f64>; 3],
    /// The grid that `seen` is for.
    grid: (usize, usize),
    /// What each cell shows if the world is flat.
    seen: Vec<Seen>,
}

/// What lies behind a pixel, in the vehicle's axes.
#[derive(Clone, Copy, Debug)]
enum Seen {
    Ground(Vector3<f64>),
    Far(Vector3<f64>),
}

impl EgoFlow {
    /// For a camera; an error names the value that no camera has.
    pub fn new(camera: &Calibration) -> Result<Self, String> {
        camera.check()?;
        Ok(Self { axes: axes(camera), camera: camera.clone(), grid: (0, 0), seen: Vec::new() })
    }

    /// What it was made for.
    #[cfg(feature = "cuda")]
    pub(crate) fn camera(&self) -> &Calibration {
        &self.camera
    }

    /// The camera's right, down and forward in the vehicle's axes.
    #[cfg(feature = "cuda")]
    pub(crate) fn axes(&self) -> [[f64; 3]; 3] {
        self.axes.map(Into::into)
    }

    /// Writes where each cell of `field`'s grid over the current frame was in the frame before, in cells.
    ///
    /// What the earlier camera cannot have seen, not even had its picture been three times as wide and high, is taken not
    /// to have moved: a motion may be anything that a broken sensor says.
    pub fn predict_into(&mut self, motion: EgoMotion, (rows, cols): (usize, usize), field: &mut FlowField) {
        self.see((rows, cols));
        (field.rows, field.cols) = (rows, cols);
        field.values.clear();
        field.values.resize(2 * rows * cols, 0.0);
        let (moved, turned) = motion.pose();
        let (along_x, along_y) = field.values.split_at_mut(rows * cols);
        for (cell, seen) in self.seen.iter().enumerate() {
            let direction = match seen {
                Seen::Ground(point) => turned * point + moved - self.position(),
                Seen::Far(direction) => turned * direction,
            };
            let Some([u, v]) = self.project(direction).filter(|place| self.is_near(*place)) else { continue };
            let (row, col) = (cell / cols, cell % cols);
            along_x[cell] = ((u + 0.5) * cols as f64 / f64::from(self.camera.width_px) - col as f64 - 0.5) as f32;
            along_y[cell] = ((v + 0.5) * rows as f64 / f64::from(self.camera.height_px) - row as f64 - 0.5) as f32;
        }
    }

    /// Looks through every cell of a grid, once.
    fn see(&mut self, (rows, cols): (usize, usize)) {
        if self.grid == (rows, cols) {
            return;
        }
        self.grid = (rows, cols);
        let pixel = |cell: usize, count: usize, side: u32| (cell as f64 + 0.5) * f64::from(side) / count as f64 - 0.5;
        let seen = (0..rows * cols).map(|cell| {
            let (u, v) =
                (pixel(cell % cols, cols, self.camera.width_px), pixel(cell / cols, rows, self.camera.height_px));
            self.through([u, v])
        });
        self.seen = seen.collect();
    }

    /// What a pixel shows.
    fn through(&self, [u, v]: [f64; 2]) -> Seen {
        let Calibration { fx_px, fy_px, cx_px, cy_px, .. } = self.camera;
        let [x, y] = undistorted(&self.camera.distortion, [(u - cx_px) / fx_px, (v - cy_px) / fy_px]);
        let [right, down, forward] = self.axes;
        let ray = right * x + down * y + forward;
        let reach = self.position().z / -ray.z;
        if ray.z < 0.0 && reach * ray.norm() < FAR_M {
            Seen::Ground(self.position() + ray * reach)
        } else {
            Seen::Far(ray)
        }
    }

    /// The pixel of what lies in a direction from the camera; nothing behind it.
    fn project(&self, direction: Vector3<f64>) -> Option<[f64; 2]> {
        let [right, down, forward] = self.axes.map(|axis| axis.dot(&direction));
        let Calibration { fx_px, fy_px, cx_px, cy_px, .. } = self.camera;
        let [x, y] = distorted(&self.camera.distortion, [right / forward, down / forward]);
        (forward > NEAREST_M).then_some([fx_px * x + cx_px, fy_px * y + cy_px])
    }

    /// Within the picture, or at most its own width or height outside.
    fn is_near(&self, place: [f64; 2]) -> bool {
        let sides = [self.camera.width_px, self.camera.height_px].map(f64::from);
        place.into_iter().zip(sides).all(|(place, side)| (-side..2.0 * side).contains(&place))
    }

    fn position(&self) -> Vector3<f64> {
        Vector3::from(self.camera.position_m)
    }
}

/// Right, down and forward of a camera that is turned left, tilted down and rolled.
fn axes(camera: &Calibration) -> [Vector3<f64>; 3] {
    let turn = |angle: f64| (libm::sin(angle), libm::cos(angle));
    let ((sin_yaw, cos_yaw), (sin_pitch, cos_pitch)) = (turn(camera.yaw_rad), turn(camera.pitch_rad));
    let (sin_roll, cos_roll) = turn(camera.roll_rad);
    let forward = Vector3::new(cos_yaw * cos_pitch, sin_yaw * cos_pitch, -sin_pitch);
    let level_right = Vector3::new(sin_yaw, -cos_yaw, 0.0);
    let level_down = forward.cross(&level_right);
    [level_right * cos_roll + level_down * sin_roll, level_down * cos_roll - level_right * sin_roll, forward]
}

/// Where a lens puts a normalised place: the plumb-bob model (Brown, "Decentering Distortion of Lenses", 1966).
fn distorted(distortion: &[f64], [x, y]: [f64; 2]) -> [f64; 2] {
    let &[k1, k2, p1, p2, k3] = distortion else { return [x, y] };
    let r2 = x * x + y * y;
    let radial = 1.0 + r2 * (k1 + r2 * (k2 + r2 * k3));
    [x * radial + 2.0 * p1 * x * y + p2 * (r2 + 2.0 * x * x), y * radial + p1 * (r2 + 2.0 * y * y) + 2.0 * p2 * x * y]
}

/// The normalised place that a lens puts at `place`.
fn undistorted(distortion: &[f64], place: [f64; 2]) -> [f64; 2] {
    let mut found = place;
    for _ in 0..UNDISTORT {
        let there = distorted(distortion, found);
        found = [found[0] + place[0] - there[0], found[1] + place[1] - there[1]];
    }
    found
}
