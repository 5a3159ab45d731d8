//! The runtime built in: pure Rust, no library to install.

use super::FeatureMap;
use super::runtime::{Session, zeros};
use crate::engine::network::Graph;
use crate::engine::onnx::{GraphInput, Operator};
use rten::{Model, ModelOptions, NodeId, RunOptions, ThreadPool, Value, ValueOrView};
use rten_tensor::prelude::*;
use rten_tensor::{NdTensor, NdTensorView};
use std::sync::Arc;

/// rten as it is linked into this program.
#[derive(Clone)]
pub(in crate::engine) struct Rten {
    count: usize,
    /// Shared by all graphs that are loaded into it.
    threads: Arc<ThreadPool>,
}

struct RtenSession {
    model: Model,
    /// With the shape that each is fed with.
    inputs: Vec<(NodeId, [usize; 4])>,
    output: NodeId,
    options: RunOptions,
}

impl Rten {
    pub(super) fn new(threads: usize) -> Self {
        Self { count: threads, threads: Arc::new(ThreadPool::with_num_threads(threads)) }
    }

    /// The same with other threads.
    pub(super) fn anew(&self, threads: Option<usize>) -> Self {
        Self::new(threads.unwrap_or(self.count))
    }

    #[expect(clippy::unused_self, reason = "the same call as for a runtime whose version is found at run time")]
    pub(super) fn describe(&self) -> String {
        "rten 0.27".into()
    }

    pub(super) fn session(&self, graph: &Graph) -> Result<Box<dyn Session>, String> {
        refuse_wrong_operators(&graph.onnx.operators)?;
        let model = Model::load(graph.bytes.to_vec()).map_err(|error| format!("{error}; {REMEDY}"))?;
        let inputs = nodes(&model, &graph.inputs)?;
        let output = *model.output_ids().first().ok_or("it has no output")?;
        let options = RunOptions::default().with_thread_pool(Some(Arc::clone(&self.threads)));
        Ok(Box::new(RtenSession { model, inputs, output, options }))
    }

    /// Runs an ONNX file whose outputs are lists of int64, which are 32-bit numbers here.
    pub(super) fn whole_numbers(&self, onnx: &[u8], inputs: &[GraphInput]) -> Result<Vec<Vec<i64>>, String> {
        // Folding constants fails where many outputs turn out to be equal ones.
        let mut loading = ModelOptions::with_all_ops();
        let model = loading.enable_optimization(false).load(onnx.to_vec());
        let model = model.map_err(|error| format!("{error}; {REMEDY}"))?;
        let options = RunOptions::default().with_thread_pool(Some(Arc::clone(&self.threads)));
        let (zeros, nodes) = (zeros(inputs), nodes(&model, inputs)?);
        let answers = model.run(views(&nodes, zeros.iter().map(Vec::as_slice)), model.output_ids(), Some(options));
        let numbers = |value: Value| {
            let tensor: NdTensor<i32, 1> = value.try_into().map_err(|_| "expected lists of whole numbers")?;
            Ok(tensor.iter().map(|number| i64::from(*number)).collect())
        };
        answers.map_err(|error| error.to_string())?.into_iter().map(numbers).collect()
    }
}

/// The nodes that `inputs` name, with the shape of each.
fn nodes(model: &Model, inputs: &[GraphInput]) -> Result<Vec<(NodeId, [usize; 4])>, String> {
    let node = |input: &GraphInput| Ok((model.node_id(&input.name).map_err(|error| error.to_string())?, input.shape));
    inputs.iter().map(node).collect()
}

fn views<'a>(
    nodes: &[(NodeId, [usize; 4])],
    inputs: impl Iterator<Item = &'a [f32]>,
) -> Vec<(NodeId, ValueOrView<'a>)> {
    let view = |((node, shape), input): (&(NodeId, [usize; 4]), &'a [f32])| {
        (*node, NdTensorView::<f32, 4>::from_data(*shape, input).into())
    };
    nodes.iter().zip(inputs).map(view).collect()
}

const REMEDY: &str = "run it with onnxruntime, or export it without this operator";

/// Operators that rten 0.27 loads and then computes wrongly. All others that it does not know it refuses itself.
fn refuse_wrong_operators(operators: &[Operator]) -> Result<(), String> {
    let wrong = operators.iter().find_map(|operator| Some((operator, wrong_answer(operator)?)));
    wrong.map_or(Ok(()), |(Operator { node, kind, .. }, fault)| {
        Err(format!("operator {kind} (node '{node}') {fault}; {REMEDY}"))
    })
}

fn wrong_answer(operator: &Operator) -> Option<&'static str> {
    match operator.kind.as_str() {
        "Resize" if operator.text("mode") == Some("cubic") => Some("with mode 'cubic' would be computed as 'linear'"),
        "ConvInteger" => Some("would pad its borders with a wrong value"),
        _ => None,
    }
}

impl Session for RtenSession {
    fn runtime(&self) -> &'static str {
        "rten"
    }

    fn run(&mut self, inputs: &[&[f32]], output: &mut FeatureMap) -> Result<(), String> {
        let answer = self.answer(inputs)?;
        let [_, channels, rows, cols] = answer.shape();
        (output.channels, output.rows, output.cols) = (channels, rows, cols);
        // The runtime has allocated the answer: taking it over saves a copy of it.
        output.values = answer.into_data();
        Ok(())
    }

    fn read(&mut self, inputs: &[&[f32]], look: &mut dyn FnMut([usize; 3], &[f32])) -> Result<(), String> {
        let answer = self.answer(inputs)?;
        let [_, channels, rows, cols] = answer.shape();
        look([channels, rows, cols], &answer.into_data());
        Ok(())
    }
}

impl RtenSession {
    /// `[1, channels, rows, cols]`.
    fn answer(&self, inputs: &[&[f32]]) -> Result<NdTensor<f32, 4>, String> {
        let views = views(&self.inputs, inputs.iter().copied());
        let answer = self.model.run_n(views, [self.output], Some(self.options.clone()));
        let [value]: [Value; 1] = answer.map_err(|error| error.to_string())?;
        let shape = value.shape().to_vec();
        let tensor: NdTensor<f32, 4> =
            value.try_into().map_err(|error| format!("output {shape:?}: expected four axes of f32: {error}"))?;
        let [batch, ..] = tensor.shape();
        if batch != 1 {
            return Err(format!("output: expected a batch of 1, got {batch}"));
        }
        Ok(tensor)
    }
}
