//! The decoder: raw frames in, state samples out, nothing allocated after the start.

use super::config::{Checksum, Config, Counter, MessageConfig, Range, SignalConfig};
use super::counter::{CounterTrack, Verdict};
use super::database::{Database, MessageView};
use super::layout::Layout;
use super::{CanError, ChecksumRule};
use crate::data::{CanFrame, CanId, Quantity, Reading, StateSample, Validity, VehicleState};

/// What became of the frames that were given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All that came.
    pub frames: u64,
    /// Of no message that is named in the configuration.
    pub other: u64,
    /// Refused: fewer bytes than the DBC says.
    pub short: u64,
    /// Refused: the checksum is another.
    pub bad_checksum: u64,
    /// Refused: the counter jumped.
    pub bad_counter: u64,
    /// Refused: the counter did not move.
    pub frozen_counter: u64,
    /// Single values outside their plausible range, in frames that were good otherwise.
    pub implausible: u64,
}

/// Decodes the frames of the messages that its configuration names.
#[derive(Debug)]
pub struct CanDecoder {
    messages: Vec<MessageTrack>,
    counts: Counts,
}

impl CanDecoder {
    /// A decoder of `config`'s signals as `dbc_text` lays them out; `dbc_name` names that file in errors.
    ///
    /// Everything that could be wrong is found here: names, lengths, multiplexing, units.
    pub fn new(config: &Config, dbc_text: &str, dbc_name: &str) -> Result<Self, CanError> {
        config.check()?;
        let database = Database::parse(dbc_text, dbc_name)?;
        let track = |message: &MessageConfig| MessageTrack::new(message, &database.message(&message.name)?);
        let mut messages = config.message.iter().map(track).collect::<Result<Vec<_>, _>>()?;
        messages.sort_by_key(|message| message.key);
        match messages.windows(2).find(|pair| pair[0].key == pair[1].key) {
            Some(pair) => {
                Err(CanError::Config(format!("bus {} id {:#x} is named twice", pair[0].key.0, pair[0].key.1.raw())))
            }
            None => Ok(Self { messages, counts: Counts::default() }),
        }
    }

    /// The ids of the messages that are on this bus: what a live bus has to let through.
    pub fn ids(&self, bus: u8) -> Vec<CanId> {
        self.messages.iter().map(|message| message.key).filter(|key| key.0 == bus).map(|key| key.1).collect()
    }

    /// The quantities that `frame` carries, if it is one of the messages named and tells anything.
    ///
    /// A frame refused tells nothing, until `invalid_after` in a row make the last values
    /// [`Validity::Faulty`], or [`Validity::Frozen`] where the counter stands still.
    pub fn decode(&mut self, frame: &CanFrame) -> Option<StateSample> {
        self.counts.frames += 1;
        let Ok(place) = self.messages.binary_search_by_key(&(frame.bus, frame.id), |message| message.key) else {
            self.counts.other += 1;
            return None;
        };
        let state = self.messages[place].read(frame.payload(), &mut self.counts);
        (state != VehicleState::default()).then_some(StateSample { taken: frame.taken, arrival: frame.arrival, state })
    }

    /// What became of the frames so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }
}

/// One message: how it proves itself, and its signals.
#[derive(Debug)]
struct MessageTrack {
    key: (u8, CanId),
    size: usize,
    checksum: Option<ChecksumCheck>,
    counter: Option<(Layout, CounterTrack)>,
    invalid_after: u8,
    signals: Vec<SignalTrack>,
}

impl MessageTrack {
    fn new(config: &MessageConfig, message: &MessageView<'_>) -> Result<Self, CanError> {
        let checksum = config.checksum.as_ref().map(|checksum| ChecksumCheck::new(checksum, message));
        let counter = config.counter.as_ref().map(|counter| counter_track(counter, message));
        let signals = config.signal.iter().map(|signal| SignalTrack::new(signal, message));
        Ok(Self {
            key: (config.bus, message.id),
            size: message.size(),
            checksum: checksum.transpose()?,
            counter: counter.transpose()?,
            invalid_after: config.invalid_after,
            signals: signals.collect::<Result<_, _>>()?,
        })
    }

    fn read(&mut self, payload: &[u8], counts: &mut Counts) -> VehicleState {
        let refused = self.check(payload, counts).err();
        let mut state = VehicleState::default();
        for signal in &mut self.signals {
            let reading = match refused {
                None => signal.read(payload, self.invalid_after, counts),
                Some(validity) => signal.refuse(validity, self.invalid_after),
            };
            state.set(signal.quantity, reading);
        }
        state
    }

