//! The drive as a source: frames, truth, CAN frames and states in order of arrival.

use super::bus::{Bus, unix_ns};
use super::config::{Config, SyntheticError};
use super::scene::{MARGIN_NS, Scene};
use crate::data::{Event, Frame, FrameId, GroundTruth, SourceStamp, Stamp, StateSample, WallMapping};
use crate::source::{Source, SourceError};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Plays a [`Scene`] once.
///
/// Frames that were taken and have not yet arrived wait inside: at most `latency_ms` of them.
#[derive(Debug)]
pub struct SyntheticSource {
    scene: Scene,
    bus: Bus,
    can: Option<Event>,
    next_frame: u64,
    /// By arrival, then by the order of making.
    waiting: BTreeMap<(Stamp, u64), Event>,
    made: u64,
    classes: Arc<str>,
}

impl SyntheticSource {
    /// The drive that `config` describes.
    pub fn new(config: Config) -> Result<Self, SyntheticError> {
        let scene = Scene::new(config)?;
        let last = scene.frame_stamp(scene.config().frames().saturating_sub(1));
        let bus = Bus::new(scene.config().can.clone(), scene.config().seed, last.offset_ns(MARGIN_NS));
        let mut source = Self {
            scene,
            bus,
            can: None,
            next_frame: 0,
            waiting: BTreeMap::new(),
            made: 0,
            classes: Arc::from("cityscapes"),
        };
        source.can = source.bus.next(source.scene.drive()).map(Event::Can);
        Ok(source)
    }

    /// The scene that is played, for its camera and its truth.
    pub fn scene(&self) -> &Scene {
        &self.scene
    }

    /// The bus's clock against the timeline at the start of the drive: before any drift or step.
    pub fn wall_mapping(&self) -> WallMapping {
        let at = super::START;
        WallMapping { at, unix_ns: unix_ns(&self.scene.config().can, at) }
    }

    /// Renders every frame that was taken before anything that waits arrives.
    fn take_frames(&mut self) {
        while self.next_frame < self.scene.config().frames() {
            let stamp = self.scene.frame_stamp(self.next_frame);
            let first =
                [self.can.as_ref().map(Event::arrival), self.waiting.keys().next().map(|&(arrival, _)| arrival)];
            if first.into_iter().flatten().any(|arrival| arrival < stamp) {
                return;
            }
            self.take_frame();
        }
    }

    fn take_frame(&mut self) {
        let stamp = self.scene.frame_stamp(self.next_frame);
        let (image, labels) = self.scene.picture(self.next_frame);
        let labels = crate::data::Plane::new(labels.size(), labels.labels().clone());
        let labels = labels.expect("a mask of this size is a plane of this size");
        self.wait(Event::Truth(GroundTruth { stamp, labels, classes: Arc::clone(&self.classes) }));
        if self.scene.config().states {
            let taken = SourceStamp::monotonic(stamp);
            self.wait(Event::State(StateSample { taken, arrival: stamp, state: self.scene.state_at(stamp) }));
        }
        let latency_ns = (self.scene.config().latency_ms * 1e6) as i64;
        let (id, arrival) = (FrameId(self.next_frame), stamp.offset_ns(latency_ns));
        self.wait(Event::Frame(Frame { id, sequence: None, stamp, arrival, image }));
        self.next_frame += 1;
    }

    fn wait(&mut self, event: Event) {
        self.waiting.insert((event.arrival(), self.made), event);
        self.made += 1;
    }
}

impl Source for SyntheticSource {
    fn next(&mut self) -> Result<Option<Event>, SourceError> {
        self.take_frames();
        let waiting = self.waiting.keys().next().map(|&(arrival, _)| arrival);
        let can = self.can.as_ref().map(Event::arrival);
        let can_first = can.is_some_and(|can| waiting.is_none_or(|waiting| can <= waiting));
        if can_first {
            let next = self.bus.next(self.scene.drive()).map(Event::Can);
            return Ok(std::mem::replace(&mut self.can, next));
        }
        Ok(self.waiting.pop_first().map(|(_, event)| event))
    }

    fn frames(&self) -> Option<u64> {
        Some(self.scene.config().frames())
    }
}
