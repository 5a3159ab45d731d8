//! TensorRT, driven from loading to running and through every fault, with a stand-in for its libraries and no GPU.
#![cfg(feature = "tensorrt")]

#[path = "support/driver_on_host.rs"]
mod host_driver;
#[path = "support/standin.rs"]
mod standin;

use segfuse::sys::tensorrt::{
    BuildOptions, Built, Context, Element, Engine, HostMemory, Library, Runtime, Stream, TensorRtError, build,
};
use standin::{FAMILIES, SANITIZE, tensorrt};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

#[test]
fn a_graph_is_built_loaded_and_run() {
    for family in FAMILIES {
        let Some(library) = library("a graph", family, "") else { return };
        assert_eq!(library.version().major(), family as i32);
        let engine = loaded(&library, &correction());
        let told: Vec<String> = engine.tensors().iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "features [1, 48, 48, 80] f16",
                "image [1, 3, 384, 640] f16",
                "residual [1, 1, 96, 160] f16",
                "corrected [1, 48, 48, 80] f16"
            ]
        );
        assert_eq!(engine.device_bytes(), 123_456);
        let mut context = Context::new(&engine).expect("a context");
        for seed in [1, 2] {
            let memory = run(&library, &mut context, seed).expect("it runs");
            let [features, image, residual, corrected] = &memory[..] else { panic!("four tensors") };
            for at in [0, 1, 7_680, 15_359, 15_360, 184_319] {
                let word = |bytes: &Vec<u8>| {
                    u16::from_le_bytes([bytes[at * 2 % bytes.len()], bytes[at * 2 % bytes.len() + 1]])
                };
                assert_eq!(
                    word(corrected),
                    0x8000 ^ word(features) ^ word(image) ^ word(residual),
                    "{family} {seed} {at}"
                );
            }
        }
    }
}

#[test]
fn contexts_of_one_plan_run_apart_and_outlive_what_made_them() {
    for family in FAMILIES {
        let Some(library) = library("contexts", family, "") else { return };
        let engine = loaded(&library, &correction());
        let mut contexts = [Context::new(&engine).expect("a context"), Context::new(&engine).expect("another")];
        drop(engine);
        let [one, other] = contexts.each_mut().map(|context| run(&library, context, 5).expect("it runs"));
        assert_eq!(one, other);
    }
}

#[test]
fn a_free_axis_is_chosen_before_a_run_and_within_what_the_plan_allows() {
    for family in FAMILIES {
        let Some(library) = library("a free axis", family, "") else { return };
        let engine = loaded(&library, &fs::read("tests/data/networks/free_rows.onnx").expect("a test network"));
        let mut context = Context::new(&engine).expect("a context");
        let input = engine.tensors()[0].clone();
        assert_eq!((input.element, input.shape[2]), (Element::F32, -1), "{input}");
        let unset = run_on(&library, &mut context, &input.name, 64);
        assert!(unset.contains("not fixed"), "{unset}");
        let mut shape = input.shape.clone();
        shape[2] = 0;
        for refused in [&shape[..], &shape[..2], &[1; 9]] {
            let told = context.set_shape(&input.name, refused).expect_err("no such shape").to_string();
            assert!(told.contains(&input.name) && told.contains(&format!("{refused:?}")), "{told}");
        }
        shape[2] = 8;
        context.set_shape(&input.name, &shape).expect("a shape");
        assert_eq!(context.tensors()[0].shape, shape);
        let told = context.set_shape("colour", &shape).expect_err("no such tensor").to_string();
        assert!(told.contains("'colour'") && told.contains(&input.name), "{told}");
    }
}

#[test]
fn memory_of_another_size_or_none_is_told_before_anything_runs() {
    for family in FAMILIES {
        let Some(library) = library("memory", family, "") else { return };
        let mut context = Context::new(&loaded(&library, &correction())).expect("a context");
        let told = run_on(&library, &mut context, "image", 100);
        assert!(told.contains("'image'") && told.contains("1474560") && told.contains("100"), "{told}");
        let told = run_on(&library, &mut context, "image", 1_474_560);
        assert!(told.contains("'features'") && told.contains("no memory"), "{told}");
    }
}

