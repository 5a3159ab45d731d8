//! Python's `mcap` and `mcap-protobuf-support`, which share no code with us, read our trips.

#[path = "support/sample_trip.rs"]
mod sample_trip;

use sample_trip::{config, step, write};
use segfuse::data::{Event, PixelFormat};
use segfuse::trip::{Compression, Config};
use std::path::{Path, PathBuf};
use std::process::Command;
use xxhash_rust::xxh3::xxh3_64;

/// A Python with the two packages: `SEGFUSE_PYTHON`, the project's `.venv`, or the system's.
fn python() -> Option<PathBuf> {
    let named = std::env::var_os("SEGFUSE_PYTHON").map(PathBuf::from);
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python");
    let has_packages = |python: &PathBuf| {
        let check = Command::new(python).args(["-c", "import mcap, mcap_protobuf"]).output();
        check.is_ok_and(|output| output.status.success())
    };
    named.into_iter().chain([project, "python3".into()]).find(has_packages)
}

#[test]
fn python_reads_every_message_and_its_values() {
    let Some(python) = python() else {
        eprintln!("SKIPPED: python_reads_our_trips: no Python with mcap and mcap-protobuf-support; set SEGFUSE_PYTHON");
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/read_trip.py");
    for compression in [Compression::None, Compression::Lz4, Compression::Zstd] {
        let path = folder.path().join("trip.mcap");
        write(&path, 24, &Config { compression, ..config() });
        let output = Command::new(&python).arg(&script).arg(&path).output().expect("Python starts");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{errors}");
        let printed = String::from_utf8(output.stdout).expect("text");
        let expected = expected();
        let lines: Vec<_> = printed.lines().collect();
        assert_eq!(lines.len(), expected.len(), "{printed}\n{errors}");
        for (line, expected) in lines.iter().zip(&expected) {
            assert_eq!(line, expected, "{compression:?}");
        }
    }
}

/// What the script prints, from what was written: metadata first, then each frame's picture, state, CAN frame, mask.
fn expected() -> Vec<String> {
    let mut lines = vec!["metadata format_version=1 classes=camvid,cityscapes dbc=x.dbc".to_owned()];
    for number in 0..24 {
        let (events, aligned, perception) = step(number);
        for event in &events {
            match event {
                Event::Can(frame) => lines.push(format!(
                    "can {} {} {} {} {}",
                    frame.arrival.ns(),
                    frame.bus,
                    frame.id.raw(),
                    frame.taken.ns,
                    hash(frame.payload())
                )),
                Event::State(sample) => {
                    let speed = sample.state.speed_mps.expect("always known").value;
                    lines.push(format!("state {} {speed:?}", sample.taken.ns));
                }
                Event::Frame(frame) => {
                    let jpeg = frame.image.format() == PixelFormat::Jpeg;
                    let format = if jpeg { "jpeg" } else { encoding(frame.image.format()) };
                    let (stamp, bytes) = (frame.stamp.ns(), hash(frame.image.bytes()));
                    lines.push(format!("frame {number} {stamp} {format} {bytes}"));
                }
                _ => (),
            }
        }
        let distance = perception.origin.distance();
        lines.push(format!("info {number} {distance} {:016x}", perception.mask.hash()));
        lines.push(format!("mask {number} {} {}", aligned.frame.stamp.ns(), hash(perception.mask.labels())));
    }
    let order =
        |line: &String| ["metadata", "can", "state", "frame", "info", "mask"].iter().position(|p| line.starts_with(p));
    lines.sort_by_key(order);
    lines
}

fn encoding(format: PixelFormat) -> &'static str {
    if format == PixelFormat::Grey { "mono8" } else { format.name() }
}

/// The sum of the bytes' squares with their places: cheap to compute in plain Python, and checked against itself.
fn hash(bytes: &[u8]) -> u64 {
    assert_ne!(xxh3_64(bytes), 0, "a hash of something");
    (1..).zip(bytes).map(|(place, byte)| place * u64::from(*byte)).sum()
}
