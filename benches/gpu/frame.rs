//! The whole of a propagated frame's work on the device without the network: the picture goes up, is prepared, followed,
//! features are carried along the flow to it and held against it, logits become a mask, the mask comes down.

use super::device::{Noise, upload_half};
use super::kernels::{how, picture};
use super::{Bench, least_us};
use segfuse::data::{PixelFormat, Size};
use segfuse::engine::cuda::device_picture;
use segfuse::flow::GreyPyramid;
use segfuse::sys::cuda::{CudaError, DeviceMap, DevicePicture, DevicePyramid, FlowScratch, Half, Preparation, Stream};

/// Everything that a frame works on: buffers that are there before it comes.
struct Frame {
    picture: DevicePicture,
    planes: DeviceMap<Half>,
    glances: [DeviceMap<f32>; 2],
    pyramids: [DevicePyramid; 2],
    scratch: FlowScratch,
    /// From the frame before, from the key frame to that one, and both together.
    flows: [DeviceMap<f32>; 3],
    features: [DeviceMap<Half>; 2],
    residual: DeviceMap<f32>,
    logits: DeviceMap<Half>,
    mask: [DeviceMap<u8>; 2],
    how: Preparation,
}

pub(crate) fn run(bench: &mut Bench) {
    for size in [Size::new(1280, 720), Size::new(3840, 2160)].into_iter().take(if bench.quick { 1 } else { 2 }) {
        if bench.wants("frame")
            && let Err(error) = frame(bench, size)
        {
            bench.failed += 1;
            println!("frame/{size}: FAILED: {error}");
        }
    }
}

fn frame(bench: &Bench, size: Size) -> Result<(), CudaError> {
    let stream = &bench.stream;
    let image = picture(PixelFormat::Yuyv, size, 0.0);
    let mut frame = Frame::new(stream, size)?;
    let launches = if bench.quick { 1 } else { 50 };
    let (bytes, pixels) = (image.bytes().clone(), size.pixels());
    let (mut labels, mut margins) = (vec![0; pixels], vec![0; pixels]);
    let alone = least_us(stream, launches, || frame.work(stream))?;
    let up = least_us(stream, launches, || stream.upload(&bytes, &mut frame.picture.bytes))?;
    let mut down = || {
        let [label_map, margin_map] = &frame.mask;
        stream.download_both((label_map.buffer(), &mut labels), (margin_map.buffer(), &mut margins))
    };
    let down = least_us(stream, launches, &mut down)?;
    let whole = least_us(stream, launches, || {
        stream.upload(&bytes, &mut frame.picture.bytes)?;
        frame.work(stream)?;
        let [label_map, margin_map] = &frame.mask;
        stream.download_both((label_map.buffer(), &mut labels), (margin_map.buffer(), &mut margins))
    })?;
    println!("\nframe/{size}, yuyv, 64x48x80 features, without the network, microseconds on the device's clock:");
    println!("  picture up {up:.0}, mask down {down:.0} (each through pinned memory, the host's copies counted)");
    println!("  the work between, launched kernel by kernel {alone:.0}");
    let graph = stream.capture(|stream| frame.work(stream)).and_then(|graph| {
        let inner = least_us(stream, launches, || graph.launch())?;
        let whole = least_us(stream, launches, || {
            stream.upload(&bytes, &mut frame.picture.bytes)?;
            graph.launch()?;
            let [label_map, margin_map] = &frame.mask;
            stream.download_both((label_map.buffer(), &mut labels), (margin_map.buffer(), &mut margins))
        })?;
        Ok((inner, whole))
    });
    match graph {
        Ok((inner, graph_whole)) => {
            println!("  the work between, as one graph {inner:.0}");
            println!("  all of it: kernel by kernel {whole:.0}, as one graph {graph_whole:.0}");
        }
        Err(error) => println!("  all of it: kernel by kernel {whole:.0}; no graph: {error}"),
    }
    frame.parts(bench, stream, launches)
}

impl Frame {
    fn new(stream: &Stream, size: Size) -> Result<Self, CudaError> {
        let mut noise = Noise(9);
        let image = picture(PixelFormat::Yuyv, size, 3.0);
        let reduction = GreyPyramid::build(&image).expect("not a JPEG").reduction();
        let sides = (size.width as usize, size.height as usize);
        let out = [1, sides.1, sides.0];
        let flow = || stream.map([2, 48, 80]);
        let features = noise.map([64, 48, 80], 8.0);
        let mut frame = Self {
            picture: device_picture(stream, &image).expect("not a JPEG"),
            planes: stream.map([3, 384, 640])?,
            glances: [stream.map([3, 96, 160])?, stream.map([3, 96, 160])?],
            pyramids: [stream.pyramid(sides, reduction)?, stream.pyramid(sides, reduction)?],
            scratch: FlowScratch::default(),
            flows: [flow()?, flow()?, flow()?],
            features: [upload_half(stream, &features), stream.map([64, 48, 80])?],
            residual: stream.map([1, 96, 160])?,
            logits: upload_half(stream, &noise.map([19, 48, 80], 12.0)),
            mask: [stream.map(out)?, stream.map(out)?],
            how: how(),
        };
        // The frame before.
        let [_, earlier_glance] = &mut frame.glances;
        let [_, earlier] = &mut frame.pyramids;
        stream.preprocess(&frame.picture, &frame.how, &mut frame.planes, Some(earlier_glance), Some(earlier))?;
        stream.upload(picture(PixelFormat::Yuyv, size, 0.0).bytes(), &mut frame.picture.bytes)?;
        Ok(frame)
    }

    fn work(&mut self, stream: &Stream) -> Result<(), CudaError> {
        self.observe(stream)?;
        self.follow(stream)?;
        self.carry(stream)?;
        self.decode(stream)
    }

    fn observe(&mut self, stream: &Stream) -> Result<(), CudaError> {
        let ([glance, _], [pyramid, _]) = (&mut self.glances, &mut self.pyramids);
        stream.preprocess(&self.picture, &self.how, &mut self.planes, Some(glance), Some(pyramid))
    }

    fn follow(&mut self, stream: &Stream) -> Result<(), CudaError> {
        let ([current, earlier], [step, before, both]) = (&self.pyramids, &mut self.flows);
        stream.estimate_flow((earlier, current), None, &mut self.scratch, step)?;
        stream.compose_flow(before, step, both)
    }

    fn carry(&mut self, stream: &Stream) -> Result<(), CudaError> {
        let ([from, to], [_, _, flow], [current, earlier]) = (&mut self.features, &self.flows, &self.glances);
        stream.warp_features(from, flow, to)?;
        stream.residual(earlier, current, flow, &mut self.residual, None)
    }

    fn decode(&mut self, stream: &Stream) -> Result<(), CudaError> {
        let [labels, margins] = &mut self.mask;
        stream.decode_mask(&self.logits, labels, margins)
    }

    /// What each step takes of it.
    fn parts(&mut self, bench: &Bench, stream: &Stream, launches: usize) -> Result<(), CudaError> {
        if bench.quick {
            return Ok(());
        }
        let observe = least_us(stream, launches, || self.observe(stream))?;
        let follow = least_us(stream, launches, || self.follow(stream))?;
        let carry = least_us(stream, launches, || self.carry(stream))?;
        let decode = least_us(stream, launches, || self.decode(stream))?;
        println!(
            "  of it observe {observe:.0}, flow and compose {follow:.0}, warp and residual {carry:.0}, decode {decode:.0}"
        );
        Ok(())
    }
}
