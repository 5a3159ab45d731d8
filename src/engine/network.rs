//! A segmentation network on disk or in memory: checked, hashed, not yet running.
//!
//! ```text
//! tiny/model.toml      name, classes, [input], [features], [files] with their SHA-256
//! tiny/backbone.onnx   image    [1, 3, rows, cols]       → features [1, C, rows/stride, cols/stride]
//! tiny/head.onnx       features [1, C, rows/s, cols/s]   → logits   [1, classes, rows/l, cols/l]; l is s if not stated
//! tiny/correction.onnx features, image, may be residual  → features as they were; may be absent
//! ```
//!
//! A plain ONNX file works too; how its input is to be prepared is said by [`PlainOptions`].

mod graph;
pub(crate) mod import;
mod manifest;
mod plain;

pub(crate) use graph::{Graph, Graphs};
pub use manifest::Channels;
pub use plain::PlainOptions;
pub(crate) use plain::class_count;

use super::EngineError;
use crate::data::ClassTable;
use manifest::Manifest;
use serde::{Deserialize, Serialize};
use std::path::Path;
use xxhash_rust::xxh3::Xxh3;

/// ONNX itself cannot hold more in one file; a network for a vehicle is far smaller.
const MAX_FILE_BYTES: u64 = 1 << 31;

/// Pixels of the network's input, along each axis, in one of the residual that a correction may want.
pub(crate) const RESIDUAL_STRIDE: usize = 4;

/// An input's name and shape.
type Input<'a> = (&'a str, [usize; 4]);

/// How pictures are to be prepared for a network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InputSpec {
    /// Rows of the network's input.
    pub rows: usize,
    /// Columns of the network's input.
    pub cols: usize,
    /// Order of the input's three planes.
    pub channels: Channels,
    /// Subtracted from each colour, which runs from 0 to 1; in the order of `channels`.
    pub mean: [f32; 3],
    /// Divides what is left.
    pub std: [f32; 3],
    /// How pictures are brought to the network's grid, and labels back.
    pub chain: Chain,
}

/// How pictures are brought to the network's grid, and labels back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Chain {
    /// Nothing is rounded on the way in; logits are interpolated on the way out. The better masks.
    #[default]
    Fine,
    /// The resized picture is rounded to bytes; key frames at the input's resolution take the label of the
    /// nearest cell. As scripts around OpenCV and PyTorch do, so that figures can be compared with theirs.
    Common,
}

/// A checked network.
#[derive(Clone, Debug)]
pub struct Network {
    name: String,
    path: String,
    hash: u64,
    classes: ClassTable,
    input: InputSpec,
    graphs: Graphs,
    /// Files that are there for other runtimes than the CPU's.
    half: Vec<NetworkFile>,
    /// What is in them, in the same order; of an embedded network whatever is embedded.
    #[cfg(feature = "tensorrt")]
    half_bytes: Vec<Vec<u8>>,
}

/// The graphs of a network in half precision: inputs, outputs and weights are 16-bit floats.
#[cfg(feature = "tensorrt")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct HalfGraphs<'a> {
    pub(crate) backbone: &'a [u8],
    pub(crate) head: &'a [u8],
    pub(crate) correction: Option<&'a [u8]>,
}

/// A file of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NetworkFile {
    /// Its name in the folder.
    pub name: String,
    /// Its size; absent where an embedded network leaves out what no CPU runtime loads.
    pub bytes: Option<u64>,
    /// Its SHA-256.
    pub sha256: String,
    /// Whether the file was there and was held against the SHA-256 that `model.toml` states.
    pub verified: bool,
}

impl Network {
    /// Opens a network folder, or an ONNX file with `plain` saying how its input is prepared.
    pub fn open(path: &Path, plain: &PlainOptions) -> Result<Self, EngineError> {
        if path.is_dir() { Self::from_folder(path) } else { Self::from_onnx(path, plain) }
    }

    /// Opens a network folder.
    pub fn from_folder(folder: &Path) -> Result<Self, EngineError> {
        let shown = folder.display().to_string();
        if !folder.join("model.toml").exists() {
            return Err(refuse(
                &shown,
                "no network folder, for there is no model.toml in it: `segfuse network import NET.onnx --out FOLDER` makes one",
            ));
        }
        let manifest = read_file(&folder.join("model.toml"))?;
        let text = String::from_utf8(manifest).map_err(|_| refuse(&shown, "model.toml is not UTF-8 text"))?;
        let mut network = Self::assemble(&shown, &text, |name| read_file(&folder.join(name)))?;
        for index in 0..network.half.len() {
            let bytes = read_file(&folder.join(&network.half[index].name))?;
            network.add_half(index, bytes)?;
        }
        Ok(network)
    }

