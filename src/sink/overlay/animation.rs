//! An animated PNG for machines without ffmpeg: grey picture tinted by class, a palette of 256 colours.
//!
//! A PNG says first how many frames it has, so the frames wait in memory: at most 160 of them and 48 MiB,
//! every second one dropped each time they are full. That bounds the file as well (about 6 MB in practice),
//! whatever the trip's length; a long trip becomes a time lapse, and the outcome says so.

use super::caption::{Inks, Layout};
use super::paint::{Tint, mask_row};
use super::{Config, OverlayError, OverlayOutcome, OverlaySink};
use crate::data::{ClassTable, Image, ImageError, LabelMask, Size, to_grey8};
use embedded_graphics::pixelcolor::Gray8;
use embedded_graphics::prelude::*;
use image::{GrayImage, imageops};
use std::convert::Infallible;
use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;

/// Frames kept, and their bytes together.
const MAX_FRAMES: usize = 160;
const MAX_BYTES: usize = 48 << 20;
/// Frames a second at most: what is watched, not measured.
const MAX_RATE_HZ: f64 = 10.0;
/// The longest that one frame stands; beyond it time runs faster than it did.
const MAX_DELAY_MS: f64 = 200.0;
/// Palette places of text and background; all others are shades of classes.
const TEXT: u8 = 255;
const PAPER: u8 = 254;
/// Shades of one class: fewer look like a poster, more cost size.
const MAX_SHADES: usize = 16;
/// Shades without which the picture is not to be recognised.
const MIN_SHADES: usize = 4;

/// Frames waiting to be written.
#[derive(Debug)]
pub(super) struct AnimationWriter {
    path: PathBuf,
    part: PathBuf,
    layout: Layout,
    palette: ShadePalette,
    inks: Inks<Gray8>,
    rate_hz: f64,
    frames: Vec<Vec<u8>>,
    /// Frames between two that are kept.
    stride: u64,
    seen: u64,
}

/// `picture` at the animation's width.
pub(super) fn shrunk(picture: Size, config: &Config) -> Size {
    let width = picture.width.min(config.animation_width);
    let height = u64::from(picture.height) * u64::from(width) / u64::from(picture.width);
    // 16384x1 at most gives 1x16384: bounded by the sides that an image may have.
    Size::new(width, (height as u32).max(1))
}

impl AnimationWriter {
    pub(super) fn new(sink: &OverlaySink, layout: Layout) -> Result<Self, OverlayError> {
        let palette = ShadePalette::new(&sink.classes, sink.config.alpha)?;
        let middle = |class| Gray8::new(palette.index(class, 160));
        let classes = (0..sink.classes.classes().len()).map(middle).collect();
        Ok(Self {
            path: sink.path.clone(),
            part: sink.part_path(),
            inks: Inks { text: Gray8::new(TEXT), paper: Gray8::new(PAPER), classes },
            palette,
            layout,
            rate_hz: sink.rate_hz,
            frames: Vec::new(),
            stride: (sink.rate_hz / MAX_RATE_HZ).ceil().max(1.0) as u64,
            seen: 0,
        })
    }

    /// Takes one frame, if it is its turn.
    pub(super) fn push(&mut self, image: &Image, mask: &LabelMask, caption: &str) -> Result<(), ImageError> {
        let turn = self.seen.is_multiple_of(self.stride);
        self.seen += 1;
        if !turn {
            return Ok(());
        }
        let frame = self.draw(image, mask, caption)?;
        self.frames.push(frame);
        if self.frames.len() >= (MAX_BYTES / self.layout.canvas.pixels()).clamp(2, MAX_FRAMES) {
            let mut keep = [true, false].into_iter().cycle();
            self.frames.retain(|_| keep.next().unwrap_or(true));
            self.stride *= 2;
        }
        Ok(())
    }

    /// Writes the file and gives it its name.
    pub(super) fn finish(self) -> Result<OverlayOutcome, OverlayError> {
        self.encode().inspect_err(|_| drop(std::fs::remove_file(&self.part)))?;
        std::fs::rename(&self.part, &self.path)
            .map_err(|source| OverlayError::File { path: self.path.clone(), source })?;
        let (path, frames) = (self.path.clone(), self.frames.len() as u64);
        Ok(OverlayOutcome { path, frames, note: self.note() })
    }

    fn note(&self) -> Option<String> {
        let Self { stride, seen, .. } = self;
        let lapse = self.real_delay_ms() / self.delay_ms();
        let faster = if lapse > 1.01 { format!(", {lapse:.1} times as fast as it was") } else { String::new() };
        (*stride > 1).then(|| format!("one in {stride} of {seen} frames, at {}{faster}", self.layout.picture))
    }

    fn real_delay_ms(&self) -> f64 {
        self.stride as f64 * 1000.0 / self.rate_hz
    }

    fn delay_ms(&self) -> f64 {
        self.real_delay_ms().min(MAX_DELAY_MS)
    }

