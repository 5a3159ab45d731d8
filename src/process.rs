//! How the program lives beside others on its computer: real-time priority, processors, memory.
//!
//! ```text
//! [process] ─┬─ prepare ─▶ what each capture thread runs first
//!            └─ settle ──▶ the pipeline's thread, before it starts others: these take over its processors
//! ```
//!
//! A processor that the machine lacks is an error. What the system does not allow is told once, with what would allow
//! it, and the run goes on.

use crate::source::Prepare;
use crate::sys::process as system;
use serde::Deserialize;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The program among others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `SCHED_FIFO` priority of the capture threads, 1 to 99; as every other thread if absent.
    pub realtime_priority: Option<u8>,
    /// Processors of the capture threads; the pipeline's if absent.
    pub capture_cpus: Option<Vec<usize>>,
    /// Processors of the pipeline, the network, the recorder and the publisher; all if absent.
    pub pipeline_cpus: Option<Vec<usize>>,
    /// Keep the program's memory from being paged out.
    pub lock_memory: bool,
}

/// Why the program cannot live as it is told to. Recovery: mend the configuration.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ProcessError {
    /// A processor that is not there.
    #[error("process.{key} names processor {cpu}, but this computer has {count}: take numbers from 0 to {}", count - 1)]
    NoSuchCpu {
        /// `capture_cpus` or `pipeline_cpus`.
        key: &'static str,
        /// The number given.
        cpu: usize,
        /// Processors of the computer.
        count: usize,
    },
}

impl Config {
    /// Says which value is outside its bounds. What this computer has is seen by [`prepare`] and [`settle`].
    pub fn check(&self) -> Result<(), String> {
        if let Some(priority) = self.realtime_priority.filter(|priority| !(1..=99).contains(priority)) {
            return Err(format!("process.realtime_priority is {priority}, must be 1 to 99, or absent"));
        }
        for (key, cpus) in self.cpu_lists() {
            if cpus.is_empty() {
                return Err(format!("process.{key} is empty: name at least one processor, or leave it out for all"));
            }
            if let Some(cpu) = cpus.iter().find(|&&cpu| cpu > system::MAX_CPU) {
                return Err(format!("process.{key} names processor {cpu}, must be 0 to {}", system::MAX_CPU));
            }
        }
        Ok(())
    }

    fn check_here(&self, count: usize) -> Result<(), ProcessError> {
        for (key, cpus) in self.cpu_lists() {
            if let Some(&cpu) = cpus.iter().find(|&&cpu| cpu >= count) {
                return Err(ProcessError::NoSuchCpu { key, cpu, count });
            }
        }
        Ok(())
    }

    fn cpu_lists(&self) -> impl Iterator<Item = (&'static str, &[usize])> {
        let lists = [("capture_cpus", &self.capture_cpus), ("pipeline_cpus", &self.pipeline_cpus)];
        lists.into_iter().filter_map(|(key, cpus)| Some((key, cpus.as_deref()?)))
    }
}

/// What each capture thread runs first.
pub fn prepare(config: &Config) -> Result<Prepare, ProcessError> {
    config.check_here(system::cpu_count())?;
    let (priority, cpus) = (config.realtime_priority, config.capture_cpus.clone());
    let (priority_told, cpus_told) = (AtomicBool::new(false), AtomicBool::new(false));
    Ok(Arc::new(move |thread| {
        if let Some(priority) = priority
            && let Err(error) = system::run_first(priority)
        {
            tell_once(&priority_told, || refused_priority(thread, priority, &error));
        }
        if let Some(cpus) = &cpus
            && let Err(reason) = keep_on(cpus)
        {
            tell_once(&cpus_told, || refused_cpus(thread, "capture_cpus", cpus, &reason));
        }
    }))
}

/// Gives the calling thread, and those that it starts afterwards, the pipeline's processors; keeps memory if told to.
pub fn settle(config: &Config) -> Result<(), ProcessError> {
    config.check_here(system::cpu_count())?;
    if let Some(cpus) = &config.pipeline_cpus
        && let Err(reason) = keep_on(cpus)
    {
        tracing::warn!("{}", refused_cpus("pipeline", "pipeline_cpus", cpus, &reason));
    }
    if config.lock_memory
        && let Err(reason) = keep_memory()
    {
        tracing::warn!(
            "process.lock_memory: {reason}; the run goes on and may be paged out. Under systemd set \
             LimitMEMLOCK=infinity"
        );
    }
    Ok(())
}

fn tell_once(told: &AtomicBool, message: impl FnOnce() -> String) {
    if !told.swap(true, Ordering::Relaxed) {
        let message = message();
        tracing::warn!("{message}");
    }
}

