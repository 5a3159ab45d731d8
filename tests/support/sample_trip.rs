//! A small drive with everything that a trip can hold, the same every time.

#![allow(unreachable_pub, dead_code, reason = "a module of every test that includes it; none uses all of it")]

use segfuse::data::{
    AlignedFrame, CanFrame, CanId, ClassTable, Disagreement, Event, Frame, FrameId, GroundTruth, Image, LabelMask,
    Origin, Perception, PixelFormat, Plane, Reading, Size, SourceStamp, Stamp, StateSample, Validity, VehicleState,
    WallMapping,
};
use segfuse::trip::{Config, DbcText, NetworkIdentity, TripMetadata, TripWriter};
use std::path::Path;

pub const SIZE: Size = Size::new(64, 48);
/// The unit that a drive's stamps are made of: 30 frames a second.
pub const FRAME_NS: u64 = 33_333_333;

/// One frame's worth of events, in order of arrival, and the answer for the frame.
pub fn step(number: u64) -> (Vec<Event>, AlignedFrame, Perception) {
    let start = 1_000_000_000 + number * FRAME_NS;
    let at = |ms: u64| Stamp::from_ns(start + ms * 1_000_000);
    let frame = Frame { id: FrameId(number), sequence: None, stamp: at(1), arrival: at(8), image: image(number) };
    let truth = GroundTruth { stamp: at(1), labels: plane(number, 12), classes: "camvid".into() };
    let mut events = vec![Event::Truth(truth), Event::Can(can(number, at(2))), Event::State(state(number, at(3)))];
    if number % 10 == 9 {
        events.push(Event::Lost { stamp: at(5), frames: 2 });
    }
    events.push(Event::Frame(frame.clone()));
    events.push(Event::Tick(at(20)));
    let perception = perception(&frame);
    (events, AlignedFrame { frame, state: VehicleState::default() }, perception)
}

pub fn metadata() -> TripMetadata {
    TripMetadata {
        source: "a drive made up for tests".into(),
        wall: Some(WallMapping { at: Stamp::from_ns(7), unix_ns: 1_700_000_000_000_000_000 }),
        class_tables: vec![ClassTable::camvid(), ClassTable::cityscapes()],
        mask_classes: Some("cityscapes".into()),
        network: Some(NetworkIdentity { name: "none".into(), runtime: "none 0".into(), hash: "00".into() }),
        dbc: Some(DbcText { name: "x.dbc".into(), text: "VERSION \"\"\n".into() }),
        ..TripMetadata::default()
    }
}

/// Small chunks, every plane.
pub fn config() -> Config {
    Config { chunk_bytes: 64 << 10, planes: true, ..Config::default() }
}

/// Writes `frames` steps and returns every event and perception written.
pub fn write(path: &Path, frames: u64, config: &Config) -> (Vec<Event>, Vec<Perception>) {
    let mut writer = TripWriter::create(path, &metadata(), config).expect("a temporary folder is writable");
    let (mut all, mut answers) = (Vec::new(), Vec::new());
    for (events, frame, perception) in (0..frames).map(step) {
        for event in &events {
            writer.write_event(event).expect("small");
        }
        writer.write_perception(frame.frame.arrival, &perception).expect("small");
        all.extend(events);
        answers.push(perception);
    }
    writer.finish().expect("room on the disk");
    (all, answers)
}

/// Bytes that do not compress, the same for the same seed.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..len).map(|_| next()).collect()
}

fn image(number: u64) -> Image {
    let formats = PixelFormat::ALL;
    let format = formats[number as usize % formats.len()];
    if format == PixelFormat::Jpeg {
        return Image::jpeg(SIZE, jpeg(number).into()).expect("not empty");
    }
    let stride = format.row_bytes(SIZE.width) + 16;
    Image::new(format, SIZE, stride, noise(number, stride * 72).into()).expect("more than enough rows")
}

/// A JPEG file of [`SIZE`].
pub fn jpeg(number: u64) -> Vec<u8> {
    let picture = image::RgbImage::from_raw(SIZE.width, SIZE.height, noise(number, SIZE.pixels() * 3)).expect("exact");
    let mut file = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut file, image::ImageFormat::Jpeg).expect("memory");
    file.into_inner()
}

fn plane(seed: u64, values: u8) -> Plane {
    let bytes: Vec<u8> = noise(seed, SIZE.pixels()).iter().map(|byte| byte % values).collect();
    Plane::new(SIZE, bytes.into()).expect("one byte a pixel")
}

fn can(number: u64, arrival: Stamp) -> CanFrame {
    let id = if number.is_multiple_of(2) { CanId::Standard(0x25) } else { CanId::Extended(0x1234_5678) };
    let taken = SourceStamp::realtime(1_700_000_000_000_000_000 + arrival.ns() as i64);
    let payload = noise(number, number as usize % 65);
    CanFrame::new((number % 3) as u8, id, taken, arrival, &payload).expect("at most 64 bytes")
}

fn state(number: u64, arrival: Stamp) -> StateSample {
    let validity = [Validity::Valid, Validity::Stale, Validity::Faulty, Validity::Frozen][number as usize % 4];
    let state = VehicleState {
        speed_mps: Some(Reading { value: 0.1 + number as f64 / 3.0, validity }),
        steering_wheel_angle_rad: number.is_multiple_of(2).then(|| Reading::valid(-0.25)),
        ..VehicleState::default()
    };
    StateSample { taken: SourceStamp::monotonic(arrival.offset_ns(-1_500_000)), arrival, state }
}

fn perception(frame: &Frame) -> Perception {
    let number = frame.id.0;
    let distance = (number % 5) as u32;
    let origin = match distance {
        0 => Origin::Key,
        distance => Origin::Propagated { from: FrameId(number - u64::from(distance)), distance },
    };
    let labels = plane(number + 1000, 19);
    let mask = LabelMask::new(SIZE, labels.bytes().clone()).expect("one label a pixel");
    let confidence = Some(plane(number + 2000, 255));
    let age = (distance > 0).then(|| plane(number + 3000, 5));
    // Nothing known, expected, or measured too.
    let disagreement = (!number.is_multiple_of(3)).then(|| Disagreement {
        residual: 0.01 * distance as f32,
        expected: 0.03 * distance as f32,
        measured: (number % 3 == 2).then_some(0.125),
    });
    let late = (number % 3 == 1).then_some(FrameId(number - 1));
    Perception { frame: frame.id, stamp: frame.stamp, origin, mask, age, confidence, disagreement, late }
}
