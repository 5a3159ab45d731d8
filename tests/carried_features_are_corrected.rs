//! A network's correction looks at each frame between key frames and mends what was carried there, for that frame alone;
//! a key frame takes a share of what was carried and mended, where the picture agrees.

#[path = "support/networks.rs"]
mod tiny_networks;

use segfuse::data::{AlignedFrame, Frame, FrameId, Image, Origin, Perception, PixelFormat, Size, Stamp, VehicleState};
use segfuse::engine::cpu::RuntimeChoice::{self, Onnxruntime, Rten};
use segfuse::engine::cpu::{Config, CpuEngine};
use segfuse::engine::network::Network;
use segfuse::engine::{Decoded, Engine, EngineError};
use segfuse::perceive::{Perceive, Perceiver};
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::path::Path;
use tiny_networks::{agreement, engine, model_toml_with, networks, shifted_picture, tiny, tiny_with};

const SIZE: Size = Size::new(192, 144);

fn corrected() -> Network {
    tiny_with("correction.onnx").expect("the test network is right")
}

/// Frame `id` of a picture that moves 10 pixels to the right a frame.
fn frame(id: u64) -> Image {
    shifted_picture(SIZE, 10.0 * id as f32)
}

/// Four frames, the first of which is the only key frame with `every:4`.
fn perceive(engine: CpuEngine, schedule: &str) -> Vec<Perception> {
    perceive_pictures(engine, schedule, &[0, 1, 2, 3].map(frame))
}

fn perceive_pictures(engine: CpuEngine, schedule: &str, pictures: &[Image]) -> Vec<Perception> {
    let schedule = schedule.parse().expect("a schedule");
    let mut perceiver = Perceiver::new(engine, segfuse::perceive::Config { schedule, ..Default::default() });
    let all = (0..).zip(pictures).map(|(id, image)| {
        let stamp = Stamp::from_ns(id);
        let frame = Frame { id: FrameId(id), sequence: None, stamp, arrival: stamp, image: image.clone() };
        perceiver.perceive(&AlignedFrame { frame, state: VehicleState::default() }).expect("a mask")
    });
    all.collect()
}

fn drive(network: &Network, schedule: &str) -> Vec<Perception> {
    perceive(engine(network, Rten, 1, "").expect("rten is built in"), schedule)
}

fn labels(perceptions: &[Perception]) -> Vec<u8> {
    perceptions.iter().flat_map(|perception| perception.mask.labels().to_vec()).collect()
}

#[test]
fn a_correction_changes_the_frames_after_a_key_frame_and_not_the_key_frame() {
    let (plain, mended) = (drive(&tiny(), "every:4"), drive(&corrected(), "every:4"));
    assert_eq!(plain[0], mended[0]);
    for frame in [1, 2, 3] {
        let equal = agreement(plain[frame].mask.labels(), mended[frame].mask.labels());
        assert!(equal < 0.9, "frame {frame}: {equal}");
        assert_eq!(plain[frame].origin, mended[frame].origin);
    }
}

#[test]
fn a_correction_that_adds_nothing_gives_the_masks_of_the_network_without_one() {
    let nothing = tiny_with("correction_of_nothing.onnx").expect("the test network is right");
    for runtime in [Rten, Onnxruntime] {
        let test = "a_correction_that_adds_nothing";
        let (Some(plain), Some(mended)) = (engine(&tiny(), runtime, 1, test), engine(&nothing, runtime, 1, test))
        else {
            continue;
        };
        assert_eq!(perceive(plain, "every:4"), perceive(mended, "every:4"), "{runtime:?}");
    }
}

/// What frame 2 must be: frame 0's own features along the whole way, corrected by frame `shown` alone.
fn carried_by_hand(shown: u64) -> Decoded {
    let mut engine = engine(&corrected(), Rten, 1, "").expect("rten is built in");
    let views = [0, 1, 2].map(|id| engine.observe(&frame(id)).expect("a picture"));
    let features = engine.extract(&views[0]).expect("features");
    let first = engine.flow(&views[0], &views[1], None).expect("a flow");
    let second = engine.flow(&views[1], &views[2], None).expect("a flow");
    let both = engine.compose(&first, &second).expect("a flow");
    let carried = engine.propagate(&features, &both, &views[shown as usize]).expect("features");
    engine.decode(&carried, SIZE).expect("a mask")
}

