//! A thread that does one kind of work beside the engine's own.

use crate::engine::EngineError;
use heapless::Deque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Jobs that may wait: one that was forgotten and is being worked on, and one that is wanted.
const JOBS: usize = 2;
/// Room for every answer that can be under way, so that the thread never waits for somebody to take one.
const ANSWERS: usize = JOBS + 1;

/// The thread, and the ways to it and back: an answer for each job, in their order.
pub(super) struct Worker<Job, Answer> {
    /// Both are closed in the end, which ends the thread.
    jobs: Arc<Way<Job, JOBS>>,
    answers: Arc<Way<Answer, ANSWERS>>,
    thread: Option<JoinHandle<()>>,
}

impl<Job: Send + 'static, Answer: Send + 'static> Worker<Job, Answer> {
    /// Starts the thread, which first makes what works on jobs.
    pub(super) fn start<Work>(name: &str, make: impl FnOnce() -> Work + Send + 'static) -> Result<Self, EngineError>
    where
        Work: FnMut(Job) -> Answer,
    {
        let (jobs, answers) = (Arc::new(Way::new()), Arc::new(Way::new()));
        // Closed however the thread ends, a panic included.
        let (todo, done) = (Closing(Arc::clone(&jobs)), Closing(Arc::clone(&answers)));
        let run = move || {
            // The way in is closed before the way back: whoever has heard that it has ended is not let in.
            let (done, todo) = (done, todo);
            let mut work = make();
            while let Ok(job) = todo.0.take() {
                if done.0.put(work(job)).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run);
        let thread = thread.map_err(|error| EngineError::Failed {
            runtime: "cpu",
            reason: format!("no thread for the work beside ({name}): {error}"),
        })?;
        Ok(Self { jobs, answers, thread: Some(thread) })
    }

    /// Hands a job over. Two may be under way; with more it waits until one is done.
    pub(super) fn send(&self, job: Job) -> Result<(), Stopped> {
        self.jobs.put(job)
    }

    /// The next answer if there is one already.
    pub(super) fn try_answer(&self) -> Result<Option<Answer>, Stopped> {
        self.answers.try_take()
    }

    /// Waits for the next answer.
    pub(super) fn answer(&self) -> Result<Answer, Stopped> {
        self.answers.take()
    }
}

/// The thread has ended: whatever it did panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stopped;

impl<Job, Answer> Drop for Worker<Job, Answer> {
    /// Waits for the job that is being worked on: a runtime must not be unloaded under it.
    fn drop(&mut self) {
        self.jobs.close();
        self.answers.close();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has nothing more to give; whoever waited for it has been told.
            let _ = thread.join();
        }
    }
}

/// From one thread to another, in order.
///
/// A channel of the standard library takes memory when a thread waits for the first time, which may be between any two
/// frames.
struct Way<T, const N: usize> {
    state: Mutex<State<T, N>>,
    changed: Condvar,
}

struct State<T, const N: usize> {
    items: Deque<T, N>,
    closed: bool,
}

impl<T, const N: usize> Way<T, N> {
    fn new() -> Self {
        Self { state: Mutex::new(State { items: Deque::new(), closed: false }), changed: Condvar::new() }
    }

    /// Waits for room; nobody takes anything once it is closed.
    fn put(&self, item: T) -> Result<(), Stopped> {
        let mut state = self.lock();
        while state.items.is_full() && !state.closed {
            state = self.wait(state);
        }
        if state.closed {
            return Err(Stopped);
        }
        let put = state.items.push_back(item);
        debug_assert!(put.is_ok(), "it is not full");
        drop(state);
        self.changed.notify_all();
        Ok(())
    }

    /// The oldest item, for which it waits; what is inside comes out also after it was closed.
    fn take(&self) -> Result<T, Stopped> {
        let mut state = self.lock();
        while state.items.is_empty() && !state.closed {
            state = self.wait(state);
        }
        self.taken(state).ok_or(Stopped)
    }

    fn try_take(&self) -> Result<Option<T>, Stopped> {
        let state = self.lock();
        if state.items.is_empty() && state.closed { Err(Stopped) } else { Ok(self.taken(state)) }
    }

    fn taken(&self, mut state: MutexGuard<'_, State<T, N>>) -> Option<T> {
        let item = state.items.pop_front()?;
        drop(state);
        self.changed.notify_all();
        Some(item)
    }

    fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State<T, N>>) -> MutexGuard<'a, State<T, N>> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, State<T, N>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes a way when it is dropped.
struct Closing<T, const N: usize>(Arc<Way<T, N>>);

impl<T, const N: usize> Drop for Closing<T, N> {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn every_job_is_answered_in_order_however_many_are_under_way() {
        let mut said = 0;
        let worker = Worker::start("adder", move || {
            move |job: u32| {
                said += job;
                said
            }
        })
        .expect("a thread");
        // Two wait to be worked on, and three to be taken.
        for job in 1..=5 {
            worker.send(job).expect("it runs");
        }
        let answers: Vec<u32> = (0..5).map(|_| worker.answer().expect("it runs")).collect();
        assert_eq!(answers, [1, 3, 6, 10, 15]);
        assert_eq!(worker.try_answer(), Ok(None));
    }

    #[test]
    fn a_thread_that_panics_is_told_to_whoever_waits_for_it_or_gives_it_more() {
        let worker = Worker::start("faulty", || {
            |job: u32| {
                assert_ne!(job, 2, "as the test wants");
                job
            }
        })
        .expect("a thread");
        worker.send(1).expect("it runs");
        worker.send(2).expect("it runs");
        assert_eq!([worker.answer(), worker.answer()], [Ok(1), Err(Stopped)], "what was answered before is there");
        assert_eq!((worker.try_answer(), worker.send(3)), (Err(Stopped), Err(Stopped)));
    }

    #[test]
    fn one_that_is_dropped_waits_for_nobody_to_take_its_answers() {
        let worker = Worker::start("unheard", || |job: u32| job).expect("a thread");
        for job in 0..=ANSWERS {
            worker.send(job as u32).expect("it runs");
        }
        drop(worker);
    }

    #[test]
    fn one_that_is_dropped_waits_for_what_it_works_on() {
        let (begun, begins) = mpsc::channel();
        let (told, tells) = mpsc::channel();
        let worker = Worker::start("slow", move || {
            move |job: u32| {
                begun.send(()).expect("the test waits");
                std::thread::sleep(std::time::Duration::from_millis(20));
                told.send(job).expect("the test waits");
            }
        });
        let worker = worker.expect("a thread");
        worker.send(1).expect("it runs");
        begins.recv().expect("it runs");
        drop(worker);
        assert_eq!((tells.try_recv(), tells.try_recv().is_err()), (Ok(1), true));
    }
}
