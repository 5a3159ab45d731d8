//! One segmentation graph into two: a backbone that makes features, a head that makes logits of them.
//!
//! ```text
//! file ─▶ shapes by a probe ─▶ Shape nodes folded, last enlargement left off ─▶ cuts ─▶ choice ─▶ two files
//! ```
//!
//! Nodes and weights are taken over as they are; constants that both sides need stand in both.

use super::GraphInput;
use super::cost::multiply_adds;
use super::shapes::{Dialect, ShapeProbe, Shapes, fold_shapes};
use super::upsampling::{self, Upsampling};
use super::wiring::{self, check_order, input_name, output_name, part};
use rten_onnx::onnx::{
    DataType, Dimension, GraphProto, ModelProto, TensorShapeProto, TypeProto, TypeProtoTensor, ValueInfoProto,
};

/// What a split that is found without being told must be like.
///
/// At the input's own grid flow costs more than the network; coarser than 1/32 loses small things.
const STRIDES: std::ops::RangeInclusive<usize> = 2..=32;
/// More are dear to carry along for every frame.
const MAX_CHANNELS: usize = 256;
/// The head runs for every frame: beyond a tenth of the work key frames gain little.
const MAX_HEAD_SHARE: f64 = 0.1;
/// Cuts that a message lists.
const MAX_LISTED: usize = 20;

/// A place where the network can be split.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Split {
    pub(crate) tensor: String,
    /// `[1, channels, rows, cols]` of the features.
    pub(crate) features: [usize; 4],
    /// Input pixels to a cell of the features, both ways.
    pub(crate) stride: usize,
    /// The head's part of all multiply-adds, 0 to 1.
    pub(crate) head_share: f64,
}

/// A network ready to be split.
pub(crate) struct Divisible {
    graph: GraphProto,
    dialect: Dialect,
    shapes: Shapes,
    input: [usize; 4],
    /// The enlargement that was left off.
    pub(crate) upsampling: Option<Upsampling>,
}

impl Divisible {
    /// Reads an ONNX file whose input has the shape `input`; `answer` runs a probe on zeros of that shape.
    pub(crate) fn read(
        bytes: &[u8],
        input: [usize; 4],
        keep_upsampling: bool,
        answer: impl FnOnce(Vec<u8>) -> Result<Vec<Vec<i64>>, String>,
    ) -> Result<Self, String> {
        let (graph, dialect) = read(bytes)?;
        let image = GraphInput { name: input_name(&graph).to_owned(), shape: input };
        let mut shapes = shapes_of(&graph, &dialect, &[image], answer)?;
        let mut graph = whole(&graph);
        fold_shapes(&mut graph, &shapes);
        let upsampling = if keep_upsampling { None } else { upsampling::leave_off(&mut graph, &mut shapes) };
        Ok(Self { graph: whole(&graph), dialect, shapes, input, upsampling })
    }

    /// `[1, classes, rows, cols]` of the logits.
    pub(crate) fn logits(&self) -> Option<[usize; 4]> {
        self.shape(output_name(&self.graph))
    }

    /// The split at `tensor`, or the best one.
    pub(crate) fn choose(&self, tensor: Option<&str>) -> Result<Split, String> {
        let splits = self.splits();
        let Some(tensor) = tensor else {
            return best(&splits).cloned().ok_or_else(|| {
                let wanted = format!(
                    "no cut has at most {MAX_CHANNELS} channels at 1/{} to 1/{} of the input and a head of at most {} % of the work",
                    STRIDES.start(),
                    STRIDES.end(),
                    MAX_HEAD_SHARE * 100.0
                );
                format!("{wanted}; name one with --split-at, or use the file as it is (its logits are then carried).\n{}", listed(&splits))
            });
        };
        let found = splits.iter().find(|split| split.tensor == tensor);
        found.cloned().ok_or_else(|| format!("{}.\n{}", self.fault(tensor), listed(&splits)))
    }

    /// The backbone's and the head's ONNX files.
    pub(crate) fn write(&self, split: &Split) -> Result<(Vec<u8>, Vec<u8>), String> {
        let (image, logits) = (input_name(&self.graph), output_name(&self.graph));
        let out = self.logits().ok_or("the output's shape is unknown")?;
        let side = |from: (&str, [usize; 4]), to: (&str, [usize; 4])| {
            let mut side = part(&self.graph, from.0, to.0);
            side.input.push(f32_info(from.0, from.1));
            side.output.push(f32_info(to.0, to.1));
            self.dialect.write(side)
        };
        let features = (split.tensor.as_str(), split.features);
        Ok((side((image, self.input), features)?, side(features, (logits, out))?))
    }

    /// Every cut that can carry features, in the order of the nodes.
    fn splits(&self) -> Vec<Split> {
        let dependent = wiring::dependent(&self.graph);
        let works = self.graph.node.iter().map(|node| {
            let counts = wiring::writes(node).any(|tensor| dependent.contains(tensor));
            if counts { multiply_adds(node, &self.shapes) } else { 0 }
        });
        let works: Vec<u64> = works.collect();
        let all = works.iter().sum::<u64>().max(1) as f64;
        let split = |cut: wiring::Cut| {
            let features = self.shape(&cut.tensor)?;
            let stride = self.stride(features)?;
            let head_share = works[cut.node + 1..].iter().sum::<u64>() as f64 / all;
            Some(Split { tensor: cut.tensor, features, stride, head_share })
        };
        wiring::cuts(&self.graph).into_iter().filter_map(split).collect()
    }

