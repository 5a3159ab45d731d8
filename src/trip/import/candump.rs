//! A log of `candump -L`: `(1436509052.249713) vcan0 044#2A366C2BBA`, CAN FD with `##` and a flags digit.
//!
//! Our own parser because the only crate with one needs Linux sockets. Stamps are Unix time and stay
//! so; arrival is the log's own time, moved to start where it is asked to. Where that time jumps back, or ahead by more
//! than a day, the clock was set: the frames follow each other without a gap, and their stamps show the step.

use super::ImportError;
use crate::data::{CanFrame, CanId, Event, SourceStamp, Stamp, WallMapping};
use crate::source::{Source, SourceError};
use crate::trip::TripMetadata;
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// The longest line: 64 data bytes with separators, and then some.
const MAX_LINE_BYTES: u64 = 1024;
/// Frames held back to put those of several interfaces in order.
const REORDER_WINDOW: usize = 1024;

/// How a log is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CandumpConfig {
    /// Interfaces by bus number; others follow in order of appearance.
    pub interfaces: Vec<String>,
    /// Where on the timeline the first frame arrives.
    pub start: Stamp,
}

/// The frames of a log.
#[derive(Debug)]
pub struct CandumpLog {
    path: PathBuf,
    lines: BufReader<File>,
    line: u64,
    interfaces: Vec<String>,
    window: BTreeMap<(u32, i64, u64), Parsed>,
    refused: VecDeque<String>,
    /// Where the log begins.
    mapping: WallMapping,
    /// Since the last step of its clock.
    current: WallMapping,
    /// Steps so far, of the lines read and of the frames handed out.
    steps: (u32, u32),
    previous: Option<i64>,
    jumps: Jumps,
    told: bool,
    last_arrival: Stamp,
    ended: bool,
}

/// Two interfaces' frames come out of order by less than this; further back, the clock was set.
const MAX_DISORDER_NS: i64 = 1_000_000_000;
/// Longer than this a bus that a car drives with is not silent: told, and kept as a pause.
const LONG_PAUSE_NS: i64 = 10_000_000_000;
/// Further ahead than this the clock was set (from 1970, often): nobody records a day of silence.
const MAX_PAUSE_NS: i64 = 86_400_000_000_000;

/// Where the log's time does not run on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Jumps {
    /// Back by more than a second, or ahead by more than a day: taken for a clock that was set, without a gap.
    pub steps: u64,
    /// Ahead by more than ten seconds: kept as a pause.
    pub pauses: u64,
    /// Line of the first, and by how many nanoseconds it jumps.
    pub first: Option<(u64, i64)>,
}

/// Lines refused in a row after which a file is no log.
const MAX_REFUSED: usize = 1000;

impl CandumpLog {
    /// Opens `path` and reads its first frames.
    pub fn open(path: &Path, config: &CandumpConfig) -> Result<Self, ImportError> {
        let file = File::open(path).map_err(|error| ImportError::io(path, "open", error))?;
        let mapping = WallMapping { at: config.start, unix_ns: 0 };
        let mut log = Self {
            path: path.to_owned(),
            lines: BufReader::new(file),
            line: 0,
            interfaces: config.interfaces.clone(),
            window: BTreeMap::new(),
            refused: VecDeque::new(),
            mapping,
            current: mapping,
            steps: (0, 0),
            previous: None,
            jumps: Jumps::default(),
            told: false,
            last_arrival: config.start,
            ended: false,
        };
        log.fill()?;
        let first = log.window.first_key_value().map(|(&(_, unix_ns, _), _)| unix_ns);
        let none = || ImportError::recording(path, "no CAN frame in it; write one with `candump -L can0 > drive.log`");
        log.mapping.unix_ns = first.ok_or_else(none)?;
        log.current = log.mapping;
        Ok(log)
    }

    /// Where its time does not run on, as far as it was read.
    pub fn jumps(&self) -> Jumps {
        self.jumps
    }

    /// What the trip should say of itself.
    pub fn metadata(&self) -> TripMetadata {
        let source = format!("candump log, buses {}", self.interfaces.join(", "));
        TripMetadata { source, wall: Some(self.mapping), ..TripMetadata::default() }
    }

    fn fill(&mut self) -> Result<(), ImportError> {
        while !self.ended && self.window.len() < REORDER_WINDOW && self.may_read_on() {
            let Some(line) = self.read_line()? else { break };
            let parsed = parse(line.trim()).and_then(|parsed| self.place(parsed));
            if let Err(reason) = parsed {
                self.refused.push_back(format!("{}:{}: {reason}", self.path.display(), self.line));
            }
        }
        Ok(())
    }

