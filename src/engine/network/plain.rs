//! A segmentation network in one ONNX file, as most tools export it.

use super::graph::check_signature;
use super::manifest::check_colors;
use super::{Chain, Channels, Graph, InputSpec};
use crate::data::ClassTable;
use crate::engine::onnx::{GraphInput, OnnxGraph};
use serde::{Deserialize, Serialize};

/// How the input of a plain ONNX file is prepared, and what its outputs mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PlainOptions {
    /// Order of the input's planes: `rgb` or `bgr`.
    pub channels: Channels,
    /// Multiplies the bytes 0..=255 before `mean` and `std`: 1/255 or 1.
    pub scale: f32,
    /// Subtracted after scaling, in the order of `channels`.
    pub mean: [f32; 3],
    /// Divides what is left.
    pub std: [f32; 3],
    /// `common`: pictures in and labels out as scripts around OpenCV and PyTorch do it; `fine`: better masks.
    pub chain: Chain,
    /// The class table of the outputs: a built-in name, or the path of a TOML file.
    pub classes: String,
}

impl Default for PlainOptions {
    /// RGB, /255, ImageNet's mean and standard deviation, the common chain, Cityscapes train ids.
    fn default() -> Self {
        Self {
            channels: Channels::Rgb,
            scale: 1.0 / 255.0,
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225],
            chain: Chain::Common,
            classes: "cityscapes".into(),
        }
    }
}

impl PlainOptions {
    /// The table that `classes` names; the error says what is wrong with it.
    pub fn class_table(&self) -> Result<ClassTable, String> {
        let path = std::path::Path::new(&self.classes);
        if path.extension().is_none_or(|extension| extension != "toml") {
            return ClassTable::builtin(&self.classes).map_err(|error| error.to_string());
        }
        let text = crate::files::read_text(path);
        let text = text.map_err(|error| format!("class table {}: cannot be read: {error}", self.classes))?;
        ClassTable::from_toml(&text).map_err(|error| format!("{}: {error}", self.classes))
    }

    /// The same preparation for colours that run from 0 to 1:
    /// `(255 scale c - mean) / std = (c - mean / (255 scale)) / (std / (255 scale))`.
    pub(super) fn input_spec(&self, rows: usize, cols: usize) -> Result<InputSpec, String> {
        if !self.scale.is_finite() || self.scale <= 0.0 {
            return Err(format!("scale = {} must be above 0 and finite", self.scale));
        }
        let white = 255.0 * self.scale;
        // White is meant to be 1 where the scale is 1/255; its rounding error would move every colour.
        let white = if (white - 1.0).abs() < 1e-6 { 1.0 } else { white };
        let (mean, std) = (self.mean.map(|value| value / white), self.std.map(|value| value / white));
        check_colors(mean, std)?;
        Ok(InputSpec { rows, cols, channels: self.channels, mean, std, chain: self.chain })
    }

    /// All that decides the input's values, as text to be hashed.
    pub(super) fn fingerprint(&self) -> String {
        format!("{:?} {:?} {:?} {:?} {:?}", self.channels, self.scale, self.mean, self.std, self.chain)
    }
}

pub(super) fn read(path: &str, bytes: Vec<u8>, classes: usize) -> Result<Graph, String> {
    let onnx = OnnxGraph::parse(&bytes)?;
    check_signature(&onnx, &["image"])?;
    let inputs = vec![GraphInput { name: onnx.inputs[0].name.clone(), shape: input_shape(&onnx)? }];
    check_output(&onnx, classes)?;
    Ok(Graph { path: path.to_owned(), bytes: bytes.into(), onnx, inputs, output: None })
}

fn input_shape(onnx: &OnnxGraph) -> Result<[usize; 4], String> {
    let info = &onnx.inputs[0];
    match info.fixed_shape() {
        Some(shape @ [1, 3, _, _]) if shape[2].max(shape[3]) <= 4096 => Ok(shape),
        _ => Err(format!(
            "input: expected a fixed shape [1, 3, rows, cols] with sides up to 4096, got {info}: export it with a fixed size"
        )),
    }
}

fn check_output(onnx: &OnnxGraph, classes: usize) -> Result<(), String> {
    use crate::engine::onnx::Dimension::Fixed;
    let info = &onnx.outputs[0];
    match info.dimensions.as_slice() {
        [_, Fixed(channels), _, _] if *channels != classes => Err(class_count(*channels, classes)),
        [] | [_, _, _, _] => Ok(()),
        _ => Err(format!("output: expected logits [1, {classes}, rows, cols], got {info}: export it without arg-max")),
    }
}

/// The message for logits of another number of classes than the table has.
pub(crate) fn class_count(got: usize, expected: usize) -> String {
    format!(
        "output has {got} classes, the class table has {expected}: name the table that fits (option --network-classes; `classes` in a model.toml), or cut the outputs off when exporting"
    )
}
