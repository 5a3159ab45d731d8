//! Runs one kernel on the host and compares; a file for the tests of each kernel's source.

mod decode_mask;
mod disocclusion;
mod ego_flow;
mod flow;
mod guards;
mod host;
mod numbers;
mod preprocess;
mod residual;
mod warp_features;