    /// Takes what is in a half-precision file, if it is what `model.toml` states.
    fn add_half(&mut self, index: usize, bytes: Vec<u8>) -> Result<(), EngineError> {
        let file = &mut self.half[index];
        let checked = manifest::check_hash(&file.name, &file.sha256, &bytes);
        checked.map_err(|reason| refuse(&self.path, &reason))?;
        (file.bytes, file.verified) = (Some(bytes.len() as u64), true);
        #[cfg(feature = "tensorrt")]
        self.half_bytes.push(bytes);
        #[cfg(not(feature = "tensorrt"))]
        drop(bytes);
        Ok(())
    }

    /// A network whose files are in memory: `(file name, bytes)` pairs beside its `model.toml`.
    pub fn from_embedded(model_toml: &str, files: &[(&str, &[u8])]) -> Result<Self, EngineError> {
        let find = |name: &str| files.iter().find(|(known, _)| *known == name).map(|(_, bytes)| bytes.to_vec());
        let missing = |name: &str| refuse("(built in)", &format!("file '{name}' is missing"));
        let mut network = Self::assemble("(built in)", model_toml, |name| find(name).ok_or_else(|| missing(name)))?;
        for index in 0..network.half.len() {
            if let Some(bytes) = find(&network.half[index].name) {
                network.add_half(index, bytes)?;
            }
        }
        Ok(network)
    }

    /// Opens one ONNX file that maps `[1, 3, rows, cols]` to `[1, classes, rows/n, cols/n]` logits.
    pub fn from_onnx(path: &Path, options: &PlainOptions) -> Result<Self, EngineError> {
        let shown = path.display().to_string();
        let bytes = read_file(path)?;
        let classes = options.class_table().map_err(|reason| refuse(&shown, &reason))?;
        let mut hash = Xxh3::new();
        hash.update(&bytes);
        hash.update(options.fingerprint().as_bytes());
        hash.update(&classes.hash().to_le_bytes());
        let graph = plain::read(&shown, bytes, classes.classes().len()).map_err(|reason| refuse(&shown, &reason))?;
        let [_, _, rows, cols] = graph.input();
        let input = options.input_spec(rows, cols).map_err(|reason| refuse(&shown, &reason))?;
        let name = path.file_stem().map_or_else(|| "network".into(), |stem| stem.to_string_lossy().into_owned());
        Ok(Self {
            name,
            path: shown,
            hash: hash.digest(),
            classes,
            input,
            graphs: Graphs::Plain(graph),
            half: vec![],
            #[cfg(feature = "tensorrt")]
            half_bytes: vec![],
        })
    }

