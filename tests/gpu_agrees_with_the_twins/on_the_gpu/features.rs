//! From features to masks.

use crate::device::{
    Noise, Verdict, download, download_bytes, download_half, halved, stream, upload, upload_field, upload_half,
};
use segfuse::data::Size;
use segfuse::engine::cpu::blend::Blender;
use segfuse::engine::cpu::decode::Decoder;
use segfuse::engine::cpu::disocclusion::Disocclusion;
use segfuse::engine::cpu::nearest::NearestDecoder;
use segfuse::engine::cpu::residual::Residual;
use segfuse::engine::cpu::warp::Warper;
use segfuse::engine::cpu::{FeatureMap, average_blocks};
use segfuse::sys::cuda::{DeviceMap, Stream};

/// The numbers of a map as `[rows, cols, channels]`.
fn turned(map: &FeatureMap) -> FeatureMap {
    let cells = map.rows * map.cols;
    let values = (0..cells).flat_map(|cell| (0..map.channels).map(move |channel| map.values[channel * cells + cell]));
    FeatureMap { values: values.collect(), ..map.clone() }
}

#[test]
fn warped_features_equal_the_cpus() {
    let Some(stream) = stream("warped_features") else { return };
    let (mut noise, mut verdict) = (Noise(3), Verdict::default());
    for shape in [[64, 48, 80], [16, 5, 3], [19, 33, 70], [8, 1, 1]] {
        let [channels, rows, cols] = shape;
        let (features, flow) = (noise.map(shape, 8.0), noise.field(rows, cols, 4.0));
        let (field, halves) = (upload_field(&stream, &flow), halved(&features));
        let (mut expected, mut of_halves) = (FeatureMap::default(), FeatureMap::default());
        Warper::new().warp(&features, &flow, &mut expected);
        Warper::new().warp(&halves, &flow, &mut of_halves);
        let mut out = stream.map(shape).expect("room");
        stream.warp_features(&upload(&stream, &features), &field, &mut out).expect("launched");
        verdict.equal(&format!("{shape:?}"), &download(&stream, &out), &expected.values);
        let mut out = stream.map(shape).expect("room");
        stream.warp_features(&upload_half(&stream, &features), &field, &mut out).expect("launched");
        let expected = halved(&of_halves);
        verdict.equal(&format!("{shape:?}, half"), &download_half(&stream, &out), &expected.values);
        if channels % 8 == 0 {
            let mut out = stream.map(shape).expect("room");
            let features = upload_half(&stream, &turned(&features));
            stream.warp_features_hwc8(&features, &field, &mut out).expect("launched");
            let expected = turned(&expected);
            verdict.equal(&format!("{shape:?}, hwc8"), &download_half(&stream, &out), &expected.values);
        }
    }
    verdict.give("warp_features");
}

#[test]
fn residual_and_its_sum_equal_the_cpus() {
    let Some(stream) = stream("residual_and_its_sum") else { return };
    let (mut noise, mut verdict) = (Noise(4), Verdict::default());
    for ((rows, cols), grid) in [((96, 160), (48, 80)), ((7, 9), (3, 2)), ((33, 5), (33, 5))] {
        let (earlier, current) = (noise.map([3, rows, cols], 2.0), noise.map([3, rows, cols], 2.0));
        let flow = noise.field(grid.0, grid.1, 3.0);
        let mut expected = FeatureMap::default();
        Residual::default().between(&earlier, &current, &flow, &mut expected);
        let (mut map, mut half) =
            (stream.map([1, rows, cols]).expect("room"), stream.map([1, rows, cols]).expect("room"));
        let (earlier, current) = (upload(&stream, &earlier), upload(&stream, &current));
        let field = upload_field(&stream, &flow);
        stream.residual(&earlier, &current, &field, &mut map, Some(&mut half)).expect("launched");
        verdict.equal(&format!("{rows}x{cols}"), &download(&stream, &map), &expected.values);
        verdict.equal(&format!("{rows}x{cols}, half"), &download_half(&stream, &half), &halved(&expected).values);
        let mut sum = stream.buffer(1).expect("room");
        stream.sum_residual(&map, &mut sum).expect("launched");
        let mut found = [0.0];
        stream.download(&sum, &mut found).expect("done");
        let exact = expected.values.iter().map(|value| f64::from(*value)).sum::<f64>() as f32;
        verdict.near(&format!("{rows}x{cols}: sum"), &found, &[exact], exact.abs() * 1e-5);
    }
    verdict.give("residual, sum_residual");
}

