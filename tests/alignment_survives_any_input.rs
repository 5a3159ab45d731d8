//! Out-of-order, duplicate, missing, invalid and senseless events: no panic, no frame lost without a
//! count, no valid value that is wrong.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use proptest::prelude::*;
use segfuse::align::{Aligner, Config, Counts};
use segfuse::data::{
    Event, Frame, FrameId, Image, PixelFormat, Reading, Size, SourceStamp, Stamp, StateSample, Validity, VehicleState,
};

const MS: u64 = 1_000_000;

fn frame(stamp_ms: u64, arrival_ms: u64) -> Event {
    let image = Image::packed(PixelFormat::Grey, Size::new(1, 1), vec![0].into()).unwrap();
    let [stamp, arrival] = [stamp_ms, arrival_ms].map(|ms| Stamp::from_ns(ms.saturating_mul(MS)));
    Event::Frame(Frame { id: FrameId(stamp_ms), sequence: None, stamp, arrival, image })
}

/// A speed that is the time itself, in seconds.
fn state(stamp_ms: u64, arrival_ms: u64, validity: Validity) -> Event {
    let taken = SourceStamp::monotonic(Stamp::from_ns(stamp_ms * MS));
    let value = stamp_ms as f64 / 1e3;
    let state = VehicleState { speed_mps: Some(Reading { value, validity }), ..VehicleState::default() };
    Event::State(StateSample { taken, arrival: Stamp::from_ns(arrival_ms * MS), state })
}

fn run(config: Config, events: &[Event]) -> (Vec<(u64, Option<Reading>)>, Counts) {
    let mut aligner = Aligner::new(config);
    let mut popped = Vec::new();
    let mut pop = |aligner: &mut Aligner| {
        while let Some(frame) = aligner.pop() {
            popped.push((frame.frame.stamp.ns() / MS, frame.state.speed_mps));
        }
    };
    for event in events {
        aligner.push(event);
        pop(&mut aligner);
        let counts = aligner.counts();
        assert_eq!(counts.captured, counts.aligned + counts.dropped + counts.waiting);
    }
    aligner.finish();
    pop(&mut aligner);
    (popped, aligner.counts())
}

#[test]
fn a_frame_waits_for_a_sample_after_it_and_no_longer_than_it_may() {
    use Validity::Valid;
    let before = [state(90, 90, Valid), state(100, 100, Valid), frame(105, 106)];
    let mut aligner = Aligner::new(Config::default());
    for event in &before {
        aligner.push(event);
    }
    assert!(aligner.pop().is_none());
    aligner.push(&state(110, 110, Valid));
    let speed = aligner.pop().unwrap().state.speed_mps.unwrap();
    assert!((speed.usable().unwrap() - 0.105).abs() < 1e-12, "{speed:?}");

    aligner.push(&frame(120, 121));
    aligner.push(&Event::Tick(Stamp::from_ns(139 * MS)));
    assert!(aligner.pop().is_none());
    aligner.push(&Event::Tick(Stamp::from_ns(140 * MS)));
    assert_eq!(aligner.pop().unwrap().state.speed_mps, Some(Reading::valid(0.11)));

    let at_once = Config { max_wait_ms: 0, ..Config::default() };
    let (answers, _) = run(at_once, &before);
    assert_eq!(answers, [(105, Some(Reading::valid(0.1)))]);
}