fn refused_priority(thread: &str, priority: u8, error: &io::Error) -> String {
    format!(
        "process.realtime_priority = {priority}: {thread} stays under the ordinary scheduler: {error}; frames may be taken \
         late. Under systemd set LimitRTPRIO={priority}, or AmbientCapabilities=CAP_SYS_NICE"
    )
}

fn refused_cpus(thread: &str, key: &str, cpus: &[usize], reason: &str) -> String {
    format!(
        "process.{key} = {cpus:?}: {thread}: {reason}; the run goes on where it may. Under systemd look at CPUAffinity= \
         and AllowedCPUs="
    )
}

/// Keeps this thread on `cpus`, all of them.
fn keep_on(cpus: &[usize]) -> Result<(), String> {
    system::stay_on(cpus).map_err(|error| error.to_string())?;
    let allowed = system::cpus().map_err(|error| error.to_string())?;
    match cpus.iter().find(|cpu| !allowed.contains(cpu)) {
        Some(cpu) => Err(format!("processor {cpu} is asleep or not allowed, only {allowed:?} are used")),
        None => Ok(()),
    }
}

/// A limit is refused beforehand: once all memory to come is locked, to meet it would end the program.
fn keep_memory() -> Result<(), String> {
    match system::lockable_bytes() {
        Ok(None) => system::lock_memory().map_err(|error| error.to_string()),
        Ok(Some(bytes)) => Err(format!("at most {bytes} bytes may be locked, all that will be needed must be")),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_outside_their_bounds_are_refused_by_key() {
        assert_eq!(Config::default().check(), Ok(()));
        for (text, key) in [
            ("realtime_priority = 0", "process.realtime_priority is 0"),
            ("realtime_priority = 100", "process.realtime_priority is 100"),
            ("capture_cpus = []", "process.capture_cpus is empty"),
            ("pipeline_cpus = [0, 4096]", "process.pipeline_cpus names processor 4096"),
        ] {
            let config: Config = toml::from_str(text).expect("TOML");
            let error = config.check().expect_err(text);
            assert!(error.contains(key), "{text}: {error}");
        }
        assert!(toml::from_str::<Config>("realtime = 1").is_err(), "unknown key");
    }

    #[test]
    fn a_processor_that_the_computer_lacks_is_an_error_that_names_it() {
        let count = system::cpu_count();
        let config = Config { capture_cpus: Some(vec![0, count]), ..Config::default() };
        let expected = ProcessError::NoSuchCpu { key: "capture_cpus", cpu: count, count };
        assert_eq!(prepare(&config).err(), Some(expected));
        let config = Config { pipeline_cpus: Some(vec![count]), ..Config::default() };
        let error = settle(&config).expect_err("no such processor").to_string();
        assert!(error.starts_with(&format!("process.pipeline_cpus names processor {count}")), "{error}");
    }

    #[test]
    fn a_capture_thread_takes_its_processor_and_its_priority_where_it_may() {
        let cpu = system::cpus().expect("the kernel tells")[0];
        let config = Config { capture_cpus: Some(vec![cpu]), realtime_priority: Some(3), ..Config::default() };
        let prepare = prepare(&config).expect("the processor is there");
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let may = system::run_first(3).is_ok();
                prepare("camera");
                (may, system::cpus().expect("the kernel tells"), system::priority().expect("the kernel tells"))
            });
            let (may, cpus, priority) = thread.join().expect("no panic");
            assert_eq!((cpus, priority), (vec![cpu], may.then_some(3)));
        });
    }

    #[test]
    fn memory_is_kept_where_nothing_bounds_it_and_refused_under_a_limit() {
        let kept = keep_memory();
        if let Some(bytes) = system::lockable_bytes().expect("the kernel tells") {
            assert!(kept.expect_err("a limit").contains(&format!("at most {bytes} bytes")));
            return;
        }
        kept.expect("nothing bounds it");
        let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
        let locked = status.lines().find_map(|line| line.strip_prefix("VmLck:")).expect("it tells");
        assert!(!locked.trim().starts_with("0 "), "{locked}");
    }

    #[test]
    fn what_is_refused_is_told_once_with_what_would_allow_it() {
        let told = AtomicBool::new(false);
        let mut messages = Vec::new();
        for number in 0..3 {
            tell_once(&told, || {
                messages.push(number);
                String::new()
            });
        }
        assert_eq!(messages, [0]);
        let error = io::Error::from_raw_os_error(1);
        assert!(refused_priority("camera", 50, &error).contains("LimitRTPRIO=50"));
        assert!(refused_cpus("camera", "capture_cpus", &[1], "no").contains("AllowedCPUs="));
    }
}
