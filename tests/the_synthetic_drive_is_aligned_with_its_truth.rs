//! The rendered drive goes through the shipped DBC, the decoder, the clock mapping and the aligner, and comes out as it was.

use segfuse::align::{Aligner, Config};
use segfuse::data::{AlignedFrame, Quantity, Size, Stamp};
use segfuse::source::Source;
use segfuse::source::can::{CanDecoder, Decoding, builtin_signals};
use segfuse::source::synthetic::{self, CanConfig, ClockStep, Scene, SyntheticSource, example_dbc};

/// What the bus and its clock are put through: jitter, 200 ppm of drift either way, a step of a second either way.
const BUSES: [(f64, f64); 4] = [(0.0, 0.0), (200.0, 0.0), (-200.0, 1000.0), (200.0, -1000.0)];
const SECONDS: f64 = 30.0;
const STEP_AT_S: f64 = 15.0;

fn drive(drift_ppm: f64, step_ms: f64) -> synthetic::Config {
    let step = (step_ms != 0.0).then_some(ClockStep { at_s: STEP_AT_S, by_ms: step_ms });
    let can = CanConfig { jitter_ms: 2.0, drift_ppm, step, ..CanConfig::default() };
    synthetic::Config { size: Size::new(16, 8), seconds: SECONDS, can, ..synthetic::Config::default() }
}

fn align(config: &synthetic::Config) -> Vec<AlignedFrame> {
    let decoder = CanDecoder::new(&builtin_signals("example").expect("built in"), example_dbc(), "example.dbc");
    let source = SyntheticSource::new(config.clone()).expect("sound");
    let mut source = Decoding::new(source, decoder.expect("the shipped files agree"));
    let mut aligner = Aligner::new(Config::default());
    let mut frames = Vec::new();
    while let Some(event) = source.next().expect("memory only") {
        aligner.push(&event);
        frames.extend(std::iter::from_fn(|| aligner.pop()));
    }
    let counts = source.decoder().counts();
    assert_eq!(counts.bad_checksum + counts.bad_counter + counts.implausible + counts.short, 0, "{counts:?}");
    aligner.finish();
    frames.extend(std::iter::from_fn(|| aligner.pop()));
    frames
}

/// How much later than its stamp a frame's value was true, in ms, by least squares over `frames`:
/// the error over the slope of the truth.
fn lag_ms(scene: &Scene, frames: &[&AlignedFrame], quantity: Quantity) -> f64 {
    let value = |stamp: Stamp| scene.state_at(stamp).get(quantity).expect("the scene knows all").value;
    let (mut product, mut square) = (0.0, 0.0);
    for frame in frames {
        let at = frame.frame.stamp;
        let Some(aligned) = frame.state.get(quantity).and_then(segfuse::data::Reading::usable) else { continue };
        let slope = (value(at.offset_ns(5_000_000)) - value(at.offset_ns(-5_000_000))) / 10.0;
        product += (aligned - value(at)) * slope;
        square += slope * slope;
    }
    assert!(square > 0.0, "{quantity:?} never changes");
    product / square
}

#[test]
fn jitter_drift_and_steps_of_the_bus_clock_cost_less_than_a_millisecond() {
    let mut faults = Vec::new();
    for (drift_ppm, step_ms) in BUSES {
        let config = drive(drift_ppm, step_ms);
        let scene = Scene::new(config.clone()).expect("sound");
        let frames = align(&config);
        assert_eq!(frames.len() as u64, config.frames());
        let second = |frame: &AlignedFrame| frame.frame.stamp.signed_ns_since(synthetic::START) as f64 / 1e9;
        for (from, until) in [(1.0, STEP_AT_S - 0.1), (STEP_AT_S + 1.0, SECONDS)] {
            let part: Vec<_> = frames.iter().filter(|frame| (from..until).contains(&second(frame))).collect();
            let known =
                part.iter().filter(|frame| frame.state.steering_wheel_angle_rad.is_some_and(|r| r.usable().is_some()));
            if known.count() < part.len() {
                faults
                    .push(format!("{drift_ppm} ppm, {step_ms} ms: not every frame from {from} s has a steering angle"));
            }
            for quantity in [Quantity::SteeringWheelAngle, Quantity::Speed] {
                let lag_ms = lag_ms(&scene, &part, quantity);
                println!("{drift_ppm} ppm, step {step_ms} ms, from {from} s: {quantity:?} {lag_ms:+.3} ms");
                if lag_ms.abs() > 1.0 {
                    faults
                        .push(format!("{drift_ppm} ppm, {step_ms} ms, from {from} s: {quantity:?} is {lag_ms} ms off"));
                }
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}
