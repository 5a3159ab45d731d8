//! What stands between a network and a drive on TensorRT: plans that are built as the configuration says, given up where the
//! user asks, waited for by the service manager; and what cannot become one is told before the minutes of a build. With
//! stand-ins for NVIDIA's driver and for TensorRT's libraries.
#![cfg(feature = "tensorrt")]

#[path = "support/driver_on_host.rs"]
mod host_driver;
#[path = "support/standin.rs"]
mod standin;
mod support;

use sha2::{Digest, Sha256};
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;
use support::{names, segfuse_ok};

/// A small drive, a folder for plans, and both stand-ins.
struct Bench {
    folder: tempfile::TempDir,
    driver: PathBuf,
    tensorrt: PathBuf,
}

impl Bench {
    fn new(test: &str, fault: &str) -> Option<Self> {
        let (driver, tensorrt) = (host_driver::driver_on_host(test)?, standin::tensorrt(test, 10, fault)?);
        let bench = Self { folder: tempfile::tempdir().expect("a folder"), driver, tensorrt };
        let like = ["--size", "64x48", "--fps", "10", "--seconds", "0.4"];
        segfuse_ok(&[&["render", "--out", &bench.path("drive.mcap")], &like[..]].concat());
        Some(bench)
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }

    fn plans(&self) -> Vec<String> {
        names(&self.folder.path().join("plans"))
    }

    /// The program with these arguments; an Orin is there.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_segfuse"));
        command.args(arguments).arg("--quiet").env("LD_LIBRARY_PATH", &self.driver);
        command.env("SEGFUSE_TENSORRT_LIBRARIES", &self.tensorrt).env("SEGFUSE_PLANS", self.path("plans"));
        command.env("STANDIN_NAME", "Orin (nvgpu)").env("STANDIN_CAPABILITY", "87");
        command
    }

    fn run(&self, arguments: &[&str], status: i32) -> String {
        told(&self.command(arguments).output().expect("it starts"), status)
    }

    fn replay(&self, more: &[&str]) -> Command {
        let (trip, summary) = (self.path("drive.mcap"), self.path("run.json"));
        let arguments = ["replay", &trip, "--network", "tiny", "--summary", &summary, "--device", "cuda"];
        let engine: &[&str] = if more.contains(&"--engine") { &[] } else { &["--engine", "tensorrt"] };
        self.command(&[&arguments[..], engine, more].concat())
    }
}

fn told(output: &Output, status: i32) -> String {
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(status), "{told}");
    told
}

/// `tiny` with another half-precision head.
fn changed(folder: &Path, head: &[u8]) -> String {
    let network = folder.join("changed");
    fs::create_dir(&network).expect("room");
    for name in names("models/tiny".as_ref()) {
        fs::copy(Path::new("models/tiny").join(&name), network.join(&name)).expect("a copy");
    }
    let hash = |bytes: &[u8]| format!("{:x}", Sha256::digest(bytes));
    let model = fs::read_to_string(network.join("model.toml")).expect("text");
    let before = fs::read(network.join("head.fp16.onnx")).expect("a graph");
    fs::write(network.join("model.toml"), model.replace(&hash(&before), &hash(head))).expect("room");
    fs::write(network.join("head.fp16.onnx"), head).expect("room");
    network.to_string_lossy().into_owned()
}

/// The head of `tiny` with an operator that nobody knows.
fn unknown_operator() -> Vec<u8> {
    let mut head = fs::read("models/tiny/head.fp16.onnx").expect("a shipped graph");
    for at in 0..head.len() - 4 {
        if &head[at..at + 4] == b"Conv" {
            head[at + 1] = b'x';
        }
    }
    head
}

#[test]
fn what_cannot_become_a_plan_is_told_before_anything_is_built() {
    let Some(bench) = Bench::new("before anything is built", "FAULT=SLOW") else { return };
    let other = changed(bench.folder.path(), &fs::read("models/tiny/correction.fp16.onnx").expect("a graph"));
    let refused = bench.run(&["engine", "build", &other], 1);
    let words = "head.fp16.onnx is not what model.toml says: expected 1 inputs, got features [1, 48, 48, 80] f16";
    assert!(refused.contains(words) && refused.contains("export the network again"), "{refused}");
    // Nobody can make a folder there, and what is not there can be looked for.
    let refused = bench.run(&["engine", "build", "tiny", "--plans", "/proc/plans"], 1);
    assert!(refused.contains("/proc/plans/probe: ") && refused.contains("SEGFUSE_PLANS"), "{refused}");
    assert!(!refused.contains("building a plan"), "{refused}");
}

