//! The engine for machines without a GPU.

mod features;

pub use features::FeatureMap;