    fn shape(&self, tensor: &str) -> Option<[usize; 4]> {
        self.shapes.get(tensor)?.as_slice().try_into().ok()
    }

    fn stride(&self, [batch, _, rows, cols]: [usize; 4]) -> Option<usize> {
        let [_, _, in_rows, in_cols] = self.input;
        let stride = in_rows.checked_div(rows)?;
        (batch == 1 && in_rows == rows * stride && in_cols == cols * stride).then_some(stride)
    }

    /// Why `tensor` is no split.
    fn fault(&self, tensor: &str) -> String {
        let Some(shape) = self.shapes.get(tensor) else {
            return format!("--split-at {tensor}: the graph makes no such tensor");
        };
        let what = if tensor == output_name(&self.graph) {
            "is the output itself: the head would have nothing to do".into()
        } else if tensor == input_name(&self.graph) {
            "is the input itself: the backbone would have nothing to do".into()
        } else if !wiring::dependent(&self.graph).contains(tensor) {
            "does not depend on the input, or comes after the enlargement that is left off".into()
        } else if wiring::cuts(&self.graph).iter().any(|cut| cut.tensor == tensor) {
            format!("has the shape {shape:?}, not [1, channels, rows/n, cols/n] of the input")
        } else {
            format!("{shape:?} is no cut: the output also depends on the input by a way around it")
        };
        format!("--split-at {tensor}: {what}")
    }
}

/// The graph of an ONNX file, without what its output does not need.
pub(crate) fn read(bytes: &[u8]) -> Result<(GraphProto, Dialect), String> {
    let model = ModelProto::parse_buf(bytes).map_err(|error| format!("not an ONNX file ({error})"))?;
    let dialect = Dialect::of(&model);
    let graph = model.graph.ok_or("not an ONNX file (it holds no graph)")?;
    if graph.initializer.iter().any(|weight| !weight.external_data.is_empty()) {
        return Err("its weights lie in another file: save it with all weights inside".into());
    }
    check_order(&graph)?;
    Ok((whole(&graph), dialect))
}

/// The shape of every tensor.
pub(crate) fn shapes_of(
    graph: &GraphProto,
    dialect: &Dialect,
    inputs: &[GraphInput],
    answer: impl FnOnce(Vec<u8>) -> Result<Vec<Vec<i64>>, String>,
) -> Result<Shapes, String> {
    let mut probe = ShapeProbe::new(graph, dialect)?;
    let answers = answer(std::mem::take(&mut probe.onnx))?;
    let mut shapes = probe.shapes(answers);
    shapes.extend(inputs.iter().map(|input| (input.name.clone(), input.shape.to_vec())));
    Ok(shapes)
}

/// The graph from its inputs to its output.
fn whole(graph: &GraphProto) -> GraphProto {
    let mut whole = part(graph, input_name(graph), output_name(graph));
    whole.input = wiring::inputs(graph).cloned().collect();
    whole.output.clone_from(&graph.output);
    whole
}

/// The least to carry; of equals the one with the least left to do.
fn best(splits: &[Split]) -> Option<&Split> {
    // A head without any work would make the features the logits: then the file is better left whole.
    let is_light = |share: f64| share > 0.0 && share <= MAX_HEAD_SHARE;
    let fits = |split: &&Split| STRIDES.contains(&split.stride) && split.features[1] <= MAX_CHANNELS;
    let good = splits.iter().filter(fits).filter(|split| is_light(split.head_share));
    good.rev().min_by_key(|split| split.features.iter().product::<usize>())
}

fn listed(splits: &[Split]) -> String {
    let line = |split: &Split| {
        let Split { tensor, features, stride, head_share } = split;
        format!("  {tensor}  {features:?}  1/{stride}  head {:.1} %", head_share * 100.0)
    };
    let shown = &splits[splits.len().saturating_sub(MAX_LISTED)..];
    let lines: Vec<String> = shown.iter().map(line).collect();
    match splits.len() {
        0 => "The graph has no tensor at which it can be cut.".into(),
        all if all > shown.len() => format!("The last {} of {all} possible cuts:\n{}", shown.len(), lines.join("\n")),
        _ => format!("Possible cuts:\n{}", lines.join("\n")),
    }
}

fn f32_info(name: &str, shape: [usize; 4]) -> ValueInfoProto {
    let dimension = |size: usize| Dimension { dim_value: Some(size as i64), dim_param: None };
    let shape = Some(TensorShapeProto { dim: shape.into_iter().map(dimension).collect() });
    let tensor_type = Some(TypeProtoTensor { elem_type: Some(DataType::FLOAT), shape });
    ValueInfoProto { name: Some(name.to_owned()), r#type: Some(TypeProto { tensor_type, ..TypeProto::default() }) }
}
