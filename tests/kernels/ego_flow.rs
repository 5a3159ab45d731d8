use super::host::{Case, driver};
use super::numbers::tiles;
use segfuse::data::Calibration;
use segfuse::flow::{EgoFlow, EgoMotion, FlowField};

fn calibration(distortion: &[f64]) -> Calibration {
    Calibration {
        width_px: 1280,
        height_px: 720,
        fx_px: 1000.0,
        fy_px: 990.0,
        cx_px: 633.0,
        cy_px: 365.0,
        distortion: distortion.to_vec(),
        position_m: [1.7, 0.1, 1.4],
        yaw_rad: 0.02,
        pitch_rad: 0.05,
        roll_rad: -0.01,
    }
}

/// The kernel's `Camera`: the twin's axes, worked out as its documentation says.
fn camera(camera: &Calibration) -> Vec<f64> {
    let (yaw, pitch, roll) = (camera.yaw_rad.sin_cos(), camera.pitch_rad.sin_cos(), camera.roll_rad.sin_cos());
    let forward = [yaw.1 * pitch.1, yaw.0 * pitch.1, -pitch.0];
    let right = [yaw.0, -yaw.1, 0.0];
    let down = [
        forward[1] * right[2] - forward[2] * right[1],
        forward[2] * right[0] - forward[0] * right[2],
        forward[0] * right[1] - forward[1] * right[0],
    ];
    let rolled_right = [0, 1, 2].map(|axis| right[axis] * roll.1 + down[axis] * roll.0);
    let rolled_down = [0, 1, 2].map(|axis| down[axis] * roll.1 - right[axis] * roll.0);
    let lens = [0, 1, 2, 3, 4].map(|which| camera.distortion.get(which).copied().unwrap_or(0.0));
    let Calibration { fx_px, fy_px, cx_px, cy_px, .. } = *camera;
    let picture = [fx_px, fy_px, cx_px, cy_px, f64::from(camera.width_px), f64::from(camera.height_px)];
    [&picture[..], &rolled_right, &rolled_down, &forward, &camera.position_m, &lens].concat()
}

/// The kernel's `Motion`: an arc.
fn motion(EgoMotion { forward_m, turned_rad }: EgoMotion) -> Vec<f64> {
    let (sin, cos) = turned_rad.sin_cos();
    let (ahead, left) =
        if turned_rad.abs() < 1e-6 { (1.0, 0.5 * turned_rad) } else { (sin / turned_rad, (1.0 - cos) / turned_rad) };
    vec![cos, -sin, 0.0, sin, cos, 0.0, 0.0, 0.0, 1.0, forward_m * ahead, forward_m * left, 0.0]
}

/// Within 1e-5 cells: the order of a few sums of f64 is the algebra library's in the twin.
#[test]
fn the_vehicle_s_motion_foretells_what_the_twin_foretells() {
    let Some(driver) = driver("ego_flow") else { return };
    let mut largest = 0.0_f32;
    for distortion in [&[][..], &[-0.3, 0.1, 0.001, -0.0005, 0.01]] {
        for (forward_m, turned_rad) in [(0.0, 0.0), (1.2, 0.0), (1.5, 0.03), (-0.4, -0.2), (3.0, 2.0), (f64::NAN, 0.1)]
        {
            let (calibration, moved) = (calibration(distortion), EgoMotion { forward_m, turned_rad });
            for [rows, cols] in [[48, 80], [45, 80], [3, 7], [1, 1]] {
                let case = Case::new("ego_flow", [tiles(rows * cols, 128), 1, 1], [128, 1, 1]);
                let case = case.doubles(&camera(&calibration)).doubles(&motion(moved));
                let found = driver.run(&case.output(8 * rows * cols).int(rows).int(cols)).floats();
                let mut expected = FlowField::default();
                let mut twin = EgoFlow::new(&calibration).expect("a camera");
                twin.predict_into(moved, (rows, cols), &mut expected);
                for (found, expected) in found.iter().zip(&expected.values) {
                    assert!((found - expected).abs() <= 1e-5, "{moved:?} {distortion:?}: {found}, expected {expected}");
                    largest = largest.max(found.abs());
                }
            }
        }
    }
    assert!(largest > 1.0, "nothing moved: {largest}");
}
