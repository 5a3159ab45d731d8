//! `segfuse run` inside the virtual machine: its configuration, what is sent to it, and what it leaves.

#![allow(dead_code, reason = "each test file compiles its own copy and uses a part of it")]

use crate::support::segfuse_ok;
use socketcan::{CanFrame, EmbeddedFrame, StandardId};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

/// `VEHICLE_SPEED` of `config/example.dbc`.
pub(crate) fn speed_frame(mps: f64, count: u64) -> CanFrame {
    let [low, high] = ((mps * 3.6 / 0.01).round() as u16).to_le_bytes();
    let body = [low, high, (count % 16) as u8];
    let checksum = crc::Crc::<u8>::new(&crc::CRC_8_SAE_J1850).checksum(&body);
    let id = StandardId::new(0x100).expect("11 bits");
    CanFrame::new(id, &[body[0], body[1], body[2], checksum]).expect("4 bytes")
}

pub(crate) const CONFIG: &str = r#"
network = "/vm/plain.onnx"
[camera]
device = "/dev/video0"
format = "yuyv"
size = "640x360"
rate_hz = 30.0
[camera.controls]
# The start of exposure, and not 20 ms into the future.
timestamp_source = 1
[[bus]]
interface = "vcan0"
[signals]
dbc = "example.dbc"
signals = "example"
[record]
folder = "/out/trips"
[zenoh.session]
listen = ["tcp/127.0.0.1:7447"]
[zenoh.shared_memory]
enabled = false
"#;

pub(crate) fn machine(seconds: u32) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let named = |path: &str, name: &str| format!("{}:/vm/{name}", root.join(path).display());
    let files = [named("tests/data/networks/plain.onnx", "plain.onnx"), named("config/example.dbc", "example.dbc")];
    let mut options: Vec<String> = files.into_iter().flat_map(|file| ["--file".to_owned(), file]).collect();
    options.extend(["--bin".to_owned(), env!("CARGO_BIN_EXE_segfuse").to_owned()]);
    options.extend(["--mem".to_owned(), "2048".to_owned(), "--boot-timeout".to_owned(), (60 + seconds).to_string()]);
    options
}

/// Starts the program on the machine's camera and bus.
pub(crate) fn start(command: &str, more: &[&str]) -> Child {
    start_with(CONFIG, command, more)
}

/// The same with another configuration.
pub(crate) fn start_with(config: &str, command: &str, more: &[&str]) -> Child {
    std::fs::create_dir_all("/out/trips").expect("room");
    std::fs::write("/vm/vehicle.toml", config).expect("room");
    let mut segfuse = Command::new("/usr/local/bin/segfuse");
    segfuse.args(["--quiet", command, "--config", "/vm/vehicle.toml"]).args(more).spawn().expect("it starts")
}

pub(crate) fn options(owned: &[String]) -> Vec<&str> {
    owned.iter().map(String::as_str).collect()
}

/// The one file that a drive left.
pub(crate) fn trip_of(outputs: &Path) -> PathBuf {
    let files = std::fs::read_dir(outputs.join("trips")).expect("it recorded").flatten().map(|entry| entry.path());
    let trips: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|ending| ending == "mcap")).collect();
    assert_eq!(trips.len(), 1, "{trips:?}");
    trips[0].clone()
}

/// Replays `trip` outside the machine: the masks are those that were told of inside.
pub(crate) fn replays_to(trip: &Path, told: &serde_json::Value) {
    let network = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/networks/plain.onnx");
    let [trip, network] = [trip, &network].map(|path| path.to_str().expect("UTF-8"));
    let arguments = ["replay", trip, "--network", network, "--engine", "rten", "--summary", "-"];
    let again: serde_json::Value = serde_json::from_str(&segfuse_ok(&arguments)).expect("JSON");
    for key in ["mask_hash", "frames", "published", "dropped"] {
        assert_eq!(again[key], told[key], "{key}");
    }
}

/// Writes the machine's camera to a file of its driver: `unbind` or `bind`.
pub(crate) fn plug(file: &str) {
    std::fs::write(format!("/sys/bus/platform/drivers/vivid/{file}"), "vivid.0").expect("vivid is there");
}
