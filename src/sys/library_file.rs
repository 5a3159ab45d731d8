//! Whether a shared library's file is whole. The loader maps what its headers tell without looking at the file's length, and
//! who then reads what is not there is killed (SIGBUS): a copy that was cut short would end the program.

use std::env;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Where the loader looks up names, made by `ldconfig`.
const CACHE: &str = "/etc/ld.so.cache";
const CACHE_MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
/// Bytes before the first entry, and of an entry.
const CACHE_HEADING: usize = 48;
const CACHE_ENTRY: usize = 24;
/// Where it looks besides.
const FOLDERS: [&str; 4] = ["/lib64", "/usr/lib64", "/lib", "/usr/lib"];
/// Program headers of a library: NVIDIA's have about ten.
const MOST_HEADERS: u64 = 1000;

/// Refuses a file that is shorter than its ELF headers say; `library` is a path, or a name that the loader is to find. What is
/// not there, or no ELF file, is the loader's to tell.
pub fn check_is_whole(library: &Path) -> Result<(), String> {
    let files = if library.components().count() > 1 { vec![library.to_owned()] } else { found(library) };
    files.iter().try_for_each(|file| match lengths(file) {
        Some((length, told)) if length < told => {
            Err(format!("{} is cut: it has {length} of the {told} bytes that its headers tell", file.display()))
        }
        _ => Ok(()),
    })
}

/// The files that the loader may take for a name: the first of its folders that has one, else all that its cache has.
fn found(name: &Path) -> Vec<PathBuf> {
    let named = env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let in_folders = |folders: &mut dyn Iterator<Item = PathBuf>| {
        folders.map(|folder| folder.join(name)).find(|file| file.is_file())
    };
    if let Some(file) = in_folders(&mut env::split_paths(&named).filter(|folder| !folder.as_os_str().is_empty())) {
        return vec![file];
    }
    let cached = fs::read(CACHE).map(|cache| entries(&cache, name)).unwrap_or_default();
    if cached.is_empty() { in_folders(&mut FOLDERS.iter().map(PathBuf::from)).into_iter().collect() } else { cached }
}

/// What a cache has for a name.
fn entries(cache: &[u8], name: &Path) -> Vec<PathBuf> {
    let begin = cache.windows(CACHE_MAGIC.len()).position(|bytes| bytes == CACHE_MAGIC);
    let Some(cache) = begin.and_then(|begin| cache.get(begin..)) else { return vec![] };
    let number = |at: usize| cache.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes);
    let text = |at: u32| {
        let bytes = cache.get(at as usize..)?;
        std::str::from_utf8(&bytes[..bytes.iter().position(|byte| *byte == 0)?]).ok()
    };
    let count = number(CACHE_MAGIC.len()).unwrap_or(0) as usize;
    let entry = |index: usize| {
        let at = CACHE_HEADING + index * CACHE_ENTRY;
        let (key, value) = (text(number(at + 4)?)?, text(number(at + 8)?)?);
        (Path::new(key) == name).then(|| PathBuf::from(value))
    };
    (0..count.min(cache.len() / CACHE_ENTRY)).filter_map(entry).collect()
}

/// The length of a 64-bit ELF file, and how long its headers say that it is at least; nothing if it is none.
fn lengths(path: &Path) -> Option<(u64, u64)> {
    let mut file = File::open(path).ok()?;
    let metadata = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
    let mut heading = Vec::new();
    file.by_ref().take(64).read_to_end(&mut heading).ok()?;
    if !heading.starts_with(b"\x7fELF\x02") {
        return None;
    }
    let length = metadata.len();
    if heading.len() < 64 {
        return Some((length, 64));
    }
    let end = |table: u64, size: u64, count: u64| table.saturating_add(size.saturating_mul(count));
    let (programs, size, count) = (long(&heading, 32)?, short(&heading, 54)?, short(&heading, 56)?.min(MOST_HEADERS));
    let sections = match long(&heading, 40)? {
        0 => 0,
        at => end(at, short(&heading, 58)?, short(&heading, 60)?),
    };
    let told = end(programs, size, count).max(sections);
    if told > length {
        return Some((length, told));
    }
    let mut table = vec![0; (size * count) as usize];
    file.read_exact_at(&mut table, programs).ok()?;
    // What is loaded, or read by the loader: from its offset on, so many bytes of the file.
    let segments = table.chunks_exact((size as usize).max(56));
    let ends = segments.filter_map(|segment| Some(long(segment, 8)?.saturating_add(long(segment, 32)?)));
    Some((length, ends.fold(told, u64::max)))
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes)
}

fn short(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_le_bytes).map(u64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_is_cut_anywhere_is_told_by_its_name_and_a_whole_one_is_not() {
        let whole = found(Path::new("libc.so.6")).into_iter().next().expect("every program here has loaded it");
        assert_eq!(check_is_whole(Path::new("libc.so.6")), Ok(()));
        let bytes = fs::read(&whole).expect("it can be read");
        let folder = tempfile::tempdir().expect("a folder");
        let copy = folder.path().join("libcopy.so");
        for length in [10, 63, 64, 1000, 4096, bytes.len() / 2, bytes.len() - 1] {
            fs::write(&copy, &bytes[..length]).expect("room");
            let told = check_is_whole(&copy).expect_err("it is cut");
            assert!(told.contains("libcopy.so is cut: it has") && told.contains(&length.to_string()), "{told}");
        }
        fs::write(&copy, &bytes).expect("room");
        assert_eq!(check_is_whole(&copy), Ok(()));
    }

    #[test]
    fn what_is_no_library_is_left_to_the_loader() {
        let folder = tempfile::tempdir().expect("a folder");
        let text = folder.path().join("libtext.so");
        fs::write(&text, "GROUP ( libc.so.6 )").expect("room");
        for path in [text, folder.path().to_owned(), folder.path().join("nothing"), PathBuf::from("libnowhere.so.7")] {
            assert_eq!(check_is_whole(&path), Ok(()), "{}", path.display());
        }
    }
}
