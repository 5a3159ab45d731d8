//! `segfuse network import`: one ONNX file into a network folder.

use super::Misuse;
use super::arguments::{PlainArguments, RuntimeArguments};
use super::network_command::street;
use super::output::print;
use super::session::Session;
use crate::engine;
use crate::engine::cpu::trial::{Agreement, Trial, compare, prepare};
use crate::engine::network::import::{ImportError, ImportOptions, Imported, import};
use crate::engine::network::{Graph, Network};
use anyhow::{Context, bail};
use clap::Args;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  segfuse network import net.onnx --out mynet                        finds a good place to split
  segfuse network import net.onnx --out mynet --split-at /decoder/Relu_output_0
  segfuse network import net.onnx --out mynet --scale 1 --mean 104,117,123 --std 1,1,1 --channels bgr
  segfuse replay drive.mcap --network mynet

The features at the split are what is carried from key frame to key frame; the head runs for every frame.
Both parts together are held against the whole file before the folder appears.";

/// What makes up a network folder: nothing else is ever deleted.
const FILES: [&str; 8] = [
    "model.toml",
    "classes.toml",
    "backbone.onnx",
    "head.onnx",
    "correction.onnx",
    "backbone.fp16.onnx",
    "head.fp16.onnx",
    "correction.fp16.onnx",
];

/// The largest difference of logits, as a part of the largest logit: rounding in another order gives far less.
const TOLERANCE: f32 = 1e-3;

/// Options of `segfuse network import`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// An ONNX file that maps [1, 3, rows, cols] to [1, classes, rows/n, cols/n] logits, of fixed size.
    #[arg(value_name = "NET.onnx")]
    pub onnx: PathBuf,
    /// Where to make the network folder.
    #[arg(long, value_name = "FOLDER")]
    pub out: PathBuf,
    /// The tensor that becomes the features [default: the least to carry among those with a light head].
    #[arg(long, value_name = "TENSOR")]
    pub split_at: Option<String>,
    /// The network's name [default: the file's].
    #[arg(long)]
    pub name: Option<String>,
    /// Keep an enlargement of the logits at the end; without it decoding enlarges, which is faster.
    #[arg(long)]
    pub keep_upsampling: bool,
    /// Replace the network that is in FOLDER.
    #[arg(long)]
    pub force: bool,
    /// How pictures are prepared.
    #[command(flatten)]
    pub plain: PlainArguments,
    /// What runs it to verify the split.
    #[command(flatten)]
    pub runtime: RuntimeArguments,
}

/// Splits, verifies, writes; says what was done.
pub(super) fn run(arguments: &Arguments, session: &Session) -> anyhow::Result<()> {
    check_target(&arguments.onnx, &arguments.out, arguments.force)?;
    let options = options(arguments)?;
    let (trial, imported, agreement) = session.interrupt.cuts(|| -> anyhow::Result<_> {
        let trial = Trial::new(&arguments.runtime.over(&engine::Config::default()).cpu())?;
        let imported = split(&arguments.onnx, &options, &trial)?;
        let agreement = verify(&arguments.onnx, &options, &imported, &trial)?;
        Ok((trial, imported, agreement))
    })?;
    write_folder(&arguments.out, &imported.files)?;
    print(&account(arguments, &imported, &trial.describe(), agreement))
}

fn options(arguments: &Arguments) -> Result<ImportOptions, Misuse> {
    let unfit = |name: &String| name.trim().is_empty() || name.chars().any(char::is_control);
    if let Some(name) = arguments.name.as_ref().filter(|name| unfit(name)) {
        return Err(Misuse(format!("--name '{}': give a name in plain letters", name.escape_default())));
    }
    Ok(ImportOptions {
        plain: arguments.plain.options()?,
        name: arguments.name.clone(),
        split_at: arguments.split_at.clone(),
        keep_upsampling: arguments.keep_upsampling,
    })
}

fn split(path: &Path, options: &ImportOptions, trial: &Trial) -> anyhow::Result<Imported> {
    let imported = import(path, options, |onnx: Vec<u8>, graph: &Graph| trial.whole_numbers(&onnx, &graph.inputs));
    imported.map_err(|error| match error {
        ImportError::Split { .. } => Misuse(error.to_string()).into(),
        ImportError::Network(error) => error.into(),
    })
}

/// Backbone and head against the whole file on a street; an error where they must be equal and are not.
fn verify(path: &Path, options: &ImportOptions, imported: &Imported, trial: &Trial) -> anyhow::Result<Agreement> {
    let is_exact = imported.upsampling.as_ref().is_none_or(|upsampling| upsampling.is_exact);
    let agreement = agreement(&imported.whole, &imported.network, trial)?;
    if is_exact {
        refuse_difference(path, agreement)?;
    } else {
        // Samples lie elsewhere without this enlargement; with it the parts must still make up the whole.
        let split_at = Some(imported.split.tensor.clone());
        let kept = split(path, &ImportOptions { split_at, keep_upsampling: true, ..options.clone() }, trial)?;
        refuse_difference(path, self::agreement(&imported.whole, &kept.network, trial)?)?;
    }
    Ok(agreement)
}

