//! Plans of a network are built once and kept; one that does not fit any more is told, removed and built again. With a
//! stand-in for TensorRT's libraries and NVIDIA's driver.
#![cfg(feature = "tensorrt")]

#[path = "support/driver_on_host.rs"]
mod host_driver;
#[path = "support/standin.rs"]
mod standin;
mod support;

use host_driver::driver_on_host as driver;
use segfuse::engine::network::{Network, PlainOptions};
use segfuse::engine::tensorrt::{Gpu, Options, PlanStore, Plans, TensorRtGraphs};
use segfuse::sys::tensorrt::{HostMemory, Library, Stream};
use standin::{FAMILIES, tensorrt};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use support::names;

#[test]
fn the_three_graphs_of_a_network_run() {
    for family in FAMILIES {
        let Some(library) = opened("three graphs", family, "") else { return };
        let folder = tempfile::tempdir().expect("a folder");
        let (mut graphs, steps) = load(&library, folder.path());
        assert!(steps > 0, "plans are built");
        assert_eq!(graphs.image(), [1, 3, 384, 640]);
        assert_eq!((graphs.features(), graphs.residual()), ([1, 48, 48, 80], Some([1, 1, 96, 160])));
        assert_eq!(graphs.logits()[..2], [1, 19]);
        assert_eq!(graphs.runtime(), format!("TensorRT {}", library.version()));
        let memory = |shape: [usize; 4], first: u8| {
            let bytes = shape.iter().product::<usize>() * 2;
            let mut memory = HostMemory::new(&library, bytes).expect("a stand-in");
            memory.write(&[first, 0, first, 0]);
            memory
        };
        let [image, features, corrected] = [(graphs.image(), 1), (graphs.features(), 0), (graphs.features(), 0)]
            .map(|(shape, first)| memory(shape, first));
        let (residual, logits) = (memory(graphs.residual().expect("one"), 4), memory(graphs.logits(), 0));
        graphs.run_backbone(Stream::DEFAULT, image.span(), features.span()).expect("the backbone runs");
        assert_eq!(features.read()[..4], [1, 0x80, 1, 0x80]);
        graphs
            .run_correction(Stream::DEFAULT, (features.span(), image.span(), Some(residual.span())), corrected.span())
            .expect("the correction runs");
        assert_eq!(corrected.read()[..4], [4, 0, 4, 0]);
        graphs.run_head(Stream::DEFAULT, corrected.span(), logits.span()).expect("the head runs");
        assert_eq!(logits.read()[..4], [4, 0x80, 4, 0x80]);
        let told = graphs.run_correction(Stream::DEFAULT, (features.span(), image.span(), None), corrected.span());
        let told = told.expect_err("the residual is wanted").to_string();
        assert!(told.contains("'residual'"), "{told}");
        let told =
            graphs.run_head(Stream::DEFAULT, logits.span(), features.span()).expect_err("turned about").to_string();
        assert!(told.contains("tensorrt failed") && told.contains("bytes"), "{told}");
    }
}

#[test]
fn a_plan_is_built_once() {
    let Some(library) = opened("kept plans", 10, "") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    assert!(load(&library, folder.path()).1 > 0);
    let kept = names(folder.path());
    let starts: Vec<&str> = kept
        .iter()
        .filter_map(|name| {
            name.split_once('.').map(|(network, rest)| {
                if network == "tiny" { rest.split('.').next().unwrap_or_default() } else { network }
            })
        })
        .collect();
    assert_eq!(starts, ["tensorrt", "backbone", "correction", "head"], "{kept:?}");
    assert!(kept[1].ends_with(".tensorrt.orin--nvgpu.sm87.plan") && kept[0].ends_with(".timing"), "{kept:?}");
    assert_eq!(load(&library, folder.path()).1, 0, "nothing is built again");
}

