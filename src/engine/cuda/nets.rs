//! The networks of the CUDA engine: who runs them, and what has to cross the bus for it.

mod host;
#[cfg(feature = "tensorrt")]
mod tensorrt;

pub(super) use host::HostNets;
#[cfg(feature = "tensorrt")]
pub(super) use tensorrt::{TensorRtNets, room, upload_singles};

use super::super::EngineError;
use crate::sys::cuda::{CudaError, DeviceMap, DevicePicture, DevicePyramid, Half, Preparation, Stream};
use std::sync::Arc;

/// A picture as networks want it. Clones are the same picture.
#[derive(Clone, Debug)]
pub(super) struct Picture {
    /// Its view's.
    pub(super) number: u64,
    pub(super) planes: Arc<Planes>,
}

/// `[3, rows, cols]`.
#[derive(Debug)]
pub(super) enum Planes {
    /// For networks on the host.
    Single(DeviceMap<f32>),
    /// For those on the device.
    #[cfg_attr(not(feature = "tensorrt"), expect(dead_code, reason = "without TensorRT networks run on the host"))]
    Half(DeviceMap<Half>),
}

/// Logits `[classes, rows, cols]`.
pub(super) enum Logits<'a> {
    /// As they are carried.
    Carried(&'a DeviceMap<Half>),
    /// As a network on the device gave them.
    #[cfg_attr(not(feature = "tensorrt"), expect(dead_code, reason = "without TensorRT networks run on the host"))]
    Half(DeviceMap<Half>),
    /// As a network on the host gave them.
    Single(DeviceMap<f32>),
}

/// A frame's picture held against the key frame's: how far apart they are, `[1, rows, cols]`.
#[derive(Debug)]
pub(super) struct Residual {
    pub(super) map: DeviceMap<f32>,
    /// The same, where a network on the device wants it.
    #[cfg_attr(not(feature = "tensorrt"), expect(dead_code, reason = "without TensorRT networks run on the host"))]
    pub(super) half: Option<DeviceMap<Half>>,
}

/// What a network's graphs are like.
#[derive(Clone, Debug)]
pub(super) struct NetsInfo {
    /// What runs them, with its version.
    pub(super) runtime: String,
    /// The backbone's input, `[1, 3, rows, cols]`.
    pub(super) input: [usize; 4],
    /// The backbone's output, `[1, channels, rows, cols]`.
    pub(super) output: [usize; 4],
    /// Whether features become logits by a graph of their own.
    pub(super) has_head: bool,
    /// Whether the correction wants the residual.
    pub(super) wants_residual: bool,
    /// Whether planes and residual are wanted in half precision.
    pub(super) takes_halves: bool,
}

/// Who runs the networks, on pictures and features in the device's memory.
pub(super) trait Nets {
    fn info(&self) -> &NetsInfo;

    /// Runs the backbone: features `[channels, rows, cols]`.
    fn backbone(&mut self, stream: &Stream, picture: &Picture) -> Result<DeviceMap<Half>, EngineError>;

    /// Says that backbones will be [begun](Self::begin).
    fn overlap(&mut self) {}

    /// Begins to run the backbone beside whatever is asked for next; the number to finish it by.
    fn begin(&mut self, stream: &Stream, picture: &Picture) -> Result<u64, EngineError>;

    /// Whether [`finish`](Self::finish) would not have to wait.
    fn is_through(&mut self, number: u64) -> bool;

    /// The features of the run with this number, once they are there.
    fn finish(&mut self, stream: &Stream, number: u64) -> Result<DeviceMap<Half>, EngineError>;

    /// `carried` mended by what `picture` shows, where the network knows how.
    fn correct(
        &mut self,
        stream: &Stream,
        carried: DeviceMap<Half>,
        picture: &Picture,
        residual: Option<&Residual>,
    ) -> Result<DeviceMap<Half>, EngineError>;

    /// Logits of features, by a network that has a head.
    fn head(&mut self, stream: &Stream, features: &DeviceMap<Half>) -> Result<Option<Logits<'static>>, EngineError>;
}

impl Planes {
    /// Planes `[3, rows, cols]` of a picture, and from the same read its glance and its pyramid.
    pub(super) fn prepare(
        stream: &Stream,
        picture: &DevicePicture,
        (how, info): (&Preparation, &NetsInfo),
        (glance, pyramid): (&mut DeviceMap<f32>, &mut DevicePyramid),
    ) -> Result<Self, CudaError> {
        let [_, channels, rows, cols] = info.input;
        if info.takes_halves {
            let mut planes = stream.map([channels, rows, cols])?;
            stream.preprocess(picture, how, &mut planes, Some(glance), Some(pyramid))?;
            return Ok(Self::Half(planes));
        }
        let mut planes = stream.map([channels, rows, cols])?;
        stream.preprocess(picture, how, &mut planes, Some(glance), Some(pyramid))?;
        Ok(Self::Single(planes))
    }
}

/// Planes were made for the other kind of networks: a mistake of this program.
fn other_planes() -> EngineError {
    EngineError::Failed { runtime: "cuda", reason: "the picture was prepared for another kind of network".to_owned() }
}