#[test]
fn each_frame_is_corrected_by_itself_and_nothing_corrected_is_carried_on() {
    let found = &drive(&corrected(), "every:4")[2].mask;
    assert_eq!(*found, carried_by_hand(2).mask);
    assert_ne!(*found, carried_by_hand(1).mask, "this test cannot see which frame is looked at");
}

/// A still picture in which a bright square appears in frame 1 and stays.
fn square_appears() -> [Image; 4] {
    let still = shifted_picture(SIZE, 0.0);
    let mut bytes = still.bytes().to_vec();
    for (index, value) in bytes.iter_mut().enumerate() {
        if distance_from_square(index / 3) == 0 {
            *value = 255;
        }
    }
    let bright = Image::packed(still.format(), SIZE, bytes.into()).expect("three bytes a pixel");
    [still, bright.clone(), bright.clone(), bright]
}

/// Of pixel `index`, along rows or columns, whichever is more.
fn distance_from_square(index: usize) -> usize {
    const SIDE: usize = 48;
    let (row, col) = (index / SIZE.width as usize, index % SIZE.width as usize);
    let outside =
        |place: usize, first: usize| first.saturating_sub(place).max((place + 1).saturating_sub(first + SIDE));
    outside(row, 48).max(outside(col, 72))
}

/// Of the square's pixels and of those 40 and more from it: the share with another label in `one` than in `other`.
fn differing(one: &Perception, other: &Perception) -> [f64; 2] {
    let pairs = || one.mask.labels().iter().zip(other.mask.labels().iter()).enumerate();
    let share = |among: fn(usize) -> bool| {
        let chosen: Vec<bool> =
            pairs().filter(|(index, _)| among(*index)).map(|(_, (one, other))| one != other).collect();
        chosen.iter().filter(|differs| **differs).count() as f64 / chosen.len() as f64
    };
    [share(|index| distance_from_square(index) == 0), share(|index| distance_from_square(index) >= 40)]
}

#[test]
fn a_correction_that_asks_is_told_what_differs_from_the_key_frame_and_where() {
    let asking = tiny_with("correction_by_residual.onnx").expect("the test network is right");
    for runtime in [Rten, Onnxruntime] {
        let test = "a_correction_that_asks_is_told";
        let (Some(plain), Some(told)) = (engine(&tiny(), runtime, 1, test), engine(&asking, runtime, 1, test)) else {
            continue;
        };
        let [plain, told] = [plain, told].map(|engine| perceive_pictures(engine, "every:4", &square_appears()));
        let shares: Vec<_> = plain.iter().zip(&told).map(|(plain, told)| differing(plain, told)).collect();
        assert_eq!(plain[0], told[0], "a key frame is not corrected");
        for [near, far] in &shares[1..] {
            // In frames 2 and 3 too, which are as the frame before them: the features are the key frame's.
            assert!(*near > 0.5 && *far == 0.0, "{runtime:?}: {shares:?}");
        }
    }
}

#[test]
fn a_key_frame_takes_over_what_was_carried_and_mended_where_the_picture_agrees() {
    let [still, bright, ..] = square_appears();
    for runtime in [Rten, Onnxruntime] {
        let Some(one) = engine(&corrected(), runtime, 1, "a_key_frame_takes_over_what_was_carried") else { continue };
        let other = engine(&corrected(), runtime, 1, "").expect("it is there");
        let pictures = [still.clone(), still.clone(), bright.clone()];
        let (with_past, alone) =
            (perceive_pictures(one, "every:2", &pictures), perceive_pictures(other, "every:1", &pictures));
        assert_eq!((with_past[2].origin, alone[2].origin), (Origin::Key, Origin::Key));
        let [square, around] = differing(&with_past[2], &alone[2]);
        // The square's outer pixels lie between its cells and others.
        assert!(square < 0.2 && around > 0.9, "{runtime:?}: {square} of the square, {around} of the rest");
    }
}

