//! Small graphs written by hand, taken apart.

use super::cost::{multiply_adds, parameters};
use super::shapes::{Shapes, fold_shapes};
use super::split::{Divisible, read};
use super::upsampling;
use super::wiring::{cuts, output_name, part};
use proptest::prelude::*;
use rten_onnx::onnx::{
    AttributeProto, DataType, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, ValueInfoProto,
};
use std::collections::HashMap;

/// Reads `kind input input -> output; …` into nodes; the first node's first input is the graph's, the last output as well.
fn graph(text: &str) -> GraphProto {
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let node = |line: &str| {
        let (left, right) = line.split_once("->").expect("an arrow");
        let left = words(left);
        NodeProto {
            op_type: Some(left[0].clone()),
            name: Some(right.trim().to_owned()),
            input: left[1..].to_vec(),
            output: words(right),
            ..NodeProto::default()
        }
    };
    let node: Vec<NodeProto> = text.split(';').map(node).collect();
    let named = |name: &String| ValueInfoProto { name: Some(name.clone()), r#type: None };
    let (input, output) = (named(&node[0].input[0]), named(&node[node.len() - 1].output[0]));
    GraphProto { node, input: vec![input], output: vec![output], ..GraphProto::default() }
}

fn attribute(name: &str) -> AttributeProto {
    AttributeProto { name: Some(name.into()), ..AttributeProto::default() }
}

fn weight(name: &str, dims: &[i64], data_type: DataType) -> TensorProto {
    TensorProto { name: Some(name.into()), dims: dims.to_vec(), data_type: Some(data_type), ..TensorProto::default() }
}

fn shapes<const N: usize>(known: [(&str, &[usize]); N]) -> Shapes {
    known.into_iter().map(|(name, shape)| (name.to_owned(), shape.to_vec())).collect()
}

fn cut_names(text: &str) -> Vec<String> {
    cuts(&graph(text)).into_iter().map(|cut| cut.tensor).collect()
}

fn kinds(graph: &GraphProto) -> Vec<&str> {
    graph.node.iter().filter_map(|node| node.op_type.as_deref()).collect()
}

#[test]
fn a_cut_is_a_tensor_that_no_path_goes_around() {
    for (text, expected) in [
        ("Conv image -> a; Relu a -> b; Conv b -> c", &["a", "b"][..]),
        ("Conv image -> a; Conv a -> b; Add a b -> c; Conv c -> d", &["a", "c"]),
        ("Conv image -> a; Conv a -> b; Conv a -> c; Add b c -> d", &["a"]),
        ("Conv image -> a; Conv a -> b; Add image b -> c; Relu c -> d", &["c"]),
        ("Conv image -> a; Constant -> k; Add a k -> b; Relu b -> c", &["a", "b"]),
        ("Split image -> a b; Add a b -> c; Relu c -> d", &["c"]),
        ("Conv image -> a; Shape a -> s; Conv a -> b; Resize b s -> c; Relu c -> d", &["a", "c"]),
    ] {
        assert_eq!(cut_names(text), expected, "{text}");
    }
}

#[test]
fn what_a_subgraph_takes_from_outside_counts_as_read() {
    let mut whole = graph("Conv image -> a; Conv a -> b; If b -> c; Relu c -> d");
    whole.node[2].attribute.push(AttributeProto { g: Some(graph("Neg a -> n")), ..attribute("then_branch") });
    whole.node[2].attribute[0].g.as_mut().expect("just put there").input.clear();
    let found: Vec<String> = cuts(&whole).into_iter().map(|cut| cut.tensor).collect();
    assert_eq!(found, ["a", "c"]);
}

#[test]
fn shapes_of_a_fixed_input_become_constants_and_free_the_cuts_before_them() {
    let mut whole = graph("Conv image -> a; Shape a -> s; Conv a -> b; Resize b s -> c; Relu c -> d");
    fold_shapes(&mut whole, &shapes([("a", &[1, 8, 6, 4])]));
    assert_eq!(kinds(&whole), ["Conv", "Conv", "Resize", "Relu"]);
    let raw = whole.initializer[0].raw_data.as_ref().expect("raw bytes").borrow().clone();
    assert_eq!(raw, [1_i64, 8, 6, 4].iter().flat_map(|size| size.to_le_bytes()).collect::<Vec<u8>>());
    let found: Vec<String> = cuts(&whole).into_iter().map(|cut| cut.tensor).collect();
    assert_eq!(found, ["a", "b", "c"]);
}

#[test]
fn a_shape_node_answers_only_the_part_it_is_asked_for() {
    for (start, end, expected) in
        [(None, None, vec![1, 8, 6, 4]), (Some(-2), None, vec![6, 4]), (Some(1), Some(-1), vec![8, 6])]
    {
        let mut whole = graph("Conv image -> a; Shape a -> s; Reshape a s -> b");
        for (name, value) in [("start", start), ("end", end)] {
            let number = value.map(|value| AttributeProto { i: Some(value), ..attribute(name) });
            whole.node[1].attribute.extend(number);
        }
        fold_shapes(&mut whole, &shapes([("a", &[1, 8, 6, 4])]));
        let raw = whole.initializer[0].raw_data.as_ref().expect("raw bytes").borrow().clone();
        let expected: Vec<u8> = expected.iter().flat_map(|size: &i64| size.to_le_bytes()).collect();
        assert_eq!(raw, expected, "{start:?} {end:?}");
    }
}

#[test]
fn parts_hold_what_they_need_and_nothing_else() {
    let mut whole = graph("Conv image v -> a; Constant -> k; Mul a k -> b; Conv b w -> c; Add c k -> d; Relu d -> e");
    whole.initializer = ["v", "w", "unused"].map(|name| weight(name, &[2], DataType::FLOAT)).to_vec();
    let weights = |part: &GraphProto| part.initializer.iter().filter_map(|w| w.name.clone()).collect::<Vec<_>>();
    let (backbone, head) = (part(&whole, "image", "b"), part(&whole, "b", "e"));
    assert_eq!((kinds(&backbone), weights(&backbone)), (vec!["Conv", "Constant", "Mul"], vec!["v".to_owned()]));
    assert_eq!((kinds(&head), weights(&head)), (vec!["Constant", "Conv", "Add", "Relu"], vec!["w".to_owned()]));
}

#[test]
fn multiply_adds_are_counted_as_documented() {
    let known = shapes([
        ("x", &[1, 8, 4, 5]),
        ("y", &[1, 16, 4, 5]),
        ("w", &[16, 8, 3, 3]),
        ("up", &[8, 16, 2, 2]),
        ("m", &[10, 7]),
        ("n", &[10, 3]),
    ]);
    for (node, expected) in [
        ("Conv x w -> y", 16 * 20 * 8 * 9),
        ("ConvTranspose x up -> z", 8 * 20 * 16 * 4),
        ("MatMul m q -> n", 30 * 7),
        ("Gemm m q -> n", 30 * 7),
        ("Relu x -> x", 0),
        ("Conv unknown w -> unknown", 0),
    ] {
        assert_eq!(multiply_adds(&graph(node).node[0], &known), expected, "{node}");
    }
}

#[test]
fn parameters_are_trained_values_wherever_they_stand() {
    let mut whole = graph("Neg image -> n; Constant -> k; Add n k -> a");
    let inside = weight("", &[3, 2], DataType::FLOAT16);
    whole.node[1].attribute.push(AttributeProto { t: Some(inside), ..attribute("value") });
    whole.initializer = vec![weight("w", &[5], DataType::FLOAT), weight("axes", &[4], DataType::INT64)];
    assert_eq!(parameters(&whole), 11);
}

fn enlarging(mode: &str, placement: &str) -> (GraphProto, Shapes) {
    let mut whole = graph("Conv image -> a; Resize a -> b; Slice b from to axes -> c; Identity c -> d");
    let text = |name: &str, text: &str| AttributeProto { s: Some(text.into()), ..attribute(name) };
    whole.node[1].attribute = vec![text("mode", mode), text("coordinate_transformation_mode", placement)];
    let mut axes = weight("axes", &[1], DataType::INT64);
    axes.int64_data = vec![1];
    whole.initializer.push(axes);
    let large: &[usize] = &[1, 19, 12, 16];
    (whole, shapes([("a", &[1, 20, 6, 8]), ("b", &[1, 20, 12, 16]), ("c", large), ("d", large)]))
}

#[test]
fn an_enlargement_at_the_end_is_left_off_and_classes_are_still_picked() {
    for (placement, is_exact) in [("half_pixel", true), ("pytorch_half_pixel", true), ("align_corners", false)] {
        let (mut whole, mut known) = enlarging("linear", placement);
        let found = upsampling::leave_off(&mut whole, &mut known).expect("an enlargement");
        assert_eq!((found.factor, found.is_exact), (2, is_exact), "{placement}");
        assert_eq!(kinds(&whole), ["Conv", "Slice", "Identity"], "{placement}");
        assert_eq!((known["c"].as_slice(), known["d"].as_slice()), (&[1, 19, 6, 8][..], &[1, 19, 6, 8][..]));
        assert_eq!((whole.node[1].input[0].as_str(), output_name(&whole)), ("a", "d"));
    }
}

#[test]
fn an_enlargement_that_decoding_does_not_do_stays() {
    type Spoil = fn(&mut GraphProto, &mut Shapes);
    let spoilt: [(&str, Spoil); 4] = [
        ("another axis", |graph, _| graph.initializer[0].int64_data = vec![2]),
        ("unequal factors", |_, known| drop(known.insert("b".into(), vec![1, 20, 12, 24]))),
        ("no factor", |_, known| drop(known.insert("b".into(), vec![1, 20, 6, 8]))),
        ("something after it", |graph, _| graph.node[3].op_type = Some("Softmax".into())),
    ];
    for (case, spoil) in spoilt {
        let (mut whole, mut known) = enlarging("linear", "half_pixel");
        spoil(&mut whole, &mut known);
        assert_eq!(upsampling::leave_off(&mut whole, &mut known), None, "{case}");
        assert_eq!(whole.node.len(), 4, "{case}");
    }
    for (mode, placement) in [("nearest", "half_pixel"), ("cubic", "half_pixel"), ("linear", "asymmetric")] {
        let (mut whole, mut known) = enlarging(mode, placement);
        assert_eq!(upsampling::leave_off(&mut whole, &mut known), None, "{mode} {placement}");
    }
}

fn bytes(graph: GraphProto) -> Vec<u8> {
    let opset = OperatorSetIdProto { domain: None, version: Some(13) };
    ModelProto { ir_version: Some(8), graph: Some(graph), opset_import: vec![opset], ..ModelProto::default() }
        .write_buf()
        .expect("a graph that can be written")
}

/// Answers a probe from `known`: its outputs are named after the tensors.
fn answers(onnx: &[u8], known: &Shapes) -> Vec<Vec<i64>> {
    let (graph, _) = read(onnx).expect("a probe is a graph");
    let outputs = ModelProto::parse_buf(onnx).expect("a probe").graph.expect("a graph").output;
    assert!(!graph.node.is_empty());
    let tensor = |name: &str| name.trim_end_matches(".shape-asked-for").to_owned();
    let sizes = |name: &String| known[&tensor(name)].iter().map(|size| *size as i64).collect();
    outputs.iter().map(|output| sizes(output.name.as_ref().expect("a name"))).collect()
}

fn divisible() -> Divisible {
    let mut whole =
        graph("Conv image v -> a; Relu a -> b; Conv b w -> c; Add c a -> d; Conv d x -> e; Conv e y -> logits");
    let dims = [("v", [8, 3, 3, 3]), ("w", [8, 8, 3, 3]), ("x", [4, 8, 1, 1]), ("y", [19, 4, 1, 1])];
    whole.initializer = dims.iter().map(|(name, dims)| weight(name, dims, DataType::FLOAT)).collect();
    let wide: &[usize] = &[1, 8, 6, 8];
    let known = [("a", wide), ("b", wide), ("c", wide), ("d", wide), ("e", &[1, 4, 6, 8]), ("logits", &[1, 19, 6, 8])];
    let known = shapes(known);
    Divisible::read(&bytes(whole), [1, 3, 48, 64], false, |onnx| Ok(answers(&onnx, &known))).expect("a network")
}

#[test]
fn the_best_split_is_the_least_to_carry() {
    let split = divisible().choose(None).expect("a split");
    assert_eq!((split.tensor.as_str(), split.features, split.stride), ("e", [1, 4, 6, 8], 8));
    let works = [8 * 27, 8 * 72, 4 * 8, 19 * 4].map(|work: u64| work as f64);
    assert!((split.head_share - works[3] / works.iter().sum::<f64>()).abs() < 1e-12, "{}", split.head_share);
}

#[test]
fn a_tensor_that_is_no_place_to_split_at_is_told_why_and_what_is() {
    for (tensor, word) in [
        ("nowhere", "no such tensor"),
        ("b", "way around it"),
        ("logits", "the output itself"),
        ("image", "the input itself"),
        ("w", "does not depend on the input"),
    ] {
        let fault = divisible().choose(Some(tensor)).expect_err(tensor);
        assert!(fault.contains(word) && fault.contains("e  [1, 4, 6, 8]  1/8  head 8.4 %"), "{tensor}: {fault}");
    }
    assert_eq!(divisible().choose(Some("d")).expect("a cut").features, [1, 8, 6, 8]);
}

#[test]
fn a_graph_whose_nodes_stand_in_the_wrong_order_is_refused() {
    let fault = read(&bytes(graph("Conv b -> c; Conv image -> b; Relu c -> d"))).err();
    // The first node's input counts as the graph's: what is missing is the image.
    assert!(fault.as_ref().is_some_and(|fault| fault.contains("reads 'image'")), "{fault:?}");
}

proptest! {
    /// Held against the definition: without the cut tensor nothing leads from the input to the output.
    #[test]
    fn cuts_are_what_their_definition_says(links in prop::collection::vec((0_usize..12, 0_usize..12), 2..12)) {
        let name = |index: usize| if index == 0 { "image".to_owned() } else { format!("t{index}") };
        let lines = links.iter().enumerate().map(|(index, (one, other))| {
            format!("Add {} {} -> {}", name(one % (index + 1)), name(other % (index + 1)), name(index + 1))
        });
        let text = lines.collect::<Vec<_>>().join(";");
        let mut all = graph(&text);
        let output = name(links.len());
        let ends = (all.input.clone(), all.output.clone());
        all = part(&all, "image", &output);
        (all.input, all.output) = ends;
        let reached = |without: &str| {
            let mut reached = HashMap::from([("image", true)]);
            for node in &all.node {
                let read = node.input.iter().any(|name| reached.get(name.as_str()) == Some(&true));
                reached.insert(&node.output[0], read && node.output[0] != without);
            }
            reached[output.as_str()]
        };
        let made = all.node.iter().map(|node| node.output[0].clone()).filter(|made| *made != output);
        let expected: Vec<String> = made.filter(|made| !reached(made)).collect();
        let found: Vec<String> = cuts(&all).into_iter().map(|cut| cut.tensor).collect();
        prop_assert_eq!(found, expected);
    }
}
