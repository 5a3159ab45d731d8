use super::host::{Case, bytes_of, bytes_of_halves, driver};
use super::numbers::{Numbers, half_to_f32, tiles, to_half, to_halves};
use segfuse::data::Size;
use segfuse::engine::cpu::nearest::NearestDecoder;
use segfuse::engine::cpu::{FeatureMap, reference};

/// Labels and margins by the kernel of f32 and by that of f16.
fn run(kernel: &str, logits: &FeatureMap, size: Size) -> Option<[(Vec<u8>, Vec<u8>); 2]> {
    let driver = driver("decode_mask")?;
    let (width, height) = (size.width as usize, size.height as usize);
    let grid = match kernel {
        "decode_mask" => [tiles(width, 128), logits.rows, tiles(3 * height / (2 * logits.rows) + 2, 8)],
        _ => [tiles(width, 128), height, 1],
    };
    let of = |kind: &str, bytes: &[u8]| {
        let case = Case::new(&format!("{kernel}_{kind}"), grid, [128, 1, 1]).input(bytes);
        let case = case.int(logits.channels).int(logits.rows).int(logits.cols);
        let case = case.output(size.pixels()).output(size.pixels()).int(width).int(height);
        let mut answer = driver.run(&case);
        (answer.bytes(), answer.bytes())
    };
    Some([of("f32", &bytes_of(&logits.values)), of("f16", &bytes_of_halves(&to_halves(&logits.values)))])
}

fn assert_decoded(found: &(Vec<u8>, Vec<u8>), expected: &(Vec<u8>, Vec<u8>), what: &str) {
    let wrong = |one: &[u8], other: &[u8]| one.iter().zip(other).filter(|(one, other)| one != other).count();
    assert_eq!((wrong(&found.0, &expected.0), wrong(&found.1, &expected.1)), (0, 0), "{what}: labels, margins");
}

/// Logits in which one class is well ahead, two are, or all are alike, so that some can be left out and some not.
fn logits(numbers: &mut Numbers, shape: [usize; 3]) -> FeatureMap {
    let mut map = numbers.map(shape, 1.0);
    let cells = shape[1] * shape[2];
    for index in 0..map.values.len() {
        let ahead = index % cells * 7 / cells;
        if index / cells == ahead || index / cells == 2 * ahead {
            map.values[index] = half_to_f32(to_half(map.values[index] + 6.0));
        }
    }
    map
}

#[test]
fn masks_are_the_reference_s_at_every_scale() {
    for (seed, (shape, size)) in (0..).zip([
        ([19, 48, 80], Size::new(1280, 720)),
        ([19, 48, 80], Size::new(640, 384)),
        ([1, 1, 1], Size::new(5, 3)),
        ([3, 2, 5], Size::new(131, 77)),
        ([19, 7, 9], Size::new(250, 3)),
        ([5, 96, 160], Size::new(321, 179)),
        ([4, 60, 70], Size::new(70, 60)),
        ([4, 60, 70], Size::new(31, 17)),
        ([255, 4, 3], Size::new(40, 33)),
        ([19, 1, 40], Size::new(64, 200)),
    ]) {
        let logits = logits(&mut Numbers::new(seed), shape);
        let Some(found) = run("decode_mask", &logits, size) else { return };
        // The logits are halves: the two kinds see the same.
        let expected = reference::decode(&logits, size);
        assert_decoded(&found[0], &expected, &format!("f32 {shape:?} to {size}"));
        assert_decoded(&found[1], &expected, &format!("f16 {shape:?} to {size}"));
    }
}

#[test]
fn logits_that_are_no_numbers_or_huge_never_win_what_they_do_not_win_in_the_reference() {
    let strange = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 3e38, -3e38, 1e38];
    for seed in 0..4 {
        let mut numbers = Numbers::new(seed);
        let mut logits = logits(&mut numbers, [6, 12, 11]);
        for value in &mut logits.values {
            if let which @ 0..18 = numbers.byte() {
                *value = strange[usize::from(which) % strange.len()];
            }
        }
        let size = Size::new(97, 110);
        let Some(found) = run("decode_mask", &logits, size) else { return };
        assert_decoded(&found[0], &reference::decode(&logits, size), &format!("seed {seed}"));
    }
    for value in [f32::NAN, f32::NEG_INFINITY] {
        let logits = FeatureMap { channels: 3, rows: 2, cols: 2, values: vec![value; 12] };
        let Some(found) = run("decode_mask", &logits, Size::new(9, 5)) else { return };
        assert_eq!(found, [(vec![255; 45], vec![0; 45]), (vec![255; 45], vec![0; 45])], "{value}");
    }
}

#[test]
fn equal_logits_go_to_the_first_class_with_no_margin() {
    let logits =
        FeatureMap { channels: 4, rows: 2, cols: 2, values: [[1.0; 4], [2.0; 4], [2.0; 4], [0.0; 4]].concat() };
    let Some(found) = run("decode_mask", &logits, Size::new(33, 40)) else { return };
    assert_eq!(found[0], (vec![1; 33 * 40], vec![0; 33 * 40]));
}

#[test]
fn the_nearest_cell_is_the_twin_s() {
    for (seed, (shape, size)) in (0..).zip([
        ([19, 48, 80], Size::new(1280, 720)),
        ([4, 60, 70], Size::new(31, 17)),
        ([3, 5, 7], Size::new(131, 77)),
    ]) {
        let logits = logits(&mut Numbers::new(seed), shape);
        let Some(found) = run("decode_nearest", &logits, size) else { return };
        let mut expected = (vec![0; size.pixels()], vec![0; size.pixels()]);
        NearestDecoder::default().run(&logits, size, &mut expected.0, &mut expected.1);
        assert_decoded(&found[0], &expected, &format!("f32 {shape:?} to {size}"));
        assert_decoded(&found[1], &expected, &format!("f16 {shape:?} to {size}"));
    }
}
