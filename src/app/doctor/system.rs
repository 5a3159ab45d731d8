//! Clocks, rights, the network and its runtime, the GPU, Zenoh, the disk.

use super::super::chosen::on;
use super::super::network::{self as networks, DEFAULT};
use super::super::run::network_of;
use super::super::session::Session;
use super::Finding;
use crate::clock::{MeasuringClock, MonotonicClock, wall_mapping};
use crate::config::Config;
use crate::data::{Image, PixelFormat, Size};
#[cfg(feature = "cuda")]
use crate::engine::DeviceChoice;
use crate::engine::{Engine, EngineError};
#[cfg(feature = "zenoh")]
use crate::perceive::Schedule;
use crate::process;
use crate::sys;
use crate::trip::rotation::{free_bytes, recorded_bytes};
use std::io::Write;
#[cfg(feature = "zenoh")]
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

/// 2026-01-01 in Unix time: a clock before it was never set.
const SET_SINCE_NS: i64 = 1_767_225_600_000_000_000;
/// What is written to see how fast a disk is.
const PROBE_BYTES: usize = 16 << 20;
/// Less memory than this cannot all be kept in.
const LOCKED_BYTES: u64 = 256 << 20;
/// Where NVIDIA's drivers show themselves, on a desktop card and on a Jetson.
const GPU_NODES: [&str; 3] = ["/dev/nvidia0", "/dev/nvhost-gpu", "/dev/nvgpu/igpu0"];

/// Whether Unix time is set and kept.
pub(super) fn clocks() -> Vec<Finding> {
    let unix_ns = wall_mapping().unix_ns;
    if unix_ns < SET_SINCE_NS {
        let seen = format!("Unix time is {} s: it was never set", unix_ns / 1_000_000_000);
        return vec![Finding::warning("clocks", seen, "set it (chrony, GNSS): masks and trips carry wrong dates")];
    }
    match sys::clock::is_synchronised() {
        Ok(true) => vec![Finding::ok("clocks", "Unix time is kept in step by the system (NTP or PTP)")],
        Ok(false) => {
            let remedy = "alignment does not depend on it (docs/timing.md); start chrony or ptp4l for right dates";
            vec![Finding::warning("clocks", "Unix time runs by itself: nothing keeps it in step", remedy)]
        }
        Err(error) => vec![Finding::warning("clocks", format!("adjtimex: {error}"), "look at the kernel")],
    }
}

/// Whether the configured priority, processors and memory are allowed here.
pub(super) fn process(config: &process::Config) -> Vec<Finding> {
    if let Err(error) = process::prepare(config) {
        return vec![Finding::fault("process", error.to_string(), "mend [process]")];
    }
    let mut findings = Vec::new();
    // What the program takes, with a network and its buffers, in round numbers.
    if config.lock_memory
        && let Ok(Some(bytes)) = sys::process::lockable_bytes()
        && bytes < LOCKED_BYTES
    {
        let seen = format!("process.lock_memory: only {} MiB may be locked", bytes >> 20);
        findings.push(Finding::warning("process", seen, "give the service LimitMEMLOCK=infinity, or run as root"));
    }
    findings.extend(priority(config.realtime_priority));
    findings
}

fn priority(wanted: Option<u8>) -> Vec<Finding> {
    let Some(priority) = wanted else {
        let remedy = "set process.realtime_priority: under load frames are taken late (docs/install.md)";
        return vec![Finding::warning("process", "capture threads have no real-time priority", remedy)];
    };
    // On a thread of its own, which ends with what it tried.
    match std::thread::spawn(move || sys::process::run_first(priority)).join() {
        Ok(Ok(())) => vec![Finding::ok("process", format!("capture threads may run at real-time priority {priority}"))],
        Ok(Err(error)) => {
            let remedy = "give the service LimitRTPRIO= or CAP_SYS_NICE (docs/install.md), or run as root";
            vec![Finding::warning("process", format!("real-time priority {priority}: {error}"), remedy)]
        }
        Err(_) => vec![Finding::warning("process", "the try for real-time priority panicked", "tell its makers")],
    }
}

/// What the camera is asked for; where it is asked for nothing, what most of them give.
struct Pictures {
    format: PixelFormat,
    size: Size,
    rate_hz: f64,
}

impl Pictures {
    #[cfg(feature = "camera")]
    fn of(config: &Config) -> Self {
        let (camera, usual) = (&config.camera, Self::usual());
        Self {
            format: camera.format.unwrap_or(usual.format),
            size: camera.size.unwrap_or(usual.size),
            rate_hz: camera.rate_hz.unwrap_or(usual.rate_hz),
        }
    }

