//! The threads beside the one that tests.

use std::fs;
use std::thread;
use std::time::Duration;

/// Waits until all others sleep: each has begun, and has the memory that a thread takes for itself when it does.
///
/// On a busy machine a thread may begin long after it was started.
pub(crate) fn wait_until_others_sleep() {
    let mut looks_asleep = 0;
    for _ in 0..1000 {
        looks_asleep = if others_sleep() { looks_asleep + 1 } else { 0 };
        if looks_asleep == 3 {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("other threads are still at work after 10 s");
}

fn others_sleep() -> bool {
    let own = fs::read_link("/proc/thread-self").expect("proc is there");
    let threads = fs::read_dir("/proc/self/task").expect("proc is there").flatten();
    threads.filter(|thread| Some(thread.file_name().as_os_str()) != own.file_name()).all(|thread| {
        // One that has ended has no file any more. The name, in brackets, may hold anything.
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        stat.rsplit(") ").next().is_none_or(|fields| !fields.starts_with(['R', 'D']))
    })
}
