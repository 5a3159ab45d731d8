//! The motion of the vehicle that carries the camera: a kinematic bicycle that follows its lane.
//!
//! The drive is computed once, in steps of 10 ms; within a step the jerk and the rate of steering
//! are constant, so that the state is known at every nanosecond and not only at the steps.
//!
//! ```text
//! yaw rate = v tan(δ) / wheelbase      lateral acceleration = v · yaw rate   (at the rear axle)
//! ```

use super::chance::{Chance, noise2};
use super::config::{Scenario, Vehicle};
use super::road::{Place, Road};
use crate::data::{Reading, Stamp, VehicleState};

const STEP_S: f64 = 0.01;
const JERK_MPS3: f64 = 2.5;

/// The exact motion at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Motion {
    /// Rear axle, east, m.
    pub x_m: f64,
    /// Rear axle, north, m.
    pub y_m: f64,
    /// Heading, rad, from the x axis to the left.
    pub heading_rad: f64,
    /// Forward speed, m/s.
    pub speed_mps: f64,
    /// Forward acceleration, m/s².
    pub acceleration_mps2: f64,
    /// Angle of the front wheels, rad, left positive.
    pub wheel_angle_rad: f64,
    /// Rate of turn, rad/s, left positive.
    pub yaw_rate_radps: f64,
}

#[derive(Clone, Copy, Debug)]
struct Step {
    motion: Motion,
    jerk: f64,
    wheel_rate: f64,
}

/// A whole drive.
#[derive(Clone, Debug)]
pub(super) struct Drive {
    steps: Vec<Step>,
    start: Stamp,
    vehicle: Vehicle,
}

impl Drive {
    /// `seconds` of driving along `road`, beginning at `start`.
    pub(super) fn along(road: &Road, scenario: &Scenario, vehicle: Vehicle, (start, seconds): (Stamp, f64)) -> Self {
        let driver = Driver { road, scenario, vehicle, seed: Chance::new(road.seed(), &[5]).bits() as u32 };
        let count = (seconds / STEP_S).ceil() as usize + 1;
        let mut steps = Vec::with_capacity(count);
        let mut motion = driver.begin();
        for index in 0..count {
            let step = driver.step(motion, index as f64 * STEP_S);
            steps.push(step);
            motion = step.after(STEP_S, vehicle.wheelbase_m);
        }
        Self { steps, start, vehicle }
    }

    /// The motion at `stamp`, which is taken to the nearer end of the drive if it lies outside.
    pub(super) fn motion_at(&self, stamp: Stamp) -> Motion {
        let seconds = (stamp.signed_ns_since(self.start).max(0)) as f64 / 1e9;
        let index = ((seconds / STEP_S) as usize).min(self.steps.len() - 1);
        let within = (seconds - index as f64 * STEP_S).clamp(0.0, STEP_S);
        self.steps[index].after(within, self.vehicle.wheelbase_m)
    }

    /// What the vehicle's sensors measure at `stamp`.
    pub(super) fn state_at(&self, stamp: Stamp) -> VehicleState {
        let motion = self.motion_at(stamp);
        VehicleState {
            speed_mps: Some(Reading::valid(motion.speed_mps)),
            longitudinal_acceleration_mps2: Some(Reading::valid(motion.acceleration_mps2)),
            lateral_acceleration_mps2: Some(Reading::valid(motion.speed_mps * motion.yaw_rate_radps)),
            steering_wheel_angle_rad: Some(Reading::valid(motion.wheel_angle_rad * self.vehicle.steering_ratio)),
            yaw_rate_radps: Some(Reading::valid(motion.yaw_rate_radps)),
        }
    }
}

impl Step {
    /// The motion `within` seconds into this step; the midpoint rule for the path.
    fn after(&self, within: f64, wheelbase: f64) -> Motion {
        let Motion { x_m, y_m, heading_rad, speed_mps, acceleration_mps2, wheel_angle_rad, .. } = self.motion;
        let gained = acceleration_mps2 * within + 0.5 * self.jerk * within * within;
        let way =
            speed_mps * within + 0.5 * acceleration_mps2 * within * within + self.jerk * within * within * within / 6.0;
        let turned = way * libm::tan(wheel_angle_rad + 0.5 * self.wheel_rate * within) / wheelbase;
        let along = heading_rad + 0.5 * turned;
        let (speed, wheel) = ((speed_mps + gained).max(0.0), wheel_angle_rad + self.wheel_rate * within);
        Motion {
            x_m: x_m + way * libm::cos(along),
            y_m: y_m + way * libm::sin(along),
            heading_rad: heading_rad + turned,
            speed_mps: speed,
            acceleration_mps2: acceleration_mps2 + self.jerk * within,
            wheel_angle_rad: wheel,
            yaw_rate_radps: speed * libm::tan(wheel) / wheelbase,
        }
    }
}

