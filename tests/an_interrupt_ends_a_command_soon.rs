//! Ctrl-C: the command ends soon, with 130, and leaves a whole file or none.

mod support;

use segfuse::clock::{MeasuringClock, MonotonicClock};
use segfuse::data::{Event, Frame, FrameId, Image, PixelFormat, Size, Stamp};
use segfuse::trip::{Config, TripError, TripMetadata, TripWriter, info, info_unless, recover, recover_unless};
use std::cell::Cell;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// A program that answers as one of FFmpeg's, at its own pace.
fn program(folder: &Path, name: &str, script: &str) {
    let path = folder.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("room");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
}

/// 61 frames of 64x48; `wait` runs before the answer.
fn ffprobe(wait: &str) -> String {
    let stream = r#"{"streams":[{"width":64,"height":48,"avg_frame_rate":"10/1","r_frame_rate":"10/1"}]}"#;
    let packets = r#"i=0; while [ $i -lt 61 ]; do echo "$((i / 10)).$((i % 10)),K__"; i=$((i + 1)); done"#;
    format!("{wait}\ncase \"$*\" in *packet=*) {packets};; *) echo '{stream}';; esac")
}

/// Imports with the programs of `folder`; Ctrl-C, as a terminal sends it to the whole group, once `asked` is there.
fn import_interrupted(folder: &Path) -> Output {
    let video = folder.join("v.mp4");
    std::fs::write(&video, "a video").expect("room");
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default());
    let mut import = Command::new(env!("CARGO_BIN_EXE_segfuse"));
    import.args(["trip", "import", "--quiet", "--video"]).arg(&video).arg("--out").arg(folder.join("q.mcap"));
    import.env("PATH", path).env("ASKED", folder.join("asked")).process_group(0);
    let child = import.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    wait_for(&folder.join("asked"));
    let sent = Command::new("kill").args(["-INT", "--", &format!("-{}", child.id())]).status();
    assert!(sent.is_ok_and(|status| status.success()), "the signal was not sent");
    child.wait_with_output().expect("it ends")
}

fn wait_for(path: &Path) {
    for _ in 0..1000 {
        if path.exists() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{} has not appeared within 10 s", path.display());
}

#[test]
fn an_import_interrupted_before_its_first_frame_says_so_and_leaves_no_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    program(folder.path(), "ffprobe", &ffprobe("touch \"$ASKED\"; sleep 0.3"));
    program(folder.path(), "ffmpeg", "sleep 1");
    let output = import_interrupted(folder.path());
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{told}");
    assert!(told.contains("interrupted before anything was imported"), "{told}");
    assert!(!folder.path().join("q.mcap").exists(), "an empty trip was left");
}

#[test]
fn an_interrupted_import_says_after_how_many_of_its_frames() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    program(folder.path(), "ffprobe", &ffprobe(""));
    let frames = |count: u32| format!("head -c {} /dev/zero", count * 64 * 48 * 3 / 2);
    program(folder.path(), "ffmpeg", &format!("{}; touch \"$ASKED\"; sleep 0.5; {}", frames(2), frames(59)));
    let output = import_interrupted(folder.path());
    let told = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("interrupted after 3 of 61 frames"), "{told}");
    let ended = info(&folder.path().join("q.mcap")).expect("a trip").ended.expect("it says how");
    assert_eq!(ended.to_string(), "interrupted (3 of 61 frames)");
}

/// A library that takes half a minute to load, as onnxruntime does not; it says when that has begun.
fn slow_library(folder: &Path) -> PathBuf {
    let (source, library) = (folder.join("slow.c"), folder.join("libonnxruntime.so"));
    let begun = folder.join("begun");
    let code = "#include <stdio.h>\n#include <unistd.h>\n\
        __attribute__((constructor)) static void load(void) { fclose(fopen(BEGUN, \"w\")); for (int i = 0; i < 30; i++) sleep(1); }\n";
    std::fs::write(&source, code).expect("room");
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC"]).arg(format!("-DBEGUN=\"{}\"", begun.display())).arg("-o").arg(&library).arg(&source);
    assert!(cc.status().is_ok_and(|status| status.success()), "a C compiler is needed");
    library
}

