//! The network folder in the repository is complete, unchanged since its export, and of the shapes it states.

use rten_tensor::NdTensor;
use rten_tensor::prelude::*;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/tiny")
}

fn description() -> toml::Table {
    fs::read_to_string(folder().join("model.toml")).expect("model.toml").parse().expect("TOML")
}

#[test]
fn every_file_has_the_hash_that_the_model_states() {
    let files = description()["files"].as_table().expect("[files]").clone();
    assert_eq!(files.len(), 2);
    for (name, stated) in files {
        let digest = Sha256::digest(fs::read(folder().join(&name)).expect(&name));
        let hex = format!("{digest:x}");
        assert_eq!(Some(hex.as_str()), stated.as_str(), "{name}");
    }
}

#[test]
fn the_graphs_run_and_have_the_shapes_that_the_model_states() {
    let model = description();
    let number = |table: &str, key: &str| model[table][key].as_integer().expect(key) as usize;
    let (rows, cols) = (number("input", "rows"), number("input", "cols"));
    let (channels, stride) = (number("features", "channels"), number("features", "stride"));
    let image = NdTensor::<f32, 4>::full([1, 3, rows, cols], 0.5);
    let features = run("backbone.onnx", ("image", "features"), &image);
    assert_eq!(features.shape(), [1, channels, rows / stride, cols / stride]);
    let logits = run("head.onnx", ("features", "logits"), &features);
    assert_eq!(logits.shape(), [1, 19, rows / stride, cols / stride]);
    assert!(logits.iter().all(|logit| logit.is_finite()));
}

fn run(file: &str, (source, target): (&str, &str), input: &NdTensor<f32, 4>) -> NdTensor<f32, 4> {
    let model = rten::Model::load_file(folder().join(file)).expect(file);
    let (source, target) = (model.node_id(source).expect(source), model.node_id(target).expect(target));
    let mut outputs = model.run(vec![(source, input.view().into())], &[target], None).expect(file);
    outputs.remove(0).try_into().expect("four dimensions of f32")
}

#[test]
fn the_folder_stays_small_enough_to_be_embedded() {
    let sizes = fs::read_dir(folder()).expect("models/tiny").map(|entry| entry.expect("readable").metadata());
    let total: u64 = sizes.map(|metadata| metadata.expect("readable").len()).sum();
    assert!(total <= 1 << 20, "{total} bytes");
}