#[test]
fn a_plan_that_is_damaged_or_of_another_version_is_refused_in_the_librarys_words() {
    for family in FAMILIES {
        let Some(library) = library("a plan", family, "") else { return };
        let runtime = Runtime::new(&library).expect("a runtime");
        for (plan, words) in [
            (&b"not a plan"[..], "Magic tag does not match"),
            (b"STAND-IN PLAN 100200\n0\n", "not compatible"),
            (b"", "Magic"),
        ] {
            let told = runtime.deserialize(plan, None).expect_err("no plan").to_string();
            assert!(told.contains(words) && told.contains("segfuse engine build"), "{told}");
        }
        drop(runtime);
    }
}

#[test]
fn an_operator_that_is_unknown_is_told_with_its_node() {
    for family in FAMILIES {
        let Some(library) = library("an operator", family, "") else { return };
        let onnx = fs::read("tests/data/networks/unknown_operator.onnx").expect("a test network");
        let Err(TensorRtError::OnnxRefused { faults, told }) = plain(&library, &onnx) else { panic!("it is refused") };
        assert_eq!((faults[0].node, faults[0].name.as_str(), faults[0].operator.as_str()), (1, "n1", "LpPool"));
        let error = TensorRtError::OnnxRefused { faults, told }.to_string();
        assert!(error.contains("node 1 'n1' (LpPool): No importer registered for op: LpPool"), "{error}");
        for broken in [&b"this is text"[..], b"", &onnx[..onnx.len() / 2]] {
            let told = plain(&library, broken).expect_err("no ONNX").to_string();
            assert!(told.contains("Failed to parse the ONNX model"), "{told}");
        }
    }
}

#[test]
fn a_build_that_fails_says_why() {
    for family in FAMILIES {
        let Some(library) = library("a build", family, "FAULT=NO_PLAN") else { return };
        let told = plain(&library, &correction()).expect_err("no plan").to_string();
        assert!(
            told.contains("Could not find any implementation for node conv0") && told.contains("--workspace-mib"),
            "{told}"
        );
        assert!(!told.contains("limit is low"), "warnings are left out where there are errors: {told}");
    }
}

#[test]
fn a_workspace_that_is_too_small_is_told() {
    for family in FAMILIES {
        let Some(library) = library("a workspace", family, "") else { return };
        let options = BuildOptions { workspace_bytes: Some(1000), ..BuildOptions::default() };
        let told = build(&library, &correction(), &[], &options, &|_| true).expect_err("no plan").to_string();
        assert!(told.contains("insufficient workspace"), "{told}");
        let options = BuildOptions { workspace_bytes: Some(1 << 20), ..options };
        build(&library, &correction(), &[], &options, &|_| true).expect("a plan");
    }
}

#[test]
fn a_build_is_told_step_by_step_and_can_be_given_up() {
    for family in FAMILIES {
        let Some(library) = library("steps", family, "") else { return };
        let steps = Mutex::new(Vec::new());
        let told = |step: segfuse::sys::tensorrt::Step<'_>| {
            steps.lock().expect("no panic").push((step.phase.to_owned(), step.done, step.of));
            true
        };
        build(&library, &correction(), &[], &BuildOptions::default(), &told).expect("a plan");
        let expected = [(0, 3), (1, 0), (2, 0), (3, 0)].map(|(done, of)| ("Building Engine".to_owned(), done, of));
        assert_eq!(*steps.lock().expect("no panic"), expected);
        let seen = AtomicUsize::new(0);
        let given_up = |_: segfuse::sys::tensorrt::Step<'_>| seen.fetch_add(1, Ordering::Relaxed) < 2;
        let error = build(&library, &correction(), &[], &BuildOptions::default(), &given_up).expect_err("given up");
        assert!(matches!(error, TensorRtError::Cancelled), "{error}");
        assert_eq!(seen.into_inner(), 3, "nothing goes on after it was given up");
    }
}

