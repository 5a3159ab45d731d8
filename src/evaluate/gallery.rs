//! The frames that the report shows, encoded when they are taken: bounded memory whatever the set's length.

use super::confusion::ConfusionMatrix;
use super::labels::sample_nearest;
use super::{Config, EvaluationItem};
use crate::data::{ClassTable, Image, Size, Stamp, UNLABELED, to_rgb8};
use image::codecs::jpeg::JpegEncoder;
use image::{RgbImage, imageops};

/// Worst frames are at least this many frames apart, so that they are not all of one moment.
const APART: u64 = 5;
/// Of 100: small files, and no artefact that could be taken for the camera's.
const JPEG_QUALITY: u8 = 82;
/// Colours of the error map: right, wrong, not labelled.
const ERROR_COLORS: [[u8; 3]; 3] = [[206, 214, 224], [214, 40, 57], [40, 44, 52]];

/// An encoded picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// `image/jpeg` or `image/png`.
    pub media_type: &'static str,
    /// The file.
    pub bytes: Vec<u8>,
}

/// A frame to look at.
#[derive(Clone, Debug)]
pub struct ShownFrame {
    /// Its name.
    pub name: String,
    /// Its place among the frames seen, from 0.
    pub index: u64,
    /// Its stamp.
    pub stamp: Option<Stamp>,
    /// Frames since the key frame.
    pub distance: Option<u32>,
    /// Its own mIoU in percent.
    pub miou: Option<f64>,
    /// Its own pixel accuracy in percent.
    pub pixel_accuracy: Option<f64>,
    /// The camera's picture, or why there is none.
    pub picture: Result<Picture, String>,
    /// The mask in the classes' colours.
    pub prediction: Picture,
    /// The labels in the classes' colours.
    pub truth: Option<Picture>,
    /// Where the mask is wrong.
    pub errors: Option<Picture>,
}

/// A frame's labels in ids of the evaluated table, both of `size`.
pub(super) struct View<'a> {
    pub(super) index: u64,
    pub(super) size: Size,
    pub(super) predicted: &'a [u8],
    pub(super) truth: Option<&'a [u8]>,
}

/// Keeps the worst frames among those with labels, and a spread of those without.
#[derive(Debug)]
pub(super) struct Gallery {
    bound: usize,
    width: u32,
    worst: Vec<ShownFrame>,
    samples: Vec<ShownFrame>,
    /// Frames without labels between two samples, doubled whenever the samples are full.
    stride: u64,
    unlabelled: u64,
}

impl Gallery {
    pub(super) fn new(config: &Config) -> Self {
        let Config { shown_frames: bound, picture_width: width } = *config;
        Self { bound, width, worst: Vec::new(), samples: Vec::new(), stride: 1, unlabelled: 0 }
    }

    /// Takes a frame with labels if it is one of the worst.
    pub(super) fn offer_scored(
        &mut self,
        item: &EvaluationItem,
        view: &View,
        own: &ConfusionMatrix,
        table: &ClassTable,
    ) {
        let Some(miou) = own.miou_percent() else { return };
        let Some(place) = self.place_for(view.index, miou) else { return };
        let mut shown = self.show(item, view, table);
        (shown.miou, shown.pixel_accuracy) = (Some(miou), own.pixel_accuracy_percent());
        match place {
            Place::New => self.worst.push(shown),
            Place::Instead(index) => self.worst[index] = shown,
        }
    }

    /// Takes a frame without labels if it is its turn.
    pub(super) fn offer_sample(&mut self, item: &EvaluationItem, view: &View, table: &ClassTable) {
        let turn = self.unlabelled.is_multiple_of(self.stride) && self.bound > 0;
        self.unlabelled += 1;
        if !turn {
            return;
        }
        if self.samples.len() == self.bound {
            let mut keep = [true, false].into_iter().cycle();
            self.samples.retain(|_| keep.next().unwrap_or(true));
            self.stride *= 2;
            if !(self.unlabelled - 1).is_multiple_of(self.stride) || self.samples.len() == self.bound {
                return;
            }
        }
        let shown = self.show(item, view, table);
        self.samples.push(shown);
    }

    /// The worst first; without any frame with labels, the samples in order.
    pub(super) fn into_frames(mut self) -> Vec<ShownFrame> {
        self.worst.sort_by(|a, b| a.miou.partial_cmp(&b.miou).unwrap_or(std::cmp::Ordering::Equal));
        if self.worst.is_empty() { self.samples } else { self.worst }
    }

    fn place_for(&self, index: u64, miou: f64) -> Option<Place> {
        let score = |shown: &ShownFrame| shown.miou.unwrap_or(f64::INFINITY);
        let near = self.worst.iter().position(|shown| index - shown.index < APART);
        let best = (0..self.worst.len()).max_by(|&a, &b| score(&self.worst[a]).total_cmp(&score(&self.worst[b])));
        match near.or(best.filter(|_| self.worst.len() >= self.bound)) {
            Some(rival) => (miou < score(&self.worst[rival])).then_some(Place::Instead(rival)),
            None => (self.bound > 0).then_some(Place::New),
        }
    }

