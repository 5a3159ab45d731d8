//! `segfuse network import` makes a folder of an ONNX file that gives the same masks, or says why not and leaves nothing.

#[path = "support/networks.rs"]
mod networks;
#[path = "support/onnx_graphs.rs"]
mod onnx_graphs;
mod support;

use networks::{agreement, key_mask, picture};
use segfuse::data::Size;
use segfuse::engine::cpu::{Config, CpuEngine, RuntimeChoice};
use segfuse::engine::network::{Chain, Network, PlainOptions};
use std::path::{Path, PathBuf};
use support::{segfuse, segfuse_ok, shared_data};

/// A folder for one test's files.
struct Bench(tempfile::TempDir);

impl Bench {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The small network made by `make`.
    fn network(&self, make: fn(&Path)) -> PathBuf {
        let path = self.path("net.onnx");
        make(&path);
        path
    }

    /// What lies in it, hidden files too.
    fn entries(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).expect("readable");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

/// The arguments that import `onnx` into `out` with rten.
fn import<'a>(onnx: &'a Path, out: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    [&["network", "import", text(onnx), "--out", text(out), "--engine", "rten"], more].concat()
}

/// The mask of a picture by the network at `path`, a plain file interpolated as folders are.
fn mask(path: &Path) -> Vec<u8> {
    let fine = PlainOptions { chain: Chain::Fine, ..PlainOptions::default() };
    let network = Network::open(path, &fine).expect("a network");
    let config = Config { runtime: RuntimeChoice::Rten, ..Config::default() };
    let mut engine = CpuEngine::new(&network, &config).expect("rten runs it");
    key_mask(&mut engine, &picture(Size::new(320, 240))).mask.labels().to_vec()
}

fn model(folder: &Path) -> toml::Table {
    std::fs::read_to_string(folder.join("model.toml")).expect("model.toml").parse().expect("TOML")
}

#[test]
fn a_branching_network_is_split_where_the_least_is_carried_and_gives_the_same_masks() {
    let bench = Bench::new();
    let (onnx, out) = (bench.network(onnx_graphs::branching), bench.path("net"));
    let told = segfuse_ok(&import(&onnx, &out, &["--name", "bent \"twig\""]));
    assert!(told.contains("split at    features\n") && told.contains("100.00 % of labels equal"), "{told}");
    let model = model(&out);
    assert_eq!(model["name"].as_str(), Some("bent \"twig\""));
    assert_eq!(model["features"].to_string(), "{ channels = 8, stride = 4 }");
    assert_eq!(model["input"]["mean"].to_string(), "[0.485, 0.456, 0.406]");
    assert!(model.get("logits").is_none(), "{model}");
    assert_eq!(mask(&onnx), mask(&out));
    assert_eq!(bench.entries(), ["net", "net.onnx"]);
}

#[test]
fn any_cut_can_be_named_also_one_before_a_shape_node_was_read() {
    let bench = Bench::new();
    let onnx = bench.network(onnx_graphs::branching);
    for (tensor, channels, stride) in [("half", 6, 2), ("fine", 12, 4), ("both", 24, 4)] {
        let out = bench.path(tensor);
        segfuse_ok(&import(&onnx, &out, &["--split-at", tensor]));
        let model = model(&out);
        let expected = format!("{{ channels = {channels}, stride = {stride} }}");
        assert_eq!(model["features"].to_string(), expected, "{tensor}");
        assert_eq!(mask(&onnx), mask(&out), "{tensor}");
    }
}

#[test]
fn an_enlargement_at_the_end_is_left_off_unless_it_is_to_be_kept() {
    let bench = Bench::new();
    let aligned = bench.network(onnx_graphs::enlarging);
    let centred = networks::networks().join("plain.onnx");
    // Labels of the parts and of the whole are compared on the whole's own grid, where centred samples coincide.
    for (case, onnx, words, least) in
        [("aligned", aligned, ["half a cell", "left off"], 0.9), ("centred", centred, ["exactly so", "100.00 %"], 0.99)]
    {
        let (left_off, kept) = (bench.path(&format!("{case}-off")), bench.path(&format!("{case}-kept")));
        let told = segfuse_ok(&import(&onnx, &left_off, &[]));
        assert!(words.iter().all(|word| told.contains(word)), "{case}: {told}");
        let told = segfuse_ok(&import(&onnx, &kept, &["--keep-upsampling"]));
        assert!(!told.contains("left off") && told.contains("100.00 %"), "{case}: {told}");
        assert_ne!(model(&left_off).get("logits"), model(&kept).get("logits"), "{case}");
        assert_eq!(mask(&onnx), mask(&kept), "{case}");
        let share = agreement(&mask(&onnx), &mask(&left_off));
        assert!(share >= least, "{case}: {share}");
    }
}

