//! The CAN frames of the synthetic vehicle, read with the DBC alone, say what the vehicle does.

use can_dbc::{ByteOrder, Dbc, Signal, ValueType};
use segfuse::data::{CanFrame, Clock, Event, PixelFormat, Quantity, Size};
use segfuse::source::Source;
use segfuse::source::synthetic::{CanConfig, ClockStep, Config, START, SyntheticSource, example_dbc};

fn config() -> Config {
    Config { size: Size::new(32, 18), seconds: 3.0, fps: 20.0, ..Config::default() }
}

fn events(config: Config) -> (SyntheticSource, Vec<Event>) {
    let mut source = SyntheticSource::new(config).expect("sound");
    let mut events = Vec::new();
    while let Some(event) = source.next().expect("memory only") {
        events.push(event);
    }
    (source, events)
}

fn can_frames(events: &[Event]) -> impl Iterator<Item = &CanFrame> {
    events.iter().filter_map(|event| if let Event::Can(frame) = event { Some(frame) } else { None })
}

/// A signal's raw bits, straight from the definition of DBC's two bit orders.
fn raw(signal: &Signal, data: &[u8]) -> u64 {
    let bit = |number: u64| u64::from(data[(number / 8) as usize] >> (number % 8) & 1);
    let mut value = 0;
    let mut at = signal.start_bit;
    for index in 0..signal.size {
        match signal.byte_order {
            ByteOrder::LittleEndian => value |= bit(signal.start_bit + index) << index,
            ByteOrder::BigEndian => {
                value = value << 1 | bit(at);
                at = if at.is_multiple_of(8) { at + 15 } else { at - 1 };
            }
        }
    }
    value
}

fn physical(signal: &Signal, data: &[u8]) -> f64 {
    let raw = raw(signal, data);
    let spare = 64 - signal.size as u32;
    let signed = ((raw << spare) as i64) >> spare;
    let value = if signal.value_type == ValueType::Signed { signed as f64 } else { raw as f64 };
    value * signal.factor + signal.offset
}

#[test]
fn every_signal_decodes_to_the_state_at_its_stamp() {
    let dbc = Dbc::try_from(example_dbc()).expect("the shipped DBC is sound");
    let (source, events) = events(config());
    let rules = [
        (256, "SPEED", Quantity::Speed, 1.0 / 3.6),
        (257, "ANGLE", Quantity::SteeringWheelAngle, 1_f64.to_radians()),
        (258, "LONG_ACCEL", Quantity::LongitudinalAcceleration, 1.0),
        (258, "LAT_ACCEL", Quantity::LateralAcceleration, 1.0),
        (258, "YAW_RATE", Quantity::YawRate, 1_f64.to_radians()),
    ];
    let offset = source.wall_mapping();
    let mut checked = [0; 5];
    for frame in can_frames(&events) {
        let sent = START.offset_ns(frame.taken.ns - offset.unix_ns);
        for (index, (_, name, quantity, unit)) in rules.iter().enumerate().filter(|(_, rule)| rule.0 == frame.id.raw())
        {
            let message = dbc.messages.iter().find(|message| message.id.raw() == frame.id.raw()).expect("described");
            let signal = message.signals.iter().find(|signal| signal.name == *name).expect("described");
            let truth = source.scene().state_at(sent).get(*quantity).expect("known").value;
            let off = physical(signal, frame.payload()) * unit - truth;
            assert!(off.abs() <= 0.5001 * signal.factor * unit, "{name} {off} off at {sent}");
            checked[index] += 1;
        }
    }
    assert!(checked[0] > 150 && checked[1..].iter().all(|&count| count > 300), "{checked:?}");
}

#[test]
fn counters_count_and_checksums_hold_for_every_message() {
    let dbc = Dbc::try_from(example_dbc()).expect("the shipped DBC is sound");
    let (_, events) = events(config());
    for message in &dbc.messages {
        let signal = |name: &str| message.signals.iter().find(|signal| signal.name == name).expect("described");
        let of_this = can_frames(&events).filter(|frame| frame.id.raw() == message.id.raw());
        for (number, frame) in of_this.enumerate() {
            let data = frame.payload();
            assert_eq!(data.len() as u64, message.size, "{}", message.name);
            assert_eq!(raw(signal("COUNTER"), data), number as u64 % 16, "{}", message.name);
            let (checksum, others) = data.split_last().expect("not empty");
            assert_eq!(raw(signal("CHECKSUM"), data), u64::from(*checksum));
            assert_eq!(*checksum, crc8_j1850(others), "{}", message.name);
        }
    }
}

