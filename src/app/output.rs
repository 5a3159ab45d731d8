//! Standard output that may be a pipe somebody closes, and files that are whole or not there.

use anyhow::Context;
use std::io::{ErrorKind, Write};
use std::path::Path;

/// Prints `text` and a line end.
pub(super) fn print(text: &dyn std::fmt::Display) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")?;
    Ok(out.flush()?)
}

/// Whether `error` only says that nobody reads standard output any more.
pub(super) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

/// Writes `value` as JSON to `path`, which is replaced in one step.
pub(super) fn write_json(path: &Path, value: &impl serde::Serialize) -> anyhow::Result<()> {
    let json = serde_json::to_string_pretty(value).with_context(|| format!("{}: as JSON", path.display()))?;
    let part = path.with_extension("json.part");
    let written = std::fs::write(&part, json + "\n").and_then(|()| std::fs::rename(&part, path));
    written.with_context(|| format!("{}: cannot be written", path.display()))
}