#[test]
fn a_plan_of_another_version_or_a_damaged_one_is_told_and_built_again() {
    let Some(library) = opened("unfit plans", 10, "") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    load(&library, folder.path());
    let head = || {
        folder.path().join(names(folder.path()).into_iter().find(|name| name.starts_with("tiny.head")).expect("kept"))
    };
    let sound = fs::read(head()).expect("a plan");
    let spoil = |spoilt: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = sound.clone();
        spoilt(&mut bytes);
        bytes
    };
    let refused_by_the_library = {
        let text = String::from_utf8(sound.clone()).expect("the stand-in's plans are text");
        let old = text.split_once("}\n").expect("a heading").1;
        let new = old.replace("PLAN 100300", "PLAN 100299");
        let hash = |plan: &str| format!("{:016x}", xxhash_rust::xxh3::xxh3_64(plan.as_bytes()));
        text.replace(&hash(old), &hash(&new)).replace(old, &new)
    };
    for (what, bytes, told) in [
        ("a changed byte", spoil(&|bytes| *bytes.last_mut().expect("bytes") ^= 1), "damaged"),
        ("a cut one", spoil(&|bytes| bytes.truncate(bytes.len() - 1)), "cut"),
        ("nothing", vec![], "does not begin"),
        ("something else", b"ELF".to_vec(), "does not begin"),
        ("half a heading", spoil(&|bytes| bytes.truncate(40)), "no end"),
        (
            "another version's",
            String::from_utf8_lossy(&sound).replace("\"10.3.0\"", "\"10.2.0\"").into_bytes(),
            "it is for version 10.2.0, here is 10.3.0",
        ),
        ("one that TensorRT refuses", refused_by_the_library.into_bytes(), "not compatible with this version"),
    ] {
        fs::write(head(), bytes).expect("written");
        let log = logged(|| assert!(load(&library, folder.path()).1 > 0, "{what}: it is built again"));
        assert!(log.contains(told) && log.contains("tiny.head") && log.contains("building it again"), "{what}: {log}");
        assert_eq!(fs::read(head()).expect("a plan"), sound, "{what}");
    }
}

#[test]
fn a_kept_plan_stays_where_nothing_can_build_another() {
    let (Some(library), Some(driver)) = (tensorrt("stays", 10, ""), driver("stays")) else { return };
    let Some(newer) = tensorrt("stays", 10, "VERSION=101300") else { return };
    let (folder, alone) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    fs::copy(newer.join("libnvinfer.so.10"), alone.path().join("libnvinfer.so.10")).expect("a copy");
    told(&segfuse(&["engine", "build", "tiny"], folder.path(), &library, Some(&driver)), 0);
    let kept = names(folder.path());
    // A newer library, and no parser beside it to build with.
    let refused = told(&segfuse(&["engine", "build", "tiny"], folder.path(), alone.path(), Some(&driver)), 1);
    assert!(refused.contains("here is 10.13.0: building it again") && refused.contains("no ONNX parser"), "{refused}");
    assert_eq!(names(folder.path()), kept);
    // What is whole is taken also without a parser.
    fs::copy(library.join("libnvinfer.so.10"), alone.path().join("libnvinfer.so.10")).expect("a copy");
    let again = told(&segfuse(&["engine", "build", "tiny"], folder.path(), alone.path(), Some(&driver)), 0);
    assert_eq!(again.matches("was there").count(), 3, "{again}");
}

#[test]
fn a_plan_that_no_drive_could_load_is_told_as_it_is_built() {
    let Some(driver) = driver("unloadable") else { return };
    for (fault, words) in [
        ("FAULT=ODD_LAYOUT", "backbone: plan refused: 'image' is not laid out plane after plane"),
        ("FAULT=NO_ROOM", "backbone: no room for the plan"),
        ("FAULT=NO_RUNTIME", "createInferRuntime gave 0x0"),
    ] {
        let Some(library) = tensorrt("unloadable", 10, fault) else { return };
        let folder = tempfile::tempdir().expect("a folder");
        let told = told(&segfuse(&["engine", "build", "tiny"], folder.path(), &library, Some(&driver)), 1);
        assert!(told.contains(words), "{fault}: {told}");
    }
}