#[test]
fn a_replay_that_builds_plans_is_given_up_by_an_interrupt_and_the_service_manager_waits_meanwhile() {
    let Some(bench) = Bench::new("given up", "FAULT=SLOW") else { return };
    let address = bench.path("notify");
    let manager = UnixDatagram::bind(&address).expect("a socket");
    manager.set_read_timeout(Some(Duration::from_mins(1))).expect("a time");
    for engine in ["tensorrt", "auto"] {
        let mut replay = bench.replay(&["--engine", engine]);
        let child = replay.env("NOTIFY_SOCKET", &address).stderr(Stdio::piped()).spawn().expect("it starts");
        for _ in 0..2 {
            let mut message = [0; 200];
            let length = manager.recv(&mut message).expect("a word in time");
            let message = String::from_utf8_lossy(&message[..length]);
            assert_eq!(message, "EXTEND_TIMEOUT_USEC=300000000\nSTATUS=building tiny: plan of backbone", "{engine}");
        }
        let output = interrupted(child);
        let told = told(&output, 130);
        assert!(
            told.contains("building a plan: this may take minutes") && told.contains("given up, as asked"),
            "{told}"
        );
        assert!(!Path::new(&bench.path("run.json")).exists(), "{engine}: there was no run");
        while manager.set_nonblocking(true).is_ok() && manager.recv(&mut [0; 200]).is_ok() {}
        manager.set_nonblocking(false).expect("as before");
    }
}

fn interrupted(child: Child) -> Output {
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill is there").success());
    child.wait_with_output().expect("it ends")
}

#[test]
fn plans_are_built_as_the_configuration_says_by_the_command_and_by_a_drive() {
    let Some(bench) = Bench::new("as configured", "") else { return };
    let config = bench.path("vehicle.toml");
    fs::write(&config, "network = \"tiny\"\n[engine]\ndla_core = 1\nworkspace_mib = 64\n").expect("room");
    let by_a_drive = bench.replay(&["--config", &config, "--log", "debug"]).output().expect("it starts");
    let log = told(&by_a_drive, 0);
    assert!(log.contains("layers on DLA core 1, others on the GPU, 64 MiB a layer"), "{log}");
    let plans: Vec<String> = bench.plans().into_iter().filter(|name| name.ends_with(".sm87.dla1.plan")).collect();
    assert_eq!(plans.len(), 3, "{plans:?}");
    let built = bench.run(&["engine", "build", "--config", &config], 0);
    assert_eq!(built.matches("DLA core 1: was there").count(), 3, "{built}");
    let other = bench.run(&["engine", "build", "--config", &config, "--dla", "0"], 0);
    assert_eq!(other.matches("DLA core 0: built").count(), 3, "{other}");
    fs::write(&config, "[engine]\nworkspace_mib = 0\n").expect("room");
    let refused = bench.run(&["engine", "build", "tiny", "--config", &config], 2);
    assert!(refused.contains("engine.workspace_mib is 0, must be 1 to 1048576"), "{refused}");
    let refused = bench.run(&["engine", "build", "tiny", "--dla", "9"], 2);
    assert!(refused.contains("'9' is no accelerator"), "{refused}");
}

