//! What several tests need.

/// The folder of real data, or `None` with a loud word.
pub fn shared_data(test: &str) -> Option<std::path::PathBuf> {
    let beside = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let folder = std::env::var_os("SEGFUSE_DATA").map_or(beside, Into::into);
    if folder.is_dir() {
        return Some(folder);
    }
    println!("SKIPPED: {test}: no ../shared/data");
    None
}
