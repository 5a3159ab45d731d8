//! The synthetic vehicle's CAN bus: its exact state in the messages of `config/example.dbc`.
//!
//! ```text
//! every 10 ms STEERING, MOTION · every 20 ms VEHICLE_SPEED
//! value and `taken` belong to the moment of sending; `taken` is that moment on the bus's own clock
//! (offset, drift, step); `arrival` is up to `jitter_ms` later, never before an earlier frame
//! ```

use super::chance::Chance;
use super::config::CanConfig;
use super::drive::Drive;
use super::scene::START;
use crate::data::{CanFrame, CanId, Quantity, SourceStamp, Stamp, VehicleState};

/// CRC-8 SAE J1850, as CAN safety profiles use it.
const CHECKSUM: crc::Crc<u8> = crc::Crc::<u8>::new(&crc::CRC_8_SAE_J1850);
const MS: i64 = 1_000_000;

/// The DBC that describes the synthetic vehicle's bus.
pub fn example_dbc() -> &'static str {
    include_str!("../../../config/example.dbc")
}

/// One kind of message: its id, period and place in the round.
#[derive(Clone, Copy, Debug)]
struct Message {
    id: u16,
    period_ns: i64,
    phase_ns: i64,
    encode: fn(&VehicleState, u8) -> heapless::Vec<u8, 8, u8>,
}

const MESSAGES: [Message; 3] = [
    Message { id: 256, period_ns: 20 * MS, phase_ns: 0, encode: vehicle_speed },
    Message { id: 257, period_ns: 10 * MS, phase_ns: 2 * MS, encode: steering },
    Message { id: 258, period_ns: 10 * MS, phase_ns: 5 * MS, encode: motion },
];

/// All frames of one drive, in order of arrival.
#[derive(Debug)]
pub(super) struct Bus {
    config: CanConfig,
    seed: u64,
    sent: [i64; MESSAGES.len()],
    last_arrival: Stamp,
    end: Stamp,
}

impl Bus {
    /// The bus from the start of the drive until `end`.
    pub(super) fn new(config: CanConfig, seed: u64, end: Stamp) -> Self {
        Self { config, seed, sent: [0; MESSAGES.len()], last_arrival: Stamp::ZERO, end }
    }

    /// The next frame; `None` after the last.
    pub(super) fn next(&mut self, drive: &Drive) -> Option<CanFrame> {
        let due = |index: usize| {
            let message = &MESSAGES[index];
            START.offset_ns(message.phase_ns + self.sent[index] * message.period_ns)
        };
        let index = (0..MESSAGES.len()).min_by_key(|&index| due(index)).filter(|_| self.config.enabled)?;
        let sending = due(index);
        if sending > self.end {
            return None;
        }
        let number = self.sent[index];
        self.sent[index] += 1;
        let payload = (MESSAGES[index].encode)(&drive.state_at(sending), (number % 16) as u8);
        let arrival = self.arrival(sending, (index, number));
        let taken = SourceStamp::realtime(unix_ns(&self.config, sending));
        let frame = CanFrame::new(self.config.bus, CanId::Standard(MESSAGES[index].id), taken, arrival, &payload);
        Some(frame.expect("every message of the example has at most 8 bytes"))
    }

    fn arrival(&mut self, sending: Stamp, (index, number): (usize, i64)) -> Stamp {
        let mut chance = Chance::new(self.seed, &[40, index as i64, number]);
        let late = chance.range(0.0, self.config.jitter_ms * MS as f64);
        self.last_arrival = self.last_arrival.max(sending.offset_ns(late as i64));
        self.last_arrival
    }
}

/// What the bus's clock shows at a moment of the timeline.
pub(super) fn unix_ns(config: &CanConfig, at: Stamp) -> i64 {
    let since_start = at.signed_ns_since(START);
    let drifted = (since_start as f64 * config.drift_ppm / 1e6).round() as i64;
    let step = config.step.filter(|step| since_start as f64 >= step.at_s * 1e9);
    let stepped = step.map_or(0.0, |step| step.by_ms * MS as f64) as i64;
    (config.offset_ms * MS as f64) as i64 + at.signed_ns_since(Stamp::ZERO) + drifted + stepped
}

/// A value in steps of its DBC factor, limited to the signal's bits.
fn steps(state: &VehicleState, quantity: Quantity, factor: f64, (low, high): (f64, f64)) -> i64 {
    let value = state.get(quantity).map_or(0.0, |reading| reading.value);
    (value / factor).round().clamp(low, high) as i64
}

fn vehicle_speed(state: &VehicleState, counter: u8) -> heapless::Vec<u8, 8, u8> {
    let speed = steps(state, Quantity::Speed, 0.01 / 3.6, (0.0, 65_535.0)) as u16;
    let [low, high] = speed.to_le_bytes();
    sealed(&[low, high, counter])
}

fn steering(state: &VehicleState, counter: u8) -> heapless::Vec<u8, 8, u8> {
    let factor = 0.05_f64.to_radians();
    let angle = steps(state, Quantity::SteeringWheelAngle, factor, (-32_768.0, 32_767.0)) as i16;
    let [high, low] = angle.to_be_bytes();
    sealed(&[high, low, counter])
}

fn motion(state: &VehicleState, counter: u8) -> heapless::Vec<u8, 8, u8> {
    let bits = |quantity, factor| steps(state, quantity, factor, (-2048.0, 2047.0)) as u64 & 0xfff;
    let packed = bits(Quantity::LongitudinalAcceleration, 0.01)
        | bits(Quantity::LateralAcceleration, 0.01) << 12
        | bits(Quantity::YawRate, 0.05_f64.to_radians()) << 24
        | u64::from(counter) << 36;
    sealed(&packed.to_le_bytes()[..5])
}

/// `data` and its checksum.
fn sealed(data: &[u8]) -> heapless::Vec<u8, 8, u8> {
    data.iter().copied().chain([CHECKSUM.checksum(data)]).collect()
}

#[cfg(test)]
mod tests {
    use super::super::config::ClockStep;
    use super::*;

    #[test]
    fn the_bus_clock_is_off_drifts_and_steps_as_told() {
        let step = Some(ClockStep { at_s: 2.0, by_ms: -1000.0 });
        let config = CanConfig { offset_ms: 5000.0, drift_ppm: 200.0, step, ..CanConfig::default() };
        let at = |seconds: i64| unix_ns(&config, START.offset_ns(seconds * 1000 * MS));
        assert_eq!(at(0), 6_000 * MS);
        assert_eq!(at(1), 7_000 * MS + 200_000);
        assert_eq!(at(2), 7_000 * MS + 400_000);
    }

    #[test]
    fn values_beyond_a_signal_are_limited_and_never_wrap() {
        let mut state = VehicleState::default();
        state.set(Quantity::Speed, Some(crate::data::Reading::valid(1e6)));
        assert_eq!(vehicle_speed(&state, 3)[..3], [0xff, 0xff, 3]);
    }
}
