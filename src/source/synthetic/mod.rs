//! A rendered drive whose every truth is known.
