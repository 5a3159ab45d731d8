//! The engine that the user's choice of a device comes to.

use crate::data::Calibration;
use crate::engine::cpu::CpuEngine;
#[cfg(feature = "cuda")]
use crate::engine::cuda::CudaEngine;
use crate::engine::network::Network;
use crate::engine::{Config, DeviceChoice, Engine, EngineError, EngineInfo, Watch};

/// An engine on one of the devices that this build knows.
pub(super) enum ChosenEngine {
    Cpu(Box<CpuEngine>),
    #[cfg(feature = "cuda")]
    Cuda(Box<CudaEngine>),
}

/// Does the same work on whichever engine was chosen.
macro_rules! on {
    ($chosen:expr, $engine:ident => $work:expr) => {
        match $chosen {
            $crate::app::chosen::ChosenEngine::Cpu($engine) => $work,
            #[cfg(feature = "cuda")]
            $crate::app::chosen::ChosenEngine::Cuda($engine) => $work,
        }
    };
}
pub(super) use on;

impl ChosenEngine {
    /// Loads `network` on the device and with the runtime that `config` asks for.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`] if a GPU is asked for by name, and there is none or this build cannot use one.
    pub(super) fn open(network: &Network, config: &Config, watch: Watch<'_>) -> Result<Self, EngineError> {
        match config.device {
            DeviceChoice::Cpu => Self::cpu(network, config),
            DeviceChoice::Cuda => Self::cuda(network, config, watch),
            DeviceChoice::Auto => Self::any(network, config, watch),
        }
    }

    pub(super) fn info(&self) -> &EngineInfo {
        on!(self, engine => engine.info())
    }

    /// As the engines' own.
    pub(super) fn set_camera(&mut self, camera: Option<&Calibration>) -> Result<(), String> {
        on!(self, engine => engine.set_camera(camera))
    }

    fn cpu(network: &Network, config: &Config) -> Result<Self, EngineError> {
        CpuEngine::new(network, &config.cpu()).map(|engine| Self::Cpu(Box::new(engine)))
    }

    #[cfg(feature = "cuda")]
    fn cuda(network: &Network, config: &Config, watch: Watch<'_>) -> Result<Self, EngineError> {
        CudaEngine::watched(network, config, watch).map(|engine| Self::Cuda(Box::new(engine)))
    }

    #[cfg(not(feature = "cuda"))]
    fn cuda(_: &Network, _: &Config, _: Watch<'_>) -> Result<Self, EngineError> {
        let reason = "this program was built without it: build with `cargo build --release --features cuda` \
                      (docs/engines.md), or set the device to cpu or auto";
        Err(EngineError::Unavailable { runtime: "cuda", reason: reason.to_owned() })
    }

    /// The GPU if one is there. That there is none is told once; anything else that is wrong is an error.
    #[cfg(feature = "cuda")]
    fn any(network: &Network, config: &Config, watch: Watch<'_>) -> Result<Self, EngineError> {
        match Self::cuda(network, config, watch) {
            Err(EngineError::Unavailable { runtime: "cuda", reason }) => {
                tracing::warn!("using the processor: {reason}");
                Self::cpu(network, config)
            }
            chosen => chosen,
        }
    }

    #[cfg(not(feature = "cuda"))]
    fn any(network: &Network, config: &Config, _: Watch<'_>) -> Result<Self, EngineError> {
        Self::cpu(network, config)
    }
}