#[test]
fn a_panic_while_progress_is_told_ends_the_build_and_comes_through() {
    for family in FAMILIES {
        let Some(library) = library("a panic", family, "") else { return };
        let options = BuildOptions::default();
        let onnx = correction();
        let build = || build(&library, &onnx, &[], &options, &|_| panic!("out of ideas"));
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(build)).expect_err("it panics");
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"out of ideas"));
    }
}

#[test]
fn an_accelerator_is_for_family_10_and_a_gpu_that_is_not_here_for_rtx() {
    for family in FAMILIES {
        let Some(library) = library("an accelerator", family, "") else { return };
        let dla = BuildOptions { dla_core: Some(1), ..BuildOptions::default() };
        let built = build(&library, &correction(), &[], &dla, &|_| true);
        match (family, built) {
            (10, Ok(Built { plan, .. })) => {
                let runtime = Runtime::new(&library).expect("a runtime");
                runtime.deserialize(&plan, Some(1)).expect("a plan for the accelerator");
            }
            (11, Err(error @ TensorRtError::NoDla { .. })) => assert!(error.to_string().contains("11.4.0"), "{error}"),
            (_, other) => panic!("{family}: {other:?}"),
        }
        let third = BuildOptions { dla_core: Some(2), ..BuildOptions::default() };
        let told = build(&library, &correction(), &[], &third, &|_| true).expect_err("there are two").to_string();
        assert!(family == 11 || told.contains("finds no deep-learning accelerator (DLA) 2"), "{told}");
        let elsewhere = BuildOptions { capabilities: vec!["8.9".parse().expect("one")], ..BuildOptions::default() };
        let told = build(&library, &correction(), &[], &elsewhere, &|_| true).expect_err("not here").to_string();
        assert!(told.contains("8.9") && told.contains(&library.version().to_string()), "{told}");
    }
}

#[test]
fn without_an_accelerator_no_plan_for_one_is_built() {
    let Some(library) = library("no accelerator", 10, "FAULT=NO_DLA") else { return };
    let dla = BuildOptions { dla_core: Some(0), ..BuildOptions::default() };
    let error = build(&library, &correction(), &[], &dla, &|_| true).expect_err("there is none");
    assert!(matches!(error, TensorRtError::NoSuchDla { core: 0, .. }), "{error}");
    assert!(error.to_string().contains("leave --dla"), "{error}");
}

#[test]
fn a_plan_that_lays_its_tensors_out_otherwise_than_the_program_does_is_refused() {
    for family in FAMILIES {
        let Some(library) = library("a layout", family, "FAULT=ODD_LAYOUT") else { return };
        let plan = plain(&library, &correction()).expect("a plan").plan;
        let runtime = Runtime::new(&library).expect("a runtime");
        let told = runtime.deserialize(&plan, None).expect_err("it would be read wrongly").to_string();
        assert!(told.contains("plan refused: 'features' is not laid out plane after plane"), "{told}");
    }
}

#[test]
fn a_library_from_before_what_is_called_of_it_is_told() {
    let Some(library) = tensorrt("an old library", 10, "VERSION=100001") else { return };
    let told = Library::open(Some(&library)).expect_err("too old").to_string();
    assert!(told.contains("10.0.1") && told.contains("10.1 is the oldest"), "{told}");
    let Some(library) = tensorrt("an old library", 10, "VERSION=100100") else { return };
    Library::open(Some(&library)).expect("old enough");
}

#[test]
fn what_a_build_has_measured_serves_the_next_one_of_the_same_version() {
    for family in FAMILIES {
        let Some(library) = library("timings", family, "") else { return };
        let timings = plain(&library, &correction()).expect("a plan").timing_cache.expect("timings");
        let options = BuildOptions::default();
        build(&library, &correction(), &timings, &options, &|_| true).expect("the same again");
        let told = build(&library, &correction(), b"of yore", &options, &|_| true).expect_err("refused").to_string();
        assert!(told.contains("another version") && told.contains("remove it"), "{told}");
    }
}

