//! `align/decode-and-push/100s`: raw CAN frames decoded, camera frames aligned, every answer checked.
//!
//! 100 s of a bus of 100 messages a second with counters and checksums, and a camera of 30 frames a second.

mod support;

use segfuse::align::{Aligner, Config};
use segfuse::data::{CanFrame, CanId, Event, Frame, FrameId, Image, PixelFormat, Size, SourceStamp, Stamp};
use segfuse::source::can::{CanDecoder, ChecksumRule, Config as Signals};
use std::hint::black_box;
use support::Bench;

const MS: u64 = 1_000_000;
const SECONDS: u64 = 100;
const ID: u32 = 257;

const DBC: &str = "VERSION \"\"\n\nBU_: CAR\n\nBO_ 257 SPEED: 8 CAR\n SG_ V : 0|32@1+ (0.001,0) [0|0] \"m/s\" CAR\n \
                   SG_ COUNTER : 32|4@1+ (1,0) [0|15] \"\" CAR\n SG_ CHECKSUM : 56|8@1+ (1,0) [0|255] \"\" CAR\n";
const SIGNALS: &str = "[[message]]\nname = 'SPEED'\ncounter = { signal = 'COUNTER' }\n\
                       checksum = { rule = 'crc8-sae-j1850', signal = 'CHECKSUM' }\n\
                       [[message.signal]]\nquantity = 'speed'\nsum = ['V']\nunit = 'm/s'\n";

fn main() {
    let events = drive();
    let mut bench = Bench::start("align");
    let work = || _ = black_box(decode_and_push(black_box(&events)));
    let bytes = events.len() * size_of::<Event>();
    bench.case("align/decode-and-push/100s", bytes, work, || check(&decode_and_push(&events)));
    bench.finish();
}

/// The drive, a speed of as many m/s as seconds have passed, in order of arrival.
fn drive() -> Vec<Event> {
    let mut events: Vec<Event> = (0..SECONDS * 100).map(message).chain((0..SECONDS * 30).map(frame)).collect();
    events.sort_by_key(Event::arrival);
    events
}

fn message(index: u64) -> Event {
    let ns = index * 10 * MS;
    let mut payload = [0; 8];
    payload[..4].copy_from_slice(&((index * 10) as u32).to_le_bytes());
    payload[4] = (index % 16) as u8;
    payload[7] = ChecksumRule::Crc8SaeJ1850.compute(ID, &[], &payload, 7);
    let taken = SourceStamp::realtime(1_700_000_000_000_000_000 + ns as i64);
    let made = CanFrame::new(0, CanId::Standard(ID as u16), taken, Stamp::from_ns(ns + index % 7 * MS / 5), &payload);
    Event::Can(made.expect("8 bytes are a payload"))
}

fn frame(index: u64) -> Event {
    let stamp = Stamp::from_ns(5 * MS + index * 1_000 * MS / 30);
    let image = Image::packed(PixelFormat::Grey, Size::new(1, 1), vec![0].into()).expect("one byte is one grey pixel");
    Event::Frame(Frame { id: FrameId(index), sequence: None, stamp, arrival: stamp.offset_ns(12 * MS as i64), image })
}

/// What is measured: stamps of the frames and the speed found for each.
fn decode_and_push(events: &[Event]) -> Vec<(Stamp, Option<f64>)> {
    let signals = Signals::from_toml(SIGNALS, "signals").expect("the signals are well formed");
    let mut decoder = CanDecoder::new(&signals, DBC, "dbc").expect("the DBC has the signals");
    let mut aligner = Aligner::new(Config::default());
    let mut answers = Vec::with_capacity(events.len());
    for event in events {
        aligner.push(event);
        if let Event::Can(frame) = event
            && let Some(sample) = decoder.decode(frame)
        {
            aligner.push(&Event::State(sample));
        }
        while let Some(aligned) = aligner.pop() {
            answers.push((aligned.frame.stamp, aligned.state.speed_mps.and_then(segfuse::data::Reading::usable)));
        }
    }
    answers
}

fn check(answers: &[(Stamp, Option<f64>)]) -> Result<(), String> {
    if (answers.len() as u64) < SECONDS * 30 - 1 {
        return Err(format!("{} frames came out", answers.len()));
    }
    let wrong = |(stamp, speed): &&(Stamp, Option<f64>)| speed.is_none_or(|v| (v - stamp.secs_f64()).abs() >= 1e-3);
    answers.iter().skip(30).find(wrong).map_or(Ok(()), |(stamp, speed)| Err(format!("{speed:?} at {stamp}")))
}
