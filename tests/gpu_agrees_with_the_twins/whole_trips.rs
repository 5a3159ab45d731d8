//! Whole trips, by the engine on the GPU and by the CPU's.

use crate::conformance::{AGREEMENT, Trip, agreement, shipped, trips};
use crate::device::stream;
use segfuse::engine::cpu::{CpuEngine, RuntimeChoice};
use segfuse::engine::cuda::CudaEngine;
use segfuse::engine::network::Network;
use segfuse::engine::{Config, Engine};

fn rten() -> Config {
    Config { runtime: RuntimeChoice::Rten, ..Config::default() }
}

/// Answers `trips` with `network` on both; what did not agree.
fn compare(network: &Network, trips: &[Trip]) -> Vec<String> {
    compare_with(CudaEngine::new(network, &rten()).expect("there is a GPU"), network, trips)
}

fn compare_with(mut gpu: CudaEngine, network: &Network, trips: &[Trip]) -> Vec<String> {
    let mut cpu = CpuEngine::new(network, &rten().cpu()).expect("rten is built in");
    println!("{} on {}", network.name(), gpu.info().runtime);
    let compared = trips.iter().map(|trip| {
        cpu.set_camera(trip.calibration().as_ref()).expect("a camera");
        gpu.set_camera(trip.calibration().as_ref()).expect("a camera");
        let (mean, least) = agreement(&trip.masks(&mut gpu), &trip.masks(&mut cpu));
        let [mean_percent, least_percent] = [mean, least].map(|share| share * 100.0);
        let told =
            format!("{}: {mean_percent:.3} % of labels equal, of a mask {least_percent:.3} % at least", trip.what);
        println!("{}, {told}", network.name());
        (mean < AGREEMENT).then_some(told)
    });
    compared.flatten().collect()
}

#[test]
fn of_every_kind_have_the_labels_of_the_cpu() {
    if stream("whole_trips::of_every_kind").is_some() {
        let [tiny, _] = shipped();
        assert_eq!(compare(&tiny, &trips()), Vec::<String>::new());
    }
}

#[test]
fn with_the_default_network_have_the_labels_of_the_cpu() {
    if stream("whole_trips::with_the_default_network").is_some() {
        let [_, small] = shipped();
        assert_eq!(compare(&small, &trips()[..1]), Vec::<String>::new());
    }
}

#[test]
fn give_the_same_masks_with_and_without_cuda_graphs() {
    if stream("whole_trips::give_the_same_masks_with").is_none() {
        return;
    }
    let [tiny, _] = shipped();
    // Led by the motion, adaptive, overlapped.
    for trip in [1, 3, 4].map(|kind| trips().swap_remove(kind)) {
        let masks = |cuda_graphs| {
            let mut engine = CudaEngine::new(&tiny, &Config { cuda_graphs, ..rten() }).expect("there is a GPU");
            engine.set_camera(trip.calibration().as_ref()).expect("a camera");
            trip.masks(&mut engine)
        };
        assert!(masks(true) == masks(false), "{}: masks differ", trip.what);
    }
}

#[test]
fn give_the_same_masks_each_time() {
    if stream("whole_trips::give_the_same_masks").is_none() {
        return;
    }
    let ([tiny, _], trip) = (shipped(), &trips()[1]);
    let masks = || trip.masks(CudaEngine::new(&tiny, &rten()).expect("there is a GPU"));
    assert!(masks() == masks(), "two runs of a trip differ");
}

/// In half precision on the device, by plans that are built if they are not kept yet, held against single precision on the
/// CPU.
#[test]
#[cfg(feature = "tensorrt")]
fn by_tensorrt_have_the_labels_of_the_cpu() {
    use crate::conformance::configured;
    use segfuse::engine::EngineError;
    use segfuse::sys::tensorrt::Library;

    let test = "whole_trips::by_tensorrt";
    if stream(test).is_none() {
        return;
    }
    let config = Config { runtime: RuntimeChoice::Tensorrt, ..configured() };
    match Library::open(config.tensorrt_libraries.as_deref()) {
        Ok(library) if library.computes_on_the_host() => {
            return eprintln!("SKIPPED: {test}: a stand-in computes no labels");
        }
        Ok(_) => {}
        Err(error) => return eprintln!("SKIPPED: {test}: {error}"),
    }
    let kinds = trips();
    for (network, trips) in shipped().iter().zip([&kinds[..], &kinds[..1]]) {
        match CudaEngine::new(network, &config) {
            // Such as TensorRT-RTX on a GPU that it does not know.
            Err(EngineError::Unavailable { reason, .. }) => eprintln!("SKIPPED: {test}, {}: {reason}", network.name()),
            opened => {
                let engine = opened.unwrap_or_else(|error| panic!("{}: {error}", network.name()));
                assert_eq!(compare_with(engine, network, trips), Vec::<String>::new());
            }
        }
    }
}
