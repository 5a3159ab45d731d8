//! Key frames where the picture says that they are needed: not before, not later, and the same in every run.

use segfuse::data::{
    AlignedFrame, Disagreement, Frame, FrameId, Image, Origin, Perception, PixelFormat, Reading, Size, Stamp, Validity,
    VehicleState,
};
use segfuse::engine::fake::FakeEngine;
use segfuse::perceive::{Config, Perceive, Perceiver};

const SIZE: Size = Size::new(16, 16);
const FRAME_NS: u64 = 100_000_000;

/// Perceives frames all of whose pixels have the value given, ten a second, while the vehicle turns at `yaw_rate`.
fn drive(schedule: &str, values: &[u8], yaw_rate: Option<Reading>) -> Vec<Perception> {
    perceive(schedule, (0..).zip(values).map(|(id, value)| grey(id, *value, yaw_rate)))
}

fn perceive(schedule: &str, frames: impl IntoIterator<Item = AlignedFrame>) -> Vec<Perception> {
    let config = Config { schedule: schedule.parse().expect("a schedule"), ..Config::default() };
    let mut perceiver = Perceiver::new(FakeEngine::default(), config);
    frames.into_iter().map(|frame| perceiver.perceive(&frame).expect("a frame that can be read")).collect()
}

/// Frame `id` of ten a second.
fn grey(id: u64, value: u8, yaw_rate: Option<Reading>) -> AlignedFrame {
    grey_at(id, id * FRAME_NS, value, yaw_rate)
}

fn grey_at(id: u64, ns: u64, value: u8, yaw_rate_radps: Option<Reading>) -> AlignedFrame {
    let image = Image::packed(PixelFormat::Grey, SIZE, vec![value; SIZE.pixels()].into()).expect("one byte a pixel");
    let stamp = Stamp::from_ns(ns);
    let frame = Frame { id: FrameId(id), sequence: None, stamp, arrival: stamp, image };
    AlignedFrame { frame, state: VehicleState { yaw_rate_radps, ..VehicleState::default() } }
}

/// The numbers of the key frames.
fn keys(perceptions: &[Perception]) -> Vec<u64> {
    perceptions.iter().filter(|found| found.origin == Origin::Key).map(|found| found.frame.0).collect()
}

fn expected(perception: &Perception) -> Disagreement {
    perception.disagreement.expect("an adaptive schedule says what it goes by")
}

#[test]
fn a_still_picture_has_a_key_frame_only_when_it_has_been_long() {
    assert_eq!(keys(&drive("adaptive:5%", &[7; 70], None)), [0, 30, 60]);
    assert_eq!(keys(&drive("adaptive:0.01%:4", &[7; 10], None)), [0, 4, 8]);
    assert_eq!(keys(&drive("adaptive:5%:1", &[7; 3], None)), [0, 1, 2]);
}

#[test]
fn a_picture_that_changes_has_a_key_frame_at_once() {
    let mut values = [40; 12];
    values[5..].fill(90);
    let found = drive("adaptive:5%", &values, None);
    assert_eq!(keys(&found), [0, 5]);
    // 50 of 255 grey levels; at first 2.25 labels are expected to differ for each part that the picture does.
    let Disagreement { residual, expected, measured } = expected(&found[5]);
    assert!(
        (residual - 50.0 / 255.0).abs() < 1e-6 && (expected - 2.25 * residual).abs() < 1e-6,
        "{residual}, {expected}"
    );
    assert_eq!(measured, Some(1.0), "90 and 40 are of two classes");
}

#[test]
fn what_is_expected_says_when() {
    // Two grey levels brighter with each frame.
    let values: Vec<u8> = (0..40).map(|frame| 2 * frame).collect();
    for perception in &drive("adaptive:30%", &values, None)[1..] {
        let found = expected(perception);
        assert_eq!(found.expected > 0.3, perception.origin == Origin::Key, "{perception:?}");
        assert_eq!(found.measured.is_some(), perception.origin == Origin::Key);
        assert!((0.0..=1.0).contains(&found.expected));
    }
}

#[test]
fn changes_that_change_no_label_soon_need_no_key_frame() {
    // Eight grey levels more are another picture of the same class.
    let harmless: Vec<u8> = (0..24).map(|frame| 8 * frame).collect();
    let found = keys(&drive("adaptive:10%", &harmless, None));
    let gaps: Vec<u64> = found.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.is_sorted() && gaps[0] == 2 && gaps[gaps.len() - 1] >= 4, "{found:?}");
}

