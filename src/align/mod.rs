//! Pairs each frame with the vehicle's state at the middle of its exposure.
