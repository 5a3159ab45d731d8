//! What flows through the program: events in, aligned frames between, perceptions out.

use super::{CanFrame, Image, LabelMask, Plane, Stamp, StateSample, VehicleState};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A frame's number, counted by its source from 0 without gaps: what was lost is told by [`Event::Lost`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameId(pub u64);

/// A camera frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its number.
    pub id: FrameId,
    /// The number that a live camera's driver gave it: what lies between two of one stream was lost on the way. A driver
    /// begins anew when its camera is opened anew, and past 2^32 from 0.
    pub sequence: Option<u32>,
    /// The middle of its exposure.
    pub stamp: Stamp,
    /// When it reached this program.
    pub arrival: Stamp,
    /// The picture.
    pub image: Image,
}

/// The true labels of a recorded frame, in the ids of the class table named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroundTruth {
    /// The stamp of the frame that they belong to.
    pub stamp: Stamp,
    /// `[rows, cols] u8` label ids.
    pub labels: Plane,
    /// Name of the class table that the ids are of.
    pub classes: Arc<str>,
}

/// What a source saw. Time enters the program only here.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A camera frame.
    Frame(Frame),
    /// A raw CAN frame: evidence for the recorder. What it means comes as [`Event::State`].
    Can(CanFrame),
    /// A report of the vehicle's motion.
    State(StateSample),
    /// True labels of a frame, from a recording that has them.
    Truth(GroundTruth),
    /// Frames that the camera made and that never came.
    Lost {
        /// When the gap was seen.
        stamp: Stamp,
        /// How many.
        frames: u32,
    },
    /// Nothing happened until this point of the timeline.
    Tick(Stamp),
}

impl Event {
    /// When the event reached this program: the order of the event stream.
    pub fn arrival(&self) -> Stamp {
        match self {
            Self::Frame(frame) => frame.arrival,
            Self::Can(frame) => frame.arrival,
            Self::State(sample) => sample.arrival,
            Self::Truth(truth) => truth.stamp,
            Self::Lost { stamp, .. } | Self::Tick(stamp) => *stamp,
        }
    }
}

/// A frame with the vehicle's state at the middle of its exposure.
#[derive(Clone, Debug, PartialEq)]
pub struct AlignedFrame {
    /// The frame.
    pub frame: Frame,
    /// The state then; each quantity that is not known well enough is absent or not valid.
    pub state: VehicleState,
}

/// Where a mask came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The network ran on this very frame.
    Key,
    /// Features of an earlier key frame were carried here.
    Propagated {
        /// The key frame.
        from: FrameId,
        /// Frames since then, at least 1.
        distance: u32,
    },
}

impl Origin {
    /// Frames since the key frame: 0 for a key frame itself.
    pub fn distance(self) -> u32 {
        match self {
            Self::Key => 0,
            Self::Propagated { distance, .. } => distance,
        }
    }

    /// The key frame whose features a mask of `frame` was made from.
    pub fn key_of(self, frame: FrameId) -> FrameId {
        match self {
            Self::Key => frame,
            Self::Propagated { from, .. } => from,
        }
    }
}

/// How far labels that were carried to a frame are from those that the network itself gives there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Disagreement {
    /// How far the frame is from the key frame's picture carried to it: the mean difference in parts of the range of
    /// colours, 0 to 1.
    pub residual: f32,
    /// The share of labels, 0 to 1, that was expected to differ: the residual times what earlier key frames taught.
    pub expected: f32,
    /// The share that did differ: where the network ran on this frame.
    pub measured: Option<f32>,
}

/// Each frame that was answered before the features that were due on it were there, and the key frame that these are of.
pub type LateKeys = BTreeMap<FrameId, FrameId>;

/// The program's answer for one frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Perception {
    /// The frame answered.
    pub frame: FrameId,
    /// That frame's stamp: the middle of its exposure, never the time of publishing.
    pub stamp: Stamp,
    /// Where the mask came from.
    pub origin: Origin,
    /// A class for every pixel of the frame.
    pub mask: LabelMask,
    /// Frames since a pixel's evidence was seen by the network, saturating at 255.
    pub age: Option<Plane>,
    /// Margin between the two best classes of a pixel: 0 none, 255 sure.
    pub confidence: Option<Plane>,
    /// What is known of labels that were carried here; only where the schedule goes by it.
    pub disagreement: Option<Disagreement>,
    /// The key frame that was to serve from this frame on, or before, and whose features were not there yet.
    pub late: Option<FrameId>,
}