#[test]
fn the_check_of_a_network_asks_tensorrt_and_tells_speed_or_the_nodes_that_it_refuses() {
    let Some(bench) = Bench::new("the check", "") else { return };
    let check = |network: &str, status| {
        let output = bench.command(&["network", "check", network, "--engine", "tensorrt", "--json"]).output();
        let output = output.expect("it starts");
        assert_eq!(output.status.code(), Some(status), "{}", String::from_utf8_lossy(&output.stderr));
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON alone");
        report["runtimes"][0].clone()
    };
    let runs = check("tiny", 0);
    assert_eq!((&runs["verdict"], &runs["runtime"]), (&"runs".into(), &"tensorrt (TensorRT 10.3.0)".into()));
    for graph in ["backbone_ms", "head_ms", "correction_ms"] {
        assert!(runs[graph].as_f64().is_some_and(|ms| ms > 0.0), "{graph}: {runs}");
    }
    assert_eq!(bench.plans().iter().filter(|name| name.contains(".sm87.plan")).count(), 3, "plans are kept");
    let refused = check(&changed(bench.folder.path(), &unknown_operator()), 1);
    let reason = refused["reason"].as_str().unwrap_or_default().to_owned();
    assert_eq!(refused["verdict"], "refused", "{refused}");
    assert!(reason.contains("head: the parser refuses the ONNX graph: node ") && reason.contains("(Cxnv)"), "{reason}");
    let without = bench.command(&["network", "check", "tiny"]).env("STANDIN_DEVICES", "0").output().expect("it starts");
    let text = told(&without, 0);
    assert!(text.contains("runtime     tensorrt: not at hand: ") && text.contains("finds no GPU"), "{text}");
}

#[test]
fn the_same_fault_is_told_in_the_same_words_by_engine_info_and_by_a_replay() {
    let Some(bench) = Bench::new("the same words", "") else { return };
    let (nowhere, cut) = (bench.path("nowhere"), cut_copy(&bench.driver.join("libcuda.so.1"), &bench.path("cut")));
    let driver = bench.driver.to_string_lossy().into_owned();
    for (what, variable, value, words) in [
        ("no driver", "LD_LIBRARY_PATH", &nowhere, "no NVIDIA driver: libcuda.so.1 cannot be loaded"),
        ("a driver that is cut", "LD_LIBRARY_PATH", &cut, "libcuda.so.1 is cut: it has "),
        ("no GPU", "STANDIN_DEVICES", &"0".into(), "the NVIDIA driver finds no GPU to use (CUDA_ERROR_NO_DEVICE"),
        ("an old driver", "STANDIN_DRIVER", &"11040".into(), "the NVIDIA driver is too old: it knows CUDA 11.4"),
        ("an old GPU", "STANDIN_CAPABILITY", &"72".into(), "has compute capability 7.2, and the kernels"),
    ] {
        let with = |mut command: Command| {
            let output = command.env("LD_LIBRARY_PATH", &driver).env(variable, value).output().expect("it starts");
            told(&output, 1)
        };
        let (info, replay) = (with(bench.command(&["engine", "info"])), with(bench.replay(&[])));
        let found = info.lines().find_map(|line| line.strip_prefix("GPU        MISSING: ")).unwrap_or_default();
        assert!(found.contains(words), "{what}: {info}");
        assert!(replay.contains(found), "{what}: '{found}' is not in {replay}");
    }
}

/// The first half of a library, by the same name in another folder.
fn cut_copy(library: &Path, folder: &str) -> String {
    fs::create_dir(folder).expect("room");
    let bytes = fs::read(library).expect("a library");
    fs::write(Path::new(folder).join(library.file_name().expect("a name")), &bytes[..bytes.len() / 2]).expect("room");
    folder.to_owned()
}

#[test]
fn a_library_that_is_cut_is_refused_by_name() {
    let Some(mut bench) = Bench::new("cut libraries", "") else { return };
    let whole = bench.tensorrt.clone();
    bench.tensorrt = cut_copy(&whole.join("libnvinfer.so.10"), &bench.path("libraries")).into();
    let info = bench.run(&["engine", "info"], 1);
    assert!(info.contains("libraries/libnvinfer.so.10 is cut: it has "), "{info}");
    fs::copy(whole.join("libnvinfer.so.10"), bench.tensorrt.join("libnvinfer.so.10")).expect("a copy");
    let parser = fs::read(whole.join("libnvonnxparser.so.10")).expect("a parser");
    fs::write(bench.tensorrt.join("libnvonnxparser.so.10"), &parser[..parser.len() - 1]).expect("room");
    let info = bench.run(&["engine", "info"], 0);
    assert!(info.contains("parser     MISSING") && info.contains("libnvonnxparser.so.10 is cut"), "{info}");
    assert!(info.contains("apt install libnvonnxparsers10"), "{info}");
}
