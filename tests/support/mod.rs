//! What several tests share.

use std::path::{Path, PathBuf};

/// Real recordings, which are no part of the project; `None` (and a loud line) where they are absent.
pub fn shared_data(test: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let folder = std::env::var_os("SEGFUSE_DATA").map_or_else(beside, PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    println!("SKIPPED: {test}: no ../shared/data");
    None
}
