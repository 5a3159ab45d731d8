//! Small files that people write: configurations, DBCs, tables. Read whole, if they are files and of a length that people
//! write; a pipe or a device might keep a program waiting, or fill its memory, for ever.

use std::fs::File;
use std::io::{self, Error, ErrorKind, Read};
use std::path::Path;

/// Bytes of the longest text: the configuration of a vehicle has some ten thousand.
pub const MAX_TEXT_BYTES: u64 = 1 << 20;
/// Bytes of the longest other file: the largest DBC of a vehicle has some ten million.
pub const MAX_BYTES: u64 = 64 << 20;

/// A file of UTF-8 text of at most [`MAX_TEXT_BYTES`].
pub fn read_text(path: &Path) -> io::Result<String> {
    let bytes = read_up_to(path, MAX_TEXT_BYTES)?;
    String::from_utf8(bytes).map_err(|_| Error::new(ErrorKind::InvalidData, "it is not UTF-8 text"))
}

/// A file of at most [`MAX_BYTES`].
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    read_up_to(path, MAX_BYTES)
}

fn read_up_to(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let found = path.metadata()?;
    if !found.is_file() && !found.is_dir() {
        let reason = "it is a pipe or a device: copy what it gives into a file, and name that";
        return Err(Error::new(ErrorKind::InvalidInput, reason));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let reason = format!("it has more than {most} bytes: is it the file that was meant?");
        return Err(Error::new(ErrorKind::FileTooLarge, reason));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_longest_and_not_a_byte_longer() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("text");
        std::fs::write(&path, vec![b'a'; MAX_TEXT_BYTES as usize]).expect("room");
        assert_eq!(read_text(&path).expect("just short enough").len() as u64, MAX_TEXT_BYTES);
        std::fs::write(&path, vec![b'a'; MAX_TEXT_BYTES as usize + 1]).expect("room");
        let error = read_text(&path).expect_err("too long").to_string();
        assert!(error.contains("more than 1048576 bytes"), "{error}");
        std::fs::write(&path, [0xff, 0xfe]).expect("room");
        assert!(read_text(&path).is_err() && read(&path).is_ok());
    }

    #[test]
    fn what_might_never_end_is_refused_at_once() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.is_ok_and(|status| status.success()), "mkfifo is needed");
        for path in [pipe.as_path(), Path::new("/dev/zero")] {
            let error = read_text(path).expect_err("it never ends").to_string();
            assert!(error.contains("a pipe or a device"), "{error}");
        }
        assert!(read(folder.path()).is_err() && read(&folder.path().join("absent")).is_err());
    }
}
