//! Where log lines go: text for people, JSON for machines, both on standard error.
//!
//! Zenoh's own lines are for its makers; what matters of them is told in our words by who uses it.
//! Its errors are shown, everything only where the filter names it, such as `--log info,zenoh=debug`.

use super::Misuse;
use super::latency::{StageTimes, is_stage};
use clap::ValueEnum;
use std::io::{self, IsTerminal, Write};
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{EnvFilter, FilterExt, FilterFn};
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
        .with_writer(|| Placeless(io::stderr()))
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

/// Writes lines without the places in other crates' source code that their messages name.
struct Placeless<W>(W);

impl<W: Write> Write for Placeless<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        self.0.write_all(without_places(&text).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(feature = "zenoh")]
fn without_places(text: &str) -> String {
    crate::wire::session::words(text)
}

#[cfg(not(feature = "zenoh"))]
fn without_places(text: &str) -> &str {
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(feature = "zenoh")]
    fn lines_name_no_place_in_source_code() {
        let mut written = Vec::new();
        let line = b"{\"message\":\"Unable to connect. Timeout! at /build/zenoh/src/orchestrator.rs:388.\"}\n";
        Placeless(&mut written).write_all(line).expect("memory");
        assert_eq!(String::from_utf8_lossy(&written), "{\"message\":\"Unable to connect. Timeout!\"}\n");
    }
}
