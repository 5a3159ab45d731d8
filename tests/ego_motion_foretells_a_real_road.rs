//! On KITTI's sample the road moves as [`EgoFlow`] says of some motion of the vehicle and tilt of the camera.
//!
//! Nobody recorded the vehicle's motion beside that sample: the one that fits best is looked for, three numbers against
//! some thousand measured points. The camera's numbers are those that KITTI publishes of its left colour camera.

mod support;

use segfuse::data::Calibration;
use segfuse::flow::{EgoFlow, EgoMotion, FlowField};
use support::shared_data;

/// Pixels to a cell: KITTI's picture of 1242x375 divides evenly.
const CELL: usize = 3;
/// Where the sample shows nothing but the lane: rows from, columns from and to.
const LANE: (usize, usize, usize) = (260, 350, 700);

/// Forward in metres, left turn in radians, tilt of the camera in radians.
type Motion = [f64; 3];

fn camera(pitch_rad: f64) -> Calibration {
    Calibration {
        width_px: 1242,
        height_px: 375,
        fx_px: 721.54,
        fy_px: 721.54,
        cx_px: 609.56,
        cy_px: 172.85,
        distortion: Vec::new(),
        position_m: [1.68, 0.0, 1.65],
        yaw_rad: 0.0,
        pitch_rad,
        roll_rad: 0.0,
    }
}

/// Distances in pixels between what is foretold of the lane and the truth; its motion itself with `EgoMotion::default()`.
fn errors_px(truth: &FlowField, [forward_m, turned_rad, pitch_rad]: Motion) -> Vec<f64> {
    let (rows, cols) = (truth.rows / CELL, truth.cols / CELL);
    let mut foretold = FlowField::default();
    // KITTI's flow leads to the next picture, ours to the one before: for it the vehicle went backwards.
    let back = EgoMotion { forward_m: -forward_m, turned_rad: -turned_rad };
    EgoFlow::new(&camera(pitch_rad)).expect("a camera").predict_into(back, (rows, cols), &mut foretold);
    let (top, left, right) = LANE;
    let mut errors = Vec::new();
    for (row, col) in (top / CELL..rows).flat_map(|row| (left / CELL..right / CELL).map(move |col| (row, col))) {
        let [true_x, true_y] = truth.at(row * CELL + 1, col * CELL + 1).map(f64::from);
        if true_x.is_finite() {
            let [x, y] = foretold.at(row, col).map(|step| f64::from(step) * CELL as f64);
            errors.push((x - true_x).hypot(y - true_y));
        }
    }
    errors
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The best of a start and what lies a step away from it along each axis, again and again with smaller steps.
fn fitted(truth: &FlowField, start: Motion) -> (Motion, f64) {
    let (mut best, mut error) = (start, median(errors_px(truth, start)));
    let mut steps = [0.2, 0.01, 0.01];
    while steps[0] > 1e-4 {
        let before = error;
        for axis in 0..3 {
            for sign in [-1.0, 1.0] {
                let mut near = best;
                near[axis] += sign * steps[axis];
                let there = median(errors_px(truth, near));
                if there < error {
                    (best, error) = (near, there);
                }
            }
        }
        if error >= before {
            steps = steps.map(|step| step / 2.0);
        }
    }
    (best, error)
}

#[test]
fn a_road_of_kitti_moves_as_some_motion_of_the_vehicle_foretells() {
    let Some(data) = shared_data("a_road_of_kitti_moves_as_some_motion_of_the_vehicle_foretells") else { return };
    let truth = FlowField::read(&data.join("kitti_flow_devkit").join("flow_gt.png")).expect("KITTI's own");
    let moved = median(errors_px(&truth, [0.0, 0.0, 0.0]));
    let ([forward_m, turned_rad, pitch_rad], error) = fitted(&truth, [1.0, 0.0, 0.0]);
    println!(
        "the lane moves by {moved:.1} pixels; {forward_m:.3} m ahead, {turned_rad:.4} rad to the left, a camera tilted by \
         {pitch_rad:.4} rad leave {error:.2} pixels of it"
    );
    assert!(error < 0.4 && error < moved / 40.0, "{error} pixels of {moved} are left");
    // At ten pictures a second: a car among parked ones, and a camera that is level but for the road and the springs.
    assert!((0.3..2.0).contains(&forward_m) && turned_rad.abs() < 0.02 && pitch_rad.abs() < 0.03);
}
