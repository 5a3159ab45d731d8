//! `model.toml`: what a network folder says of its network.

use super::{Chain, InputSpec};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

pub(super) const BACKBONE: &str = "backbone.onnx";
pub(super) const HEAD: &str = "head.onnx";
pub(super) const CORRECTION: &str = "correction.onnx";
/// Each graph, and the same one with inputs, outputs and weights of half precision for runtimes that compute in it.
const HALVES: [(&str, &str); 3] =
    [(BACKBONE, "backbone.fp16.onnx"), (HEAD, "head.fp16.onnx"), (CORRECTION, "correction.fp16.onnx")];

/// Bounds every buffer that a `model.toml` asks for: 4096 x 4096 is 16 times a 1080p frame's need.
const MAX_SIDE: usize = 4096;
const MAX_FEATURE_CHANNELS: usize = 4096;
const MAX_STRIDE: usize = 64;

/// Order of the three planes of a network's input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channels {
    /// Red, green, blue.
    #[default]
    Rgb,
    /// Blue, green, red.
    Bgr,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    pub(super) name: String,
    pub(super) classes: String,
    input: Input,
    features: Features,
    #[serde(skip_serializing_if = "Option::is_none")]
    logits: Option<Logits>,
    files: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Input {
    rows: usize,
    cols: usize,
    channels: Channels,
    mean: [f32; 3],
    std: [f32; 3],
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Features {
    channels: usize,
    stride: usize,
}

/// Where the head's logits lie on another grid than the features.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Logits {
    stride: usize,
}

/// The grids of a network in the making.
pub(super) struct Grids {
    pub(super) channels: usize,
    pub(super) stride: usize,
    pub(super) logits_stride: usize,
}

impl Manifest {
    /// What a folder of `files` (names and SHA-256) says of its network.
    pub(super) fn new(
        name: String,
        classes: String,
        input: &InputSpec,
        grids: &Grids,
        files: BTreeMap<String, String>,
    ) -> Self {
        let InputSpec { rows, cols, channels, mean, std, chain: _ } = *input;
        let logits = Logits { stride: grids.logits_stride };
        Self {
            name,
            classes,
            input: Input { rows, cols, channels, mean, std },
            features: Features { channels: grids.channels, stride: grids.stride },
            logits: (logits.stride != grids.stride).then_some(logits),
            files,
        }
    }

    /// `model.toml`.
    pub(super) fn to_toml(&self) -> String {
        toml::to_string(self).expect("a manifest has only texts, numbers and lists: TOML writes them all")
    }

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let manifest: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), String> {
        let Features { channels, stride } = self.features;
        let within = |name: &str, value: usize, most: usize| {
            let fits = (1..=most).contains(&value);
            if fits { Ok(()) } else { Err(format!("{name} = {value} is outside 1 to {most}")) }
        };
        within("features.channels", channels, MAX_FEATURE_CHANNELS)?;
        let strides = [("features.stride", stride), ("logits.stride", self.logits_stride())];
        for (name, stride) in strides {
            within(name, stride, MAX_STRIDE)?;
        }
        for (name, side) in [("input.rows", self.input.rows), ("input.cols", self.input.cols)] {
            within(name, side, MAX_SIDE)?;
            if let Some((grid, stride)) = strides.iter().find(|(_, stride)| !side.is_multiple_of(*stride)) {
                return Err(format!("{name} = {side} is no multiple of {grid} = {stride}"));
            }
        }
        check_colors(self.input.mean, self.input.std)?;
        self.check_files()
    }

    fn check_files(&self) -> Result<(), String> {
        let graphs = HALVES.into_iter().filter(|(graph, _)| *graph != CORRECTION || self.has_correction());
        let halves = self.half_files().next().is_some();
        let wanted: Vec<&str> =
            graphs.flat_map(|(graph, half)| [Some(graph), halves.then_some(half)]).flatten().collect();
        let missing: Vec<&str> = wanted.iter().filter(|file| !self.files.contains_key(**file)).copied().collect();
        let unknown: Vec<&str> = self.files.keys().map(String::as_str).filter(|file| !wanted.contains(file)).collect();
        if missing.is_empty() && unknown.is_empty() {
            return Ok(());
        }
        let told = |what: &str, files: &[&str]| match files {
            [] => String::new(),
            _ => format!("; {what}: {}", files.join(", ")),
        };
        Err(format!(
            "[files] must name {BACKBONE}, {HEAD} and their SHA-256, may name {CORRECTION}, and beside these \
             the .fp16.onnx of all or of none{}{}",
            told("missing", &missing),
            told("without a place", &unknown)
        ))
    }

    /// Whether it names a graph that mends carried features.
    pub(super) fn has_correction(&self) -> bool {
        self.files.contains_key(CORRECTION)
    }

    /// The half-precision files that it names.
    pub(super) fn half_files(&self) -> impl Iterator<Item = &'static str> {
        HALVES.into_iter().map(|(_, half)| half).filter(|half| self.files.contains_key(*half))
    }

    /// The SHA-256 that it states for `file`, in small hexadecimal digits.
    pub(super) fn stated_hash(&self, file: &str) -> String {
        self.files.get(file).map(|hash| hash.to_ascii_lowercase()).unwrap_or_default()
    }

    fn logits_stride(&self) -> usize {
        self.logits.as_ref().map_or(self.features.stride, |logits| logits.stride)
    }

    /// Compares what it states for `file` with what is there.
    pub(super) fn check_hash(&self, file: &str, bytes: &[u8]) -> Result<(), String> {
        check_hash(file, &self.stated_hash(file), bytes)
    }

    /// Shapes of image, features and logits.
    pub(super) fn shapes(&self, classes: usize) -> ([usize; 4], [usize; 4], [usize; 4]) {
        let Features { channels, stride } = self.features;
        let (rows, cols) = (self.input.rows, self.input.cols);
        let grid = |channels: usize, stride: usize| [1, channels, rows / stride, cols / stride];
        ([1, 3, rows, cols], grid(channels, stride), grid(classes, self.logits_stride()))
    }

    pub(super) fn input_spec(&self) -> InputSpec {
        let Input { rows, cols, channels, mean, std } = self.input;
        InputSpec { rows, cols, channels, mean, std, chain: Chain::Fine }
    }
}

/// Compares what is stated for `file` with what is there.
pub(super) fn check_hash(file: &str, stated: &str, bytes: &[u8]) -> Result<(), String> {
    let found = sha256(bytes);
    if stated == found {
        return Ok(());
    }
    let remedy = "the file is damaged or another one: fetch it again, or write its hash into model.toml";
    Err(format!("{file}: expected SHA-256 {stated}, got {found}: {remedy}"))
}

/// SHA-256 in small hexadecimal digits.
pub(super) fn sha256(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// Numbers that every colour can be prepared with.
pub(super) fn check_colors(mean: [f32; 3], std: [f32; 3]) -> Result<(), String> {
    if mean.iter().all(|value| value.is_finite()) && std.iter().all(|value| value.is_finite() && *value > 0.0) {
        return Ok(());
    }
    Err(format!("mean = {mean:?} and std = {std:?} must be finite, std above 0"))
}
