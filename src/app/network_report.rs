//! What `segfuse network check` found out, for people and for scripts.

use crate::engine::cpu::trial::Cost;
use crate::engine::network::{Channels, Graph, Graphs, Network, NetworkFile};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// A network, looked at from all sides.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) name: String,
    pub(super) path: String,
    /// XXH3-64 over all that decides its masks, as published with them.
    pub(super) hash: String,
    pub(super) classes: Classes,
    pub(super) input: Input,
    /// Absent for a plain file, whose logits are carried.
    pub(super) features: Option<Grid>,
    /// Absent if no runtime could say it.
    pub(super) logits: Option<Grid>,
    pub(super) files: Vec<NetworkFile>,
    pub(super) graphs: Vec<GraphReport>,
    /// The head's part of a key frame's multiply-adds.
    pub(super) head_share_percent: Option<f64>,
    /// The correction's part of the multiply-adds of a frame between key frames; the rest is the head's.
    pub(super) correction_share_percent: Option<f64>,
    pub(super) runtimes: Vec<RuntimeReport>,
    pub(super) agreement: Vec<AgreementReport>,
}

#[derive(Debug, Serialize)]
pub(super) struct Classes {
    pub(super) table: String,
    pub(super) count: usize,
}

#[derive(Debug, Serialize)]
pub(super) struct Input {
    pub(super) shape: [usize; 4],
    pub(super) channels: Channels,
    pub(super) mean: [f32; 3],
    pub(super) std: [f32; 3],
}

/// `[1, channels, rows, cols]` and the input pixels to a cell.
#[derive(Debug, Serialize)]
pub(super) struct Grid {
    pub(super) shape: [usize; 4],
    pub(super) stride: usize,
}

#[derive(Debug, Serialize)]
pub(super) struct GraphReport {
    /// `backbone`, `head`, `correction`, or `network` for a plain file.
    pub(super) graph: &'static str,
    pub(super) parameters: Option<u64>,
    pub(super) multiply_adds: Option<u64>,
    pub(super) operators: BTreeMap<String, usize>,
}

#[derive(Debug, Serialize)]
pub(super) struct RuntimeReport {
    /// Name, and version where it is at hand.
    pub(super) runtime: String,
    pub(super) verdict: Verdict,
    /// Why it does not run.
    pub(super) reason: Option<String>,
    /// Medians.
    pub(super) backbone_ms: Option<f64>,
    pub(super) head_ms: Option<f64>,
    pub(super) correction_ms: Option<f64>,
    /// Runs of the backbone that were measured.
    pub(super) runs: usize,
}

/// Whether a runtime takes the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// Every graph was loaded and run.
    Runs,
    /// Its builder takes every graph; there is nothing here to run them on.
    #[cfg(feature = "tensorrt")]
    Builds,
    /// It is at hand and says no.
    Refused,
    /// It is not at hand.
    Absent,
    /// This program has no way to ask it.
    Unchecked,
}

#[derive(Debug, Serialize)]
pub(super) struct AgreementReport {
    pub(super) between: [String; 2],
    /// On a rendered street, at the input's size.
    pub(super) equal_labels_percent: f64,
}

impl Report {
    /// What the network itself says.
    pub(super) fn new(network: &Network, costs: &[Option<Cost>]) -> Self {
        let input = network.input();
        let graphs = named(network.graphs());
        let graphs: Vec<GraphReport> =
            graphs.into_iter().zip(costs).map(|((name, graph), cost)| GraphReport::new(name, graph, *cost)).collect();
        let (features, logits) = match network.graphs() {
            Graphs::Split { backbone, head, .. } => (grid(input.rows, backbone.output), grid(input.rows, head.output)),
            Graphs::Plain(graph) => (None, grid(input.rows, graph.output)),
        };
        Self {
            name: network.name().to_owned(),
            path: network.path().to_owned(),
            hash: format!("{:016x}", network.hash()),
            classes: Classes { table: network.classes().name.clone(), count: network.classes().classes().len() },
            input: Input {
                shape: [1, 3, input.rows, input.cols],
                channels: input.channels,
                mean: input.mean,
                std: input.std,
            },
            features,
            logits,
            files: network.files(),
            head_share_percent: share(&graphs, "head", "backbone"),
            correction_share_percent: share(&graphs, "correction", "head"),
            graphs,
            runtimes: vec![],
            agreement: vec![],
        }
    }

    /// Whether any runtime runs it.
    pub(super) fn runs(&self) -> bool {
        self.runtimes.iter().any(|runtime| runtime.verdict == Verdict::Runs)
    }
}

/// The graphs of a network by what they are.
pub(super) fn named(graphs: &Graphs) -> Vec<(&'static str, &Graph)> {
    match graphs {
        Graphs::Split { backbone, head, correction } => {
            let correction = correction.iter().map(|graph| ("correction", graph.as_ref()));
            [("backbone", backbone), ("head", head)].into_iter().chain(correction).collect()
        }
        Graphs::Plain(graph) => vec![("network", graph)],
    }
}

