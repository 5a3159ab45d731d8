//! A runtime on trial: what it says to a network, apart from the engine's loop.
//!
//! ```text
//! network ─▶ load, run on zeros ─▶ LoadedGraphs ─▶ features, logits, labels of one picture
//!         └▶ cost: weights and multiply-adds, from shapes that the runtime computes
//! ```
//!
//! For `segfuse network`: it imports and judges networks, and drives no frames.

pub(crate) use super::graphs::LoadedGraphs;

use super::decode::Decoder;
use super::input::normalization;
use super::onnxruntime::OnnxRuntime;
use super::preprocess::Preprocessor;
use super::rten::Rten;
use super::runtime::{Runtime, guard, no_tensorrt, threads};
use super::{Config, FeatureMap, RuntimeChoice};
use crate::data::{Image, Size};
use crate::engine::EngineError;
use crate::engine::network::{Graph, InputSpec, Network};
use crate::engine::onnx::{GraphInput, cost, split};

/// A runtime that is at hand.
pub(crate) struct Trial(Runtime);

/// What one run of a graph costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cost {
    /// Trained values.
    pub(crate) parameters: u64,
    /// Of convolutions and matrix products; `None` if no runtime could say the shapes.
    pub(crate) multiply_adds: Option<u64>,
}

/// How well two maps of logits agree.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Agreement {
    /// Cells with the same best class, 0 to 1.
    pub(crate) equal_labels: f64,
    /// The largest difference between two logits.
    pub(crate) largest_difference: f32,
    /// The largest logit of the first map, without its sign.
    pub(crate) largest_logit: f32,
}

impl Trial {
    /// The runtime that `config` asks for.
    pub(crate) fn new(config: &Config) -> Result<Self, EngineError> {
        Runtime::choose(config).map(Self)
    }

    /// Every runtime that `config` allows, by name; why not, where one is not at hand.
    pub(crate) fn all(config: &Config) -> Vec<(&'static str, Result<Self, EngineError>)> {
        let rten = || Ok(Self(Runtime::Rten(Rten::new(threads(config)))));
        let library = config.onnxruntime_library.as_deref();
        let onnxruntime = || OnnxRuntime::load(library, threads(config)).map(|found| Self(Runtime::OnnxRuntime(found)));
        match config.runtime {
            RuntimeChoice::Rten => vec![("rten", rten())],
            RuntimeChoice::Tensorrt => vec![("tensorrt", Err(no_tensorrt()))],
            RuntimeChoice::Onnxruntime => vec![("onnxruntime", onnxruntime())],
            RuntimeChoice::Auto => vec![("rten", rten()), ("onnxruntime", onnxruntime())],
        }
    }

    /// Name and version.
    pub(crate) fn describe(&self) -> String {
        self.0.describe()
    }

    /// Loads every graph of `network` and runs it on zeros.
    pub(crate) fn load(&self, network: &Network) -> Result<LoadedGraphs, EngineError> {
        LoadedGraphs::load(self.0.clone(), network)
    }

    /// Runs an ONNX file whose outputs are lists of whole numbers, on zeros of the shapes of `inputs`.
    pub(crate) fn whole_numbers(&self, onnx: &[u8], inputs: &[GraphInput]) -> Result<Vec<Vec<i64>>, String> {
        guard(|| self.0.whole_numbers(onnx, inputs))
            .map_err(|reason| format!("{} cannot run it: {reason}", self.describe()))
    }

    /// What `graph` costs.
    pub(crate) fn cost(&self, graph: &Graph) -> Result<Cost, String> {
        let (nodes, dialect) = split::read(&graph.bytes)?;
        let answer = |onnx: Vec<u8>| self.whole_numbers(&onnx, &graph.inputs);
        let shapes = split::shapes_of(&nodes, &dialect, &graph.inputs, answer).ok();
        let sum = |shapes| nodes.node.iter().map(|node| cost::multiply_adds(node, &shapes)).sum();
        Ok(Cost { parameters: cost::parameters(&nodes), multiply_adds: shapes.map(sum) })
    }
}

