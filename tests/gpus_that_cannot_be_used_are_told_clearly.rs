//! What the program says and does where there is no driver, no GPU, or one that cannot be used: with the feature `cuda` by
//! a stand-in for the driver that plays each of these, without it by the plain program.

mod support;

#[cfg(feature = "cuda")]
#[path = "support/driver_on_host.rs"]
mod host_driver;

use std::process::{Command, Output};
use support::{json, segfuse_ok};

/// A second of a small drive, and where its replay's summary goes.
struct Drive(tempfile::TempDir);

impl Drive {
    fn new() -> Self {
        let drive = Self(tempfile::tempdir().expect("a temporary folder"));
        segfuse_ok(&[
            "render",
            "--size",
            "64x48",
            "--fps",
            "10",
            "--seconds",
            "0.5",
            "--out",
            &drive.path("drive.mcap"),
        ]);
        drive
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_string_lossy().into_owned()
    }

    /// Replays it on `device` with variables set.
    fn replay(&self, device: &str, variables: &[(&str, &str)]) -> Output {
        let (trip, summary) = (self.path("drive.mcap"), self.path("run.json"));
        let options = ["--device", device, "--network", "tiny", "--engine", "rten", "--summary", &summary, "--quiet"];
        let mut program = Command::new(env!("CARGO_BIN_EXE_segfuse"));
        program.args(["replay", &trip]).args(options).envs(variables.iter().copied());
        program.output().expect("it starts")
    }

    /// What the last replay says of its engine.
    fn engine(&self) -> String {
        json(self.path("run.json").as_ref())["engine"].as_str().expect("text").to_owned()
    }
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_cpu_is_taken_where_it_is_asked_for() {
    let drive = Drive::new();
    let output = drive.replay("cpu", &[]);
    assert!(output.status.success(), "{}", errors(&output));
    assert!(drive.engine().starts_with("rten"), "{}", drive.engine());
}

#[cfg(not(feature = "cuda"))]
mod without_the_feature {
    use super::{Drive, errors};

    #[test]
    fn cuda_is_refused_with_the_way_to_get_it_and_auto_is_the_cpu() {
        let drive = Drive::new();
        let refused = drive.replay("cuda", &[]);
        assert_eq!(refused.status.code(), Some(1));
        for word in ["built without it", "--features cuda", "docs/engines.md"] {
            assert!(errors(&refused).contains(word), "does not say '{word}': {}", errors(&refused));
        }
        let auto = drive.replay("auto", &[]);
        assert!(auto.status.success() && drive.engine().starts_with("rten"), "{}", errors(&auto));
        assert!(!errors(&auto).contains("processor"), "nothing is missing: {}", errors(&auto));
    }
}

#[cfg(feature = "cuda")]
mod with_the_feature {
    use super::{Command, Drive, errors, host_driver};
    use segfuse::sys::cuda::{CudaError, Device};

    #[test]
    fn each_absence_is_told_by_name_and_auto_goes_on_with_the_cpu() {
        let Some(folder) = host_driver::driver_on_host("each_absence_is_told_by_name") else { return };
        let folder = folder.to_string_lossy().into_owned();
        let drive = Drive::new();
        let mut faults = Vec::new();
        for (variable, value, told) in [
            ("STANDIN_DEVICES", "0", vec!["finds no GPU", "CUDA_ERROR_NO_DEVICE", "nvidia-smi"]),
            ("STANDIN_START", "802", vec!["finds no GPU", "nvidia-smi"]),
            ("STANDIN_START", "999", vec!["finds no GPU", "nvidia-smi"]),
            ("STANDIN_DRIVER", "11020", vec!["driver is too old", "knows CUDA 11.2", "need 12.0", "update the driver"]),
            ("STANDIN_REFUSES", "222", vec!["driver is too old", "CUDA_ERROR_UNSUPPORTED_PTX_VERSION", "SEGFUSE_NVCC"]),
            ("STANDIN_CAPABILITY", "72", vec!["compute capability 7.2", "9.0", "8.0 and newer"]),
        ] {
            let variables = [("LD_LIBRARY_PATH", &folder[..]), (variable, value)];
            let refused = drive.replay("cuda", &variables);
            if refused.status.code() != Some(1) {
                faults.push(format!("{variable}={value}: status {:?}", refused.status.code()));
            }
            for word in told.iter().filter(|word| !errors(&refused).contains(**word)) {
                faults.push(format!("{variable}={value}: does not say '{word}': {}", errors(&refused)));
            }
            let auto = drive.replay("auto", &variables);
            let times = errors(&auto).matches("using the processor").count();
            if !auto.status.success() || times != 1 || !drive.engine().starts_with("rten") {
                faults.push(format!("{variable}={value}, auto: {} times told\n{}", times, errors(&auto)));
            }
        }
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }

