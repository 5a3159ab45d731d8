//! What a thread and a process ask of the scheduler and of memory.
//!
//! Each function concerns the thread that calls it, but for [`lock_memory`] and what only looks. Threads that are started
//! afterwards take over priority and processors from the one that starts them.

use std::io;
use std::mem;

/// The highest number of a processor that the kernel's fixed-size set can name.
pub const MAX_CPU: usize = libc::CPU_SETSIZE as usize - 1;

/// Puts this thread under `SCHED_FIFO` at `priority`, 1 to 99: it runs whenever it can and no higher one does.
pub fn run_first(priority: u8) -> io::Result<()> {
    let parameter = libc::sched_param { sched_priority: i32::from(priority) };
    // SAFETY: 0 names the calling thread, and the kernel only reads `parameter`, which lives until the call returns.
    answer(unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameter) })
}

/// Puts this thread under `SCHED_IDLE`: threads of the same group (a service is one) that are under another policy take
/// the processor from it the moment they wake. Other groups share with it as with any thread.
pub fn give_way() -> io::Result<()> {
    let parameter = libc::sched_param { sched_priority: 0 };
    // SAFETY: 0 names the calling thread, and the kernel only reads `parameter`, which lives until the call returns.
    answer(unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameter) })
}

/// Whether this thread [gives way](give_way).
pub fn gives_way() -> bool {
    // SAFETY: it takes a number; 0 names the calling thread, of which the kernel always tells.
    (unsafe { libc::sched_getscheduler(0) }) == libc::SCHED_IDLE
}

/// The real-time priority of this thread; `None` where it is under no real-time policy.
pub fn priority() -> io::Result<Option<u8>> {
    let mut parameter = libc::sched_param { sched_priority: 0 };
    // SAFETY: 0 names the calling thread, and the kernel writes `parameter`, which is a whole one and not shared.
    answer(unsafe { libc::sched_getparam(0, &raw mut parameter) })?;
    Ok(u8::try_from(parameter.sched_priority).ok().filter(|&priority| priority > 0))
}

/// Keeps this thread on `cpus`. Of those that are not there or not allowed the kernel says nothing if one is: ask
/// [`cpus`] afterwards.
pub fn stay_on(cpus: &[usize]) -> io::Result<()> {
    let mut set = no_cpus();
    for &cpu in cpus {
        if cpu > MAX_CPU {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // SAFETY: the number was found to be inside the set just above.
        unsafe { libc::CPU_SET(cpu, &mut set) };
    }
    // SAFETY: 0 names the calling thread, and the kernel only reads `set`, whose size is told.
    answer(unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) })
}

/// The processors that this thread may run on, in order.
pub fn cpus() -> io::Result<Vec<usize>> {
    let mut set = no_cpus();
    // SAFETY: 0 names the calling thread, and the kernel writes at most the size told into `set`, which is not shared.
    answer(unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) })?;
    // SAFETY: every number asked for is inside the set.
    Ok((0..=MAX_CPU).filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, &set) }).collect())
}

/// How many processors the machine has, asleep ones too: their numbers are below.
pub fn cpu_count() -> usize {
    // SAFETY: it takes a number and gives a number.
    let count = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_CONF) };
    usize::try_from(count).unwrap_or(1).max(1)
}

/// Keeps every page of this process in memory once it has been touched, those that come later too.
pub fn lock_memory() -> io::Result<()> {
    // SAFETY: it takes flags alone and changes no page's content.
    answer(unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT) })
}

/// How many bytes this process may keep in memory; `None` where nothing bounds it.
pub fn lockable_bytes() -> io::Result<Option<u64>> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes `limit`, which is a whole one and not shared.
    answer(unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) })?;
    Ok((limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur))
}

/// Sends this process the signal that Ctrl-C does.
pub fn interrupt_itself() -> io::Result<()> {
    // SAFETY: it takes a number; what the signal does is what its handler was set to do.
    answer(unsafe { libc::raise(libc::SIGINT) })
}

/// Ends the process with this status, and says so on standard error: from any thread, whatever the others do. Nothing of this
/// process runs any more, no lock is waited for: a library that is just being loaded holds the loader's, which printing
/// and leaving in the ordinary way take.
pub fn end_at_once(status: u8, message: &str) -> ! {
    // SAFETY: so many bytes are at this address and stay there.
    unsafe { libc::write(libc::STDERR_FILENO, message.as_ptr().cast(), message.len()) };
    // SAFETY: it takes a number, runs no code of this process any more, and does not return.
    unsafe { libc::_exit(i32::from(status)) }
}

fn no_cpus() -> libc::cpu_set_t {
    // SAFETY: a set is a field of bits, for which all zero is a value: the empty set.
    unsafe { mem::zeroed() }
}

fn answer(status: libc::c_int) -> io::Result<()> {
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On a thread of its own: the test's runner keeps its processors.
    fn apart<T: Send>(act: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| scope.spawn(act).join().expect("no panic"))
    }

    #[test]
    fn a_thread_stays_on_the_processor_that_it_is_given() {
        let allowed = cpus().expect("the kernel tells");
        assert!(allowed.iter().all(|&cpu| cpu < cpu_count()), "{allowed:?} of {}", cpu_count());
        for &cpu in &allowed {
            assert_eq!(apart(|| stay_on(&[cpu]).and_then(|()| cpus())).expect("allowed"), [cpu]);
        }
        assert_eq!(cpus().expect("the kernel tells"), allowed, "other threads are not moved");
    }

    #[test]
    fn a_processor_that_no_set_can_name_and_a_set_of_none_are_errors() {
        for cpus in [&[MAX_CPU + 1][..], &[usize::MAX], &[]] {
            let error = apart(|| stay_on(cpus)).expect_err("no such processor");
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{cpus:?}: {error}");
        }
    }

    #[test]
    fn a_thread_that_gives_way_passes_it_on_to_those_that_it_starts_and_to_no_other() {
        let answers = apart(|| {
            let before = gives_way();
            give_way().expect("nobody is refused to be less important");
            (before, gives_way(), apart(gives_way))
        });
        assert_eq!(answers, (false, true, true));
        assert!(!gives_way(), "other threads are as they were");
    }

    #[test]
    fn a_thread_that_may_runs_first_and_one_that_may_not_is_told() {
        match apart(|| run_first(7).and_then(|()| priority())) {
            Ok(priority) => assert_eq!(priority, Some(7)),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}"),
        }
        assert_eq!(priority().expect("the kernel tells"), None, "other threads are not raised");
    }
}