impl LoadedGraphs {
    /// Features and logits of a prepared picture `[3, rows, cols]`; the same map twice for a plain network.
    pub(crate) fn run(&mut self, picture: &[f32]) -> Result<(FeatureMap, FeatureMap), EngineError> {
        let (mut features, mut logits) = (FeatureMap::default(), FeatureMap::default());
        self.backbone.run(&[picture], &mut features)?;
        match &mut self.head {
            Some(head) => head.run(&[&features.values], &mut logits)?,
            None => logits.clone_from(&features),
        }
        Ok((features, logits))
    }
}

/// `image` as `input` wants it: `[3, rows, cols]`.
pub(crate) fn prepare(image: &Image, input: &InputSpec) -> Result<Vec<f32>, EngineError> {
    let mut picture = vec![0.0; 3 * input.rows * input.cols];
    Preprocessor::new(input.rows, input.cols, normalization(input)).run(image, &mut picture)?;
    Ok(picture)
}

/// The label of every pixel of a frame of `size`, as the engine decodes it.
pub(crate) fn labels(logits: &FeatureMap, size: Size) -> Vec<u8> {
    let (mut labels, mut margins) = (vec![0; size.pixels()], vec![0; size.pixels()]);
    Decoder::new().run(logits, size, &mut labels, &mut margins);
    labels
}

/// The share of equal labels, 0 to 1.
pub(crate) fn equal_share(first: &[u8], second: &[u8]) -> f64 {
    let equal = first.iter().zip(second).filter(|(first, second)| first == second).count();
    equal as f64 / first.len().max(second.len()).max(1) as f64
}

/// Holds `part` against `whole`, whose grid may be finer: `part` is then interpolated as decoding does it.
pub(crate) fn compare(whole: &FeatureMap, part: &FeatureMap) -> Agreement {
    let enlarged;
    let part = if (part.rows, part.cols) == (whole.rows, whole.cols) {
        part
    } else {
        enlarged = enlarge(part, whole.rows, whole.cols);
        &enlarged
    };
    let size = Size::new(whole.cols as u32, whole.rows as u32);
    let difference = |(one, other): (&f32, &f32)| match one.total_cmp(other) {
        std::cmp::Ordering::Equal => 0.0,
        _ if one.is_nan() || other.is_nan() => f32::INFINITY,
        _ => (one - other).abs(),
    };
    let same_shape = whole.values.len() == part.values.len();
    let differences = whole.values.iter().zip(&part.values).map(difference);
    Agreement {
        equal_labels: equal_share(&labels(whole, size), &labels(part, size)),
        largest_difference: if same_shape { differences.fold(0.0, f32::max) } else { f32::INFINITY },
        largest_logit: whole.values.iter().fold(0.0, |largest, logit| largest.max(logit.abs())),
    }
}

/// `[C, rows, cols]` by bilinear interpolation with half-pixel centres, the border clamped.
fn enlarge(map: &FeatureMap, rows: usize, cols: usize) -> FeatureMap {
    let mut large =
        FeatureMap { channels: map.channels, rows, cols, values: Vec::with_capacity(map.channels * rows * cols) };
    for channel in 0..map.channels {
        let plane = map.plane(channel);
        for row in 0..rows {
            let (top, bottom, down) = between(row, map.rows, rows);
            for col in 0..cols {
                let (left, right, along) = between(col, map.cols, cols);
                let on = |row: usize| {
                    let line = &plane[row * map.cols..];
                    line[left] + (line[right] - line[left]) * along
                };
                large.values.push(on(top) + (on(bottom) - on(top)) * down);
            }
        }
    }
    large
}

/// The two cells around sample `index` and the share of the second.
fn between(index: usize, input: usize, output: usize) -> (usize, usize, f32) {
    let place = (index as f64 + 0.5) * input as f64 / output as f64 - 0.5;
    let place = place.clamp(0.0, (input.max(1) - 1) as f64);
    (place as usize, (place as usize + 1).min(input.max(1) - 1), (place - place.floor()) as f32)
}
