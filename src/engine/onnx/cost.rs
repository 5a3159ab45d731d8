//! What a graph costs: weights, and the multiply-adds of convolutions and matrix products.
//!
//! ```text
//! Conv           outputs x weights per output      [1, 16, 24, 32] from [16, 8, 3, 3]: 12,288 x 72
//! ConvTranspose  inputs x weights per input
//! MatMul, Gemm   outputs x length of the sums
//! ```
//!
//! Additions, activations, normalisation, pooling and resizing are not counted.

use super::shapes::Shapes;
use super::wiring::name_of;
use rten_onnx::onnx::{DataType, GraphProto, NodeProto, TensorProto};

/// Trained values in `graph`: elements of its weights and constants that are not whole numbers of 32 or 64 bits.
pub(crate) fn parameters(graph: &GraphProto) -> u64 {
    let constants = graph.node.iter().filter(|node| name_of(node.op_type.as_ref()) == "Constant");
    let inside = constants.flat_map(|node| &node.attribute).filter_map(|attribute| attribute.t.as_ref());
    graph.initializer.iter().chain(inside).filter(|tensor| is_trained(tensor)).map(elements).sum()
}

fn is_trained(tensor: &TensorProto) -> bool {
    !matches!(tensor.data_type, None | Some(DataType::INT64 | DataType::INT32 | DataType::BOOL | DataType::STRING))
}

fn elements(tensor: &TensorProto) -> u64 {
    tensor.dims.iter().map(|size| u64::try_from(*size).unwrap_or(0)).fold(1, u64::saturating_mul)
}

/// Multiply-adds of one run of `node`; 0 for what is not counted or of unknown shape.
pub(crate) fn multiply_adds(node: &NodeProto, shapes: &Shapes) -> u64 {
    let input = |index: usize| node.input.get(index).and_then(|name| shapes.get(name));
    let output = node.output.first().and_then(|name| shapes.get(name));
    let counted = match name_of(node.op_type.as_ref()) {
        "Conv" | "ConvInteger" => of_convolution(output, input(1)),
        "QLinearConv" => of_convolution(output, input(3)),
        "ConvTranspose" => of_convolution(input(0), input(1)),
        "MatMul" | "MatMulInteger" | "QLinearMatMul" => {
            product(output).zip(input(0).and_then(|shape| shape.last().copied()))
        }
        "Gemm" => product(output).zip(input(0).and_then(|shape| shape.get(usize::from(!transposed(node))).copied())),
        _ => None,
    };
    counted.map_or(0, |(sums, length)| sums.saturating_mul(length as u64))
}

fn product(shape: Option<&Vec<usize>>) -> Option<u64> {
    shape.map(|shape| shape.iter().map(|size| *size as u64).product())
}

/// Weights lie as `[channels, channels of the other side in one group, ...kernel]`.
fn of_convolution(places: Option<&Vec<usize>>, weights: Option<&Vec<usize>>) -> Option<(u64, usize)> {
    product(places).zip(weights.and_then(|shape| shape.get(1..)).map(|kernel| kernel.iter().product()))
}

fn transposed(node: &NodeProto) -> bool {
    node.attribute.iter().any(|attribute| attribute.name.as_deref() == Some("transA") && attribute.i == Some(1))
}
