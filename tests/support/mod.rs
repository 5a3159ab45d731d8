//! What several tests share.

use std::path::PathBuf;

/// The folder of real recordings, `$SEGFUSE_DATA` or `../shared/data`; `None`, said loudly, where there is none.
pub fn shared_data(test: &str) -> Option<PathBuf> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let folder = std::env::var_os("SEGFUSE_DATA").map_or_else(beside, PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("SKIPPED: {test}: no ../shared/data");
    None
}