    #[cfg(not(feature = "camera"))]
    fn of(_config: &Config) -> Self {
        Self::usual()
    }

    fn usual() -> Self {
        Self { format: PixelFormat::Yuyv, size: Size::new(1280, 720), rate_hz: 30.0 }
    }

    /// What it writes, a JPEG being a tenth of its pixels' 24 bits.
    fn mb_s(&self) -> f64 {
        let pixels = self.size.pixels() as f64;
        let bytes = match self.format {
            PixelFormat::Jpeg => pixels * 0.3,
            PixelFormat::Nv12 => pixels * 1.5,
            format => f64::from(self.size.height) * format.row_bytes(self.size.width) as f64,
        };
        bytes * self.rate_hz / 1e6
    }
}

/// Whether the network loads, on which runtime, and how long one frame takes.
pub(super) fn network(config: &Config, session: &Session) -> Vec<Finding> {
    let name = config.network.as_deref().unwrap_or(DEFAULT);
    let arguments = network_of(config);
    let opened = networks::open(&arguments).and_then(|network| {
        let engine = networks::engine(&network, &arguments, config, session)?;
        Ok((network, engine))
    });
    let (network, mut engine) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            let is_missing = matches!(error.downcast_ref(), Some(EngineError::Unavailable { .. }));
            let remedy = if is_missing {
                "provide what is missing, or set engine.device and engine.runtime to \"auto\""
            } else {
                "name another as network"
            };
            return vec![Finding::fault("network", format!("{name}: {error:#}"), remedy)];
        }
    };
    let runtime = engine.info().runtime.clone();
    let size = Pictures::of(config).size;
    let seen = match on!(&mut engine, engine => one_frame_ms(&mut **engine, size)) {
        Ok(ms) => {
            let seen = format!("{} on {runtime}: {ms:.1} ms for a key frame of {size}", network.name());
            if let Some(finding) = too_slow(config, ms, &seen) {
                return vec![finding];
            }
            seen
        }
        Err(error) => return vec![Finding::fault("network", format!("{name}: {error}"), "segfuse network check")],
    };
    if runtime.starts_with("rten") && config.engine.onnxruntime_library.is_none() {
        let remedy = "install onnxruntime and name it as engine.onnxruntime_library: about twice as fast";
        return vec![Finding::warning("network", seen, remedy)];
    }
    vec![Finding::ok("network", seen)]
}

/// A network whose own masks would be too old to be published.
#[cfg(feature = "zenoh")]
fn too_slow(config: &Config, ms: f64, seen: &str) -> Option<Finding> {
    let most = config.zenoh.max_age_ms;
    let beside = matches!(config.perceive.schedule, Schedule::Overlapped { .. });
    if beside || ms <= f64::from(most) {
        return None;
    }
    let seen = format!("{seen}; masks of pictures older than zenoh.max_age_ms ({most}) are not published");
    let remedy = "take a smaller network or a faster runtime, or perceive.schedule = \"overlapped:K:D\"";
    Some(if config.perceive.schedule == Schedule::Every(NonZeroU32::MIN) {
        Finding::fault("network", format!("{seen}: none would be"), remedy)
    } else {
        Finding::warning("network", seen, remedy)
    })
}

#[cfg(not(feature = "zenoh"))]
fn too_slow(_: &Config, _: f64, _: &str) -> Option<Finding> {
    None
}

/// The second of two grey frames.
fn one_frame_ms(engine: &mut impl Engine, size: Size) -> anyhow::Result<f64> {
    let image = Image::packed(PixelFormat::Rgb8, size, vec![128; size.pixels() * 3].into())?;
    let mut frame = || -> anyhow::Result<()> {
        let view = engine.observe(&image)?;
        let features = engine.extract(&view)?;
        engine.decode(&features, size)?;
        Ok(())
    };
    frame()?;
    let before = MonotonicClock.now();
    frame()?;
    Ok(MonotonicClock.now().signed_ns_since(before) as f64 / 1e6)
}

