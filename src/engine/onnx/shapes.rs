//! The shape of every tensor of a graph with a fixed input, found by having a runtime compute the shapes alone.
//!
//! ```text
//! image ─▶ conv ─▶ a ─▶ relu ─▶ b            the probe's outputs: Shape(a), Shape(b), …
//!                  └▶ Shape    └▶ Shape
//! ```
//!
//! A probe needs no more memory than the network: its outputs are a few numbers each.

use super::wiring::{name_of, writes};
use rten_onnx::onnx::{
    DataType, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TypeProto, TypeProtoTensor,
    ValueInfoProto,
};
use std::cell::RefCell;
use std::collections::HashMap;

/// The shape of each tensor by name.
pub(crate) type Shapes = HashMap<String, Vec<usize>>;

/// A graph that answers with the shapes of another one's tensors.
pub(crate) struct ShapeProbe {
    /// An ONNX file with the input of the other one; its outputs are lists of int64.
    pub(crate) onnx: Vec<u8>,
    /// Whose shape each output is.
    tensors: Vec<String>,
    /// The shapes that the file itself states: those of weights.
    stated: Shapes,
}

/// What the written files have in common with the one that was read.
pub(crate) struct Dialect {
    ir_version: Option<i64>,
    opset_import: Vec<OperatorSetIdProto>,
}

impl Dialect {
    pub(crate) fn of(model: &ModelProto) -> Self {
        // Up to IR 3 weights had to be listed among the inputs.
        Self { ir_version: model.ir_version.map(|version| version.max(4)), opset_import: model.opset_import.clone() }
    }

    /// The bytes of an ONNX file that holds `graph`.
    pub(crate) fn write(&self, graph: GraphProto) -> Result<Vec<u8>, String> {
        let model = ModelProto {
            ir_version: self.ir_version,
            opset_import: self.opset_import.clone(),
            producer_name: Some("segfuse".into()),
            producer_version: Some(env!("CARGO_PKG_VERSION").into()),
            graph: Some(graph),
            ..ModelProto::default()
        };
        model.write_buf().map_err(|error| format!("cannot be written as ONNX: {error}"))
    }
}

impl ShapeProbe {
    /// Asks for the shape of whatever the nodes of `graph` make.
    pub(crate) fn new(graph: &GraphProto, dialect: &Dialect) -> Result<Self, String> {
        let mut probe = GraphProto { initializer: graph.initializer.clone(), ..GraphProto::default() };
        probe.input.clone_from(&graph.input);
        let mut tensors = Vec::new();
        for node in &graph.node {
            probe.node.push(node.clone());
            for tensor in writes(node) {
                let answer = format!("{tensor}.shape-asked-for");
                probe.node.push(shape_node(tensor, &answer));
                probe.output.push(value_info(&answer, DataType::INT64));
                tensors.push(tensor.to_owned());
            }
        }
        let stated = graph.initializer.iter().map(|weight| {
            let sizes = weight.dims.iter().map(|size| usize::try_from(*size).unwrap_or(0));
            (name_of(weight.name.as_ref()).to_owned(), sizes.collect())
        });
        Ok(Self { onnx: dialect.write(probe)?, tensors, stated: stated.collect() })
    }

    /// The shapes, out of the probe's outputs in order.
    pub(crate) fn shapes(self, answers: Vec<Vec<i64>>) -> Shapes {
        let sizes = |answer: Vec<i64>| answer.into_iter().map(|size| usize::try_from(size).unwrap_or(0)).collect();
        let mut shapes = self.stated;
        shapes.extend(self.tensors.into_iter().zip(answers.into_iter().map(sizes)));
        shapes
    }
}

fn shape_node(tensor: &str, answer: &str) -> NodeProto {
    NodeProto {
        op_type: Some("Shape".into()),
        name: Some(answer.to_owned()),
        input: vec![tensor.to_owned()],
        output: vec![answer.to_owned()],
        ..NodeProto::default()
    }
}

fn value_info(name: &str, element: DataType) -> ValueInfoProto {
    let tensor_type = Some(TypeProtoTensor { elem_type: Some(element), shape: None });
    ValueInfoProto { name: Some(name.to_owned()), r#type: Some(TypeProto { tensor_type, ..TypeProto::default() }) }
}

/// Puts what `Shape` and `Size` nodes answer in their place: with a fixed input they are constants,
/// and through them nothing depends on the input any more.
pub(crate) fn fold_shapes(graph: &mut GraphProto, shapes: &Shapes) {
    let nodes = std::mem::take(&mut graph.node);
    for node in nodes {
        let known = node.input.first().and_then(|name| shapes.get(name));
        match (known, known.and_then(|shape| answer(&node, shape))) {
            (Some(_), Some(weight)) => graph.initializer.push(weight),
            _ => graph.node.push(node),
        }
    }
}

fn answer(node: &NodeProto, shape: &[usize]) -> Option<TensorProto> {
    let name = node.output.first().filter(|_| name_of(node.domain.as_ref()).is_empty())?;
    let sizes = shape.iter().map(|size| *size as i64);
    match name_of(node.op_type.as_ref()) {
        "Shape" => {
            let sizes: Vec<i64> = sizes.collect();
            let (start, end) = span(node, sizes.len());
            let sizes = sizes.get(start..end.max(start))?;
            Some(int64(name, vec![sizes.len() as i64], sizes))
        }
        "Size" => Some(int64(name, vec![], &[sizes.product()])),
        _ => None,
    }
}

/// The part of the shape that attributes `start` and `end` of opset 15 ask for.
fn span(node: &NodeProto, rank: usize) -> (usize, usize) {
    let rank = rank as i64;
    let attribute = |name: &str, default: i64| {
        let found = node.attribute.iter().find(|attribute| attribute.name.as_deref() == Some(name));
        let value = found.and_then(|attribute| attribute.i).unwrap_or(default);
        (if value < 0 { value + rank } else { value }).clamp(0, rank) as usize
    };
    (attribute("start", 0), attribute("end", rank))
}

fn int64(name: &str, dims: Vec<i64>, values: &[i64]) -> TensorProto {
    TensorProto {
        name: Some(name.to_owned()),
        dims,
        data_type: Some(DataType::INT64),
        raw_data: Some(RefCell::new(values.iter().flat_map(|value| value.to_le_bytes()).collect())),
        ..TensorProto::default()
    }
}