    /// A refused line is told before more is read, unless nothing good was read yet: logs are cut at their start.
    fn may_read_on(&self) -> bool {
        self.refused.is_empty() || (self.window.is_empty() && self.refused.len() < MAX_REFUSED)
    }

    fn place(&mut self, parsed: Option<Parsed>) -> Result<(), String> {
        let Some(mut parsed) = parsed else { return Ok(()) };
        let known = self.interfaces.iter().position(|name| *name == parsed.interface);
        let bus = known.unwrap_or(self.interfaces.len());
        parsed.bus = u8::try_from(bus).map_err(|_| "more than 256 interfaces".to_owned())?;
        if known.is_none() {
            self.interfaces.push(parsed.interface.clone());
        }
        self.note_jump(parsed.unix_ns);
        self.window.insert((self.steps.0, parsed.unix_ns, self.line), parsed);
        Ok(())
    }

    fn note_jump(&mut self, unix_ns: i64) {
        let jump = unix_ns.saturating_sub(self.previous.replace(unix_ns).unwrap_or(unix_ns));
        if (-MAX_DISORDER_NS..=LONG_PAUSE_NS).contains(&jump) {
            return;
        }
        self.jumps.first.get_or_insert((self.line, jump));
        if (0..=MAX_PAUSE_NS).contains(&jump) {
            self.jumps.pauses += 1;
        } else {
            self.jumps.steps += 1;
            self.steps.0 = self.steps.0.saturating_add(1);
        }
    }

    fn read_line(&mut self) -> Result<Option<String>, ImportError> {
        let mut line = Vec::new();
        let read = (&mut self.lines).take(MAX_LINE_BYTES).read_until(b'\n', &mut line);
        read.map_err(|error| ImportError::io(&self.path, "read", error))?;
        self.line += 1;
        if line.len() as u64 == MAX_LINE_BYTES {
            let reason = format!("line {} is longer than {MAX_LINE_BYTES} bytes: not a candump log", self.line);
            return Err(ImportError::recording(&self.path, reason));
        }
        self.ended = line.is_empty();
        Ok((!self.ended).then(|| String::from_utf8_lossy(&line).into_owned()))
    }

    /// The log's time on the timeline; never before the frame ahead of it. The first frame after a step of the clock
    /// arrives with the last one before it.
    fn arrival(&mut self, step: u32, unix_ns: i64) -> Stamp {
        if step != self.steps.1 {
            self.steps.1 = step;
            self.current = WallMapping { at: self.last_arrival, unix_ns };
        }
        let arrival = self.current.at.offset_ns(unix_ns.saturating_sub(self.current.unix_ns));
        self.last_arrival = self.last_arrival.max(arrival);
        self.last_arrival
    }

    fn tell_jumps(&mut self) {
        let Jumps { steps, pauses, first } = self.jumps;
        let Some((line, jump)) = first.filter(|_| !self.told) else { return };
        self.told = true;
        let jump_s = jump as f64 / 1e9;
        tracing::warn!(path = %self.path.display(), steps, pauses, line, jump_s, "the log's time jumps, first at this line: \
            steps (back, or ahead by over a day) are taken for a clock that was set, pauses (over 10 s) are kept");
    }
}

impl Source for CandumpLog {
    fn next(&mut self) -> Result<Option<Event>, SourceError> {
        self.fill().map_err(|error| SourceError::Stopped(Box::new(error)))?;
        if let Some(reason) = self.refused.pop_front() {
            return Err(SourceError::Skipped(reason));
        }
        let Some(((step, ..), parsed)) = self.window.pop_first() else {
            self.tell_jumps();
            return Ok(None);
        };
        let arrival = self.arrival(step, parsed.unix_ns);
        let taken = SourceStamp::realtime(parsed.unix_ns);
        let frame = CanFrame::new(parsed.bus, parsed.id, taken, arrival, &parsed.payload);
        frame.map(|frame| Some(Event::Can(frame))).map_err(|error| SourceError::Skipped(error.to_string()))
    }
}

#[derive(Debug, PartialEq)]
struct Parsed {
    unix_ns: i64,
    interface: String,
    bus: u8,
    id: CanId,
    payload: Vec<u8>,
}

