//! CAN: decoding raw frames into vehicle state by a DBC and named signals.
