//! Options that several commands share.

use super::Misuse;
use crate::data::{ClassTable, PixelFormat, Size};
use crate::engine::cpu::{MAX_THREADS, RuntimeChoice};
use crate::engine::network::{Chain, Channels, PlainOptions};
use crate::engine::{self, DeviceChoice};
use crate::perceive::Schedule;
use crate::source::synthetic;
use crate::wire;
use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};
use serde::de::{DeserializeOwned, IntoDeserializer};
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// Which network runs, on what, and how often.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Network")]
pub struct NetworkArguments {
    /// A network folder (model.toml), a plain ONNX file, or the name of an embedded network: small or tiny [default: small,
    /// or what --config says].
    #[arg(long, value_name = "PATH|NAME")]
    pub network: Option<String>,
    /// Which frames run the network, such as every:1; or adaptive:5%: where more labels than that are expected to differ
    /// from its own; or overlapped:5:1: beside the frames that follow [default: every:5, or what --config says].
    #[arg(long, value_name = "every:K|adaptive:P%|overlapped:K:D")]
    pub schedule: Option<Schedule>,
    /// The device: auto takes a GPU if this build can use one and one is there, else the processor [default: auto, or what
    /// --config says].
    #[arg(long, value_name = "auto|cpu|cuda")]
    pub device: Option<DeviceChoice>,
    /// Its runtime.
    #[command(flatten)]
    pub runtime: RuntimeArguments,
    /// What a plain ONNX file does not say of itself.
    #[command(flatten)]
    pub plain: PlainArguments,
    /// Plain ONNX only: common resizes as scripts around OpenCV do, for comparable figures; fine makes better masks
    /// [default: common].
    #[arg(long, value_name = "common|fine", value_parser = word::<Chain>)]
    pub chain: Option<Chain>,
}

impl NetworkArguments {
    /// The first option given that says something of plain ONNX files alone.
    pub(super) fn given_for_plain(&self) -> Option<&'static str> {
        self.plain.given().or_else(|| self.chain.map(|_| "--chain"))
    }
}

/// The variable that names onnxruntime's library. Empty, it counts as not set.
const LIBRARY_VARIABLE: &str = "ORT_DYLIB_PATH";

/// Takes an empty path, which clap's own parser refuses: [`RuntimeArguments::library`] leaves it out.
fn library() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

/// What computes a network.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Network")]
pub struct RuntimeArguments {
    /// The runtime: auto takes onnxruntime where its library is found, else rten; on a GPU first TensorRT.
    #[arg(long, value_name = "auto|rten|onnxruntime|tensorrt")]
    pub engine: Option<RuntimeChoice>,
    /// libonnxruntime.so, if it is not on the library path.
    #[arg(long, value_name = "FILE", env = LIBRARY_VARIABLE, value_parser = library())]
    pub onnxruntime_library: Option<PathBuf>,
    /// Threads of the runtime, 1 to 256; masks are the same for any number [default: every core].
    #[arg(long, value_name = "N", value_parser = threads)]
    pub threads: Option<NonZeroUsize>,
    /// Where TensorRT is and where plans are kept.
    #[cfg(feature = "tensorrt")]
    #[command(flatten)]
    pub places: super::engine_command::PlaceArguments,
}

impl RuntimeArguments {
    fn library(&self) -> Option<&Path> {
        self.onnxruntime_library.as_deref().filter(|path| !path.as_os_str().is_empty())
    }

    /// Who named the library, for messages; `None`: neither an option nor the variable did.
    pub(super) fn library_origin(&self) -> Option<&'static str> {
        let library = self.library()?;
        let is_variable = std::env::var_os(LIBRARY_VARIABLE).is_some_and(|path| path == library);
        Some(if is_variable { "named by the variable ORT_DYLIB_PATH" } else { "named by --onnxruntime-library" })
    }

    /// What was given, and what was `configured` for the rest.
    pub(super) fn over(&self, configured: &engine::Config) -> engine::Config {
        engine::Config {
            device: configured.device,
            runtime: self.engine.unwrap_or(configured.runtime),
            onnxruntime_library: self.library().or(configured.onnxruntime_library.as_deref()).map(Path::to_owned),
            threads: self.threads.or(configured.threads),
            dla_core: configured.dla_core,
            workspace_mib: configured.workspace_mib,
            cuda_graphs: configured.cuda_graphs,
            #[cfg(not(feature = "tensorrt"))]
            tensorrt_libraries: configured.tensorrt_libraries.clone(),
            #[cfg(not(feature = "tensorrt"))]
            plans: configured.plans.clone(),
            #[cfg(feature = "tensorrt")]
            tensorrt_libraries: self
                .places
                .tensorrt_libraries()
                .map(Path::to_owned)
                .or(configured.tensorrt_libraries.clone()),
            #[cfg(feature = "tensorrt")]
            plans: self.places.plans().map(Path::to_owned).or(configured.plans.clone()),
        }
    }
}