    /// Whether the message proves itself; otherwise what its values become if that goes on.
    fn check(&mut self, payload: &[u8], counts: &mut Counts) -> Result<(), Validity> {
        if let Err(count) = self.check_bytes(payload, counts) {
            *count += 1;
            self.counter.iter_mut().for_each(|(_, track)| track.skip());
            return Err(Validity::Faulty);
        }
        let verdict = self.counter.as_mut().map(|(layout, track)| track.judge(layout.raw(payload)));
        match verdict {
            None | Some(Verdict::Moved) => Ok(()),
            Some(Verdict::Jumped) => {
                counts.bad_counter += 1;
                Err(Validity::Faulty)
            }
            Some(Verdict::Repeated) => {
                counts.frozen_counter += 1;
                Err(Validity::Frozen)
            }
        }
    }

    /// Length and checksum; a payload longer than the DBC says (padding of CAN FD and of recorders) is cut.
    fn check_bytes<'a>(&self, payload: &[u8], counts: &'a mut Counts) -> Result<(), &'a mut u64> {
        match payload.get(..self.size) {
            None => Err(&mut counts.short),
            Some(data) if self.checksum.as_ref().is_some_and(|check| !check.holds(self.key.1.raw(), data)) => {
                Err(&mut counts.bad_checksum)
            }
            Some(_) => Ok(()),
        }
    }
}

fn counter_track(config: &Counter, message: &MessageView<'_>) -> Result<(Layout, CounterTrack), CanError> {
    let layout = message.layout(&config.signal)?;
    let refuse = |reason: String| Err(message.unsupported(format!("counter '{}': {reason}", config.signal)));
    if layout.bits() > 32 || message.multiplexing(&config.signal)?.is_some() {
        return refuse("it has more than 32 bits or is multiplexed".into());
    }
    let capacity = 1_u64 << layout.bits();
    let modulo = if config.modulo == 0 { capacity } else { u64::from(config.modulo) };
    let increment = u64::from(config.increment);
    if modulo > capacity || modulo < 2 || increment % modulo == 0 {
        return refuse(format!("modulo {modulo} and increment {increment} do not make {} bits move", layout.bits()));
    }
    Ok((layout, CounterTrack::new(modulo, increment, config.lost_allowed)))
}

/// Where the checksum byte is and what it must be.
#[derive(Debug)]
struct ChecksumCheck {
    rule: ChecksumRule,
    prefix: Vec<u8>,
    place: usize,
}

impl ChecksumCheck {
    fn new(config: &Checksum, message: &MessageView<'_>) -> Result<Self, CanError> {
        let place = match &config.signal {
            None => message.size().checked_sub(1),
            Some(name) => message.layout(name)?.whole_byte(),
        };
        let refuse = || message.unsupported("the checksum must be one whole byte of it".into());
        Ok(Self { rule: config.rule, prefix: config.prefix.clone(), place: place.ok_or_else(refuse)? })
    }

    fn holds(&self, id: u32, data: &[u8]) -> bool {
        self.rule.compute(id, &self.prefix, data, self.place) == data[self.place]
    }
}

/// One quantity: its bits, its meaning, and its last good value.
#[derive(Debug)]
struct SignalTrack {
    quantity: Quantity,
    parts: Vec<Layout>,
    present: Option<(Layout, u64)>,
    weight: f64,
    scale: f64,
    offset: f64,
    si: f64,
    range: Range,
    last: Option<f64>,
    refused: u8,
}

impl SignalTrack {
    fn new(config: &SignalConfig, message: &MessageView<'_>) -> Result<Self, CanError> {
        let names = config.names();
        let parts = names.iter().map(|name| message.layout(name)).collect::<Result<Vec<_>, _>>()?;
        let present = names.iter().map(|name| message.multiplexing(name)).collect::<Result<Vec<_>, _>>()?;
        let mut switched = present.into_iter().flatten();
        let first = switched.next();
        if switched.any(|other| Some(other) != first) {
            return Err(message.unsupported(format!("{names:?} are never present together")));
        }
        Ok(Self {
            quantity: config.quantity,
            parts,
            present: first,
            weight: config.weight(),
            scale: config.scale,
            offset: config.offset,
            si: config.unit.si(),
            range: config.range.unwrap_or(Range { min: f64::MIN, max: f64::MAX }),
            last: None,
            refused: 0,
        })
    }

    fn read(&mut self, payload: &[u8], invalid_after: u8, counts: &mut Counts) -> Option<Reading> {
        if self.present.as_ref().is_some_and(|(switch, value)| switch.raw(payload) != *value) {
            return None;
        }
        let combined = self.parts.iter().map(|part| part.value(payload)).sum::<f64>() * self.weight;
        let value = combined * self.scale + self.offset;
        // Not finite is outside every range.
        if !(self.range.min..=self.range.max).contains(&value) {
            counts.implausible += 1;
            return self.refuse(Validity::Faulty, invalid_after);
        }
        (self.last, self.refused) = (Some(value * self.si), 0);
        self.last.map(Reading::valid)
    }

    fn refuse(&mut self, validity: Validity, invalid_after: u8) -> Option<Reading> {
        self.refused = self.refused.saturating_add(1);
        let value = self.last.filter(|_| self.refused >= invalid_after)?;
        Some(Reading { value, validity })
    }
}