    fn draw(&self, image: &Image, mask: &LabelMask, caption: &str) -> Result<Vec<u8>, ImageError> {
        let Layout { picture, canvas, .. } = self.layout;
        let full = GrayImage::from_raw(image.size().width, image.size().height, to_grey8(image)?)
            .expect("to_grey8 gives one byte a pixel");
        let grey = imageops::thumbnail(&full, picture.width, picture.height).into_raw();
        let mut indices = vec![PAPER; canvas.pixels()];
        let rows = indices.chunks_exact_mut(canvas.width as usize).zip(grey.chunks_exact(picture.width as usize));
        for (y, (to, from)) in rows.enumerate() {
            let labels = mask_row(mask, y, picture);
            for (x, (to, &grey)) in to.iter_mut().zip(from).enumerate() {
                *to = self.palette.index(usize::from(labels.label(x, picture.width)), grey);
            }
        }
        let mut target = IndexCanvas { size: canvas, indices: &mut indices };
        let Ok(()) = self.layout.draw(&mut target, &self.inks, caption);
        Ok(indices)
    }

    fn encode(&self) -> Result<(), OverlayError> {
        let fail = |source| OverlayError::Encode { path: self.path.clone(), source };
        let file = File::create(&self.part).map_err(|source| OverlayError::File { path: self.part.clone(), source })?;
        let canvas = self.layout.canvas;
        let mut encoder = png::Encoder::new(BufWriter::new(file), canvas.width, canvas.height);
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_palette(self.palette.colors.concat());
        encoder.set_animated(self.frames.len() as u32, 0).map_err(fail)?;
        encoder.set_frame_delay(self.delay_ms().round() as u16, 1000).map_err(fail)?;
        let mut writer = encoder.write_header().map_err(fail)?;
        self.frames.iter().try_for_each(|frame| writer.write_image_data(frame)).map_err(fail)?;
        writer.finish().map_err(fail)
    }
}

/// Shades of grey tinted by each class, then of grey alone.
#[derive(Debug)]
struct ShadePalette {
    classes: usize,
    shades: usize,
    colors: Vec<[u8; 3]>,
}

impl ShadePalette {
    fn new(table: &ClassTable, alpha: f32) -> Result<Self, OverlayError> {
        let (places, classes) = (usize::from(PAPER), table.classes().len());
        let shades = (places / (classes + 1)).min(MAX_SHADES);
        if shades < MIN_SHADES {
            let most = places / MIN_SHADES - 1;
            return Err(OverlayError::Classes { table: table.name.clone(), got: classes, most });
        }
        let tint = Tint::new(table, alpha);
        let grey = |shade: usize| ((2 * shade + 1) * 255 / (2 * shades)) as u8;
        let tinted = |color: [u8; 3]| (0..shades).map(move |shade| (color, grey(shade)));
        let mix = |(color, grey): ([u8; 3], u8)| color.map(|value| tint.mix(grey, value));
        let mut colors: Vec<[u8; 3]> = table.classes().iter().flat_map(|class| tinted(class.color)).map(mix).collect();
        colors.extend((0..shades).map(|shade| [grey(shade); 3]));
        colors.resize(256, [0; 3]);
        (colors[usize::from(PAPER)], colors[usize::from(TEXT)]) = ([20, 24, 29], [235, 238, 242]);
        Ok(Self { classes, shades, colors })
    }

    /// The palette place of a pixel of class `label` (any other id: none) and luma `grey`.
    fn index(&self, label: usize, grey: u8) -> u8 {
        (label.min(self.classes) * self.shades + usize::from(grey) * self.shades / 256) as u8
    }
}

struct IndexCanvas<'a> {
    size: Size,
    indices: &'a mut [u8],
}

impl OriginDimensions for IndexCanvas<'_> {
    fn size(&self) -> embedded_graphics::geometry::Size {
        embedded_graphics::geometry::Size::new(self.size.width, self.size.height)
    }
}

impl DrawTarget for IndexCanvas<'_> {
    type Color = Gray8;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Gray8>>>(&mut self, pixels: I) -> Result<(), Infallible> {
        for Pixel(Point { x, y }, color) in pixels {
            let inside = (0..self.size.width as i32).contains(&x) && (0..self.size.height as i32).contains(&y);
            if inside {
                self.indices[y as usize * self.size.width as usize + x as usize] = color.luma();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_its_shades_and_no_two_share_a_place() {
        let palette = ShadePalette::new(&ClassTable::cityscapes(), 0.5).expect("19 classes fit");
        assert_eq!((palette.shades, palette.colors.len()), (12, 256));
        let places: std::collections::BTreeSet<u8> = (0..20)
            .flat_map(|class| (0..=255).map(move |grey| (class, grey)))
            .map(|(c, g)| palette.index(c, g))
            .collect();
        assert_eq!(places.len(), 240);
        assert!(places.iter().all(|&place| place < PAPER));
        assert_eq!(palette.index(255, 0), palette.index(19, 0), "no class is grey");
    }

    #[test]
    fn a_table_too_large_for_the_palette_is_refused() {
        let class = |id: usize| format!("[[class]]\nid = {id}\nname = \"c{id}\"\ncolor = [0, 0, 0]\n");
        let text = format!("name = \"many\"\n{}", (0..80).map(class).collect::<String>());
        let table = ClassTable::from_toml(&text).expect("80 classes are a table");
        let error = ShadePalette::new(&table, 0.5).expect_err("80 do not fit");
        assert!(matches!(error, OverlayError::Classes { got: 80, most: 62, .. }), "{error}");
    }
}