#[test]
fn a_library_that_gives_no_object_is_told_by_name() {
    for (define, pointer, words) in [
        ("FAULT=NO_RUNTIME", "0x0", "CUDA initialization failure with error: 35"),
        ("FAULT=ODD_RUNTIME", "0x228", "gives no reason"),
    ] {
        for family in FAMILIES {
            let Some(library) = library("no object", family, define) else { return };
            let told = Runtime::new(&library).expect_err("no runtime").to_string();
            for words in ["createInferRuntime", pointer, words, "driver", &format!("libnvinfer.so.{family}")] {
                assert!(told.contains(words), "{words}: {told}");
            }
        }
    }
    for family in FAMILIES {
        let Some(library) = library("no object", family, "FAULT=NO_BUILDER") else { return };
        let told = plain(&library, &correction()).expect_err("no builder").to_string();
        assert!(told.contains("createInferBuilder gave 0x0") && told.contains("error: 100"), "{told}");
    }
}

#[test]
fn too_little_device_memory_is_told_with_what_is_wanted() {
    for family in FAMILIES {
        let Some(library) = library("memory", family, "FAULT=OUT_OF_MEMORY") else { return };
        let told = Context::new(&loaded(&library, &correction())).expect_err("no memory").to_string();
        assert!(told.contains("123456 bytes of device memory") && told.contains("OutOfMemory"), "{told}");
    }
}

#[test]
fn a_device_that_fails_in_a_run_is_told() {
    for family in FAMILIES {
        let Some(library) = library("a run", family, "FAULT=NOT_RUN") else { return };
        let mut context = Context::new(&loaded(&library, &correction())).expect("a context");
        let error = run(&library, &mut context, 1).expect_err("it fails");
        assert!(
            matches!(error, TensorRtError::NotRun { .. }) && error.to_string().contains("illegal memory access"),
            "{error}"
        );
    }
}

#[test]
fn a_library_that_is_missing_or_is_none_is_told() {
    let empty = tempfile::tempdir().expect("a folder");
    let told = Library::open(Some(empty.path())).expect_err("nothing there").to_string();
    for name in
        ["libnvinfer.so.10", "libnvinfer.so.11", "libtensorrt_rtx.so.1", "JetPack", "SEGFUSE_TENSORRT_LIBRARIES"]
    {
        assert!(told.contains(name), "{name}: {told}");
    }
    fs::write(empty.path().join("libnvinfer.so.10"), "text").expect("a file");
    let told = Library::open(Some(empty.path())).expect_err("no library").to_string();
    assert!(told.contains("libnvinfer.so.10: "), "{told}");
    let Some(driver) = host_driver::driver_on_host("another library") else { return };
    fs::copy(driver.join("libcuda.so.1"), empty.path().join("libnvinfer.so.10")).expect("a copy");
    let told = Library::open(Some(empty.path())).expect_err("another library").to_string();
    assert!(told.contains("getInferLibVersion") && told.contains("no TensorRT library"), "{told}");
}

#[test]
fn a_library_of_an_unknown_family_is_told() {
    let Some(library) = tensorrt("an unknown family", 10, "VERSION=90300") else { return };
    let told = Library::open(Some(&library)).expect_err("family 9").to_string();
    assert!(told.contains("9.3.0") && told.contains("scripts/tensorrt-headers"), "{told}");
}

#[test]
fn without_a_parser_plans_are_loaded_and_none_is_built() {
    for family in FAMILIES {
        let Some(folder) = tensorrt("no parser", family, "") else { return };
        let alone = tempfile::tempdir().expect("a folder");
        let name = format!("libnvinfer.so.{family}");
        fs::copy(folder.join(&name), alone.path().join(&name)).expect("a copy");
        let library = Library::open(Some(alone.path())).expect("a library");
        Runtime::new(&library).expect("a runtime");
        let told = plain(&library, &correction()).expect_err("no parser").to_string();
        assert!(told.contains("libnvonnxparser.so") && told.contains(&name) && told.contains("apt install"), "{told}");
    }
}

