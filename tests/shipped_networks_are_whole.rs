//! The network folders in the repository are complete, unchanged since their export, of the shapes they state, and small.

use rten_tensor::NdTensor;
use rten_tensor::prelude::*;
use segfuse::engine::network::Network;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

const SHIPPED: [&str; 2] = ["small", "tiny"];
const FILES: [&str; 6] =
    ["backbone.fp16.onnx", "backbone.onnx", "correction.fp16.onnx", "correction.onnx", "head.fp16.onnx", "head.onnx"];

fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models")
}

fn description(name: &str) -> toml::Table {
    fs::read_to_string(models().join(name).join("model.toml")).expect("model.toml").parse().expect("TOML")
}

#[test]
fn every_file_has_the_hash_that_the_model_states() {
    for name in SHIPPED {
        let stated = description(name)["files"].as_table().expect("[files]").clone();
        assert_eq!(stated.keys().collect::<Vec<_>>(), FILES, "{name}");
        for (file, stated) in stated {
            let digest = Sha256::digest(fs::read(models().join(name).join(&file)).expect(&file));
            assert_eq!(Some(format!("{digest:x}").as_str()), stated.as_str(), "{name}/{file}");
        }
    }
}

#[test]
fn the_graphs_run_and_have_the_shapes_that_the_model_states() {
    for name in SHIPPED {
        let model = description(name);
        let number = |table: &str, key: &str| model[table][key].as_integer().expect(key) as usize;
        let (rows, cols) = (number("input", "rows"), number("input", "cols"));
        let (channels, stride) = (number("features", "channels"), number("features", "stride"));
        assert_eq!((rows, cols, stride), (384, 640, 8), "{name}");
        let image = NdTensor::<f32, 4>::full([1, 3, rows, cols], 0.5);
        let features = run(name, "backbone.onnx", ("image", "features"), &image);
        assert_eq!(features.shape(), [1, channels, rows / stride, cols / stride]);
        let logits = run(name, "head.onnx", ("features", "logits"), &features);
        assert_eq!(logits.shape(), [1, 19, rows / stride, cols / stride]);
        assert!(channels <= 64 && logits.iter().all(|logit| logit.is_finite()), "{name}");
    }
}

fn run(name: &str, file: &str, (source, target): (&str, &str), input: &NdTensor<f32, 4>) -> NdTensor<f32, 4> {
    let model = rten::Model::load_file(models().join(name).join(file)).expect(file);
    let (source, target) = (model.node_id(source).expect(source), model.node_id(target).expect(target));
    let mut outputs = model.run(vec![(source, input.view().into())], &[target], None).expect(file);
    outputs.remove(0).try_into().expect("four dimensions of f32")
}

#[test]
fn a_shipped_folder_can_be_used_as_any_other() {
    for name in SHIPPED {
        let network = Network::from_folder(&models().join(name)).expect("a whole folder");
        assert_eq!((network.name(), network.classes().classes().len()), (name, 19));
    }
}

#[test]
fn all_of_models_stays_under_eight_mebibytes() {
    let files = walkdir::WalkDir::new(models()).into_iter().map(|entry| entry.expect("readable"));
    let total: u64 = files
        .map(|entry| entry.metadata().expect("readable"))
        .filter(std::fs::Metadata::is_file)
        .map(|m| m.len())
        .sum();
    assert!(total <= 8 << 20, "{total} bytes");
}
