//! Kernels on an NVIDIA GPU, and the whole of a frame's work there without the network.
//!
//! ```text
//! cargo bench --features cuda --bench gpu -- [FILTER] [--quick]
//! ```
//!
//! Times are the device's own, by events around many launches: as nodes of a graph, so that the host does not slow them
//! down, and launched one by one. The device is kept at work before, until it runs at its own speed. Each case works on
//! several sets of buffers in turn, more than the device's caches hold; where they are not, it says so. *Share* is of the
//! bytes a second that copying within the device's memory moves, reading and writing both counted, measured in the same
//! run. Answers are held against the twins in Rust first.

#[path = "../tests/support/conformance.rs"]
mod conformance;
#[path = "../tests/support/device.rs"]
mod device;
#[path = "gpu/engine.rs"]
mod engine;
#[path = "gpu/frame.rs"]
mod frame;
#[path = "gpu/kernels.rs"]
mod kernels;

use segfuse::clock::{MeasuringClock, MonotonicClock};
use segfuse::sys::cuda::{CudaError, Device, Stream};

/// Bytes of all sets of a case: more than the largest cache (an H200's has 60 MB).
const SETS_BYTES: usize = 160 << 20;
/// The most sets of a case.
const MOST_SETS: usize = 96;
/// How long a device is kept at work before it is timed: idle ones have slow clocks.
const WARMING_UP_NS: i64 = 100_000_000;
/// Launches that are timed together.
const LAUNCHES: usize = 100;
/// How often that is repeated; the least time counts, for a device that others share is only ever slowed down.
const REPEATS: usize = 5;

/// A bench: what it runs on, and what it was asked to run.
pub(crate) struct Bench {
    stream: Stream,
    filter: String,
    /// A stand-in for a device is asked for one launch of everything that is small.
    quick: bool,
    /// Bytes a microsecond that copying on the device moves.
    copy: f64,
    failed: usize,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let filter = arguments.into_iter().find(|argument| !argument.starts_with("--")).unwrap_or_default();
    let device = match Device::open(0) {
        Ok(device) => device,
        Err(error) => {
            eprintln!("SKIPPED: benches/gpu: {error}");
            std::process::exit(i32::from(std::env::var_os("SEGFUSE_GPU_REQUIRED").is_some()));
        }
    };
    println!("{}, {} multiprocessors", device.info(), device.info().multiprocessors);
    let stream = device.stream().expect("a stream");
    let copy = copy_speed(&device, quick).expect("copying on the device");
    println!("copying within its memory: {:.0} GB/s\n", copy / 1e3);
    println!("{:<44} {:>9} {:>9} {:>8} {:>8} {:>6}", "case", "us", "alone us", "MB", "GB/s", "share");
    let mut bench = Bench { stream, filter, quick, copy, failed: 0 };
    kernels::run(&mut bench);
    frame::run(&mut bench);
    engine::run(&mut bench);
    // A wrong answer or a failed launch is told where it happened; the others are still measured.
    std::process::exit(i32::from(bench.failed > 0));
}

/// Bytes a microsecond, read and written. By a stream of its own, which takes its memory with it.
fn copy_speed(device: &Device, quick: bool) -> Result<f64, CudaError> {
    let bytes = if quick { 1 << 20 } else { (512 << 20).min(device.info().memory / 16) };
    let stream = device.stream()?;
    let (from, mut to) = (stream.buffer::<u8>(bytes)?, stream.buffer::<u8>(bytes)?);
    if !quick {
        warm_up(&stream, || stream.copy(&from, &mut to))?;
    }
    let us = least_us(&stream, 10, || stream.copy(&from, &mut to))?;
    Ok(2.0 * bytes as f64 / us)
}

/// Keeps the device at work.
fn warm_up(stream: &Stream, mut work: impl FnMut() -> Result<(), CudaError>) -> Result<(), CudaError> {
    let began = MonotonicClock.now();
    while MonotonicClock.now().signed_ns_since(began) < WARMING_UP_NS {
        (0..10).try_for_each(|_| work())?;
        stream.synchronize()?;
    }
    Ok(())
}

