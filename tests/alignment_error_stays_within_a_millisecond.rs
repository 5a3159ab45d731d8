//! Frames against a bus whose clock has any offset, drifts, steps, and whose messages come late.
//!
//! The state sent is the true time itself (a speed that grows by 1 m/s each second): what comes out
//! at a frame, less the frame's stamp, is the error of alignment in seconds. A sine beside it shows
//! what the same alignment makes of a signal that bends.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use proptest::prelude::*;
use segfuse::align::{Aligner, Config};
use segfuse::data::{
    AlignedFrame, Event, Frame, FrameId, Image, PixelFormat, Reading, Size, SourceStamp, Stamp, StateSample, Validity,
    VehicleState,
};

const MS: i64 = 1_000_000;
const SECOND: i64 = 1_000 * MS;
/// Messages after the start, and after a step, from which on the error is within 1 ms.
const SETTLED: i64 = 40;

#[derive(Clone, Debug)]
struct Bus {
    period_ns: i64,
    offset_ns: i64,
    drift_ppm: i64,
    step_at_ns: i64,
    step_ns: i64,
    jitter_ns: Vec<i64>,
}

impl Bus {
    fn taken(&self, t: i64) -> SourceStamp {
        let step = if t >= self.step_at_ns { self.step_ns } else { 0 };
        SourceStamp::realtime(
            self.offset_ns + t + (i128::from(t) * i128::from(self.drift_ppm) / 1_000_000) as i64 + step,
        )
    }

    fn event(&self, index: i64) -> Event {
        let t = index * self.period_ns;
        let late = self.jitter_ns[index as usize % self.jitter_ns.len()];
        let seconds = t as f64 / 1e9;
        let state = VehicleState {
            speed_mps: Some(Reading::valid(seconds)),
            steering_wheel_angle_rad: Some(Reading::valid(steering(seconds))),
            ..VehicleState::default()
        };
        Event::State(StateSample { taken: self.taken(t), arrival: Stamp::from_ns((t + late) as u64), state })
    }

    fn has_settled(&self, t: i64) -> bool {
        let settled_ns = SETTLED * self.period_ns;
        t > settled_ns && !(self.step_at_ns - 60 * MS..self.step_at_ns + settled_ns).contains(&t)
    }
}

/// A wheel turned to and fro: 1 rad at 0.5 Hz.
fn steering(seconds: f64) -> f64 {
    (seconds * std::f64::consts::PI).sin()
}

fn frame(index: i64) -> Event {
    let stamp = 7 * MS + index * SECOND / 30;
    let image = Image::packed(PixelFormat::Grey, Size::new(1, 1), vec![0].into()).unwrap();
    let [stamp, arrival] = [stamp, stamp + 12 * MS].map(|ns| Stamp::from_ns(ns as u64));
    Event::Frame(Frame { id: FrameId(index as u64), sequence: None, stamp, arrival, image })
}

fn drive(bus: &Bus, seconds: i64) -> Vec<AlignedFrame> {
    let states = (0..seconds * SECOND / bus.period_ns).map(|index| bus.event(index));
    let mut events: Vec<Event> = states.chain((0..seconds * 30).map(frame)).collect();
    events.sort_by_key(Event::arrival);
    let mut aligner = Aligner::new(Config::default());
    let mut popped = Vec::new();
    for event in &events {
        aligner.push(event);
        popped.extend(std::iter::from_fn(|| aligner.pop()));
    }
    aligner.finish();
    popped.extend(aligner.pop());
    assert_eq!(aligner.counts().aligned, seconds.unsigned_abs() * 30);
    popped
}

fn buses() -> impl Strategy<Value = Bus> {
    let steps = prop::sample::select(vec![0, SECOND, -SECOND, 3600 * SECOND, -3600 * SECOND, 25 * MS, -25 * MS]);
    let periods = prop::sample::select(vec![5 * MS, 10 * MS, 20 * MS]);
    let jitter = prop::collection::vec(0..=2 * MS, 500);
    (periods, -SECOND..2_000_000_000 * SECOND, -200..=200_i64, 5 * SECOND..8 * SECOND, steps, jitter).prop_map(
        |(period_ns, offset_ns, drift_ppm, step_at_ns, step_ns, jitter_ns)| Bus {
            period_ns,
            offset_ns,
            drift_ppm,
            step_at_ns,
            step_ns,
            jitter_ns,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(96) })]

    #[test]
    fn the_error_is_at_most_a_millisecond_under_jitter_drift_and_steps(bus in buses()) {
        let mut worst = 0.0_f64;
        for aligned in drive(&bus, 12) {
            let (t, truth) = (aligned.frame.stamp.ns() as i64, aligned.frame.stamp.secs_f64());
            let Some(speed) = aligned.state.speed_mps else {
                prop_assert!(!bus.has_settled(t), "no state at {truth}");
                continue;
            };
            let steering_error = aligned.state.steering_wheel_angle_rad.unwrap().value - steering(truth);
            if bus.has_settled(t) {
                prop_assert_eq!(speed.validity, Validity::Valid, "at {}", truth);
                prop_assert!((speed.value - truth).abs() <= 1e-3, "error {} s at {truth}", speed.value - truth);
                // 1 ms of the steepest slope, and what a chord of 20 ms misses of the arc.
                prop_assert!(steering_error.abs() <= 1e-3 * std::f64::consts::PI + 5e-4, "{steering_error} rad at {truth}");
                worst = worst.max((speed.value - truth).abs());
            } else if speed.validity == Validity::Valid {
                // Before it has settled: the whole jitter, or a value held for 50 ms.
                prop_assert!((speed.value - truth).abs() <= 0.053, "error {} s at {truth}", speed.value - truth);
            }
        }
        if std::env::var_os("SEGFUSE_FIGURES").is_some() {
            println!("period {} ms drift {} ppm step {} ms: {:.3} ms", bus.period_ns / MS, bus.drift_ppm, bus.step_ns / MS, worst * 1e3);
        }
    }
}
