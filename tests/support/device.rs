//! The GPU that tests run on, and what they compare on it.

#![allow(dead_code, reason = "each test takes what it needs")]

use segfuse::data::{Image, PixelFormat, Size};
use segfuse::engine::cpu::FeatureMap;
use segfuse::flow::FlowField;
use segfuse::sys::cuda::{Device, DeviceMap, Half, Stream};

/// A stream of the first GPU; `None`, said loudly, where there is none. `$SEGFUSE_GPU_REQUIRED` makes that a failure.
pub(crate) fn stream(test: &str) -> Option<Stream> {
    match Device::open(0) {
        Ok(device) => Some(device.stream().expect("a stream")),
        Err(error) if error.is_absence() && std::env::var_os("SEGFUSE_GPU_REQUIRED").is_none() => {
            eprintln!("SKIPPED: {test}: {error}");
            None
        }
        Err(error) => panic!("{test}: {error}"),
    }
}

/// Numbers that look random and are the same in every run (xorshift, Marsaglia 2003).
pub(crate) struct Noise(pub(crate) u64);

impl Noise {
    fn next(&mut self) -> u64 {
        for shift in [13_i32, -7, 17] {
            self.0 ^= if shift > 0 { self.0 << shift } else { self.0 >> -shift };
        }
        self.0
    }

    pub(crate) fn byte(&mut self) -> u8 {
        (self.next() >> 32) as u8
    }

    /// In [-reach, reach).
    pub(crate) fn within(&mut self, reach: f32) -> f32 {
        ((self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0) * reach
    }

    pub(crate) fn map(&mut self, [channels, rows, cols]: [usize; 3], reach: f32) -> FeatureMap {
        let values = (0..channels * rows * cols).map(|_| self.within(reach)).collect();
        FeatureMap { channels, rows, cols, values }
    }

    /// Motions of a few cells, some far outside, some not finite.
    pub(crate) fn field(&mut self, rows: usize, cols: usize, reach: f32) -> FlowField {
        let mut values: Vec<f32> = (0..2 * rows * cols).map(|_| self.within(reach)).collect();
        for (place, value) in [(0, f32::NAN), (1, 1e9), (2, -1e9), (3, 0.0)] {
            if let Some(first) = values.get_mut(place * 3) {
                *first = value;
            }
        }
        FlowField { rows, cols, values }
    }

    /// A picture of random bytes with rows that are `gap` bytes apart.
    pub(crate) fn picture(&mut self, format: PixelFormat, size: Size, gap: usize) -> Image {
        let stride = format.row_bytes(size.width) + gap;
        let bytes: Vec<u8> = (0..stride * size.height as usize * 2).map(|_| self.byte()).collect();
        Image::new(format, size, stride, bytes.into()).expect("more than enough bytes")
    }
}

/// Rounded to half precision and back.
pub(crate) fn halved(map: &FeatureMap) -> FeatureMap {
    let values = map.values.iter().map(|value| Half::from_f32(*value).to_f32()).collect();
    FeatureMap { values, ..map.clone() }
}

pub(crate) fn upload(stream: &Stream, map: &FeatureMap) -> DeviceMap<f32> {
    stream.map_of([map.channels, map.rows, map.cols], &map.values).expect("room")
}

pub(crate) fn upload_half(stream: &Stream, map: &FeatureMap) -> DeviceMap<Half> {
    let halves: Vec<Half> = map.values.iter().map(|value| Half::from_f32(*value)).collect();
    stream.map_of([map.channels, map.rows, map.cols], &halves).expect("room")
}

pub(crate) fn upload_field(stream: &Stream, field: &FlowField) -> DeviceMap<f32> {
    stream.map_of([2, field.rows, field.cols], &field.values).expect("room")
}

pub(crate) fn download(stream: &Stream, map: &DeviceMap<f32>) -> Vec<f32> {
    let mut values = vec![0.0; map.len()];
    stream.download(map.buffer(), &mut values).expect("the work before it succeeded");
    values
}

pub(crate) fn download_half(stream: &Stream, map: &DeviceMap<Half>) -> Vec<f32> {
    let mut halves = vec![Half::default(); map.len()];
    stream.download(map.buffer(), &mut halves).expect("the work before it succeeded");
    halves.into_iter().map(Half::to_f32).collect()
}

pub(crate) fn download_bytes(stream: &Stream, map: &DeviceMap<u8>) -> Vec<u8> {
    let mut bytes = vec![0; map.len()];
    stream.download(map.buffer(), &mut bytes).expect("the work before it succeeded");
    bytes
}

/// Numbers of the device held against the twin's: collects what differs, and tells all of it at once.
#[derive(Default)]
pub(crate) struct Verdict {
    faults: Vec<String>,
    compared: usize,
    worst: f32,
}

impl Verdict {
    /// Equal bits; any NaN equals any other.
    pub(crate) fn equal(&mut self, what: &str, found: &[f32], expected: &[f32]) {
        self.share(what, (found, expected), 0.0, 1.0);
    }

    /// Each within `tolerance`.
    pub(crate) fn near(&mut self, what: &str, found: &[f32], expected: &[f32], tolerance: f32) {
        self.share(what, (found, expected), tolerance, 1.0);
    }

    /// At least `share` of them within `tolerance`.
    pub(crate) fn share(&mut self, what: &str, (found, expected): (&[f32], &[f32]), tolerance: f32, share: f64) {
        assert_eq!(found.len(), expected.len(), "{what}: as many numbers");
        self.compared += found.len();
        let apart = |(found, expected): (&f32, &f32)| {
            let same = found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan();
            if same { 0.0 } else { (found - expected).abs() }
        };
        let outside = |apart: f32| apart > tolerance || apart.is_nan();
        let all: Vec<f32> = found.iter().zip(expected).map(apart).collect();
        self.worst = all.iter().copied().fold(self.worst, f32::max);
        let wrong = all.iter().filter(|apart| outside(**apart)).count();
        if (wrong as f64) > (1.0 - share) * all.len() as f64 {
            let first = all.iter().position(|apart| outside(*apart)).unwrap_or_default();
            let (found, expected) = (found[first], expected[first]);
            let told = format!("{wrong} of {} differ, the first at {first}: {found} instead of {expected}", all.len());
            self.faults.push(format!("{what}: {told}"));
        }
    }

    pub(crate) fn equal_bytes(&mut self, what: &str, found: &[u8], expected: &[u8]) {
        assert_eq!(found.len(), expected.len(), "{what}: as many bytes");
        self.compared += found.len();
        let mut wrong = found.iter().zip(expected).enumerate().filter(|(_, (found, expected))| found != expected);
        if let Some((first, (found, expected))) = wrong.next() {
            let count = wrong.count() + 1;
            self.faults.push(format!("{what}: {count} differ, the first at {first}: {found} instead of {expected}"));
        }
    }

    /// Fails if anything differed; else says how far the device was from the twin at most.
    pub(crate) fn give(self, kernel: &str) {
        assert!(self.faults.is_empty(), "{kernel}: {} cases differ\n{}", self.faults.len(), self.faults.join("\n"));
        println!("{kernel}: {} numbers, at most {:e} apart", self.compared, self.worst);
    }
}
