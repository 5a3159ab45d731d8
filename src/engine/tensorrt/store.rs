//! Where plans are kept: a folder, a file a plan, each with a heading that says what it serves.
//!
//! ```text
//! segfuse plan 2\n
//! {"key":{...},"bytes":123,"xxh3":"..."}\n
//! the plan as TensorRT made it
//! ```
//!
//! Files appear whole or not at all. TensorRT may crash over a damaged plan, so that the hash is held against the bytes
//! before it sees them.

use super::key::PlanKey;
use serde::{Deserialize, Serialize};
use std::env;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_64;

const MAGIC: &str = "segfuse plan 2";
/// A heading is a few hundred bytes; one that goes on for longer is none.
const MAX_HEADING_BYTES: usize = 4096;

/// Why a folder of plans cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Name one.
    #[error(
        "no folder to keep plans in: none of CACHE_DIRECTORY, XDG_CACHE_HOME and HOME is set; name one (--plans, SEGFUSE_PLANS)"
    )]
    NoFolder,
    /// Make it readable and writable, or name another.
    #[error(
        "{path}: {cause}; plans are kept there: make room, make it writable, or name another folder (--plans, SEGFUSE_PLANS)"
    )]
    Failed {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
}

/// A folder of plans.
#[derive(Clone, Debug)]
pub struct PlanStore {
    folder: PathBuf,
}

/// What is known of a plan file.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// What it serves, or what is wrong with it.
    pub key: Result<PlanKey, String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Heading {
    key: PlanKey,
    bytes: usize,
    xxh3: String,
}

/// What was found for a key.
#[derive(Debug)]
pub(super) enum Found {
    Plan(Vec<u8>),
    Nothing,
    /// It is there and cannot be used, for this reason.
    Unfit(String),
}

impl PlanStore {
    /// Plans in `folder`, which need not be there yet; else in the user's or the service's cache.
    pub fn new(folder: Option<&Path>) -> Result<Self, StoreError> {
        let folder = folder.map(Path::to_owned).or_else(default_folder).ok_or(StoreError::NoFolder)?;
        Ok(Self { folder })
    }

    /// Where they are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Finds out, before the minutes of a build, whether a plan can be written.
    pub(super) fn check_is_writable(&self) -> Result<(), StoreError> {
        let probe = self.folder.join("probe");
        self.write(&probe, &[])?;
        remove(&probe)
    }