/// CRC-8 SAE J1850 by the bit: polynomial 0x1d, from 0xff, inverted at the end.
fn crc8_j1850(data: &[u8]) -> u8 {
    let shift = |crc: u8| if crc & 0x80 == 0 { crc << 1 } else { crc << 1 ^ 0x1d };
    !data.iter().fold(0xff, |crc, byte| (0..8).fold(crc ^ byte, |crc, _| shift(crc)))
}

#[test]
fn events_come_in_order_of_arrival_and_none_is_missing() {
    for latency_ms in [0.0, 20.0, 120.0] {
        let config = Config { latency_ms, states: true, ..config() };
        let (source, events) = events(config);
        assert!(events.windows(2).all(|pair| pair[0].arrival() <= pair[1].arrival()), "latency {latency_ms}");
        let frames: Vec<_> =
            events.iter().filter_map(|e| if let Event::Frame(f) = e { Some(f) } else { None }).collect();
        assert_eq!(Some(frames.len() as u64), source.frames());
        for (number, frame) in frames.iter().enumerate() {
            assert_eq!(frame.id.0, number as u64);
            assert_eq!(frame.stamp, source.scene().frame_stamp(number as u64));
            assert_eq!(frame.arrival.signed_ns_since(frame.stamp), (latency_ms * 1e6) as i64);
        }
        let count = |wanted: fn(&Event) -> bool| events.iter().filter(|event| wanted(event)).count();
        assert_eq!(count(|event| matches!(event, Event::Truth(_))), frames.len());
        assert_eq!(count(|event| matches!(event, Event::State(_))), frames.len());
    }
}

#[test]
fn the_bus_reports_before_the_first_frame_and_after_the_last() {
    let (_, events) = events(config());
    let is_frame = |event: &Event| matches!(event, Event::Frame(_));
    let first = events.iter().position(is_frame).expect("frames");
    let last = events.iter().rposition(is_frame).expect("frames");
    assert!(can_frames(&events[..first]).count() > 10 && can_frames(&events[last..]).count() > 5);
}

#[test]
fn stamps_are_real_time_with_the_offset_drift_step_and_jitter_asked_for() {
    let step = Some(ClockStep { at_s: 1.5, by_ms: 1000.0 });
    let can = CanConfig { jitter_ms: 2.0, offset_ms: 77_000.0, drift_ppm: 200.0, step, ..CanConfig::default() };
    let (_, events) = events(Config { can, ..config() });
    let mut late_most = 0;
    for frame in can_frames(&events) {
        assert_eq!(frame.taken.clock, Clock::Realtime);
        // Undo the clock: what is left is the delay from stamp to arrival.
        let shown = frame.taken.ns - 77_000_000_000 - 1_000_000_000;
        let stepped = if shown > 2_000_000_000 { 1_000_000_000 } else { 0 };
        let sent = (shown - stepped) as f64 / (1.0 + 200e-6);
        let late = frame.arrival.signed_ns_since(START) as f64 - sent;
        assert!((-2.0..=2_000_002.0).contains(&late), "{late} ns late at {}", frame.arrival);
        late_most = late_most.max(late as i64);
    }
    assert!(late_most > 1_500_000, "{late_most}");
}

#[test]
fn a_bus_that_is_off_sends_nothing_and_every_pixel_format_comes() {
    for format in PixelFormat::ALL {
        let can = CanConfig { enabled: false, ..CanConfig::default() };
        let (_, events) = events(Config { can, format, seconds: 0.1, ..config() });
        assert_eq!(can_frames(&events).count(), 0);
        let Some(Event::Frame(frame)) = events.iter().find(|event| matches!(event, Event::Frame(_))) else {
            panic!("no frame in {format:?}")
        };
        assert_eq!((frame.image.format(), frame.image.size()), (format, Size::new(32, 18)));
    }
}