#[test]
fn a_plan_for_another_power_mode_or_under_another_name_is_seen() {
    let (Some(library), Some(driver)) = (tensorrt("modes", 10, ""), driver("modes")) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let run = |arguments: &[&str]| told(&segfuse(arguments, folder.path(), &library, Some(&driver)), 0);
    run(&["engine", "build", "tiny"]);
    let info = run(&["engine", "info"]);
    assert!(!info.contains("not for here"), "{info}");
    let path_of = |graph: &str| {
        let found = names(folder.path()).into_iter().find(|name| name.contains(graph));
        folder.path().join(found.expect("a plan of each graph"))
    };
    let head = fs::read_to_string(path_of(".head.")).expect("the stand-in's plans are text");
    fs::write(path_of(".head."), head.replace("\"multiprocessors\":1", "\"multiprocessors\":8")).expect("room");
    fs::write(path_of(".correction."), head).expect("room");
    let info = run(&["engine", "info"]);
    assert_eq!(info.matches("not for here").count(), 1, "{info}");
    assert!(info.contains("cannot be used: by its heading it is tiny.head."), "{info}");
    let log = warned(&segfuse(&["engine", "build", "tiny"], folder.path(), &library, Some(&driver)));
    assert!(log.contains("it is for multiprocessors 8, here is 1: building it again"), "{log}");
}

#[test]
fn a_configuration_whose_drives_take_no_plans_is_told() {
    let (Some(library), Some(driver)) = (tensorrt("no plans", 10, ""), driver("no plans")) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("vehicle.toml");
    let words = "a drive by this configuration takes no plans";
    for (engine, is_told) in [("device = \"cpu\"", true), ("runtime = \"rten\"", true), ("device = \"cuda\"", false)] {
        fs::write(&path, format!("network = \"tiny\"\n[engine]\n{engine}\n")).expect("room");
        let config = path.to_string_lossy();
        let log =
            segfuse(&["engine", "build", "--config", &config], &folder.path().join("plans"), &library, Some(&driver));
        assert_eq!(warned(&log).contains(words), is_told, "{engine}");
    }
}

#[test]
fn what_builds_have_measured_may_be_lost() {
    let (Some(library), Some(driver)) = (tensorrt("timings", 10, ""), driver("timings")) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let run = |arguments: &[&str]| warned(&segfuse(arguments, folder.path(), &library, Some(&driver)));
    run(&["engine", "build", "tiny"]);
    let timings = names(folder.path()).into_iter().find(|name| name.ends_with(".timing")).expect("timings");
    let timings = folder.path().join(timings);
    fs::remove_file(&timings).expect("it is there");
    fs::create_dir(&timings).expect("room");
    let log = run(&["engine", "build", "tiny", "--force"]);
    assert!(log.contains("going on without what earlier builds have measured"), "{log}");
    assert!(log.contains("what this build has measured is not kept") && log.contains(".timing"), "{log}");
}

#[test]
fn a_plan_is_kept_where_the_device_is_at_fault() {
    let (Some(sound), Some(full)) = (opened("devices", 10, ""), opened("devices", 10, "FAULT=NO_ROOM")) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    load(&sound, folder.path());
    let network = Network::from_folder("models/tiny".as_ref()).expect("a shipped network");
    let error = TensorRtGraphs::load(&network, &plans(&full, folder.path()), &|_| panic!("nothing is built"));
    let told = error.expect_err("no room").to_string();
    assert!(told.contains("backbone: no room for the plan: ") && told.contains("free device memory"), "{told}");
    assert_eq!(load(&sound, folder.path()).1, 0, "the plans are still there");
}

#[test]
fn another_version_of_the_library_builds_its_own_plans_in_their_place() {
    let (Some(older), Some(newer)) = (opened("versions", 10, ""), opened("versions", 10, "VERSION=101300")) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    load(&older, folder.path());
    let files = names(folder.path());
    let log = logged(|| assert!(load(&newer, folder.path()).1 > 0));
    for words in ["it is for version 10.3.0, here is 10.13.0", "timing cache refused"] {
        assert!(log.contains(words), "{words}: {log}");
    }
    assert_eq!(names(folder.path()), files);
    assert_eq!(load(&newer, folder.path()).1, 0);
}

