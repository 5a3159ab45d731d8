//! A dense class mask for every camera frame of a moving vehicle.
//!
//! ```text
//! source ──Event──▶ align ──AlignedFrame──▶ perceive ──Perception──▶ sinks
//! camera, CAN,      pure:   newest frame    key-frame schedule,      Zenoh, trip writer,
//! trip, synthetic   + state at its stamp    flow, propagate, decode  overlay, statistics
//! ```
//!
//! Live and replay run the very same loop. They differ only in which source and which
//! sinks [`app`] puts in the boxes. Here a rendered drive, the shipped network, and counting:
//!
//! ```
//! use segfuse::engine::{cpu, network::Network};
//! use segfuse::sink::statistics::Statistics;
//! use segfuse::source::synthetic::{self, SyntheticSource};
//! use segfuse::{align, data::Size, perceive, pipeline::Pipeline};
//!
//! let scene = synthetic::Config { size: Size::new(160, 96), seconds: 0.2, ..Default::default() };
//! let network = Network::from_folder("models/tiny".as_ref())?;
//! let engine = cpu::CpuEngine::new(&network, &cpu::Config::default())?;
//! let mut perceiver = perceive::Perceiver::new(engine, perceive::Config::default());
//! let mut statistics = Statistics::new(network.classes().clone());
//! let aligner = align::Aligner::new(align::Config::default());
//! let pipeline = Pipeline::new(aligner, &mut perceiver, vec![&mut statistics]);
//! let (counts, ended) = pipeline.run(&mut SyntheticSource::new(scene)?, &|| false);
//! ended?;
//! assert_eq!((counts.captured, counts.published, counts.dropped), (6, 6, 0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod align;
pub mod app;
pub mod clock;
pub mod config;
pub mod data;
pub mod engine;
pub mod evaluate;
pub mod files;
pub mod flow;
pub mod perceive;
pub mod pipeline;
pub mod process;
pub mod sink;
pub mod source;
#[cfg(feature = "zenoh")]
pub mod subscribe;
pub mod sys;
pub mod trip;
pub mod wire;
