//! Small segmentation networks as ONNX files, made on the spot.

#![allow(dead_code, reason = "each test takes what it needs")]

use rten_onnx::onnx::{
    AttributeProto, AttributeType, DataType, Dimension, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    TensorProto, TensorShapeProto, TypeProto, TypeProtoTensor, ValueInfoProto,
};
use std::cell::RefCell;
use std::path::Path;

/// Collects the nodes and weights of one graph from `image` [1, 3, 48, 64] to `logits`.
#[derive(Default)]
pub(crate) struct Builder {
    graph: GraphProto,
    random: u32,
}

impl Builder {
    /// A weight; returns its name.
    fn weight(&mut self, dims: &[i64], data_type: DataType, raw: Vec<u8>) -> String {
        let name = format!("w{}", self.graph.initializer.len());
        self.graph.initializer.push(TensorProto {
            name: Some(name.clone()),
            dims: dims.to_vec(),
            data_type: Some(data_type),
            raw_data: Some(RefCell::new(raw)),
            ..TensorProto::default()
        });
        name
    }

    fn floats(&mut self, dims: &[i64], scale: f32) -> String {
        let values: Vec<f32> = (0..dims.iter().product()).map(|_| self.chance() * scale).collect();
        self.weight(dims, DataType::FLOAT, values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    pub(crate) fn numbers(&mut self, values: &[i64]) -> String {
        let raw = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.weight(&[values.len() as i64], DataType::INT64, raw)
    }

    /// -1 to 1, the same in every run.
    fn chance(&mut self) -> f32 {
        self.random = self.random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.random >> 8) as f32 / (1 << 23) as f32 - 1.0
    }

    /// A node; returns its output `name`.
    pub(crate) fn node(&mut self, kind: &str, inputs: &[&str], name: &str, attribute: Vec<AttributeProto>) -> String {
        self.graph.node.push(NodeProto {
            op_type: Some(kind.into()),
            name: Some(format!("make {name}")),
            input: inputs.iter().map(|input| (*input).to_owned()).collect(),
            output: vec![name.to_owned()],
            attribute,
            ..NodeProto::default()
        });
        name.to_owned()
    }

    /// A convolution with bias: `[channels out, channels in, side, side]`.
    pub(crate) fn conv(&mut self, input: &str, name: &str, shape: [i64; 3], stride: i64) -> String {
        let [outputs, inputs, side] = shape;
        let weights = self.floats(&[outputs, inputs, side, side], (6.0 / (inputs * side * side) as f32).sqrt());
        let bias = self.floats(&[outputs], 0.3);
        let attributes =
            vec![ints("kernel_shape", &[side; 2]), ints("strides", &[stride; 2]), ints("pads", &[side / 2; 4])];
        self.node("Conv", &[input, &weights, &bias], name, attributes)
    }

    /// The ONNX file.
    pub(crate) fn bytes(self, logits: [i64; 4]) -> Vec<u8> {
        self.bytes_from([1, 3, 48, 64], logits)
    }

    /// The same of an image of another shape.
    fn bytes_from(mut self, image: [i64; 4], logits: [i64; 4]) -> Vec<u8> {
        self.graph.input = vec![f32_info("image", image)];
        self.graph.output = vec![f32_info("logits", logits)];
        let opset = OperatorSetIdProto { domain: Some(String::new()), version: Some(13) };
        let model = ModelProto {
            ir_version: Some(8),
            graph: Some(self.graph),
            opset_import: vec![opset],
            ..ModelProto::default()
        };
        model.write_buf().expect("a graph that can be written")
    }
}

pub(crate) fn ints(name: &str, values: &[i64]) -> AttributeProto {
    let kind = Some(AttributeType::INTS);
    AttributeProto { name: Some(name.into()), ints: values.to_vec(), r#type: kind, ..AttributeProto::default() }
}

pub(crate) fn int(name: &str, value: i64) -> AttributeProto {
    let kind = Some(AttributeType::INT);
    AttributeProto { name: Some(name.into()), i: Some(value), r#type: kind, ..AttributeProto::default() }
}

pub(crate) fn text(name: &str, text: &str) -> AttributeProto {
    let kind = Some(AttributeType::STRING);
    AttributeProto { name: Some(name.into()), s: Some(text.into()), r#type: kind, ..AttributeProto::default() }
}

fn f32_info(name: &str, shape: [i64; 4]) -> ValueInfoProto {
    let dim = shape.map(|size| Dimension { dim_value: Some(size), dim_param: None }).to_vec();
    let tensor_type = TypeProtoTensor { elem_type: Some(DataType::FLOAT), shape: Some(TensorShapeProto { dim }) };
    let kind = TypeProto { tensor_type: Some(tensor_type), ..TypeProto::default() };
    ValueInfoProto { name: Some(name.into()), r#type: Some(kind) }
}

/// Two scales that meet again by way of a `Shape` node; ends at a quarter of the input.
///
/// ```text
/// image ─conv─▶ half ─conv─▶ fine ─┬─conv─▶ coarse ─Resize to the size of fine─▶ enlarged ─┐
///                                  └───────────────────────────────────────────────────────┴▶ both ─conv─▶ mixed ─▶ features ─conv─▶ logits
/// ```
pub(crate) fn branching(path: &Path) {
    let mut graph = Builder::default();
    trunk(&mut graph);
    graph.conv("features", "logits", [19, 8, 1], 1);
    write(path, &graph.bytes([1, 19, 12, 16]));
}

/// The same with 20 logits enlarged by two with aligned corners, the last one cut off: as `ESPNetv2` ends.
pub(crate) fn enlarging(path: &Path) {
    let mut graph = Builder::default();
    trunk(&mut graph);
    graph.conv("features", "coarse_logits", [20, 8, 1], 1);
    let sizes = graph.numbers(&[1, 20, 24, 32]);
    let how = vec![text("mode", "linear"), text("coordinate_transformation_mode", "align_corners")];
    graph.node("Resize", &["coarse_logits", "", "", &sizes], "fine_logits", how);
    let [from, to, axes] = [0, 19, 1].map(|number| graph.numbers(&[number]));
    graph.node("Slice", &["fine_logits", &from, &to, &axes], "logits", vec![]);
    write(path, &graph.bytes([1, 19, 24, 32]));
}

/// Two convolutions that end at a quarter of 256x512: a grid of 64x128.
pub(crate) fn broad(path: &Path) {
    let mut graph = Builder::default();
    let linear = graph.conv("image", "linear", [8, 3, 3], 4);
    graph.node("Relu", &[&linear], "features", vec![]);
    graph.conv("features", "logits", [19, 8, 1], 1);
    write(path, &graph.bytes_from([1, 3, 256, 512], [1, 19, 64, 128]));
}

fn trunk(graph: &mut Builder) {
    for (input, made, shape, stride) in
        [("image", "half", [6, 3, 3], 2), ("half", "fine", [12, 6, 3], 2), ("fine", "coarse", [12, 12, 3], 2)]
    {
        let linear = graph.conv(input, &format!("{made}_linear"), shape, stride);
        graph.node("Relu", &[&linear], made, vec![]);
    }
    graph.node("Shape", &["fine"], "size", vec![]);
    let [from, to] = [2, 4].map(|number| graph.numbers(&[number]));
    graph.node("Slice", &["size", &from, &to], "sides", vec![]);
    let front = graph.numbers(&[1, 12]);
    graph.node("Concat", &[&front, "sides"], "sizes", vec![int("axis", 0)]);
    let how = vec![text("mode", "linear"), text("coordinate_transformation_mode", "half_pixel")];
    graph.node("Resize", &["coarse", "", "", "sizes"], "enlarged", how);
    graph.node("Concat", &["fine", "enlarged"], "both", vec![int("axis", 1)]);
    graph.conv("both", "mixed", [8, 24, 3], 1);
    graph.node("Relu", &["mixed"], "features", vec![]);
}

fn write(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).expect("written");
}
