//! A dense class mask for every camera frame of a moving vehicle.
//!
//! ```text
//! source ──Event──▶ align ──AlignedFrame──▶ perceive ──Perception──▶ sinks
//! camera, CAN,      pure:   newest frame    key-frame schedule,      Zenoh, trip writer,
//! trip, synthetic   + state at its stamp    flow, propagate, decode  overlay, statistics
//! ```
//!
//! Live and replay run the very same loop. They differ only in which source and which
//! sinks [`app`] puts in the boxes.

pub mod align;
pub mod app;
pub mod clock;
pub mod config;
pub mod data;
pub mod engine;
pub mod evaluate;
pub mod flow;
pub mod perceive;
pub mod pipeline;
pub mod sink;
pub mod source;
#[cfg(feature = "zenoh")]
pub mod subscribe;
pub mod trip;
pub mod wire;
