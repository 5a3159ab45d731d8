//! One ONNX file into a network folder: where it is cut, and what the folder's files hold.
//!
//! ```text
//! net.onnx ─┬─▶ whole            as it is, to compare with
//!           └─▶ backbone.onnx, head.onnx, model.toml (classes.toml)
//! ```
//!
//! Nothing is written here, and nothing is run but a probe for shapes.

use super::manifest::{BACKBONE, Grids, HEAD, Manifest, sha256};
use super::{Graph, Graphs, Network, PlainOptions, class_count, refuse};
use crate::engine::EngineError;
use crate::engine::onnx::split::{Divisible, Split};
use crate::engine::onnx::upsampling::Upsampling;
use std::collections::BTreeMap;
use std::path::Path;

/// The name of a class table that is not built in, inside the folder.
const CLASSES: &str = "classes.toml";

/// How an ONNX file is to become a network folder.
#[derive(Clone, Debug, Default)]
pub(crate) struct ImportOptions {
    /// How pictures are prepared and what the outputs mean.
    pub(crate) plain: PlainOptions,
    /// The network's name; the file's if absent.
    pub(crate) name: Option<String>,
    /// The tensor to split at; the best one if absent.
    pub(crate) split_at: Option<String>,
    /// Keeps an enlargement at the end of the graph.
    pub(crate) keep_upsampling: bool,
}

/// A network folder in the making.
pub(crate) struct Imported {
    /// As it was: one graph.
    pub(crate) whole: Network,
    /// As it will be: opened as any folder is, with all its checks.
    pub(crate) network: Network,
    /// Where it was cut.
    pub(crate) split: Split,
    /// The enlargement that was left off.
    pub(crate) upsampling: Option<Upsampling>,
    /// Names and contents of the folder's files.
    pub(crate) files: Vec<(String, Vec<u8>)>,
}

/// Why an ONNX file did not become a network folder.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImportError {
    /// The file cannot be used: mend or replace it.
    #[error(transparent)]
    Network(#[from] EngineError),
    /// The tensor asked for is no place to split at: name one of those listed.
    #[error("{path}: {reason}")]
    Split {
        /// The file.
        path: String,
        /// What is wrong with the tensor, and which ones can be cut.
        reason: String,
    },
}

/// Splits the ONNX file `path`; `answer` runs a probe on zeros of the shape of the graph given with it.
pub(crate) fn import(
    path: &Path,
    options: &ImportOptions,
    answer: impl FnOnce(Vec<u8>, &Graph) -> Result<Vec<Vec<i64>>, String>,
) -> Result<Imported, ImportError> {
    let whole = Network::from_onnx(path, &options.plain)?;
    let (graph, refuse) = match whole.graphs() {
        Graphs::Plain(graph) => (graph, |reason: String| refuse(whole.path(), &reason)),
        Graphs::Split { .. } => return Err(refuse(whole.path(), "it is split already").into()),
    };
    let read = Divisible::read(&graph.bytes, graph.input(), options.keep_upsampling, |onnx| answer(onnx, graph));
    let divisible = read.map_err(refuse)?;
    let logits_stride = logits_stride(&divisible, &whole).map_err(refuse)?;
    let chosen = divisible.choose(options.split_at.as_deref());
    let split = chosen.map_err(|reason| match options.split_at {
        Some(_) => ImportError::Split { path: whole.path().to_owned(), reason },
        None => refuse(reason).into(),
    })?;
    let (backbone, head) = divisible.write(&split).map_err(refuse)?;
    let grids = Grids { channels: split.features[1], stride: split.stride, logits_stride };
    let files = folder(&whole, options, &grids, [(BACKBONE, backbone), (HEAD, head)]);
    let network = assemble(&whole, &files)?;
    Ok(Imported { network, split, upsampling: divisible.upsampling, files, whole })
}

/// Input pixels to one of the logits.
fn logits_stride(divisible: &Divisible, whole: &Network) -> Result<usize, String> {
    let input = whole.input();
    let classes = whole.classes().classes().len();
    let [batch, channels, rows, cols] = divisible.logits().ok_or("output: expected logits [1, classes, rows, cols]")?;
    if channels != classes {
        return Err(class_count(channels, classes));
    }
    let stride = input.rows.checked_div(rows).unwrap_or(0);
    let even = batch == 1 && stride * rows == input.rows && stride * cols == input.cols;
    let grid = format!("output grid {rows}x{cols} does not divide its input {}x{} evenly", input.rows, input.cols);
    if even { Ok(stride) } else { Err(format!("{grid}: export it with logits at a whole fraction of the input")) }
}

fn folder(
    whole: &Network,
    options: &ImportOptions,
    grids: &Grids,
    graphs: [(&str, Vec<u8>); 2],
) -> Vec<(String, Vec<u8>)> {
    let hashes: BTreeMap<String, String> =
        graphs.iter().map(|(name, bytes)| ((*name).to_owned(), sha256(bytes))).collect();
    let name = options.name.clone().unwrap_or_else(|| whole.name().to_owned());
    let own_table = Path::new(&options.plain.classes).extension().is_some_and(|extension| extension == "toml");
    let classes = if own_table { CLASSES.to_owned() } else { options.plain.classes.clone() };
    let manifest = Manifest::new(name, classes, whole.input(), grids, hashes).to_toml();
    let mut files = vec![("model.toml".to_owned(), manifest.into_bytes())];
    files.extend(own_table.then(|| (CLASSES.to_owned(), whole.classes().to_toml().into_bytes())));
    files.extend(graphs.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)));
    files
}

fn assemble(whole: &Network, files: &[(String, Vec<u8>)]) -> Result<Network, EngineError> {
    let find = |name: &str| files.iter().find(|(known, _)| known == name).map(|(_, bytes)| bytes.clone());
    let missing = |name: &str| refuse(whole.path(), &format!("file '{name}' is missing"));
    let manifest = find("model.toml").and_then(|bytes| String::from_utf8(bytes).ok());
    let manifest = manifest.ok_or_else(|| missing("model.toml"))?;
    Network::assemble(whole.path(), &manifest, |name| find(name).ok_or_else(|| missing(name)))
}
