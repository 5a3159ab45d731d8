//! What frames were called before they were imported, so that files taken out again match those they came from.
//!
//! An MCAP metadata record of its own, `segfuse.names`, written before the first chunk: a cut file still has it, and a
//! run of the pipeline hands it on with the rest of the metadata. Its keys are capture times, which frames keep.

use crate::data::Stamp;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};
use std::sync::Arc;

/// Name of the metadata record.
pub(super) const NAMES_RECORD: &str = "segfuse.names";
/// Names that are kept, two hours at 25 Hz: a trip of more frames than that has none.
const MAX_NAMES: usize = 200_000;
/// The longest name: a file name's 255 bytes less an ending.
const MAX_NAME_BYTES: usize = 240;

/// Names of frames by their capture time: file names without their ending. Clones share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrameNames {
    by_stamp: Arc<BTreeMap<Stamp, String>>,
    /// Those that look like a frame's number.
    numeric: Arc<BTreeSet<String>>,
}

impl FrameNames {
    /// Keeps the names that can be file names and are not used twice. Too many: none at all, with a warning.
    pub fn new(names: impl IntoIterator<Item = (Stamp, String)>) -> Self {
        let names: BTreeMap<_, _> = names.into_iter().take(MAX_NAMES + 1).collect();
        if names.len() > MAX_NAMES {
            tracing::warn!("more than {MAX_NAMES} frames: their names are not kept, files are named by frame number");
            return Self::default();
        }
        let (mut seen, mut twice) = (BTreeSet::new(), BTreeSet::new());
        let repeated = names.values().filter(|name| !seen.insert(name.as_str()));
        twice.extend(repeated.cloned());
        let usable = |name: &String| is_file_stem(name) && !twice.contains(name);
        let by_stamp: BTreeMap<_, _> = names.into_iter().filter(|(_, name)| usable(name)).collect();
        let numeric = |name: &&String| name.bytes().all(|byte| byte.is_ascii_digit());
        let numeric = by_stamp.values().filter(numeric).cloned().collect();
        Self { by_stamp: Arc::new(by_stamp), numeric: Arc::new(numeric) }
    }

    /// The name of the frame stamped `stamp`.
    pub fn get(&self, stamp: Stamp) -> Option<&str> {
        self.by_stamp.get(&stamp).map(String::as_str)
    }

    /// Whether no frame has a name.
    pub fn is_empty(&self) -> bool {
        self.by_stamp.is_empty()
    }

    /// What files of a frame are called, without ending: its name, or its number in eight digits.
    pub(super) fn file_stem(&self, stamp: Stamp, number: u64) -> String {
        let numbered = format!("{number:08}");
        match self.get(stamp) {
            Some(name) => name.to_owned(),
            None if self.numeric.contains(&numbered) => format!("unnamed_{numbered}"),
            None => numbered,
        }
    }

    /// The record's map.
    pub(super) fn to_map(&self) -> BTreeMap<String, String> {
        self.by_stamp.iter().map(|(stamp, name)| (stamp.ns().to_string(), name.clone())).collect()
    }

    /// Reads the record's map; what is not a stamp with a usable name is left out.
    pub(super) fn from_map(map: &BTreeMap<String, String>) -> Self {
        let entry = |(key, name): (&String, &String)| Some((Stamp::from_ns(key.parse().ok()?), name.clone()));
        Self::new(map.iter().filter_map(entry))
    }
}

/// Whether `name` may become a file's name: trips come from elsewhere, and a name must not lead out of the folder.
fn is_file_stem(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    let single = matches!((parts.next(), parts.next()), (Some(Component::Normal(only)), None) if only == name);
    single && name.len() <= MAX_NAME_BYTES && !name.contains(['\\', ':']) && !name.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(given: &[&str]) -> FrameNames {
        FrameNames::new((0..).map(Stamp::from_ns).zip(given.iter().map(|&name| name.to_owned())))
    }

    #[test]
    fn names_survive_their_record_and_name_files() {
        let names = names(&["0016E5_08079", "a.b", "00000007"]);
        assert_eq!(FrameNames::from_map(&names.to_map()), names);
        let stem = |ns, number| names.file_stem(Stamp::from_ns(ns), number);
        assert_eq!([stem(0, 3), stem(1, 4), stem(9, 8)], ["0016E5_08079", "a.b", "00000008"]);
        assert_eq!(stem(9, 7), "unnamed_00000007", "the number is another frame's name");
    }

    #[test]
    fn no_name_leads_out_of_the_folder_or_stands_for_two_frames() {
        let long = "x".repeat(241);
        for bad in ["", ".", "..", "../x", "/etc/x", "a/b", "a\\b", "c:x", "a\0", "a\n", "a/", &long] {
            assert!(names(&[bad]).is_empty(), "{bad:?}");
        }
        let twins = names(&["a", "b", "a"]);
        assert_eq!((twins.get(Stamp::ZERO), twins.get(Stamp::from_ns(1))), (None, Some("b")));
    }
}