fn agreement(whole: &Network, parts: &Network, trial: &Trial) -> anyhow::Result<Agreement> {
    let picture = prepare(&street()?, whole.input())?;
    let (_, expected) = trial.load(whole)?.run(&picture)?;
    let (_, logits) = trial.load(parts)?.run(&picture)?;
    Ok(compare(&expected, &logits))
}

fn refuse_difference(path: &Path, found: Agreement) -> anyhow::Result<()> {
    let allowed = TOLERANCE * found.largest_logit.max(1.0);
    if found.largest_difference <= allowed {
        return Ok(());
    }
    bail!(
        "{}: the parts do not make up the whole: logits differ by {} (allowed {allowed}), labels agree on {:.2} %; \
         name another --split-at, or use the file as it is",
        path.display(),
        found.largest_difference,
        found.equal_labels * 100.0
    )
}

/// Says before any work whether the folder could be made.
fn check_target(onnx: &Path, folder: &Path, force: bool) -> anyhow::Result<()> {
    let shown = folder.display();
    let misuse = |what: String| Err(Misuse(format!("--out {shown}: {what}")).into());
    if folder.file_name().is_none() {
        return misuse("name a folder".into());
    }
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent.filter(|parent| !parent.is_dir()) {
        return misuse(format!("there is no folder {} to make it in", parent.display()));
    }
    let Ok(metadata) = folder.symlink_metadata() else { return Ok(()) };
    if !metadata.is_dir() {
        return misuse("is there and is no folder: name another".into());
    }
    if let (Ok(input), Ok(output)) = (onnx.canonicalize(), folder.canonicalize())
        && input.starts_with(&output)
    {
        return misuse(format!("{} lies in it and would be overwritten: name another folder", onnx.display()));
    }
    let entries = std::fs::read_dir(folder).with_context(|| format!("--out {shown}: cannot be read"))?;
    let names = entries.filter_map(Result::ok).map(|entry| entry.file_name().to_string_lossy().into_owned());
    let names: Vec<String> = names.collect();
    match names.iter().find(|name| !FILES.contains(&name.as_str())) {
        _ if names.is_empty() => Ok(()),
        Some(other) => misuse(format!("holds '{other}', which is no part of a network: name another folder")),
        None if force => Ok(()),
        None => misuse("holds a network already: name another folder, or replace it with --force".into()),
    }
}

/// Makes the folder beside its place and puts it there in one step.
fn write_folder(folder: &Path, files: &[(String, Vec<u8>)]) -> anyhow::Result<()> {
    let (part, old) = (beside(folder, "part"), beside(folder, "old"));
    let cannot = || format!("--out {}: cannot be made", folder.display());
    let written = fill(&part, files).and_then(|()| put(&part, folder, &old));
    written.inspect_err(|_| drop(std::fs::remove_dir_all(&part))).with_context(cannot)
}

fn beside(folder: &Path, ending: &str) -> PathBuf {
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    folder.with_file_name(format!(".{name}.{}.{ending}", std::process::id()))
}

fn fill(folder: &Path, files: &[(String, Vec<u8>)]) -> std::io::Result<()> {
    std::fs::create_dir(folder)?;
    files.iter().try_for_each(|(name, bytes)| std::fs::write(folder.join(name), bytes))
}

/// `old` keeps what was in the place until the new folder is there.
fn put(part: &Path, folder: &Path, old: &Path) -> std::io::Result<()> {
    let replaces = folder.exists();
    if replaces {
        std::fs::rename(folder, old)?;
    }
    let placed = std::fs::rename(part, folder);
    match (replaces, &placed) {
        (true, Ok(())) => std::fs::remove_dir_all(old)?,
        (true, Err(_)) => std::fs::rename(old, folder)?,
        (false, _) => (),
    }
    placed
}

fn account(arguments: &Arguments, imported: &Imported, runtime: &str, agreement: Agreement) -> String {
    let Imported { split, network, upsampling, .. } = imported;
    let left_off = upsampling.as_ref().map_or_else(String::new, |upsampling| {
        let placed = if upsampling.is_exact { "exactly so" } else { "with samples up to half a cell apart at the borders" };
        let (node, factor) = (&upsampling.node, upsampling.factor);
        format!("left off    the last enlargement, x{factor} ({node}): decoding does it, {placed}; --keep-upsampling keeps it\n")
    });
    let moved = upsampling.as_ref().is_some_and(|upsampling| !upsampling.is_exact);
    let why = if moved { ", by the samples that were moved" } else { "" };
    let [_, channels, rows, cols] = split.features;
    format!(
        "{out}: network '{name}', {in_cols}x{in_rows}, {classes} classes\n\
         split at    {tensor}\n\
         features    {channels} channels of {rows}x{cols}, 1/{stride} of the input\n\
         head        {share:.1} % of the multiply-adds\n\
         {left_off}\
         verified    with {runtime} on a rendered street: {equal:.2} % of labels equal to the whole file's, \
         logits differ by at most {difference:.2e} (largest {largest:.1}){why}",
        out = arguments.out.display(),
        name = network.name(),
        in_cols = network.input().cols,
        in_rows = network.input().rows,
        classes = network.classes().classes().len(),
        tensor = split.tensor,
        stride = split.stride,
        share = split.head_share * 100.0,
        equal = agreement.equal_labels * 100.0,
        difference = agreement.largest_difference,
        largest = agreement.largest_logit,
    )
}