#[test]
fn logits_on_another_grid_than_the_features_are_stated_and_decoded() {
    let bench = Bench::new();
    let (onnx, out) = (bench.network(onnx_graphs::enlarging), bench.path("net"));
    segfuse_ok(&import(&onnx, &out, &["--keep-upsampling", "--split-at", "half"]));
    assert_eq!(model(&out)["features"]["stride"].as_integer(), Some(2));
    segfuse_ok(&import(&onnx, &out, &["--keep-upsampling", "--split-at", "features", "--force"]));
    assert_eq!(model(&out)["logits"].to_string(), "{ stride = 2 }");
    assert_eq!(mask(&onnx), mask(&out));
    let wrong = std::fs::read_to_string(out.join("model.toml"))
        .expect("text")
        .replace("[logits]\nstride = 2", "[logits]\nstride = 5");
    std::fs::write(out.join("model.toml"), wrong).expect("written");
    let refused = segfuse(&["network", "check", text(&out)]);
    let errors = String::from_utf8_lossy(&refused.stderr);
    assert!(errors.contains("no multiple of logits.stride = 5"), "{errors}");
}

/// Case, file, further arguments, exit status, words of the message.
type Case<'a> = (&'a str, PathBuf, &'a [&'a str], i32, &'a [&'a str]);

