//! What flow is told of the vehicle's motion: from speed and yaw rate, or the steering wheel, or nothing.

use segfuse::data::{
    AlignedFrame, Frame, FrameId, Image, PixelFormat, Quantity, Reading, Size, Stamp, Validity, VehicleState,
};
use segfuse::engine::fake::FakeEngine;
use segfuse::flow::EgoMotion;
use segfuse::perceive::{Bicycle, Config, Perceive, Perceiver};

const SIZE: Size = Size::new(6, 4);
const BICYCLE: Bicycle = Bicycle { wheelbase_m: 2.5, steering_ratio: 16.0 };

/// A frame at so many milliseconds whose state holds `known`.
fn frame(ms: i64, known: &[(Quantity, Reading)]) -> AlignedFrame {
    let image = Image::packed(PixelFormat::Grey, SIZE, vec![0; SIZE.pixels()].into()).expect("one byte a pixel");
    let stamp = Stamp::from_ns(1_000_000_000_000 + ms as u64 * 1_000_000);
    let mut state = VehicleState::default();
    for (quantity, reading) in known {
        state.set(*quantity, Some(*reading));
    }
    AlignedFrame { frame: Frame { id: FrameId(ms as u64), sequence: None, stamp, arrival: stamp, image }, state }
}

/// What the flow of the last of `frames` was told.
fn told(config: Config, frames: &[AlignedFrame]) -> Option<EgoMotion> {
    let schedule = "every:1000000".parse().expect("a schedule");
    let mut perceiver = Perceiver::new(FakeEngine::default(), Config { schedule, ..config });
    for frame in frames {
        perceiver.perceive(frame).expect("a frame that can be read");
    }
    perceiver.engine().motion
}

fn near(found: Option<EgoMotion>, forward_m: f64, turned_rad: f64) -> bool {
    found.is_some_and(|motion| {
        (motion.forward_m - forward_m).abs() < 1e-9 && (motion.turned_rad - turned_rad).abs() < 1e-9
    })
}

#[test]
fn speed_and_yaw_rate_over_the_time_between_two_frames() {
    let state = [(Quantity::Speed, Reading::valid(12.0)), (Quantity::YawRate, Reading::valid(-0.3))];
    let found = told(Config::default(), &[frame(0, &state), frame(100, &state)]);
    assert!(near(found, 1.2, -0.03), "{found:?}");
    let off = Config { ego_motion: false, ..Config::default() };
    assert_eq!(told(off, &[frame(0, &state), frame(100, &state)]), None);
}

#[test]
fn without_a_yaw_rate_the_steering_wheel_turns_the_vehicle_if_it_is_known_how() {
    let state = [(Quantity::Speed, Reading::valid(10.0)), (Quantity::SteeringWheelAngle, Reading::valid(1.6))];
    let frames = [frame(0, &state), frame(100, &state)];
    assert_eq!(told(Config::default(), &frames), None);
    let found = told(Config { bicycle: Some(BICYCLE), ..Config::default() }, &frames);
    assert!(near(found, 1.0, 10.0 * 0.1_f64.tan() / 2.5 * 0.1), "{found:?}");
    let both = [&state[..], &[(Quantity::YawRate, Reading::valid(0.5))]].concat();
    let found = told(Config { bicycle: Some(BICYCLE), ..Config::default() }, &[frame(0, &both), frame(100, &both)]);
    assert!(near(found, 1.0, 0.05), "a yaw rate that is measured comes first: {found:?}");
}

#[test]
fn what_is_stale_broken_or_long_ago_tells_nothing() {
    let moving = |yaw: Reading| [(Quantity::Speed, Reading::valid(10.0)), (Quantity::YawRate, yaw)];
    for wrong in [Reading { value: 0.1, validity: Validity::Stale }, Reading::valid(f64::NAN)] {
        assert_eq!(told(Config::default(), &[frame(0, &moving(wrong)), frame(100, &moving(wrong))]), None);
    }
    let right = moving(Reading::valid(0.1));
    let held = told(Config::default(), &[frame(0, &right), frame(500, &[])]);
    assert!(near(held, 5.0, 0.05), "buses may be slower than cameras: {held:?}");
    assert_eq!(told(Config::default(), &[frame(0, &right), frame(600, &[]), frame(1_200, &[])]), None);
    assert_eq!(told(Config::default(), &[frame(0, &right), frame(1_100, &right)]), None, "after a pause");
}

#[test]
fn a_vehicle_that_no_road_has_is_refused_by_its_key() {
    for (text, key) in [
        ("[bicycle]\nwheelbase_m = 0.0\nsteering_ratio = 15.0", "perceive.bicycle.wheelbase_m is 0"),
        ("[bicycle]\nwheelbase_m = 2.7\nsteering_ratio = nan", "perceive.bicycle.steering_ratio is NaN"),
    ] {
        let config: Config = toml::from_str(text).expect("TOML");
        let error = config.check().expect_err(key);
        assert!(error.contains(key), "{error}");
    }
}
