//! The list of trips that every engine has to answer alike, run by the CPU's two runtimes; the GPU runs it in
//! `tests/gpu_agrees_with_the_twins.rs`.

#[path = "support/conformance.rs"]
mod conformance;
#[path = "support/networks.rs"]
mod networks;

use conformance::{AGREEMENT, agreement, shipped, trips};
use segfuse::engine::cpu::RuntimeChoice::{Onnxruntime, Rten};

#[test]
fn onnxruntime_has_the_labels_of_rten() {
    let [tiny, _] = shipped();
    let Some(mut other) = networks::engine(&tiny, Onnxruntime, 2, "onnxruntime_has_the_labels_of_rten") else { return };
    let mut rten = networks::engine(&tiny, Rten, 2, "").expect("rten is built in");
    for trip in trips() {
        rten.set_camera(trip.calibration().as_ref()).expect("a camera");
        other.set_camera(trip.calibration().as_ref()).expect("a camera");
        let (mean, least) = agreement(&trip.masks(&mut other), &trip.masks(&mut rten));
        println!("{}: {:.3} % of labels equal, of a mask {:.3} % at least", trip.what, mean * 100.0, least * 100.0);
        assert!(mean >= AGREEMENT, "{}: {mean}", trip.what);
    }
}
