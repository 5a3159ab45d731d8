//! Figures over time in bounded memory: neighbouring frames are joined when the line gets too long.

use super::confusion::percent;
use crate::data::Stamp;
use serde::Serialize;

/// Points kept: more than a plot of 1000 pixels can show. Joining leaves at least half of them.
const MAX_POINTS: usize = 1024;

/// One frame, or a run of consecutive frames.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TimelinePoint {
    /// Index of the first frame, counted from 0 over all frames seen.
    pub frame: u64,
    /// The first frame's stamp in seconds, where it has one.
    pub stamp_s: Option<f64>,
    /// Frames joined.
    pub frames: u64,
    /// Mean of the frames' own mIoU in percent, over those with labels.
    pub miou: Option<f64>,
    /// Pixels of each class in the predictions, the last entry those with none.
    #[serde(skip)]
    pub pixels: Vec<u64>,
    #[serde(skip)]
    miou_sum: f64,
    #[serde(skip)]
    scored: u64,
}

impl TimelinePoint {
    /// The point of one frame; `miou` is `None` without labels, `pixels` counts the predicted classes.
    pub(super) fn of_frame(frame: u64, stamp: Option<Stamp>, miou: Option<f64>, pixels: Vec<u64>) -> Self {
        let (miou_sum, scored) = (miou.unwrap_or(0.0), u64::from(miou.is_some()));
        Self { frame, stamp_s: stamp.map(Stamp::secs_f64), frames: 1, miou, pixels, miou_sum, scored }
    }

    /// Share of predicted class `class` (the number of classes for "none"), in percent.
    pub fn share_percent(&self, class: usize) -> f64 {
        percent(self.pixels[class], self.pixels.iter().sum()).unwrap_or(0.0)
    }

    fn join(&mut self, next: &Self) {
        self.frames += next.frames;
        self.miou_sum += next.miou_sum;
        self.scored += next.scored;
        self.miou = (self.scored > 0).then(|| self.miou_sum / self.scored as f64);
        for (sum, count) in self.pixels.iter_mut().zip(&next.pixels) {
            *sum += count;
        }
    }
}

/// At most [`MAX_POINTS`] points, each of `stride` frames but perhaps the last.
#[derive(Debug)]
pub(super) struct Timeline {
    points: Vec<TimelinePoint>,
    stride: u64,
}

impl Timeline {
    pub(super) fn new() -> Self {
        Self { points: Vec::new(), stride: 1 }
    }

    pub(super) fn push(&mut self, point: TimelinePoint) {
        match self.points.last_mut().filter(|last| last.frames < self.stride) {
            Some(last) => last.join(&point),
            None => self.append(point),
        }
    }

    pub(super) fn into_points(self) -> Vec<TimelinePoint> {
        self.points
    }

    fn append(&mut self, point: TimelinePoint) {
        if self.points.len() == MAX_POINTS {
            self.halve();
        }
        self.points.push(point);
    }

    fn halve(&mut self) {
        let join = |pair: &[TimelinePoint]| {
            let mut first = pair[0].clone();
            pair[1..].iter().for_each(|next| first.join(next));
            first
        };
        self.points = self.points.chunks(2).map(join).collect();
        self.stride *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(frame: u64) -> TimelinePoint {
        TimelinePoint::of_frame(frame, None, (!frame.is_multiple_of(2)).then_some(frame as f64), vec![1, 3])
    }

    #[test]
    fn a_short_line_keeps_every_frame() {
        let mut line = Timeline::new();
        (0..MAX_POINTS as u64).for_each(|frame| line.push(point(frame)));
        let points = line.into_points();
        assert!(points.len() == MAX_POINTS && points.iter().all(|point| point.frames == 1));
    }

    #[test]
    fn a_long_line_is_joined_and_loses_no_frame() {
        let mut line = Timeline::new();
        (0..10_000).for_each(|frame| line.push(point(frame)));
        let points = line.into_points();
        assert!((MAX_POINTS / 2..=MAX_POINTS).contains(&points.len()), "{}", points.len());
        assert_eq!(points.iter().map(|point| point.frames).sum::<u64>(), 10_000);
        assert_eq!((points[1].frame, points[1].frames), (16, 16));
        assert_eq!(points[1].miou, Some(24.0), "mean of 17, 19, … 31");
        assert!((points[1].share_percent(1) - 75.0).abs() < 1e-12);
    }
}