    /// A library of the driver's name with this source, in a folder of its own. `None`, said loudly, without a compiler.
    fn library(test: &str, source: &str) -> Option<tempfile::TempDir> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("driver.c");
        std::fs::write(&file, source).expect("room");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-o"]).arg(folder.path().join("libcuda.so.1")).arg(&file);
        match compiler.status() {
            Ok(status) => assert!(status.success()),
            Err(error) => {
                eprintln!("SKIPPED: {test}: no C compiler: {error}");
                return None;
            }
        }
        Some(folder)
    }

    #[test]
    fn a_library_that_is_no_driver_is_told_and_auto_goes_on_with_the_cpu() {
        let drive = Drive::new();
        for (source, told) in [
            ("int other(void) { return 0; }", "it has no cuDriverGetVersion"),
            ("int cuDriverGetVersion(int *v) { *v = 12060; return 0; }", "it has no cuCtxGetCurrent"),
            ("int cuDriverGetVersion(int *v) { return 34; }", "the stub of the CUDA toolkit"),
            ("int cuDriverGetVersion(int *v) { *v = 11040; return 0; }", "it knows CUDA 11.4"),
        ] {
            let Some(folder) = library("a_library_that_is_no_driver", source) else { return };
            let folder = folder.path().to_string_lossy().into_owned();
            let refused = drive.replay("cuda", &[("LD_LIBRARY_PATH", &folder)]);
            assert_eq!(refused.status.code(), Some(1), "{}", errors(&refused));
            assert!(errors(&refused).contains(told), "does not say '{told}': {}", errors(&refused));
            let auto = drive.replay("auto", &[("LD_LIBRARY_PATH", &folder)]);
            assert!(auto.status.success() && drive.engine().starts_with("rten"), "{}", errors(&auto));
        }
    }

    /// What the stand-in has is what this program calls: else its tests would not run.
    #[test]
    fn every_call_to_the_driver_is_looked_for_before_the_first_one() {
        let source = include_str!("cuda/driver_on_host.cpp");
        let names = source.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let is_call = |name: &&str| {
            name.strip_prefix("cu").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()))
                && source.contains(&format!("{name}("))
        };
        // The newer form of one that older drivers lack.
        let mut called: Vec<&str> = names.filter(is_call).filter(|name| *name != "cuEventElapsedTime_v2").collect();
        called.sort_unstable();
        called.dedup();
        called.retain(|name| *name != "cuDriverGetVersion");
        assert_eq!(called, segfuse::sys::cuda::DRIVER_CALLS);
    }

    #[test]
    fn failures_in_the_middle_of_the_work_end_the_run_and_say_at_which_step() {
        let Some(folder) = host_driver::driver_on_host("failures_in_the_middle") else { return };
        let folder = folder.to_string_lossy().into_owned();
        let drive = Drive::new();
        for (variable, value, told) in [
            ("STANDIN_MEMORY", "100000", "out of device memory"),
            ("STANDIN_FAULT", "warp_features_f16", "CUDA_ERROR_ILLEGAL_ADDRESS"),
        ] {
            for device in ["cuda", "auto"] {
                let failed = drive.replay(device, &[("LD_LIBRARY_PATH", &folder), (variable, value)]);
                assert_eq!(failed.status.code(), Some(1), "{variable}, {device}: {}", errors(&failed));
                assert!(errors(&failed).contains(told), "{variable}, {device}: {}", errors(&failed));
                assert!(!errors(&failed).contains("panicked"), "{variable}, {device}: {}", errors(&failed));
                assert!(!errors(&failed).contains("without CUDA graphs"), "{variable}, {device}: {}", errors(&failed));
            }
        }
    }

    #[test]
    fn the_gpu_is_taken_by_auto_where_there_is_one_and_shows_in_the_summary() {
        let Some(folder) = host_driver::driver_on_host("the_gpu_is_taken_by_auto") else { return };
        let folder = folder.to_string_lossy().into_owned();
        let drive = Drive::new();
        let output = drive.replay("auto", &[("LD_LIBRARY_PATH", &folder)]);
        assert!(output.status.success(), "{}", errors(&output));
        assert!(
            drive.engine().starts_with("cuda on stand-in on the host (no GPU), network by rten"),
            "{}",
            drive.engine()
        );
    }

    #[test]
    fn without_a_driver_that_is_said_with_the_remedy() {
        match Device::open(0) {
            Err(CudaError::NoDriver) => {
                let drive = Drive::new();
                let refused = drive.replay("cuda", &[]);
                assert_eq!(refused.status.code(), Some(1));
                assert!(
                    errors(&refused).contains("libcuda.so.1 cannot be loaded: install the driver"),
                    "{}",
                    errors(&refused)
                );
            }
            other => eprintln!("SKIPPED: without_a_driver_that_is_said: there is one: {:?}", other.map(|_| ())),
        }
    }
}