    fn assemble(
        path: &str,
        model_toml: &str,
        read: impl Fn(&str) -> Result<Vec<u8>, EngineError>,
    ) -> Result<Self, EngineError> {
        let in_manifest = |reason: String| refuse(path, &format!("model.toml: {reason}"));
        let manifest = Manifest::parse(model_toml).map_err(in_manifest)?;
        let mut hash = Xxh3::new();
        hash.update(model_toml.as_bytes());
        let classes = class_table(&manifest, &read).map_err(|reason| refuse(path, &reason))?;
        hash.update(&classes.hash().to_le_bytes());
        let mut graph = |file: &str, inputs: &[Input], optional: Option<Input>, output: [usize; 4]| {
            let bytes = read(file)?;
            manifest.check_hash(file, &bytes).map_err(|reason| refuse(path, &reason))?;
            hash.update(&bytes);
            let shown = format!("{path}/{file}");
            let in_graph = |reason: String| refuse(&shown, &format!("{reason} (class table '{}')", manifest.classes));
            Graph::read(&shown, bytes, inputs, optional, output).map_err(in_graph)
        };
        let (image, features, logits) = manifest.shapes(classes.classes().len());
        let backbone = graph(manifest::BACKBONE, &[("image", image)], None, features)?;
        let head = graph(manifest::HEAD, &[("features", features)], None, logits)?;
        let corrected = [("features", features), ("image", image)];
        let residual = residual_shape(image).map(|shape| ("residual", shape));
        let correction = manifest.has_correction().then(|| graph(manifest::CORRECTION, &corrected, residual, features));
        let correction = correction.transpose()?.map(Box::new);
        let stated = |file: &'static str| NetworkFile {
            name: file.into(),
            bytes: None,
            sha256: manifest.stated_hash(file),
            verified: false,
        };
        Ok(Self {
            name: manifest.name.clone(),
            path: path.to_owned(),
            hash: hash.digest(),
            classes,
            input: manifest.input_spec(),
            graphs: Graphs::Split { backbone, head, correction },
            half: manifest.half_files().map(stated).collect(),
            #[cfg(feature = "tensorrt")]
            half_bytes: vec![],
        })
    }

    /// The network's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it came from, for messages.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// XXH3-64 over all that decides its masks: files, class table, preparation of the input.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The classes of its masks.
    pub fn classes(&self) -> &ClassTable {
        &self.classes
    }

    /// How its input is prepared.
    pub fn input(&self) -> &InputSpec {
        &self.input
    }

    /// Its ONNX files.
    pub fn files(&self) -> Vec<NetworkFile> {
        let file = |name: &str, graph: &Graph| NetworkFile {
            name: name.to_owned(),
            bytes: Some(graph.bytes.len() as u64),
            sha256: manifest::sha256(&graph.bytes),
            verified: matches!(self.graphs, Graphs::Split { .. }),
        };
        let mut files = match &self.graphs {
            Graphs::Split { backbone, head, correction } => {
                let correction = correction.iter().map(|graph| file(manifest::CORRECTION, graph));
                [file(manifest::BACKBONE, backbone), file(manifest::HEAD, head)].into_iter().chain(correction).collect()
            }
            Graphs::Plain(graph) => {
                let name = Path::new(&graph.path).file_name().map(|name| name.to_string_lossy().into_owned());
                vec![file(&name.unwrap_or_default(), graph)]
            }
        };
        files.extend(self.half.iter().cloned());
        files
    }

    pub(crate) fn graphs(&self) -> &Graphs {
        &self.graphs
    }

    /// What TensorRT makes plans of.
    #[cfg(feature = "tensorrt")]
    pub(crate) fn half_graphs(&self) -> Result<HalfGraphs<'_>, EngineError> {
        let bytes: Vec<&[u8]> = self.half_bytes.iter().map(Vec::as_slice).collect();
        match bytes[..] {
            [backbone, head] => Ok(HalfGraphs { backbone, head, correction: None }),
            [backbone, head, correction] => Ok(HalfGraphs { backbone, head, correction: Some(correction) }),
            _ => Err(refuse(
                &self.path,
                "it has no graphs in half precision (backbone.fp16.onnx and so on), which TensorRT needs: export them with \
                 `python -m segfuse_train export`, or run it on the CPU",
            )),
        }
    }
}

/// Of an image `[1, 3, rows, cols]`; none where its sides are no multiples of the stride.
fn residual_shape([_, _, rows, cols]: [usize; 4]) -> Option<[usize; 4]> {
    let fits = [rows, cols].iter().all(|side| side.is_multiple_of(RESIDUAL_STRIDE));
    fits.then_some([1, 1, rows / RESIDUAL_STRIDE, cols / RESIDUAL_STRIDE])
}

fn class_table(
    manifest: &Manifest,
    read: &impl Fn(&str) -> Result<Vec<u8>, EngineError>,
) -> Result<ClassTable, String> {
    let name = &manifest.classes;
    if Path::new(name).extension().is_none_or(|extension| extension != "toml") {
        return ClassTable::builtin(name).map_err(|error| error.to_string());
    }
    let bytes = read(name).map_err(|error| error.to_string())?;
    let text = String::from_utf8(bytes).map_err(|_| format!("{name} is not UTF-8 text"))?;
    ClassTable::from_toml(&text).map_err(|error| error.to_string())
}

fn read_file(path: &Path) -> Result<Vec<u8>, EngineError> {
    let shown = path.display().to_string();
    let cannot = |error: std::io::Error| refuse(&shown, &format!("cannot be read: {error}"));
    let metadata = std::fs::metadata(path).map_err(cannot)?;
    if metadata.is_dir() {
        return Err(refuse(&shown, "is a folder; name a file"));
    }
    if !metadata.is_file() || metadata.len() > MAX_FILE_BYTES {
        return Err(refuse(
            &shown,
            &format!("not a file of at most {MAX_FILE_BYTES} bytes (it has {})", metadata.len()),
        ));
    }
    std::fs::read(path).map_err(cannot)
}

pub(crate) fn refuse(path: &str, reason: &str) -> EngineError {
    EngineError::Network { path: path.to_owned(), reason: reason.to_owned() }
}
