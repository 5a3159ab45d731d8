//! Threads that lend a hand with borrowed data, for work of a fraction of a millisecond.
//!
//! ```text
//! for_each(items, work):  the caller and every worker that is awake take items, in order, until there are none
//! ```
//!
//! Nothing is allocated for it. A worker looks out for more work for some microseconds before it sleeps, and one that the
//! machine is too busy to wake in time is not waited for: the caller does its share. (Rayon's caller sleeps until others
//! have done the work, and what it hands them takes memory once in 63 times.)

use std::io;
use std::mem;
use std::num::NonZeroUsize;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::{self, JoinHandle};

/// Looks at the board before a worker sleeps, and at others before a thread that waits lets them have its core.
const LOOKS: usize = 2000;

/// What every thread of a job does: take items until there are none.
type Job = &'static (dyn Fn() + Sync);

/// A caller's helpers; none of them is needed.
///
/// ```
/// use segfuse::sys::workers::Workers;
/// let workers = Workers::new(2.try_into()?)?;
/// let mut squares = [0; 100];
/// workers.for_each(squares.iter_mut().enumerate(), |(number, square)| *square = number * number);
/// assert_eq!(squares[99], 9801);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Workers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    /// Held while there is a job: another caller, or the job itself, then works alone.
    calling: Mutex<()>,
}

#[derive(Debug, Default)]
struct Shared {
    board: Mutex<Board>,
    /// Something is new on the board.
    news: Condvar,
    /// The board's number, to be looked at without its lock.
    number: AtomicUsize,
    /// Workers that have taken the job and not left it.
    inside: AtomicUsize,
    /// Whether one of them panicked.
    failed: AtomicBool,
}

#[derive(Default)]
struct Board {
    /// May be taken for as long as it stands here.
    job: Option<Job>,
    /// Jobs so far.
    number: usize,
    asleep: usize,
    over: bool,
}

impl Workers {
    /// None: the caller does everything itself.
    pub fn alone() -> Self {
        Self { shared: Arc::default(), threads: Vec::new(), calling: Mutex::default() }
    }

    /// So many threads, the caller among them.
    ///
    /// # Errors
    /// If the system starts no more threads.
    pub fn new(threads: NonZeroUsize) -> io::Result<Self> {
        let mut workers = Self::alone();
        for _ in 1..threads.get() {
            let shared = Arc::clone(&workers.shared);
            let thread = thread::Builder::new().name("segfuse-helper".into()).spawn(move || shared.help())?;
            workers.threads.push(thread);
        }
        Ok(workers)
    }

    /// Threads that work, the caller among them.
    pub fn count(&self) -> usize {
        self.threads.len() + 1
    }

    /// Does `work` with each of the items, and returns when all is done.
    ///
    /// Items are begun in their order, by any thread: work may wait for what work with an earlier item does, not for a
    /// later one. A panic in the work is the caller's.
    pub fn for_each<I: Iterator + Send>(&self, items: I, work: impl Fn(I::Item) + Sync) {
        if self.threads.is_empty() {
            return items.for_each(work);
        }
        let _turn = match self.calling.try_lock() {
            Ok(turn) => turn,
            // A caller before this one panicked.
            Err(TryLockError::Poisoned(turn)) => turn.into_inner(),
            Err(TryLockError::WouldBlock) => return items.for_each(work),
        };
        let items = Mutex::new(items.fuse());
        self.together(&|| {
            loop {
                // Not a `while let`: that would hold the lock during the work.
                let item = lock(&items).next();
                let Some(item) = item else { break };
                work(item);
            }
        });
    }

    fn together(&self, job: &(dyn Fn() + Sync)) {
        // What is left of a job that the caller left by a panic.
        self.shared.failed.store(false, Ordering::Relaxed);
        let standing = Standing(&self.shared);
        // SAFETY: `job` is there until this function is left. Before that, also by a panic, `standing` is dropped, which
        // takes the copy off the board and waits until the last worker that had taken it has left it: from then on nobody
        // has it. Workers take it under the board's lock and only while it stands there, so none can after that.
        let job: Job = unsafe { mem::transmute::<&(dyn Fn() + Sync), Job>(job) };
        self.shared.post(job);
        job();
        drop(standing);
        assert!(!self.shared.failed.load(Ordering::Relaxed), "a helper's work panicked, as told above");
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        lock(&self.shared.board).over = true;
        self.shared.number.fetch_add(1, Ordering::Release);
        self.shared.news.notify_all();
        for thread in self.threads.drain(..) {
            // Its panics were caught.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn post(&self, job: Job) {
        let mut board = lock(&self.board);
        board.job = Some(job);
        board.number += 1;
        self.number.store(board.number, Ordering::Release);
        let asleep = board.asleep > 0;
        drop(board);
        if asleep {
            self.news.notify_all();
        }
    }

    /// A worker's life.
    fn help(&self) {
        let mut done = 0;
        while let Some((number, job)) = self.next_after(done) {
            done = number;
            if let Some(job) = job {
                if panic::catch_unwind(AssertUnwindSafe(job)).is_err() {
                    self.failed.store(true, Ordering::Relaxed);
                }
                self.inside.fetch_sub(1, Ordering::Release);
            }
        }
    }

    /// Waits for another job than number `done` and takes it, if it still stands; none at all when it is over.
    fn next_after(&self, done: usize) -> Option<(usize, Option<Job>)> {
        let mut looks = 0..LOOKS;
        while self.number.load(Ordering::Acquire) == done && looks.next().is_some() {
            std::hint::spin_loop();
        }
        let mut board = lock(&self.board);
        while board.number == done && !board.over {
            board.asleep += 1;
            board = self.news.wait(board).unwrap_or_else(PoisonError::into_inner);
            board.asleep -= 1;
        }
        if board.over {
            return None;
        }
        if board.job.is_some() {
            // Under the lock: who takes the job down finds this worker inside, or it was not there to be taken.
            self.inside.fetch_add(1, Ordering::Relaxed);
        }
        Some((board.number, board.job))
    }
}

/// A job on the board; dropped, there is none, and nobody has it.
struct Standing<'a>(&'a Shared);

