//! One graph of a network as a plan, held against the shapes that the network states.

use crate::engine::network::Graph;
use crate::engine::onnx::{Dimension, OnnxGraph, TensorInfo};
use crate::sys::cuda::{MOST_TENSORS, On, PlanRuns};
use crate::sys::tensorrt::{Context, DeviceSpan, Element, Engine, Tensor, TensorRtError};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// A plan at work.
#[derive(Debug)]
pub(super) struct PlannedGraph {
    runs: PlanRuns,
    /// In the order in which they are fed.
    inputs: Vec<Named>,
    output: Named,
}

impl PlannedGraph {
    /// Takes device memory for its intermediate results. The error says what does not fit `graph`, or what is missing.
    /// Runs are captured as CUDA graphs while it `captures`.
    pub(super) fn new(engine: &Arc<Engine>, graph: &Graph, captures: &Arc<AtomicBool>) -> Result<Self, String> {
        let (inputs, output) = matched(engine.tensors(), graph)?;
        let context = Context::new(engine).map_err(|error| error.to_string())?;
        Ok(Self { runs: PlanRuns::new(context, Arc::clone(captures)), inputs, output })
    }

    /// The shape of an input, in the order in which they are fed.
    pub(super) fn input(&self, index: usize) -> Option<[usize; 4]> {
        self.inputs.get(index).map(|(_, shape)| *shape)
    }

    pub(super) fn output(&self) -> [usize; 4] {
        self.output.1
    }

    /// Enqueues a run; `inputs` in the order in which they are fed.
    pub(super) fn run(
        &mut self,
        on: On<'_>,
        inputs: &[DeviceSpan<'_>],
        output: DeviceSpan<'_>,
    ) -> Result<(), TensorRtError> {
        if inputs.len() > self.inputs.len() {
            let known = self.inputs.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
            return Err(TensorRtError::NoTensor { name: format!("input {}", inputs.len()), known });
        }
        // One that is left out is told by the context, which knows every name.
        let named = self.inputs.iter().map(|(name, _)| name.as_str()).zip(inputs.iter().copied());
        let memory = named.chain([(self.output.0.as_str(), output)]);
        let memory: heapless::Vec<(&str, DeviceSpan<'_>), MOST_TENSORS> = memory.collect();
        self.runs.enqueue(on, &memory)
    }
}

/// Says what in a half-precision file does not fit `graph`: TensorRT would build it, for minutes, and nothing could run it.
pub(super) fn check_file(onnx: &[u8], graph: &Graph) -> Result<(), String> {
    let OnnxGraph { inputs, outputs, .. } = OnnxGraph::parse(onnx)?;
    let sides = [(true, inputs), (false, outputs)].into_iter();
    let tensors = sides.flat_map(|(is_input, infos)| infos.into_iter().map(move |info| stated(&info, is_input)));
    matched(&tensors.collect::<Vec<_>>(), graph).map(drop)
}

/// An end of a graph as its plan will have it.
fn stated(info: &TensorInfo, is_input: bool) -> Tensor {
    let size = |dimension: &Dimension| match dimension {
        Dimension::Fixed(size) => *size as i64,
        Dimension::Free(_) => -1,
    };
    let element = match info.element.as_str() {
        "float16" => Element::F16,
        "float" => Element::F32,
        _ => Element::Other(-1),
    };
    Tensor { name: info.name.clone(), is_input, element, shape: info.dimensions.iter().map(size).collect() }
}

/// A tensor by its name, and its shape.
type Named = (String, [usize; 4]);

/// The inputs in the order in which they are fed, and the output, if they are those of `graph`.
fn matched(tensors: &[Tensor], graph: &Graph) -> Result<(Vec<Named>, Named), String> {
    let (ins, outs): (Vec<&Tensor>, Vec<&Tensor>) = tensors.iter().partition(|tensor| tensor.is_input);
    let ([output], Some(stated)) = (&outs[..], graph.output) else {
        return Err(format!("expected one output, got {}", listed(&outs)));
    };
    if ins.len() != graph.inputs.len() || ins.len() >= MOST_TENSORS {
        return Err(format!("expected {} inputs, got {}", graph.inputs.len(), listed(&ins)));
    }
    let inputs = graph.inputs.iter().map(|input| {
        // An input that is alone may have any name, and may have another one in the half-precision file.
        let found = ins.iter().find(|tensor| ins.len() == 1 || tensor.name == input.name);
        let found = found.ok_or_else(|| format!("no input '{}' among {}", input.name, listed(&ins)))?;
        fitting(found, input.shape)
    });
    Ok((inputs.collect::<Result<_, _>>()?, fitting(output, stated)?))
}

fn fitting(tensor: &Tensor, stated: [usize; 4]) -> Result<Named, String> {
    let shape = stated.map(|size| size as i64);
    if tensor.element != Element::F16 || tensor.shape != shape {
        return Err(format!("expected {stated:?} f16, got {tensor}"));
    }
    Ok((tensor.name.clone(), stated))
}

fn listed(tensors: &[&Tensor]) -> String {
    tensors.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
