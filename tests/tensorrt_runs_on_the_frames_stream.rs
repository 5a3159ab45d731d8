//! Whole replays with the networks on the GPU: pictures, features and logits stay in its memory. Without a GPU by two
//! stand-ins at once: NVIDIA's driver, which runs the kernels on the host, and TensorRT, which computes nothing sensible but
//! the same each time, and ends the program where an object is left or a method is none that it knows.

#![cfg(feature = "tensorrt")]

#[path = "support/driver_on_host.rs"]
mod host_driver;
#[path = "support/standin.rs"]
mod standin;
mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use support::{json, segfuse_ok};

/// A second of a small drive, plans, and both stand-ins.
struct Drive {
    folder: tempfile::TempDir,
    driver: PathBuf,
    tensorrt: PathBuf,
}

impl Drive {
    fn new(test: &str, family: u32, fault: &str) -> Option<Self> {
        let (driver, tensorrt) = (host_driver::driver_on_host(test)?, standin::tensorrt(test, family, fault)?);
        let drive = Self { folder: tempfile::tempdir().expect("a temporary folder"), driver, tensorrt };
        let like = ["--size", "64x48", "--fps", "10", "--seconds", "0.9"];
        segfuse_ok(&[&["render", "--out", &drive.path("drive.mcap")], &like[..]].concat());
        Some(drive)
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }

    fn replay(&self, schedule: &str, engine: &str) -> Output {
        self.replay_with(schedule, engine, &[], &[])
    }

    fn replay_with(&self, schedule: &str, engine: &str, more: &[&str], variables: &[(&str, &str)]) -> Output {
        let (trip, summary) = (self.path("drive.mcap"), self.path("run.json"));
        let mut program = Command::new(env!("CARGO_BIN_EXE_segfuse"));
        program.args(["replay", &trip, "--network", "tiny", "--schedule", schedule, "--summary", &summary, "--quiet"]);
        program.args(["--device", "cuda", "--engine", engine]).args(more).envs(variables.iter().copied());
        program.env("LD_LIBRARY_PATH", &self.driver).env("SEGFUSE_TENSORRT_LIBRARIES", &self.tensorrt);
        program.env("SEGFUSE_PLANS", Path::new(self.folder.path()).join("plans"));
        program.output().expect("it starts")
    }

    fn summary(&self, key: &str) -> serde_json::Value {
        json(self.path("run.json").as_ref())[key].clone()
    }
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn every_schedule_gives_the_same_masks_each_time() {
    for family in standin::FAMILIES {
        let Some(drive) = Drive::new("every_schedule", family, "") else { return };
        for schedule in ["every:1", "every:3", "adaptive:5%", "overlapped:3:1"] {
            let hashes = [0, 1].map(|_| {
                let output = drive.replay(schedule, "tensorrt");
                assert!(output.status.success(), "{family}, {schedule}: {}", errors(&output));
                assert_eq!(drive.summary("published"), drive.summary("frames"), "{family}, {schedule}");
                drive.summary("mask_hash")
            });
            assert_eq!(hashes[0], hashes[1], "{family}, {schedule}");
            let engine = drive.summary("engine").to_string();
            assert!(engine.contains("cuda on stand-in") && engine.contains("network by TensorRT"), "{engine}");
        }
    }
}

/// How many launches by themselves and how many graphs a run came to.
fn launches(output: &Output) -> (u32, u32) {
    let told = errors(output);
    let line = told.lines().find(|line| line.starts_with("stand-in: ")).unwrap_or_else(|| panic!("not told: {told}"));
    let mut numbers = line.split(' ').filter_map(|word| word.parse().ok());
    (numbers.next().expect("launches"), numbers.next().expect("graphs"))
}

#[test]
fn cuda_graphs_change_no_mask_and_take_fewer_launches() {
    let Some(drive) = Drive::new("cuda_graphs", 10, "") else { return };
    let config = drive.path("without.toml");
    std::fs::write(&config, "[engine]\ncuda_graphs = false\n").expect("a file");
    for schedule in ["every:1", "every:3", "adaptive:5%", "overlapped:3:1"] {
        let run = |more: &[&str]| {
            let output = drive.replay_with(schedule, "tensorrt", more, &[("STANDIN_TELLS", "1")]);
            assert!(output.status.success(), "{schedule}: {}", errors(&output));
            assert!(!errors(&output).contains("graph:"), "{schedule}: {}", errors(&output));
            (drive.summary("mask_hash"), launches(&output))
        };
        let ((with, (alone, graphs)), (without, (each, none))) = (run(&[]), run(&["--config", &config]));
        assert_eq!(with, without, "{schedule}");
        assert_eq!(none, 0, "{schedule}");
        assert!(alone + graphs < each && graphs > 9, "{schedule}: {alone} launches and {graphs} graphs for {each}");
    }
}

#[test]
fn graphs_that_are_refused_are_told_once_and_masks_are_the_same_without() {
    let (Some(drive), Some(other)) = (Drive::new("refused", 10, ""), Drive::new("refused", 10, "FAULT=NO_CAPTURE"))
    else {
        return;
    };
    assert!(drive.replay("every:3", "tensorrt").status.success());
    let expected = drive.summary("mask_hash");
    let no_graphs = drive.replay_with("every:3", "tensorrt", &[], &[("STANDIN_NO_GRAPHS", "1")]);
    assert!(no_graphs.status.success(), "{}", errors(&no_graphs));
    let told = errors(&no_graphs);
    let words = "kernels are launched one by one, without CUDA graphs: making a graph ready to be launched: the CUDA driver \
                 answers CUDA_ERROR_NOT_SUPPORTED";
    assert_eq!(told.matches(words).count(), 1, "{told}");
    assert_eq!(drive.summary("mask_hash"), expected);
    let no_capture = other.replay("every:3", "tensorrt");
    assert!(no_capture.status.success(), "{}", errors(&no_capture));
    let told = errors(&no_capture);
    let words = "plans are enqueued for each frame, without CUDA graphs: running the plan failed";
    assert!(told.matches(words).count() == 1 && told.contains("when stream is capturing"), "{told}");
    assert_eq!(other.summary("mask_hash"), expected);
}

#[test]
fn auto_takes_tensorrt_where_it_is_and_goes_on_without_it_where_it_is_not() {
    let Some(mut drive) = Drive::new("auto_takes_tensorrt", 10, "") else { return };
    assert!(drive.replay("every:3", "auto").status.success());
    assert!(drive.summary("engine").to_string().contains("TensorRT"), "{}", drive.summary("engine"));
    drive.tensorrt = drive.folder.path().to_owned();
    let without = drive.replay("every:3", "auto");
    assert!(without.status.success(), "{}", errors(&without));
    assert!(errors(&without).contains("the network runs on the processor"), "{}", errors(&without));
    assert!(!drive.summary("engine").to_string().contains("TensorRT"), "{}", drive.summary("engine"));
    let refused = drive.replay("every:3", "tensorrt");
    assert_eq!(refused.status.code(), Some(1), "{}", errors(&refused));
}

#[test]
fn a_run_that_fails_on_the_device_ends_the_replay_with_its_words() {
    let Some(drive) = Drive::new("a_run_that_fails", 10, "FAULT=NOT_RUN") else { return };
    let failed = drive.replay("every:3", "tensorrt");
    assert_eq!(failed.status.code(), Some(1), "{}", errors(&failed));
    assert!(errors(&failed).contains("engine tensorrt failed"), "{}", errors(&failed));
}
