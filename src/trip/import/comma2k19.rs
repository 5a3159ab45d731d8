//! A segment of comma2k19: raw CAN frames in NumPy files without an ending, times on one clock.
//!
//! Its video is not read here (a video importer can be merged in); decoded values, IMU and GNSS are
//! left to whoever compares with them.

use super::ImportError;
use crate::data::{CanFrame, CanId, Event, SourceStamp, Stamp};
use crate::source::{Source, SourceError};
use crate::trip::TripMetadata;
use npyz::{Deserialize, NpyFile};
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

/// Data bytes of a frame: NumPy's `|S8` drops zeros at the end, the bus did not.
const PAYLOAD_BYTES: usize = 8;

/// The CAN frames of a segment, by time.
#[derive(Debug)]
pub struct Comma2k19 {
    frames: std::vec::IntoIter<Raw>,
}

#[derive(Debug)]
struct Raw {
    stamp: Stamp,
    bus: u8,
    id: CanId,
    payload: [u8; PAYLOAD_BYTES],
}

impl Comma2k19 {
    /// Reads the segment folder, or its `raw_can` folder itself. All of it is held in memory: a segment is a minute.
    pub fn open(folder: &Path) -> Result<Self, ImportError> {
        let folder = raw_can_folder(folder)?;
        let times: Vec<f64> = read_column(&folder.join("t"), 8)?;
        let buses: Vec<i64> = read_column(&folder.join("src"), 8)?;
        let addresses: Vec<i64> = read_column(&folder.join("address"), 8)?;
        let payloads: Vec<Vec<u8>> = read_column(&folder.join("data"), PAYLOAD_BYTES as u64)?;
        let lens = [times.len(), buses.len(), addresses.len(), payloads.len()];
        if lens.iter().any(|&len| len != lens[0]) || lens[0] == 0 {
            let reason = format!("t, src, address and data have {lens:?} rows, expected equally many and at least one");
            return Err(ImportError::recording(&folder, reason));
        }
        let rows = times.iter().zip(&buses).zip(&addresses).zip(&payloads).enumerate();
        let frames = rows.map(|(row, (((time, bus), address), payload))| {
            raw(*time, *bus, *address, payload)
                .map_err(|reason| ImportError::recording(&folder, format!("row {row}: {reason}")))
        });
        let mut frames = frames.collect::<Result<Vec<_>, _>>()?;
        frames.sort_by_key(|frame| frame.stamp);
        Ok(Self { frames: frames.into_iter() })
    }

    /// What the trip should say of itself.
    pub fn metadata(&self) -> TripMetadata {
        TripMetadata { source: "comma2k19 segment, CAN".into(), ..TripMetadata::default() }
    }
}

impl Source for Comma2k19 {
    fn next(&mut self) -> Result<Option<Event>, SourceError> {
        let Some(raw) = self.frames.next() else { return Ok(None) };
        let taken = SourceStamp::monotonic(raw.stamp);
        let frame = CanFrame::new(raw.bus, raw.id, taken, raw.stamp, &raw.payload);
        frame.map(|frame| Some(Event::Can(frame))).map_err(|error| SourceError::Skipped(error.to_string()))
    }
}

fn raw_can_folder(folder: &Path) -> Result<PathBuf, ImportError> {
    let candidates = [folder.join("processed_log/CAN/raw_can"), folder.join("raw_can"), folder.to_owned()];
    let found = candidates.into_iter().find(|candidate| candidate.join("address").is_file());
    found.ok_or_else(|| ImportError::recording(folder, "no processed_log/CAN/raw_can in it: not a comma2k19 segment"))
}

fn raw(time: f64, bus: i64, address: i64, payload: &[u8]) -> Result<Raw, String> {
    let stamp = Stamp::from_secs_f64(time).ok_or_else(|| format!("time {time} s is not on the timeline"))?;
    let bus = u8::try_from(bus).map_err(|_| format!("bus {bus} is not 0 to 255"))?;
    let address = u32::try_from(address).map_err(|_| format!("address {address} is not a CAN id"))?;
    let id = if address > 0x7ff { CanId::extended(address) } else { CanId::standard(address) };
    let mut bytes = [0; PAYLOAD_BYTES];
    let place = bytes.get_mut(..payload.len()).ok_or("more than 8 data bytes")?;
    place.copy_from_slice(payload);
    Ok(Raw { stamp, bus, id: id.map_err(|error| error.to_string())?, payload: bytes })
}

/// A one-dimensional array of items of `item_bytes`, checked against the file's length before anything is allocated.
fn read_column<T: Deserialize>(path: &Path, item_bytes: u64) -> Result<Vec<T>, ImportError> {
    let refuse = |error: &dyn std::fmt::Display| ImportError::recording(path, format!("not a NumPy column: {error}"));
    let file = File::open(path).map_err(|error| ImportError::io(path, "open", error))?;
    let len = file.metadata().map_err(|error| ImportError::io(path, "look at", error))?.len();
    let column = NpyFile::new(BufReader::new(file)).map_err(|error| refuse(&error))?;
    let rows: u64 = column.shape().iter().try_fold(1u64, |rows, side| rows.checked_mul(*side)).unwrap_or(u64::MAX);
    if rows.saturating_mul(item_bytes) > len {
        return Err(refuse(&format!("its header promises {rows} rows, the file has {len} bytes")));
    }
    column.into_vec().map_err(|error| refuse(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_promises_more_than_the_file_has_is_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("t");
        for shape in ["(9999999999999,)", "(4611686018427387904, 4)", "(2,)"] {
            let header = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}");
            let mut file = b"\x93NUMPY\x01\x00".to_vec();
            file.extend((header.len() as u16).to_le_bytes());
            file.extend(header.as_bytes());
            file.extend([0; 8]);
            std::fs::write(&path, file).expect("room");
            assert!(read_column::<f64>(&path, 8).is_err(), "{shape}");
        }
    }

    #[test]
    fn zeros_at_the_end_come_back() {
        let frame = raw(1.5, 128, 0x25, &[7, 0, 9]).expect("a frame");
        assert_eq!((frame.payload, frame.bus, frame.id), ([7, 0, 9, 0, 0, 0, 0, 0], 128, CanId::Standard(0x25)));
        assert!(raw(f64::NAN, 0, 1, &[]).is_err() && raw(0.0, 256, 1, &[]).is_err() && raw(0.0, 0, -1, &[]).is_err());
    }
}
