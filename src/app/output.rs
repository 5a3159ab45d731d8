//! Standard output that may be a pipe somebody closes, and files that are whole or not there.

use super::Misuse;
use anyhow::Context;
use std::ffi::OsString;
use std::fs::{Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

/// Prints `text` and a line end.
pub(super) fn print(text: &dyn std::fmt::Display) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).context("standard output")
}

/// Whether `error` only says that nobody reads standard output any more.
pub(super) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

/// Whether `path` is `-`, which stands for standard output where a command writes JSON.
pub(super) fn is_standard_output(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Writes `value` as JSON to `path`, or to standard output if that is `-`. A plain file is replaced in one step; through a link, a pipe or a device it is written.
pub(super) fn write_json(path: &Path, value: &impl serde::Serialize) -> anyhow::Result<()> {
    let json = serde_json::to_string_pretty(value).with_context(|| format!("{}: as JSON", path.display()))? + "\n";
    if is_standard_output(path) {
        return print(&json.trim_end());
    }
    let cannot = || format!("{}: cannot be written", path.display());
    if path.symlink_metadata().is_ok_and(|found| !found.is_file()) {
        return std::fs::write(path, json).with_context(cannot);
    }
    let part = path.with_extension("json.part");
    let written = std::fs::write(&part, json).and_then(|()| std::fs::rename(&part, path));
    written.inspect_err(|_| drop(std::fs::remove_file(&part))).with_context(cannot)
}

/// Refuses outputs that would overwrite an input, a file in a folder that is an input, or one another.
pub(super) fn keep_apart(inputs: &[&Path], outputs: &[Option<&Path>]) -> Result<(), Misuse> {
    let outputs: Vec<&Path> = outputs.iter().copied().flatten().collect();
    for (index, output) in outputs.iter().enumerate() {
        if inputs.iter().any(|input| same_file(output, input) || is_file_in(output, input)) {
            return Err(Misuse(format!(
                "{}: is an input and would be overwritten: name another file",
                output.display()
            )));
        }
        if outputs[..index].iter().any(|other| same_name(output, other) || same_file(output, other)) {
            return Err(Misuse(format!("{}: is named for two outputs: name another place", output.display())));
        }
    }
    Ok(())
}

/// Whether `output` is a file that is there already, in the folder `input`.
fn is_file_in(output: &Path, input: &Path) -> bool {
    let places = (output.canonicalize(), input.canonicalize());
    matches!(places, (Ok(output), Ok(input)) if output.is_file() && input.is_dir() && output.starts_with(&input))
}

fn same_name(one: &Path, other: &Path) -> bool {
    matches!((std::path::absolute(one), std::path::absolute(other)), (Ok(one), Ok(other)) if one == other)
}

fn same_file(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// Refuses outputs that cannot be written, before the work begins: pairs of an option and what it names. Nothing that
/// is there is changed, and nothing is left behind.
pub(super) fn check_outputs(outputs: &[(&str, Option<&Path>)]) -> anyhow::Result<()> {
    for (option, path) in outputs.iter().filter_map(|(option, path)| Some((option, (*path)?))) {
        if is_standard_output(path) {
            continue;
        }
        probe(path).with_context(|| format!("{option} {}: cannot be written", path.display()))?;
    }
    Ok(())
}

/// Refuses a trip that would go into a device or a pipe: it is read back, and ends with what its start points to.
pub(super) fn check_trip_output(option: &str, path: &Path) -> Result<(), Misuse> {
    if path.metadata().is_ok_and(|found| !found.is_file() && !found.is_dir()) {
        let path = path.display();
        return Err(Misuse(format!("{option} {path}: a trip is recorded into a regular file, and this is none")));
    }
    Ok(())
}

fn probe(path: &Path) -> io::Result<()> {
    let opened = |path: &Path| OpenOptions::new().write(true).open(path).map(drop);
    match path.metadata() {
        Ok(found) if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        // A pipe would wait for its reader.
        Ok(found) if is_pipe(&found) => Ok(()),
        Ok(found) if found.is_file() => opened(path).and_then(|()| probe_folder(path)),
        Ok(_) => opened(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => probe_folder(path),
        Err(error) => Err(error),
    }
}

#[cfg(unix)]
fn is_pipe(found: &Metadata) -> bool {
    std::os::unix::fs::FileTypeExt::is_fifo(&found.file_type())
}

#[cfg(not(unix))]
fn is_pipe(_: &Metadata) -> bool {
    false
}

/// Makes a file beside `path` and takes it away: most outputs are written beside their name and renamed.
fn probe_folder(path: &Path) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}.probe", std::process::id()));
    let beside = path.with_file_name(hidden);
    OpenOptions::new().write(true).create_new(true).open(&beside)?;
    std::fs::remove_file(&beside)
}
