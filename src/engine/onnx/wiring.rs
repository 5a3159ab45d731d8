//! How the nodes of an ONNX graph hang together: who reads whom, and where one tensor carries everything.
//!
//! ```text
//! image ─▶ conv ─▶ a ─┬▶ conv ─▶ b ─┐
//!                     └─────────────┴▶ add ─▶ c ─▶ conv ─▶ logits      cuts: a, c
//! ```
//!
//! Cuts are those of graphs with one input and one output. Subgraphs (`If`, `Loop`) count as one node that
//! reads whatever they take from outside.

use rten_onnx::onnx::{GraphProto, NodeProto, ValueInfoProto};
use std::collections::{HashMap, HashSet};

/// A tensor through which every path from the graph's input to its output goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) tensor: String,
    /// The node that makes it; what comes after it depends on nothing else of the input.
    pub(crate) node: usize,
}

/// The name of a graph input, output or weight.
pub(crate) fn name_of(name: Option<&String>) -> &str {
    name.map_or("", String::as_str)
}

/// The graph's true inputs: weights listed among the inputs are left out.
pub(crate) fn inputs(graph: &GraphProto) -> impl Iterator<Item = &ValueInfoProto> {
    let weights: HashSet<&str> = graph.initializer.iter().map(|weight| name_of(weight.name.as_ref())).collect();
    graph.input.iter().filter(move |info| !weights.contains(name_of(info.name.as_ref())))
}

/// The name of the first true input.
pub(crate) fn input_name(graph: &GraphProto) -> &str {
    inputs(graph).next().map_or("", |info| name_of(info.name.as_ref()))
}

/// The graph's first output.
pub(crate) fn output_name(graph: &GraphProto) -> &str {
    graph.output.first().map_or("", |info| name_of(info.name.as_ref()))
}

/// Everything that `node` reads, its subgraphs included.
pub(crate) fn reads(node: &NodeProto) -> Vec<&str> {
    let inner = node.attribute.iter().filter_map(|attribute| attribute.g.as_ref());
    let own = node.input.iter().map(String::as_str).filter(|name| !name.is_empty());
    own.chain(inner.flat_map(captured)).collect()
}

/// What a subgraph takes from outside of it.
fn captured(graph: &GraphProto) -> Vec<&str> {
    let given = graph.input.iter().map(|info| name_of(info.name.as_ref()));
    let weights = graph.initializer.iter().map(|weight| name_of(weight.name.as_ref()));
    let made: HashSet<&str> = given.chain(weights).chain(graph.node.iter().flat_map(writes)).collect();
    graph.node.iter().flat_map(reads).filter(|name| !made.contains(name)).collect()
}

/// The tensors that `node` makes.
pub(crate) fn writes(node: &NodeProto) -> impl Iterator<Item = &str> {
    node.output.iter().map(String::as_str).filter(|name| !name.is_empty())
}

/// ONNX demands that a node stands after those it reads; everything here counts on it.
pub(crate) fn check_order(graph: &GraphProto) -> Result<(), String> {
    let weights = graph.initializer.iter().map(|weight| name_of(weight.name.as_ref()));
    let inputs = graph.input.iter().map(|info| name_of(info.name.as_ref()));
    let mut known: HashSet<&str> = weights.chain(inputs).collect();
    for node in &graph.node {
        if let Some(missing) = reads(node).into_iter().find(|name| !known.contains(name)) {
            let (kind, name) = (name_of(node.op_type.as_ref()), name_of(node.name.as_ref()));
            return Err(format!(
                "not a valid ONNX graph: {kind} (node '{name}') reads '{missing}', which nothing before it makes: \
                 export the network again"
            ));
        }
        known.extend(writes(node));
    }
    let output = output_name(graph);
    if known.contains(output) {
        Ok(())
    } else {
        Err(format!("not a valid ONNX graph: nothing makes output '{output}'"))
    }
}

/// Every tensor whose values depend on the graph's input.
pub(crate) fn dependent(graph: &GraphProto) -> HashSet<&str> {
    let mut dependent = HashSet::from([input_name(graph)]);
    for node in &graph.node {
        if reads(node).iter().any(|name| dependent.contains(name)) {
            dependent.extend(writes(node));
        }
    }
    dependent
}

/// The nodes and weights that lead from `from` to `to`. Inputs and outputs are left for the caller to state.
pub(crate) fn part(graph: &GraphProto, from: &str, to: &str) -> GraphProto {
    let mut needed: HashSet<&str> = HashSet::from([to]);
    let mut node = Vec::new();
    for candidate in graph.node.iter().rev() {
        if writes(candidate).any(|name| name != from && needed.contains(name)) {
            needed.extend(reads(candidate));
            node.push(candidate.clone());
        }
    }
    node.reverse();
    let wanted = |name: &str| name != from && needed.contains(name);
    let weights = graph.initializer.iter().filter(|weight| wanted(name_of(weight.name.as_ref())));
    GraphProto { node, initializer: weights.cloned().collect(), ..GraphProto::default() }
}

/// All cuts in the order of the nodes, without the output itself. The graph must hold no node that its output does not need.
///
/// A tensor is a cut exactly if, after the node that makes it, no other tensor that depends on the
/// input is still to be read: any such tensor would lead to the output around it.
pub(crate) fn cuts(graph: &GraphProto) -> Vec<Cut> {
    let dependent = dependent(graph);
    let mut last_read: HashMap<&str, usize> = HashMap::from([(output_name(graph), usize::MAX)]);
    for (index, node) in graph.node.iter().enumerate() {
        for name in reads(node) {
            last_read.entry(name).and_modify(|last| *last = index.max(*last)).or_insert(index);
        }
    }
    let mut live = HashSet::from([input_name(graph)]);
    let mut cuts = Vec::new();
    for (index, node) in graph.node.iter().enumerate() {
        live.extend(writes(node).filter(|name| dependent.contains(name)));
        live.retain(|name| last_read.get(name).is_some_and(|last| *last > index));
        let only = live.iter().next().filter(|_| live.len() == 1).copied();
        let made = only.filter(|only| *only != output_name(graph) && writes(node).any(|name| name == *only));
        cuts.extend(made.map(|tensor| Cut { tensor: tensor.to_owned(), node: index }));
    }
    cuts
}
