//! Copying and hashing in one pass over memory.

use xxhash_rust::xxh3::Xxh3;

/// Fits in the first-level cache of any core beside its copy, so that hashing reads no memory again.
const BLOCK: usize = 8 * 1024;

/// Copies `from` to `to`, both of the same length, and hashes **what is in `to`**:
/// a source that changes meanwhile cannot pass for sound.
pub(super) fn copy_hashed(from: &[u8], to: &mut [u8], hash: &mut Xxh3) {
    for (from, to) in from.chunks(BLOCK).zip(to.chunks_mut(BLOCK)) {
        to.copy_from_slice(from);
        hash.update(to);
    }
}

/// Reads a payload that comes in several pieces, as fragmented messages do, from front to back.
pub(super) struct Pieces<'a, I> {
    more: I,
    rest: &'a [u8],
    read: usize,
}

impl<'a, I: Iterator<Item = &'a [u8]>> Pieces<'a, I> {
    pub(super) fn new(pieces: I) -> Self {
        Self { more: pieces, rest: &[], read: 0 }
    }

    /// Fills `to` and hashes it; false if the pieces end before.
    pub(super) fn copy(&mut self, to: &mut [u8], hash: &mut Xxh3) -> bool {
        let mut filled = 0;
        while filled < to.len() {
            let piece = self.take(to.len() - filled);
            if piece.is_empty() {
                return false;
            }
            copy_hashed(piece, &mut to[filled..filled + piece.len()], hash);
            filled += piece.len();
        }
        true
    }

    /// Bytes in all, read or not; reads to the end.
    pub(super) fn count(mut self) -> usize {
        while !self.take(usize::MAX).is_empty() {}
        self.read
    }

    /// Up to `most` bytes; none only at the end.
    fn take(&mut self, most: usize) -> &'a [u8] {
        while self.rest.is_empty() {
            let Some(piece) = self.more.next() else { return &[] };
            self.rest = piece;
        }
        let (taken, rest) = self.rest.split_at(most.min(self.rest.len()));
        self.rest = rest;
        self.read += taken.len();
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xxhash_rust::xxh3::xxh3_64;

    #[test]
    fn any_cut_into_pieces_gives_the_same_copy_and_hash() {
        let from: Vec<u8> = (0..3 * BLOCK + 17).map(|i| (i * 31 % 251) as u8).collect();
        for piece in [1, 240, BLOCK - 1, BLOCK, BLOCK + 1, from.len()] {
            let (mut to, mut hash) = (vec![0; from.len()], Xxh3::new());
            assert!(Pieces::new(from.chunks(piece)).copy(&mut to, &mut hash));
            assert_eq!((hash.digest(), &to), (xxh3_64(&from), &from), "pieces of {piece}");
        }
    }

    #[test]
    fn pieces_that_end_early_are_told_and_counted() {
        let pieces = [&[1, 2][..], &[], &[3]];
        let mut short = Pieces::new(pieces.into_iter());
        assert!(!short.copy(&mut [0; 4], &mut Xxh3::new()));
        assert_eq!(short.count(), 3);
    }
}