    fn show(&self, item: &EvaluationItem, view: &View, table: &ClassTable) -> ShownFrame {
        let size = shrunk(item.image.as_ref().map_or(view.size, Image::size), self.width);
        let colors = class_colors(table);
        let draw = |labels: &[u8]| labels_png(labels, view.size, size, &colors);
        ShownFrame {
            name: item.name.clone(),
            index: view.index,
            stamp: item.stamp,
            distance: item.distance,
            miou: None,
            pixel_accuracy: None,
            picture: picture_jpeg(item, size),
            prediction: draw(view.predicted),
            truth: view.truth.map(draw),
            errors: view.truth.map(|truth| labels_png(&errors(truth, view.predicted), view.size, size, &ERROR_COLORS)),
        }
    }
}

/// Where a frame goes in the gallery.
enum Place {
    New,
    Instead(usize),
}

fn shrunk(size: Size, width: u32) -> Size {
    if size.width <= width {
        return size;
    }
    let height = u64::from(size.height) * u64::from(width) / u64::from(size.width);
    Size::new(width, (height as u32).max(1))
}

/// The classes' colours by id; every other id is drawn black.
fn class_colors(table: &ClassTable) -> Vec<[u8; 3]> {
    table.classes().iter().map(|class| class.color).collect()
}

fn errors(truth: &[u8], predicted: &[u8]) -> Vec<u8> {
    let judge = |(&truth, predicted): (&u8, &u8)| match truth {
        UNLABELED => 2,
        _ => u8::from(truth != *predicted),
    };
    truth.iter().zip(predicted).map(judge).collect()
}

fn picture_jpeg(item: &EvaluationItem, size: Size) -> Result<Picture, String> {
    let image = item.image.as_ref().ok_or("no picture")?;
    let rgb = to_rgb8(image).map_err(|error| error.to_string())?;
    let full = RgbImage::from_raw(image.size().width, image.size().height, rgb).ok_or("picture of a wrong length")?;
    let small = imageops::thumbnail(&full, size.width, size.height);
    let mut bytes = Vec::new();
    small
        .write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY))
        .map_err(|error| error.to_string())?;
    Ok(Picture { media_type: "image/jpeg", bytes })
}

/// A palette PNG of `labels` resized by nearest; ids past `colors` are black.
fn labels_png(labels: &[u8], from: Size, to: Size, colors: &[[u8; 3]]) -> Picture {
    let mut indices = Vec::with_capacity(to.pixels());
    let black = colors.len().min(255) as u8;
    sample_nearest(labels, from, to, |id| indices.push(id.min(black)));
    let palette: Vec<u8> = colors.iter().take(255).chain([&[0; 3]]).flatten().copied().collect();
    let bytes = encode_indexed(&indices, to, palette).expect("writing to memory with a full palette cannot fail");
    Picture { media_type: "image/png", bytes }
}

fn encode_indexed(indices: &[u8], size: Size, palette: Vec<u8>) -> Result<Vec<u8>, png::EncodingError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, size.width, size.height);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_palette(palette);
    encoder.write_header()?.write_image_data(indices)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::LabelMask;

    fn gallery(bound: usize) -> Gallery {
        Gallery::new(&Config { shown_frames: bound, ..Config::default() })
    }

    fn item() -> EvaluationItem {
        let prediction = LabelMask::new(Size::new(2, 1), vec![0, 1].into()).expect("two labels");
        EvaluationItem {
            name: "a".into(),
            stamp: None,
            distance: None,
            prediction,
            truth: None,
            image: None,
            confidence: None,
        }
    }

    /// Frames of 100 pixels of which `wrong` are predicted as class 1 instead of 0.
    fn offer(gallery: &mut Gallery, index: u64, wrong: usize) {
        let predicted: Vec<u8> = (0..100).map(|pixel| u8::from(pixel < wrong)).collect();
        let truth = [0; 100];
        let mut own = ConfusionMatrix::new(11);
        own.record(&truth, &predicted);
        let view = View { index, size: Size::new(100, 1), predicted: &predicted, truth: Some(&truth) };
        gallery.offer_scored(&item(), &view, &own, &ClassTable::camvid());
    }

    #[test]
    fn the_worst_frames_stay_each_from_another_moment() {
        let mut gallery = gallery(2);
        for (index, wrong) in [(0, 10), (1, 60), (2, 50), (10, 20), (20, 30), (30, 5)] {
            offer(&mut gallery, index, wrong);
        }
        let kept: Vec<u64> = gallery.into_frames().iter().map(|shown| shown.index).collect();
        assert_eq!(kept, [1, 20]);
    }

    #[test]
    fn frames_without_labels_are_sampled_evenly_and_bounded() {
        let mut gallery = gallery(4);
        for index in 0..100 {
            let view = View { index, size: Size::new(2, 1), predicted: &[0, 1], truth: None };
            gallery.offer_sample(&item(), &view, &ClassTable::camvid());
        }
        let kept: Vec<u64> = gallery.into_frames().iter().map(|shown| shown.index).collect();
        assert_eq!(kept, [0, 32, 64, 96]);
    }

    #[test]
    fn a_label_picture_reads_back_as_the_class_colours() {
        let table = ClassTable::camvid();
        let picture = labels_png(&[0, 3, 255, 8], Size::new(2, 2), Size::new(2, 2), &class_colors(&table));
        let read = image::load_from_memory(&picture.bytes).expect("a PNG").into_rgb8();
        let expected = [table.color_of(0), table.color_of(3), [0; 3], table.color_of(8)].concat();
        assert_eq!(read.into_raw(), expected);
    }

    #[test]
    fn nothing_is_kept_when_nothing_is_to_be_shown() {
        let mut gallery = gallery(0);
        offer(&mut gallery, 0, 5);
        assert!(gallery.into_frames().is_empty());
    }
}
