//! The bench harness: named cases, answers checked first, median and p99, bytes moved against copying.
//!
//! ```text
//! cargo bench --bench decode -- [FILTER] [--threads N] [--json FILE]
//! SEGFUSE_PYTHON=/path/to/python   also times the same work in OpenCV (benches/opencv_peers.py)
//! ```
//!
//! A figure means something only beside another of the same run: each row shows the time that copying
//! as many bytes would have taken, and the peer's time. The two take turns: machines that are shared are fast for a while
//! and slow for a while, and a turn's ratio hardly knows of it.

#![allow(dead_code, reason = "every bench takes what it needs of the harness")]
#![allow(unreachable_pub, reason = "a bench program exports nothing, its harness is written like a library")]

use segfuse::clock::{MeasuringClock, MonotonicClock};
use segfuse::sys::workers::Workers;
use std::io::{BufRead, BufReader, Write};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;

/// Turns that a case and its peer take.
const TURNS: usize = 7;
/// How long a case is repeated in a turn, and between how many runs.
const BUDGET_NS: u64 = 80_000_000;
const RUNS: std::ops::RangeInclusive<usize> = 5..=500;
/// Bytes of the buffer whose copying is measured: beyond the first two cache levels, as frames are.
const COPY_BYTES: usize = 4 << 20;

/// One measured case.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Row {
    /// `stage/case/size`.
    pub name: String,
    /// Median of all runs.
    pub median_us: f64,
    /// The 99th percentile of all runs.
    pub p99_us: f64,
    /// Runs measured.
    pub runs: usize,
    /// Bytes that have to be read and written.
    pub bytes: usize,
    /// Median over the time that copying as many bytes takes (reading and writing both counted).
    pub copies: f64,
    /// The peer's median, where there is one.
    pub peer_us: Option<f64>,
    /// The peer's median over ours, in the middle one of the turns.
    pub times_faster: Option<f64>,
}

/// A bench program: measures cases and prints them at the end.
pub struct Bench {
    filter: String,
    json: Option<PathBuf>,
    workers: Arc<Workers>,
    copy_bytes_per_us: f64,
    peers: Option<Peers>,
    rows: Vec<Row>,
}

impl Bench {
    /// Reads the command line, measures copying and, if `SEGFUSE_PYTHON` is set, the peers of `stage`.
    pub fn start(stage: &str) -> Self {
        let (mut filter, mut json, mut threads) = (String::new(), None, NonZeroUsize::MIN);
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--bench" => {}
                "--json" => json = Some(PathBuf::from(arguments.next().expect("--json needs a file name"))),
                "--threads" => {
                    let number = arguments.next().and_then(|text| text.parse().ok());
                    threads = number.expect("--threads needs a number of threads");
                }
                text => text.clone_into(&mut filter),
            }
        }
        let peers = Peers::start(stage, &filter, threads);
        let workers = Arc::new(Workers::new(threads).expect("the system starts threads"));
        Self { filter, json, workers, copy_bytes_per_us: copy_speed(), peers, rows: Vec::new() }
    }

    /// As many threads as were asked for; OpenCV has as many. One, unless `--threads` says otherwise.
    pub fn workers(&self) -> Arc<Workers> {
        Arc::clone(&self.workers)
    }

    /// Measures `work`, which moves `bytes`, after `check` has found its answer right.
    pub fn case(
        &mut self,
        name: &str,
        bytes: usize,
        mut work: impl FnMut(),
        check: impl FnOnce() -> Result<(), String>,
    ) {
        if !name.contains(&self.filter) {
            return;
        }
        if let Err(fault) = check() {
            panic!("{name}: wrong answer: {fault}");
        }
        let (mut times, mut peer, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..TURNS {
            let turn = measure(&mut work);
            if let Some(theirs) = self.peers.as_mut().and_then(|peers| peers.median_us(name)) {
                ratios.push(theirs / percentile(&turn, 0.5));
                peer.push(theirs);
            }
            times.extend(turn);
        }
        times.sort_by(f64::total_cmp);
        let median_us = percentile(&times, 0.5);
        self.rows.push(Row {
            name: name.to_owned(),
            median_us,
            p99_us: percentile(&times, 0.99),
            runs: times.len(),
            bytes,
            copies: median_us / (bytes as f64 / self.copy_bytes_per_us),
            peer_us: middle(peer),
            times_faster: middle(ratios),
        });
    }

    /// Prints the table and writes the JSON file that was asked for.
    pub fn finish(self) {
        println!("Copying moves {:.1} GB/s, read and write counted.", self.copy_bytes_per_us / 1e3);
        println!("Threads, where more than one is of use: {}.\n", self.workers.count());
        println!("| case | median µs | p99 µs | moved MB | time / copying | OpenCV µs | times faster |");
        println!("|---|---|---|---|---|---|---|");
        for row in &self.rows {
            let shown = |value: Option<f64>, digits: usize| value.map_or("–".to_owned(), |v| format!("{v:.digits$}"));
            println!(
                "| {} | {:.0} | {:.0} | {:.2} | {:.1} | {} | {} |",
                row.name,
                row.median_us,
                row.p99_us,
                row.bytes as f64 / 1e6,
                row.copies,
                shown(row.peer_us, 0),
                shown(row.times_faster, 1)
            );
        }
        if let Some(file) = self.json {
            let text = serde_json::to_string_pretty(&self.rows).expect("rows are numbers and names");
            std::fs::write(&file, text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        }
    }
}

/// Numbers that look random and are the same in every run.
pub fn noise(seed: u32) -> impl Iterator<Item = u32> {
    std::iter::successors(Some(seed), |state| Some(state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223)))
        .skip(1)
        .map(|state| state >> 8)
}

