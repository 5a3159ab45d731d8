//! The enlargement at the end of most segmentation networks, which decoding does better by itself.
//!
//! ```text
//! logits on a coarse grid ─▶ Resize linear ─▶ (Slice of classes) ─▶ output
//! ```
//!
//! Only what decoding does as well is recognised: bilinear, by one whole factor. With corners
//! aligned the samples lie up to half a cell apart near the borders; the caller says so.

use super::shapes::Shapes;
use super::wiring::{name_of, output_name, writes};
use rten_onnx::onnx::{DataType, GraphProto, NodeProto, TensorProto};

/// How `Resize` places its samples; all others are left in the graph.
const PLACEMENTS: [&str; 3] = ["half_pixel", "pytorch_half_pixel", "align_corners"];

/// An enlargement that was left off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Upsampling {
    /// The `Resize` node.
    pub(crate) node: String,
    /// Rows of the output for one of the logits; columns alike.
    pub(crate) factor: usize,
    /// Whether decoding places its samples exactly as the node did.
    pub(crate) is_exact: bool,
}

/// Takes the enlargement off the end of `graph`, if there is one, and corrects `shapes`.
pub(crate) fn leave_off(graph: &mut GraphProto, shapes: &mut Shapes) -> Option<Upsampling> {
    let (resize, after) = find(graph, shapes)?;
    let node = graph.node.remove(resize);
    let (source, enlarged) = (node.input.first()?.clone(), node.output.first()?.clone());
    let (small, large) = (shapes.get(&source)?.clone(), shapes.get(&enlarged)?.clone());
    for tensor in &after {
        if let Some([_, _, rows, cols]) = shapes.get_mut(tensor).map(Vec::as_mut_slice) {
            (*rows, *cols) = (small[2], small[3]);
        }
    }
    replace(graph, &enlarged, &source);
    let is_exact = placement(&node) != "align_corners";
    Some(Upsampling { node: node.name.unwrap_or_default(), factor: large[2] / small[2], is_exact })
}

/// The last `Resize` and the tensors that come after it.
fn find(graph: &GraphProto, shapes: &Shapes) -> Option<(usize, Vec<String>)> {
    let mut tensor = output_name(graph).to_owned();
    let mut after = Vec::new();
    loop {
        let index = graph.node.iter().position(|node| writes(node).any(|name| name == tensor))?;
        let node = &graph.node[index];
        match name_of(node.op_type.as_ref()) {
            "Resize" => return is_enlargement(node, shapes).then_some((index, after)),
            "Identity" => (),
            "Slice" if takes_channels_only(node, graph) => (),
            _ => return None,
        }
        after.push(std::mem::replace(&mut tensor, node.input.first()?.clone()));
    }
}

fn is_enlargement(node: &NodeProto, shapes: &Shapes) -> bool {
    let shape = |name: Option<&String>| name.and_then(|name| shapes.get(name)).map(Vec::as_slice);
    let (Some(&[1, few, rows, cols]), Some(&[1, same, tall, wide])) =
        (shape(node.input.first()), shape(node.output.first()))
    else {
        return false;
    };
    let whole = few == same && rows > 0 && cols > 0 && tall.is_multiple_of(rows) && wide == tall / rows * cols;
    whole && tall > rows && text(node, "mode") == Some("linear") && PLACEMENTS.contains(&placement(node))
}

fn placement(node: &NodeProto) -> &str {
    text(node, "coordinate_transformation_mode").unwrap_or("half_pixel")
}

fn text<'a>(node: &'a NodeProto, name: &str) -> Option<&'a str> {
    node.attribute.iter().find(|attribute| attribute.name.as_deref() == Some(name))?.s.as_deref()
}

/// Picking classes before enlarging them gives the same values as after it.
fn takes_channels_only(node: &NodeProto, graph: &GraphProto) -> bool {
    let listed = node.attribute.iter().find(|attribute| attribute.name.as_deref() == Some("axes"));
    let axes = listed.map(|attribute| attribute.ints.clone());
    axes.or_else(|| node.input.get(3).and_then(|name| whole_numbers(graph, name))).is_some_and(|axes| axes == [1])
}

/// The values of an int64 constant.
fn whole_numbers(graph: &GraphProto, name: &str) -> Option<Vec<i64>> {
    let weight = graph.initializer.iter().find(|weight| weight.name.as_deref() == Some(name));
    let constants = graph.node.iter().filter(|node| name_of(node.op_type.as_ref()) == "Constant");
    let mut made = constants.filter(|node| writes(node).any(|made| made == name));
    let tensor = weight.or_else(|| made.next()?.attribute.first()?.t.as_ref())?;
    (tensor.data_type == Some(DataType::INT64)).then(|| int64_values(tensor))
}

fn int64_values(tensor: &TensorProto) -> Vec<i64> {
    let Some(raw) = &tensor.raw_data else { return tensor.int64_data.clone() };
    raw.borrow().as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect()
}

/// Whatever read `old` now reads `new`.
fn replace(graph: &mut GraphProto, old: &str, new: &str) {
    for name in graph.node.iter_mut().flat_map(|node| &mut node.input) {
        if name == old {
            new.clone_into(name);
        }
    }
    for output in &mut graph.output {
        if output.name.as_deref() == Some(old) {
            output.name = Some(new.to_owned());
        }
    }
}