#[test]
fn blended_features_are_the_cpus_within_a_millionth_of_their_range() {
    let Some(stream) = stream("blended_features") else { return };
    let (mut noise, mut verdict) = (Noise(5), Verdict::default());
    for (shape, fine) in [([64, 48, 80], (96, 160)), ([8, 5, 3], (5, 3)), ([16, 9, 7], (40, 30)), ([8, 9, 7], (4, 30))]
    {
        let (fresh, mut carried) = (noise.map(shape, 8.0), noise.map(shape, 8.0));
        carried.values[0] = f32::NAN;
        let mut residual = noise.map([1, fine.0, fine.1], 0.2);
        residual.values.iter_mut().for_each(|value| *value = value.abs());
        let blended = |fresh: &FeatureMap, carried: &FeatureMap| {
            let mut blended = fresh.clone();
            Blender::default().blend(&mut blended, carried, &residual, 0.226);
            blended
        };
        let map = upload(&stream, &residual);
        let mut out = upload(&stream, &fresh);
        stream.blend_features(&mut out, &upload(&stream, &carried), &map, 0.226).expect("launched");
        let expected = blended(&fresh, &carried);
        verdict.near(&format!("{shape:?}"), &download(&stream, &out), &expected.values, 16e-6);
        let expected = halved(&blended(&halved(&fresh), &halved(&carried)));
        let mut out = upload_half(&stream, &fresh);
        stream.blend_features(&mut out, &upload_half(&stream, &carried), &map, 0.226).expect("launched");
        // The last bit of a half near 8 is worth 0.0078.
        verdict.near(&format!("{shape:?}, half"), &download_half(&stream, &out), &expected.values, 0.008);
        let mut out = upload_half(&stream, &turned(&fresh));
        stream.blend_features_hwc8(&mut out, &upload_half(&stream, &turned(&carried)), &map, 0.226).expect("launched");
        let expected = turned(&expected);
        verdict.near(&format!("{shape:?}, hwc8"), &download_half(&stream, &out), &expected.values, 0.008);
    }
    verdict.give("blend_features");
}

#[test]
fn what_came_into_view_is_filled_in_as_the_cpu_fills_it_in() {
    let Some(stream) = stream("disocclusion") else { return };
    let (mut noise, mut verdict) = (Noise(7), Verdict::default());
    for (shape, fine) in
        [([19, 64, 96], (64, 96)), ([19, 24, 40], (48, 80)), ([40, 9, 7], (9, 7)), ([8, 9, 7], (4, 30))]
    {
        let mut logits = noise.map(shape, 8.0);
        logits.values[0] = f32::NAN;
        let (mut glance, mut residual) = (noise.map([3, fine.0, fine.1], 1.0), noise.map([1, fine.0, fine.1], 0.6));
        // A few colours, alike in places.
        glance.values.iter_mut().for_each(|value| *value = (*value * 2.0).round() / 2.0 + *value * 0.05);
        residual.values.iter_mut().for_each(|value| *value = value.abs());
        let filled = |logits: &FeatureMap| {
            let mut filled = logits.clone();
            Disocclusion::default().fill(&mut filled, &glance, &residual, 0.226);
            filled
        };
        let (picture, map) = (upload(&stream, &glance), upload(&stream, &residual));
        let mut out = upload(&stream, &logits);
        stream.fill_in(&mut out, &picture, &map, 0.226).expect("launched");
        verdict.near(&format!("{shape:?}"), &download(&stream, &out), &filled(&logits).values, 16e-6);
        let mut out = upload_half(&stream, &logits);
        stream.fill_in(&mut out, &picture, &map, 0.226).expect("launched");
        let expected = halved(&filled(&halved(&logits)));
        // The last bit of a half near 8 is worth 0.0078.
        verdict.near(&format!("{shape:?}, half"), &download_half(&stream, &out), &expected.values, 0.008);
    }
    verdict.give("look_around, fill_in");
}

