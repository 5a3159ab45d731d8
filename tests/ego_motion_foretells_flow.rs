//! The vehicle's own motion says where the ground went, and stands in where pictures show nothing.

use segfuse::data::{Calibration, Image, LabelMask, PixelFormat, Size};
use segfuse::flow::{DenseFlow, EgoFlow, EgoMotion, FlowField, GreyPyramid};
use segfuse::source::synthetic::{Config, Rendered, Scene};

const SIZE: Size = Size::new(320, 192);
/// Of the grid that flow is asked for on.
const CELL: usize = 8;
/// Errors beyond this are as bad as any, in pixels.
const WORST: f64 = 16.0;

fn scene(seed: u64) -> Scene {
    Scene::new(Config { seed, size: SIZE, fps: 15.0, seconds: 3.0, ..Config::default() }).expect("sound")
}

/// Motion since the frame before, as the frame's own state tells it.
fn motion(frame: &Rendered, fps: f64) -> EgoMotion {
    let value = |reading: Option<segfuse::data::Reading>| reading.expect("a whole state").value;
    EgoMotion { forward_m: value(frame.state.speed_mps) / fps, turned_rad: value(frame.state.yaw_rate_radps) / fps }
}

/// Mean end-point error in pixels over cells whose middle `counts`.
fn error_px(flow: &FlowField, truth: &Rendered, counts: impl Fn(&LabelMask, usize) -> bool) -> f64 {
    let errors = errors_px(flow, truth, counts);
    errors.iter().sum::<f64>() / errors.len() as f64
}

/// The same of each cell of which the flow says something.
fn errors_px(flow: &FlowField, truth: &Rendered, counts: impl Fn(&LabelMask, usize) -> bool) -> Vec<f64> {
    let mut errors = Vec::new();
    for cell in 0..flow.rows * flow.cols {
        let (row, col) = (cell / flow.cols, cell % flow.cols);
        let pixel = (row * CELL + CELL / 2) * SIZE.width as usize + col * CELL + CELL / 2;
        if truth.flow_valid[pixel] && flow.at(row, col)[0].is_finite() && counts(&truth.labels, pixel) {
            let [x, y] = flow.at(row, col).map(|step| f64::from(step) * CELL as f64);
            let [true_x, true_y] = truth.flow[pixel].map(f64::from);
            errors.push((x - true_x).hypot(y - true_y).min(WORST));
        }
    }
    errors
}

fn is_ground(labels: &LabelMask, pixel: usize) -> bool {
    labels.labels()[pixel] <= 1
}

/// What a camera makes of a picture.
#[derive(Clone, Copy, Debug)]
enum Seen {
    AsTaken,
    Night,
    Blurred,
    Black,
}

fn seen(image: &Image, how: Seen, frame: u32) -> GreyPyramid {
    let grey: Vec<u8> = segfuse::data::to_grey8(image).expect("not a JPEG");
    let (wide, high) = (SIZE.width as usize, SIZE.height as usize);
    let mut state = frame.wrapping_mul(747_796_405).wrapping_add(1);
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(state >> 24) / 64.0 - 2.0
    };
    let blurred = |index: usize| {
        let (row, col) = (index / wide, index % wide);
        let (top, bottom) = (row.saturating_sub(12), (row + 13).min(high));
        let (left, right) = (col.saturating_sub(12), (col + 13).min(wide));
        let sum: u64 =
            (top..bottom).flat_map(|row| &grey[row * wide + left..row * wide + right]).map(|v| u64::from(*v)).sum();
        (sum / ((bottom - top) * (right - left)) as u64) as f64
    };
    let bytes: Vec<u8> = (0..grey.len())
        .map(|index| match how {
            Seen::AsTaken => grey[index],
            Seen::Night => (f64::from(grey[index]) / 24.0 + 4.0 + noise()).round() as u8,
            Seen::Blurred => (blurred(index) + noise()).clamp(0.0, 255.0) as u8,
            Seen::Black => (4.0 + noise()).round() as u8,
        })
        .collect();
    let image = Image::packed(PixelFormat::Grey, SIZE, bytes.into()).expect("a byte a pixel");
    GreyPyramid::build(&image).expect("not a JPEG")
}

#[test]
fn motions_that_come_back_are_far_truer_than_those_that_do_not() {
    let (rows, cols) = (SIZE.height as usize / CELL, SIZE.width as usize / CELL);
    let (mut kept, mut left_out) = (vec![], vec![]);
    for seed in [3, 4, 5] {
        let mut scene = scene(seed);
        for frame in [10, 20, 30] {
            let [earlier, current] = [frame - 1, frame].map(|frame| scene.render(frame));
            let [one, other] = [&earlier, &current].map(|frame| seen(&frame.image, Seen::AsTaken, 0));
            let mut estimator = DenseFlow::new();
            let all = estimator.estimate(&one, &other, rows, cols);
            let (mut coming_back, mut others) = (all.clone(), all.clone());
            coming_back.keep_what_comes_back(&estimator.estimate(&other, &one, rows, cols), CELL as f32);
            for (value, comes_back) in others.values.iter_mut().zip(&coming_back.values) {
                *value = if comes_back.is_finite() { f32::NAN } else { *value };
            }
            kept.extend(errors_px(&coming_back, &current, |_, _| true));
            left_out.extend(errors_px(&others, &current, |_, _| true));
        }
    }
    let mean = |errors: &[f64]| errors.iter().sum::<f64>() / errors.len() as f64;
    // 1.2 and 4.1 pixels.
    assert!(3.0 * mean(&kept) < mean(&left_out), "{} and {} pixels", mean(&kept), mean(&left_out));
    assert!(kept.len() > 2 * left_out.len(), "{} and {} cells", kept.len(), left_out.len());
}

