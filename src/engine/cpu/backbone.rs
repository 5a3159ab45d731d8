//! The backbone, run at once or beside other work.
//!
//! ```text
//! run    picture ─▶ graph ─▶ features
//! begin  picture, copied ─▶ a thread of its own ─▶ graph ─▶ features ─▶ finish, which waits for them
//! ```
//!
//! With [`overlap`](Backbone::overlap) the graph moves to the thread: it is loaded there anew, for threads that give way
//! to all others. What runs beside has until its features are due; the frames meanwhile have not. Both ways give the
//! very same features.

use super::features::Pool;
use super::runtime::LoadedGraph;
use super::worker::{Stopped, Worker};
use super::{FeatureMap, Pooled};
use crate::engine::EngineError;
use crate::sys::process;

/// A graph that turns pictures into features.
pub(in crate::engine) struct Backbone {
    place: Place,
    /// What loads it once more.
    again: Option<Box<dyn FnOnce() -> Result<LoadedGraph, EngineError> + Send>>,
    begun: u64,
    /// Taken from the thread, and not asked for yet.
    held: Option<Answer>,
    /// Pictures that are waited for on their way to the thread.
    pictures: Pool<FeatureMap>,
}

/// Where the graph is.
enum Place {
    Here(LoadedGraph),
    Beside(Worker<Job, Answer>),
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
    /// A graph, and what loads it once more.
    pub(in crate::engine) fn new(
        graph: LoadedGraph,
        again: impl FnOnce() -> Result<LoadedGraph, EngineError> + Send + 'static,
    ) -> Self {
        Self { place: Place::Here(graph), again: Some(Box::new(again)), begun: 0, held: None, pictures: Pool::new() }
    }

    /// Moves the graph to the thread, which loads it while other work goes on.
    pub(in crate::engine) fn overlap(&mut self) -> Result<(), EngineError> {
        if let Some(load) = self.again.take() {
            self.place = Place::Beside(beside(load)?);
        }
        Ok(())
    }

    /// Runs the graph on `picture`; waits first for whatever is being worked on beside, which may be finished afterwards.
    pub(in crate::engine) fn run(&mut self, picture: &[f32], features: &mut FeatureMap) -> Result<(), EngineError> {
        let beside = match &mut self.place {
            Place::Here(graph) => return graph.run(&[picture], features),
            Place::Beside(beside) => beside,
        };
        let mut copy = self.pictures.take();
        copy.values.clear();
        copy.values.extend_from_slice(picture);
        self.begun += 1;
        beside.send(Job { number: self.begun, picture: copy, features: self.pictures.take() })?;
        loop {
            let answer = beside.answer()?;
            if answer.number == self.begun {
                std::mem::swap(&mut *answer.features?, features);
                return Ok(());
            }
            self.held = Some(answer);
        }
    }

    /// Runs the graph on `picture`, as [`run`](Self::run) does, and looks at the features `[channels, rows, cols]` without
    /// taking them.
    pub(in crate::engine) fn read(
        &mut self,
        picture: &[f32],
        look: &mut dyn FnMut([usize; 3], &[f32]),
    ) -> Result<(), EngineError> {
        if let Place::Here(graph) = &mut self.place {
            return graph.read(&[picture], look);
        }
        let mut features = self.pictures.take();
        self.run(picture, &mut features)?;
        look([features.channels, features.rows, features.cols], &features.values);
        Ok(())
    }

    /// Begins to run the graph on `picture`; the number to [`finish`](Self::finish) it by.
    pub(in crate::engine) fn begin(
        &mut self,
        picture: Pooled<FeatureMap>,
        features: Pooled<FeatureMap>,
    ) -> Result<u64, EngineError> {
        self.overlap()?;
        let Place::Beside(beside) = &self.place else { return Err(Stopped.into()) };
        self.begun += 1;
        self.held = None;
        // Answers that nobody waits for.
        while beside.try_answer()?.is_some() {}
        beside.send(Job { number: self.begun, picture, features })?;
        Ok(self.begun)
    }

    /// Whether nothing has to be waited for by [`finish`](Self::finish): a thread that has stopped gives nothing more.
    pub(in crate::engine) fn is_through(&mut self, number: u64) -> bool {
        let Place::Beside(beside) = &self.place else { return true };
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
        let Place::Beside(beside) = &self.place else { return Err(Stopped.into()) };
        let mut answer = self.held.take().map_or_else(|| beside.answer(), Ok)?;
        while answer.number != number {
            answer = beside.answer()?;
        }
        answer.features
    }
}

/// A thread with the graph, both under way. What is wrong with the graph is told for each picture.
fn beside(
    load: impl FnOnce() -> Result<LoadedGraph, EngineError> + Send + 'static,
) -> Result<Worker<Job, Answer>, EngineError> {
    Worker::start("backbone", || {
        // The runtime's own threads take it over from this one.
        if let Err(error) = process::give_way() {
            tracing::warn!("the network beside the frames may delay them, for it does not give way: {error}");
        }
        let mut graph = load();
        move |Job { number, picture, mut features }| {
            let answered = match &mut graph {
                Ok(graph) => tracing::debug_span!("backbone").in_scope(|| graph.run(&[&picture.values], &mut features)),
                Err(error) => Err(EngineError::Failed { runtime: "cpu", reason: error.to_string() }),
            };
            Answer { number, features: answered.map(|()| features) }
        }
    })
}

impl From<Stopped> for EngineError {
    fn from(_: Stopped) -> Self {
        Self::Failed { runtime: "cpu", reason: "the backbone's thread has stopped".to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn job(number: u64) -> Job {
        let pool = Pool::new();
        Job { number, picture: pool.take(), features: pool.take() }
    }

    #[test]
    fn a_graph_that_cannot_be_loaded_beside_is_told_with_every_picture() {
        let reason = "no memory is left".to_owned();
        let beside = beside(|| Err(EngineError::Failed { runtime: "rten", reason })).expect("a thread");
        for number in [1, 2] {
            beside.send(job(number)).expect("the thread is there");
            let answer = beside.answer().expect("an answer");
            assert_eq!(answer.number, number);
            let error = answer.features.expect_err("no graph").to_string();
            assert!(error.contains("no memory is left"), "{error}");
        }
    }

    #[test]
    fn what_is_loaded_beside_gives_way_before_it_starts_threads() {
        let (told, given) = mpsc::channel();
        let load = move || {
            told.send((process::gives_way(), std::thread::spawn(process::gives_way).join())).expect("it is waited for");
            Err(Stopped.into())
        };
        let _beside = beside(load).expect("a thread");
        let (itself, started) = given.recv().expect("it is loaded without being asked");
        assert!(itself && started.expect("no panic") && !process::gives_way());
    }
}
