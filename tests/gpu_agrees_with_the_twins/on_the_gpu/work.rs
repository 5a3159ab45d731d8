//! Sizes, graphs, streams and memory.

use crate::device::{Noise, Verdict, download, stream, upload, upload_field};
use crate::pictures::{input, texture};
use segfuse::data::Size;
use segfuse::engine::cpu::FeatureMap;
use segfuse::engine::cpu::warp::Warper;
use segfuse::engine::cuda::{device_picture, preparation};
use segfuse::engine::network::{Chain, Channels};
use segfuse::flow::{DenseFlow, GreyPyramid};
use segfuse::sys::cuda::{CudaError, DevicePicture, FlowScratch, Stream};

#[test]
fn a_wrong_size_is_an_error_before_anything_is_launched() {
    let Some(stream) = stream("a_wrong_size") else { return };
    let map = |shape: [usize; 3]| stream.map::<f32>(shape).expect("room");
    let bytes = |shape: [usize; 3]| stream.map::<u8>(shape).expect("room");
    let short = device_picture(&stream, &texture(Size::new(16, 8), 0.0)).expect("room");
    let picture = |height: usize, stride: usize| DevicePicture {
        bytes: stream.buffer(short.bytes.len()).expect("room"),
        height,
        stride,
        ..short
    };
    let how = preparation(&input(4, 4, Channels::Rgb, Chain::Fine));
    let prepare = |picture, shape| stream.preprocess(&picture, &how, &mut map(shape), None, None);
    let mut values = [0.0; 9];
    let refused = [
        ("a picture with too few bytes", prepare(picture(9, 16), [3, 4, 4])),
        ("a stride shorter than a row", prepare(picture(8, 15), [3, 4, 4])),
        ("two planes", prepare(picture(8, 16), [2, 4, 4])),
        ("a flow on another grid", stream.warp_features(&map([8, 4, 4]), &map([2, 4, 3]), &mut map([8, 4, 4]))),
        ("an answer of another shape", stream.warp_features(&map([8, 4, 4]), &map([2, 4, 4]), &mut map([8, 4, 5]))),
        ("no classes", stream.decode_mask(&map([0, 4, 4]), &mut bytes([1, 8, 8]), &mut bytes([1, 8, 8]))),
        ("256 classes", stream.decode_mask(&map([256, 4, 4]), &mut bytes([1, 8, 8]), &mut bytes([1, 8, 8]))),
        ("margins of another size", stream.decode_mask(&map([5, 4, 4]), &mut bytes([1, 8, 8]), &mut bytes([1, 8, 9]))),
        ("flows on two grids", stream.compose_flow(&map([2, 4, 4]), &map([2, 4, 3]), &mut map([2, 4, 4]))),
        ("blocks of nothing", stream.average_blocks(&map([1, 4, 4]), 0, &mut map([1, 4, 4]))),
        ("more than a buffer holds", stream.download(map([1, 2, 4]).buffer(), &mut values)),
        ("more than a buffer takes", stream.upload(&values, map([1, 2, 4]).buffer_mut())),
        ("a level of 400 pixels", stream.pyramid((800, 400), 2).map(drop)),
    ];
    for (what, answer) in refused {
        assert!(matches!(answer, Err(CudaError::Shape { .. })), "{what}: {answer:?}");
    }
    stream.synchronize().expect("nothing was launched that could fail");
}

