//! One graph of a network as a plan, held against the shapes that the network states.

use crate::engine::network::Graph;
use crate::sys::tensorrt::{Context, DeviceSpan, Element, Engine, Stream, Tensor, TensorRtError};
use std::sync::Arc;

/// Features, image, residual and the output: no graph has more.
const MOST_TENSORS: usize = 4;

/// A plan at work.
#[derive(Debug)]
pub(super) struct PlannedGraph {
    context: Context,
    /// In the order in which they are fed.
    inputs: Vec<(String, [usize; 4])>,
    output: (String, [usize; 4]),
}

impl PlannedGraph {
    /// Takes device memory for its intermediate results. The error says what does not fit `graph`, or what is missing.
    pub(super) fn new(engine: &Arc<Engine>, graph: &Graph) -> Result<Self, String> {
        let (ins, outs): (Vec<&Tensor>, Vec<&Tensor>) = engine.tensors().iter().partition(|tensor| tensor.is_input);
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
        let inputs = inputs.collect::<Result<_, _>>()?;
        let output = fitting(output, stated)?;
        let context = Context::new(engine).map_err(|error| error.to_string())?;
        Ok(Self { context, inputs, output })
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
        stream: Stream<'_>,
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
        self.context.enqueue(stream, &memory)
    }
}

fn fitting(tensor: &Tensor, stated: [usize; 4]) -> Result<(String, [usize; 4]), String> {
    let shape = stated.map(|size| size as i64);
    if tensor.element != Element::F16 || tensor.shape != shape {
        return Err(format!("expected {stated:?} f16, got {tensor}"));
    }
    Ok((tensor.name.clone(), stated))
}

fn listed(tensors: &[&Tensor]) -> String {
    tensors.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
