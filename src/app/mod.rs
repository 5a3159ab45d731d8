//! The composition root: a file a command, and the only place that names concrete sources, engines and sinks.
//!
//! ```text
//! command line ──▶ cli ──▶ one of the commands ──▶ pipeline ──▶ exit code
//! ```

mod arguments;
mod bench_rig;
pub mod cli;
mod demo;
mod evaluate;
mod export;
mod import;
mod interrupt;
mod latency;
mod logging;
mod network;
mod paced;
mod progress;
mod publishing;
mod render;
mod replay;
mod session;
mod subscribe;
mod summary;
mod trip;
