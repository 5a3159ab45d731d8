//! The trip file: everything that was seen and everything that was answered.