impl Drop for Standing<'_> {
    fn drop(&mut self) {
        lock(&self.0.board).job = None;
        wait_until(|| self.0.inside.load(Ordering::Acquire) == 0);
    }
}

/// Returns once it holds, of what another thread that is at work is about to make so.
pub fn wait_until(mut holds: impl FnMut() -> bool) {
    let mut looks = 0..LOOKS;
    while !holds() {
        match looks.next() {
            Some(_) => std::hint::spin_loop(),
            None => thread::yield_now(),
        }
    }
}

/// What the lock guards is whole also after a panic: each change of it is one assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Board {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Board").field("number", &self.number).field("asleep", &self.asleep).finish_non_exhaustive()
    }
}

/// So many threads, for tests.
#[cfg(test)]
pub(crate) fn workers(threads: usize) -> Arc<Workers> {
    let workers = Workers::new(threads.try_into().expect("one at least"));
    Arc::new(workers.expect("the system has room for some threads"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    #[test]
    fn every_item_is_worked_on_once_by_however_many_threads() {
        for threads in 1..=4 {
            let workers = workers(threads);
            assert_eq!(workers.count(), threads);
            for count in [0, 1, 2, 3, 100, 1000] {
                let mut visits = vec![0_u32; count];
                workers.for_each(visits.iter_mut(), |visits| *visits += 1);
                assert!(visits.iter().all(|&visits| visits == 1), "{threads} threads: {visits:?}");
            }
        }
    }

    #[test]
    fn thousands_of_jobs_one_after_the_other_lose_nothing() {
        let (workers, mut sums) = (workers(3), [0_usize; 7]);
        for job in 0..20_000 {
            workers.for_each(sums.iter_mut(), |sum| *sum += job);
            if job % 5000 == 0 {
                // Long enough for all to fall asleep.
                thread::sleep(std::time::Duration::from_millis(5));
            }
        }
        assert_eq!(sums, [20_000 * 19_999 / 2; 7]);
    }

    #[test]
    fn work_may_wait_for_what_is_done_with_an_earlier_item() {
        for threads in 1..=4 {
            let workers = workers(threads);
            for _ in 0..200 {
                let done: Vec<AtomicBool> = (0..20).map(|_| AtomicBool::new(false)).collect();
                workers.for_each(0..20, |item: usize| {
                    if let Some(before) = item.checked_sub(1) {
                        wait_until(|| done[before].load(Ordering::Acquire));
                    }
                    done[item].store(true, Ordering::Release);
                });
                assert!(done.iter().all(|done| done.load(Ordering::Relaxed)));
            }
        }
    }

    #[test]
    fn several_threads_work_at_a_time() {
        let (workers, here) = (workers(2), AtomicU32::new(0));
        // Each of the two is done only when both have begun.
        workers.for_each(0..2, |_| {
            here.fetch_add(1, Ordering::SeqCst);
            wait_until(|| here.load(Ordering::SeqCst) == 2);
        });
    }

    #[test]
    fn work_within_work_and_of_two_callers_is_done_all_the_same() {
        let (workers, count) = (workers(3), AtomicU32::new(0));
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        workers.for_each(0..4, |_| {
                            workers.for_each(0..3, |_| {
                                count.fetch_add(1, Ordering::Relaxed);
                            });
                        });
                    }
                });
            }
        });
        assert_eq!(count.into_inner(), 2 * 500 * 4 * 3);
    }

    #[test]
    fn a_panic_in_any_thread_is_the_callers_and_the_workers_go_on() {
        let (workers, caller) = (workers(2), thread::current().id());
        for (callers, helpers) in [(true, true), (true, false), (false, true)] {
            let here = AtomicU32::new(0);
            let outcome = panic::catch_unwind(AssertUnwindSafe(|| {
                workers.for_each(0..2, |_| {
                    here.fetch_add(1, Ordering::SeqCst);
                    wait_until(|| here.load(Ordering::SeqCst) == 2);
                    let panics = if thread::current().id() == caller { callers } else { helpers };
                    assert!(!panics, "on purpose");
                });
            }));
            assert!(outcome.is_err());
            let mut visits = [0; 9];
            workers.for_each(visits.iter_mut(), |visits| *visits += 1);
            assert_eq!(visits, [1; 9]);
        }
    }
}
