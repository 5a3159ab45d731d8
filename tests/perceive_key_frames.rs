//! Which frames become key frames, and what the others are told to be.

#[path = "support/luma_frames.rs"]
mod luma_frames;

use luma_frames::{SIZE, aligned, frame, perceiver};
use proptest::prelude::*;
use segfuse::data::{AlignedFrame, FrameId, Image, Origin, Perception, Size, Stamp};
use segfuse::engine::fake::{FakeEngine, Steps};
use segfuse::engine::{Engine, EngineError};
use segfuse::perceive::{Config, Perceive, Perceiver};

fn broken_jpeg(id: u64) -> AlignedFrame {
    aligned(id, Image::jpeg(SIZE, vec![0xff, 0xd8, 0xff, 0x00].into()).expect("bytes of whatever kind"))
}

fn perceive(perceiver: &mut Perceiver<FakeEngine>, frame: &AlignedFrame) -> Perception {
    perceiver.perceive(frame).expect("a frame that can be read")
}

fn propagated(from: u64, distance: u32) -> Origin {
    Origin::Propagated { from: FrameId(from), distance }
}

#[test]
fn every_third_frame_is_a_key_frame_and_the_others_carry_its_labels() {
    let mut perceiver = perceiver("every:3");
    let all: Vec<Perception> = (0..5).map(|id| perceive(&mut perceiver, &frame(id, SIZE))).collect();
    let origins: Vec<Origin> = all.iter().map(|perception| perception.origin).collect();
    assert_eq!(origins, [Origin::Key, propagated(0, 1), propagated(0, 2), Origin::Key, propagated(3, 1)]);
    let labels: Vec<u8> = all.iter().map(|perception| perception.mask.labels()[0]).collect();
    assert_eq!(labels, [0, 0, 0, 3, 3]);
    let steps = Steps { observed: 5, extracted: 2, begun: 0, blended: 1, flows: 4, compared: 1, decoded: 5 };
    assert_eq!(perceiver.engine().steps, steps);
}

#[test]
fn a_key_frame_is_blended_with_its_past_if_it_has_one_and_never_where_each_frame_stands_alone() {
    let blended = |schedule: &str, sizes: &[Size]| {
        let mut perceiver = perceiver(schedule);
        for (id, size) in (0..).zip(sizes) {
            perceive(&mut perceiver, &frame(id, *size));
        }
        let Steps { extracted, blended, flows, .. } = perceiver.engine().steps;
        (extracted, blended, flows)
    };
    assert_eq!(blended("every:2", &[SIZE; 5]), (3, 2, 4));
    assert_eq!(blended("every:1", &[SIZE; 5]), (5, 0, 0));
    let other = Size::new(12, 8);
    assert_eq!(blended("every:2", &[SIZE, SIZE, other, other, SIZE]), (3, 0, 2), "nothing is carried to another size");
}

#[test]
fn a_perception_carries_the_frames_id_stamp_and_size() {
    let mut perceiver = perceiver("every:1");
    let perception = perceive(&mut perceiver, &frame(7, Size::new(10, 3)));
    assert_eq!((perception.frame, perception.stamp), (FrameId(7), Stamp::from_ns(1_007)));
    assert_eq!(perception.mask.size(), Size::new(10, 3));
}

#[test]
fn age_counts_frames_since_the_key_frame_and_stops_at_255() {
    let mut perceiver = perceiver("every:1000");
    for id in 0..300 {
        let perception = perceive(&mut perceiver, &frame(id, SIZE));
        let age = perception.age.expect("every perception has an age");
        let expected = u8::try_from(id).unwrap_or(255);
        assert!(age.size() == SIZE && age.bytes().iter().all(|age| *age == expected), "frame {id}: {:?}", age.bytes());
        assert_eq!(perception.origin.distance(), id as u32);
    }
}

#[test]
fn confidence_is_the_engines() {
    let mut perceiver = perceiver("every:3");
    let confidences: Vec<u8> = (0..3)
        .map(|id| perceive(&mut perceiver, &frame(id, SIZE)).confidence.expect("the engine gives one").bytes()[0])
        .collect();
    assert_eq!(confidences, [255, 254, 253]);
}