#[test]
fn a_graph_does_what_was_captured_on_what_is_there_now() {
    let Some(stream) = stream("a_graph") else { return };
    let (mut noise, mut verdict) = (Noise(8), Verdict::default());
    let (features, flow) = (noise.map([16, 12, 20], 4.0), noise.field(12, 20, 2.0));
    let field = upload_field(&stream, &flow);
    let (mut from, mut to) = (upload(&stream, &features), stream.map([16, 12, 20]).expect("room"));
    let graph = stream.capture(|stream| stream.warp_features(&from, &field, &mut to)).expect("captured");
    for _ in 0..3 {
        let features = noise.map([16, 12, 20], 4.0);
        stream.upload(&features.values, from.buffer_mut()).expect("copied");
        graph.launch().expect("launched");
        let mut expected = FeatureMap::default();
        Warper::new().warp(&features, &flow, &mut expected);
        verdict.equal("warp", &download(&stream, &to), &expected.values);
    }
    // The graph keeps the memory of buffers that are gone: nobody else gets it.
    let address = to.address();
    drop((from, to));
    let other = stream.map::<f32>([16, 12, 20]).expect("room");
    assert_ne!(other.address(), address);
    graph.launch().expect("launched");
    stream.synchronize().expect("done");
    verdict.give("graph");
}

#[test]
fn a_flow_that_is_captured_is_the_same_each_time() {
    let Some(stream) = stream("a_flow_that_is_captured") else { return };
    let mut verdict = Verdict::default();
    let pictures = [texture(Size::new(640, 360), 0.0), texture(Size::new(640, 360), 4.0)];
    let grey = pictures.each_ref().map(|image| GreyPyramid::build(image).expect("not a JPEG"));
    let expected = DenseFlow::new().estimate(&grey[0], &grey[1], 45, 80);
    let spec = preparation(&input(8, 8, Channels::Rgb, Chain::Fine));
    let pyramids = pictures.each_ref().map(|image| {
        let picture = device_picture(&stream, image).expect("room");
        let mut pyramid = stream.pyramid((640, 360), grey[0].reduction()).expect("room");
        let mut planes = stream.map::<f32>([3, 8, 8]).expect("room");
        stream.preprocess(&picture, &spec, &mut planes, None, Some(&mut pyramid)).expect("launched");
        pyramid
    });
    let mut flow = stream.map([2, 45, 80]).expect("room");
    let (pair, mut scratch) = ((&pyramids[0], &pyramids[1]), FlowScratch::default());
    // Once by itself, so that all buffers are there.
    stream.estimate_flow(pair, None, &mut scratch, &mut flow).expect("launched");
    stream.synchronize().expect("done");
    let captured = stream.capture(|stream| stream.estimate_flow(pair, None, &mut scratch, &mut flow));
    let graph = captured.expect("captured");
    for _ in 0..3 {
        graph.launch().expect("launched");
        verdict.share("flow", (&download(&stream, &flow), &expected.values), 1e-3, 0.999);
    }
    verdict.give("graph of a flow");
}

#[test]
fn launches_that_are_put_off_compute_what_they_would_have_at_once() {
    let Some(at_once) = stream("launches_that_are_put_off") else { return };
    let put_off = at_once.device().stream_of_graphs().expect("a stream");
    let (mut noise, mut verdict) = (Noise(12), Verdict::default());
    let flow = noise.field(12, 20, 2.0);
    for round in 0..40 {
        let features = noise.map([16, 12, 20], 4.0);
        let carried = |stream: &Stream| {
            let mut map = upload(stream, &features);
            let field = upload_field(stream, &flow);
            // Buffers come and go between: what is put off has to keep what it works on, more than a pool does.
            for _ in 0..round {
                let mut next = stream.map([16, 12, 20]).expect("room");
                stream.warp_features(&map, &field, &mut next).expect("asked");
                map = next;
            }
            let kept: Vec<_> = (0..round).map(|_| stream.map::<f32>([16, 12, 20]).expect("room")).collect();
            drop(kept);
            download(stream, &map)
        };
        verdict.equal(&format!("{round} steps"), &carried(&put_off), &carried(&at_once));
    }
    verdict.give("launches that are put off");
}

