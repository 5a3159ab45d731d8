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
use super::{FeatureMap, Pooled};
use crate::engine::EngineError;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// One that was forgotten and is being worked on, and one that is wanted.
const JOBS: usize = 2;

/// A graph that turns a picture into features.
pub(super) struct Backbone {
    graph: Arc<Mutex<LoadedGraph>>,
    beside: Option<Beside>,
    begun: u64,
    /// Taken from the thread, and not asked for yet.
    held: Option<Answer>,
}

/// The thread, and the ways to it and back.
struct Beside {
    /// Closed first, which ends the thread.
    jobs: Option<SyncSender<Job>>,
    answers: Receiver<Answer>,
    thread: Option<JoinHandle<()>>,
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
    pub(super) fn new(graph: LoadedGraph) -> Self {
        Self { graph: Arc::new(Mutex::new(graph)), beside: None, begun: 0, held: None }
    }

    /// Runs the graph on `picture`; waits first for whatever is being worked on beside.
    pub(super) fn run(&mut self, picture: &[f32], features: &mut FeatureMap) -> Result<(), EngineError> {
        run(&self.graph, picture, features)
    }

    /// Begins to run the graph on `picture`; the number to [`finish`](Self::finish) it by.
    pub(super) fn begin(
        &mut self,
        picture: Pooled<FeatureMap>,
        features: Pooled<FeatureMap>,
    ) -> Result<u64, EngineError> {
        self.begun += 1;
        self.held = None;
        let beside = match &mut self.beside {
            Some(beside) => beside,
            none => none.insert(Beside::start(&self.graph)?),
        };
        beside.send(Job { number: self.begun, picture, features })?;
        Ok(self.begun)
    }

    /// Whether nothing has to be waited for by [`finish`](Self::finish): a thread that has stopped gives nothing more.
    pub(super) fn is_through(&mut self, number: u64) -> bool {
        let Some(beside) = &self.beside else { return true };
        loop {
            if self.held.as_ref().is_some_and(|held| held.number == number) {
                return true;
            }
            match beside.answers.try_recv() {
                Ok(answer) => self.held = Some(answer),
                Err(TryRecvError::Empty) => return false,
                Err(TryRecvError::Disconnected) => return true,
            }
        }
    }

    /// Waits for the features of the run `number`; those of runs before it are thrown away.
    pub(super) fn finish(&mut self, number: u64) -> Result<Pooled<FeatureMap>, EngineError> {
        let beside = self.beside.as_ref().ok_or_else(stopped)?;
        let mut answers = self.held.take().into_iter().chain(beside.answers.iter());
        answers.find(|answer| answer.number == number).ok_or_else(stopped)?.features
    }
}

impl Beside {
    fn start(graph: &Arc<Mutex<LoadedGraph>>) -> Result<Self, EngineError> {
        let (jobs, todo) = sync_channel::<Job>(JOBS);
        // Room for every answer that can be under way, so that the thread never waits for somebody to take one.
        let (done, answers) = sync_channel(JOBS + 1);
        let graph = Arc::clone(graph);
        let work = move || {
            for Job { number, picture, mut features } in todo {
                let answered =
                    tracing::debug_span!("backbone").in_scope(|| run(&graph, &picture.values, &mut features));
                if done.send(Answer { number, features: answered.map(|()| features) }).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("backbone".into()).spawn(work);
        let thread = thread.map_err(|error| failed(format!("no thread for the backbone: {error}")))?;
        Ok(Self { jobs: Some(jobs), answers, thread: Some(thread) })
    }

    /// Takes away what nobody waits for, then hands the job over.
    fn send(&self, job: Job) -> Result<(), EngineError> {
        while self.answers.try_recv().is_ok() {}
        let jobs = self.jobs.as_ref().ok_or_else(stopped)?;
        jobs.send(job).map_err(|_| stopped())
    }
}

impl Drop for Beside {
    /// Waits for the run that is being worked on: a runtime must not be unloaded under it.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has nothing more to give; `finish` has told so.
            let _ = thread.join();
        }
    }
}

fn run(graph: &Mutex<LoadedGraph>, picture: &[f32], features: &mut FeatureMap) -> Result<(), EngineError> {
    // A graph whose run panicked refuses again or overwrites what was left half done.
    graph.lock().unwrap_or_else(PoisonError::into_inner).run(&[picture], features)
}

fn stopped() -> EngineError {
    failed("the backbone's thread has stopped".to_owned())
}

fn failed(reason: String) -> EngineError {
    EngineError::Failed { runtime: "cpu", reason }
}
