//! The backbone, run at once or beside other work.
//!
//! ```text
//! run    picture ─▶ graph ─▶ features
//! begin  picture, copied ─▶ a thread of its own ─▶ graph ─▶ features ─▶ finish, which waits for them
//! ```
//!
//! Both run the same graph, so that one gives the very features of the other. The thread starts with the first
//! `begin` and ends with the backbone.

use super::runtime::LoadedGraph;
use super::worker::{Stopped, Worker};
use super::{FeatureMap, Pooled};
use crate::engine::EngineError;
use std::sync::{Arc, Mutex, PoisonError};

/// A graph that turns a picture into features.
pub(in crate::engine) struct Backbone {
    graph: Arc<Mutex<LoadedGraph>>,
    beside: Option<Worker<Job, Answer>>,
    begun: u64,
    /// Taken from the thread, and not asked for yet.
    held: Option<Answer>,
}

struct Job {
    number: u64,
    picture: Pooled<FeatureMap>,
    features: Pooled<FeatureMap>,
}

struct Answer {
    number: u64,
    features: Result<Pooled<FeatureMap>, EngineError>,
}

impl Backbone {
    pub(in crate::engine) fn new(graph: LoadedGraph) -> Self {
        Self { graph: Arc::new(Mutex::new(graph)), beside: None, begun: 0, held: None }
    }

    /// Runs the graph on `picture`; waits first for whatever is being worked on beside.
    pub(in crate::engine) fn run(&mut self, picture: &[f32], features: &mut FeatureMap) -> Result<(), EngineError> {
        run(&self.graph, picture, features)
    }

    /// Begins to run the graph on `picture`; the number to [`finish`](Self::finish) it by.
    pub(in crate::engine) fn begin(
        &mut self,
        picture: Pooled<FeatureMap>,
        features: Pooled<FeatureMap>,
    ) -> Result<u64, EngineError> {
        self.begun += 1;
        self.held = None;
        let beside = match &mut self.beside {
            Some(beside) => beside,
            none => none.insert(start(&self.graph)?),
        };
        // Answers that nobody waits for.
        while beside.try_answer()?.is_some() {}
        beside.send(Job { number: self.begun, picture, features })?;
        Ok(self.begun)
    }

    /// Whether nothing has to be waited for by [`finish`](Self::finish): a thread that has stopped gives nothing more.
    pub(in crate::engine) fn is_through(&mut self, number: u64) -> bool {
        let Some(beside) = &self.beside else { return true };
        loop {
            if self.held.as_ref().is_some_and(|held| held.number == number) {
                return true;
            }
            match beside.try_answer() {
                Ok(Some(answer)) => self.held = Some(answer),
                Ok(None) => return false,
                Err(Stopped) => return true,
            }
        }
    }

    /// Waits for the features of the run `number`; those of runs before it are thrown away.
    pub(in crate::engine) fn finish(&mut self, number: u64) -> Result<Pooled<FeatureMap>, EngineError> {
        let beside = self.beside.as_ref().ok_or(Stopped)?;
        let mut answer = self.held.take().map_or_else(|| beside.answer(), Ok)?;
        while answer.number != number {
            answer = beside.answer()?;
        }
        answer.features
    }
}

fn start(graph: &Arc<Mutex<LoadedGraph>>) -> Result<Worker<Job, Answer>, EngineError> {
    let graph = Arc::clone(graph);
    Worker::start("backbone", move |Job { number, picture, mut features }| {
        let answered = tracing::debug_span!("backbone").in_scope(|| run(&graph, &picture.values, &mut features));
        Answer { number, features: answered.map(|()| features) }
    })
}

fn run(graph: &Mutex<LoadedGraph>, picture: &[f32], features: &mut FeatureMap) -> Result<(), EngineError> {
    // A graph whose run panicked refuses again or overwrites what was left half done.
    graph.lock().unwrap_or_else(PoisonError::into_inner).run(&[picture], features)
}

impl From<Stopped> for EngineError {
    fn from(_: Stopped) -> Self {
        Self::Failed { runtime: "cpu", reason: "the backbone's thread has stopped".to_owned() }
    }
}
