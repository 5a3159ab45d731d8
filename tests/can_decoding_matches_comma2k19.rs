//! A real drive: 40 s of a Toyota, decoded from its raw frames and compared with the values published with it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use segfuse::align::{Aligner, Config};
use segfuse::data::{CanFrame, CanId, Event, Frame, FrameId, Image, PixelFormat, Quantity, Size, SourceStamp, Stamp};
use segfuse::source::Source;
use segfuse::source::can::{CanDecoder, Counts, Decoding, builtin_signals};
use std::path::Path;

/// What one quantity was at which time.
type Series = Vec<(f64, f64)>;

fn npy(path: &Path) -> npyz::NpyFile<Box<dyn std::io::Read>> {
    let file = std::fs::File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    npyz::NpyFile::new(Box::new(std::io::BufReader::new(file)) as Box<dyn std::io::Read>).unwrap()
}

fn floats(path: &Path) -> Vec<f64> {
    npy(path).into_vec().unwrap()
}

fn integers(path: &Path) -> Vec<i64> {
    npy(path).into_vec().unwrap()
}

/// The raw frames; an `S8` array holds them padded with zeros to 8 bytes.
fn frames(folder: &Path) -> Vec<CanFrame> {
    let [t, src, address] = ["t", "src", "address"].map(|name| folder.join(name));
    let bytes = std::fs::read(folder.join("data")).unwrap();
    let (t, src, address) = (floats(&t), integers(&src), integers(&address));
    let payloads = bytes[bytes.len() - 8 * t.len()..].chunks_exact(8);
    let frame = |(((t, src), address), payload): (((&f64, &i64), &i64), &[u8])| {
        let stamp = Stamp::from_secs_f64(*t).unwrap();
        let id = CanId::standard(*address as u32).unwrap();
        CanFrame::new(*src as u8, id, SourceStamp::monotonic(stamp), stamp, payload).unwrap()
    };
    t.iter().zip(&src).zip(&address).zip(payloads).map(frame).collect()
}

fn decode(folder: &Path, dbc: &Path) -> (CanDecoder, [Series; 5]) {
    let text = std::fs::read_to_string(dbc).unwrap();
    let mut decoder = CanDecoder::new(&builtin_signals("toyota").unwrap(), &text, "_toyota_2017.dbc").unwrap();
    let mut series: [Series; 5] = Default::default();
    for frame in frames(folder) {
        let Some(sample) = decoder.decode(&frame) else { continue };
        for (series, quantity) in series.iter_mut().zip(Quantity::ALL) {
            let value = sample.state.get(quantity).map(|reading| reading.usable().expect("every message is good"));
            series.extend(value.map(|value| (frame.arrival.secs_f64(), value)));
        }
    }
    (decoder, series)
}

fn largest_difference(series: &Series, t: &[f64], expected: impl Iterator<Item = f64>) -> f64 {
    assert_eq!(series.len(), t.len());
    let difference = |(((at, value), t), expected): (((f64, f64), &f64), f64)| {
        assert!((at - t).abs() < 1e-6, "{at} {t}");
        (value - expected).abs()
    };
    series.iter().copied().zip(t).zip(expected).map(difference).fold(0.0, f64::max)
}

/// Pearson's correlation of `a` with `b` taken at `a`'s times, both averaged over a second.
fn correlation(a: &Series, b: &Series) -> f64 {
    let mean = |series: &Series, t: f64| {
        let near: Vec<f64> = series.iter().filter(|(at, _)| (at - t).abs() < 0.5).map(|(_, value)| *value).collect();
        near.iter().sum::<f64>() / near.len() as f64
    };
    let pairs: Vec<_> = a.iter().step_by(40).skip(3).map(|(t, _)| (mean(a, *t), mean(b, *t))).collect();
    let n = pairs.len() as f64;
    let (ma, mb) = (pairs.iter().map(|p| p.0).sum::<f64>() / n, pairs.iter().map(|p| p.1).sum::<f64>() / n);
    let covariance = |f: fn(f64, f64) -> f64| pairs.iter().map(|(a, b)| f(a - ma, b - mb)).sum::<f64>();
    covariance(|a, b| a * b) / (covariance(|a, _| a * a) * covariance(|_, b| b * b)).sqrt()
}

