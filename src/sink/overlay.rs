//! The masks drawn over the pictures, as a video or as an animated picture.
//!
//! ```text
//! picture + mask ──blend──▶ canvas ──▶ ffmpeg there:  H.264 in MP4, every frame
//!                  caption, legend     without it:    animated PNG, smaller, fewer frames
//! ```
//! Frames follow each other at one rate: a lost frame leaves no gap in the video. The file appears
//! under its name only when it is complete. A picture is at most one frame behind; a slow encoder
//! holds the caller back, one that stands still for 30 s is an error. The first picture's size is the
//! video's; others are scaled into it, their proportions kept.

mod animation;
mod caption;
mod fit;
mod format;
mod mp4;
mod paint;
mod video;

pub use format::{Encoder, OverlayFormat};
pub use paint::blend;

use super::{Sink, SinkError};
use crate::data::{AlignedFrame, ClassTable, Image, LabelMask, Origin, Perception, Size, Stamp};
use animation::AnimationWriter;
use caption::Layout;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use video::VideoWriter;

const NAME: &str = "overlay";

/// How the overlay looks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How much of the class's colour covers the picture: 0 none, 1 all.
    pub alpha: f32,
    /// Writes frame number, time and distance from the key frame below the picture.
    pub caption: bool,
    /// Shows the classes' names and colours below the picture.
    pub legend: bool,
    /// The ffmpeg program: a name to find or a path.
    pub ffmpeg: PathBuf,
    /// Width of the animated picture that is written without ffmpeg, 64 to 1280 pixels.
    pub animation_width: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { alpha: 0.5, caption: true, legend: true, ffmpeg: "ffmpeg".into(), animation_width: 480 }
    }
}

impl Config {
    /// Refuses values outside their documented ranges.
    pub fn check(&self) -> Result<(), OverlayError> {
        if !(0.0..=1.0).contains(&self.alpha) {
            return Err(OverlayError::Setting { key: "alpha", got: self.alpha.into(), range: "0 to 1" });
        }
        if !(64..=1280).contains(&self.animation_width) {
            let got = self.animation_width.into();
            return Err(OverlayError::Setting { key: "animation_width", got, range: "64 to 1280" });
        }
        Ok(())
    }
}

/// Why an overlay cannot be made. Recovery: stop, and mend what it names.
#[derive(Debug, thiserror::Error)]
pub enum OverlayError {
    /// A setting outside its range.
    #[error("overlay.{key} = {got}: must be {range}")]
    Setting {
        /// The key.
        key: &'static str,
        /// The value given.
        got: f64,
        /// The values allowed.
        range: &'static str,
    },
    /// The program did not start.
    #[error("{program}: {source}: install ffmpeg or set overlay.ffmpeg to its path")]
    Start {
        /// The program.
        program: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The program ended before it had every frame, or with an error.
    #[error("{program} ended with {status} after {frames} frames: {complaint}")]
    Ended {
        /// The program.
        program: String,
        /// Its exit status.
        status: String,
        /// Frames handed to it.
        frames: u64,
        /// The start of what it wrote to its standard error.
        complaint: String,
    },
    /// The program took nothing for too long and was ended.
    #[error("{program} took no frame for {seconds} s after {frames} frames: ended it")]
    Stalled {
        /// The program.
        program: String,
        /// The patience it had.
        seconds: f32,
        /// Frames handed to it.
        frames: u64,
    },
    /// The program said that all is well and left a file that is cut.
    #[error("{program} left the file incomplete after {frames} frames: {complaint}")]
    Cut {
        /// The program.
        program: String,
        /// Frames handed to it.
        frames: u64,
        /// The start of what it wrote to its standard error.
        complaint: String,
    },
    /// A file could not be written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The animated picture could not be encoded.
    #[error("{path}: {source}")]
    Encode {
        /// The file.
        path: PathBuf,
        /// What the encoder says.
        source: png::EncodingError,
    },
    /// More classes than the palette of an animated picture has room for.
    #[error("an animated picture has colours for {most} classes, class table '{table}' has {got}: install ffmpeg")]
    Classes {
        /// The class table.
        table: String,
        /// Its classes.
        got: usize,
        /// Classes that fit.
        most: usize,
    },
}

/// A finished overlay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverlayOutcome {
    /// The file.
    pub path: PathBuf,
    /// Frames in it.
    pub frames: u64,
    /// What the viewer should know: frames left out, a rare codec.
    pub note: Option<String>,
}

/// Draws each perception over its frame and writes it.
#[derive(Debug)]
pub struct OverlaySink {
    path: PathBuf,
    format: OverlayFormat,
    classes: ClassTable,
    rate_hz: f64,
    config: Config,
    /// From where the caption's seconds are counted; set by the first frame if by nobody else.
    zero: Option<Stamp>,
    state: State,
    caption: String,
    other_size: bool,
    left_out: u64,
    failure: Option<String>,
}

#[derive(Debug)]
enum State {
    /// No frame yet: its size decides the rest.
    Waiting,
    Video(Size, VideoWriter),
    Animation(Size, AnimationWriter),
    Failed,
    Done(Option<OverlayOutcome>),
}

impl OverlaySink {
    /// Will write `path` with the masks' classes in the colours of `classes`, at `rate_hz` frames a second.
    pub fn new(
        path: PathBuf,
        format: OverlayFormat,
        classes: ClassTable,
        rate_hz: f64,
        config: Config,
    ) -> Result<Self, OverlayError> {
        config.check()?;
        if !(0.1..=1000.0).contains(&rate_hz) {
            return Err(OverlayError::Setting { key: "rate_hz", got: rate_hz, range: "0.1 to 1000" });
        }
        Ok(Self {
            path,
            format,
            classes,
            rate_hz,
            config,
            zero: None,
            state: State::Waiting,
            caption: String::new(),
            other_size: false,
            left_out: 0,
            failure: None,
        })
    }

