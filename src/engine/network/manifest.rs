//! `model.toml`: what a network folder says of its network.

use super::{Chain, InputSpec};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

pub(super) const BACKBONE: &str = "backbone.onnx";
pub(super) const HEAD: &str = "head.onnx";

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

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    pub(super) name: String,
    pub(super) classes: String,
    input: Input,
    features: Features,
    files: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    rows: usize,
    cols: usize,
    channels: Channels,
    mean: [f32; 3],
    std: [f32; 3],
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Features {
    channels: usize,
    stride: usize,
}

impl Manifest {
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
        within("features.stride", stride, MAX_STRIDE)?;
        for (name, side) in [("input.rows", self.input.rows), ("input.cols", self.input.cols)] {
            within(name, side, MAX_SIDE)?;
            if !side.is_multiple_of(stride) {
                return Err(format!("{name} = {side} is no multiple of features.stride = {stride}"));
            }
        }
        check_colors(self.input.mean, self.input.std)?;
        self.check_files()
    }

    fn check_files(&self) -> Result<(), String> {
        let names: Vec<&str> = self.files.keys().map(String::as_str).collect();
        let expected = [BACKBONE, HEAD];
        if names == expected {
            return Ok(());
        }
        Err(format!("[files] must name {} and their SHA-256, got {}", expected.join(", "), names.join(", ")))
    }

    pub(super) fn check_hash(&self, file: &str, bytes: &[u8]) -> Result<(), String> {
        let stated = self.files.get(file).map_or("", String::as_str);
        let found = format!("{:x}", Sha256::digest(bytes));
        if stated.eq_ignore_ascii_case(&found) {
            return Ok(());
        }
        let remedy = "the file is damaged or another one: fetch it again, or write its hash into model.toml";
        Err(format!("{file}: expected SHA-256 {stated}, got {found}: {remedy}"))
    }

    /// Shapes of image, features and logits.
    pub(super) fn shapes(&self, classes: usize) -> ([usize; 4], [usize; 4], [usize; 4]) {
        let Features { channels, stride } = self.features;
        let (rows, cols) = (self.input.rows, self.input.cols);
        ([1, 3, rows, cols], [1, channels, rows / stride, cols / stride], [1, classes, rows / stride, cols / stride])
    }

    pub(super) fn input_spec(&self) -> InputSpec {
        let Input { rows, cols, channels, mean, std } = self.input;
        InputSpec { rows, cols, channels, mean, std, chain: Chain::Fine }
    }
}

/// Numbers that every colour can be prepared with.
pub(super) fn check_colors(mean: [f32; 3], std: [f32; 3]) -> Result<(), String> {
    if mean.iter().all(|value| value.is_finite()) && std.iter().all(|value| value.is_finite() && *value > 0.0) {
        return Ok(());
    }
    Err(format!("mean = {mean:?} and std = {std:?} must be finite, std above 0"))
}