#[test]
fn speed_and_steering_of_a_real_drive_equal_the_published_values() {
    let Some(data) = support::shared_data("can_decoding_matches_comma2k19") else { return };
    let folder = data.join("comma2k19/processed_log/CAN");
    let (decoder, [speed, longitudinal, lateral, steering, yaw]) =
        decode(&folder.join("raw_can"), &data.join("dbc/_toyota_2017.dbc"));

    let expected = floats(&folder.join("speed/value"));
    let difference = largest_difference(&speed, &floats(&folder.join("speed/t")), expected.into_iter());
    assert!(difference <= 1e-9, "speed differs by {difference} m/s");

    let wheels = floats(&folder.join("wheel_speed/value"));
    let means = wheels.chunks_exact(4).map(|wheels| wheels.iter().sum::<f64>() / 4.0);
    let difference = largest_difference(&speed, &floats(&folder.join("wheel_speed/t")), means);
    assert!(difference <= 1e-9, "speed differs from the mean of the wheels by {difference} m/s");

    let degrees: Series = steering.iter().map(|(t, value)| (*t, value.to_degrees())).collect();
    let expected = floats(&folder.join("steering_angle/value"));
    let difference = largest_difference(&degrees, &floats(&folder.join("steering_angle/t")), expected.into_iter());
    assert!(difference <= 1e-9, "steering differs by {difference} degrees");

    let Counts { frames, other, .. } = decoder.counts();
    assert_eq!((frames, frames - other), (90_261, 3313 + 2 * 3314));
    assert_eq!(decoder.counts(), Counts { frames, other, ..Counts::default() });

    // The signs, which no file gives: against the speed's slope and the wheel's angle.
    let slope = |pair: &[(f64, f64)]| (pair[0].0, (pair[83].1 - pair[0].1) / (pair[83].0 - pair[0].0));
    let accelerated: Series = speed.windows(84).map(slope).map(|(t, a)| (t + 0.5, a)).collect();
    for (name, correlation) in [
        ("longitudinal", correlation(&accelerated, &longitudinal)),
        ("lateral", correlation(&yaw, &lateral)),
        ("yaw", correlation(&steering, &yaw)),
    ] {
        println!("correlation {name} {correlation:.3}");
        assert!(correlation > 0.5, "{name}: {correlation}");
    }
}

/// The picture is of no importance to alignment.
fn picture((index, t): (usize, &f64)) -> Event {
    let image = Image::packed(PixelFormat::Grey, Size::new(1, 1), vec![0].into()).unwrap();
    let stamp = Stamp::from_secs_f64(*t).unwrap();
    Event::Frame(Frame { id: FrameId(index as u64), sequence: None, stamp, arrival: stamp, image })
}

fn interpolate(t: &[f64], values: &[f64], at: f64) -> Option<f64> {
    let after = t.partition_point(|t| *t < at);
    let (before, part) = (after.checked_sub(1)?, |a: f64, b: f64| (at - a) / (b - a));
    let (a, b) = (*values.get(before)?, *values.get(after)?);
    Some(a + (b - a) * part(t[before], t[after]))
}

#[test]
fn the_frames_of_a_real_drive_get_the_published_speed_at_their_stamps() {
    let Some(data) = support::shared_data("the_frames_of_a_real_drive_get_the_published_speed_at_their_stamps") else {
        return;
    };
    let folder = data.join("comma2k19/processed_log/CAN");
    let times = floats(&data.join("comma2k19/global_pose/frame_times"));
    let mut events: Vec<Event> = frames(&folder.join("raw_can")).into_iter().map(Event::Can).collect();
    events.extend(times.iter().enumerate().map(picture));
    events.sort_by_key(Event::arrival);
    let dbc = std::fs::read_to_string(data.join("dbc/_toyota_2017.dbc")).unwrap();
    let decoder = CanDecoder::new(&builtin_signals("toyota").unwrap(), &dbc, "_toyota_2017.dbc").unwrap();
    let mut source = Decoding::new(events.into_iter(), decoder);

    let mut aligner = Aligner::new(Config { max_wait_ms: 40, ..Config::default() });
    let (t, values) = (floats(&folder.join("speed/t")), floats(&folder.join("speed/value")));
    let (mut compared, mut worst) = (0, 0.0_f64);
    while let Some(event) = Source::next(&mut source).unwrap() {
        aligner.push(&event);
        while let Some(aligned) = aligner.pop() {
            let expected = interpolate(&t, &values, aligned.frame.stamp.secs_f64());
            if let Some((expected, speed)) = expected.zip(aligned.state.speed_mps) {
                worst = worst.max((speed.usable().expect("the bus is never silent") - expected).abs());
                compared += 1;
            }
        }
    }
    assert!(compared >= 795 && worst < 1e-4, "{compared} frames, worst {worst} m/s");
}
