use super::host::{Case, bytes_of, bytes_of_halves, driver};
use super::numbers::{Numbers, assert_rounded, assert_same, tiles, to_halves};
use segfuse::engine::cpu::FeatureMap;
use segfuse::engine::cpu::warp::Warper;
use segfuse::flow::FlowField;

const SHAPES: [[usize; 3]; 6] = [[1, 1, 1], [3, 1, 7], [8, 9, 2], [19, 13, 37], [16, 5, 33], [64, 48, 80]];

fn case(kernel: &str, map: &FeatureMap, flow: &FlowField, bytes: &[u8]) -> Case {
    let grid = match kernel {
        "warp_features_f16_hwc8" => [tiles(map.rows * map.cols * map.channels / 8, 128), 1, 1],
        _ => [tiles(map.cols, 32), tiles(map.rows, 4), tiles(map.channels, 8)],
    };
    let block = if kernel == "warp_features_f16_hwc8" { [128, 1, 1] } else { [32, 4, 1] };
    let case = Case::new(kernel, grid, block).input(bytes).input(&bytes_of(&flow.values)).output(bytes.len());
    case.int(map.channels).int(map.rows).int(map.cols)
}

/// `[rows, cols, channels]` of `[channels, rows, cols]`.
pub(super) fn channels_last<T: Copy>(values: &[T], channels: usize) -> Vec<T> {
    let cells = values.len() / channels;
    (0..values.len()).map(|index| values[index % channels * cells + index / channels]).collect()
}

#[test]
fn features_are_carried_as_the_twin_carries_them() {
    let Some(driver) = driver("warp_features") else { return };
    for (seed, shape) in (0..).zip(SHAPES) {
        let mut numbers = Numbers::new(seed);
        let map = numbers.map(shape, 9.0);
        let flow = numbers.flow([shape[1], shape[2]], 5.0);
        let mut expected = FeatureMap::default();
        Warper::new().warp(&map, &flow, &mut expected);
        let found = driver.run(&case("warp_features_f32", &map, &flow, &bytes_of(&map.values))).floats();
        assert_same(&found, &expected.values, &format!("f32 {shape:?}"));
        let halves = to_halves(&map.values);
        let found = driver.run(&case("warp_features_f16", &map, &flow, &bytes_of_halves(&halves))).halves();
        assert_rounded(&found, &expected.values, &format!("f16 {shape:?}"));
        if shape[0] % 8 == 0 {
            let last = bytes_of_halves(&channels_last(&halves, shape[0]));
            let found = driver.run(&case("warp_features_f16_hwc8", &map, &flow, &last)).halves();
            assert_rounded(&found, &channels_last(&expected.values, shape[0]), &format!("f16 hwc8 {shape:?}"));
        }
    }
}

#[test]
fn values_that_are_no_numbers_spread_as_far_as_the_twin_s() {
    let Some(driver) = driver("warp_features") else { return };
    let mut numbers = Numbers::new(1);
    let mut map = numbers.map([2, 9, 9], 4.0);
    (map.values[40], map.values[120]) = (f32::NAN, f32::INFINITY);
    let flow = numbers.flow([9, 9], 2.0);
    let mut expected = FeatureMap::default();
    Warper::new().warp(&map, &flow, &mut expected);
    let found = driver.run(&case("warp_features_f32", &map, &flow, &bytes_of(&map.values))).floats();
    assert_same(&found, &expected.values, "f32");
}