/// How pictures are prepared for a plain ONNX file, and what its outputs mean.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Network")]
pub struct PlainArguments {
    /// Plain ONNX only: channel order [default: rgb].
    #[arg(long, value_name = "rgb|bgr", value_parser = word::<Channels>)]
    pub channels: Option<Channels>,
    /// Plain ONNX only: what the bytes 0 to 255 are multiplied by first [default: 1/255].
    #[arg(long, value_name = "FACTOR", value_parser = factor, allow_hyphen_values = true)]
    pub scale: Option<f32>,
    /// Plain ONNX only: mean of each channel after scaling, in the order of --channels [default: 0.485,0.456,0.406].
    #[arg(long, value_name = "A,B,C", value_parser = triple, allow_hyphen_values = true)]
    pub mean: Option<Triple>,
    /// Plain ONNX only: standard deviation of each channel after scaling [default: 0.229,0.224,0.225].
    #[arg(long, value_name = "A,B,C", value_parser = deviations, allow_hyphen_values = true)]
    pub std: Option<Triple>,
    /// Plain ONNX only: what the network's classes are: a built-in table or a .toml file [default: cityscapes].
    #[arg(long = "network-classes", value_name = "TABLE")]
    pub network_classes: Option<String>,
}

impl PlainArguments {
    /// What was given, and the defaults for the rest.
    pub(super) fn options(&self) -> Result<PlainOptions, Misuse> {
        let usual = PlainOptions::default();
        let options = PlainOptions {
            channels: self.channels.unwrap_or(usual.channels),
            scale: self.scale.unwrap_or(usual.scale),
            mean: self.mean.unwrap_or(usual.mean),
            std: self.std.unwrap_or(usual.std),
            classes: self.network_classes.clone().unwrap_or(usual.classes),
            chain: usual.chain,
        };
        let table = options.class_table();
        table.map_err(|reason| Misuse(format!("--network-classes {}: {reason}", options.classes)))?;
        Ok(options)
    }

    /// The first option that was given.
    pub(super) fn given(&self) -> Option<&'static str> {
        let given = [
            ("--channels", self.channels.is_some()),
            ("--scale", self.scale.is_some()),
            ("--mean", self.mean.is_some()),
            ("--std", self.std.is_some()),
            ("--network-classes", self.network_classes.is_some()),
        ];
        given.into_iter().find_map(|(option, given)| given.then_some(option))
    }
}

/// Where masks are published.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Zenoh")]
pub struct PublishArguments {
    /// Vehicle name in the keys PREFIX/VEHICLE/CAMERA/mask.
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub vehicle: Option<String>,
    /// Camera name in the keys.
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub camera: Option<String>,
    /// First part of the keys.
    #[arg(long, value_name = "KEY", value_parser = prefix)]
    pub prefix: Option<String>,
    /// A Zenoh configuration file (config/zenoh.json5 is the commented default).
    #[arg(long, value_name = "FILE", value_parser = zenoh_config)]
    pub zenoh_config: Option<PathBuf>,
    /// Listen here for peers, such as tcp/127.0.0.1:7447; may be repeated.
    #[arg(long, value_name = "ENDPOINT", value_parser = endpoint)]
    pub listen: Vec<String>,
    /// Connect to a peer or router; may be repeated.
    #[arg(long, value_name = "ENDPOINT", value_parser = endpoint)]
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
    #[arg(long, allow_negative_numbers = true, value_parser = drive_seconds)]
    pub seconds: Option<f64>,
    /// Picture size [default: 640x360].
    #[arg(long, value_name = "WIDTHxHEIGHT", value_parser = drive_size)]
    pub size: Option<Size>,
    /// Frames a second [default: 30].
    #[arg(long, allow_negative_numbers = true, value_parser = drive_fps)]
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

fn drive_seconds(text: &str) -> Result<f64, String> {
    number_in(text, &synthetic::SECONDS)
}

fn drive_fps(text: &str) -> Result<f64, String> {
    number_in(text, &synthetic::FPS)
}

fn drive_size(text: &str) -> Result<Size, String> {
    let size: Size = text.parse()?;
    let most = synthetic::MAX_SIZE;
    let fits = size.width <= most.width && size.height <= most.height;
    if fits { Ok(size) } else { Err(format!("{size} is more than the {most} that are rendered")) }
}

/// Reads a number of a range; what is not a number is not in it either.
pub(super) fn number_in(text: &str, range: &RangeInclusive<f64>) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| format!("must be {} to {}", range.start(), range.end()))
}

