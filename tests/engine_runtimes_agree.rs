//! Whichever runtime computes the network, on however many threads, the masks are the same.

use segfuse::data::Size;
use segfuse::engine::Engine;
use segfuse::engine::cpu::RuntimeChoice::{Onnxruntime, Rten};
use segfuse::engine::network::{Chain, Network, PlainOptions};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use tiny_networks::{agreement, engine, key_mask, networks, picture, read_picture, tiny};

#[path = "support/networks.rs"]
mod tiny_networks;

mod support;

fn plain() -> Network {
    Network::from_onnx(&networks().join("plain.onnx"), &PlainOptions::default()).expect("the test network is right")
}

/// The small real network, where it is.
fn espnet(test: &str, chain: Chain) -> Option<(Network, Vec<PathBuf>)> {
    let data = support::shared_data(test)?;
    let file = data.join("networks/espnetv2_s0.5_city_384x512.onnx");
    let network =
        Network::from_onnx(&file, &PlainOptions { chain, ..PlainOptions::default() }).expect("a right network");
    let frames = ["07959", "08019", "08079"];
    let path = |frame: &str| data.join(format!("camvid/sequence_15hz/image/0016E5_{frame}.png"));
    Some((network, frames.map(path).to_vec()))
}

#[test]
fn rten_and_onnxruntime_agree_on_the_tiny_networks() {
    let image = picture(Size::new(160, 120));
    for network in [tiny(), plain()] {
        let mut rten = engine(&network, Rten, 2, "").expect("rten is built in");
        let Some(mut other) = engine(&network, Onnxruntime, 2, "rten_and_onnxruntime_agree") else { return };
        let (first, second) = (key_mask(&mut rten, &image), key_mask(&mut other, &image));
        let classes: HashSet<u8> = first.mask.labels().iter().copied().collect();
        assert!(classes.len() > 2, "a mask of {classes:?} shows nothing");
        let equal = agreement(first.mask.labels(), second.mask.labels());
        assert!(equal >= 0.999, "{}: {equal}", network.name());
        assert!(other.info().runtime.starts_with("onnxruntime 1."), "{}", other.info().runtime);
    }
}

#[test]
fn the_number_of_threads_never_changes_a_mask() {
    let image = picture(Size::new(160, 120));
    for network in [tiny(), plain()] {
        for runtime in [Rten, Onnxruntime] {
            let masks = [1, 2, 3, 5].map(|threads| {
                let mut engine = engine(&network, runtime, threads, "the_number_of_threads")?;
                Some(key_mask(&mut engine, &image))
            });
            assert!(masks.iter().all(|mask| *mask == masks[0]), "{} {runtime:?}", network.name());
        }
    }
}

#[test]
fn rten_and_onnxruntime_agree_on_a_real_network_at_any_number_of_threads() {
    let test = "rten_and_onnxruntime_agree_on_a_real_network";
    let Some((network, frames)) = espnet(test, Chain::Common) else { return };
    let Some(mut reference) = engine(&network, Onnxruntime, 1, test) else { return };
    let mut others = [(Onnxruntime, 2), (Onnxruntime, 4), (Rten, 1), (Rten, 2), (Rten, 4)]
        .map(|(runtime, threads)| (runtime, threads, engine(&network, runtime, threads, test).expect("it is there")));
    let mut rten_masks: Vec<HashSet<u64>> = vec![HashSet::new(); frames.len()];
    for (frame, path) in frames.iter().enumerate() {
        let image = read_picture(path);
        let expected = key_mask(&mut reference, &image);
        for (runtime, threads, engine) in &mut others {
            let found = key_mask(engine, &image);
            if *runtime == Rten {
                rten_masks[frame].insert(found.mask.hash());
                let equal = agreement(expected.mask.labels(), found.mask.labels());
                assert!(equal >= 0.999, "{}: rten, {threads} threads: {equal}", path.display());
            } else {
                assert_eq!(found, expected, "{}: onnxruntime, {threads} threads", path.display());
            }
        }
    }
    assert!(rten_masks.iter().all(|masks| masks.len() == 1), "rten's masks depend on its threads");
}

#[test]
fn masks_equal_those_of_an_independent_chain_in_python() {
    let test = "masks_equal_those_of_an_independent_chain_in_python";
    for (chain, name) in [(Chain::Common, "common"), (Chain::Fine, "fine")] {
        let Some((network, frames)) = espnet(test, chain) else { return };
        let Some(expected) = python_masks(name, &network, &frames, test) else { return };
        let mut rten = engine(&network, Rten, 2, test).expect("rten is built in");
        let mut found = Vec::new();
        for path in &frames {
            found.extend_from_slice(key_mask(&mut rten, &read_picture(path)).mask.labels());
        }
        let equal = agreement(&expected, &found);
        println!("{name}: labels equal to the Python chain: {:.3} %", equal * 100.0);
        // OpenCV weighs bytes with 11 bits when it resizes them, so that one in some hundreds is rounded otherwise.
        assert!(equal >= if chain == Chain::Fine { 0.995 } else { 0.99 }, "{name}: {equal}");
    }
}

/// Labels of all frames from tests/data/reference_masks.py; `None`, said loudly, without Python's onnxruntime.
fn python_masks(chain: &str, network: &Network, frames: &[PathBuf], test: &str) -> Option<Vec<u8>> {
    let python = std::env::var_os("SEGFUSE_PYTHON").unwrap_or_else(|| "python3".into());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/reference_masks.py");
    let output = Command::new(python).arg(script).arg(chain).arg(network.path()).args(frames).output();
    match output {
        Ok(output) if output.status.success() => Some(output.stdout),
        Ok(output) if String::from_utf8_lossy(&output.stderr).contains("ModuleNotFoundError") => {
            eprintln!("SKIPPED: {test}: $SEGFUSE_PYTHON lacks numpy, opencv or onnxruntime");
            None
        }
        Ok(output) => panic!("{}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => {
            eprintln!("SKIPPED: {test}: no Python ($SEGFUSE_PYTHON): {error}");
            None
        }
    }
}
