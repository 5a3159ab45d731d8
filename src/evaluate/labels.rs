//! Label ids brought into the evaluated table and to the size of the truth.

use crate::data::{ClassMapping, ClassTable, ClassTableError, Size, UNLABELED};

/// How the ids of one table are read.
#[derive(Clone, Debug)]
pub(super) struct LabelReader {
    mapping: ClassMapping,
    known: [bool; 256],
}

impl LabelReader {
    /// Reads ids of `from` as ids of `evaluated`.
    pub(super) fn new(evaluated: &ClassTable, from: &ClassTable) -> Result<Self, ClassTableError> {
        let mut known = [false; 256];
        let ids = from.classes().iter().map(|class| class.id).chain(from.ignored.iter().copied()).chain([UNLABELED]);
        ids.for_each(|id| known[usize::from(id)] = true);
        Ok(Self { mapping: evaluated.mapping_from(from)?, known })
    }

    /// Writes `labels` of size `from` into `out` at size `to`; returns the pixels whose id is not in the table.
    ///
    /// Nearest neighbour: column x takes column ⌊x · from / to⌋, OpenCV's `INTER_NEAREST`, by which published
    /// figures of segmentation are mostly made. Pixel centres would move CamVid's thin classes by up to 0.4 %.
    pub(super) fn read(&self, labels: &[u8], from: Size, to: Size, out: &mut Vec<u8>) -> u64 {
        let mut unknown = 0;
        out.clear();
        sample_nearest(labels, from, to, |id| {
            unknown += u64::from(!self.known[usize::from(id)]);
            out.push(self.mapping.map(id));
        });
        unknown
    }
}

/// Hands every pixel of `labels` to `take`, row-major, resized from `from` to `to` by nearest neighbour.
pub(super) fn sample_nearest(labels: &[u8], from: Size, to: Size, mut take: impl FnMut(u8)) {
    let place = |index: u32, from: u32, to: u32| (u64::from(index) * u64::from(from) / u64::from(to)) as usize;
    for y in 0..to.height {
        let start = place(y, from.height, to.height) * from.width as usize;
        let row = &labels[start..start + from.width as usize];
        if from.width == to.width {
            row.iter().copied().for_each(&mut take);
        } else {
            (0..to.width).for_each(|x| take(row[place(x, from.width, to.width)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_mapped_by_name_and_strangers_counted() {
        let (camvid, cityscapes) = (ClassTable::camvid(), ClassTable::cityscapes());
        let reader = LabelReader::new(&camvid, &cityscapes).expect("camvid covers cityscapes");
        let (size, mut out) = (Size::new(4, 1), Vec::new());
        assert_eq!(reader.read(&[0, 18, 255, 77], size, size, &mut out), 1);
        assert_eq!(out, [3, 10, 255, 255]);
        let own = LabelReader::new(&camvid, &camvid).expect("itself");
        assert_eq!(own.read(&[10, 11, 12, 255], size, size, &mut out), 1, "11 is void and known, 12 is not");
        assert_eq!(out, [10, 255, 255, 255]);
    }

    #[test]
    fn nearest_takes_the_pixel_that_opencv_takes() {
        let mut out = Vec::new();
        sample_nearest(&[0, 1, 2, 3, 4, 5], Size::new(6, 1), Size::new(2, 1), |id| out.push(id));
        assert_eq!(out, [0, 3]);
        out.clear();
        sample_nearest(&[1, 2, 3, 4], Size::new(2, 2), Size::new(4, 2), |id| out.push(id));
        assert_eq!(out, [1, 1, 2, 2, 3, 3, 4, 4]);
        out.clear();
        sample_nearest(&[0, 1, 2], Size::new(1, 3), Size::new(1, 5), |id| out.push(id));
        assert_eq!(out, [0, 0, 1, 1, 2]);
    }
}
