//! Between key frames two threads work where the engine may have two, and one beside an overlapped backbone. Alone in its
//! file: it counts the threads of its process.

#[path = "support/networks.rs"]
mod tiny_networks;

use segfuse::engine::Engine;
use segfuse::engine::cpu::{Config, CpuEngine, RuntimeChoice};
use std::num::NonZeroUsize;
use std::thread::sleep;
use std::time::Duration;

#[test]
fn an_engine_has_one_helper_at_most_and_none_beside_an_overlapped_backbone() {
    for (threads, expected) in [(1, 0), (2, 1), (5, 1)] {
        let config = Config { runtime: RuntimeChoice::Rten, threads: NonZeroUsize::new(threads), ..Config::default() };
        let mut engine = CpuEngine::new(&tiny_networks::tiny(), &config).expect("rten is built in");
        // A thread that has just been started is not named yet: one that is missing may still come, one too many as well.
        (0..1000).take_while(|_| helpers() < expected).for_each(|_| sleep(Duration::from_millis(10)));
        sleep(Duration::from_millis(100));
        assert_eq!(helpers(), expected, "{threads} threads");
        engine.overlap();
        assert_eq!(helpers(), 0, "{threads} threads, overlapped");
    }
}

/// Threads of this process that help.
fn helpers() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux");
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.trim() == "segfuse-helper").count()
}
