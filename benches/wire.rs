//! Writing and reading the message of a 1280x720 mask, plain and compressed, with and without planes.

mod support;

use segfuse::data::{BufferPool, FrameId, LabelMask, Origin, Perception, Plane, Size, Stamp};
use segfuse::wire::{Choice, Encoder, Envelope, HEADER_LEN, StampClock, decode};
use std::hint::black_box;
use support::Bench;

const SIZE: Size = Size::new(1280, 720);
const PLAIN: Choice = Choice { lz4: false, age: false, confidence: false };
const PLANES: Choice = Choice { lz4: false, age: true, confidence: true };

fn main() {
    let mut bench = Bench::start("wire");
    let scene = perception();
    for (case, choice) in [
        ("plain", PLAIN),
        ("lz4", Choice { lz4: true, ..PLAIN }),
        ("planes", PLANES),
        ("planes_lz4", Choice { lz4: true, ..PLANES }),
    ] {
        encode_case(&mut bench, case, choice, &scene);
        decode_case(&mut bench, case, choice, &scene);
    }
    bench.finish();
}

/// Regions with wavy borders, ages in blocks, confidence with texture.
fn perception() -> Perception {
    let pixels = || (0..SIZE.pixels()).map(|i| ((i % 1280) as f32, (i / 1280) as f32));
    let label = |(x, y): (f32, f32)| ((y + 20.0 * (x / 90.0).sin()) as i32 / 60 + x as i32 / 320).rem_euclid(19) as u8;
    let labels: Vec<u8> = pixels().map(label).collect();
    let age: Vec<u8> = pixels().map(|(x, y)| ((x as usize / 32 + y as usize / 32) % 7) as u8).collect();
    let confidence: Vec<u8> = support::noise(7).map(|value| 200 + (value % 16) as u8).take(SIZE.pixels()).collect();
    let plane = |bytes: Vec<u8>| Some(Plane::new(SIZE, bytes.into()).expect("one byte a pixel"));
    let mask = LabelMask::new(SIZE, labels.into()).expect("one label a pixel");
    let (frame, stamp, origin) = (FrameId(1), Stamp::from_ns(1), Origin::Key);
    Perception {
        frame,
        stamp,
        origin,
        mask,
        age: plane(age),
        confidence: plane(confidence),
        disagreement: None,
        late: None,
    }
}

fn envelope() -> Envelope {
    Envelope {
        session: 1,
        sequence: 1,
        clock: StampClock::Monotonic,
        unix_ns: 1,
        published: Stamp::from_ns(2),
        latency_us: Some(1),
        network_hash: 1,
        classes_hash: 1,
    }
}

fn message(encoder: &mut Encoder, perception: &Perception, payload: &mut Vec<u8>) -> [u8; HEADER_LEN] {
    let packed = encoder.pack(perception).expect("sound");
    payload.resize(packed.len(), 0);
    let hashes = packed.write_to(payload);
    packed.header(hashes, &envelope()).encode()
}

fn planes(choice: Choice) -> usize {
    1 + usize::from(choice.age) + usize::from(choice.confidence)
}

fn check(choice: Choice, scene: &Perception) -> Result<(), String> {
    let mut payload = Vec::new();
    let header = message(&mut Encoder::new(choice), scene, &mut payload);
    let read = decode(&header, [&payload[..]], &mut BufferPool::new(0)).map_err(|error| error.to_string())?;
    let same = read.labels == scene.mask && (!choice.age || read.age == scene.age);
    if same { Ok(()) } else { Err("what is read is not what was written".to_owned()) }
}

fn encode_case(bench: &mut Bench, case: &str, choice: Choice, scene: &Perception) {
    let (mut encoder, mut payload) = (Encoder::new(choice), Vec::new());
    message(&mut encoder, scene, &mut payload);
    let bytes = planes(choice) * SIZE.pixels() + payload.len();
    let work = || _ = black_box(message(&mut encoder, black_box(scene), &mut payload));
    bench.case(&format!("wire/encode_{case}/{SIZE}"), bytes, work, || check(choice, scene));
}

fn decode_case(bench: &mut Bench, case: &str, choice: Choice, scene: &Perception) {
    let mut payload = Vec::new();
    let header = message(&mut Encoder::new(choice), scene, &mut payload);
    let bytes = planes(choice) * SIZE.pixels() + payload.len();
    let mut pool = BufferPool::new(6);
    let work = || drop(black_box(decode(&header, [black_box(&payload[..])], &mut pool)));
    bench.case(&format!("wire/decode_{case}/{SIZE}"), bytes, work, || check(choice, scene));
}