/// One line; `None` for empty lines.
fn parse(line: &str) -> Result<Option<Parsed>, String> {
    if line.is_empty() {
        return Ok(None);
    }
    let mut words = line.split_ascii_whitespace();
    let mut word = |what: &str| words.next().ok_or_else(|| format!("{what} is missing"));
    let unix_ns = parse_time(word("the time")?)?;
    let interface = word("the interface")?.to_owned();
    let (id, data) = word("the frame")?.split_once('#').ok_or("the frame has no '#'")?;
    let id = parse_id(id)?;
    if data.starts_with(['R', 'r']) {
        return Err("a remote frame, which carries no data".into());
    }
    let payload = match data.strip_prefix('#') {
        Some(fd) => parse_payload(fd.get(1..).ok_or("a CAN FD frame without its flags digit")?, 64)?,
        None => parse_payload(data.split('_').next().unwrap_or_default(), 8)?,
    };
    Ok(Some(Parsed { unix_ns, interface, bus: 0, id, payload }))
}

/// `(seconds.fraction)` of up to nine decimals, exactly.
fn parse_time(word: &str) -> Result<i64, String> {
    let refuse = || format!("'{word}' is not a time: expected (seconds.microseconds)");
    let inner = word.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).ok_or_else(refuse)?;
    let (seconds, fraction) = inner.split_once('.').unwrap_or((inner, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if seconds.is_empty() || fraction.len() > 9 || !digits(seconds) || !digits(fraction) {
        return Err(refuse());
    }
    let whole: i64 = seconds.parse().map_err(|_| refuse())?;
    let ns: i64 = format!("{fraction:0<9}").parse().map_err(|_| refuse())?;
    whole.checked_mul(1_000_000_000).and_then(|whole| whole.checked_add(ns)).ok_or_else(refuse)
}

/// Three hex digits: 11 bits; eight: 29 bits, with SocketCAN's error flag refused.
fn parse_id(word: &str) -> Result<CanId, String> {
    let raw = u32::from_str_radix(word, 16).map_err(|_| format!("'{word}' is not a CAN id"))?;
    let id = match word.len() {
        3 => CanId::standard(raw),
        8 if raw & 0x2000_0000 != 0 => return Err("an error frame of the controller".into()),
        8 => CanId::extended(raw),
        _ => return Err(format!("'{word}' is not a CAN id: three or eight hex digits are")),
    };
    id.map_err(|error| error.to_string())
}

fn parse_payload(text: &str, limit: usize) -> Result<Vec<u8>, String> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'.').collect();
    let digit = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    if !digits.len().is_multiple_of(2) || digits.len() > 2 * limit {
        return Err(format!("'{text}' is not 0 to {limit} data bytes in hex"));
    }
    let byte = |pair: &[u8]| Some(digit(pair[0])? << 4 | digit(pair[1])?);
    digits.chunks_exact(2).map(|pair| byte(pair).ok_or_else(|| format!("'{text}' is not hex"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(line: &str) -> Option<(i64, u32, Vec<u8>)> {
        parse(line).expect(line).map(|parsed| (parsed.unix_ns, parsed.id.raw(), parsed.payload))
    }

    #[test]
    fn lines_of_candump_are_read_exactly() {
        for (line, expected) in [
            (
                "(1436509052.249713) vcan0 044#2A366C2BBA",
                Some((1_436_509_052_249_713_000, 0x44, vec![0x2a, 0x36, 0x6c, 0x2b, 0xba])),
            ),
            ("(1.000000001) can1 12345678#", Some((1_000_000_001, 0x1234_5678, vec![]))),
            ("(0.5) can0 7FF##1112233 R", Some((500_000_000, 0x7ff, vec![0x11, 0x22, 0x33]))),
            ("(3.0) can0 123#11.22.33", Some((3_000_000_000, 0x123, vec![0x11, 0x22, 0x33]))),
            (
                "(3.0) can0 123#1122334455667788_B",
                Some((3_000_000_000, 0x123, vec![0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88])),
            ),
            ("", None),
        ] {
            assert_eq!(frame(line), expected, "{line}");
        }
    }

    #[test]
    fn lines_that_are_not_candump_are_refused() {
        for line in [
            "can0 123#11",
            "(1.0) can0",
            "(1.0) can0 123",
            "(1.0) can0 1234#11",
            "(1.0) can0 800#11",
            "(1.0) can0 20000004#00",
            "(1.0) can0 123#1",
            "(1.0) can0 123#112233445566778899",
            "(1.0) can0 123##",
            "(1.0) can0 123#R",
            "(1.0) can0 123#R8",
            "(1.0) can0 123#GG",
            "(-1.0) can0 123#11",
            "(1.0000000001) can0 123#11",
            "(99999999999999.0) can0 123#11",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_line_makes_the_parser_panic(line in ".{0,80}") {
            let _ = parse(&line);
        }
    }
}
