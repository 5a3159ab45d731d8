//! The small messages beside the mask: JSON, one object each, unknown keys ignored.
//!
//! 64-bit hashes are hexadecimal strings, because many JSON readers keep numbers as doubles.

use super::{StampClock, WireError};
use crate::data::{Class, ClassTable, FrameId, Quantity, Reading, Stamp, UNLABELED, Validity, VehicleState, Vitals};
use serde::{Deserialize, Serialize};

/// The longest JSON message read: a table of 255 long class names has a third of it.
const MAX_JSON_BYTES: usize = 128 << 10;

fn write(message: &impl Serialize, out: &mut Vec<u8>) {
    serde_json::to_writer(out, message).expect("numbers, strings and lists only: JSON writes them all");
}

fn written(message: &impl Serialize) -> Vec<u8> {
    let mut out = Vec::new();
    write(message, &mut out);
    out
}

fn read<'a, T: Deserialize<'a>>(message: &'static str, bytes: &'a [u8]) -> Result<T, WireError> {
    let refuse = |reason: String| WireError::Json { message, reason };
    if bytes.len() > MAX_JSON_BYTES {
        return Err(refuse(format!("{} bytes, at most {MAX_JSON_BYTES} are read", bytes.len())));
    }
    serde_json::from_slice(bytes).map_err(|error| refuse(error.to_string()))
}

/// `state`: the vehicle's motion at the middle of a frame's exposure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StateNotice {
    /// The publisher's session, as in its masks.
    pub session: u32,
    /// The frame.
    pub frame: FrameId,
    /// The middle of its exposure.
    pub stamp: Stamp,
    /// The clock of `stamp`.
    pub clock: StampClock,
    /// `stamp` as Unix time.
    pub unix_ns: i64,
    /// The state.
    pub state: VehicleState,
}

#[derive(Serialize, Deserialize)]
struct StateJson {
    session: u32,
    frame: u64,
    stamp_ns: u64,
    clock: ClockJson,
    unix_ns: i64,
    speed_mps: Option<ReadingJson>,
    longitudinal_acceleration_mps2: Option<ReadingJson>,
    lateral_acceleration_mps2: Option<ReadingJson>,
    steering_wheel_angle_rad: Option<ReadingJson>,
    yaw_rate_radps: Option<ReadingJson>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "StampClock", rename_all = "snake_case")]
enum StampClockDef {
    Monotonic,
    Recording,
}

#[derive(Serialize, Deserialize)]
struct ClockJson(#[serde(with = "StampClockDef")] StampClock);

#[derive(Serialize, Deserialize)]
#[serde(remote = "Validity", rename_all = "snake_case")]
enum ValidityDef {
    Valid,
    Stale,
    Faulty,
    Frozen,
}

#[derive(Serialize, Deserialize)]
struct ReadingJson {
    value: f64,
    #[serde(with = "ValidityDef")]
    validity: Validity,
}

impl StateNotice {
    /// The message's JSON.
    pub fn to_json(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write_json(&mut out);
        out
    }

    /// Appends the message's JSON. A reading that is not a finite number is left out: JSON has no word for it.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        let reading = |quantity| {
            let Reading { value, validity } = self.state.get(quantity)?;
            value.is_finite().then_some(ReadingJson { value, validity })
        };
        let json = StateJson {
            session: self.session,
            frame: self.frame.0,
            stamp_ns: self.stamp.ns(),
            clock: ClockJson(self.clock),
            unix_ns: self.unix_ns,
            speed_mps: reading(Quantity::Speed),
            longitudinal_acceleration_mps2: reading(Quantity::LongitudinalAcceleration),
            lateral_acceleration_mps2: reading(Quantity::LateralAcceleration),
            steering_wheel_angle_rad: reading(Quantity::SteeringWheelAngle),
            yaw_rate_radps: reading(Quantity::YawRate),
        };
        write(&json, out);
    }

    /// Reads the message from any bytes.
    pub fn from_json(bytes: &[u8]) -> Result<Self, WireError> {
        let json: StateJson = read("state", bytes)?;
        let reading = |json: Option<ReadingJson>| json.map(|r| Reading { value: r.value, validity: r.validity });
        let state = VehicleState {
            speed_mps: reading(json.speed_mps),
            longitudinal_acceleration_mps2: reading(json.longitudinal_acceleration_mps2),
            lateral_acceleration_mps2: reading(json.lateral_acceleration_mps2),
            steering_wheel_angle_rad: reading(json.steering_wheel_angle_rad),
            yaw_rate_radps: reading(json.yaw_rate_radps),
        };
        let (frame, stamp) = (FrameId(json.frame), Stamp::from_ns(json.stamp_ns));
        Ok(Self { session: json.session, frame, stamp, clock: json.clock.0, unix_ns: json.unix_ns, state })
    }
}

/// Latency from exposure to publication over the last masks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LatencyMs {
    /// Median.
    pub p50: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Largest.
    pub max: f64,
    /// Over how many masks.
    pub masks: u32,
}

