use super::host::{Case, bytes_of, bytes_of_halves, driver};
use super::numbers::{Numbers, assert_rounded, assert_same, half_to_f32, tiles, to_halves};
use super::warp_features::channels_last;
use segfuse::engine::cpu::blend::Blender;
use segfuse::engine::cpu::residual::Residual;
use segfuse::engine::cpu::{FeatureMap, average_blocks};

#[test]
fn the_residual_is_the_twin_s() {
    let Some(driver) = driver("residual") else { return };
    for (seed, ([rows, cols], grid)) in
        (0..).zip([([96, 160], [48, 80]), ([1, 1], [1, 1]), ([13, 37], [5, 9]), ([8, 9], [8, 9]), ([3, 5], [6, 20])])
    {
        let mut numbers = Numbers::new(seed);
        let [earlier, current] = [(); 2].map(|()| numbers.map([3, rows, cols], 2.0));
        let flow = numbers.flow(grid, 3.0);
        let case = Case::new("residual", [tiles(cols, 32), tiles(rows, 8), 1], [32, 8, 1])
            .input(&bytes_of(&earlier.values))
            .input(&bytes_of(&current.values))
            .int(rows)
            .int(cols)
            .input(&bytes_of(&flow.values))
            .int(grid[0])
            .int(grid[1])
            .output(4 * rows * cols)
            .output(2 * rows * cols);
        let mut answer = driver.run(&case);
        let mut expected = FeatureMap::default();
        Residual::default().between(&earlier, &current, &flow, &mut expected);
        assert_same(&answer.floats(), &expected.values, &format!("{rows}x{cols}"));
        assert_rounded(&answer.halves(), &expected.values, &format!("{rows}x{cols}"));
    }
}

/// Within 1e-5 of the sum: f32 in another order than one after the other.
#[test]
fn the_residual_is_summed_whatever_its_size() {
    let Some(driver) = driver("sum_residual") else { return };
    for count in [1, 3, 1023, 1024, 1025, 96 * 160] {
        let values: Vec<f32> = Numbers::new(4).map([1, 1, count], 1.0).values.iter().map(|value| value.abs()).collect();
        let case = Case::new("sum_residual", [1; 3], [1024, 1, 1]).input(&bytes_of(&values)).int(count).output(4);
        let (found, expected) =
            (driver.run(&case).floats()[0], values.iter().map(|value| f64::from(*value)).sum::<f64>());
        assert!((f64::from(found) - expected).abs() <= 1e-5 * expected, "{count}: {found}, expected {expected}");
    }
}

/// A launch that blends `carried` into `fresh` by a residual of a grid `finer` times as fine.
fn blending(kernel: &str, shape: [usize; 3], [fresh, carried]: [&[u8]; 2], residual: &FeatureMap) -> Case {
    let [channels, rows, cols] = shape;
    Case::new(kernel, [tiles(rows * cols, 128), tiles(channels, 8), 1], [128, 1, 1])
        .changed(fresh)
        .input(carried)
        .int(channels)
        .int(rows)
        .int(cols)
        .input(&bytes_of(&residual.values))
        .int(residual.rows)
        .int(residual.cols)
        .float(0.226)
}

/// Within 2e-6 of values up to 8: two exponential functions may differ in the last bit.
#[test]
fn features_are_blended_as_the_twin_blends_them() {
    let Some(driver) = driver("blend_features") else { return };
    for (seed, (shape, finer)) in (0..).zip([([64, 48, 80], [96, 160]), ([3, 5, 7], [5, 7]), ([8, 9, 4], [31, 17])]) {
        let mut numbers = Numbers::new(seed);
        let [fresh, mut carried] = [(); 2].map(|()| numbers.map(shape, 4.0));
        let mut residual = numbers.map([1, finer[0], finer[1]], 0.3);
        residual.values.iter_mut().for_each(|value| *value = value.abs());
        (carried.values[0], carried.values[9], residual.values[5]) = (f32::NAN, f32::INFINITY, f32::NAN);
        let mut expected = fresh.clone();
        Blender::default().blend(&mut expected, &carried, &residual, 0.226);
        let apart = |found: &[f32]| {
            found.iter().zip(&expected.values).map(|(found, expected)| (found - expected).abs()).fold(0.0, f32::max)
        };
        let bytes = [&fresh, &carried].map(|map| bytes_of(&map.values));
        let found = driver.run(&blending("blend_features_f32", shape, [&bytes[0], &bytes[1]], &residual)).floats();
        assert!(apart(&found) < 2e-6, "{shape:?}: {} apart", apart(&found));
        assert!(apart(&fresh.values) > 0.1, "nothing was blended");

        let halves = [&fresh, &carried].map(|map| to_halves(&map.values));
        let bytes = halves.each_ref().map(|values| bytes_of_halves(values));
        let found = driver.run(&blending("blend_features_f16", shape, [&bytes[0], &bytes[1]], &residual)).halves();
        let widened: Vec<f32> = found.iter().map(|half| half_to_f32(*half)).collect();
        // Half a step of the largest halves, 2^-9.
        assert!(apart(&widened) < 0.002, "{shape:?}: {} apart", apart(&widened));
        if shape[0] % 8 == 0 {
            let bytes = halves.each_ref().map(|values| bytes_of_halves(&channels_last(values, shape[0])));
            let case = blending("blend_features_f16_hwc8", shape, [&bytes[0], &bytes[1]], &residual);
            assert_eq!(driver.run(&case).halves(), channels_last(&found, shape[0]));
        }
    }
}

#[test]
fn blocks_are_averaged_as_the_twin_averages_them() {
    let Some(driver) = driver("average_blocks") else { return };
    for (seed, (shape, side)) in (0..).zip([([19, 96, 160], 4), ([2, 6, 9], 3), ([5, 7, 11], 1), ([1, 8, 8], 8)]) {
        let [channels, rows, cols] = shape;
        let map = Numbers::new(seed).map(shape, 5.0);
        let mut expected = FeatureMap::default();
        average_blocks(&map, side, &mut expected);
        let count = expected.values.len();
        let case = |kernel: &str, bytes: &[u8], value_bytes: usize| {
            let grid = [tiles(count / channels, 128), channels, 1];
            let case = Case::new(kernel, grid, [128, 1, 1]).input(bytes).int(channels).int(rows).int(cols).int(side);
            case.output(value_bytes * count)
        };
        let found = driver.run(&case("average_blocks_f32", &bytes_of(&map.values), 4)).floats();
        assert_same(&found, &expected.values, &format!("f32 {shape:?}"));
        let halves = bytes_of_halves(&to_halves(&map.values));
        assert_rounded(&driver.run(&case("average_blocks_f16", &halves, 2)).halves(), &expected.values, "f16");
    }
}
