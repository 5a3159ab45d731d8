//! Where log lines go: text for people, JSON for machines, both on standard error.
//!
//! Zenoh's own lines are for its makers; what matters of them is told in our words by who uses it.
//! Its errors are shown, everything only where the filter names it, such as `--log info,zenoh=debug`.
//!
//! Where standard error is the systemd journal, each line begins with its priority, which the journal takes off again:
//! `<4>` for a warning. Not by the journal's own socket, so that there is one way for lines wherever they go.

use super::Misuse;
use super::latency::{StageTimes, is_stage};
use clap::ValueEnum;
use std::io::{self, IsTerminal, Write};
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{EnvFilter, FilterExt, FilterFn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::prelude::*;

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One readable line an event.
    #[default]
    Text,
    /// One JSON object an event, for journald's structured import and log collectors.
    Json,
}

/// Installs logging and the stage timing for the whole process. `filter` is an `EnvFilter` such as `segfuse=debug`.
pub(super) fn install(format: LogFormat, filter: &str, times: &StageTimes) -> anyhow::Result<()> {
    let names_zenoh = filter.contains("zenoh");
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        Misuse(format!("--log '{filter}': {error}; write a level or module=level pairs, such as info or segfuse=debug"))
    })?;
    let filter = filter.and(FilterFn::new(move |metadata| names_zenoh || is_for_users(metadata)));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(Lines { to_journal: goes_to_journal() })
        .with_target(false)
        .with_ansi(io::stderr().is_terminal());
    let lines = match format {
        LogFormat::Text => lines.without_time().compact().with_filter(filter).boxed(),
        LogFormat::Json => lines.json().with_filter(filter).boxed(),
    };
    let timing = times.clone().with_filter(FilterFn::new(is_stage));
    tracing_subscriber::registry().with(lines).with(timing).try_init().map_err(Into::into)
}

/// Whether a line is not one that only Zenoh's makers understand.
fn is_for_users(metadata: &Metadata<'_>) -> bool {
    !metadata.target().starts_with("zenoh") || *metadata.level() == Level::ERROR
}

/// Tells what ended the program.
pub(super) fn tell_failure(told: &str) {
    let line = format!("error: {}\n", printable(told));
    let priority = goes_to_journal().then(|| priority(Level::ERROR));
    // There is nowhere left to tell that it cannot be told.
    let _ = io::stderr().write_all(with_priority(priority, &line).as_bytes());
}

/// What files and networks are called and hold is told in full, but does not command the terminal that shows it.
pub(super) fn printable(told: &str) -> String {
    let commands = |sign: char| sign.is_control() && !matches!(sign, '\n' | '\t');
    let shown = |sign: char| if commands(sign) { sign.escape_default().to_string() } else { sign.to_string() };
    told.chars().map(shown).collect()
}

/// Whether the journal reads standard error. Another program may have put a file in its place since it was told so.
fn goes_to_journal() -> bool {
    let stream = std::env::var("JOURNAL_STREAM").ok();
    let found = rustix::fs::fstat(io::stderr()).map(|found| (found.st_dev, found.st_ino));
    found.is_ok_and(|found| is_journal(stream.as_deref(), found))
}

/// Whether `stream`, device and inode as systemd tells them, is the file `found`.
fn is_journal(stream: Option<&str>, found: (u64, u64)) -> bool {
    let told = stream.and_then(|stream| stream.split_once(':'));
    told.is_some_and(|(device, inode)| (device.parse(), inode.parse()) == (Ok(found.0), Ok(found.1)))
}

/// syslog's number for a level.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

/// A journal takes each line of `text` as an entry of its own.
fn with_priority(priority: Option<u8>, text: &str) -> String {
    let Some(priority) = priority else { return text.to_owned() };
    let mark = format!("<{priority}>");
    text.split_inclusive('\n').flat_map(|line| [&mark, line]).collect()
}

/// Makes what writes a line of a certain level.
struct Lines {
    to_journal: bool,
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Placeless<io::Stderr>;

    fn make_writer(&'a self) -> Self::Writer {
        Placeless { to: io::stderr(), priority: None }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Self::Writer {
        Placeless { priority: self.to_journal.then(|| priority(*metadata.level())), ..self.make_writer() }
    }
}

/// Writes lines without the places in other crates' source code that their messages name.
struct Placeless<W> {
    to: W,
    priority: Option<u8>,
}

impl<W: Write> Write for Placeless<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        // In one piece: lines of several threads must not mix.
        self.to.write_all(with_priority(self.priority, &without_places(&text)).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(feature = "zenoh")]
fn without_places(text: &str) -> String {
    crate::wire::session::words(text)
}

#[cfg(not(feature = "zenoh"))]
fn without_places(text: &str) -> String {
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(feature = "zenoh")]
    fn lines_name_no_place_in_source_code() {
        let mut written = Vec::new();
        let line = b"{\"message\":\"Unable to connect. Timeout! at /build/zenoh/src/orchestrator.rs:388.\"}\n";
        Placeless { to: &mut written, priority: None }.write_all(line).expect("memory");
        assert_eq!(String::from_utf8_lossy(&written), "{\"message\":\"Unable to connect. Timeout!\"}\n");
    }

    #[test]
    fn the_journal_is_told_the_priority_of_every_line() {
        let mut written = Vec::new();
        Placeless { to: &mut written, priority: Some(priority(Level::WARN)) }.write_all(b"a\nb\n").expect("memory");
        assert_eq!(String::from_utf8_lossy(&written), "<4>a\n<4>b\n");
        assert_eq!([Level::ERROR, Level::INFO, Level::DEBUG, Level::TRACE].map(priority), [3, 6, 7, 7]);
    }

    #[test]
    fn the_journal_is_known_by_its_device_and_inode() {
        for (stream, expected) in [
            (Some("8:1234"), true),
            (Some("8:1235"), false),
            (Some("9:1234"), false),
            (Some("8"), false),
            (Some(""), false),
            (None, false),
        ] {
            assert_eq!(is_journal(stream, (8, 1234)), expected, "{stream:?}");
        }
    }

    #[test]
    fn what_a_file_holds_does_not_command_the_terminal() {
        assert_eq!(printable("a\u{1b}]0;x\u{7}b\u{9b}2J"), "a\\u{1b}]0;x\\u{7}b\\u{9b}2J");
        assert_eq!(printable("Straße – 'b'\n\tc"), "Straße – 'b'\n\tc");
    }
}
