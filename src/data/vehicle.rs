//! What the vehicle says of its own motion, each quantity optional and each with its validity.
//!
//! Axes follow ISO 8855: x forward, y left, z up; turning left is positive.

use super::{SourceStamp, Stamp};

/// A quantity of [`VehicleState`]; names in documentation follow COVESA VSS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// Forward speed in m/s (`Vehicle.Speed`).
    Speed,
    /// Forward acceleration in m/s² (`Vehicle.Acceleration.Longitudinal`).
    LongitudinalAcceleration,
    /// Acceleration to the left in m/s² (`Vehicle.Acceleration.Lateral`).
    LateralAcceleration,
    /// Angle of the steering wheel in rad, left positive (`Vehicle.Chassis.SteeringWheel.Angle`).
    SteeringWheelAngle,
    /// Rate of turn in rad/s, left positive (`Vehicle.AngularVelocity.Yaw`).
    YawRate,
}

impl Quantity {
    /// Every quantity, in the order of [`VehicleState`]'s fields.
    pub const ALL: [Self; 5] = [
        Self::Speed,
        Self::LongitudinalAcceleration,
        Self::LateralAcceleration,
        Self::SteeringWheelAngle,
        Self::YawRate,
    ];

    /// The quantity's name in configuration, and with its unit as a column name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Speed => "speed",
            Self::LongitudinalAcceleration => "longitudinal_acceleration",
            Self::LateralAcceleration => "lateral_acceleration",
            Self::SteeringWheelAngle => "steering_wheel_angle",
            Self::YawRate => "yaw_rate",
        }
    }

    /// The SI unit that [`Reading::value`] is in.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Speed => "m/s",
            Self::LongitudinalAcceleration | Self::LateralAcceleration => "m/s^2",
            Self::SteeringWheelAngle => "rad",
            Self::YawRate => "rad/s",
        }
    }
}

/// Whether a value may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Validity {
    /// Measured, or interpolated between measurements, or extrapolated within the bound.
    Valid,
    /// The last value known; its sender has been silent for too long.
    Stale,
    /// The last value known; newer ones failed their counter, checksum or range.
    Faulty,
    /// The last value known; its messages come but their counter has stopped moving.
    Frozen,
}

/// One quantity's value with its validity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// In the unit that [`Quantity::unit`] names.
    pub value: f64,
    /// Whether the value may be used.
    pub validity: Validity,
}

impl Reading {
    /// A value that may be used.
    pub const fn valid(value: f64) -> Self {
        Self { value, validity: Validity::Valid }
    }

    /// The value, if it may be used.
    pub fn usable(self) -> Option<f64> {
        (self.validity == Validity::Valid).then_some(self.value)
    }
}

/// The vehicle's motion at one moment. `None`: never heard of.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct VehicleState {
    /// Forward speed, m/s.
    pub speed_mps: Option<Reading>,
    /// Forward acceleration, m/s².
    pub longitudinal_acceleration_mps2: Option<Reading>,
    /// Acceleration to the left, m/s².
    pub lateral_acceleration_mps2: Option<Reading>,
    /// Steering-wheel angle, rad, left positive.
    pub steering_wheel_angle_rad: Option<Reading>,
    /// Rate of turn, rad/s, left positive.
    pub yaw_rate_radps: Option<Reading>,
}

impl VehicleState {
    /// The reading of `quantity`.
    pub fn get(&self, quantity: Quantity) -> Option<Reading> {
        match quantity {
            Quantity::Speed => self.speed_mps,
            Quantity::LongitudinalAcceleration => self.longitudinal_acceleration_mps2,
            Quantity::LateralAcceleration => self.lateral_acceleration_mps2,
            Quantity::SteeringWheelAngle => self.steering_wheel_angle_rad,
            Quantity::YawRate => self.yaw_rate_radps,
        }
    }

    /// Replaces the reading of `quantity`.
    pub fn set(&mut self, quantity: Quantity, reading: Option<Reading>) {
        let place = match quantity {
            Quantity::Speed => &mut self.speed_mps,
            Quantity::LongitudinalAcceleration => &mut self.longitudinal_acceleration_mps2,
            Quantity::LateralAcceleration => &mut self.lateral_acceleration_mps2,
            Quantity::SteeringWheelAngle => &mut self.steering_wheel_angle_rad,
            Quantity::YawRate => &mut self.yaw_rate_radps,
        };
        *place = reading;
    }
}

/// A state as a source reported it: only the quantities that this one report carried are `Some`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StateSample {
    /// When it was measured, on the source's own clock.
    pub taken: SourceStamp,
    /// When it reached this program, on the monotonic timeline: pairs the two clocks.
    pub arrival: Stamp,
    /// The quantities reported.
    pub state: VehicleState,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_quantity_has_its_own_place() {
        let mut state = VehicleState::default();
        for (value, quantity) in (1..).zip(Quantity::ALL) {
            state.set(quantity, Some(Reading::valid(f64::from(value))));
        }
        let values: Vec<_> = Quantity::ALL.iter().filter_map(|&q| state.get(q)?.usable()).collect();
        assert_eq!(values, [1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(state.yaw_rate_radps, Some(Reading::valid(5.0)));
    }

    #[test]
    fn a_value_that_is_not_valid_cannot_be_used() {
        for validity in [Validity::Stale, Validity::Faulty, Validity::Frozen] {
            assert_eq!(Reading { value: 1.0, validity }.usable(), None, "{validity:?}");
        }
    }
}
