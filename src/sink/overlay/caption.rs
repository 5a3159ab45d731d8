//! The strip below the picture: a line of text and the classes with their colours.

use super::Config;
use crate::data::{ClassTable, Size};
use embedded_graphics::mono_font::ascii::{FONT_6X13, FONT_9X18_BOLD};
use embedded_graphics::mono_font::{MonoFont, MonoTextStyle};
use embedded_graphics::pixelcolor::PixelColor;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::{PrimitiveStyle, Rectangle};
use embedded_graphics::text::{Baseline, Text};

/// Pictures at least this wide get the larger font.
const WIDE: u32 = 800;
/// Space around text, in pixels.
const MARGIN: u32 = 6;

/// Where everything is.
#[derive(Debug)]
pub(super) struct Layout {
    /// The picture, at the top left.
    pub(super) picture: Size,
    /// Everything; both sides even, as 4:2:0 video needs.
    pub(super) canvas: Size,
    font: &'static MonoFont<'static>,
    caption: Option<Point>,
    legend: Vec<LegendEntry>,
}

#[derive(Debug)]
struct LegendEntry {
    class: usize,
    name: String,
    at: Point,
}

/// Colours in whatever the target is made of.
#[derive(Debug)]
pub(super) struct Inks<C> {
    pub(super) text: C,
    pub(super) paper: C,
    /// By class.
    pub(super) classes: Vec<C>,
}

impl Layout {
    pub(super) fn new(picture: Size, classes: &ClassTable, config: &Config) -> Self {
        let font = if picture.width >= WIDE { &FONT_9X18_BOLD } else { &FONT_6X13 };
        let line = font.character_size.height + MARGIN;
        let mut bottom = picture.height;
        let caption = config.caption.then(|| Point::new(MARGIN as i32, (bottom + MARGIN) as i32));
        bottom += if config.caption { line } else { 0 };
        let mut legend = Vec::new();
        if config.legend {
            bottom = place_legend(classes, font, Size::new(picture.width, bottom + MARGIN), &mut legend);
        }
        bottom += if bottom > picture.height { MARGIN } else { 0 };
        let canvas = Size::new(picture.width.next_multiple_of(2), bottom.next_multiple_of(2));
        Self { picture, canvas, font, caption, legend }
    }

    /// Draws the strip: everything of the canvas that is not picture.
    pub(super) fn draw<D: DrawTarget>(&self, target: &mut D, inks: &Inks<D::Color>, text: &str) -> Result<(), D::Error>
    where
        D::Color: PixelColor,
    {
        self.clear(target, inks.paper)?;
        let style = MonoTextStyle::new(self.font, inks.text);
        if let Some(at) = self.caption {
            Text::with_baseline(text, at, style, Baseline::Top).draw(target)?;
        }
        for entry in &self.legend {
            let side = self.font.character_size.height * 2 / 3;
            let swatch = Rectangle::new(
                entry.at + Point::new(0, side as i32 / 4),
                embedded_graphics::geometry::Size::new_equal(side),
            );
            swatch.into_styled(PrimitiveStyle::with_fill(inks.classes[entry.class])).draw(target)?;
            let name_at = entry.at + Point::new((side + MARGIN) as i32, 0);
            Text::with_baseline(&entry.name, name_at, style, Baseline::Top).draw(target)?;
        }
        Ok(())
    }

    fn clear<D: DrawTarget>(&self, target: &mut D, paper: D::Color) -> Result<(), D::Error> {
        let (picture, canvas) = (self.picture, self.canvas);
        let right = rectangle(picture.width, 0, canvas.width, canvas.height);
        let below = rectangle(0, picture.height, canvas.width, canvas.height);
        target.fill_solid(&right, paper)?;
        target.fill_solid(&below, paper)
    }
}

fn rectangle(left: u32, top: u32, right: u32, bottom: u32) -> Rectangle {
    let size = embedded_graphics::geometry::Size::new(right - left, bottom - top);
    Rectangle::new(Point::new(left as i32, top as i32), size)
}

/// Places the classes in lines from `start` (width to fill, first line's top); returns the last line's bottom.
fn place_legend(table: &ClassTable, font: &MonoFont, start: Size, legend: &mut Vec<LegendEntry>) -> u32 {
    let (letter, line) = (font.character_size.width, font.character_size.height + MARGIN);
    let (mut x, mut y) = (MARGIN, start.height);
    for (class, entry) in table.classes().iter().enumerate() {
        let name: String = entry.name.chars().take(24).collect();
        let width = line + name.chars().count() as u32 * letter + MARGIN;
        if x > MARGIN && x + width > start.width {
            (x, y) = (MARGIN, y + line);
        }
        legend.push(LegendEntry { class, name, at: Point::new(x as i32, y as i32) });
        x += width;
    }
    y + line - MARGIN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canvas_has_even_sides_and_room_for_every_class() {
        for (width, height) in [(1280, 720), (333, 201), (1, 1), (64, 48)] {
            let layout = Layout::new(Size::new(width, height), &ClassTable::cityscapes(), &Config::default());
            let canvas = layout.canvas;
            assert!(canvas.width.is_multiple_of(2) && canvas.height.is_multiple_of(2), "{canvas}");
            assert_eq!(layout.legend.len(), 19);
            let lowest = layout.legend.iter().map(|entry| entry.at.y as u32).max().expect("19 entries");
            assert!(lowest + layout.font.character_size.height <= canvas.height, "{canvas}: {lowest}");
        }
    }

    #[test]
    fn without_caption_and_legend_only_the_picture_is_left() {
        let config = Config { caption: false, legend: false, ..Config::default() };
        let layout = Layout::new(Size::new(5, 3), &ClassTable::camvid(), &config);
        assert_eq!(layout.canvas, Size::new(6, 4));
    }
}
