//! The engine for machines without a GPU.

pub mod decode;
mod features;
pub mod jpeg;
pub mod preprocess;
pub mod reference;
mod taps;
pub mod warp;

pub use features::FeatureMap;
