//! Launches that are put off until somebody waits for them, and then asked for as one graph.
//!
//! ```text
//! launch, launch, … ─▶ put off ─ask─▶ the graph of just these kernels and grids ─arguments that changed─▶ launched
//!                                       └ none yet: made, and kept for the next frame
//! ```
//!
//! Memory may be another in every frame: it is an argument, and those are set anew. So nothing has to stay where it was,
//! and one graph serves all frames of a shape. A driver that refuses graphs is told once; then launches are asked for one
//! by one, in the same order.

use super::error::{At, CudaError};
use super::launch::Launch;
use super::stream::Stream;
use cudarc::driver::{result, sys};
use std::ptr;

/// Launches of a graph: more are asked for in several. A frame has a dozen.
const MOST_LAUNCHES: usize = 64;
/// Graphs that are kept: a frame has a handful of shapes, by its kind, its size and what the network wants.
const MOST_GRAPHS: usize = 16;

/// What a stream was asked for and has not been told yet, and the graphs of earlier times.
#[derive(Debug, Default)]
pub(super) struct PutOff {
    launches: Vec<Launch>,
    /// The one that was used last is the last.
    graphs: Vec<Replay>,
    is_refused: bool,
}

impl PutOff {
    /// Notes a launch for later; whether it is time to ask for all of them.
    pub(super) fn note(&mut self, launch: Launch) -> bool {
        self.launches.push(launch);
        self.launches.len() >= MOST_LAUNCHES
    }

    /// Asks `stream`, whose they are, for all that was put off.
    pub(super) fn ask(&mut self, stream: &Stream) -> Result<(), CudaError> {
        let mut launches = std::mem::take(&mut self.launches);
        let asked = match &launches[..] {
            // A graph of one is no faster.
            [] | [_] => one_by_one(stream, &launches),
            _ => self.at_once(stream, &launches),
        };
        launches.clear();
        self.launches = launches;
        asked
    }

    fn at_once(&mut self, stream: &Stream, launches: &[Launch]) -> Result<(), CudaError> {
        if !self.is_refused {
            let Err(error) = self.replay(stream, launches) else { return Ok(()) };
            if error.is_lasting() {
                return Err(error);
            }
            tracing::warn!("kernels are launched one by one, without CUDA graphs: {error}");
            self.graphs.clear();
            self.is_refused = true;
        }
        one_by_one(stream, launches)
    }

    fn replay(&mut self, stream: &Stream, launches: &[Launch]) -> Result<(), CudaError> {
        let mut replay = match self.graphs.iter().position(|graph| graph.is_of(launches)) {
            Some(known) => self.graphs.remove(known),
            None => Replay::new(launches)?,
        };
        replay.set(launches)?;
        replay.launch(stream)?;
        if self.graphs.len() >= MOST_GRAPHS {
            self.graphs.remove(0);
        }
        self.graphs.push(replay);
        Ok(())
    }
}

fn one_by_one(stream: &Stream, launches: &[Launch]) -> Result<(), CudaError> {
    launches.iter().try_for_each(|launch| launch.ask(stream))
}

/// A graph of launches, one after the other, and the arguments that it has now.
#[derive(Debug)]
struct Replay {
    graph: sys::CUgraph,
    executable: sys::CUgraphExec,
    /// One for each launch, of the graph.
    nodes: Vec<sys::CUgraphNode>,
    launches: Vec<Launch>,
}

// SAFETY: graphs may be used from any thread, by one at a time: whoever has this exclusively.
unsafe impl Send for Replay {}

impl Replay {
    fn new(launches: &[Launch]) -> Result<Self, CudaError> {
        let mut graph = ptr::null_mut();
        // SAFETY: the handle may be written; flags must be zero, and are.
        unsafe { sys::cuGraphCreate(&raw mut graph, 0) }.result().at("making a graph")?;
        // From here on dropping it destroys what was made.
        let mut made = Self { graph, executable: ptr::null_mut(), nodes: Vec::new(), launches: launches.to_vec() };
        for launch in launches {
            let node = made.added(launch)?;
            made.nodes.push(node);
        }
        // SAFETY: the graph is complete and alive.
        made.executable = unsafe { result::graph::instantiate(graph, sys::CUgraphInstantiate_flags(0)) }
            .at("making a graph ready to be launched")?;
        Ok(made)
    }

    /// A node behind those that are there.
    fn added(&self, launch: &Launch) -> Result<sys::CUgraphNode, CudaError> {
        let (mut node, before) = (ptr::null_mut(), self.nodes.last());
        let (behind, count) = before.map_or((ptr::null(), 0), |before| (ptr::from_ref(before), 1));
        let added = launch.as_node(|node_parameters| {
            // SAFETY: the graph is alive, the node before it is its own, the handle may be written; parameters are as those of
            // the launch, which are copied.
            unsafe { sys::cuGraphAddKernelNode_v2(&raw mut node, self.graph, behind, count, node_parameters) }
        });
        added.result().at("adding a kernel to a graph")?;
        Ok(node)
    }

    fn is_of(&self, launches: &[Launch]) -> bool {
        let pairs = || self.launches.iter().zip(launches);
        self.launches.len() == launches.len() && pairs().all(|(own, other)| own.is_like(other))
    }

    /// Gives it the arguments of `launches`, which it [is of](Self::is_of). What was launched before keeps its own.
    fn set(&mut self, launches: &[Launch]) -> Result<(), CudaError> {
        for ((node, own), wanted) in self.nodes.iter().zip(&mut self.launches).zip(launches) {
            if own.equals(wanted) {
                continue;
            }
            let set = wanted.as_node(|node_parameters| {
                // SAFETY: the node is of the graph that this was made of, which is alive, and its kernel stays the same; the
                // parameters are copied.
                unsafe { sys::cuGraphExecKernelNodeSetParams_v2(self.executable, *node, node_parameters) }
            });
            set.result().at("setting a graph's arguments")?;
            own.clone_from(wanted);
        }
        Ok(())
    }

    fn launch(&self, stream: &Stream) -> Result<(), CudaError> {
        // SAFETY: both are alive and of one context; the memory in its arguments is that of launches that were asked for on
        // this stream, which stays allocated until the stream is through.
        unsafe { result::graph::launch(self.executable, stream.handle()) }.at("launching a graph")
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        if !self.executable.is_null() {
            // SAFETY: made in `new`, destroyed once; the driver lets a launch that goes on end first.
            let _ = unsafe { result::graph::exec_destroy(self.executable) };
        }
        // SAFETY: made in `new`, destroyed once.
        let _ = unsafe { result::graph::destroy(self.graph) };
    }
}
