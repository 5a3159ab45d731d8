//! The consumer's side: masks of another process, with gaps told.
