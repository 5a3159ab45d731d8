//! From the files that say what a bus means to a decoder.

use crate::files;
use crate::source::can::{self, CanDecoder, builtin_signals};
use crate::trip::DbcText;
use anyhow::Context;
use std::path::Path;

/// The decoder of `dbc` for the signals named, and what a trip keeps of the file.
pub(super) fn decoder(dbc: &Path, signals: &can::Config) -> anyhow::Result<(CanDecoder, DbcText)> {
    let name = dbc.display().to_string();
    let bytes = files::read(dbc).with_context(|| format!("{name}: cannot read the DBC"))?;
    // DBC files are often Latin-1: what is not ASCII stands in comments and units alone.
    let text = String::from_utf8(bytes)
        .unwrap_or_else(|error| error.as_bytes().iter().map(|&byte| char::from(byte)).collect());
    let decoder = CanDecoder::new(signals, &text, &name)?;
    let name = dbc.file_name().map_or(name, |name| name.to_string_lossy().into_owned());
    Ok((decoder, DbcText { name, text }))
}

/// The signals that `name` names: a .toml file, or a set that is built in.
pub(super) fn named(name: &str) -> anyhow::Result<can::Config> {
    if Path::new(name).extension().is_none_or(|extension| extension != "toml") {
        return Ok(builtin_signals(name)?);
    }
    let text = files::read_text(name.as_ref()).with_context(|| format!("{name}: cannot read the signals"))?;
    Ok(can::Config::from_toml(&text, name)?)
}
