//! How the vehicle moved from frame to frame, as far as its speed and its yaw rate, or its steering wheel, tell.

use crate::data::{AlignedFrame, Quantity, Reading, Stamp};
use crate::flow::EgoMotion;
use serde::{Deserialize, Serialize};

/// The last value known stands for frames without one for this long: buses may be slower than cameras.
const HELD_NS: i64 = 1_000_000_000;
/// No front wheel is steered further, in rad.
const MOST_STEERED_RAD: f64 = 1.2;
/// After a longer pause between frames nobody knows what the vehicle did.
const LONGEST_PAUSE_NS: i64 = 1_000_000_000;

/// A vehicle with one wheel before another: how it turns when it is steered, slip left out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bicycle {
    /// From the rear axle to the front axle, in metres.
    pub wheelbase_m: f64,
    /// Turns of the steering wheel for one of the front wheels.
    pub steering_ratio: f64,
}

impl Bicycle {
    pub(super) fn check(self) -> Result<(), String> {
        for (key, value, most) in
            [("wheelbase_m", self.wheelbase_m, 20.0), ("steering_ratio", self.steering_ratio, 100.0)]
        {
            if !(value > 0.0 && value <= most) {
                return Err(format!("perceive.bicycle.{key} is {value}, must be above 0 and at most {most}"));
            }
        }
        Ok(())
    }

    /// Rate of turn in rad/s: v tan(δ) / wheelbase, δ the angle of the front wheel.
    fn yaw_rate_radps(self, speed_mps: f64, wheel_rad: f64) -> f64 {
        let front_rad = (wheel_rad / self.steering_ratio).clamp(-MOST_STEERED_RAD, MOST_STEERED_RAD);
        speed_mps * libm::tan(front_rad) / self.wheelbase_m
    }
}

/// What was known last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Driving {
    bicycle: Option<Bicycle>,
    yaw_rate_radps: Held,
    speed_mps: Held,
    wheel_rad: Held,
}

/// The last value of a quantity that was valid.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Held(Option<(Stamp, f64)>);

impl Held {
    fn note(&mut self, frame: &AlignedFrame, quantity: Quantity) {
        let value = frame.state.get(quantity).and_then(Reading::usable).filter(|value| value.is_finite());
        if let Some(value) = value {
            self.0 = Some((frame.frame.stamp, value));
        }
    }

    fn at(self, stamp: Stamp) -> Option<f64> {
        let held = self.0.filter(|(at, _)| stamp.signed_ns_since(*at) <= HELD_NS);
        held.map(|(_, value)| value)
    }
}

impl Driving {
    /// Nothing is known yet.
    pub(super) fn new(bicycle: Option<Bicycle>) -> Self {
        let (yaw_rate_radps, speed_mps, wheel_rad) = Default::default();
        Self { bicycle, yaw_rate_radps, speed_mps, wheel_rad }
    }

    /// Remembers what the state of `frame` says.
    pub(super) fn note(&mut self, frame: &AlignedFrame) {
        self.yaw_rate_radps.note(frame, Quantity::YawRate);
        self.speed_mps.note(frame, Quantity::Speed);
        self.wheel_rad.note(frame, Quantity::SteeringWheelAngle);
    }

    /// The yaw rate that the bus has, else what the steering wheel makes of the speed.
    fn yaw_rate(self, stamp: Stamp) -> Option<f64> {
        let steered = || Some(self.bicycle?.yaw_rate_radps(self.speed_mps.at(stamp)?, self.wheel_rad.at(stamp)?));
        self.yaw_rate_radps.at(stamp).or_else(steered)
    }

    /// The turn from the frame at `earlier` to the one at `stamp`, in rad, left positive; 0 where no rate is known, infinite
    /// after a long pause.
    pub(super) fn turned(self, earlier: Stamp, stamp: Stamp) -> f64 {
        let pause = stamp.signed_ns_since(earlier).max(0);
        if pause > LONGEST_PAUSE_NS {
            return f64::INFINITY;
        }
        self.yaw_rate(stamp).map_or(0.0, |rate_radps| rate_radps * pause as f64 / 1e9)
    }

    /// The vehicle's motion from the frame at `earlier` to the one at `stamp`; nothing where speed or yaw rate are not known.
    pub(super) fn moved(self, earlier: Stamp, stamp: Stamp) -> Option<EgoMotion> {
        let pause = stamp.signed_ns_since(earlier).max(0);
        let seconds = pause as f64 / 1e9;
        let (speed, rate) = (self.speed_mps.at(stamp)?, self.yaw_rate(stamp)?);
        let motion = EgoMotion { forward_m: speed * seconds, turned_rad: rate * seconds };
        (pause <= LONGEST_PAUSE_NS).then_some(motion)
    }
}
