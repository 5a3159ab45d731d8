//! Pictures, and what the twins make of them.

use segfuse::data::{Image, PixelFormat, Size};
use segfuse::engine::cpu::preprocess::{ChannelOrder, Normalization, Preprocessor};
use segfuse::engine::cpu::residual::glance;
use segfuse::engine::cpu::{FeatureMap, round_to_bytes};
use segfuse::engine::network::{Chain, Channels, InputSpec};

/// A texture whose content lies `shift` pixels further to the left and half as many further up.
pub(crate) fn texture(size: Size, shift: f32) -> Image {
    let pixel = |i: usize| {
        let (x, y) = ((i % size.width as usize) as f32 + shift, (i / size.width as usize) as f32 + shift / 2.0);
        let wave = |fx: f32, fy: f32| (fx * x + fy * y).sin();
        let broad = wave(0.05, 0.02) + wave(-0.02, 0.06);
        (127.0 + 30.0 * broad + 20.0 * (wave(0.21, 0.09) + wave(-0.11, 0.25))) as u8
    };
    let bytes: Vec<u8> = (0..size.pixels()).map(pixel).collect();
    Image::packed(PixelFormat::Grey, size, bytes.into()).expect("a byte a pixel")
}

pub(crate) fn input(rows: usize, cols: usize, channels: Channels, chain: Chain) -> InputSpec {
    InputSpec { rows, cols, channels, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225], chain }
}

/// What the twins make of a picture: planes and glance.
pub(crate) fn prepared(image: &Image, spec: &InputSpec) -> (FeatureMap, FeatureMap) {
    let order = if spec.channels == Channels::Bgr { ChannelOrder::Bgr } else { ChannelOrder::Rgb };
    let how = Normalization { mean: spec.mean, std: spec.std, order };
    let mut planes = FeatureMap::zeros(3, spec.rows, spec.cols);
    Preprocessor::new(spec.rows, spec.cols, how).run(image, &mut planes.values).expect("not a JPEG");
    if spec.chain == Chain::Common {
        round_to_bytes(&mut planes.values, spec);
    }
    let mut small = FeatureMap::default();
    glance(&planes.values, [3, spec.rows, spec.cols], &mut small);
    (planes, small)
}
