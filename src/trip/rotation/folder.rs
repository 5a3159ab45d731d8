//! The folder of a recording: which files are ours, which comes next, which goes first.
//!
//! A file's name is when it was begun in UTC and a number that counts on over every drive of the folder, so that the
//! order stays known where the clock was not yet set. Files of other names are not ours: they are neither counted nor
//! removed. One program at a time may record into a folder.

use crate::trip::TripError;
use std::collections::VecDeque;
use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// What begins an MCAP file, and ends a whole one.
pub(super) const MAGIC: [u8; 8] = *b"\x89MCAP0\r\n";

/// A file of ours that is not open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finished {
    number: u64,
    path: PathBuf,
    pub(super) bytes: u64,
}

/// A folder that this program alone records into, as long as it holds this.
pub(super) struct Folder {
    path: PathBuf,
    /// Holds the lock; the system releases it however the program ends.
    handle: File,
    /// The oldest first.
    finished: VecDeque<Finished>,
    last_number: u64,
}

impl Folder {
    /// Takes `path` and looks through it.
    pub(super) fn take(path: &Path) -> Result<Self, TripError> {
        let failed = |error| TripError::io(path, "record into", error);
        let handle = File::open(path).map_err(failed)?;
        if !handle.metadata().map_err(failed)?.is_dir() {
            return Err(failed(io::ErrorKind::NotADirectory.into()));
        }
        let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
        rustix::fs::access(path, access).map_err(|error| failed(error.into()))?;
        match handle.try_lock() {
            Ok(()) => (),
            Err(TryLockError::WouldBlock) => return Err(TripError::FolderTaken { folder: path.to_owned() }),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let finished = scan(path).map_err(failed)?;
        let last_number = finished.back().map_or(0, |file| file.number);
        Ok(Self { path: path.to_owned(), handle, finished, last_number })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The newest file, if it was not finished.
    pub(super) fn cut(&self) -> Option<PathBuf> {
        let newest = self.finished.back()?;
        let whole = ends_whole(&newest.path).unwrap_or(false);
        (!whole).then(|| newest.path.clone())
    }

    /// The path of a file that begins at `unix_ns`, which nobody has.
    pub(super) fn next_path(&mut self, unix_ns: i64) -> PathBuf {
        self.last_number += 1;
        self.path.join(name(unix_ns, self.last_number))
    }

    /// Puts the names of files on the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.handle.sync_all()
    }

    /// Takes a file that was closed.
    pub(super) fn add(&mut self, path: PathBuf, bytes: u64) {
        self.finished.push_back(Finished { number: self.last_number, path, bytes });
    }

    /// Bytes of all files that are not open.
    pub(super) fn bytes(&self) -> u64 {
        self.finished.iter().map(|file| file.bytes).sum()
    }

    /// Removes the oldest file; `None` if there is none. One that cannot be removed is told and not tried again.
    pub(super) fn remove_oldest(&mut self) -> Option<bool> {
        let oldest = self.finished.pop_front()?;
        match std::fs::remove_file(&oldest.path) {
            Ok(()) => {
                tracing::info!(path = %oldest.path.display(), "removed the oldest recording to make room");
                Some(true)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some(false),
            Err(error) => {
                tracing::warn!(path = %oldest.path.display(), %error, "an old recording cannot be removed");
                Some(false)
            }
        }
    }
}

/// Our files in the order of their numbers.
pub(super) fn scan(folder: &Path) -> io::Result<VecDeque<Finished>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let number = entry.file_name().to_str().and_then(number);
        // Not through links: what they lead to is not ours.
        let Some((number, about)) = number.zip(entry.metadata().ok().filter(std::fs::Metadata::is_file)) else {
            continue;
        };
        found.push(Finished { number, path: entry.path(), bytes: about.len() });
    }
    found.sort_by_key(|file| file.number);
    Ok(found.into())
}

fn ends_whole(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let mut end = [0; 8];
    file.seek(SeekFrom::End(-8))?;
    file.read_exact(&mut end)?;
    Ok(end == MAGIC)
}

fn name(unix_ns: i64, number: u64) -> String {
    format!("{}_{number:04}.mcap", utc(unix_ns))
}

/// The number of a file that is called as ours are.
fn number(name: &str) -> Option<u64> {
    let (begun, number) = name.strip_suffix(".mcap")?.split_once('_')?;
    let fits = |(at, letter): (usize, u8)| match at {
        4 | 7 | 13 | 16 => letter == b'-',
        10 => letter == b'T',
        19 => letter == b'Z',
        _ => letter.is_ascii_digit(),
    };
    let ours = begun.len() == 20 && begun.bytes().enumerate().all(fits) && number.len() >= 4;
    let number = number.bytes().all(|digit| digit.is_ascii_digit()).then(|| number.parse().ok())?;
    number.filter(|_| ours)
}

