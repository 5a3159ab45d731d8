//! Standard output that may be a pipe somebody closes, and files that are whole or not there.

use super::Misuse;
use anyhow::Context;
use std::io::{ErrorKind, Write};
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
