//! With an overlapped schedule the network runs beside the frames that follow, and serves from a fixed frame on.

#[path = "support/luma_frames.rs"]
mod luma_frames;

use luma_frames::{SIZE, frame, perceiver, with};
use proptest::prelude::*;
use segfuse::data::{FrameId, Perception, Size};
use segfuse::engine::EngineError;
use segfuse::engine::fake::FakeEngine;
use segfuse::perceive::{Lateness, Perceive, Perceiver};

/// The key frame and the distance of each frame's mask; its labels must be that key frame's, carried as far.
fn answered(perceiver: &mut Perceiver<FakeEngine>, ids: impl IntoIterator<Item = u64>) -> Vec<(u64, u32)> {
    ids.into_iter().map(|id| told(&perceiver.perceive(&frame(id, SIZE)).expect("a frame that can be read"))).collect()
}

fn told(perception: &Perception) -> (u64, u32) {
    let key = perception.origin.key_of(perception.frame).0;
    assert_eq!(u64::from(perception.mask.labels()[0]), key % 8, "labels are those of the key frame that is named");
    let distance = perception.origin.distance();
    let steps = 255 - perception.confidence.as_ref().expect("the engine gives one").bytes()[0];
    assert!(u32::from(steps) <= distance, "{steps} steps over {distance} frames");
    (key, distance)
}

#[test]
fn a_key_frame_serves_from_exactly_the_delay_on() {
    let mut perceiver = perceiver("overlapped:3:2");
    let found = answered(&mut perceiver, 0..9);
    assert_eq!(found, [(0, 0), (0, 1), (0, 2), (0, 3), (0, 4), (3, 2), (3, 3), (3, 4), (6, 2)]);
    let steps = perceiver.engine().steps;
    assert_eq!((steps.extracted, steps.begun, steps.compared, steps.blended), (3, 2, 2, 2));
    assert_eq!((steps.flows, steps.decoded), (8, 9));
    let confidence = perceiver.perceive(&frame(9, SIZE)).expect("a frame").confidence.expect("the engine gives one");
    assert_eq!(255 - confidence.bytes()[0], 3, "the flow back to frame 6 is one of three steps");
}

#[test]
fn a_delay_as_long_as_the_interval_and_one_of_a_single_frame_serve_as_well() {
    let found = answered(&mut perceiver("overlapped:2:2"), 0..7);
    assert_eq!(found, [(0, 0), (0, 1), (0, 2), (0, 3), (2, 2), (2, 3), (4, 2)]);
    let found = answered(&mut perceiver("overlapped:1"), 0..4);
    assert_eq!(found, [(0, 0), (0, 1), (1, 1), (2, 1)]);
}

#[test]
fn lost_frames_count_in_interval_and_delay() {
    // 3 is not there, so 4 is the key frame; 6, when it would serve, is not there either.
    let found = answered(&mut perceiver("overlapped:3:2"), [0, 1, 2, 4, 5, 7, 8]);
    assert_eq!(found, [(0, 0), (0, 1), (0, 2), (0, 4), (0, 5), (4, 3), (4, 4)]);
}

#[test]
fn a_network_that_fails_is_told_when_its_answer_is_due_and_the_next_frame_begins_anew() {
    let mut engine = FakeEngine::default();
    engine.fail_next_begun = true;
    let mut perceiver = with(engine, "overlapped:2:1");
    assert_eq!(answered(&mut perceiver, 0..3), [(0, 0), (0, 1), (0, 2)]);
    let error = perceiver.perceive(&frame(3, SIZE)).expect_err("what began at frame 2");
    assert!(matches!(error, EngineError::Failed { .. }), "{error}");
    assert_eq!(answered(&mut perceiver, 4..6), [(4, 0), (4, 1)]);
    assert_eq!(perceiver.engine().steps.blended, 0, "after a failure nothing is known any more");
}

