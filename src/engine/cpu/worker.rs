//! A thread that does one kind of work beside the engine's own.

use crate::engine::EngineError;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;

/// Jobs that may wait: one that was forgotten and is being worked on, and one that is wanted.
const JOBS: usize = 2;

/// The thread, and the ways to it and back: an answer for each job, in their order.
pub(super) struct Worker<Job, Answer> {
    /// Closed first, which ends the thread.
    jobs: Option<SyncSender<Job>>,
    answers: Receiver<Answer>,
    thread: Option<JoinHandle<()>>,
}

impl<Job: Send + 'static, Answer: Send + 'static> Worker<Job, Answer> {
    /// Starts the thread, which first makes what works on jobs.
    pub(super) fn start<Work>(name: &str, make: impl FnOnce() -> Work + Send + 'static) -> Result<Self, EngineError>
    where
        Work: FnMut(Job) -> Answer,
    {
        let (jobs, todo) = sync_channel::<Job>(JOBS);
        // Room for every answer that can be under way, so that the thread never waits for somebody to take one.
        let (done, answers) = sync_channel(JOBS + 1);
        let run = move || {
            let mut work = make();
            for job in todo {
                if done.send(work(job)).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run);
        let thread = thread.map_err(|error| EngineError::Failed {
            runtime: "cpu",
            reason: format!("no thread for the work beside ({name}): {error}"),
        })?;
        Ok(Self { jobs: Some(jobs), answers, thread: Some(thread) })
    }

    /// Hands a job over. Two may be under way; with more it waits until one is done.
    pub(super) fn send(&self, job: Job) -> Result<(), Stopped> {
        self.jobs.as_ref().ok_or(Stopped)?.send(job).map_err(|_| Stopped)
    }

    /// The next answer if there is one already.
    pub(super) fn try_answer(&self) -> Result<Option<Answer>, Stopped> {
        match self.answers.try_recv() {
            Ok(answer) => Ok(Some(answer)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(Stopped),
        }
    }

    /// Waits for the next answer.
    pub(super) fn answer(&self) -> Result<Answer, Stopped> {
        self.answers.recv().map_err(|_| Stopped)
    }
}

/// The thread has ended: whatever it did panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stopped;

impl<Job, Answer> Drop for Worker<Job, Answer> {
    /// Waits for the job that is being worked on: a runtime must not be unloaded under it.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has nothing more to give; whoever waited for it has been told.
            let _ = thread.join();
        }
    }
}
