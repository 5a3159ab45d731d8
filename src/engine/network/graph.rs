//! The ONNX graphs of a network, each held against the shapes that are stated for it.

use crate::engine::onnx::{GraphInput, OnnxGraph, TensorInfo};
use std::sync::Arc;

/// The network's ONNX graphs.
#[derive(Clone, Debug)]
pub(crate) enum Graphs {
    /// Features in between are what is propagated.
    Split {
        backbone: Graph,
        head: Graph,
        /// Mends features that were carried here, by what the frame shows.
        correction: Option<Box<Graph>>,
    },
    /// The logits themselves are propagated.
    Plain(Graph),
}

/// An ONNX file and the shapes it works on.
#[derive(Clone, Debug)]
pub(crate) struct Graph {
    /// For messages.
    pub(crate) path: String,
    pub(crate) bytes: Arc<[u8]>,
    pub(crate) onnx: OnnxGraph,
    /// In the order in which they are fed; never none.
    pub(crate) inputs: Vec<GraphInput>,
    /// The output shape that the network folder states; a plain file's is found by running it.
    pub(crate) output: Option<[usize; 4]>,
}

impl Graph {
    /// Reads a graph with the `inputs` that are stated for it, by name, and one output.
    ///
    /// An input that is alone may have any name; several are told apart by theirs, in whatever order the file has them.
    /// `optional` is one more, of a graph that has it.
    pub(super) fn read(
        path: &str,
        bytes: Vec<u8>,
        inputs: &[(&str, [usize; 4])],
        optional: Option<(&str, [usize; 4])>,
        output: [usize; 4],
    ) -> Result<Self, String> {
        let onnx = OnnxGraph::parse(&bytes)?;
        let optional = optional.filter(|(name, _)| onnx.inputs.iter().any(|info| info.name == *name));
        let inputs: Vec<_> = inputs.iter().copied().chain(optional).collect();
        let names: Vec<&str> = inputs.iter().map(|(name, _)| *name).collect();
        check_signature(&onnx, &names)?;
        let inputs = inputs.iter().map(|(name, shape)| {
            let info = find(&onnx.inputs, name)?;
            if info.fixed_shape() != Some(*shape) {
                return Err(differs("input", *shape, &info.to_string()));
            }
            Ok(GraphInput { name: info.name.clone(), shape: *shape })
        });
        let inputs = inputs.collect::<Result<_, _>>()?;
        if !onnx.outputs[0].allows(output) {
            return Err(differs("output", output, &onnx.outputs[0].to_string()));
        }
        Ok(Self { path: path.to_owned(), bytes: bytes.into(), onnx, inputs, output: Some(output) })
    }

    /// The shape of its first input.
    pub(crate) fn input(&self) -> [usize; 4] {
        self.inputs[0].shape
    }
}

fn find<'a>(inputs: &'a [TensorInfo], name: &str) -> Result<&'a TensorInfo, String> {
    let alone = inputs.len() == 1;
    let found = inputs.iter().find(|info| alone || info.name == name);
    found.ok_or_else(|| format!("it has no input '{name}' ({}): export it with that name", listed(inputs)))
}

/// One f32 input for each of `inputs` and one f32 output: what every graph must have.
pub(super) fn check_signature(onnx: &OnnxGraph, inputs: &[&str]) -> Result<(), String> {
    count("input", &onnx.inputs, inputs)?;
    count("output", &onnx.outputs, &["output"])?;
    for info in onnx.inputs.iter().chain(&onnx.outputs) {
        if !info.is_f32 {
            return Err(format!("{info}: expected 32-bit float elements: export it with float32 input and output"));
        }
    }
    Ok(())
}

fn count(what: &str, infos: &[TensorInfo], wanted: &[&str]) -> Result<(), String> {
    if infos.len() == wanted.len() {
        return Ok(());
    }
    let remedy = match wanted {
        [_] => format!("one {what} only"),
        _ => format!("{what}s '{}'", wanted.join("' and '")),
    };
    let got = format!("it has {} {what}s, expected {}", infos.len(), wanted.len());
    Err(format!("{got} ({}): export it with {remedy}", listed(infos)))
}

fn listed(infos: &[TensorInfo]) -> String {
    infos.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn differs(side: &str, expected: [usize; 4], got: &str) -> String {
    format!(
        "{side}: expected {expected:?} float from model.toml, got {got}: mend model.toml or export the network again"
    )
}