/// Whether there is a GPU that this program can use, and which.
#[cfg(feature = "cuda")]
pub(super) fn gpu(config: &Config) -> Finding {
    let is_wanted = config.engine.device == DeviceChoice::Cuda;
    match (sys::cuda::Device::open(0), GPU_NODES.iter().find(|node| Path::new(node).exists())) {
        (Ok(device), _) => Finding::ok("gpu", device.info().to_string()),
        (Err(error), _) if is_wanted => {
            Finding::fault("gpu", error.to_string(), "mend it, or set engine.device = \"auto\"")
        }
        (Err(_), None) => Finding::ok("gpu", "none: frames are worked on by the processor"),
        (Err(error), Some(node)) => {
            let remedy = "mend it, or set engine.device = \"cpu\"";
            Finding::warning("gpu", format!("{node} is there and cannot be used: {error}"), remedy)
        }
    }
}

/// Whether there is a GPU that this program does not use.
#[cfg(not(feature = "cuda"))]
pub(super) fn gpu(_: &Config) -> Finding {
    match GPU_NODES.iter().find(|node| Path::new(node).exists()) {
        None => Finding::ok("gpu", "none: networks run on the processor"),
        Some(node) => {
            let remedy = "this program was built without the feature cuda (docs/engines.md)";
            Finding::warning("gpu", format!("{node} is there and is not used"), remedy)
        }
    }
}

/// Whether a session opens, and where it listens.
#[cfg(feature = "zenoh")]
pub(super) fn zenoh(config: &crate::sink::zenoh::Config) -> Finding {
    match crate::wire::session::open(&config.session, config.shared_memory.enabled) {
        Ok(session) => {
            let others = crate::wire::session::neighbours(&session);
            let key = format!("{}/{}/{}/mask", config.prefix, config.vehicle, config.camera);
            Finding::ok("zenoh", format!("a session opens; masks go out on {key}; {others} others are connected"))
        }
        Err(error) => {
            let remedy = "is a drive running already? else free the endpoint, or name another in zenoh.session.listen";
            Finding::fault("zenoh", error.to_string(), remedy)
        }
    }
}

/// Whether the folder for recordings can be written, is roomy and is fast enough.
pub(super) fn disk(config: &Config) -> Vec<Finding> {
    let Some(folder) = &config.record.folder else {
        return vec![Finding::ok("disk", "nothing is recorded: record.folder is not set")];
    };
    let shown = folder.display();
    let free = match free_bytes(folder) {
        Ok(free) => free,
        Err(error) => {
            let remedy = format!("mkdir -p {shown}, and give it to the user that drives");
            return vec![Finding::fault("disk", format!("{shown}: {error}"), remedy)];
        }
    };
    let speed = match write_speed_mb_s(folder) {
        Ok(speed) => speed,
        Err(error) => {
            let remedy = "let the user that drives write there, or name another folder as record.folder";
            return vec![Finding::fault("disk", format!("{shown}: cannot be written: {error}"), remedy)];
        }
    };
    let seen = format!("{shown}: {:.1} GB free, written at {speed:.0} MB/s", free as f64 / 1e9);
    let needed = config.record.free_to_begin();
    // Recordings that are there give way; what cannot be looked through was told above.
    let room = free.saturating_add(recorded_bytes(folder).unwrap_or(0));
    if room < needed {
        let seen =
            format!("{seen}; to begin a file {:.1} GB must be free: nothing will be recorded", needed as f64 / 1e9);
        return vec![Finding::warning("disk", seen, "make room, or lower record.keep_free_bytes")];
    }
    let pictures = Pictures::of(config);
    if speed < pictures.mb_s() {
        let Pictures { format, size, rate_hz } = pictures;
        let seen = format!("{seen}; {} of {size} at {rate_hz}/s needs {:.0}", format.name(), pictures.mb_s());
        return vec![Finding::warning("disk", seen, "take a faster disk, or a camera format that is smaller (jpeg)")];
    }
    vec![Finding::ok("disk", seen)]
}

/// Writes 16 MiB through to the disk and removes them again.
fn write_speed_mb_s(folder: &Path) -> std::io::Result<f64> {
    let probe = Probe(folder.join(format!(".segfuse-doctor-{}", std::process::id())));
    let mut file = std::fs::File::create_new(&probe.0)?;
    let before = MonotonicClock.now();
    file.write_all(&vec![0x5a; PROBE_BYTES])?;
    file.sync_all()?;
    let seconds = MonotonicClock.now().signed_ns_since(before) as f64 / 1e9;
    Ok(PROBE_BYTES as f64 / 1e6 / seconds.max(1e-6))
}

/// A file that is gone afterwards, also after an error.
struct Probe(PathBuf);

impl Drop for Probe {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}
