//! A DBC file's text, parsed and asked for messages and signals by name.
//!
//! Not a general DBC library: what cannot be decoded rightly (extended multiplexing, ids out of
//! range, names given twice) is refused when it is asked for.

use super::CanError;
use super::layout::{Bits, Encoding, Layout};
use crate::data::CanId;
use can_dbc::{ByteOrder, Dbc, DbcError, Message, MultiplexIndicator, Signal, SignalExtendedValueType, ValueType};

/// The longest text that is parsed: several times the largest vehicle's, and parsed within seconds.
const MAX_BYTES: usize = 16 << 20;
/// The longest payload: CAN FD.
const MAX_PAYLOAD: u64 = 64;
/// Below this Jaro-Winkler similarity a name is no help.
const CLOSE: f64 = 0.8;

/// A parsed DBC file.
pub(super) struct Database<'a> {
    file: &'a str,
    text: &'a str,
    dbc: Dbc,
}

impl<'a> Database<'a> {
    pub(super) fn parse(text: &'a str, file: &'a str) -> Result<Self, CanError> {
        if text.len() > MAX_BYTES {
            return Err(CanError::TooLong { file: file.into(), bytes: text.len(), limit: MAX_BYTES });
        }
        // The parser states that its grammar rules out its panics; text from outside is not to rely on that.
        let parsed = std::panic::catch_unwind(|| Dbc::try_from(text));
        let refuse = |(line, reason)| CanError::Database { file: file.into(), line, reason };
        match parsed {
            Ok(Ok(dbc)) => Ok(Self { file, text, dbc }),
            Ok(Err(error)) => Err(refuse(place_and_reason(&error, text))),
            Err(_) => Err(refuse((0, "the DBC parser gave up on it".into()))),
        }
    }

    /// The message called `name`.
    pub(super) fn message(&self, name: &str) -> Result<MessageView<'_>, CanError> {
        let mut named = self.dbc.messages.iter().filter(|message| message.name == name);
        let message = named.next().ok_or_else(|| self.unknown_message(name))?;
        let view = MessageView { database: self, message, id: self.id(message)? };
        if named.next().is_some() {
            return Err(view.unsupported("the name is given to several messages".into()));
        }
        if message.size > MAX_PAYLOAD {
            return Err(view.unsupported(format!("{} bytes are more than the {MAX_PAYLOAD} of CAN FD", message.size)));
        }
        Ok(view)
    }

    /// The id as the text gives it: the parser cuts a standard id to 16 bits without a word.
    fn id(&self, message: &Message) -> Result<CanId, CanError> {
        let written = self.text.lines().enumerate().find_map(|(index, line)| {
            let (id, rest) = line.trim().strip_prefix("BO_")?.trim_start().split_once(char::is_whitespace)?;
            (rest.split(':').next()?.trim() == message.name).then_some((index + 1, id))
        });
        let (line, written) = written.unwrap_or((0, "?"));
        let raw: Option<u32> = written.parse().ok();
        let id = raw.and_then(|raw| match raw & 1 << 31 {
            0 => CanId::standard(raw).ok(),
            flag => CanId::extended(raw ^ flag).ok(),
        });
        let refuse = || CanError::Database {
            file: self.file.into(),
            line,
            reason: format!(
                "id {written} of message '{}' is neither of 11 bits nor of 29 bits plus 2^31",
                message.name
            ),
        };
        id.ok_or_else(refuse)
    }

    fn unknown_message(&self, name: &str) -> CanError {
        let names = self.dbc.messages.iter().map(|message| message.name.as_str());
        CanError::UnknownMessage { file: self.file.into(), message: name.into(), close: close(name, names) }
    }
}

/// One message of a [`Database`].
pub(super) struct MessageView<'a> {
    database: &'a Database<'a>,
    message: &'a Message,
    pub(super) id: CanId,
}

