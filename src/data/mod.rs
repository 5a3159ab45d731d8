//! The vocabulary that every other module speaks: time, images, vehicle state, masks, classes.
//!
//! Plain values with their units in the name; no I/O, no clock, no policy.
//!
//! ```text
//! Event ── what a source saw ──▶ AlignedFrame ── a frame and its state ──▶ Perception
//! ```

mod buffer;
mod calibration;
mod can;
mod class_table;
mod convert;
mod ending;
mod event;
mod health;
mod image;
mod mask;
mod stamp;
mod vehicle;

pub use buffer::{BufferPool, SharedBytes};
pub use calibration::Calibration;
pub use can::{CanFrame, CanFrameError, CanId};
pub use class_table::{Class, ClassMapping, ClassTable, ClassTableError};
pub use convert::{jpeg_size, luma, to_grey8, to_rgb8, yuv_to_rgb};
pub use ending::Ending;
pub use event::{AlignedFrame, Disagreement, Event, Frame, FrameId, GroundTruth, LateKeys, Origin, Perception};
pub use health::{HealthBoard, HealthState, Reporter, SourceHealth, VitalSigns, Vitals};
pub use image::{Image, ImageError, PixelFormat, Size};
pub use mask::{LabelMask, MaskError, Plane, UNLABELED};
pub use stamp::{Clock, SourceStamp, Stamp, WallMapping};
pub use vehicle::{Quantity, Reading, StateSample, Validity, VehicleState};
