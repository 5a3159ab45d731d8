//! What an ONNX file says of itself: inputs, outputs and operators, without running it; and how it is taken apart.
//!
//! Weights are not interpreted here; the runtimes read the file again for themselves.

pub(crate) mod cost;
pub(crate) mod shapes;
pub(crate) mod split;
#[cfg(test)]
mod tests;
pub(crate) mod upsampling;
mod wiring;

use rten_onnx::onnx::{AttributeProto, GraphProto, ModelProto, NodeProto, ValueInfoProto};
use std::fmt;

/// `FLOAT` in ONNX's list of element types.
const FLOAT: i32 = 1;

/// An ONNX graph's signature and operators.
#[derive(Clone, Debug)]
pub(crate) struct OnnxGraph {
    /// Inputs that a caller must give: weights listed among the inputs are left out.
    pub(crate) inputs: Vec<TensorInfo>,
    pub(crate) outputs: Vec<TensorInfo>,
    /// Every node, those of subgraphs included.
    pub(crate) operators: Vec<Operator>,
}

/// An input of a graph and the shape that it is fed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GraphInput {
    pub(crate) name: String,
    pub(crate) shape: [usize; 4],
}

/// A graph input or output.
#[derive(Clone, Debug)]
pub(crate) struct TensorInfo {
    pub(crate) name: String,
    /// Whether its elements are 32-bit floats.
    pub(crate) is_f32: bool,
    /// The element type's name.
    pub(crate) element: String,
    pub(crate) dimensions: Vec<Dimension>,
}

/// One axis of a declared shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Dimension {
    Fixed(usize),
    /// Named or unknown until the graph runs.
    Free(String),
}

/// One node of a graph.
#[derive(Clone, Debug)]
pub(crate) struct Operator {
    /// The node's name, which may be empty.
    pub(crate) node: String,
    pub(crate) kind: String,
    /// Attributes that hold a text.
    pub(crate) texts: Vec<(String, String)>,
}

impl OnnxGraph {
    /// Reads the bytes of an `.onnx` file; the error says what is wrong with them.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let not_onnx =
            |fault: String| format!("not an ONNX file ({fault}): export the network again, or check the path");
        let model = ModelProto::parse_buf(bytes).map_err(|error| not_onnx(error.to_string()))?;
        let graph = model.graph.ok_or_else(|| not_onnx("it holds no graph".into()))?;
        let is_weight = |info: &&ValueInfoProto| graph.initializer.iter().any(|weight| weight.name == info.name);
        let mut operators = Vec::new();
        collect_operators(&graph, &mut operators);
        Ok(Self {
            inputs: graph.input.iter().filter(|info| !is_weight(info)).map(TensorInfo::read).collect(),
            outputs: graph.output.iter().map(TensorInfo::read).collect(),
            operators,
        })
    }
}

impl TensorInfo {
    fn read(info: &ValueInfoProto) -> Self {
        let tensor = info.r#type.as_ref().and_then(|kind| kind.tensor_type.as_ref());
        let element = tensor.and_then(|tensor| tensor.elem_type);
        let shape = tensor.and_then(|tensor| tensor.shape.as_ref());
        Self {
            name: info.name.clone().unwrap_or_default(),
            is_f32: element.is_some_and(|element| element.0 == FLOAT),
            element: element.map_or_else(|| "unknown".into(), |element| element.to_string().to_lowercase()),
            dimensions: shape.map_or_else(Vec::new, |shape| shape.dim.iter().map(Dimension::read).collect()),
        }
    }

    /// The shape if it has four axes, all fixed.
    pub(crate) fn fixed_shape(&self) -> Option<[usize; 4]> {
        let fixed = |dimension: &Dimension| match dimension {
            Dimension::Fixed(size) => Some(*size),
            Dimension::Free(_) => None,
        };
        let sizes: Option<Vec<usize>> = self.dimensions.iter().map(fixed).collect();
        sizes?.try_into().ok()
    }

    /// Whether the declared shape leaves room for `shape`; free axes fit anything.
    pub(crate) fn allows(&self, shape: [usize; 4]) -> bool {
        let fits = |(dimension, size): (&Dimension, usize)| match dimension {
            Dimension::Fixed(stated) => *stated == size,
            Dimension::Free(_) => true,
        };
        // A shape that the file does not state at all is found out by running the graph.
        self.dimensions.is_empty() || self.dimensions.len() == 4 && self.dimensions.iter().zip(shape).all(fits)
    }
}

impl fmt::Display for TensorInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let axes: Vec<String> = self.dimensions.iter().map(ToString::to_string).collect();
        write!(f, "'{}' [{}] {}", self.name, axes.join(", "), self.element)
    }
}

impl Dimension {
    fn read(dimension: &rten_onnx::onnx::Dimension) -> Self {
        let fixed = dimension.dim_value.and_then(|size| usize::try_from(size).ok()).filter(|size| *size > 0);
        fixed.map_or_else(|| Self::Free(dimension.dim_param.clone().unwrap_or_else(|| "?".into())), Self::Fixed)
    }
}

impl fmt::Display for Dimension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(size) => size.fmt(f),
            Self::Free(name) => name.fmt(f),
        }
    }
}

impl Operator {
    /// The text attribute called `name`.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.texts.iter().find(|(known, _)| known == name).map(|(_, text)| text.as_str())
    }

    fn read(node: &NodeProto) -> Self {
        let text = |attribute: &AttributeProto| Some((attribute.name.clone()?, attribute.s.clone()?));
        Self {
            node: node.name.clone().unwrap_or_default(),
            kind: node.op_type.clone().unwrap_or_default(),
            texts: node.attribute.iter().filter_map(text).collect(),
        }
    }
}

fn collect_operators(graph: &GraphProto, operators: &mut Vec<Operator>) {
    for node in &graph.node {
        operators.push(Operator::read(node));
        for inner in node.attribute.iter().filter_map(|attribute| attribute.g.as_ref()) {
            collect_operators(inner, operators);
        }
    }
}