    /// Counts the caption's seconds from `zero` instead of from the first frame.
    pub fn counting_from(mut self, zero: Stamp) -> Self {
        self.zero = Some(zero);
        self
    }

    /// Frames that could not be drawn.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Why there is no overlay, once it has failed.
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// What was written; `None` before `finish` and if no frame came.
    pub fn outcome(&self) -> Option<&OverlayOutcome> {
        if let State::Done(outcome) = &self.state { outcome.as_ref() } else { None }
    }

    fn start(&self, size: Size) -> Result<State, OverlayError> {
        let layout = |picture| Layout::new(picture, &self.classes, &self.config);
        Ok(match self.format {
            OverlayFormat::Video(encoder) => {
                let settings = video::Settings { encoder, rate_hz: self.rate_hz, patience: video::PATIENCE };
                State::Video(size, VideoWriter::start(self, layout(size), &settings)?)
            }
            OverlayFormat::Animation => {
                State::Animation(size, AnimationWriter::new(self, layout(animation::shrunk(size, &self.config)))?)
            }
        })
    }

    /// Draws a frame, scaled into the first one's size if it has another.
    fn draw(&mut self, image: &Image, mask: &LabelMask) -> Result<(), SinkError> {
        let (State::Video(first, _) | State::Animation(first, _)) = self.state else {
            return Err(dropped("the overlay has ended"));
        };
        if image.size() == first {
            return self.write(image, mask);
        }
        if !std::mem::replace(&mut self.other_size, true) {
            let other = image.size();
            tracing::warn!(
                "overlay: pictures of another size ({other}) are scaled into {first}, that of the first one"
            );
        }
        let (image, mask) = fit::fit(image, mask, first).map_err(|error| dropped(error.to_string()))?;
        self.write(&image, &mask)
    }

    fn write(&mut self, image: &Image, mask: &LabelMask) -> Result<(), SinkError> {
        match &mut self.state {
            State::Video(_, writer) => {
                let rgb = crate::data::to_rgb8(image).map_err(|error| dropped(error.to_string()))?;
                writer.write(&rgb, mask, &self.caption).map_err(failed)
            }
            State::Animation(_, writer) => {
                writer.push(image, mask, &self.caption).map_err(|error| dropped(error.to_string()))
            }
            State::Waiting | State::Failed | State::Done(_) => Err(dropped("the overlay has ended")),
        }
    }

    fn part_path(&self) -> PathBuf {
        part_path(&self.path)
    }
}

impl Sink for OverlaySink {
    fn on_perception(&mut self, frame: &AlignedFrame, perception: &Perception) -> Result<(), SinkError> {
        if matches!(self.state, State::Waiting) {
            let started = self.start(frame.frame.image.size());
            self.state = started.map_err(|error| self.give_up(failed(error)))?;
        }
        let zero = *self.zero.get_or_insert(perception.stamp);
        describe(perception, zero, &mut self.caption);
        self.draw(&frame.frame.image, &perception.mask).map_err(|error| self.give_up(error))
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        let outcome = match std::mem::replace(&mut self.state, State::Failed) {
            State::Video(_, writer) => writer.finish().map(Some),
            State::Animation(_, writer) => writer.finish().map(Some),
            State::Waiting => Ok(None),
            State::Done(outcome) => Ok(outcome),
            State::Failed => return Ok(()),
        };
        self.state = State::Done(outcome.map_err(|error| self.give_up(failed(error)))?);
        Ok(())
    }
}

impl OverlaySink {
    /// After a failure nothing more is written, and the encoder is ended; a frame left out is counted.
    fn give_up(&mut self, error: SinkError) -> SinkError {
        match &error {
            SinkError::Failed { source, .. } => {
                self.failure = Some(source.to_string());
                self.state = State::Failed;
            }
            SinkError::Dropped { .. } => self.left_out += 1,
        }
        error
    }
}

fn failed(error: OverlayError) -> SinkError {
    SinkError::Failed { sink: NAME, source: Box::new(error) }
}

fn dropped(reason: impl Into<String>) -> SinkError {
    SinkError::Dropped { sink: NAME, reason: reason.into() }
}

fn describe(perception: &Perception, zero: Stamp, caption: &mut String) {
    caption.clear();
    let (number, seconds) = (perception.frame.0, perception.stamp.signed_ns_since(zero) as f64 / 1e9);
    let written = match perception.origin {
        Origin::Key => write!(caption, "frame {number}  {seconds:.3} s  key frame"),
        Origin::Propagated { distance, .. } => write!(caption, "frame {number}  {seconds:.3} s  key + {distance}"),
    };
    written.expect("a string takes whatever is written to it");
}

/// Beside `path`, so that the rename at the end stays within one file system.
fn part_path(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".part");
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::FrameId;

    #[test]
    fn the_caption_counts_seconds_from_the_zero_that_it_is_given() {
        let mask = LabelMask::new(Size::new(1, 1), vec![0].into()).expect("one label");
        let (frame, stamp) = (FrameId(7), Stamp::from_ns(12_500_000_000));
        let origin = Origin::Propagated { from: FrameId(5), distance: 2 };
        let perception =
            Perception { frame, stamp, origin, mask, age: None, confidence: None, disagreement: None, late: None };
        let mut caption = String::from("of the frame before");
        describe(&perception, Stamp::from_ns(10_000_000_000), &mut caption);
        assert_eq!(caption, "frame 7  2.500 s  key + 2");
    }
}
