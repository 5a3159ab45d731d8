//! A picture tinted by the classes of its pixels.

use crate::data::{ClassTable, LabelMask, Size};

/// Tints `rgb`, `[rows, cols, 3] u8` of `size`, with the colours of the mask's classes.
///
/// `alpha` 0 leaves the picture, 1 leaves only colours. A mask of another size is taken by nearest
/// neighbour. Pixels without a class stay as they are.
///
/// # Panics
/// If `rgb` is shorter than `size` needs.
pub fn blend(rgb: &mut [u8], size: Size, mask: &LabelMask, classes: &ClassTable, alpha: f32) {
    let tint = Tint::new(classes, alpha);
    let row_bytes = size.width as usize * 3;
    for (y, row) in rgb[..row_bytes * size.height as usize].chunks_exact_mut(row_bytes).enumerate() {
        tint.blend_row(row, &mask_row(mask, y, size), size.width);
    }
}

/// One row of a mask, read at another width.
pub(super) struct MaskRow<'a> {
    labels: &'a [u8],
}

/// The mask's row that lies under row `y` of a picture of `size`.
pub(super) fn mask_row(mask: &LabelMask, y: usize, size: Size) -> MaskRow<'_> {
    let (width, height) = (mask.size().width as usize, mask.size().height as usize);
    let start = y * height / size.height as usize * width;
    MaskRow { labels: &mask.labels()[start..start + width] }
}

impl MaskRow<'_> {
    /// The label under column `x` of a picture `width` wide.
    pub(super) fn label(&self, x: usize, width: u32) -> u8 {
        self.labels[x * self.labels.len() / width as usize]
    }
}

/// Colours already weighted: `picture · (256 - weight) / 256 + color`.
#[derive(Debug)]
pub(super) struct Tint {
    /// Weight of the class's colour, 0 to 256.
    weight: u32,
    /// By label id; `None`: no class.
    colors: Vec<Option<[u8; 3]>>,
}

impl Tint {
    pub(super) fn new(classes: &ClassTable, alpha: f32) -> Self {
        let mut colors = vec![None; 256];
        for class in classes.classes() {
            colors[usize::from(class.id)] = Some(class.color);
        }
        Self { weight: (alpha.clamp(0.0, 1.0) * 256.0).round() as u32, colors }
    }

    pub(super) fn blend_row(&self, row: &mut [u8], labels: &MaskRow, width: u32) {
        for (x, pixel) in row.chunks_exact_mut(3).enumerate() {
            if let Some(color) = self.colors[usize::from(labels.label(x, width))] {
                pixel.iter_mut().zip(color).for_each(|(value, color)| *value = self.mix(*value, color));
            }
        }
    }

    /// The mean of a picture's value and a class's, weighted and rounded.
    pub(super) fn mix(&self, picture: u8, color: u8) -> u8 {
        ((u32::from(picture) * (256 - self.weight) + u32::from(color) * self.weight + 128) >> 8) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blended(alpha: f32, mask_size: Size, labels: &[u8]) -> Vec<u8> {
        let mask = LabelMask::new(mask_size, labels.to_vec().into()).expect("labels of that size");
        let mut rgb = vec![100; 4 * 3];
        blend(&mut rgb, Size::new(4, 1), &mask, &ClassTable::camvid(), alpha);
        rgb
    }

    #[test]
    fn labelled_pixels_are_tinted_and_others_stay() {
        let road = [128, 64, 128];
        let half = blended(0.5, Size::new(4, 1), &[3, 255, 11, 3]);
        assert_eq!(half, [114, 82, 114, 100, 100, 100, 100, 100, 100, 114, 82, 114]);
        assert_eq!(blended(1.0, Size::new(1, 1), &[3]), road.repeat(4));
        assert_eq!(blended(0.0, Size::new(1, 1), &[3]), [100; 12]);
    }

    #[test]
    fn a_smaller_or_larger_mask_is_stretched() {
        assert_eq!(blended(0.5, Size::new(2, 1), &[3, 255])[..9], [114, 82, 114, 114, 82, 114, 100, 100, 100]);
        let large = [255, 3, 255, 3, 255, 3, 3, 3];
        assert_eq!(blended(0.5, Size::new(8, 1), &large)[6..], [100, 100, 100, 114, 82, 114]);
    }

    #[test]
    fn each_row_of_a_picture_takes_the_row_of_the_mask_under_it() {
        let mask = LabelMask::new(Size::new(1, 2), vec![3, 255].into()).expect("two labels");
        let mut rgb = vec![100; 4 * 3];
        blend(&mut rgb, Size::new(1, 4), &mask, &ClassTable::camvid(), 1.0);
        assert_eq!(rgb, [128, 64, 128, 128, 64, 128, 100, 100, 100, 100, 100, 100]);
    }
}