fn measure(work: &mut impl FnMut()) -> Vec<f64> {
    let start = MonotonicClock.now();
    (0..5).for_each(|_| work());
    let each_ns = MonotonicClock.now().signed_ns_since(start).max(1) as u64 / 5;
    let runs = ((BUDGET_NS / each_ns.max(1)) as usize).clamp(*RUNS.start(), *RUNS.end());
    let mut times: Vec<f64> = (0..runs).map(|_| once_us(work)).collect();
    times.sort_by(f64::total_cmp);
    times
}

fn once_us(work: &mut impl FnMut()) -> f64 {
    let start = MonotonicClock.now();
    work();
    MonotonicClock.now().signed_ns_since(start) as f64 / 1e3
}

fn middle(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    (!values.is_empty()).then(|| percentile(&values, 0.5))
}

fn percentile(sorted: &[f64], share: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * share).round() as usize]
}

/// Bytes read plus bytes written in a microsecond of `memcpy`.
fn copy_speed() -> f64 {
    let from = vec![1_u8; COPY_BYTES];
    let mut to = vec![0_u8; COPY_BYTES];
    let times = measure(&mut || std::hint::black_box(&mut to).copy_from_slice(std::hint::black_box(&from)));
    2.0 * COPY_BYTES as f64 / percentile(&times, 0.5)
}

/// The same work in OpenCV, in a process of its own that works only when it is asked.
struct Peers {
    script: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
    cases: Vec<String>,
}

impl Peers {
    /// None without `SEGFUSE_PYTHON`.
    fn start(stage: &str, filter: &str, threads: NonZeroUsize) -> Option<Self> {
        let Some(python) = std::env::var_os("SEGFUSE_PYTHON") else {
            println!("No peers: set SEGFUSE_PYTHON to a Python with numpy and opencv-python-headless.\n");
            return None;
        };
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/opencv_peers.py");
        let mut command = Command::new(python);
        command.args([script, stage, &threads.to_string(), filter]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut script = command.spawn().expect("SEGFUSE_PYTHON is a program");
        let (ask, answers) = (script.stdin.take().expect("piped"), script.stdout.take().expect("piped"));
        let mut peers = Self { script, ask, answers: BufReader::new(answers), cases: vec![] };
        peers.cases = serde_json::from_str(&peers.line()).expect("opencv_peers.py begins with the names of its cases");
        Some(peers)
    }

    /// The median of one turn, in microseconds.
    fn median_us(&mut self, name: &str) -> Option<f64> {
        if !self.cases.iter().any(|case| case == name) {
            return None;
        }
        writeln!(self.ask, "{name}").expect("opencv_peers.py listens");
        Some(self.line().trim().parse().expect("opencv_peers.py answers with a number"))
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        let read = self.answers.read_line(&mut line).expect("opencv_peers.py writes text");
        assert!(read > 0, "opencv_peers.py has ended: what it said of it is above");
        line
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}