#[test]
fn a_network_without_half_precision_is_told_what_to_do() {
    let Some(library) = opened("no halves", 10, "") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let plain = Network::from_onnx("tests/data/networks/plain_of_7_classes.onnx".as_ref(), &PlainOptions::default());
    let plain =
        plain.or_else(|_| Network::from_onnx("tests/data/networks/plain.onnx".as_ref(), &PlainOptions::default()));
    let told = plans(&library, folder.path()).build(&plain.expect("a plain network"), false, &|_| true);
    let told = told.expect_err("no half-precision graphs").to_string();
    assert!(told.contains("backbone.fp16.onnx") && told.contains("segfuse_train export"), "{told}");
}

#[test]
fn the_command_builds_once_and_tells_what_it_did() {
    for family in FAMILIES {
        let (Some(library), Some(driver)) = (tensorrt("the command", family, ""), driver("the command")) else {
            return;
        };
        let folder = tempfile::tempdir().expect("a folder");
        let build = |more: &[&str]| {
            segfuse(&[&["engine", "build", "tiny"], more].concat(), folder.path(), &library, Some(&driver))
        };
        let first = told(&build(&[]), 0);
        for graph in ["backbone", "head", "correction"] {
            assert!(
                first.contains(&format!("tiny {graph}: TensorRT {family}."))
                    && first.contains("Orin (nvgpu), compute capability 8.7: built"),
                "{first}"
            );
        }
        assert_eq!(told(&build(&[]), 0).matches("was there").count(), 3);
        assert_eq!(told(&build(&["--force"]), 0).matches(": built").count(), 3);
        let small = told(&build(&["--workspace-mib", "1", "--force"]), 0);
        assert_eq!(small.matches(": built").count(), 3);
        let info = told(&segfuse(&["engine", "info"], folder.path(), &library, Some(&driver)), 0);
        for words in [
            "GPU        Orin (nvgpu), compute capability 8.7, 8.0 GiB; driver for CUDA 12.6",
            "parser     builds plans",
            "runtime    loads plans",
            "plans      3 in",
            &format!("libnvinfer.so.{family}"),
        ] {
            assert!(info.contains(words), "{words}: {info}");
        }
        assert!(!info.contains("not for here"), "{info}");
        let json = told(&segfuse(&["engine", "info", "--json"], folder.path(), &library, Some(&driver)), 0);
        let json: serde_json::Value = serde_json::from_str(&json).expect("JSON alone");
        assert_eq!((json["plans"].as_array().map(Vec::len), &json["plans"][0]["fits"]), (Some(3), &true.into()));
        assert_eq!(json["device"]["found"]["compute_capability"], "8.7");
        let Some(newer) = tensorrt("the command", family, &format!("VERSION={family}9900")) else { return };
        let info = told(&segfuse(&["engine", "info"], folder.path(), &newer, Some(&driver)), 0);
        assert_eq!(info.matches("not for here").count(), 3, "{info}");
    }
}