#[test]
fn a_broken_frame_is_as_one_that_was_lost() {
    let mut perceiver = perceiver("every:4");
    perceive(&mut perceiver, &frame(0, SIZE));
    assert_eq!(perceive(&mut perceiver, &frame(1, SIZE)).origin, propagated(0, 1));
    let error = perceiver.perceive(&broken_jpeg(2)).expect_err("a broken JPEG");
    assert!(matches!(error, EngineError::Frame(_)), "{error}");
    assert_eq!(perceive(&mut perceiver, &frame(3, SIZE)).origin, propagated(0, 3));
    perceiver.perceive(&broken_jpeg(4)).expect_err("a broken JPEG");
    assert_eq!(perceive(&mut perceiver, &frame(5, SIZE)).origin, Origin::Key);
}

#[test]
fn after_a_failed_key_frame_the_next_one_is_tried_as_a_key_frame() {
    let mut engine = FakeEngine::default();
    engine.fail_next_extract = true;
    let mut perceiver = Perceiver::new(engine, Config::default());
    assert!(perceiver.perceive(&frame(0, SIZE)).is_err());
    assert_eq!(perceive(&mut perceiver, &frame(1, SIZE)).origin, Origin::Key);
}

#[test]
fn a_frame_of_another_size_is_a_key_frame() {
    let mut perceiver = perceiver("every:10");
    let (wide, tall) = (Size::new(8, 4), Size::new(4, 8));
    let origins: Vec<Origin> = [(0, wide), (1, wide), (2, tall), (3, tall), (4, wide)]
        .map(|(id, size)| perceive(&mut perceiver, &frame(id, size)).origin)
        .to_vec();
    assert_eq!(origins, [Origin::Key, propagated(0, 1), Origin::Key, propagated(2, 1), Origin::Key]);
}

#[test]
fn the_configuration_reads_a_schedule_and_refuses_unknown_keys() {
    let config: Config = toml::from_str("schedule = \"every:7\"").expect("a schedule");
    assert_eq!(config.schedule.to_string(), "every:7");
    let unknown = toml::from_str::<Config>("shedule = \"every:7\"").expect_err("an unknown key").to_string();
    assert!(unknown.contains("shedule"), "{unknown}");
    let wrong = toml::from_str::<Config>("schedule = \"every:0\"").expect_err("no such schedule").to_string();
    assert!(wrong.contains("every:5"), "{wrong}");
}

#[derive(Clone, Copy, Debug)]
enum Input {
    Small,
    Large,
    Broken,
}

proptest! {
    /// Whatever comes: no frame is further than K - 1 from its key frame, that key frame was answered as
    /// one, nothing of another size lies between, and the labels are the key frame's.
    #[test]
    fn no_sequence_of_frames_breaks_the_schedule(
        interval in 1_u32..6,
        inputs in prop::collection::vec(prop_oneof![8 => Just(Input::Small), 2 => Just(Input::Large), 1 => Just(Input::Broken)], 1..60),
    ) {
        let mut perceiver = perceiver(&format!("every:{interval}"));
        let mut last_key: Option<(u64, Size)> = None;
        for (id, input) in (0..).zip(inputs) {
            let frame = match input {
                Input::Small => frame(id, SIZE),
                Input::Large => frame(id, Size::new(12, 8)),
                Input::Broken => broken_jpeg(id),
            };
            let Ok(perception) = perceiver.perceive(&frame) else {
                prop_assert!(matches!(input, Input::Broken));
                continue;
            };
            let size = frame.frame.image.size();
            let expected = match last_key {
                Some((key, key_size)) if key_size == size && id - key < u64::from(interval) => propagated(key, (id - key) as u32),
                _ => Origin::Key,
            };
            prop_assert_eq!(perception.origin, expected);
            if expected == Origin::Key {
                last_key = Some((id, size));
            }
            let key = last_key.expect("set by the first frame read").0;
            prop_assert!(perception.mask.labels().iter().all(|label| u64::from(*label) == key % 8));
        }
    }
}

#[test]
fn the_fake_engine_says_what_it_is() {
    assert_eq!(FakeEngine::default().info().runtime, "fake");
}
