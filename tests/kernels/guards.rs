//! What the other tests rest on: half precision, the places of samples, and that a fault of a kernel shows.

use super::host::{Case, bytes_of, bytes_of_halves, driver};
use super::numbers::{assert_same, half_to_f32, to_half, to_halves};

#[test]
fn all_65536_halves_are_widened_as_ieee_says_and_values_are_rounded_to_nearest_even() {
    let Some(driver) = driver("half precision") else { return };
    let halves: Vec<u16> = (0..=u16::MAX).collect();
    let count = halves.len();
    let case = Case::new("widen", [1; 3], [1; 3]).input(&bytes_of_halves(&halves)).output(4 * count).int(count);
    let expected: Vec<f32> = halves.iter().map(|half| half_to_f32(*half)).collect();
    assert_same(&driver.run(&case).floats(), &expected, "widened");

    // Each finite half, halfway to the next one, and the floats beside both.
    let finite = expected.iter().filter(|value| value.is_finite());
    let places =
        finite.flat_map(|value| [*value, value * (1.0 + 0.5_f32.powi(11)), value + value.signum() * 0.5_f32.powi(25)]);
    let near = |value: f32| [value.next_down(), value, value.next_up()];
    let mut values: Vec<f32> = places.flat_map(near).collect();
    values.extend([65_519.9, 65_520.0, 1e9, f32::MAX, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::MIN_POSITIVE]);
    let count = values.len();
    let case = Case::new("narrow", [1; 3], [1; 3]).input(&bytes_of(&values)).output(2 * count).int(count);
    let (found, expected) = (driver.run(&case).halves(), to_halves(&values));
    let wrong = found.iter().zip(&expected).position(|(found, expected)| found != expected);
    if let Some(place) = wrong {
        panic!("{:e} is {:#06x}, expected {:#06x}", values[place], found[place], expected[place]);
    }
    assert_eq!(to_half(65_519.9), 0x7bff);
    assert_eq!(to_half(65_520.0), 0x7c00);
}

/// The twin works places out in f64 (`engine/cpu/taps.rs`), the kernels in whole numbers.
#[test]
fn samples_lie_where_the_twin_puts_them() {
    let Some(driver) = driver("places of samples") else { return };
    let sides = [1, 2, 3, 5, 8, 45, 48, 80, 96, 180, 384, 640, 719, 720, 1080, 1279, 1280, 1920, 3840, 16_384];
    for input in sides {
        for output in sides {
            let case = Case::new("taps", [1; 3], [1; 3]).int(input).int(output).output(4 * output).output(4 * output);
            let mut answer = driver.run(&case);
            let (first, share) = (answer.bytes(), answer.floats());
            let first = first.as_chunks().0.iter().map(|four| i32::from_le_bytes(*four) as usize);
            for (index, (first, share)) in first.zip(share).enumerate() {
                let place = (index as f64 + 0.5) * input as f64 / output as f64 - 0.5;
                let place = place.clamp(0.0, (input - 1) as f64);
                let (expected, part) = (place as usize, (place - place.floor()) as f32);
                let apart = share.to_bits().abs_diff(part.to_bits());
                // f64 has not all the bits that a place among more than 4000 needs.
                let same = first == expected && apart <= u32::from(input.max(output) > 4000);
                assert!(same, "sample {index} of {output} from {input}: {first} {share}, expected {expected} {part}");
            }
        }
    }
}

#[test]
fn a_kernel_that_reads_or_writes_beside_a_buffer_is_found_out() {
    let Some(driver) = driver("buffers that are too short") else { return };
    let average = |map: usize, out: usize| {
        let case = Case::new("average_blocks_f32", [1, 1, 1], [128, 1, 1]);
        case.input(&vec![0; 4 * map]).int(1).int(4).int(4).int(2).output(4 * out)
    };
    assert!(driver.output(&average(16, 4)).status.success());
    for (map, out) in [(15, 4), (16, 3)] {
        let output = driver.output(&average(map, out));
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && told.contains("heap-buffer-overflow"), "{told}");
    }
}
