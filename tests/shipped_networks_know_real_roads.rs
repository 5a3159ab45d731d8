//! The shipped networks are as good on real drives as their cards say, carried features nearly so, on every runtime.

#[path = "support/networks.rs"]
mod networks;
mod support;

use networks::{agreement, engine, key_mask, read_picture};
use segfuse::engine::cpu::RuntimeChoice::{Onnxruntime, Rten};
use segfuse::engine::network::Network;
use std::path::Path;
use support::{CamvidSequence, shared_data};

/// What a network must keep, in percent, over CamVid's 11 classes on 61 labelled frames at 15 Hz that no training has seen.
struct Expected {
    network: &'static str,
    /// Mean IoU of all classes.
    miou: f64,
    /// IoU of the weakest class, poles: less than a cell of the features wide.
    weakest: f64,
    /// Mean IoU at one key frame in five.
    carried: f64,
}

/// By how much the mean IoU at one key frame in five may be less than on each frame.
const MOST_LOSS: f64 = 0.5;

const EXPECTED: [Expected; 2] = [
    Expected { network: "small", miou: 70.0, weakest: 11.8, carried: 69.5 },
    Expected { network: "tiny", miou: 67.8, weakest: 10.4, carried: 67.5 },
];

#[test]
fn real_roads_are_known_and_carried_features_know_them_too() {
    let Some(data) = shared_data("real_roads_are_known_and_carried_features_know_them_too") else { return };
    let sequence = CamvidSequence::import(&data);
    for Expected { network, miou, weakest, carried: least } in EXPECTED {
        let [every, carried] = ["every:1", "every:5"].map(|schedule| sequence.scored(network, schedule));
        let [every_miou, carried_miou] = [&every, &carried].map(|found| found["miou"].as_f64().expect("a figure"));
        println!("{network}: {every_miou:.2} on each frame, {carried_miou:.2} carried over five");
        assert!(every_miou >= miou, "{network}: {every_miou}");
        assert!(carried_miou >= least, "{network}: {carried_miou} of {every_miou}");
        assert!(every_miou - carried_miou <= MOST_LOSS, "{network}: {carried_miou} of {every_miou}");
        let classes = every["per_class"].as_object().expect("IoU of classes");
        assert_eq!(classes.len(), 11);
        for (class, iou) in classes {
            assert!(iou.as_f64().is_some_and(|iou| iou >= weakest), "{network}: {class} {iou}");
        }
    }
}

#[test]
fn a_bound_on_labels_that_may_differ_needs_few_key_frames_and_loses_little() {
    let Some(data) = shared_data("a_bound_on_labels_that_may_differ_needs_few_key_frames_and_loses_little") else {
        return;
    };
    let sequence = CamvidSequence::import(&data);
    let espnet = data.join("networks/espnetv2_s2.0_city_512x1024.onnx").to_string_lossy().into_owned();
    for (network, schedule, fewer) in [("small", "adaptive:4.2%", 4), (&*espnet, "adaptive:8%", 5)] {
        let every = sequence.scored(network, "every:1")["miou"].as_f64().expect("a figure");
        let adaptive = sequence.scored(network, schedule)["miou"].as_f64().expect("a figure");
        let summary = sequence.summary();
        let keys = summary["keys"].as_u64().expect("a count");
        let shares = &summary["differing_percent"];
        println!("{network}: {every:.2} on each frame, {adaptive:.2} with {keys} key frames; {shares}");
        assert!(fewer * keys <= 61, "{network}: {keys} of 61 frames");
        assert!(every - adaptive <= MOST_LOSS, "{network}: {adaptive} of {every}");
        let [foretold, found] = ["foretold", "found"].map(|name| shares[name].as_f64().expect("a share in percent"));
        assert!((0.7..1.5).contains(&(found / foretold)), "{network}: {found} % differed, {foretold} % were expected");
    }
}

/// A plain network brings no correction: what came into view is filled in from its surroundings. Without that, one key frame
/// in ten loses 1.0, and 5.2 nine frames behind it.
#[test]
fn a_plain_network_leaves_no_trails_behind_things_that_move() {
    let Some(data) = shared_data("a_plain_network_leaves_no_trails_behind_things_that_move") else { return };
    let espnet = data.join("networks/espnetv2_s2.0_city_512x1024.onnx").to_string_lossy().into_owned();
    let found = CamvidSequence::import(&data).scored(&espnet, "every:10");
    let miou = found["miou"].as_f64().expect("a figure");
    let distances = found["per_distance"].as_array().expect("figures of distances");
    let mut all = distances.iter().map(|of| (of["miou"].as_f64().expect("a figure"), of["distance"].as_u64()));
    let worst = all.clone().map(|(miou, _)| miou).fold(f64::INFINITY, f64::min);
    println!("{miou:.2} over ten frames, {worst:.2} at the worst distance");
    assert!(all.any(|(_, distance)| distance == Some(9)));
    assert!(miou >= 64.1, "{miou}");
    assert!(worst >= 61.1, "{worst}");
}

#[test]
fn rten_and_onnxruntime_label_twenty_real_frames_alike() {
    let test = "rten_and_onnxruntime_label_twenty_real_frames_alike";
    let Some(data) = shared_data(test) else { return };
    let pictures = data.join("camvid/sequence_15hz/image");
    for name in EXPECTED.map(|expected| expected.network) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(name);
        let network = Network::from_folder(&folder).expect("a whole folder");
        let mut rten = engine(&network, Rten, 2, test).expect("rten is built in");
        let Some(mut other) = engine(&network, Onnxruntime, 2, test) else { return };
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for picture in support::names(&pictures).iter().step_by(3).take(20) {
            let image = read_picture(&pictures.join(picture));
            first.extend_from_slice(key_mask(&mut rten, &image).mask.labels());
            second.extend_from_slice(key_mask(&mut other, &image).mask.labels());
        }
        assert_eq!(first.len(), 20 * 480 * 360);
        let equal = agreement(&first, &second);
        println!("{name}: {:.4} % of labels are equal", 100.0 * equal);
        assert!(equal >= 0.999, "{name}: {equal}");
    }
}