#[test]
fn what_the_library_logs_reaches_the_programs_log() {
    let lines = Lines::default();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).with_writer(lines.clone()).finish();
    tracing::subscriber::with_default(subscriber, || {
        for family in FAMILIES {
            let Some(library) = library("log lines", family, "") else { return };
            let runtime = Runtime::new(&library).expect("a runtime");
            let log = lines.take();
            assert!(log.contains("DEBUG tensorrt: a runtime is made") || log.contains("a runtime is made"), "{log}");
            drop(runtime.deserialize(b"no plan", None));
            let log = lines.take();
            assert!(!log.contains("WARN"), "what a failing call tells is not told twice: {log}");
        }
    });
}

/// Stand-ins that check themselves: what is used after it was freed ends the process.
#[test]
fn nothing_is_used_after_it_was_freed() {
    const NAME: &str = "nothing_is_used_after_it_was_freed";
    if std::env::var_os(SANITIZE).is_some() {
        return;
    }
    let Some(sanitizer) = standin::sanitizer() else {
        eprintln!("SKIPPED: {NAME}: the C++ compiler has no AddressSanitizer");
        return;
    };
    let mut tests = Command::new(std::env::current_exe().expect("this program"));
    tests.args(["--skip", NAME, "--test-threads", "1"]).env("LD_PRELOAD", sanitizer).env(SANITIZE, "1");
    // Libraries stay loaded, with a logger each, on purpose: leaks are counted by the stand-in itself. Its copies have
    // the same names in them.
    tests.env("ASAN_OPTIONS", "detect_leaks=0:detect_odr_violation=0:abort_on_error=1");
    let output = tests.output().expect("it starts");
    let told = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{told}", output.status);
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().expect("no panic"))).expect("text")
    }
}

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl tracing_subscriber::fmt::MakeWriter<'_> for Lines {
    type Writer = Self;
    fn make_writer(&self) -> Self {
        self.clone()
    }
}

fn library(test: &str, family: u32, define: &str) -> Option<Arc<Library>> {
    let folder = tensorrt(test, family, define)?;
    Some(Library::open(Some(&folder)).expect("a stand-in"))
}

fn correction() -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("models/tiny/correction.fp16.onnx")).expect("a shipped graph")
}

fn plain(library: &Library, onnx: &[u8]) -> Result<Built, TensorRtError> {
    build(library, onnx, &[], &BuildOptions::default(), &|_| true)
}

fn loaded(library: &Arc<Library>, onnx: &[u8]) -> Arc<Engine> {
    let built = plain(library, onnx).expect("a plan");
    Runtime::new(library).expect("a runtime").deserialize(&built.plan, None).expect("an engine")
}

/// Fills the inputs, runs, and gives what is in all tensors.
fn run(library: &Library, context: &mut Context, seed: u8) -> Result<Vec<Vec<u8>>, TensorRtError> {
    let tensors = context.tensors().to_vec();
    let memory: Vec<HostMemory> = tensors
        .iter()
        .enumerate()
        .map(|(index, tensor)| {
            let bytes = tensor.bytes().expect("fixed");
            let mut memory = HostMemory::new(library, bytes).expect("a stand-in");
            let values: Vec<u8> = (0..bytes).map(|at| (at * (index + 3)) as u8 ^ (at >> 8) as u8 ^ seed).collect();
            memory.write(&values);
            memory
        })
        .collect();
    let named: Vec<_> =
        tensors.iter().zip(&memory).map(|(tensor, memory)| (tensor.name.as_str(), memory.span())).collect();
    context.enqueue(Stream::DEFAULT, &named)?;
    Ok(memory.iter().map(HostMemory::read).collect())
}

/// Runs with `bytes` bytes for the tensor `name` alone; what is told.
fn run_on(library: &Library, context: &mut Context, name: &str, bytes: usize) -> String {
    let memory = HostMemory::new(library, bytes).expect("a stand-in");
    context.enqueue(Stream::DEFAULT, &[(name, memory.span())]).expect_err("it cannot run").to_string()
}