#[test]
fn a_frame_of_another_size_forgets_what_is_under_way() {
    let mut perceiver = perceiver("overlapped:2:2");
    answered(&mut perceiver, 0..3);
    let other = Size::new(12, 8);
    let found: Vec<_> = (3..6).map(|id| told(&perceiver.perceive(&frame(id, other)).expect("a frame"))).collect();
    assert_eq!(found, [(3, 0), (3, 1), (3, 2)]);
}

/// An engine whose network is through only so many frames after the one on which it began.
fn slow(run_takes: u64) -> FakeEngine {
    let mut engine = FakeEngine::default();
    engine.run_takes = run_takes;
    engine
}

#[test]
fn a_vehicle_goes_on_from_the_key_frame_before_until_the_network_is_through() {
    let mut perceiver = with(slow(3), "overlapped:3:2").with_lateness(Lateness::Allowed);
    let all: Vec<_> = (0..10).map(|id| perceiver.perceive(&frame(id, SIZE)).expect("a frame")).collect();
    let found: Vec<_> = all.iter().map(told).collect();
    // Due on 5, there on 7; by then 3 frames have gone by and the next one begins at once.
    let expected = [(0, 0), (0, 1), (0, 2), (0, 3), (0, 4), (0, 5), (0, 6), (3, 4), (3, 5), (3, 6)];
    assert_eq!(found, expected);
    let late: Vec<_> = all.iter().map(|perception| perception.late.map(|key| key.0)).collect();
    assert_eq!(late, [None, None, None, None, None, Some(3), Some(3), None, None, Some(7)]);
}

#[test]
fn what_was_late_once_is_late_again_however_fast_the_network_is_and_nothing_else_is() {
    let recorded = [(5, 3), (6, 3), (9, 7), (2, 1)].map(|(frame, key)| (FrameId(frame), FrameId(key)));
    let lateness = Lateness::Repeated(recorded.into_iter().collect());
    let mut perceiver = with(slow(50), "overlapped:3:2").with_lateness(lateness);
    let found = answered(&mut perceiver, 0..11);
    let expected = [(0, 0), (0, 1), (0, 2), (0, 3), (0, 4), (0, 5), (0, 6), (3, 4), (3, 5), (3, 6), (7, 3)];
    assert_eq!(found, expected);
}

#[test]
fn a_network_that_is_never_through_keeps_no_frame_waiting() {
    let mut perceiver = with(slow(u64::MAX / 2), "overlapped:2").with_lateness(Lateness::Allowed);
    let found = answered(&mut perceiver, 0..40);
    assert!(found.iter().all(|(key, _)| *key == 0), "{found:?}");
    assert_eq!(perceiver.engine().steps.begun, 1, "one run at a time");
}

proptest! {
    #[test]
    fn a_run_that_is_repeated_from_what_was_late_has_the_same_masks(
        interval in 1_u32..6, delay in 0_u32..5, run_takes in 0_u64..9, lost in proptest::collection::vec(0_u64..40, 0..6)
    ) {
        let schedule = format!("overlapped:{interval}:{}", delay.min(interval - 1) + 1);
        let run = |lateness| {
            let mut perceiver = with(slow(run_takes), &schedule).with_lateness(lateness);
            let ids = (0..40).filter(|id| !lost.contains(id));
            ids.map(|id| perceiver.perceive(&frame(id, SIZE)).expect("a frame")).collect::<Vec<_>>()
        };
        let first = run(Lateness::Allowed);
        let late = first.iter().filter_map(|answer| answer.late.map(|key| (answer.frame, key))).collect();
        prop_assert_eq!(run(Lateness::Repeated(late)), first);
    }

    #[test]
    fn each_mask_is_of_the_newest_key_frame_that_is_far_enough_behind(interval in 1_u32..7, late in 0_u32..6) {
        let delay = late.min(interval - 1) + 1;
        let found = answered(&mut perceiver(&format!("overlapped:{interval}:{delay}")), 0..60);
        for (id, (key, distance)) in (0_u64..).zip(found) {
            let newest = id.saturating_sub(u64::from(delay)) / u64::from(interval) * u64::from(interval);
            prop_assert_eq!((key, u64::from(distance)), (newest, id - newest));
        }
    }
}
