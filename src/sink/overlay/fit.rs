//! A picture of another size brought into the overlay's, its proportions kept, black where it does not reach.

use super::paint::mask_row;
use crate::data::{Image, ImageError, LabelMask, PixelFormat, Size, UNLABELED, to_rgb8};
use image::RgbImage;
use image::imageops::{self, FilterType};

/// `image` and its `mask` in the middle of a picture of `size`.
///
/// Allocates: pictures that change their size are rare, and each change also costs a key frame.
pub(super) fn fit(image: &Image, mask: &LabelMask, size: Size) -> Result<(Image, LabelMask), ImageError> {
    let full = RgbImage::from_raw(image.size().width, image.size().height, to_rgb8(image)?);
    let full = full.expect("to_rgb8 gives three bytes a pixel");
    let inner = largest_inside(image.size(), size);
    let (left, top) = ((size.width - inner.width) / 2, (size.height - inner.height) / 2);
    let mut canvas = RgbImage::new(size.width, size.height);
    let scaled = imageops::resize(&full, inner.width, inner.height, FilterType::Triangle);
    imageops::replace(&mut canvas, &scaled, left.into(), top.into());
    let mut labels = vec![UNLABELED; size.pixels()];
    for (y, row) in labels.chunks_exact_mut(size.width as usize).skip(top as usize).enumerate() {
        if y >= inner.height as usize {
            break;
        }
        let from = mask_row(mask, y, inner);
        let row = row.iter_mut().skip(left as usize).take(inner.width as usize);
        row.enumerate().for_each(|(x, label)| *label = from.label(x, inner.width));
    }
    let mask = LabelMask::new(size, labels.into()).expect("one label a pixel was made");
    Ok((Image::packed(PixelFormat::Rgb8, size, canvas.into_raw().into())?, mask))
}

/// The largest size of `picture`'s proportions that fits inside `frame`.
fn largest_inside(picture: Size, frame: Size) -> Size {
    let scaled = |side: u32, to: u32, from: u32| (u64::from(side) * u64::from(to) / u64::from(from)).max(1) as u32;
    let wide = u64::from(picture.width) * u64::from(frame.height) >= u64::from(picture.height) * u64::from(frame.width);
    if wide {
        Size::new(frame.width, scaled(picture.height, frame.width, picture.width))
    } else {
        Size::new(scaled(picture.width, frame.height, picture.height), frame.height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proportions_are_kept_in_the_largest_size_that_fits() {
        for (picture, frame, expected) in [
            ((64, 48), (128, 96), (128, 96)),
            ((32, 48), (64, 48), (32, 48)),
            ((128, 48), (64, 48), (64, 24)),
            ((1, 4096), (64, 48), (1, 48)),
            ((4096, 1), (64, 48), (64, 1)),
        ] {
            let size = |(width, height)| Size::new(width, height);
            assert_eq!(largest_inside(size(picture), size(frame)), size(expected), "{picture:?} in {frame:?}");
        }
    }

    #[test]
    fn a_narrow_picture_lies_in_the_middle_with_black_and_no_class_beside_it() {
        let narrow = Size::new(2, 4);
        let image = Image::packed(PixelFormat::Grey, narrow, vec![200; 8].into()).expect("one byte a pixel");
        let mask = LabelMask::new(narrow, vec![3; 8].into()).expect("one label a pixel");
        let (image, mask) = fit(&image, &mask, Size::new(4, 4)).expect("a readable picture");
        assert_eq!(mask.labels()[..4], [UNLABELED, 3, 3, UNLABELED]);
        let rgb = to_rgb8(&image).expect("an RGB picture");
        assert_eq!((rgb[0], rgb[3], rgb[6], rgb[9]), (0, 200, 200, 0));
    }
}