/// `health`: how the publisher is doing. `captured = published + dropped + pending`, always.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// The publisher's session, as in its masks.
    pub session: u32,
    /// The runtime, and the network it runs.
    pub engine: String,
    /// The network's name.
    pub network: String,
    /// Frames that the camera made, lost ones included.
    pub captured: u64,
    /// Masks handed to Zenoh.
    pub published: u64,
    /// Frames that got no published mask, whatever the reason.
    pub dropped: u64,
    /// Frames newer than the newest mask.
    pub pending: u64,
    /// Of those dropped: masks that Zenoh refused.
    pub refused: u64,
    /// Of those dropped: masks that were finished too late to be of use.
    #[serde(default)]
    pub stale: u64,
    /// Masks that were copied into the network because no shared memory was free or possible.
    pub unshared: u64,
    /// Sequence number of the newest mask.
    pub sequence: Option<u64>,
    /// `None` where stamps and clock have nothing to do with each other: replay at full speed.
    pub latency_ms: Option<LatencyMs>,
    /// Time since the newest mask's exposure; `None` before the first, and as for `latency_ms`.
    pub newest_mask_age_ms: Option<f64>,
    /// How a live run's sources are; `None` of a replay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vitals: Option<Vitals>,
}

impl Health {
    /// The message's JSON.
    pub fn to_json(&self) -> Vec<u8> {
        written(self)
    }

    /// Appends the message's JSON.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        write(self, out);
    }

    /// Reads the message from any bytes.
    pub fn from_json(bytes: &[u8]) -> Result<Self, WireError> {
        read("health", bytes)
    }
}

/// `classes`: what the labels of this publisher's masks mean.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassesNotice {
    name: String,
    hash: String,
    unlabeled: u8,
    classes: Vec<ClassJson>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ClassJson {
    id: u8,
    name: String,
    color: [u8; 3],
}

impl ClassesNotice {
    /// The message for `table`.
    pub fn new(table: &ClassTable) -> Self {
        let class = |class: &Class| ClassJson { id: class.id, name: class.name.clone(), color: class.color };
        Self {
            name: table.name.clone(),
            hash: format!("{:016x}", table.hash()),
            unlabeled: UNLABELED,
            classes: table.classes().iter().map(class).collect(),
        }
    }

    /// The message's JSON.
    pub fn to_json(&self) -> Vec<u8> {
        written(self)
    }

    /// Reads the message from any bytes and checks that the table has the hash that it says.
    pub fn table_from_json(bytes: &[u8]) -> Result<ClassTable, WireError> {
        let notice: Self = read("classes", bytes)?;
        let refuse = |reason: String| WireError::Json { message: "classes", reason };
        let value = serde_json::json!({ "name": notice.name, "class": notice.classes });
        let unchecked: ClassTable = serde_json::from_value(value).map_err(|error| refuse(error.to_string()))?;
        let table = ClassTable::from_toml(&unchecked.to_toml()).map_err(|error| refuse(error.to_string()))?;
        let hash = format!("{:016x}", table.hash());
        if hash == notice.hash { Ok(table) } else { Err(refuse(format!("hash {hash}, it says {}", notice.hash))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn notice(state: VehicleState) -> StateNotice {
        let (stamp, unix_ns) = (Stamp::from_ns(1 << 60), 1_700_000_000_123_456_789);
        StateNotice { session: 7, frame: FrameId(3), stamp, clock: StampClock::Recording, unix_ns, state }
    }

    #[test]
    fn a_state_comes_back_with_its_validity_and_without_what_json_cannot_say() {
        let mut state = VehicleState {
            speed_mps: Some(Reading::valid(0.1 + 0.2)),
            yaw_rate_radps: Some(Reading { value: -0.1, validity: Validity::Frozen }),
            ..VehicleState::default()
        };
        assert_eq!(StateNotice::from_json(&notice(state).to_json()), Ok(notice(state)));
        state.lateral_acceleration_mps2 = Some(Reading::valid(f64::NAN));
        let read = StateNotice::from_json(&notice(state).to_json()).expect("the rest is sound");
        assert_eq!(read.state.lateral_acceleration_mps2, None);
    }

    #[test]
    fn a_class_table_comes_back_with_its_meaning_and_a_changed_one_is_refused() {
        let table = ClassTable::camvid();
        let json = ClassesNotice::new(&table).to_json();
        let read = ClassesNotice::table_from_json(&json).expect("sound");
        assert_eq!((read.hash(), read.color_of(3)), (table.hash(), table.color_of(3)));
        let changed = String::from_utf8(json).expect("JSON is UTF-8").replace("\"road\"", "\"river\"");
        let error = ClassesNotice::table_from_json(changed.as_bytes()).expect_err("another meaning");
        assert!(error.to_string().contains("hash"), "{error}");
    }

    proptest! {
        #[test]
        fn a_value_survives_json_to_one_part_in_1e15(value in -1e6..1e6) {
            let state = VehicleState { speed_mps: Some(Reading::valid(value)), ..VehicleState::default() };
            let read = StateNotice::from_json(&notice(state).to_json()).expect("sound").state;
            let speed = read.speed_mps.and_then(Reading::usable).expect("sent");
            prop_assert!((speed - value).abs() <= value.abs() * 1e-15, "{} {}", speed, value);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (StateNotice::from_json(&bytes), Health::from_json(&bytes), ClassesNotice::table_from_json(&bytes));
        }
    }
}