/// `2026-11-27T23-10-05Z`: no colons, which some file systems do not take. Before 1970 it is 1970.
fn utc(unix_ns: i64) -> String {
    let seconds = unix_ns.max(0) / 1_000_000_000;
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}-{minute:02}-{second:02}Z")
}

/// Year, month and day of a day after 1970-01-01. Years are counted from March, so that the leap day is their last; 400
/// of them have 146097 days, and their months repeat 31, 30, 31, 30, 31: 153 days.
fn date(day: i64) -> (i64, i64, i64) {
    let since_0000_03 = day + 719_468;
    let (era, of_era) = (since_0000_03 / 146_097, since_0000_03 % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_time_in_utc_as_gnu_date_does() {
        for (seconds, expected) in [
            (0, "1970-01-01T00-00-00Z"),
            (951_782_399, "2000-02-28T23-59-59Z"),
            (951_782_400, "2000-02-29T00-00-00Z"),
            (1_709_251_199, "2024-02-29T23-59-59Z"),
            (1_795_821_005, "2026-11-27T23-10-05Z"),
            (4_107_542_400, "2100-03-01T00-00-00Z"),
            (-5, "1970-01-01T00-00-00Z"),
        ] {
            assert_eq!(utc(seconds * 1_000_000_000), expected, "{seconds}");
        }
    }

    #[test]
    fn only_names_as_ours_are_ours() {
        assert_eq!(name(1_795_821_005_000_000_000, 1), "2026-11-27T23-10-05Z_0001.mcap");
        assert_eq!(number(&name(i64::MAX, 12_345)), Some(12_345));
        for other in [
            "drive.mcap",
            "2026-11-27T23-10-05Z_0001.mcap.bak",
            "2026-11-27T23-10-05Z_1.mcap",
            "2026-11-27T23-10-05Z_+001.mcap",
            "2026-11-27T23:10:05Z_0001.mcap",
            "2026-11-27T23-10-05Z_.mcap",
            "2026-11-27T23-10-05Z.mcap",
            "x026-11-27T23-10-05Z_0001.mcap",
        ] {
            assert_eq!(number(other), None, "{other}");
        }
    }

    #[test]
    fn a_folder_goes_on_counting_and_removes_its_own_oldest_first() {
        let place = tempfile::tempdir().expect("a folder");
        let put = |name: &str, text: &[u8]| std::fs::write(place.path().join(name), text).expect("room");
        put("2030-01-01T00-00-00Z_0007.mcap", b"old, under a clock that ran ahead");
        put("1970-01-01T00-00-09Z_0008.mcap", b"cut");
        put("drive.mcap", b"not ours");
        std::os::unix::fs::symlink(
            place.path().join("drive.mcap"),
            place.path().join("2020-01-01T00-00-00Z_0001.mcap"),
        )
        .expect("links are known");
        let mut folder = Folder::take(place.path()).expect("free");
        assert_eq!(folder.bytes(), 36);
        assert_eq!(folder.cut(), Some(place.path().join("1970-01-01T00-00-09Z_0008.mcap")));
        assert_eq!(folder.next_path(0), place.path().join("1970-01-01T00-00-00Z_0009.mcap"));
        assert_eq!(folder.remove_oldest(), Some(true));
        assert!(!place.path().join("2030-01-01T00-00-00Z_0007.mcap").exists());
        std::fs::remove_file(place.path().join("1970-01-01T00-00-09Z_0008.mcap")).expect("by hand");
        assert_eq!([folder.remove_oldest(), folder.remove_oldest()], [Some(false), None]);
        assert_eq!(std::fs::read_dir(place.path()).expect("a folder").count(), 2, "what is not ours stays");
    }

    #[test]
    fn a_folder_is_taken_once_and_free_again_afterwards() {
        let place = tempfile::tempdir().expect("a folder");
        let taken = Folder::take(place.path()).expect("free");
        let error = Folder::take(place.path()).err().expect("taken").to_string();
        assert!(error.contains("another program records into this folder"), "{error}");
        drop(taken);
        assert!(Folder::take(place.path()).is_ok());
        let error = Folder::take(&place.path().join("none")).err().expect("not there").to_string();
        assert!(error.ends_with("; make the folder, or mount its disk"), "{error}");
    }
}
