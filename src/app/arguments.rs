//! Options that several commands share.

use crate::data::{PixelFormat, Size};
use crate::engine::network::{Chain, Channels};
use crate::perceive::Schedule;
use crate::source::synthetic;
use clap::Args;
use serde::de::{DeserializeOwned, IntoDeserializer};
use std::path::PathBuf;

/// Which network runs, on what, and how often.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Network")]
pub struct NetworkArguments {
    /// A network folder (model.toml), a plain ONNX file, or the name of an embedded network.
    #[arg(long, value_name = "PATH|NAME", default_value = "tiny")]
    pub network: String,
    /// Which frames run the network, such as every:1 [default: every:5, or what --config says].
    #[arg(long, value_name = "every:K")]
    pub schedule: Option<Schedule>,
    /// The runtime: auto takes onnxruntime where its library is found, else rten.
    #[arg(long, value_name = "auto|rten|onnxruntime")]
    pub engine: Option<crate::engine::cpu::RuntimeChoice>,
    /// libonnxruntime.so, if it is not on the library path.
    #[arg(long, value_name = "FILE", env = "ORT_DYLIB_PATH")]
    pub onnxruntime_library: Option<PathBuf>,
    /// Threads of the runtime; masks are the same for any number.
    #[arg(long, value_name = "N")]
    pub threads: Option<std::num::NonZeroUsize>,
    /// Plain ONNX only: channel order.
    #[arg(long, value_name = "rgb|bgr", value_parser = word::<Channels>, default_value = "rgb")]
    pub channels: Channels,
    /// Plain ONNX only: what the bytes 0 to 255 are multiplied by first [default: 1/255].
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0 / 255.0, hide_default_value = true)]
    pub scale: f32,
    /// Plain ONNX only: mean of each channel after scaling, in the order of --channels.
    #[arg(long, value_name = "A,B,C", value_parser = triple, default_value = "0.485,0.456,0.406")]
    pub mean: Triple,
    /// Plain ONNX only: standard deviation of each channel after scaling.
    #[arg(long, value_name = "A,B,C", value_parser = triple, default_value = "0.229,0.224,0.225")]
    pub std: Triple,
    /// Plain ONNX only: common resizes as scripts around OpenCV do, for comparable figures; fine makes better masks.
    #[arg(long, value_name = "common|fine", value_parser = word::<Chain>, default_value = "common")]
    pub chain: Chain,
    /// Plain ONNX only: what the network's classes are: a built-in table or a .toml file.
    #[arg(long = "network-classes", value_name = "TABLE", default_value = "cityscapes")]
    pub network_classes: String,
}

/// Where masks are published.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Zenoh")]
pub struct PublishArguments {
    /// Vehicle name in the keys PREFIX/VEHICLE/CAMERA/mask.
    #[arg(long, value_name = "NAME")]
    pub vehicle: Option<String>,
    /// Camera name in the keys.
    #[arg(long, value_name = "NAME")]
    pub camera: Option<String>,
    /// First part of the keys.
    #[arg(long, value_name = "KEY")]
    pub prefix: Option<String>,
    /// A Zenoh configuration file (config/zenoh.json5 is the commented default).
    #[arg(long, value_name = "FILE")]
    pub zenoh_config: Option<PathBuf>,
    /// Listen here for peers, such as tcp/127.0.0.1:7447.
    #[arg(long, value_name = "ENDPOINT")]
    pub listen: Vec<String>,
    /// Connect to a peer or router.
    #[arg(long, value_name = "ENDPOINT")]
    pub connect: Vec<String>,
}

/// A rendered drive.
#[derive(Args, Clone, Copy, Debug, Default)]
#[command(next_help_heading = "Drive")]
pub struct SceneArguments {
    /// Seed: the same seed gives the same drive, bit for bit [default: 1].
    #[arg(long)]
    pub seed: Option<u64>,
    /// Seconds to drive [default: 10].
    #[arg(long)]
    pub seconds: Option<f64>,
    /// Picture size [default: 640x360].
    #[arg(long, value_name = "WIDTHxHEIGHT")]
    pub size: Option<Size>,
    /// Frames a second [default: 30].
    #[arg(long)]
    pub fps: Option<f64>,
    /// How the pictures are stored: jpeg (a twentieth of the bytes), rgb8, yuyv, uyvy, nv12 or grey [default: jpeg].
    #[arg(long)]
    pub format: Option<PixelFormat>,
}

impl SceneArguments {
    /// Puts what was given into `scene`.
    pub(super) fn apply(self, scene: &mut synthetic::Config) {
        scene.seed = self.seed.unwrap_or(scene.seed);
        scene.seconds = self.seconds.unwrap_or(scene.seconds);
        scene.size = self.size.unwrap_or(scene.size);
        scene.fps = self.fps.unwrap_or(scene.fps);
        scene.format = self.format.unwrap_or(scene.format);
    }
}

/// Reads one of a closed set of words, as the configuration spells them.
pub(super) fn word<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    T::deserialize(text.into_deserializer()).map_err(|error: serde::de::value::Error| error.to_string())
}

/// A number for each channel.
pub(super) type Triple = [f32; 3];

pub(super) fn triple(text: &str) -> Result<Triple, String> {
    let numbers: Option<Vec<f32>> = text.split(',').map(|number| number.trim().parse().ok()).collect();
    let triple = numbers.and_then(|numbers| numbers.try_into().ok());
    triple.ok_or_else(|| format!("'{text}' is not three numbers, such as 0.485,0.456,0.406"))
}
