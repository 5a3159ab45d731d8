//! A network's graphs in a runtime.

#[cfg(feature = "cuda")]
use super::Config;
use super::runtime::{LoadedGraph, Runtime};
use crate::engine::EngineError;
use crate::engine::network::{Graphs, Network, class_count};

/// A network in a runtime.
pub(crate) struct LoadedGraphs {
    /// What turns a picture into features: a split network's backbone, or a whole plain network.
    pub(crate) backbone: LoadedGraph,
    pub(crate) head: Option<LoadedGraph>,
    /// Fed with features, picture and, if it wants one, residual, in this order.
    pub(crate) correction: Option<LoadedGraph>,
    /// Values of the residual, if the correction wants one.
    pub(crate) residual: Option<usize>,
    /// What they are loaded from once more.
    pub(in crate::engine) again: Again,
}

/// What a network is loaded from once more, with other threads.
pub(in crate::engine) struct Again {
    runtime: Runtime,
    graphs: Graphs,
}

impl LoadedGraphs {
    /// Loads every graph into the runtime that `config` asks for; which it is, with its version.
    #[cfg(feature = "cuda")]
    pub(in crate::engine) fn choose(network: &Network, config: &Config) -> Result<(String, Self), EngineError> {
        let runtime = Runtime::choose(config)?;
        Ok((runtime.describe(), Self::load(runtime, network)?))
    }

    /// Loads every graph and runs it on zeros until it is warm.
    pub(super) fn load(runtime: Runtime, network: &Network) -> Result<Self, EngineError> {
        match network.graphs() {
            Graphs::Split { backbone, head, correction } => Ok(Self {
                backbone: runtime.load(backbone)?,
                head: Some(runtime.load(head)?),
                correction: correction.as_ref().map(|graph| runtime.load(graph)).transpose()?,
                residual: correction.as_ref().and_then(|graph| Some(graph.inputs.get(2)?.shape.iter().product())),
                again: Again { graphs: network.graphs().clone(), runtime },
            }),
            Graphs::Plain(graph) => {
                let backbone = runtime.load(graph)?;
                check_logits(&backbone, network)?;
                let again = Again { graphs: network.graphs().clone(), runtime };
                Ok(Self { backbone, head: None, correction: None, residual: None, again })
            }
        }
    }
}

impl Again {
    /// What loads the backbone, for threads that the thread starts which calls it.
    pub(in crate::engine) fn backbone(&self) -> impl FnOnce() -> Result<LoadedGraph, EngineError> + Send + use<> {
        let (Graphs::Split { backbone: graph, .. } | Graphs::Plain(graph)) = &self.graphs;
        let (graph, runtime) = (graph.clone(), self.runtime.clone());
        move || runtime.anew(None).load(&graph)
    }

    /// Head and correction, each for the thread alone that runs it.
    pub(super) fn light_on_one_thread(&self) -> Result<(Option<LoadedGraph>, Option<LoadedGraph>), EngineError> {
        let Graphs::Split { head, correction, .. } = &self.graphs else { return Ok((None, None)) };
        let runtime = self.runtime.anew(Some(1));
        Ok((Some(runtime.load(head)?), correction.as_ref().map(|graph| runtime.load(graph)).transpose()?))
    }
}

/// A plain network's logits: one for each class, on a grid that divides the input evenly.
fn check_logits(graph: &LoadedGraph, network: &Network) -> Result<(), EngineError> {
    let ([_, _, in_rows, in_cols], [_, channels, rows, cols]) = (graph.input, graph.output);
    let classes = network.classes().classes().len();
    let refuse = |reason: String| EngineError::Network { path: network.path().to_owned(), reason };
    if channels != classes {
        return Err(refuse(class_count(channels, classes)));
    }
    let divides = in_rows.is_multiple_of(rows) && in_cols.is_multiple_of(cols) && in_rows / rows == in_cols / cols;
    if divides {
        return Ok(());
    }
    let what = format!("output grid {rows}x{cols} does not divide its input {in_rows}x{in_cols} evenly");
    Err(refuse(format!("{what}: export it with logits at a whole fraction of the input")))
}
