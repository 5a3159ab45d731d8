//! The published message, byte by byte.