/// Reads the name of a class table: a built-in one, or a .toml file, which is read later.
pub(super) fn table_name(text: &str) -> Result<String, String> {
    let is_file = Path::new(text).extension().is_some_and(|extension| extension == "toml");
    let known = if is_file { Ok(()) } else { ClassTable::builtin(text).map(drop) };
    known.map(|()| text.to_owned()).map_err(|error| error.to_string())
}

/// Reads one of a closed set of words, as the configuration spells them.
pub(super) fn word<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    T::deserialize(text.into_deserializer()).map_err(|error: serde::de::value::Error| error.to_string())
}

/// A number for each channel.
type Triple = [f32; 3];

fn triple(text: &str) -> Result<Triple, String> {
    let numbers: Option<Vec<f32>> = text.split(',').map(|number| number.trim().parse().ok()).collect();
    let triple: Option<Triple> = numbers.and_then(|numbers| numbers.try_into().ok());
    let finite = triple.filter(|triple| triple.iter().all(|number| number.abs() <= MAX_FACTOR));
    finite.ok_or_else(|| format!("'{text}' is not three numbers, such as 0.485,0.456,0.406"))
}

/// Scales, means and deviations in use lie between 1/255 and 255; beyond this they are typing errors that make NaN.
const MAX_FACTOR: f32 = 1e6;

fn is_factor(number: f32) -> bool {
    (1.0 / MAX_FACTOR..=MAX_FACTOR).contains(&number)
}

fn factor(text: &str) -> Result<f32, String> {
    let number = text.parse().ok().filter(|&number| is_factor(number));
    number.ok_or_else(|| format!("'{text}' is not a number from 1e-6 to 1e6, such as 0.003921569 (1/255) or 1"))
}

fn deviations(text: &str) -> Result<Triple, String> {
    let triple = triple(text).ok().filter(|triple| triple.iter().all(|&number| is_factor(number)));
    triple.ok_or_else(|| format!("'{text}' is not three numbers from 1e-6 to 1e6, such as 0.229,0.224,0.225"))
}

fn threads(text: &str) -> Result<NonZeroUsize, String> {
    let threads = text.parse().ok().filter(|threads: &NonZeroUsize| threads.get() <= MAX_THREADS);
    threads.ok_or_else(|| format!("'{text}' is not a number from 1 to {MAX_THREADS}; leave it out to use every core"))
}

fn name(text: &str) -> Result<String, &'static str> {
    wire::check_name(text).map(|()| text.to_owned())
}

fn prefix(text: &str) -> Result<String, &'static str> {
    wire::check_prefix(text).map(|()| text.to_owned())
}

#[cfg(feature = "zenoh")]
fn endpoint(text: &str) -> Result<String, String> {
    let remedy = |reason| format!("{reason}; write protocol/address, such as tcp/127.0.0.1:7447");
    wire::session::check_endpoint(text).map(|()| text.to_owned()).map_err(remedy)
}

#[cfg(feature = "zenoh")]
fn zenoh_config(text: &str) -> Result<PathBuf, wire::session::SessionError> {
    let path = PathBuf::from(text);
    let config = wire::session::Config { config_file: Some(path.clone()), ..Default::default() };
    wire::session::zenoh_config(&config, true).map(|_| path)
}

#[cfg(not(feature = "zenoh"))]
fn endpoint(_: &str) -> Result<String, &'static str> {
    Err(NO_ZENOH)
}

#[cfg(not(feature = "zenoh"))]
fn zenoh_config(_: &str) -> Result<PathBuf, &'static str> {
    Err(NO_ZENOH)
}

#[cfg(not(feature = "zenoh"))]
const NO_ZENOH: &str = "this program was built without the feature `zenoh`";
