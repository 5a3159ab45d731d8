//! A network that cannot be right is refused when it is opened, with what was expected, what is there and a remedy.

use segfuse::data::Size;
use segfuse::engine::cpu::{Config, CpuEngine, RuntimeChoice};
use segfuse::engine::network::{Network, PlainOptions};
use segfuse::engine::{Engine, EngineError};
use std::path::{Path, PathBuf};
use tiny_networks::networks;

#[path = "support/networks.rs"]
mod tiny_networks;

fn rten() -> Config {
    Config { runtime: RuntimeChoice::Rten, ..Config::default() }
}

/// Opens the ONNX file `name` and loads it into rten.
fn load_plain(name: &str) -> Result<CpuEngine, EngineError> {
    let network = Network::from_onnx(&networks().join(format!("{name}.onnx")), &PlainOptions::default())?;
    CpuEngine::new(&network, &rten())
}

fn refusal(result: Result<CpuEngine, EngineError>) -> String {
    result.err().map_or_else(|| "(accepted)".into(), |error| error.to_string())
}

/// Every case whose message lacks one of its words.
fn check(cases: Vec<(&str, String, &[&str])>) {
    let faults: Vec<String> = cases
        .into_iter()
        .filter(|(_, message, words)| !words.iter().all(|word| message.contains(word)))
        .map(|(case, message, words)| format!("{case}: {message}\n    lacks one of {words:?}"))
        .collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn plain_onnx_files_that_are_no_segmentation_network_are_refused() {
    let plain = |name: &str| refusal(load_plain(name));
    check(vec![
        ("7 classes", plain("plain_of_7_classes"), &["plain_of_7_classes.onnx", "7 classes", "has 19", "`classes`"]),
        ("7 classes, not stated", plain("plain_of_7_classes_unstated"), &["7 classes", "has 19"]),
        ("free rows", plain("free_rows"), &["[1, 3, rows, 64]", "fixed shape", "export it with a fixed size"]),
        ("two outputs", plain("two_outputs"), &["2 outputs, expected 1", "'a'", "'b'", "one output only"]),
        ("two inputs", plain("two_inputs"), &["2 inputs, expected 1", "'more'"]),
        ("arg-max inside", plain("arg_max"), &["'labels' [1, 1, 8, 8] int64", "float32"]),
        ("four colours", plain("four_channels"), &["[1, 3, rows, cols]", "[1, 4, 8, 8]"]),
        ("a classifier", plain("classification"), &["expected logits [1, 19, rows, cols]", "[1, 192]"]),
        ("an uneven grid", plain("uneven_grid"), &["42x56", "48x64", "whole fraction"]),
        ("no such file", plain("nowhere"), &["nowhere.onnx", "cannot be read"]),
    ]);
}

#[test]
fn operators_that_rten_lacks_or_computes_wrongly_are_refused_by_name() {
    let plain = |name: &str| refusal(load_plain(name));
    check(vec![
        ("cubic resize", plain("cubic_resize"), &["rten", "operator Resize (node '", "'cubic'", "onnxruntime"]),
        ("ConvInteger", plain("conv_integer"), &["operator ConvInteger", "pad", "onnxruntime"]),
        ("an unknown one", plain("unknown_operator"), &["rten 0.27 cannot run it", "LpPool", "onnxruntime"]),
    ]);
}

#[test]
fn files_that_are_not_onnx_are_refused_and_never_panic() {
    let folder = tempfile::tempdir().expect("a folder");
    let whole = std::fs::read(networks().join("plain.onnx")).expect("the test network");
    let open = |bytes: &[u8]| {
        let path = folder.path().join("network.onnx");
        std::fs::write(&path, bytes).expect("written");
        refusal(
            Network::from_onnx(&path, &PlainOptions::default()).and_then(|network| CpuEngine::new(&network, &rten())),
        )
    };
    check(vec![
        ("text", open(b"this is not a network\n"), &["not an ONNX file", "export"]),
        ("empty", open(b""), &["not an ONNX file"]),
        ("a PNG", open(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"), &["not an ONNX file"]),
    ]);
    for cut in (0..whole.len()).step_by(97) {
        assert_ne!(open(&whole[..cut]), "(accepted)", "cut at {cut}");
    }
    for place in (0..whole.len()).step_by(131) {
        let mut damaged = whole.clone();
        damaged[place] ^= 0x55;
        let _ = open(&damaged);
    }
}

/// A network folder that is right, to be spoilt.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().expect("a folder"));
        for file in ["backbone.onnx", "head.onnx"] {
            std::fs::copy(networks().join(file), folder.0.path().join(file)).expect("copied");
        }
        folder.write("model.toml", &tiny_networks::model_toml(folder.0.path()));
        folder
    }

    fn write(&self, file: &str, text: &str) {
        std::fs::write(self.0.path().join(file), text).expect("written");
    }

    /// Replaces `from` in model.toml.
    fn edit(self, from: &str, to: &str) -> Self {
        let text = std::fs::read_to_string(self.0.path().join("model.toml")).expect("model.toml");
        assert!(text.contains(from), "{from} is not in {text}");
        self.write("model.toml", &text.replace(from, to));
        self
    }

    fn open(&self) -> Result<CpuEngine, EngineError> {
        CpuEngine::new(&Network::from_folder(self.0.path())?, &rten())
    }
}

#[test]
fn network_folders_that_contradict_themselves_are_refused() {
    let missing = Folder::new();
    std::fs::remove_file(missing.0.path().join("head.onnx")).expect("removed");
    let no_toml = Folder::new();
    std::fs::remove_file(no_toml.0.path().join("model.toml")).expect("removed");
    let changed = Folder::new();
    std::fs::copy(networks().join("plain.onnx"), changed.0.path().join("head.onnx")).expect("copied");
    let classes = Folder::new();
    std::fs::copy(networks().join("head_of_7_classes.onnx"), classes.0.path().join("head.onnx")).expect("copied");
    classes.write("model.toml", &tiny_networks::model_toml(classes.0.path()));
    let edited = |from: &str, to: &str| refusal(Folder::new().edit(from, to).open());
    check(vec![
        ("head missing", refusal(missing.open()), &["head.onnx", "cannot be read"]),
        ("model.toml missing", refusal(no_toml.open()), &["model.toml", "no network folder"]),
        ("head changed", refusal(changed.open()), &["head.onnx: expected SHA-256", "got", "fetch it again"]),
        ("7 classes", refusal(classes.open()), &["head.onnx", "[1, 19, 6, 8]", "[1, 7, 6, 8]", "cityscapes"]),
        ("wrong rows", edited("rows = 48", "rows = 96"), &["backbone.onnx", "[1, 3, 96, 64]", "[1, 3, 48, 64]"]),
        ("wrong channels", edited("channels = 8", "channels = 9"), &["output", "[1, 9, 6, 8]", "[1, 8, 6, 8]"]),
        ("wrong stride", edited("stride = 8", "stride = 16"), &["[1, 8, 3, 4]", "[1, 8, 6, 8]"]),
        ("odd rows", edited("rows = 48", "rows = 50"), &["input.rows = 50", "stride = 8"]),
        ("zero stride", edited("stride = 8", "stride = 0"), &["features.stride = 0"]),
        ("absurd size", edited("rows = 48", "rows = 4800"), &["input.rows = 4800", "4096"]),
        ("zero std", edited("0.229", "0.0"), &["std"]),
        ("unknown key", edited("stride = 8", "stride = 8\nstrid = 8"), &["model.toml", "strid", "unknown field"]),
        ("unknown table", edited("cityscapes", "citiscapes"), &["citiscapes", "built in are"]),
        ("another file", edited("\"head.onnx\"", "\"neck.onnx\""), &["backbone.onnx, head.onnx", "neck.onnx"]),
        ("channel order", edited("\"rgb\"", "\"rbg\""), &["rbg", "rgb"]),
    ]);
}

#[test]
fn the_unspoilt_folder_works_from_disk_and_from_memory_alike() {
    let folder = Folder::new();
    let read = |file: &str| std::fs::read(folder.0.path().join(file)).expect("there");
    let (backbone, head, manifest) = (read("backbone.onnx"), read("head.onnx"), read("model.toml"));
    let manifest = String::from_utf8(manifest).expect("text");
    let files: [(&str, &[u8]); 2] = [("backbone.onnx", &backbone), ("head.onnx", &head)];
    let embedded = Network::from_embedded(&manifest, &files).expect("a right network");
    let on_disk = Network::open(folder.0.path(), &PlainOptions::default()).expect("a right network");
    assert_eq!(embedded.hash(), on_disk.hash());
    let error = Network::from_embedded(&manifest, &files[..1]).expect_err("no head").to_string();
    assert!(error.contains("'head.onnx' is missing"), "{error}");
    let image = tiny_networks::picture(Size::new(96, 72));
    let [first, second] = [&embedded, &on_disk].map(|network| {
        let mut engine = CpuEngine::new(network, &rten()).expect("it runs");
        let view = engine.observe(&image).expect("a picture");
        let features = engine.extract(&view).expect("features");
        engine.decode(&features, image.size()).expect("a mask")
    });
    assert_eq!(first, second);
    assert_eq!(first.mask.size(), image.size());
}

#[test]
fn how_a_plain_file_is_prepared_is_part_of_the_hash() {
    let open = |options: &PlainOptions| Network::open(&networks().join("plain.onnx"), options).expect("opens").hash();
    let plain = open(&PlainOptions::default());
    let scaled = PlainOptions { scale: 1.0, ..PlainOptions::default() };
    assert_eq!(plain, open(&PlainOptions::default()));
    assert_ne!(plain, open(&scaled));
}

#[test]
fn a_library_that_is_not_onnxruntime_is_refused_and_never_panics() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = folder.path().join("libonnxruntime.so");
    std::fs::write(&text, "not a library").expect("written");
    let cut = folder.path().join("cut.so");
    std::fs::write(&cut, b"\x7fELF\x02\x01\x01").expect("written");
    let half = folder.path().join("half.so");
    let whole = std::fs::read(this_program()).expect("it can be read");
    std::fs::write(&half, &whole[..whole.len() / 2]).expect("written");
    let empty = tempfile::tempdir().expect("a folder");
    let network = Network::from_onnx(&networks().join("plain.onnx"), &PlainOptions::default()).expect("opens");
    let load = |library: &Path, runtime: RuntimeChoice| {
        let config = Config { runtime, onnxruntime_library: Some(library.into()), threads: None };
        refusal(CpuEngine::new(&network, &config))
    };
    let named = RuntimeChoice::Onnxruntime;
    check(vec![
        ("text", load(&text, named), &["libonnxruntime.so is no shared library", "choose rten"]),
        ("text, in its folder", load(folder.path(), named), &["libonnxruntime.so is no shared library"]),
        ("text, auto", load(&text, RuntimeChoice::Auto), &["libonnxruntime.so is no shared library"]),
        ("cut", load(&cut, named), &["cut.so is cut", "choose rten"]),
        ("half of it", load(&half, named), &["half.so is cut: it has", "choose rten"]),
        ("an empty folder", load(empty.path(), named), &["holds no libonnxruntime.so*"]),
        ("nowhere", load(Path::new("/nowhere/lib.so"), named), &["/nowhere/lib.so", "cannot be read"]),
        ("another library", load(&this_program(), named), &["choose rten"]),
    ]);
}

/// An ELF file that is no onnxruntime.
fn this_program() -> PathBuf {
    std::env::current_exe().expect("a running program has a path")
}