#[test]
fn a_newer_frame_releases_the_one_that_waits_and_only_frames_not_popped_are_dropped() {
    let events = [state(0, 0, Validity::Valid), frame(1, 1), frame(2, 2), frame(3, 3), frame(4, 4)];
    let (answers, counts) = run(Config::default(), &events);
    assert_eq!(answers.iter().map(|frame| frame.0).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!((counts.captured, counts.aligned, counts.dropped), (4, 4, 0));

    let mut aligner = Aligner::new(Config::default());
    for event in &events {
        aligner.push(event);
    }
    let counts = aligner.counts();
    assert_eq!((counts.captured, counts.dropped, counts.waiting), (4, 1, 3));
    assert_eq!(aligner.pop().unwrap().frame.id, FrameId(2));
}

#[test]
fn frames_whose_stamp_does_not_grow_or_lies_in_the_future_are_refused_and_counted() {
    let events = [frame(10, 10), frame(10, 12), frame(9, 13), frame(1 << 40, 14), frame(u64::MAX, 15), frame(20, 20)];
    let (aligned, counts) = run(Config::default(), &events);
    assert_eq!(aligned, [(10, None), (20, None)]);
    assert_eq!((counts.duplicate_frames, counts.backward_frames, counts.implausible_frames), (1, 1, 2));
}

#[test]
fn a_silent_bus_turns_stale_and_a_frozen_one_stays_what_its_decoder_says() {
    use Validity::{Frozen, Valid};
    let mut events: Vec<Event> = (0..10).map(|tick| state(tick * 10, tick * 10, Valid)).collect();
    events.extend([frame(140, 141), frame(141, 142), state(145, 145, Frozen), frame(146, 147)]);
    events.extend([state(150, 150, Frozen), frame(155, 156), state(160, 160, Valid), frame(160, 161)]);
    let (aligned, _) = run(Config::default(), &events);
    let reading = |value, validity| Some(Reading { value, validity });
    assert_eq!(
        aligned,
        [
            (140, reading(0.09, Valid)),
            (141, reading(0.09, Validity::Stale)),
            (146, reading(0.145, Frozen)),
            (155, reading(0.15, Frozen)),
            (160, reading(0.16, Valid)),
        ]
    );
}

/// A speed that is the time itself, stamped by a Unix clock that is `ahead_ms` ahead.
fn unix_state(ms: i64, ahead_ms: i64) -> Event {
    let Event::State(sample) = state(ms as u64, ms as u64, Validity::Valid) else { unreachable!("it is a state") };
    Event::State(StateSample { taken: SourceStamp::realtime((ms + ahead_ms) * MS as i64), ..sample })
}

#[test]
fn a_clock_that_steps_and_steps_back_at_once_costs_its_own_samples_only() {
    for step_ms in [3_600_000, -3_600_000, 1000, -1000] {
        let offset_ms = |tick: i64| if (20..23).contains(&tick) { step_ms } else { 0 };
        let mut events: Vec<Event> = (0..60).map(|tick| unix_state(tick * 10, 5 + offset_ms(tick))).collect();
        events.extend((0..15).map(|index| frame(105 + index * 33, 110 + index * 33)));
        events.sort_by_key(Event::arrival);
        let (aligned, counts) = run(Config::default(), &events);
        assert_eq!((aligned.len(), counts.unmapped_samples), (15, 3), "{step_ms}");
        for (ms, reading) in aligned {
            let late_ms = ms as f64 - reading.unwrap().usable().unwrap() * 1e3;
            assert!((-1e-6..=30.0).contains(&late_ms), "step {step_ms} at {ms}: {late_ms}");
        }
    }
}

/// One message of a bad bus: whether it is lost, how late and how often it comes, and whether it is valid.
fn message() -> impl Strategy<Value = (bool, u64, usize, bool)> {
    (prop::bool::weighted(0.8), prop_oneof![3 => 0..3_u64, 1 => 0..120_u64], 1..3_usize, prop::bool::weighted(0.9))
}

fn any_event() -> impl Strategy<Value = Event> {
    let stamp = || prop_oneof![any::<u64>(), 0..3_000_000_000_u64].prop_map(Stamp::from_ns);
    let value = prop_oneof![any::<f64>(), prop::num::f64::ANY];
    let validity = prop::sample::select(vec![Validity::Valid, Validity::Stale, Validity::Faulty, Validity::Frozen]);
    let sample = (any::<bool>(), prop_oneof![any::<i64>(), -9..3_000_000_000_i64], stamp(), value, validity);
    prop_oneof![
        (0..u64::MAX / MS, 0..u64::MAX / MS).prop_map(|(stamp, arrival)| frame(stamp, arrival)),
        (0..3000_u64, 0..40_u64).prop_map(|(stamp, late)| frame(stamp, stamp + late)),
        sample.prop_map(|(monotonic, ns, arrival, value, validity)| {
            let clock = SourceStamp::realtime(ns);
            let taken = if monotonic { SourceStamp { clock: segfuse::data::Clock::Monotonic, ..clock } } else { clock };
            let reading = Some(Reading { value, validity });
            let state = VehicleState { speed_mps: reading, yaw_rate_radps: reading, ..VehicleState::default() };
            Event::State(StateSample { taken, arrival, state })
        }),
        stamp().prop_map(Event::Tick),
        stamp().prop_map(|stamp| Event::Lost { stamp, frames: u32::MAX }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_bad_bus_never_gives_a_valid_value_that_is_wrong(messages in prop::collection::vec(message(), 1..200)) {
        let mut events: Vec<Event> = (0..messages.len() as u64 / 3).map(|index| frame(index * 33, index * 33 + 5)).collect();
        for (tick, (comes, late, times, valid)) in (0..).zip(messages) {
            let validity = if valid { Validity::Valid } else { Validity::Faulty };
            let copies = (0..times as u64).filter(|_| comes);
            events.extend(copies.map(|copy| state(tick * 10, tick * 10 + late * (copy + 1), validity)));
        }
        events.sort_by_key(Event::arrival);
        let (aligned, counts) = run(Config::default(), &events);
        prop_assert_eq!(counts.dropped, 0);
        prop_assert!(aligned.is_sorted_by(|a, b| a.0 < b.0));
        for (ms, reading) in aligned {
            let Some(value) = reading.and_then(Reading::usable) else { continue };
            let late_ms = ms as f64 - value * 1e3;
            prop_assert!((-1e-6..=50.0 + 1e-6).contains(&late_ms), "at {ms}: {value}");
        }
    }

    #[test]
    fn any_events_at_all_keep_the_counts_and_the_order(events in prop::collection::vec(any_event(), 0..120)) {
        let (aligned, counts) = run(Config::default(), &events);
        prop_assert!(aligned.is_sorted_by(|a, b| a.0 < b.0 || a.0 == b.0 && a.0 > u64::MAX / MS - 2));
        prop_assert_eq!(counts.captured, aligned.len() as u64);
        for reading in aligned.iter().filter_map(|frame| frame.1?.usable()) {
            prop_assert!(reading.is_finite());
        }
    }
}