impl MessageView<'_> {
    /// Bytes that the message has.
    pub(super) fn size(&self) -> usize {
        self.message.size as usize
    }

    /// Where the signal called `name` is.
    pub(super) fn layout(&self, name: &str) -> Result<Layout, CanError> {
        let signal = self.signal(name)?;
        let bits = Bits {
            start: signal.start_bit,
            len: signal.size,
            big_endian: signal.byte_order == ByteOrder::BigEndian,
            encoding: self.encoding(signal),
        };
        Layout::new(bits, (signal.factor, signal.offset), self.size())
            .map_err(|reason| self.unsupported(format!("signal '{name}': {reason}")))
    }

    /// The switch and its value with which the signal called `name` is present; `None`: always.
    pub(super) fn multiplexing(&self, name: &str) -> Result<Option<(Layout, u64)>, CanError> {
        match self.signal(name)?.multiplexer_indicator {
            MultiplexIndicator::Plain | MultiplexIndicator::Multiplexor => Ok(None),
            MultiplexIndicator::MultiplexedSignal(value) => Ok(Some((self.switch()?, value))),
            MultiplexIndicator::MultiplexorAndMultiplexedSignal(_) => Err(self.extended_multiplexing()),
        }
    }

    pub(super) fn unsupported(&self, reason: String) -> CanError {
        CanError::Unsupported { file: self.database.file.into(), message: self.message.name.clone(), reason }
    }

    /// The one switch of a simply multiplexed message.
    fn switch(&self) -> Result<Layout, CanError> {
        let is_switch = |signal: &&Signal| {
            use MultiplexIndicator::{Multiplexor, MultiplexorAndMultiplexedSignal};
            matches!(signal.multiplexer_indicator, Multiplexor | MultiplexorAndMultiplexedSignal(_))
        };
        let extended = self.database.dbc.extended_multiplex.iter().any(|entry| entry.message_id == self.message.id);
        let mut switches = self.message.signals.iter().filter(is_switch);
        match (switches.next(), switches.next(), extended) {
            (Some(switch), None, false) => self.layout(&switch.name),
            (None, _, _) => Err(self.unsupported("a multiplexed signal without a multiplexor".into())),
            _ => Err(self.extended_multiplexing()),
        }
    }

    fn extended_multiplexing(&self) -> CanError {
        self.unsupported("extended multiplexing (SG_MUL_VAL_, several switches) is not decoded".into())
    }

    fn signal(&self, name: &str) -> Result<&Signal, CanError> {
        let mut named = self.message.signals.iter().filter(|signal| signal.name == name);
        let signal = named.next().ok_or_else(|| self.unknown_signal(name))?;
        if named.next().is_some() {
            return Err(self.unsupported(format!("the name '{name}' is given to several signals")));
        }
        Ok(signal)
    }

    fn encoding(&self, signal: &Signal) -> Encoding {
        match self.database.dbc.extended_value_type_for_signal(self.message.id, &signal.name) {
            Some(SignalExtendedValueType::IEEEfloat32Bit) => Encoding::Float32,
            Some(SignalExtendedValueType::IEEEdouble64bit) => Encoding::Float64,
            _ if signal.value_type == ValueType::Signed => Encoding::Signed,
            _ => Encoding::Unsigned,
        }
    }

    fn unknown_signal(&self, name: &str) -> CanError {
        let names = self.message.signals.iter().map(|signal| signal.name.as_str());
        CanError::UnknownSignal {
            file: self.database.file.into(),
            message: self.message.name.clone(),
            signal: name.into(),
            close: close(name, names),
        }
    }
}

/// `; is it 'A' or 'B'?` with at most three names that are close to `name`, the closest first.
fn close<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let similarity = |known: &str| strsim::jaro_winkler(&name.to_lowercase(), &known.to_lowercase());
    let mut near: Vec<(f64, &str)> =
        known.map(|known| (similarity(known), known)).filter(|near| near.0 > CLOSE).collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    let names: Vec<String> = near.iter().take(3).map(|(_, known)| format!("'{known}'")).collect();
    if names.is_empty() { String::new() } else { format!("; is it {}?", names.join(" or ")) }
}

/// The line (0: not known) and a one-line reason of a parser's error.
fn place_and_reason(error: &DbcError, text: &str) -> (usize, String) {
    match error {
        DbcError::Pest(_) => pest_place_and_reason(&error.to_string(), text),
        DbcError::InvalidFloat(value) | DbcError::InvalidInt(value) | DbcError::InvalidUint(value) => {
            (line_holding(text, value), error.to_string())
        }
        DbcError::MessageIdOutOfRange(id) => (line_holding(text, &id.to_string()), error.to_string()),
        _ => (0, error.to_string()),
    }
}

