//! A procedural drive through a town, with its exact truth: the measure of everything after it.
//!
//! ```text
//! seed ─▶ road, town, traffic, light ─▶ rays ─▶ picture, labels, flow, depth
//!           └▶ bicycle model ─▶ state ─▶ CAN frames on a clock of their own
//! ```
//!
//! Equal configurations give equal bytes on every machine with IEEE 754 arithmetic: sines come from
//! the `libm` crate, not from the system. It is a measuring device and a demonstration, not a
//! simulator: nobody reacts to the vehicle, and it hits nothing.

mod bus;
mod camera;
mod chance;
mod config;
mod drive;
mod facade;
mod figures;
mod ground;
mod light;
mod material;
mod pixels;
mod road;
mod scene;
mod shade;
mod solid;
mod stream;
mod town;
mod trace;
mod traffic;

pub use bus::example_dbc;
pub use camera::{Camera, CameraPose, View};
pub use config::{
    CameraConfig, CanConfig, ClockStep, Config, FPS, MAX_SIZE, SECONDS, Scenario, SyntheticError, Vehicle, Weather,
};
pub use drive::Motion;
pub use scene::{Rendered, START, Scene};
pub use stream::SyntheticSource;
