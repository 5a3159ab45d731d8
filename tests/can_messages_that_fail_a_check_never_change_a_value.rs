//! Bad counters, checksums, lengths, ranges and frozen senders against the decoder.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use proptest::prelude::*;
use segfuse::data::{CanFrame, CanId, Event, Reading, SourceStamp, Stamp, StateSample, Validity};
use segfuse::source::Source;
use segfuse::source::can::{CanDecoder, ChecksumRule, Config, Counts, Decoding};

const DBC: &str = r#"VERSION ""

BU_: CAR

BO_ 257 SPEED: 4 CAR
 SG_ V : 0|16@1+ (0.01,0) [0|0] "km/h" CAR
 SG_ COUNTER : 16|4@1+ (1,0) [0|15] "" CAR
 SG_ CHECKSUM : 24|8@1+ (1,0) [0|255] "" CAR

BO_ 2147484160 TURN: 8 CAR
 SG_ SWITCH M : 0|8@1+ (1,0) [0|0] "" CAR
 SG_ YAW m2 : 32|32@1- (1,0) [0|0] "rad/s" CAR
 SG_ OTHER m3 : 32|16@1- (1,0) [0|0] "" CAR

BO_ 258 TANGLED: 8 CAR
 SG_ A M : 0|4@1+ (1,0) [0|0] "" CAR
 SG_ B m0M : 4|4@1+ (1,0) [0|0] "" CAR
 SG_ C m1 : 8|8@1+ (1,0) [0|0] "" CAR
 SG_ D : 60|8@1+ (1,0) [0|0] "" CAR

SIG_VALTYPE_ 2147484160 YAW : 1;
"#;

const SIGNALS: &str = r#"
[[message]]
name = "SPEED"
counter = { signal = "COUNTER" }
checksum = { rule = "xor8", signal = "CHECKSUM" }
[[message.signal]]
quantity = "speed"
sum = ["V"]
unit = "km/h"
range = { min = 0.0, max = 360.0 }

[[message]]
name = "TURN"
bus = 1
[[message.signal]]
quantity = "yaw_rate"
sum = ["YAW"]
unit = "rad/s"
"#;

fn decoder(signals: &str) -> Result<CanDecoder, String> {
    let config = Config::from_toml(signals, "signals.toml").map_err(|error| error.to_string())?;
    CanDecoder::new(&config, DBC, "car.dbc").map_err(|error| error.to_string())
}

fn frame(bus: u8, id: CanId, payload: &[u8]) -> CanFrame {
    CanFrame::new(bus, id, SourceStamp::realtime(7), Stamp::from_ns(9), payload).unwrap()
}

/// A good message of speed `kmh`.
fn speed(kmh: u16, counter: u8) -> CanFrame {
    let [low, high] = (kmh * 100).to_le_bytes();
    frame(0, CanId::Standard(257), &[low, high, counter % 16, low ^ high ^ (counter % 16)])
}

fn corrupted(good: &CanFrame) -> CanFrame {
    let mut payload = good.payload().to_vec();
    payload[0] ^= 1;
    frame(good.bus, good.id, &payload)
}

/// What the decoder says of the speed: value in km/h and validity.
fn told(sample: Option<StateSample>) -> Option<(f64, Validity)> {
    let reading = sample?.state.speed_mps?;
    Some(((reading.value * 36.0).round() / 10.0, reading.validity))
}

#[test]
fn a_good_message_gives_its_value_with_its_stamps() {
    let sample = decoder(SIGNALS).unwrap().decode(&speed(36, 0)).unwrap();
    assert_eq!((sample.taken, sample.arrival), (SourceStamp::realtime(7), Stamp::from_ns(9)));
    assert_eq!(sample.state.speed_mps, Some(Reading::valid(36.0 * (1.0 / 3.6))));
}

#[test]
fn refused_messages_keep_the_value_and_three_in_a_row_make_it_faulty() {
    let mut decoder = decoder(SIGNALS).unwrap();
    let bad = corrupted(&speed(99, 1));
    let frames = [speed(10, 0), bad.clone(), speed(12, 2), bad.clone(), bad.clone(), bad.clone(), bad, speed(13, 7)];
    let heard: Vec<_> = frames.iter().map(|frame| told(decoder.decode(frame))).collect();
    let (valid, faulty) = (|v| Some((v, Validity::Valid)), Some((12.0, Validity::Faulty)));
    assert_eq!(heard, [valid(10.0), None, valid(12.0), None, None, faulty, faulty, valid(13.0)]);
    assert_eq!(decoder.counts(), Counts { frames: 8, bad_checksum: 5, ..Counts::default() });
}

#[test]
fn a_counter_that_stands_still_freezes_the_value_and_one_that_jumps_is_refused() {
    let mut decoder = decoder(SIGNALS).unwrap();
    let frames = [(10, 3), (11, 3), (12, 3), (13, 3), (14, 4), (15, 9), (16, 10)];
    let heard: Vec<_> = frames.iter().map(|&(kmh, counter)| told(decoder.decode(&speed(kmh, counter)))).collect();
    let (valid, frozen) = (|v| Some((v, Validity::Valid)), Some((10.0, Validity::Frozen)));
    assert_eq!(heard, [valid(10.0), None, None, frozen, valid(14.0), None, valid(16.0)]);
    assert_eq!(decoder.counts(), Counts { frames: 7, frozen_counter: 3, bad_counter: 1, ..Counts::default() });
}