/// The time of one of `launches`, the least of several repeats, in microseconds.
pub(crate) fn least_us(
    stream: &Stream,
    launches: usize,
    mut work: impl FnMut() -> Result<(), CudaError>,
) -> Result<f64, CudaError> {
    work()?;
    let mut least = f64::INFINITY;
    for _ in 0..REPEATS {
        let began = stream.mark()?;
        for _ in 0..launches {
            work()?;
        }
        let us = f64::from(stream.mark()?.ms_since(&began)?) * 1e3 / launches as f64;
        least = least.min(us);
    }
    Ok(least)
}

impl Bench {
    /// Whether a case is to be run.
    pub(crate) fn wants(&self, name: &str) -> bool {
        name.contains(&self.filter)
    }

    /// Sets of buffers for a case that touches so many bytes.
    pub(crate) fn sets(&self, bytes: usize) -> usize {
        if self.quick { 1 } else { SETS_BYTES.div_ceil(bytes.max(1)).clamp(2, MOST_SETS) }
    }

    /// Measures `work`, which launches on the set that it is given; `bytes` is what one launch has to move.
    pub(crate) fn case<S>(
        &mut self,
        name: &str,
        bytes: usize,
        sets: &mut [S],
        work: impl Fn(&Stream, &mut S) -> Result<(), CudaError>,
        check: impl FnOnce(&Stream, &S) -> Result<(), String>,
    ) {
        if let Err(reason) = self.measure(name, bytes, sets, work, check) {
            self.failed += 1;
            println!("{name:<44} FAILED: {reason}");
        }
    }

    fn measure<S>(
        &self,
        name: &str,
        bytes: usize,
        sets: &mut [S],
        work: impl Fn(&Stream, &mut S) -> Result<(), CudaError>,
        check: impl FnOnce(&Stream, &S) -> Result<(), String>,
    ) -> Result<(), String> {
        let told = |error: CudaError| error.to_string();
        let stream = &self.stream;
        for set in &mut *sets {
            work(stream, set).map_err(told)?;
        }
        stream.synchronize().map_err(told)?;
        check(stream, &sets[0])?;
        let launches = if self.quick { 1 } else { LAUNCHES };
        let mut turn = 0;
        let count = sets.len();
        if !self.quick {
            warm_up(stream, || sets.iter_mut().try_for_each(|set| work(stream, set))).map_err(told)?;
        }
        let alone = least_us(stream, launches, || {
            turn = (turn + 1) % count;
            work(stream, &mut sets[turn])
        });
        let alone = alone.map_err(told)?;
        let mut in_graphs_of = |launches: usize, times: usize| {
            let mut work = |stream: &Stream| (0..launches).try_for_each(|turn| work(stream, &mut sets[turn % count]));
            // What the work takes for itself is there.
            work(stream)?;
            let graph = stream.capture(work)?;
            Ok::<f64, CudaError>(least_us(stream, times, || graph.launch())? / launches as f64)
        };
        // What takes memory for itself is captured alone: a graph keeps it, and none can be taken meanwhile.
        let in_a_graph = in_graphs_of(launches, 1).map(|us| (us, ""));
        let in_a_graph = in_a_graph.or_else(|_| in_graphs_of(1, launches).map(|us| (us, "  (a graph each)")));
        let (us, mut note) = match in_a_graph {
            Ok((us, note)) => (us, note.to_owned()),
            Err(error) => (alone, format!("  (no graph: {error})")),
        };
        if !self.quick && bytes * count < SETS_BYTES {
            note.push_str("  (within the caches)");
        }
        let speed = bytes as f64 / us;
        let (mb, share) = (bytes as f64 / 1e6, speed / self.copy * 100.0);
        println!("{name:<44} {us:>9.2} {alone:>9.2} {mb:>8.3} {:>8.0} {share:>5.0}%{note}", speed / 1e3);
        Ok(())
    }
}