    /// Every plan file, by name; none if the folder is not there.
    pub fn entries(&self) -> Result<Vec<Entry>, StoreError> {
        let failed = |cause| StoreError::Failed { path: self.folder.clone(), cause };
        let files = match fs::read_dir(&self.folder) {
            Ok(files) => files,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let paths = files.map(|file| file.map(|file| file.path())).collect::<Result<Vec<_>, _>>().map_err(failed)?;
        let mut paths: Vec<_> =
            paths.into_iter().filter(|path| path.extension().is_some_and(|e| e == "plan")).collect();
        paths.sort();
        Ok(paths.into_iter().map(entry).collect())
    }

    pub(super) fn find(&self, key: &PlanKey) -> Result<Found, StoreError> {
        let Some(bytes) = read(&self.path(key))? else {
            return Ok(Found::Nothing);
        };
        Ok(match open(&bytes) {
            Err(reason) => Found::Unfit(reason),
            Ok((heading, _)) if heading.key != *key => Found::Unfit(key.difference(&heading.key)),
            Ok((_, plan)) => Found::Plan(plan.to_vec()),
        })
    }

    pub(super) fn keep(&self, key: &PlanKey, plan: &[u8]) -> Result<PathBuf, StoreError> {
        let heading = Heading { key: key.clone(), bytes: plan.len(), xxh3: format!("{:016x}", xxh3_64(plan)) };
        let heading = serde_json::to_string(&heading).expect("texts and numbers: JSON writes them all");
        let path = self.path(key);
        self.write(&path, &[MAGIC.as_bytes(), b"\n", heading.as_bytes(), b"\n", plan])?;
        Ok(path)
    }

    /// What earlier builds have measured; empty where there were none.
    pub(super) fn timings(&self, key: &PlanKey) -> Result<Vec<u8>, StoreError> {
        Ok(read(&self.timings_path(key))?.unwrap_or_default())
    }

    pub(super) fn keep_timings(&self, key: &PlanKey, timings: &[u8]) -> Result<(), StoreError> {
        self.write(&self.timings_path(key), &[timings])
    }

    /// Where what builds have measured is kept.
    pub(super) fn timings_path(&self, key: &PlanKey) -> PathBuf {
        self.folder.join(key.timing_file_name())
    }

    /// Where the plan of `key` is kept.
    pub(super) fn path(&self, key: &PlanKey) -> PathBuf {
        self.folder.join(key.file_name())
    }

    fn write(&self, path: &Path, parts: &[&[u8]]) -> Result<(), StoreError> {
        let failed = |cause| StoreError::Failed { path: path.to_owned(), cause };
        fs::create_dir_all(&self.folder).map_err(failed)?;
        let part = path.with_extension(format!("{}.part", std::process::id()));
        let written = fs::File::create(&part).and_then(|mut file| {
            parts.iter().try_for_each(|bytes| file.write_all(bytes))?;
            file.sync_all()
        });
        let renamed = written.and_then(|()| fs::rename(&part, path));
        renamed.inspect_err(|_| drop(fs::remove_file(&part))).map_err(failed)
    }
}

fn entry(path: PathBuf) -> Entry {
    match read(&path) {
        Ok(bytes) => {
            let bytes = bytes.unwrap_or_default();
            let key = open(&bytes).map(|(heading, _)| heading.key).and_then(|key| {
                let name = key.file_name();
                if path.ends_with(&name) { Ok(key) } else { Err(format!("by its heading it is {name}")) }
            });
            Entry { path, bytes: bytes.len() as u64, key }
        }
        Err(error) => Entry { path, bytes: 0, key: Err(error.to_string()) },
    }
}

/// The service's cache, else the user's.
fn default_folder() -> Option<PathBuf> {
    let folder = |name: &str| env::var_os(name).filter(|folder| !folder.is_empty()).map(PathBuf::from);
    // A service may have several, of which the first is its own.
    let first = |folders: PathBuf| env::split_paths(&folders).next();
    let service = folder("CACHE_DIRECTORY").and_then(first).map(|cache| cache.join("plans"));
    let user = || folder("XDG_CACHE_HOME").or_else(|| folder("HOME").map(|home| home.join(".cache")));
    service.or_else(|| user().map(|cache| cache.join("segfuse/plans")))
}

/// A file's bytes; nothing if it is not there.
fn read(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    // Nobody knows when a pipe has been read.
    let is_file = |path: &Path| fs::metadata(path).map(|about| about.is_file());
    let no_file = || io::Error::other("it is no plain file: move it away");
    match is_file(path).and_then(|is_file| if is_file { fs::read(path) } else { Err(no_file()) }) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(StoreError::Failed { path: path.to_owned(), cause }),
    }
}

fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
            Err(StoreError::Failed { path: path.to_owned(), cause })
        }
        _ => Ok(()),
    }
}

/// Heading and plan, or what is wrong with the file.
fn open(bytes: &[u8]) -> Result<(Heading, &[u8]), String> {
    let line = |bytes: &[u8]| bytes.iter().take(MAX_HEADING_BYTES).position(|byte| *byte == b'\n');
    let rest = bytes.strip_prefix(MAGIC.as_bytes()).and_then(|rest| rest.strip_prefix(b"\n"));
    let rest =
        rest.ok_or_else(|| format!("it does not begin with '{MAGIC}', as plans of this version of the program do"))?;
    let end = line(rest).ok_or("its heading has no end")?;
    let heading: Heading = serde_json::from_slice(&rest[..end]).map_err(|error| format!("its heading: {error}"))?;
    let plan = &rest[end + 1..];
    if plan.len() < heading.bytes {
        return Err(format!("it is cut: {} of {} bytes", plan.len(), heading.bytes));
    }
    if plan.len() > heading.bytes {
        return Err(format!("it has {} bytes in the place of {}", plan.len(), heading.bytes));
    }
    let found = format!("{:016x}", xxh3_64(plan));
    if found != heading.xxh3 {
        return Err(format!("it is damaged: expected XXH3 {}, got {found}", heading.xxh3));
    }
    Ok((heading, plan))
}
