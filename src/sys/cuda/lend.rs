//! Streams and memory lent to TensorRT, and its runs as graphs.

use super::error::CudaError;
use super::map::DeviceMap;
use super::memory::Half;
use super::stream::{Graph, Stream};
use crate::sys::tensorrt::{self, Context, DeviceSpan, TensorRtError};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Sets of memory that a plan is seen to run on, each with a graph of its own. Pools hand out few, again and again; on one
/// beyond these the plan is enqueued.
const MOST_PLACES: usize = 32;
/// Inputs and outputs of a plan: features, image, residual and the output; no graph has more.
pub const MOST_TENSORS: usize = 4;

/// Where a run's tensors lie, in the order in which they were given, and on which stream it runs.
#[derive(Debug, PartialEq, Eq)]
struct Places {
    stream: usize,
    spans: heapless::Vec<(u64, usize), MOST_TENSORS>,
}

/// A plan at work on the device: enqueued where it runs for the first time, captured the second time that it runs on the same
/// memory, and from then on launched as one graph.
#[derive(Debug)]
pub struct PlanRuns {
    // Graphs go before the context whose memory is in them.
    graphs: Vec<(Places, Option<Graph>)>,
    context: Context,
    /// Shared by the plans of a network: one that cannot be captured is told, and no other is tried.
    captures: Arc<AtomicBool>,
}

/// Where a plan is to run.
#[derive(Clone, Copy, Debug)]
pub enum On<'a> {
    /// On this stream, enqueued each time.
    Stream(tensorrt::Stream<'a>),
    /// On this stream, as a graph where that can be.
    Graphs(&'a Stream),
}

impl<'a> From<tensorrt::Stream<'a>> for On<'a> {
    fn from(stream: tensorrt::Stream<'a>) -> Self {
        Self::Stream(stream)
    }
}

impl<'a> From<&'a Stream> for On<'a> {
    fn from(stream: &'a Stream) -> Self {
        Self::Graphs(stream)
    }
}

impl PlanRuns {
    /// Runs of `context`; as graphs only while it `captures`.
    pub fn new(context: Context, captures: Arc<AtomicBool>) -> Self {
        Self { graphs: Vec::new(), context, captures }
    }

    /// Asks for a run; `memory` names every input and output, as for [`Context::enqueue`].
    ///
    /// # Errors
    /// As the context's; what the driver refuses is [`TensorRtError::NotRun`]. A run that cannot be captured is told once
    /// and enqueued, as all later ones are.
    pub fn enqueue(&mut self, on: On<'_>, memory: &[(&str, DeviceSpan<'_>)]) -> Result<(), TensorRtError> {
        let stream = match on {
            On::Stream(stream) => return self.context.enqueue(stream, memory),
            On::Graphs(stream) => stream,
        };
        stream.ask_for_all().map_err(|error| not_run(&error))?;
        let Some(places) = Places::of(stream, memory).filter(|_| self.captures.load(Ordering::Relaxed)) else {
            return self.context.enqueue(stream.for_tensorrt(), memory);
        };
        match self.graphs.iter().position(|(known, _)| *known == places) {
            None if self.graphs.len() < MOST_PLACES => {
                self.graphs.push((places, None));
                self.context.enqueue(stream.for_tensorrt(), memory)
            }
            None => self.context.enqueue(stream.for_tensorrt(), memory),
            Some(known) => self.replay(known, stream, memory),
        }
    }

    fn replay(
        &mut self,
        known: usize,
        stream: &Stream,
        memory: &[(&str, DeviceSpan<'_>)],
    ) -> Result<(), TensorRtError> {
        if self.graphs[known].1.is_none() {
            let context = &mut self.context;
            let captured = stream.capture(|stream| {
                context.enqueue(stream.for_tensorrt(), memory).map_err(|error| CudaError::Foreign(error.to_string()))
            });
            match captured {
                Ok(graph) => self.graphs[known].1 = Some(graph),
                Err(error) if error.is_lasting() => return Err(not_run(&error)),
                Err(error) => {
                    tracing::warn!("plans are enqueued for each frame, without CUDA graphs: {error}");
                    self.captures.store(false, Ordering::Relaxed);
                    return self.context.enqueue(stream.for_tensorrt(), memory);
                }
            }
        }
        // What is in the graph is this memory, which was given for this run, too.
        let (_, graph) = &self.graphs[known];
        graph.iter().try_for_each(Graph::launch).map_err(|error| not_run(&error))
    }
}

impl Places {
    fn of(stream: &Stream, memory: &[(&str, DeviceSpan<'_>)]) -> Option<Self> {
        let mut spans = heapless::Vec::new();
        let fitted = memory.iter().try_for_each(|(_, span)| spans.push((span.address(), span.bytes())));
        fitted.ok().map(|()| Self { stream: stream.handle().addr(), spans })
    }
}

fn not_run(error: &CudaError) -> TensorRtError {
    TensorRtError::NotRun { told: error.to_string() }
}

impl Stream {
    /// The stream as TensorRT takes it. What was put off was asked for before.
    fn for_tensorrt(&self) -> tensorrt::Stream<'_> {
        // SAFETY: the stream is of the device's primary context, which is TensorRT's too, and lives as long as the borrow;
        // it waits for its work before it ends.
        unsafe { tensorrt::Stream::new(self.handle().cast()) }
    }
}

impl DeviceMap<Half> {
    /// The map's memory as TensorRT takes it.
    pub fn span(&self) -> DeviceSpan<'_> {
        // SAFETY: so many bytes are allocated at this address and stay so until work that uses them has finished, for freeing
        // waits. Dropped, the memory is used again in the order of the stream that it is of; who lets another stream use it
        // makes that one wait first (`DeviceBuffer`).
        unsafe { DeviceSpan::new(self.address(), self.buffer().bytes()) }
    }
}
