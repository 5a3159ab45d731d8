//! What several integration tests share.

#![allow(unreachable_pub, reason = "a module of every test that includes it, not of a library")]

/// The real recordings beside the repository, or where `SEGFUSE_DATA` says; tells loudly when they are absent.
pub fn shared_data(test: &str) -> Option<std::path::PathBuf> {
    let beside = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let folder = std::env::var_os("SEGFUSE_DATA").map_or(beside, Into::into);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("SKIPPED: {test}: no ../shared/data");
    None
}