/// A grid of cells, each of so many of the input's rows.
pub(super) fn grid(input_rows: usize, shape: Option<[usize; 4]>) -> Option<Grid> {
    let shape = shape?;
    Some(Grid { shape, stride: input_rows.checked_div(shape[2])? })
}

/// What part of the multiply-adds of graph `one` and the `other` is that of `one`, in percent.
fn share(graphs: &[GraphReport], one: &str, other: &str) -> Option<f64> {
    let work = |name: &str| graphs.iter().find(|graph| graph.graph == name)?.multiply_adds;
    let (one, other) = (work(one)?, work(other)?);
    Some(100.0 * one as f64 / (one + other).max(1) as f64)
}

impl GraphReport {
    fn new(name: &'static str, graph: &Graph, cost: Option<Cost>) -> Self {
        let mut operators = BTreeMap::new();
        for operator in &graph.onnx.operators {
            *operators.entry(operator.kind.clone()).or_insert(0) += 1;
        }
        let (parameters, multiply_adds) = (cost.map(|cost| cost.parameters), cost.and_then(|cost| cost.multiply_adds));
        Self { graph: name, parameters, multiply_adds, operators }
    }
}

impl RuntimeReport {
    /// A runtime that did not run it.
    pub(super) fn without(runtime: String, verdict: Verdict, reason: String) -> Self {
        Self { runtime, verdict, reason: Some(reason), backbone_ms: None, head_ms: None, correction_ms: None, runs: 0 }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, path, hash, classes, input, .. } = self;
        writeln!(f, "{name}  ({path}, hash {hash})")?;
        writeln!(f, "classes     {} of table '{}'", classes.count, classes.table)?;
        let channels = if input.channels == Channels::Rgb { "rgb" } else { "bgr" };
        writeln!(f, "input       {:?} {channels}, mean {:?}, std {:?}", input.shape, input.mean, input.std)?;
        for (what, grid) in [("features", &self.features), ("logits", &self.logits)] {
            if let Some(Grid { shape, stride }) = grid {
                writeln!(f, "{what:<11} {shape:?}, 1/{stride} of the input")?;
            }
        }
        self.files.iter().try_for_each(|file| write_file(f, file))?;
        self.graphs.iter().try_for_each(|graph| graph.fmt(f))?;
        if let Some(share) = self.head_share_percent {
            writeln!(f, "head share  {share:.1} % of the multiply-adds")?;
        }
        if let Some(share) = self.correction_share_percent {
            writeln!(f, "correction  {share:.1} % of the multiply-adds between key frames, the head the rest")?;
        }
        self.runtimes.iter().try_for_each(|runtime| runtime.fmt(f))?;
        for AgreementReport { between: [one, other], equal_labels_percent } in &self.agreement {
            writeln!(
                f,
                "agreement   {one} and {other}: {equal_labels_percent:.3} % of labels equal on a rendered street"
            )?;
        }
        Ok(())
    }
}

fn write_file(f: &mut fmt::Formatter<'_>, file: &NetworkFile) -> fmt::Result {
    let NetworkFile { name, bytes, sha256, verified } = file;
    let verified = if *verified { " (verified)" } else { "" };
    let size = bytes.map_or_else(|| "not embedded".into(), |bytes| format!("{bytes} bytes"));
    writeln!(f, "file        {name:<20} {size:>14}  SHA-256 {sha256}{verified}")
}

impl fmt::Display for GraphReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millions =
            |number: Option<u64>| number.map_or_else(|| "?".into(), |number| format!("{:.3}", number as f64 / 1e6));
        let (parameters, multiply_adds) = (millions(self.parameters), millions(self.multiply_adds));
        let operators: Vec<String> = self.operators.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        writeln!(f, "{:<11} {parameters} M parameters, {multiply_adds} M multiply-adds", self.graph)?;
        writeln!(f, "            {}", operators.join(", "))
    }
}

/// Three places where a GPU is faster than the first of them.
fn shown_ms(ms: f64) -> String {
    if ms < 1.0 { format!("{ms:.3}") } else { format!("{ms:.1}") }
}

impl fmt::Display for RuntimeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = self.reason.as_deref().unwrap_or("");
        write!(f, "runtime     {}: ", self.runtime)?;
        match self.verdict {
            Verdict::Runs => {
                let whole = if self.head_ms.is_some() { "backbone" } else { "whole" };
                write!(f, "runs, {whole} {} ms", shown_ms(self.backbone_ms.unwrap_or(f64::NAN)))?;
                self.head_ms.map_or(Ok(()), |head| write!(f, ", head {} ms", shown_ms(head)))?;
                self.correction_ms
                    .map_or(Ok(()), |correction| write!(f, ", correction {} ms", shown_ms(correction)))?;
                writeln!(f, " (medians of {} runs)", self.runs)
            }
            Verdict::Refused => writeln!(f, "refused: {told}"),
            Verdict::Absent => writeln!(f, "not at hand: {told}"),
            #[cfg(feature = "tensorrt")]
            Verdict::Builds => writeln!(f, "{told}"),
            Verdict::Unchecked => writeln!(f, "{told}"),
        }
    }
}
