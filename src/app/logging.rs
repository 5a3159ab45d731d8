//! Where log lines go: text for people, JSON for machines, both on standard error.

use super::latency::{StageTimes, is_stage};
use clap::ValueEnum;
use std::io::IsTerminal;
use tracing_subscriber::filter::{EnvFilter, FilterFn};
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
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        anyhow::anyhow!("--log '{filter}': {error}; write a level or module=level pairs, such as info or segfuse=debug")
    })?;
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal());
    let lines = match format {
        LogFormat::Text => lines.without_time().compact().with_filter(filter).boxed(),
        LogFormat::Json => lines.json().with_filter(filter).boxed(),
    };
    let timing = times.clone().with_filter(FilterFn::new(is_stage));
    tracing_subscriber::registry().with(lines).with(timing).try_init().map_err(Into::into)
}