#[test]
fn the_command_tells_what_is_missing() {
    let (Some(library), Some(one)) = (tensorrt("faults", 10, ""), driver("faults")) else { return };
    let Some(no_runtime) = tensorrt("faults", 10, "FAULT=NO_RUNTIME") else { return };
    let Some(odd_runtime) = tensorrt("faults", 11, "FAULT=ODD_RUNTIME") else { return };
    let empty = tempfile::tempdir().expect("a folder");
    let plans = empty.path().join("plans");
    let nowhere = empty.path().to_owned();
    for (what, library, driver, gpus, words) in [
        (
            "no driver",
            &library,
            None,
            "1",
            &["no NVIDIA driver: libcuda.so.1", "JetPack", "library    TensorRT 10"][..],
        ),
        (
            "no device",
            &library,
            Some(&*one),
            "0",
            &["the NVIDIA driver finds no GPU to use (CUDA_ERROR_NO_DEVICE", "nvidia-smi"],
        ),
        ("no library", &nowhere, Some(&*one), "1", &["no TensorRT library", "libnvinfer.so.10", "JetPack"]),
        ("no runtime", &no_runtime, Some(&*one), "1", &["createInferRuntime gave 0x0", "error: 35"]),
        ("an odd runtime", &odd_runtime, Some(&*one), "1", &["createInferRuntime gave 0x228"]),
    ] {
        let mut info = command(&["engine", "info"], &plans, library, driver);
        let info = told(&info.env("STANDIN_DEVICES", gpus).output().expect("the program starts"), 1);
        for words in words.iter().chain(&["MISSING", "networks cannot run by TensorRT here"]) {
            assert!(info.contains(words), "{what}: {words}: {info}");
        }
    }
    for (what, library, driver, gpus, words) in [
        ("no driver", &library, None, "1", "no NVIDIA driver"),
        ("no device", &library, Some(&*one), "0", "finds no GPU"),
        ("no library", &nowhere, Some(&*one), "1", "no TensorRT library"),
    ] {
        let mut build = command(&["engine", "build", "tiny"], &plans, library, driver);
        let told = told(&build.env("STANDIN_DEVICES", gpus).output().expect("the program starts"), 1);
        assert!(told.contains(words), "{what}: {told}");
    }
    let build = |more: &[&str], status| {
        told(&segfuse(&[&["engine", "build", "tiny"], more].concat(), &plans, &library, Some(&one)), status)
    };
    assert!(build(&["--compute-capability", "big"], 2).contains("'big' is no compute capability"));
    let told = build(&["--compute-capability", "8.9"], 1);
    assert!(told.contains("TensorRT 10.3.0 (TensorRT) does not build for compute capability 8.9"), "{told}");
    assert!(told.contains("only TensorRT-RTX builds for GPUs that are elsewhere"), "{told}");
}

#[test]
fn a_plan_stays_until_the_new_one_is_whole() {
    let (Some(library), Some(driver)) = (tensorrt("forced", 10, ""), driver("forced")) else { return };
    let Some(broken) = tensorrt("forced", 10, "FAULT=NO_PLAN") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    told(&segfuse(&["engine", "build", "tiny"], folder.path(), &library, Some(&driver)), 0);
    let kept = names(folder.path());
    told(&segfuse(&["engine", "build", "tiny", "--force"], folder.path(), &broken, Some(&driver)), 1);
    assert_eq!(names(folder.path()), kept);
    let again = told(&segfuse(&["engine", "build", "tiny"], folder.path(), &library, Some(&driver)), 0);
    assert_eq!(again.matches("was there").count(), 3, "{again}");
}

#[test]
fn what_is_no_plain_file_is_told_and_nobody_waits_for_it() {
    let (Some(library), Some(driver)) = (tensorrt("pipes", 10, ""), driver("pipes")) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    told(&segfuse(&["engine", "build", "tiny"], folder.path(), &library, Some(&driver)), 0);
    let is_head = |path: &PathBuf| path.to_string_lossy().contains(".head.");
    let paths = names(folder.path()).into_iter().map(|name| folder.path().join(name));
    let head = paths.into_iter().find(is_head).expect("a plan of the head");
    fs::remove_file(&head).expect("it is there");
    fs::create_dir(&head).expect("room");
    let pipe = folder.path().join("pipe.plan");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo is there").success());
    let info = told(&segfuse(&["engine", "info"], folder.path(), &library, Some(&driver)), 0);
    assert_eq!(info.matches("it is no plain file").count(), 2, "{info}");
    let build = told(&segfuse(&["engine", "build", "tiny"], folder.path(), &library, Some(&driver)), 1);
    assert!(build.contains("it is no plain file: move it away") && build.contains(".head."), "{build}");
}

