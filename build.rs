//! Compiles `proto/segfuse.proto` with a Rust compiler for protobuf: no `protoc` is needed. With the feature `cuda` it
//! also compiles the kernels (`build/cuda.rs`).
//!
//! Leaves two files in `OUT_DIR`: the Rust structs, and the descriptor set that trips embed. With the feature
//! `tensorrt` it compiles the C++ shim too, once for each family of TensorRT whose headers are there.

use protox::prost::Message;
use std::error::Error;
use std::path::Path;

#[path = "build/cuda.rs"]
mod cuda;
#[cfg(feature = "tensorrt")]
#[path = "build/tensorrt.rs"]
mod tensorrt;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto/segfuse.proto");
    let descriptors = protox::compile(["segfuse.proto"], ["proto"])?;
    let out = std::env::var("OUT_DIR")?;
    std::fs::write(Path::new(&out).join("segfuse.fds"), descriptors.encode_to_vec())?;
    prost_build::Config::new().out_dir(&out).compile_fds(descriptors)?;
    if std::env::var_os("CARGO_FEATURE_CUDA").is_some()
        && let Err(reason) = cuda::compile(Path::new(&out))
    {
        println!("cargo::error={}", reason.replace('\n', "\ncargo::error="));
    }
    #[cfg(feature = "tensorrt")]
    if let Err(reason) = tensorrt::compile_shims() {
        println!("cargo::error={reason}");
    }
    Ok(())
}
