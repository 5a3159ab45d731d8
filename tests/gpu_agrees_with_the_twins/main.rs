//! Each kernel on the GPU against its twin in Rust, and whole trips against the CPU engine.
//!
//! Without a GPU these tests say loudly that they are skipped; then `without_a_gpu` runs them all against a stand-in for
//! the driver, which runs the kernels on the host.

#![cfg(feature = "cuda")]

#[path = "../support/conformance.rs"]
mod conformance;
#[path = "../support/device.rs"]
mod device;
#[path = "../support/driver_on_host.rs"]
mod host_driver;
mod pictures;

mod on_the_gpu {
    mod features;
    mod pictures;
    mod work;
}
mod whole_trips;
mod without_a_gpu;