#[test]
fn short_implausible_and_unknown_messages_are_counted_and_tell_nothing() {
    let mut decoder = decoder(SIGNALS).unwrap();
    let short = frame(0, CanId::Standard(257), &[0, 0, 1]);
    let other_bus = frame(3, CanId::Standard(257), speed(1, 0).payload());
    let not_extended = frame(1, CanId::Standard(512), &[2; 8]);
    let implausible = speed(361, 1);
    for frame in [short, other_bus, not_extended, implausible] {
        assert_eq!(decoder.decode(&frame), None, "{frame:?}");
    }
    assert_eq!(decoder.counts(), Counts { frames: 4, short: 1, other: 2, implausible: 1, ..Counts::default() });
    let mut padded = speed(20, 2).payload().to_vec();
    padded.extend([0; 4]);
    assert_eq!(told(decoder.decode(&frame(0, CanId::Standard(257), &padded))), Some((20.0, Validity::Valid)));
}

#[test]
fn a_multiplexed_float_is_read_only_where_its_switch_says_so() {
    let mut decoder = decoder(SIGNALS).unwrap();
    let mut turn = |switch: u8, value: f32| {
        let [a, b, c, d] = value.to_le_bytes();
        let sample = decoder.decode(&frame(1, CanId::Extended(512), &[switch, 0, 0, 0, a, b, c, d]));
        sample.and_then(|sample| sample.state.yaw_rate_radps)
    };
    assert_eq!(turn(3, 0.5), None);
    assert_eq!(turn(2, 0.5), Some(Reading::valid(0.5)));
    assert_eq!(turn(2, f32::NAN), None);
}

#[test]
fn what_cannot_be_decoded_rightly_is_refused_at_the_start() {
    let signals = |message: &str, checks: &str, names: &str| {
        format!(
            "[[message]]\nname = '{message}'\n{checks}\n[[message.signal]]\nquantity = 'speed'\nsum = [{names}]\nunit = 'm/s'\n"
        )
    };
    let cases = [
        (signals("SPEEDS", "", "'V'"), "car.dbc: no message 'SPEEDS'; is it 'SPEED'?"),
        (signals("SPEED", "", "'CHECKSUMM'"), "message 'SPEED' has no signal 'CHECKSUMM'; is it 'CHECKSUM'?"),
        (signals("TANGLED", "", "'C'"), "extended multiplexing"),
        (signals("TANGLED", "", "'B'"), "extended multiplexing"),
        (signals("TANGLED", "", "'D'"), "signal 'D': bits 60|8 end beyond its 8 bytes"),
        (signals("TURN", "", "'YAW', 'OTHER'"), "never present together"),
        (signals("SPEED", "checksum = { rule = 'xor8', signal = 'COUNTER' }", "'V'"), "one whole byte"),
        (signals("SPEED", "counter = { signal = 'COUNTER', modulo = 17 }", "'V'"), "modulo 17"),
        (signals("SPEED", "counter = { signal = 'COUNTER', increment = 16 }", "'V'"), "increment 16"),
        (signals("SPEED", "checksum = { rule = 'md5' }", "'V'"), "md5"),
        (SIGNALS.replace("bus = 1", "").replace("TURN", "SPEED").replace("YAW", "V"), "named twice"),
    ];
    let missed: Vec<_> = (cases.iter())
        .map(|(signals, part)| (part, decoder(signals).err().unwrap_or_default()))
        .filter(|(part, error)| !error.contains(**part))
        .collect();
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn a_decoding_source_gives_each_raw_frame_and_then_its_meaning() {
    let events =
        vec![Event::Tick(Stamp::ZERO), Event::Can(speed(10, 0)), Event::Can(speed(10, 0)), Event::Tick(Stamp::MAX)];
    let mut source = Decoding::new(events.into_iter(), decoder(SIGNALS).unwrap());
    let mut kinds = Vec::new();
    while let Some(event) = Source::next(&mut source).unwrap() {
        kinds.push(match event {
            Event::Can(_) => "can",
            Event::State(_) => "state",
            _ => "tick",
        });
    }
    assert_eq!(kinds, ["tick", "can", "state", "can", "tick"]);
    assert_eq!(source.decoder().counts().frozen_counter, 1);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever comes, a valid value is one that a message with a right checksum carried.
    #[test]
    fn no_valid_value_comes_from_a_message_with_a_wrong_checksum(
        payloads in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..=8), any::<bool>()), 0..60),
    ) {
        let mut decoder = decoder(SIGNALS).unwrap();
        for (mut payload, mend) in payloads {
            if mend && payload.len() >= 4 {
                payload[3] = ChecksumRule::Xor8.compute(257, &[], &payload[..4], 3);
            }
            let right = payload.len() >= 4 && (payload[..3].iter().fold(0, |all, byte| all ^ byte) == payload[3]);
            let value = payload.get(..2).map(|v| f64::from(u16::from_le_bytes([v[0], v[1]])) * 0.01);
            match told(decoder.decode(&frame(0, CanId::Standard(257), &payload))) {
                Some((kmh, Validity::Valid)) => prop_assert!(right && (kmh - value.unwrap()).abs() < 0.06),
                Some((_, validity)) => prop_assert!(validity != Validity::Stale),
                None => {}
            }
        }
    }
}