#[test]
fn an_empty_variable_is_taken_for_one_that_is_not_set() {
    let cache = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_segfuse"));
    command.args(["engine", "info"]).env("SEGFUSE_PLANS", "").env("SEGFUSE_TENSORRT_LIBRARIES", "");
    let output = command.env_remove("CACHE_DIRECTORY").env("XDG_CACHE_HOME", cache.path()).output().expect("it starts");
    let told = String::from_utf8_lossy(&output.stdout);
    let folder = cache.path().join("segfuse/plans");
    assert!(told.contains(&*folder.to_string_lossy()) && !told.contains("no such folder"), "{told}");
}

#[test]
fn plans_that_cannot_be_kept_are_told_with_the_folder() {
    let (Some(library), Some(driver)) = (tensorrt("folders", 10, ""), driver("folders")) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, "text").expect("a file");
    let told = told(&segfuse(&["engine", "build", "tiny"], &file, &library, Some(&driver)), 1);
    assert!(told.contains(&*file.to_string_lossy()) && told.contains("SEGFUSE_PLANS"), "{told}");
}

/// Objects that are left end the process with 70: so every command above that ended with 0 or 1 left none.
#[test]
fn an_object_that_is_not_freed_is_found_out() {
    let (Some(library), Some(driver)) = (tensorrt("leaks", 10, "FAULT=LEAK"), driver("leaks")) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let told = told(&segfuse(&["engine", "info"], folder.path(), &library, Some(&driver)), 70);
    assert!(told.contains("1 objects are left"), "{told}");
}

fn opened(test: &str, family: u32, define: &str) -> Option<Arc<Library>> {
    Some(Library::open(Some(&tensorrt(test, family, define)?)).expect("a stand-in"))
}

fn plans(library: &Arc<Library>, folder: &Path) -> Plans {
    let capability = "8.7".parse().expect("one");
    let gpu = Gpu { name: "Orin (nvgpu)".into(), capability, multiprocessors: Some(8) };
    Plans::new(Arc::clone(library), gpu, PlanStore::new(Some(folder)).expect("a folder"), Options::default())
}

/// The shipped `tiny`, and how many steps of building were told.
fn load(library: &Arc<Library>, folder: &Path) -> (TensorRtGraphs, usize) {
    let network = Network::from_folder("models/tiny".as_ref()).expect("a shipped network");
    let steps = AtomicUsize::new(0);
    let told = |_: segfuse::engine::tensorrt::BuildStep<'_>| {
        steps.fetch_add(1, Ordering::Relaxed);
        true
    };
    let graphs = TensorRtGraphs::load(&network, &plans(library, folder), &told).expect("plans");
    (graphs, steps.into_inner())
}

fn logged(work: impl FnOnce()) -> String {
    let lines = tempfile::NamedTempFile::new().expect("a file");
    let writer = std::sync::Mutex::new(lines.reopen().expect("the same file"));
    tracing::subscriber::with_default(tracing_subscriber::fmt().with_writer(writer).finish(), work);
    fs::read_to_string(lines.path()).expect("text")
}

fn segfuse(arguments: &[&str], plans: &Path, library: &Path, driver: Option<&Path>) -> Output {
    command(arguments, plans, library, driver).output().expect("the program starts")
}

/// With a driver that finds an Orin.
fn command(arguments: &[&str], plans: &Path, library: &Path, driver: Option<&Path>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_segfuse"));
    command.args(arguments).arg("--quiet").env("SEGFUSE_PLANS", plans).env("SEGFUSE_TENSORRT_LIBRARIES", library);
    // An empty folder hides a driver that this computer may have no better than the loader allows: it is asked first.
    command.env("LD_LIBRARY_PATH", driver.unwrap_or("/nowhere".as_ref()));
    let orin = [("NAME", "Orin (nvgpu)"), ("CAPABILITY", "87"), ("DRIVER", "12060"), ("MEMORY", "8589934592")];
    command.envs(orin.map(|(what, value)| (format!("STANDIN_{what}"), value)));
    command
}

/// What a command that is done has warned of.
fn warned(output: &Output) -> String {
    told(output, 0);
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn told(output: &Output, status: i32) -> String {
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(status), "{told}");
    if status == 0 { String::from_utf8_lossy(&output.stdout).into_owned() } else { told }
}