#[test]
fn averaged_blocks_equal_the_cpus() {
    let Some(stream) = stream("averaged_blocks") else { return };
    let (mut noise, mut verdict) = (Noise(6), Verdict::default());
    for (shape, side) in [([19, 96, 160], 4), ([3, 7, 9], 1), ([2, 12, 6], 3)] {
        let map = noise.map(shape, 20.0);
        let out_shape = [shape[0], shape[1] / side, shape[2] / side];
        let (mut expected, mut of_halves) = (FeatureMap::default(), FeatureMap::default());
        average_blocks(&map, side, &mut expected);
        average_blocks(&halved(&map), side, &mut of_halves);
        let mut out = stream.map(out_shape).expect("room");
        stream.average_blocks(&upload(&stream, &map), side, &mut out).expect("launched");
        verdict.equal(&format!("{shape:?}"), &download(&stream, &out), &expected.values);
        let mut out = stream.map(out_shape).expect("room");
        stream.average_blocks(&upload_half(&stream, &map), side, &mut out).expect("launched");
        verdict.equal(&format!("{shape:?}, half"), &download_half(&stream, &out), &halved(&of_halves).values);
    }
    verdict.give("average_blocks");
}

/// Logits, some of which are equal, infinite or no number at all.
fn logits(noise: &mut Noise, shape: [usize; 3]) -> FeatureMap {
    let mut map = noise.map(shape, 12.0);
    for (place, value) in [(0, f32::NAN), (5, f32::INFINITY), (11, f32::NEG_INFINITY)] {
        if let Some(at) = map.values.get_mut(place * 7) {
            *at = value;
        }
    }
    map.values.iter_mut().skip(3).step_by(5).for_each(|value| *value = value.round());
    map
}

#[test]
fn labels_and_margins_equal_the_cpus() {
    let Some(stream) = stream("labels_and_margins") else { return };
    let (mut noise, mut verdict) = (Noise(7), Verdict::default());
    for (shape, size) in [
        ([19, 48, 80], Size::new(1280, 720)),
        ([19, 96, 160], Size::new(642, 359)),
        ([1, 1, 1], Size::new(3, 5)),
        ([255, 3, 4], Size::new(33, 65)),
        ([5, 40, 60], Size::new(16, 9)),
        ([19, 48, 80], Size::new(80, 48)),
    ] {
        let map = logits(&mut noise, shape);
        decode_case(&stream, &mut verdict, &map, size);
    }
    verdict.give("decode_mask, decode_nearest");
}

fn decode_case(stream: &Stream, verdict: &mut Verdict, logits: &FeatureMap, size: Size) {
    let twin = |map: &FeatureMap, nearest: bool| {
        let (mut labels, mut margins) = (vec![0; size.pixels()], vec![0; size.pixels()]);
        if nearest {
            NearestDecoder::default().run(map, size, &mut labels, &mut margins);
        } else {
            Decoder::new().run(map, size, &mut labels, &mut margins);
        }
        (labels, margins)
    };
    let shape = [1, size.height as usize, size.width as usize];
    let (mut labels, mut margins) = (stream.map(shape).expect("room"), stream.map(shape).expect("room"));
    let (single, half) = (upload(stream, logits), upload_half(stream, logits));
    for (what, nearest) in [("interpolated", false), ("nearest", true)] {
        let what = format!("{}x{}x{} to {size}, {what}", logits.channels, logits.rows, logits.cols);
        let mut compare = |labels: &DeviceMap<u8>, margins: &DeviceMap<u8>, (expected, sure): (Vec<u8>, Vec<u8>)| {
            verdict.equal_bytes(&format!("{what}: labels"), &download_bytes(stream, labels), &expected);
            verdict.equal_bytes(&format!("{what}: margins"), &download_bytes(stream, margins), &sure);
        };
        if nearest {
            stream.decode_nearest(&single, &mut labels, &mut margins).expect("launched");
        } else {
            stream.decode_mask(&single, &mut labels, &mut margins).expect("launched");
        }
        compare(&labels, &margins, twin(logits, nearest));
        if nearest {
            stream.decode_nearest(&half, &mut labels, &mut margins).expect("launched");
        } else {
            stream.decode_mask(&half, &mut labels, &mut margins).expect("launched");
        }
        compare(&labels, &margins, twin(&halved(logits), nearest));
    }
}
