//! The kernels once more, as plainly as they can be said: what every fast version is held against.
//!
//! ```
//! use segfuse::engine::cpu::{FeatureMap, reference};
//! let logits = FeatureMap { channels: 2, rows: 1, cols: 1, values: vec![1.0, 3.5] };
//! let (labels, confidence) = reference::decode(&logits, segfuse::data::Size::new(2, 1));
//! assert_eq!((labels, confidence), (vec![1, 1], vec![40, 40]));
//! ```

use super::FeatureMap;
use super::preprocess::{ChannelOrder, Normalization};
use crate::data::{Image, ImageError, Size, UNLABELED, to_rgb8};
use crate::flow::FlowField;

/// `[3, rows, cols]`: the image as RGB, resized, normalised; every step whole and in `f64`.
pub fn preprocess(image: &Image, rows: usize, cols: usize, how: &Normalization) -> Result<Vec<f64>, ImageError> {
    let rgb = to_rgb8(image)?;
    let (width, height) = (image.size().width as usize, image.size().height as usize);
    let mut out = Vec::with_capacity(3 * rows * cols);
    for plane in 0..3 {
        let channel = if how.order == ChannelOrder::Rgb { plane } else { 2 - plane };
        let (mean, std) = (f64::from(how.mean[plane]), f64::from(how.std[plane]));
        let pixel = |y: usize, x: usize| f64::from(rgb[(y * width + x) * 3 + channel]);
        for row in 0..rows {
            let (y, below, down) = between(row, height, rows);
            for col in 0..cols {
                let (x, next, right) = between(col, width, cols);
                let upper = pixel(y, x) * (1.0 - right) + pixel(y, next) * right;
                let lower = pixel(below, x) * (1.0 - right) + pixel(below, next) * right;
                out.push(((upper * (1.0 - down) + lower * down) / 255.0 - mean) / std);
            }
        }
    }
    Ok(out)
}

/// Labels and confidence of logits `[classes, rows, cols]` at `size`.
///
/// The definition, in `f32` and in this order: along the row first, then between the rows; the first
/// of equal classes wins; a NaN never wins; where nothing wins the pixel stays unlabeled. Confidence
/// is the margin between the two best in steps of 1/16, rounded down, at most 255.
pub fn decode(logits: &FeatureMap, size: Size) -> (Vec<u8>, Vec<u8>) {
    let mut labels = vec![UNLABELED; size.pixels()];
    let mut confidence = vec![0; size.pixels()];
    if logits.rows == 0 || logits.cols == 0 {
        return (labels, confidence);
    }
    for y in 0..size.height as usize {
        for x in 0..size.width as usize {
            let pixel = y * size.width as usize + x;
            let (mut best, mut second) = (f32::NEG_INFINITY, f32::NEG_INFINITY);
            for class in 0..logits.channels {
                let value = logit(logits, class, (y, x), size);
                if value > best {
                    (second, best) = (best, value);
                    labels[pixel] = class as u8;
                } else if value > second {
                    second = value;
                }
            }
            confidence[pixel] = ((best - second) * 16.0) as u8;
        }
    }
    (labels, confidence)
}

fn logit(logits: &FeatureMap, class: usize, (y, x): (usize, usize), size: Size) -> f32 {
    let (top, bottom, down) = between(y, logits.rows, size.height as usize);
    let (left, right, along) = between(x, logits.cols, size.width as usize);
    let plane = logits.plane(class);
    let (down, along) = (down as f32, along as f32);
    let on_row = |row: usize| {
        let line = &plane[row * logits.cols..];
        line[left] + (line[right] - line[left]) * along
    };
    on_row(top) + (on_row(bottom) - on_row(top)) * down
}

/// Features fetched from where `flow` points to, in `f64`: cubic convolution with -0.75 (Keys, 1981), the border clamped,
/// NaN as no motion.
pub fn warp(features: &FeatureMap, flow: &FlowField) -> Vec<f64> {
    let FeatureMap { channels, rows, cols, .. } = *features;
    let mut out = Vec::with_capacity(features.values.len());
    for channel in 0..channels {
        let plane = features.plane(channel);
        for cell in 0..rows * cols {
            let [x, y] =
                flow.at(cell / cols, cell % cols).map(|step| if step.is_nan() { 0.0 } else { f64::from(step) });
            let ys = around((cell / cols) as f64 + y, rows);
            let xs = around((cell % cols) as f64 + x, cols);
            let line =
                |row: usize| -> f64 { xs.iter().map(|(col, part)| f64::from(plane[row * cols + col]) * part).sum() };
            out.push(ys.iter().map(|&(row, part)| line(row) * part).sum());
        }
    }
    out
}

/// The four inputs around `place` and their shares.
fn around(place: f64, count: usize) -> [(usize, f64); 4] {
    let (first, _, part) = split(place, count);
    [-1, 0, 1, 2].map(|tap| {
        let far = (f64::from(tap) - part).abs();
        let share = if far <= 1.0 {
            1.25 * far.powi(3) - 2.25 * far.powi(2) + 1.0
        } else {
            -0.75 * (far.powi(3) - 5.0 * far.powi(2) + 8.0 * far - 4.0)
        };
        let index = (first as i64 + i64::from(tap)).clamp(0, count as i64 - 1);
        (index as usize, share)
    })
}

/// The two inputs around output sample `index` and the share of the second: half-pixel centres.
fn between(index: usize, input: usize, output: usize) -> (usize, usize, f64) {
    split((index as f64 + 0.5) * input as f64 / output as f64 - 0.5, input)
}

fn split(place: f64, count: usize) -> (usize, usize, f64) {
    let place = place.clamp(0.0, (count - 1) as f64);
    let first = place.floor();
    (first as usize, (first as usize + 1).min(count - 1), place - first)
}