#[test]
fn another_stream_that_waits_for_a_mark_waits_for_what_was_put_off_before_it() {
    let Some(stream) = stream("another_stream_that_waits") else { return };
    let (put_off, beside) = (stream.device().stream_of_graphs(), stream.device().low_priority_stream());
    let (put_off, beside) = (put_off.expect("a stream"), beside.expect("a stream"));
    let mut noise = Noise(13);
    let (features, flow) = (noise.map([16, 12, 20], 4.0), noise.field(12, 20, 2.0));
    let (from, field) = (upload(&put_off, &features), upload_field(&put_off, &flow));
    let mut to = put_off.map([16, 12, 20]).expect("room");
    put_off.warp_features(&from, &field, &mut to).expect("asked");
    beside.wait_for(&put_off.mark().expect("marked")).expect("asked");
    let mut expected = FeatureMap::default();
    Warper::new().warp(&features, &flow, &mut expected);
    let mut verdict = Verdict::default();
    verdict.equal("warp", &download(&beside, &to), &expected.values);
    verdict.give("a mark behind what was put off");
}

#[test]
fn what_waits_or_allocates_while_a_stream_is_captured_is_refused_and_the_stream_works_on() {
    let Some(stream) = stream("what_waits") else { return };
    let (buffer, mut values) = (stream.buffer::<f32>(4).expect("room"), [0.0; 4]);
    let refused = [
        ("waiting", stream.capture(Stream::synchronize).err()),
        ("downloading", stream.capture(|stream| stream.download(&buffer, &mut values)).err()),
        ("allocating", stream.capture(|stream| stream.buffer::<u8>(12_345_678).map(drop)).err()),
    ];
    for (what, answer) in refused {
        let told = answer.map(|error| error.to_string()).unwrap_or_default();
        assert!(told.contains("CAPTURE"), "{what}: {told}");
    }
    stream.download(&buffer, &mut values).expect("it works on");
}

#[test]
fn one_stream_waits_for_what_another_has_marked() {
    let Some(stream) = stream("one_stream_waits") else { return };
    let beside = stream.device().low_priority_stream().expect("a stream");
    let values: Vec<f32> = (0..1 << 20).map(|value| value as f32).collect();
    let (mut from, mut to) = (stream.buffer(values.len()).expect("room"), beside.buffer(values.len()).expect("room"));
    stream.upload(&values, &mut from).expect("copied");
    let begun = stream.mark().expect("marked");
    beside.wait_for(&begun).expect("asked");
    beside.copy(&from, &mut to).expect("asked");
    let done = beside.mark().expect("marked");
    done.wait().expect("done");
    assert!(done.has_passed().expect("no failure") && done.ms_since(&begun).expect("a time") >= 0.0);
    let mut back = vec![0.0; values.len()];
    beside.download(&to, &mut back).expect("done");
    assert!(back == values, "what came back is what went up");
}

#[test]
fn what_bursts_of_buffers_took_goes_back_to_the_device_with_and_without_graphs() {
    let Some(stream) = stream("bursts_of_buffers") else { return };
    let device = stream.device().clone();
    // If nothing of it went back, memory would be full after a dozen.
    let bytes = device.info().memory / 256;
    for stream in [stream, device.stream_of_graphs().expect("a stream")] {
        for _ in 0..20 {
            let burst: Vec<_> = (0..40).map(|_| stream.buffer::<u8>(bytes).expect("room")).collect();
            drop(burst);
            stream.synchronize().expect("nothing failed");
        }
    }
}

#[test]
fn more_memory_than_there_is_is_refused_and_nothing_is_lost() {
    let Some(stream) = stream("more_memory") else { return };
    let all = stream.device().info().memory;
    let refused = stream.buffer::<u8>(all + (1 << 30));
    assert!(matches!(refused, Err(CudaError::OutOfMemory { .. })), "{refused:?}");
    let mut buffer = stream.buffer(4).expect("there is still room");
    stream.upload(&[1.0_f32, 2.0, 3.0, 4.0], &mut buffer).expect("copied");
    let mut back = [0.0_f32; 4];
    stream.download(&buffer, &mut back).expect("done");
    assert_eq!(back.map(f32::to_bits), [1.0_f32, 2.0, 3.0, 4.0].map(f32::to_bits));
}