#[test]
fn a_key_frame_that_shows_another_place_takes_nothing_over() {
    let one = engine(&corrected(), Rten, 1, "").expect("rten is built in");
    let other = engine(&corrected(), Rten, 1, "").expect("rten is built in");
    let inverted = Image::packed(
        PixelFormat::Rgb8,
        SIZE,
        shifted_picture(SIZE, 0.0).bytes().iter().map(|byte| byte.wrapping_add(128)).collect::<Vec<u8>>().into(),
    );
    let pictures = [frame(0), frame(0), inverted.expect("three bytes a pixel")];
    let (with_past, alone) =
        (perceive_pictures(one, "every:2", &pictures), perceive_pictures(other, "every:1", &pictures));
    let equal = agreement(with_past[2].mask.labels(), alone[2].mask.labels());
    assert!(equal > 0.98, "{equal}");
}

#[test]
fn the_file_may_list_its_inputs_in_any_order() {
    let image_first = tiny_with("correction_image_first.onnx").expect("the test network is right");
    for runtime in [Rten, Onnxruntime] {
        let test = "the_file_may_list_its_inputs_in_any_order";
        let Some(one) = engine(&corrected(), runtime, 1, test) else { continue };
        let other = engine(&image_first, runtime, 1, test).expect("it is there");
        assert_eq!(perceive(one, "every:4"), perceive(other, "every:4"), "{runtime:?}");
    }
}

#[test]
fn rten_and_onnxruntime_agree_on_corrected_masks() {
    let Some(other) = engine(&corrected(), Onnxruntime, 2, "rten_and_onnxruntime_agree_on_corrected_masks") else {
        return;
    };
    let equal = agreement(&labels(&drive(&corrected(), "every:4")), &labels(&perceive(other, "every:4")));
    assert!(equal >= 0.999, "{equal}");
}

#[test]
fn the_number_of_threads_never_changes_a_corrected_mask() {
    let masks = |runtime: RuntimeChoice, threads: usize| {
        let engine = engine(&corrected(), runtime, threads, "the_number_of_threads_never_changes_a_corrected_mask")?;
        Some(perceive(engine, "every:4"))
    };
    for runtime in [Rten, Onnxruntime] {
        let one = masks(runtime, 1);
        for threads in [2, 3, 5] {
            assert_eq!(masks(runtime, threads), one, "{runtime:?}, {threads} threads");
        }
    }
}

#[test]
fn a_network_without_a_correction_keeps_its_hash_and_one_with_it_has_another() {
    // As published with every mask of this network since before there were corrections.
    assert_eq!(format!("{:016x}", tiny().hash()), "8111bee6de7c627f");
    let nothing = tiny_with("correction_of_nothing.onnx").expect("the test network is right");
    let hashes = [tiny().hash(), corrected().hash(), nothing.hash()];
    assert!(hashes[0] != hashes[1] && hashes[1] != hashes[2] && hashes[0] != hashes[2], "{hashes:x?}");
}