struct Driver<'a> {
    road: &'a Road,
    scenario: &'a Scenario,
    vehicle: Vehicle,
    seed: u32,
}

impl Driver<'_> {
    /// In the middle of the lane, along the road, at speed.
    fn begin(&self) -> Motion {
        let lateral = self.lane(0.0);
        let (x_m, y_m, heading_rad) = self.road.world(Place { x: 0.0, lateral });
        let speed_mps = self.wanted_speed(0.0, 0.0);
        let wheel_angle_rad = libm::atan(self.road.curvature(0.0) * self.vehicle.wheelbase_m);
        Motion { x_m, y_m, heading_rad, speed_mps, wheel_angle_rad, ..Motion::default() }
    }

    fn step(&self, motion: Motion, seconds: f64) -> Step {
        let wheel_rate = self.wheel_rate(&motion);
        let wanted = self.wanted_speed(seconds, motion.x_m);
        if wanted == 0.0 && motion.speed_mps < 0.05 {
            let still = Motion { speed_mps: 0.0, acceleration_mps2: 0.0, yaw_rate_radps: 0.0, ..motion };
            return Step { motion: still, jerk: 0.0, wheel_rate: 0.0 };
        }
        let acceleration = ((wanted - motion.speed_mps) * 0.7).clamp(-2.8, 1.7);
        let softly = acceleration.max(-1.2 * motion.speed_mps);
        let jerk = ((softly - motion.acceleration_mps2) / 0.15).clamp(-JERK_MPS3, JERK_MPS3);
        let jerk = jerk.max((-motion.speed_mps / STEP_S - motion.acceleration_mps2) / STEP_S);
        Step { motion, jerk, wheel_rate }
    }

    /// Pure pursuit (Coulter, CMU-RI-TR-92-01) of a point of the lane, through a slow hand.
    fn wheel_rate(&self, motion: &Motion) -> f64 {
        let reach = 6.0 + 0.9 * motion.speed_mps;
        let x = motion.x_m + reach * libm::cos(motion.heading_rad);
        let (target_x, target_y, _) = self.road.world(Place { x, lateral: self.lane(x) });
        let aim = libm::atan2(target_y - motion.y_m, target_x - motion.x_m) - motion.heading_rad;
        let angle = libm::atan(2.0 * self.vehicle.wheelbase_m * libm::sin(aim) / reach);
        ((angle - motion.wheel_angle_rad) / 0.2).clamp(-0.4, 0.4)
    }

    /// Traffic keeps right and wanders a little in its lane.
    fn lane(&self, x: f64) -> f64 {
        -0.5 * self.road.lane_m + 0.35 * (f64::from(noise2(self.seed, x / 60.0, 0.5)) - 0.5)
    }

    /// Slower in curves, now and then a stop.
    fn wanted_speed(&self, seconds: f64, x: f64) -> f64 {
        let cycle = seconds / 36.0 + f64::from(self.seed % 97) / 97.0;
        if self.scenario.stops && cycle - cycle.floor() > 0.86 {
            return 0.0;
        }
        let mood = 0.7 + 0.6 * f64::from(noise2(self.seed ^ 7, seconds / 7.0, 0.5));
        let bend = self.road.curvature(x + 15.0).abs().max(1e-6);
        (self.scenario.speed_mps * mood).min((2.2 / bend).sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drive(seed: u64) -> (Road, Drive) {
        let scenario = Scenario::default();
        let road = Road::new(seed, &scenario, 1000.0);
        let drive = Drive::along(&road, &scenario, Vehicle::default(), (Stamp::ZERO, 60.0));
        (road, drive)
    }

    #[test]
    fn the_vehicle_keeps_its_lane_and_a_humane_style() {
        for seed in 0..8 {
            let (road, drive) = drive(seed);
            for tenth in 0..600 {
                let motion = drive.motion_at(Stamp::from_ns(tenth * 100_000_000));
                let off = road.lateral(motion.x_m, motion.y_m) + 0.5 * road.lane_m;
                assert!(off.abs() < 0.7, "seed {seed}, {tenth}: {off} m off");
                assert!(motion.acceleration_mps2.abs() < 4.0 && motion.speed_mps >= 0.0, "{motion:?}");
                assert!((motion.speed_mps * motion.yaw_rate_radps).abs() < 4.0, "{motion:?}");
            }
        }
    }

    #[test]
    fn the_state_changes_without_jumps_inside_and_between_steps() {
        let (_, drive) = drive(3);
        let mut earlier = drive.motion_at(Stamp::ZERO);
        for millisecond in 1..60_000 {
            let now = drive.motion_at(Stamp::from_ns(millisecond * 1_000_000));
            assert!((now.speed_mps - earlier.speed_mps).abs() < 0.06, "at {millisecond} ms");
            assert!((now.wheel_angle_rad - earlier.wheel_angle_rad).abs() < 0.001, "at {millisecond} ms");
            earlier = now;
        }
    }
}
