use super::host::{Case, bytes_of, bytes_of_halves, driver};
use super::numbers::{Numbers, half_to_f32, tiles, to_halves};
use segfuse::engine::cpu::FeatureMap;
use segfuse::engine::cpu::disocclusion::Disocclusion;

const UNIT: f32 = 0.226;

/// A picture of a few colours that are alike in places, and a residual that is small in places.
fn picture(numbers: &mut Numbers, [rows, cols]: [usize; 2]) -> [FeatureMap; 2] {
    let mut glance = numbers.map([3, rows, cols], 1.0);
    glance.values.iter_mut().for_each(|value| *value = (*value * 2.0).round() / 2.0 + *value * 0.05);
    let mut residual = numbers.map([1, rows, cols], 0.6);
    residual.values.iter_mut().for_each(|value| *value = value.abs());
    [glance, residual]
}

/// What `look_around` writes of a map of logits.
fn looking(kernel: &str, shape: [usize; 3], logits: &[u8], [glance, residual]: [&FeatureMap; 2]) -> Case {
    let [classes, rows, cols] = shape;
    Case::new(kernel, [tiles(rows * cols, 128), 1, 1], [128, 1, 1])
        .input(logits)
        .int(classes)
        .int(rows)
        .int(cols)
        .input(&bytes_of(&glance.values))
        .input(&bytes_of(&residual.values))
        .int(residual.rows)
        .int(residual.cols)
        .float(UNIT)
        .output(4 * 6 * rows * cols)
}

fn filling(kernel: &str, [classes, rows, cols]: [usize; 3], logits: &[u8], cells: &[f32], step: usize) -> Case {
    Case::new(kernel, [tiles(rows * cols, 64), 1, 1], [64, 1, 1])
        .changed(logits)
        .int(classes)
        .int(rows)
        .int(cols)
        .input(&bytes_of(cells))
        .int(step)
}

/// Within 2e-6 of values up to 8: two exponential functions may differ in the last bit.
#[test]
fn what_came_into_view_is_filled_in_as_the_twin_fills_it_in() {
    let Some(driver) = driver("disocclusion") else { return };
    let cases =
        [([19, 32, 48], [32, 48], 2), ([19, 12, 20], [24, 40], 1), ([40, 9, 7], [9, 7], 2), ([3, 5, 4], [31, 17], 1)];
    for (seed, (shape, fine, step)) in (0..).zip(cases) {
        let mut numbers = Numbers::new(seed);
        let mut logits = numbers.map(shape, 8.0);
        let [mut glance, mut residual] = picture(&mut numbers, fine);
        (logits.values[0], logits.values[9], glance.values[5]) = (f32::NAN, f32::INFINITY, f32::NAN);
        residual.values[3] = f32::NAN;
        let expected = |logits: &FeatureMap| {
            let mut filled = logits.clone();
            Disocclusion::default().fill(&mut filled, &glance, &residual, UNIT);
            filled
        };
        let apart = |found: &[f32], expected: &FeatureMap| {
            let both = found.iter().zip(&expected.values);
            assert!(both.clone().all(|(found, expected)| found.is_finite() == expected.is_finite()));
            both.map(|(found, expected)| (found - expected).abs()).fold(0.0, f32::max)
        };
        let bytes = bytes_of(&logits.values);
        let cells = driver.run(&looking("look_around_f32", shape, &bytes, [&glance, &residual])).floats();
        let found = driver.run(&filling("fill_in_f32", shape, &bytes, &cells, step)).floats();
        let filled = expected(&logits);
        println!("{shape:?}: {} apart", apart(&found, &filled));
        assert!(apart(&found, &filled) < 2e-6, "{shape:?}: {} apart", apart(&found, &filled));
        assert!(apart(&logits.values, &filled) > 1.0, "nothing was filled in");

        let halves = to_halves(&logits.values);
        let widened: Vec<f32> = halves.iter().map(|half| half_to_f32(*half)).collect();
        let filled = expected(&FeatureMap { values: widened, ..logits });
        let bytes = bytes_of_halves(&halves);
        let cells = driver.run(&looking("look_around_f16", shape, &bytes, [&glance, &residual])).floats();
        let found = driver.run(&filling("fill_in_f16", shape, &bytes, &cells, step)).halves();
        let found: Vec<f32> = found.iter().map(|half| half_to_f32(*half)).collect();
        // Half a step of the largest halves, 2^-9.
        assert!(apart(&found, &filled) < 0.004, "{shape:?}: {} apart", apart(&found, &filled));
    }
}
