//! Optical flow between two grey images.