#[test]
fn loading_a_network_is_cut_at_once_and_nothing_is_left_half_made() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let library = slow_library(folder.path());
    let network = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/networks/plain.onnx");
    let [out, summary, overlay] = ["run.mcap", "run.json", "run.png"].map(|name| folder.path().join(name));
    let mut replay = Command::new(env!("CARGO_BIN_EXE_segfuse"));
    replay.arg("replay").arg(trip(folder.path())).arg("--network").arg(network).arg("--out").arg(&out);
    replay.arg("--summary").arg(&summary).arg("--overlay").arg(&overlay);
    replay.args(["--engine", "onnxruntime", "--onnxruntime-library"]).arg(library);
    let child = replay.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    wait_for(&folder.path().join("begun"));
    let sent = MonotonicClock.now();
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.is_ok_and(|status| status.success()), "the signal was not sent");
    let output = child.wait_with_output().expect("it ends");
    let took_ms = MonotonicClock.now().signed_ns_since(sent) / 1_000_000;
    let told = String::from_utf8_lossy(&output.stderr);
    println!("ended {took_ms} ms after the signal");
    assert_eq!(output.status.code(), Some(130), "{told}");
    assert!(told.contains("interrupted while the network was loaded"), "{told}");
    assert!(took_ms < 500, "{took_ms} ms");
    let left: Vec<_> = [out, summary, overlay].into_iter().filter(|path| path.exists()).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_network_that_is_tried_or_taken_apart_is_let_go_of_at_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("network");
    let plain = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/networks/plain.onnx");
    let check = ["network", "check", "small", "--engine", "rten"].map(Into::into).to_vec();
    let mut import: Vec<std::ffi::OsString> =
        ["network", "import", "--engine", "rten", "--out"].map(Into::into).to_vec();
    import.extend([out.clone().into(), plain.into()]);
    // A check measures for a second; the import of so small a network may be through before the signal, or not.
    for (arguments, ends_first) in [(check, false), (import, true)] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_segfuse"));
        let child = command.args(&arguments).arg("--quiet").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let child = child.expect("it starts");
        std::thread::sleep(Duration::from_millis(if ends_first { 50 } else { 500 }));
        let sent = MonotonicClock.now();
        // It has ended, or it ends.
        let _ = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
        let output = child.wait_with_output().expect("it ends");
        let took_ms = MonotonicClock.now().signed_ns_since(sent) / 1_000_000;
        let told = String::from_utf8_lossy(&output.stderr);
        println!("{arguments:?} ended {took_ms} ms after the signal: {told}");
        if ends_first && output.status.success() {
            continue;
        }
        assert_eq!(output.status.code(), Some(130), "{told}");
        assert!(took_ms < 500 && told.contains("loaded or tried: nothing was begun"), "{took_ms} ms: {told}");
        assert!(!out.exists(), "half a folder");
    }
}

/// Ten chunks of one frame.
fn trip(folder: &Path) -> PathBuf {
    let path = folder.join("drive.mcap");
    let config = Config { chunk_span_ms: 1, ..Config::default() };
    let mut writer = TripWriter::create(&path, &TripMetadata::default(), &config).expect("room");
    for id in 0..10 {
        let stamp = Stamp::from_ns(id * 100_000_000);
        let image = Image::packed(PixelFormat::Grey, Size::new(8, 8), vec![id as u8; 64].into()).expect("64 bytes");
        let frame = Frame { id: FrameId(id), sequence: None, stamp, arrival: stamp, image };
        writer.write_event(&Event::Frame(frame)).expect("room");
    }
    writer.finish().expect("room");
    path
}

/// Says "stop" from the `left + 1`th time on that it is asked.
fn after(left: u32) -> impl Fn() -> bool {
    let left = Cell::new(left);
    move || left.replace(left.get().saturating_sub(1)) == 0
}

#[test]
fn a_recovery_or_a_look_that_is_stopped_anywhere_leaves_nothing_behind() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (trip, whole) = (trip(folder.path()), folder.path().join("whole.mcap"));
    let mut stops = 0;
    while let Err(error) = recover_unless(&trip, &whole, &after(stops)) {
        assert!(matches!(error, TripError::Stopped) && !whole.exists(), "{error}, stop {stops}");
        stops += 1;
    }
    assert!(stops > 30, "asked {stops} times: at every record read, at every chunk written, at every record verified");
    assert_eq!(recover(&trip, &whole).expect("whole").messages["/camera/image"], 10);
    for left in [0, 1, 9] {
        assert!(matches!(info_unless(&trip, &after(left)), Err(TripError::Stopped)), "{left}");
    }
    assert_eq!(info_unless(&trip, &after(100)).expect("a trip").frames, 10);
}
