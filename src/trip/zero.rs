//! From where the seconds of a trip are counted: `--from`, `--until`, captions and reports alike.
//!
//! ```text
//! recorded      CAN CAN FRAME CAN FRAME …        zero: the stamp of the first frame
//! run of it           (--from 2)  FRAME …        zero: the same one, carried along in the metadata
//! ```

use super::file::TripFile;
use super::message::Kind;
use super::messages::{Messages, Wanted};
use super::reader::read_metadata;
use crate::data::Stamp;
use std::sync::Arc;

/// Frames that a rate is found from: ten seconds at 30 Hz, without reading a long trip to its end.
const RATE_FRAMES: usize = 300;

/// The trip's zero: what its metadata say, else the stamp of its first frame, else its first message.
pub(super) fn zero(trip: &Arc<TripFile>) -> Stamp {
    let start = || trip.contents.span().map_or(Stamp::ZERO, |(start, _)| start);
    read_metadata(trip).0.zero.or_else(|| first_frame(trip)).unwrap_or_else(start)
}

fn first_frame(trip: &Arc<TripFile>) -> Option<Stamp> {
    let has_frames = trip.contents.count(Kind::Jpeg) + trip.contents.count(Kind::Raw) > 0;
    has_frames.then(|| frame_stamps(trip, Wanted::all(is_frame)).next()).flatten()
}

/// Frames a second by the median interval of the first frames wanted, so that no gap slows it; `None` below two.
pub(super) fn frame_rate_hz(trip: &Arc<TripFile>, wanted: Wanted) -> Option<f64> {
    let mut stamps: Vec<Stamp> = frame_stamps(trip, Wanted { kinds: is_frame, ..wanted }).take(RATE_FRAMES).collect();
    stamps.sort_unstable();
    let intervals = stamps.windows(2).map(|pair| pair[1].signed_ns_since(pair[0]));
    let mut intervals: Vec<i64> = intervals.filter(|&interval_ns| interval_ns > 0).collect();
    intervals.sort_unstable();
    intervals.get(intervals.len() / 2).map(|&interval_ns| 1e9 / interval_ns as f64)
}

fn is_frame(kind: Kind) -> bool {
    matches!(kind, Kind::Jpeg | Kind::Raw)
}

/// The stamps of the frames wanted, in order of arrival; what cannot be read is left out.
fn frame_stamps(trip: &Arc<TripFile>, wanted: Wanted) -> impl Iterator<Item = Stamp> {
    let mut messages = Messages::new(Arc::clone(trip), wanted);
    std::iter::from_fn(move || {
        loop {
            match messages.next() {
                Ok(message) => return message.map(|message| message.head().capture),
                Err(error) if error.is_skippable() => (),
                Err(_) => return None,
            }
        }
    })
}