#[test]
fn what_cannot_be_imported_is_told_and_leaves_nothing_behind() {
    let bench = Bench::new();
    let onnx = bench.network(onnx_graphs::branching);
    let broken = bench.path("broken.onnx");
    let whole = std::fs::read(&onnx).expect("readable");
    std::fs::write(&broken, &whole[..whole.len() / 2]).expect("written");
    let listed = |name: &str| networks::networks().join(name);
    let before = bench.entries();
    let cases: [Case; 14] = [
        ("a folder", networks::networks(), &[], 1, &["is a folder; name a file"]),
        ("no cut", onnx.clone(), &["--split-at", "coarse"], 2, &["way around it", "features  [1, 8, 12, 16]  1/4"]),
        ("no such tensor", onnx.clone(), &["--split-at", "nowhere"], 2, &["no such tensor", "Possible cuts", "both"]),
        ("the output", onnx.clone(), &["--split-at", "logits"], 2, &["the output itself"]),
        ("cut in half", broken, &[], 1, &["broken.onnx", "not a"]),
        ("free rows", listed("free_rows.onnx"), &[], 1, &["[1, 3, rows, 64]", "export it with a fixed size"]),
        ("another table", onnx.clone(), &["--network-classes", "camvid"], 1, &["19 classes", "has 11"]),
        ("no file", bench.path("nowhere.onnx"), &[], 1, &["nowhere.onnx", "cannot be read"]),
        ("an operator rten lacks", listed("unknown_operator.onnx"), &[], 1, &["LpPool"]),
        ("an empty name", onnx.clone(), &["--name", " "], 2, &["--name"]),
        ("a deviation of 0", onnx.clone(), &["--std", "0,1,1"], 2, &["--std", "three numbers from"]),
        ("a mean that is no number", onnx.clone(), &["--mean", "0,NaN,1"], 2, &["--mean", "three numbers"]),
        ("a negative scale", onnx.clone(), &["--scale=-1"], 2, &["--scale", "1e-6"]),
        ("too many threads", onnx, &["--threads", "1000"], 2, &["--threads"]),
    ];
    let mut faults = Vec::new();
    for (case, onnx, more, status, words) in cases {
        let output = segfuse(&import(&onnx, &bench.path("net"), more));
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.code() != Some(status) || !words.iter().all(|word| errors.contains(word)) {
            faults.push(format!("{case}: {:?}, expected {status} and {words:?}: {errors}", output.status.code()));
        }
        if bench.entries() != before {
            faults.push(format!("{case}: left {:?}", bench.entries()));
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn a_folder_is_replaced_only_when_asked_and_only_if_it_holds_nothing_else() {
    let bench = Bench::new();
    let (onnx, out) = (bench.network(onnx_graphs::branching), bench.path("net"));
    let refusal = |more: &[&str]| {
        let output = segfuse(&import(&onnx, &out, more));
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    segfuse_ok(&import(&onnx, &out, &[]));
    let (status, errors) = refusal(&["--split-at", "fine"]);
    assert!(status == Some(2) && errors.contains("--force"), "{status:?} {errors}");
    assert_eq!(model(&out)["features"]["channels"].as_integer(), Some(8));
    for file in ["correction.onnx", "correction.fp16.onnx"] {
        std::fs::write(out.join(file), "of the network before").expect("written");
    }
    segfuse_ok(&import(&onnx, &out, &["--split-at", "fine", "--force"]));
    assert!(!out.join("correction.onnx").exists());
    assert_eq!(model(&out)["features"]["channels"].as_integer(), Some(12));
    std::fs::write(out.join("notes.txt"), "mine").expect("written");
    let (status, errors) = refusal(&["--force"]);
    assert!(status == Some(2) && errors.contains("notes.txt"), "{status:?} {errors}");
    assert_eq!(bench.entries(), ["net", "net.onnx"]);
}

#[test]
fn an_imported_network_drives_a_replay() {
    let bench = Bench::new();
    let (onnx, out, drive) = (bench.network(onnx_graphs::branching), bench.path("net"), bench.path("drive.mcap"));
    segfuse_ok(&import(&onnx, &out, &[]));
    segfuse_ok(&["render", "--seconds", "0.2", "--size", "160x120", "--out", text(&drive)]);
    let summary = bench.path("run.json");
    let run = ["replay", text(&drive), "--network", text(&out), "--schedule", "every:2", "--summary", text(&summary)];
    segfuse_ok(&[&run[..], &["--engine", "rten", "--no-publish"]].concat());
    let summary = support::json(&summary);
    assert_eq!((summary["frames"].as_u64(), summary["published"].as_u64()), (Some(6), Some(6)), "{summary}");
}

#[test]
fn a_class_table_of_ones_own_goes_into_the_folder() {
    let bench = Bench::new();
    let (onnx, out, table) = (bench.network(onnx_graphs::branching), bench.path("net"), bench.path("mine.toml"));
    let own = segfuse::data::ClassTable::cityscapes().to_toml().replacen("cityscapes", "streets", 1);
    std::fs::write(&table, own).expect("written");
    segfuse_ok(&import(
        &onnx,
        &out,
        &["--network-classes", text(&table), "--channels", "bgr", "--scale", "1", "--std", "57,57,57"],
    ));
    std::fs::remove_file(&table).expect("removed");
    let network = Network::from_folder(&out).expect("a whole folder");
    assert_eq!(network.classes().name, "streets");
    assert_eq!(model(&out)["input"]["channels"].as_str(), Some("bgr"));
    assert!((network.input().std[0] - 57.0 / 255.0).abs() < 1e-6, "{:?}", network.input());
}

#[test]
fn published_networks_are_split_and_give_the_same_masks() {
    let Some(data) = shared_data("published_networks_are_split_and_give_the_same_masks") else { return };
    let bench = Bench::new();
    for name in ["espnetv2_s0.5_city_384x512", "espnetv2_s2.0_city_384x512"] {
        let onnx = data.join(format!("networks/{name}.onnx"));
        let (left_off, kept) = (bench.path(name), bench.path(&format!("{name}-kept")));
        let told = segfuse_ok(&import(&onnx, &left_off, &[]));
        assert!(told.contains("PRelu_output_0") && told.contains("left off"), "{told}");
        segfuse_ok(&import(&onnx, &kept, &["--keep-upsampling"]));
        assert_eq!(model(&kept)["logits"]["stride"].as_integer(), Some(1), "{name}");
        let whole = mask(&onnx);
        assert!(agreement(&whole, &mask(&kept)) >= 0.999, "{name}: {}", agreement(&whole, &mask(&kept)));
        // Aligned corners: without the enlargement samples lie up to half a cell apart at the borders.
        assert!(agreement(&whole, &mask(&left_off)) >= 0.98, "{name}: {}", agreement(&whole, &mask(&left_off)));
    }
}
