//! The engine for machines without a GPU.
