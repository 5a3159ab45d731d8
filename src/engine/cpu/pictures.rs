//! JPEG pictures, each decoded when it is needed, or before that beside the work on the one before it.
//!
//! ```text
//! foresee  the next picture ─▶ a thread of its own ─▶ decoded
//! decode   the same picture ◀─ waits for it; any other is decoded here and now
//! ```
//!
//! Both decode alike, so that what was foreseen changes no pixel. The thread starts with the first picture that is
//! foreseen.

use super::jpeg::JpegDecoder;
use super::worker::{Stopped, Worker};
use crate::data::{Image, SharedBytes};
use crate::engine::EngineError;
use heapless::Deque;

/// The picture that is asked for next, and the one after it.
const FORESEEN: usize = 2;

/// Decodes pictures in time.
#[derive(Default)]
pub(in crate::engine) struct Pictures {
    decoder: JpegDecoder,
    beside: Option<Worker<Image, Result<Image, EngineError>>>,
    /// The files that the thread works on or has worked on, in the order of its answers.
    foreseen: Deque<SharedBytes, FORESEEN>,
    /// There is no thread for it.
    given_up: bool,
}

impl Pictures {
    /// Begins to decode `image`, which will be asked for soon, unless too much is under way.
    pub(in crate::engine) fn foresee(&mut self, image: &Image) {
        if self.given_up {
            return;
        }
        if let Err(Stopped) = self.begin(image) {
            tracing::warn!("pictures are no longer decoded ahead: the thread for it has stopped or cannot be started");
            (self.given_up, self.beside) = (true, None);
            self.foreseen.clear();
        }
    }

    fn begin(&mut self, image: &Image) -> Result<(), Stopped> {
        let beside = match &mut self.beside {
            Some(beside) => beside,
            none => {
                let worker = Worker::start("jpeg", || {
                    let mut decoder = JpegDecoder::new();
                    move |image: Image| tracing::debug_span!("jpeg").in_scope(|| decoder.decode(&image))
                });
                none.insert(worker.map_err(|_| Stopped)?)
            }
        };
        // What was foreseen and never asked for makes room once it is through.
        if self.foreseen.is_full() && beside.try_answer()?.is_some() {
            self.foreseen.pop_front();
        }
        if self.foreseen.push_back(image.bytes().clone()).is_ok() {
            beside.send(image.clone())?;
        }
        Ok(())
    }

    /// As [`JpegDecoder::decode`].
    pub(in crate::engine) fn decode(&mut self, image: &Image) -> Result<Image, EngineError> {
        match self.take(image) {
            Some(decoded) => decoded,
            None => tracing::debug_span!("jpeg").in_scope(|| self.decoder.decode(image)),
        }
    }

    /// What became of `image` on the thread, if it was foreseen; what was foreseen before it is forgotten.
    fn take(&mut self, image: &Image) -> Option<Result<Image, EngineError>> {
        let beside = self.beside.as_ref()?;
        let place = self.foreseen.iter().position(|foreseen| foreseen.is_same_as(image.bytes()))?;
        let _span = tracing::debug_span!("wait").entered();
        for _ in 0..place {
            self.foreseen.pop_front();
            beside.answer().ok()?.ok();
        }
        self.foreseen.pop_front();
        beside.answer().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Size;
    use std::io::Cursor;

    /// A picture of one grey level, in memory of its own.
    fn jpeg(level: u8) -> Image {
        let picture = image::GrayImage::from_pixel(16, 16, image::Luma([level]));
        let mut file = Vec::new();
        picture.write_to(&mut Cursor::new(&mut file), image::ImageFormat::Jpeg).expect("a small JPEG");
        Image::jpeg(Size::new(16, 16), file.into()).expect("not empty")
    }

    fn level(image: &Image) -> i32 {
        i32::from(image.bytes()[0])
    }

    #[test]
    fn every_picture_is_its_own_whatever_was_foreseen() {
        let mut pictures = Pictures::default();
        let all: Vec<Image> = (0..8).map(|number| jpeg(number * 30)).collect();
        // Asked for in this order; before each of them, these are foreseen.
        let steps: [(usize, &[usize]); 9] = [
            (0, &[0, 1]),
            (1, &[2]),
            (2, &[3]),
            (4, &[4, 5, 6]),
            (6, &[7]),
            (7, &[]),
            (2, &[0, 1, 2, 3]),
            (2, &[2]),
            (0, &[1, 1]),
        ];
        for (asked, foreseen) in steps {
            for place in foreseen {
                pictures.foresee(&all[*place]);
            }
            let decoded = pictures.decode(&all[asked]).expect("whole");
            assert!((level(&decoded) - 30 * asked as i32).abs() <= 2, "{asked}: {}", level(&decoded));
        }
    }

    #[test]
    fn a_broken_picture_that_was_foreseen_is_refused_when_it_is_asked_for_and_not_before() {
        let broken = Image::jpeg(Size::new(16, 16), vec![0xff, 0xd8, 0xff].into()).expect("bytes of whatever kind");
        let mut pictures = Pictures::default();
        pictures.foresee(&broken);
        assert!(matches!(pictures.decode(&broken), Err(EngineError::Frame(_))));
        pictures.foresee(&jpeg(9));
        pictures.decode(&jpeg(7)).expect("whole");
    }

    #[test]
    fn a_picture_that_is_foreseen_is_decoded_on_another_thread() {
        let mut pictures = Pictures::default();
        let image = jpeg(50);
        pictures.foresee(&image);
        assert_eq!(pictures.foreseen.len(), 1);
        pictures.decode(&image).expect("whole");
        assert!(pictures.foreseen.is_empty() && pictures.beside.is_some(), "it was taken from there");
    }
}
