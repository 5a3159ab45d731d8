//! The tiny networks of tests/data/networks, pictures to run them on, and ways to compare masks.

#![allow(dead_code, reason = "each test takes what it needs")]

use segfuse::data::{Image, PixelFormat, Size};
use segfuse::engine::cpu::{Config, CpuEngine, RuntimeChoice};
use segfuse::engine::network::Network;
use segfuse::engine::{Decoded, Engine, EngineError};
use sha2::{Digest, Sha256};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

/// The folder that tests/data/make_networks.py writes.
pub(crate) fn networks() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/networks")
}

/// The `model.toml` that fits `backbone.onnx` and `head.onnx` of `folder`.
pub(crate) fn model_toml(folder: &Path) -> String {
    let hash = |file: &str| -> String {
        format!("{:x}", Sha256::digest(std::fs::read(folder.join(file)).expect("a network file")))
    };
    format!(
        r#"name = "tiny"
classes = "cityscapes"
[input]
rows = 48
cols = 64
channels = "rgb"
mean = [0.485, 0.456, 0.406]
std = [0.229, 0.224, 0.225]
[features]
channels = 8
stride = 8
[files]
"backbone.onnx" = "{}"
"head.onnx" = "{}"
"#,
        hash("backbone.onnx"),
        hash("head.onnx")
    )
}

/// The tiny split network.
pub(crate) fn tiny() -> Network {
    let read = |file: &str| std::fs::read(networks().join(file)).expect("a network file");
    let (backbone, head) = (read("backbone.onnx"), read("head.onnx"));
    let files: [(&str, &[u8]); 2] = [("backbone.onnx", &backbone), ("head.onnx", &head)];
    Network::from_embedded(&model_toml(&networks()), &files).expect("the test network is right")
}

/// The `model.toml` of the tiny split network that also names `correction` for its `correction.onnx`.
pub(crate) fn model_toml_with(correction: &[u8]) -> String {
    format!("{}\"correction.onnx\" = \"{:x}\"\n", model_toml(&networks()), Sha256::digest(correction))
}

/// The tiny split network with the file `correction` of the folder for its `correction.onnx`.
pub(crate) fn tiny_with(correction: &str) -> Result<Network, EngineError> {
    let read = |file: &str| std::fs::read(networks().join(file)).expect("a network file");
    let [backbone, head, correction] = ["backbone.onnx", "head.onnx", correction].map(read);
    let files: [(&str, &[u8]); 3] =
        [("backbone.onnx", &backbone), ("head.onnx", &head), ("correction.onnx", &correction)];
    Network::from_embedded(&model_toml_with(&correction), &files)
}

/// A colourful RGB picture: broad waves for the classes and fine ones for the flow, moved by `shift` pixels to the right.
pub(crate) fn shifted_picture(size: Size, shift: f32) -> Image {
    let value = |x: u32, y: u32, channel: u32| {
        let (x, y, channel) = (x as f32 - shift, y as f32, channel as f32);
        let broad = (x * 0.06 + 2.0 * channel).sin() + (y * 0.05 - channel).cos() + (x * 0.03 + y * 0.04).sin();
        let fine = (x * 0.4 + channel).sin() * (y * 0.35).cos();
        let wave = 0.85 * broad + 0.3 * fine;
        (127.5 + 44.0 * wave) as u8
    };
    let pixels = (0..size.height).flat_map(|y| (0..size.width).map(move |x| (x, y)));
    let bytes: Vec<u8> = pixels.flat_map(|(x, y)| (0..3).map(move |channel| value(x, y, channel))).collect();
    Image::packed(PixelFormat::Rgb8, size, bytes.into()).expect("three bytes a pixel")
}

/// The same picture, not moved.
pub(crate) fn picture(size: Size) -> Image {
    shifted_picture(size, 0.0)
}

/// A PNG or JPEG file as an RGB image.
pub(crate) fn read_picture(path: &Path) -> Image {
    let rgb = image::open(path).expect("a picture file").to_rgb8();
    let size = Size::new(rgb.width(), rgb.height());
    Image::packed(PixelFormat::Rgb8, size, rgb.into_raw().into()).expect("three bytes a pixel")
}

/// `runtime` on so many threads; `None`, said loudly, where onnxruntime is asked for and not installed.
pub(crate) fn engine(network: &Network, runtime: RuntimeChoice, threads: usize, test: &str) -> Option<CpuEngine> {
    let config = Config { runtime, onnxruntime_library: None, threads: NonZeroUsize::new(threads) };
    match CpuEngine::new(network, &config) {
        Ok(engine) => Some(engine),
        Err(EngineError::Unavailable { reason, .. }) => {
            eprintln!("SKIPPED: {test}: no onnxruntime: {reason}");
            None
        }
        Err(error) => panic!("{}: {error}", network.path()),
    }
}

/// The mask of a key frame.
pub(crate) fn key_mask(engine: &mut CpuEngine, image: &Image) -> Decoded {
    let view = engine.observe(image).expect("a picture that can be read");
    let features = engine.extract(&view).expect("a network that runs");
    engine.decode(&features, image.size()).expect("a mask")
}

/// The share of equal bytes.
pub(crate) fn agreement(first: &[u8], second: &[u8]) -> f64 {
    assert_eq!(first.len(), second.len());
    let equal = first.iter().zip(second).filter(|(first, second)| first == second).count();
    equal as f64 / first.len() as f64
}