#[test]
fn changes_that_change_every_label_soon_need_one_at_each_frame() {
    let values: Vec<u8> = (0..24).map(|frame| 3 * frame).collect();
    let found = keys(&drive("adaptive:10%", &values, None));
    assert_eq!(found[1], 4, "at first 2.25 times 9 of 255 is not enough, and 12 are: {found:?}");
    assert_eq!(found[found.len() - 5..], [19, 20, 21, 22, 23], "{found:?}");
}

#[test]
fn a_vehicle_that_turns_away_has_a_key_frame_though_the_picture_shows_nothing() {
    let dark = [0; 9];
    for turning in [1.0, -1.0] {
        assert_eq!(keys(&drive("adaptive:5%", &dark, Some(Reading::valid(turning)))), [0, 3, 6], "{turning} rad/s");
    }
    for validity in [Validity::Stale, Validity::Faulty, Validity::Frozen] {
        let unknown = Reading { value: 1.0, validity };
        assert_eq!(keys(&drive("adaptive:5%", &dark, Some(unknown))), [0], "{validity:?}");
    }
    assert_eq!(keys(&drive("adaptive:5%", &dark, Some(Reading::valid(f64::NAN)))), [0]);
    assert_eq!(keys(&drive("every:5", &dark, Some(Reading::valid(1.0)))), [0, 5], "every:K counts frames alone");
}

#[test]
fn a_bus_slower_than_the_camera_tells_of_turns_in_time() {
    // The vehicle turns at 1 rad/s; every fourth frame only knows it, as with a bus of 2.5 Hz.
    let rate = |id: u64| match id % 4 {
        0 => Reading::valid(1.0),
        _ => Reading { value: 1.0, validity: Validity::Stale },
    };
    let frames = (0..9).map(|id| grey(id, 0, Some(rate(id))));
    assert_eq!(keys(&perceive("adaptive:5%", frames)), [0, 3, 6]);
    // A bus that has been silent for more than a second tells nothing any more.
    let silent = (0..20).map(|id| grey(id, 0, Some(if id == 0 { rate(0) } else { rate(1) })));
    assert_eq!(keys(&perceive("adaptive:5%", silent)), [0, 3, 6, 9]);
}

#[test]
fn a_slow_camera_does_not_forget_half_of_a_turn_and_a_long_pause_is_no_carrying() {
    let every_second = |yaw| (0..5_u64).map(move |id| grey_at(id, id * 1_000_000_000, 0, yaw));
    assert_eq!(keys(&perceive("adaptive:5%", every_second(Some(Reading::valid(0.26))))), [0, 1, 2, 3, 4]);
    assert_eq!(keys(&perceive("adaptive:5%", every_second(Some(Reading::valid(0.13))))), [0, 2, 4]);
    let paused = [0, 1, 2, 25, 26].map(|tenth| grey_at(tenth, tenth * FRAME_NS, 0, None));
    assert_eq!(keys(&perceive("adaptive:5%:1000", paused)), [0, 25]);
}

#[test]
fn frames_that_were_lost_count() {
    let with_gap = || [0, 1, 2, 6, 7, 8, 9].map(|id| grey(id, 0, None));
    for (schedule, expected) in [("every:5", vec![0, 6]), ("adaptive:5%:5", vec![0, 6]), ("every:8", vec![0, 8])] {
        let found = perceive(schedule, with_gap());
        assert_eq!(keys(&found), expected, "{schedule}");
        for perception in &found {
            if let Origin::Propagated { from, distance } = perception.origin {
                assert_eq!(perception.frame.0 - from.0, u64::from(distance), "{schedule}");
                let age = perception.age.as_ref().expect("every perception has an age");
                assert_eq!(u32::from(age.bytes()[0]), distance);
            }
        }
    }
}

#[test]
fn fixed_schedules_measure_nothing() {
    for schedule in ["every:1", "every:3"] {
        assert!(drive(schedule, &[1, 2, 3, 4, 5], None).iter().all(|found| found.disagreement.is_none()));
    }
    assert_eq!(drive("adaptive:5%", &[1], None)[0].disagreement, None, "nothing was carried to the first frame");
}
