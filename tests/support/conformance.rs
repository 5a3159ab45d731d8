//! Trips that every engine has to answer alike.

#![allow(dead_code, reason = "each test takes what it needs")]

use segfuse::align::{self, Aligner};
use segfuse::data::{AlignedFrame, Calibration, Perception, PixelFormat, Size};
use segfuse::engine::network::Network;
use segfuse::engine::{Config, Engine};
use segfuse::perceive::{self, Perceiver};
use segfuse::pipeline::Pipeline;
use segfuse::sink::{Sink, SinkError};
use segfuse::source::synthetic::{self, SyntheticSource};
use std::path::PathBuf;

/// The share of labels in which an engine has to agree with the CPU's on rten, over a whole trip.
pub(crate) const AGREEMENT: f64 = 0.995;

/// A rendered drive and how it is answered.
#[derive(Clone, Debug)]
pub(crate) struct Trip {
    pub(crate) what: &'static str,
    pub(crate) scene: synthetic::Config,
    pub(crate) schedule: &'static str,
    /// Whether flow is led by the vehicle's motion.
    pub(crate) calibrated: bool,
}

/// Every kind of schedule, layouts of pixels, sizes that are no multiples of anything, with and without the vehicle's motion.
pub(crate) fn trips() -> Vec<Trip> {
    let scene = |format: PixelFormat, size: Size, seconds: f64| synthetic::Config {
        seed: 7,
        format,
        size,
        fps: 10.0,
        seconds,
        states: true,
        ..synthetic::Config::default()
    };
    let trip = |what, scene, schedule, calibrated| Trip { what, scene, schedule, calibrated };
    vec![
        trip("rgb8, key frames every 5", scene(PixelFormat::Rgb8, Size::new(640, 360), 1.2), "every:5", false),
        trip("yuyv, led by the motion", scene(PixelFormat::Yuyv, Size::new(322, 182), 0.7), "every:3", true),
        trip("nv12, each a key frame", scene(PixelFormat::Nv12, Size::new(640, 360), 0.3), "every:1", false),
        trip("jpeg, adaptive", scene(PixelFormat::Jpeg, Size::new(320, 180), 0.7), "adaptive:5%", false),
        trip("uyvy, overlapped", scene(PixelFormat::Uyvy, Size::new(320, 180), 0.7), "overlapped:3:1", false),
    ]
}

impl Trip {
    /// How the camera of the drive sees, if that is told.
    pub(crate) fn calibration(&self) -> Option<Calibration> {
        self.calibrated.then(|| self.scene.lens().calibration())
    }

    /// The masks of an engine, frame by frame.
    pub(crate) fn masks(&self, engine: impl Engine) -> Vec<Vec<u8>> {
        let schedule = self.schedule.parse().expect("a schedule");
        let mut perceiver = Perceiver::new(engine, perceive::Config { schedule, ..perceive::Config::default() });
        let mut masks = Masks::default();
        let pipeline = Pipeline::new(Aligner::new(align::Config::default()), &mut perceiver, vec![&mut masks]);
        let mut source = SyntheticSource::new(self.scene.clone()).expect("a drive that can be rendered");
        let (counts, ended) = pipeline.run(&mut source, &|| false);
        ended.unwrap_or_else(|error| panic!("{}: {error}", self.what));
        assert_eq!(counts.published, masks.0.len() as u64, "{}", self.what);
        masks.0
    }
}

/// Keeps the labels of every mask.
#[derive(Default)]
struct Masks(Vec<Vec<u8>>);

impl Sink for Masks {
    fn on_perception(&mut self, _: &AlignedFrame, perception: &Perception) -> Result<(), SinkError> {
        self.0.push(perception.mask.labels().to_vec());
        Ok(())
    }
}

/// The share of equal labels over all masks, and in the mask where it is least.
pub(crate) fn agreement(found: &[Vec<u8>], expected: &[Vec<u8>]) -> (f64, f64) {
    assert_eq!(found.len(), expected.len(), "as many masks");
    let equal = |(found, expected): (&Vec<u8>, &Vec<u8>)| {
        found.iter().zip(expected).filter(|(found, expected)| found == expected).count() as f64 / expected.len() as f64
    };
    let shares: Vec<f64> = found.iter().zip(expected).map(equal).collect();
    (shares.iter().sum::<f64>() / shares.len() as f64, shares.iter().copied().fold(1.0, f64::min))
}

/// `[engine]` as the environment has it, where the program takes it from there too.
pub(crate) fn configured() -> Config {
    let path = |variable: &str| std::env::var_os(variable).map(PathBuf::from);
    let (tensorrt_libraries, plans) = (path("SEGFUSE_TENSORRT_LIBRARIES"), path("SEGFUSE_PLANS"));
    Config { tensorrt_libraries, plans, ..Config::default() }
}

/// The shipped small networks, inside the test: it may run where the repository is not.
pub(crate) fn shipped() -> [Network; 2] {
    macro_rules! embedded {
        ($name:literal) => {{
            macro_rules! file {
                ($file:literal) => {
                    ($file, include_bytes!(concat!("../../models/", $name, "/", $file)).as_slice())
                };
            }
            let files: [(&str, &[u8]); 6] = [
                file!("backbone.onnx"),
                file!("head.onnx"),
                file!("correction.onnx"),
                file!("backbone.fp16.onnx"),
                file!("head.fp16.onnx"),
                file!("correction.fp16.onnx"),
            ];
            let manifest = include_str!(concat!("../../models/", $name, "/model.toml"));
            Network::from_embedded(manifest, &files).expect("a shipped network is right")
        }};
    }
    [embedded!("tiny"), embedded!("small")]
}