#[test]
fn the_ground_moves_as_foretold() {
    let (rows, cols) = (SIZE.height as usize / CELL, SIZE.width as usize / CELL);
    let (mut foretold, mut still) = (Vec::new(), Vec::new());
    for seed in 1..=3 {
        let mut scene = scene(seed);
        let mut camera = EgoFlow::new(&scene.camera().calibration()).expect("a camera");
        for frame in [8, 24, 40] {
            let truth = scene.render(frame);
            let mut field = FlowField::default();
            camera.predict_into(motion(&truth, 15.0), (rows, cols), &mut field);
            foretold.push(error_px(&field, &truth, is_ground));
            camera.predict_into(EgoMotion::default(), (rows, cols), &mut field);
            still.push(error_px(&field, &truth, is_ground));
        }
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    println!("ground: {foretold:.2?} pixels off, {still:.2?} if it stood still");
    assert!(mean(&foretold) < 0.25 * mean(&still), "{} and {} pixels off", mean(&foretold), mean(&still));
}

#[test]
fn where_pictures_show_nothing_the_vehicles_motion_stands_in_and_where_they_do_it_takes_nothing() {
    let (rows, cols) = (SIZE.height as usize / CELL, SIZE.width as usize / CELL);
    let mut estimator = DenseFlow::new();
    for how in [Seen::AsTaken, Seen::Night, Seen::Blurred, Seen::Black] {
        let mut sums = [[0.0; 2]; 3];
        for seed in 1..=3 {
            let mut scene = scene(seed);
            let mut camera = EgoFlow::new(&scene.camera().calibration()).expect("a camera");
            for frame in [8, 24, 40] {
                let before = seen(&scene.render(frame - 1).image, how, 2 * frame as u32);
                let truth = scene.render(frame);
                let current = seen(&truth.image, how, 2 * frame as u32 + 1);
                let (mut prior, mut alone, mut led) =
                    (FlowField::default(), FlowField::default(), FlowField::default());
                camera.predict_into(motion(&truth, 15.0), (rows, cols), &mut prior);
                estimator.estimate_into((&before, &current), (rows, cols), None, &mut alone);
                estimator.estimate_into((&before, &current), (rows, cols), Some(&prior), &mut led);
                for (sum, field) in sums.iter_mut().zip([&alone, &led, &prior]) {
                    sum[0] += error_px(field, &truth, |_, _| true) / 9.0;
                    sum[1] += error_px(field, &truth, is_ground) / 9.0;
                }
            }
        }
        let [[alone, alone_ground], [led, led_ground], [foretold, foretold_ground]] = sums;
        println!(
            "{how:?}: pictures alone {alone:.2} pixels off (ground {alone_ground:.2}), with motion {led:.2} \
             ({led_ground:.2}), motion alone {foretold:.2} ({foretold_ground:.2})"
        );
        let most = if matches!(how, Seen::AsTaken) { 0.85 } else { 0.65 };
        assert!(led < most * alone && led_ground < most * alone_ground, "{how:?}: {led} of {alone} pixels off");
    }
}

#[test]
fn a_calibration_that_no_camera_has_is_refused_by_its_key() {
    let right = scene(1).camera().calibration();
    assert!(EgoFlow::new(&right).is_ok());
    for (key, wrong) in [
        ("fx_px", Calibration { fx_px: 0.0, ..right.clone() }),
        ("fy_px", Calibration { fy_px: f64::NAN, ..right.clone() }),
        ("position_m[2]", Calibration { position_m: [0.0, 0.0, -1.0], ..right.clone() }),
        ("distortion", Calibration { distortion: vec![0.1], ..right.clone() }),
        ("width_px", Calibration { width_px: 0, ..right.clone() }),
    ] {
        let error = EgoFlow::new(&wrong).expect_err(key);
        assert!(error.contains(key), "{key}: {error}");
    }
}

#[test]
fn a_distorting_lens_moves_nothing_while_the_vehicle_stands() {
    let camera = Calibration { distortion: vec![-0.3, 0.1, 0.001, -0.002, 0.01], ..scene(1).camera().calibration() };
    let mut field = FlowField::default();
    EgoFlow::new(&camera).expect("a camera").predict_into(EgoMotion::default(), (24, 40), &mut field);
    let most = field.values.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
    assert!(most < 0.02, "{most} cells");
}

#[test]
fn a_motion_that_no_vehicle_has_still_foretells_numbers_that_flow_can_begin_with() {
    let mut scene = scene(1);
    let before = seen(&scene.render(7).image, Seen::AsTaken, 1);
    let current = seen(&scene.render(8).image, Seen::AsTaken, 2);
    let mut camera = EgoFlow::new(&scene.camera().calibration()).expect("a camera");
    let (mut prior, mut field) = (FlowField::default(), FlowField::default());
    let wild = [f64::NAN, f64::INFINITY, -1e308, 1e308, 1e30, 1e6, -1e6, 0.0];
    for (forward_m, turned_rad) in wild.into_iter().flat_map(|forward| wild.map(|turned| (forward, turned))) {
        camera.predict_into(EgoMotion { forward_m, turned_rad }, (24, 40), &mut prior);
        let most = prior.values.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
        assert!(prior.values.iter().all(|value| value.is_finite()) && most <= 80.0, "{forward_m} {turned_rad}: {most}");
        DenseFlow::new().estimate_into((&before, &current), (24, 40), Some(&prior), &mut field);
        assert!(field.values.iter().all(|value| value.is_finite()), "{forward_m} {turned_rad}");
    }
}
