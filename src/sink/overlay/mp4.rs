//! Whether an MP4 is whole: some versions of ffmpeg end with success although the disk was full at the end.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// Boxes looked at: ffmpeg writes four.
const MAX_BOXES: usize = 64;
/// Length and name of a box, and the longer length that may follow.
const HEAD: u64 = 8;
const LONG_HEAD: u64 = 16;

/// Whether the boxes of `path` fill it exactly, and its index and pictures are among them.
pub(super) fn is_whole(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let bytes = file.metadata()?.len();
    let (mut at, mut index, mut pictures) = (0, false, false);
    for _ in 0..MAX_BOXES {
        if at == bytes {
            break;
        }
        file.seek(SeekFrom::Start(at))?;
        let Some((name, length)) = read_head(&mut file)?.filter(|(_, length)| *length <= bytes - at) else {
            return Ok(false);
        };
        index |= &name == b"moov";
        pictures |= &name == b"mdat";
        at += length;
    }
    Ok(at == bytes && index && pictures)
}

/// Name and length of the box that begins here; `None` for a length that no whole file has.
fn read_head(file: &mut File) -> io::Result<Option<([u8; 4], u64)>> {
    let (mut length, mut name, mut long) = ([0; 4], [0; 4], [0; 8]);
    let read = file.read_exact(&mut length).and_then(|()| file.read_exact(&mut name));
    match read {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    Ok(match u32::from_be_bytes(length) {
        1 => {
            file.read_exact(&mut long)?;
            Some((name, u64::from_be_bytes(long))).filter(|(_, length)| *length >= LONG_HEAD)
        }
        length => Some((name, u64::from(length))).filter(|(_, length)| *length >= HEAD),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_box(name: [u8; 4], content: usize) -> Vec<u8> {
        [&(content as u32 + 8).to_be_bytes()[..], &name, &vec![0; content]].concat()
    }

    #[test]
    fn a_file_cut_anywhere_is_not_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("video.mp4");
        let long = [&1u32.to_be_bytes()[..], b"mdat", &20u64.to_be_bytes(), &[7; 4]].concat();
        let whole = [with_box(*b"ftyp", 12), with_box(*b"moov", 5), long].concat();
        for end in 0..=whole.len() {
            std::fs::write(&path, &whole[..end]).expect("a small file");
            assert_eq!(is_whole(&path).unwrap_or(false), end == whole.len(), "cut at {end} of {}", whole.len());
        }
        std::fs::write(&path, with_box(*b"mdat", 30)).expect("a small file");
        assert!(!is_whole(&path).expect("readable"), "without an index nothing plays it");
    }
}