#[test]
fn wrong_corrections_are_refused_with_what_was_expected_and_what_is_there() {
    let rten = Config { runtime: Rten, ..Config::default() };
    let open = |file: &str| tiny_with(file).and_then(|network| CpuEngine::new(&network, &rten));
    let cases: [(&str, &[&str]); 9] = [
        ("backbone", &["it has 1 inputs, expected 2", "'image' [1, 3, 48, 64]", "inputs 'features' and 'image'"]),
        ("two_inputs", &["no input 'features'", "'more' [1, 16, 8, 8]", "export it with that name"]),
        ("correction_of_9_channels", &["input: expected [1, 8, 6, 8]", "'features' [1, 9, 6, 8]"]),
        ("correction_of_another_grid", &["input: expected [1, 8, 6, 8]", "'features' [1, 8, 12, 16]"]),
        ("correction_of_a_smaller_image", &["input: expected [1, 3, 48, 64]", "'image' [1, 3, 24, 32]"]),
        ("correction_by_a_coarse_residual", &["input: expected [1, 1, 12, 16]", "'residual' [1, 1, 6, 8]"]),
        ("correction_to_7_channels", &["output: expected [1, 8, 6, 8]", "[1, 7, 6, 8]"]),
        ("correction_to_7_channels_unstated", &["output: expected [1, 8, 6, 8] from model.toml", "[1, 7, 6, 8]"]),
        ("two_outputs", &["it has 1 inputs, expected 2"]),
    ];
    let faults = cases.into_iter().filter_map(|(file, words)| {
        let message =
            open(&format!("{file}.onnx")).err().map_or_else(|| "(accepted)".into(), |error| error.to_string());
        let lacking = [&["/correction.onnx: "], words].concat().into_iter().find(|word| !message.contains(word))?;
        Some(format!("{file}: {message}\n    lacks {lacking}"))
    });
    let faults: Vec<String> = faults.collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// A network folder with a correction and the half-precision files of `halves`.
fn folder(halves: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |file: &str, bytes: &[u8]| std::fs::write(folder.path().join(file), bytes).expect("written");
    let correction = std::fs::read(networks().join("correction.onnx")).expect("a network file");
    let mut model = model_toml_with(&correction);
    for graph in ["backbone", "correction", "head"] {
        let bytes = std::fs::read(networks().join(format!("{graph}.onnx"))).expect("a network file");
        write(&format!("{graph}.onnx"), &bytes);
        if halves.contains(&graph) {
            write(&format!("{graph}.fp16.onnx"), &bytes);
            writeln!(model, "\"{graph}.fp16.onnx\" = \"{:x}\"", Sha256::digest(&bytes)).expect("a text grows");
        }
    }
    write("model.toml", model.as_bytes());
    folder
}

fn open(folder: &Path) -> Result<Network, EngineError> {
    Network::from_folder(folder)
}

#[test]
fn half_precision_files_are_there_for_every_graph_or_for_none() {
    let all = ["backbone", "correction", "head"];
    for halves in [&[][..], &all] {
        let files = open(folder(halves).path()).expect("a whole folder").files();
        assert_eq!(files.len(), 3 + halves.len(), "{files:?}");
        assert!(files.iter().all(|file| file.verified), "{files:?}");
    }
    for lacking in all {
        let halves: Vec<&str> = all.into_iter().filter(|half| *half != lacking).collect();
        let error = open(folder(&halves).path()).expect_err("one is missing").to_string();
        let missing = format!("of all or of none; missing: {lacking}.fp16.onnx");
        assert!(error.contains("model.toml: [files]") && error.ends_with(&missing), "{error}");
    }
}

#[test]
fn a_half_precision_correction_without_the_correction_is_refused() {
    let folder = folder(&["backbone", "correction", "head"]);
    let model = std::fs::read_to_string(folder.path().join("model.toml")).expect("text");
    let model: Vec<&str> = model.lines().filter(|line| !line.starts_with("\"correction.onnx\"")).collect();
    std::fs::write(folder.path().join("model.toml"), model.join("\n")).expect("written");
    let error = open(folder.path()).expect_err("what is it half of").to_string();
    assert!(error.ends_with("without a place: correction.fp16.onnx"), "{error}");
}

#[test]
fn a_missing_or_damaged_correction_is_told() {
    let damaged = folder(&[]);
    std::fs::write(damaged.path().join("correction.onnx"), "damaged").expect("written");
    let missing = folder(&[]);
    std::fs::remove_file(missing.path().join("correction.onnx")).expect("removed");
    for (folder, word) in [(damaged, "correction.onnx: expected SHA-256"), (missing, "cannot be read")] {
        let error = open(folder.path()).expect_err("not whole").to_string();
        assert!(error.contains(word) && error.contains("correction.onnx"), "{error}");
    }
    let files: [(&str, &[u8]); 2] = [
        ("backbone.onnx", include_bytes!("data/networks/backbone.onnx")),
        ("head.onnx", include_bytes!("data/networks/head.onnx")),
    ];
    let error = Network::from_embedded(&model_toml_with(b""), &files).expect_err("not whole").to_string();
    assert!(error.contains("'correction.onnx' is missing"), "{error}");
}