/// The grammar's report is a drawing of several lines that begins with `--> line:column`.
fn pest_place_and_reason(report: &str, text: &str) -> (usize, String) {
    let line: usize =
        report.split("--> ").nth(1).and_then(|rest| rest.split(':').next()?.trim().parse().ok()).unwrap_or(0);
    let content: String = text.lines().nth(line.saturating_sub(1)).unwrap_or("").trim().chars().take(60).collect();
    let expected = report.rsplit("= ").next().unwrap_or("").trim();
    (line, format!("not DBC: '{content}' ({expected})"))
}

fn line_holding(text: &str, value: &str) -> usize {
    text.lines().position(|line| line.contains(value)).map_or(0, |index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn error(text: &str, message: &str) -> String {
        let found = Database::parse(text, "car.dbc").and_then(|database| database.message(message).map(|_| ()));
        found.expect_err("refused").to_string()
    }

    #[test]
    fn errors_name_the_file_the_line_and_the_value() {
        let head = "VERSION \"\"\n\nBU_: A\n\n";
        let big = "BO_ 99999999999999999999999 SPEED: 8 A\n SG_ V : 0|8@1+ (1,0) [0|1] \"\" A\n";
        let cases = [
            (format!("{head}BO_ 1 SPEED: 8 A\n SG_ V : 0|8@9+ (1,0) [0|1] \"\" A\n"), "car.dbc:6: not DBC"),
            (format!("{head}{big}"), "car.dbc:5: Invalid Uint"),
            (format!("{head}BO_ 2048 SPEED: 8 A\n"), "car.dbc:5: id 2048 of message 'SPEED'"),
            (format!("{head}BO_ 65541 SPEED: 8 A\n"), "car.dbc:5: id 65541"),
            (format!("{head}BO_ 1 SPEED: 65 A\n"), "65 bytes are more than the 64"),
            (format!("{head}BO_ 1 SPEED: 8 A\n\nBO_ 2 SPEED: 8 A\n"), "several messages"),
            (format!("{head}BO_ 1 SPEEDS: 8 A\n\nBO_ 2 BRAKE: 8 A\n"), "no message 'SPEED'; is it 'SPEEDS'?"),
            ("%PDF-1.4 binary".into(), "car.dbc:1: not DBC"),
        ];
        let wrong: Vec<_> = cases.iter().map(|(text, part)| (error(text, "SPEED"), part)).collect();
        let wrong: Vec<_> = wrong.iter().filter(|(error, part)| !error.contains(**part)).collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn a_text_longer_than_any_dbc_is_refused_before_it_is_parsed() {
        let long = " ".repeat(MAX_BYTES + 1);
        assert!(
            matches!(Database::parse(&long, "long.dbc"), Err(CanError::TooLong { bytes, .. }) if bytes > MAX_BYTES)
        );
    }

    const SAMPLE: &str = "VERSION \"\"\n\nNS_ :\n\nBS_:\n\nBU_: A\n\nBO_ 5 M: 8 A\n SG_ S m0 : 7|16@0- (0.5,-1) [0|1] \"x\" A\n\n\
                          SIG_VALTYPE_ 5 S : 1;\nBA_DEF_ BO_ \"C\" INT 0 10;\nCM_ SG_ 5 S \"text\";\n";

    proptest! {
        #[test]
        fn hostile_text_is_an_error_and_never_a_panic(text in "\\PC{0,200}") {
            let _ = Database::parse(&text, "x").map(|database| database.message("M").map(|_| ()));
        }

        #[test]
        fn a_file_with_bytes_changed_is_an_error_or_a_database(at in 0..SAMPLE.len(), with in "[ -~\n]{0,3}", cut in 0..9_usize) {
            let text = format!("{}{}{}", &SAMPLE[..at], with, &SAMPLE[(at + cut).min(SAMPLE.len())..]);
            if let Ok(database) = Database::parse(&text, "x")
                && let Ok(message) = database.message("M")
                && let Ok(layout) = message.layout("S")
            {
                layout.value(&vec![0; message.size()]);
                let _ = message.multiplexing("S");
            }
        }
    }
}
