//! Content-defined chunking of long files: FastCDC 2020 (Xia et al., "The Design of Fast Content-Defined Chunking for Data
//! Deduplication Based Storage Systems", IEEE TPDS 2020), normalisation level 1, in three size classes.

use fastcdc::v2020::{FastCDC, Normalization};

/// How finely a file is cut. The class is recorded in the file's recipe and kept from version to version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Class {
    /// 16 / 64 / 256 KiB (least, average, most): files up to 256 MiB.
    Small = 0,
    /// 64 / 256 / 1024 KiB: files up to 8 GiB.
    Medium = 1,
    /// 256 / 1024 / 4096 KiB: longer files.
    Large = 2,
}

impl Class {
    /// The class written as `byte`.
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Small,
            1 => Self::Medium,
            2 => Self::Large,
            _ => return None,
        })
    }

    /// The class of a file of `size` bytes whose previous version had the class `previous`. A class is left only when the size
    /// is more than four times outside its range: an append across a threshold must not store the whole file again.
    pub(crate) fn choose(size: u64, previous: Option<Self>) -> Self {
        let fresh = if size <= Self::Small.largest_file() {
            Self::Small
        } else if size <= Self::Medium.largest_file() {
            Self::Medium
        } else {
            Self::Large
        };
        match previous {
            Some(previous) if previous < fresh && size / 4 <= previous.largest_file() => previous,
            Some(previous) if previous > fresh && size.saturating_mul(4) > fresh.largest_file() => previous,
            _ => fresh,
        }
    }

    /// Files up to this size get this class.
    fn largest_file(self) -> u64 {
        match self {
            Self::Small => 256 << 20,
            Self::Medium => 8 << 30,
            Self::Large => u64::MAX,
        }
    }

    /// Most bytes of a chunk; only the last chunk of a file may be shorter than a sixteenth of it.
    pub(crate) fn most(self) -> usize {
        (256 << 10) << (2 * self as usize)
    }

    fn cutter(self, bytes: &[u8]) -> FastCDC<'_> {
        let most = self.most();
        FastCDC::with_level(bytes, most / 16, most / 4, most, Normalization::Level1)
    }
}

/// Cuts `bytes` into chunks and returns their lengths. Unless `last`, only cuts that no later byte could move are made: what
/// is left over (less than the class's most) has to be cut again together with what follows.
pub(crate) fn cut(class: Class, bytes: &[u8], last: bool) -> Vec<usize> {
    let cutter = class.cutter(bytes);
    let mut lengths = Vec::with_capacity(bytes.len() / (class.most() / 4) + 1);
    let mut start = 0;
    while start < bytes.len() && (last || bytes.len() - start >= class.most()) {
        let (_, end) = cutter.cut(start, bytes.len() - start);
        lengths.push(end - start);
        start = end;
    }
    lengths
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Digest;

    /// Reproducible bytes without structure: BLAKE3 in output mode.
    fn noise(length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        blake3::Hasher::new().update(b"mlp chunking vector").finalize_xof().fill(&mut bytes);
        bytes
    }

    /// Digest of the lengths of all chunks: one number that changes when any cut moves.
    fn vector(class: Class, bytes: &[u8]) -> (usize, String) {
        let lengths = cut(class, bytes, true);
        let text = lengths.iter().map(|length| format!("{length}\n")).collect::<String>();
        (lengths.len(), Digest::of(text.as_bytes()).short())
    }

    #[test]
    fn the_cuts_of_format_1_never_move() {
        // A change here means that files already stored would be stored once more: make a new format instead.
        let bytes = noise(8 << 20);
        let first = cut(Class::Small, &bytes, true)[..4].to_vec();
        assert_eq!(
            (
                first,
                vector(Class::Small, &bytes),
                vector(Class::Medium, &bytes),
                vector(Class::Large, &bytes)
            ),
            (
                vec![21293, 78608, 63400, 66268],
                (99, "f9c39d6f8c3c".to_owned()),
                (25, "7b9fe90647a7".to_owned()),
                (8, "0ee1a3b160c2".to_owned())
            )
        );
    }

    #[test]
    fn cutting_in_windows_gives_the_same_chunks_as_cutting_at_once() {
        let bytes = noise(3 << 20);
        for class in [Class::Small, Class::Medium] {
            let whole = cut(class, &bytes, true);
            for window in [class.most() + 1, 1_500_000] {
                let (mut lengths, mut start, mut end) = (Vec::new(), 0, 0);
                while end < bytes.len() {
                    end = (end + window).min(bytes.len());
                    for length in cut(class, &bytes[start..end], end == bytes.len()) {
                        lengths.push(length);
                        start += length;
                    }
                }
                assert_eq!(lengths, whole, "{class:?} in windows of {window}");
            }
        }
    }

    #[test]
    fn chunks_keep_their_bounds() {
        for class in [Class::Small, Class::Medium, Class::Large] {
            for bytes in [noise(9 << 20), vec![0; 9 << 20]] {
                let lengths = cut(class, &bytes, true);
                assert_eq!(lengths.iter().sum::<usize>(), bytes.len());
                assert!(lengths.iter().all(|length| *length <= class.most()));
                assert!(lengths[..lengths.len() - 1].iter().all(|length| *length >= class.most() / 16));
            }
        }
    }

    #[test]
    fn the_class_stays_until_the_size_left_it_by_far() {
        let (mib, gib) = (1u64 << 20, 1u64 << 30);
        assert_eq!(Class::choose(200 * mib, None), Class::Small);
        assert_eq!(Class::choose(257 * mib, None), Class::Medium);
        assert_eq!(Class::choose(9 * gib, None), Class::Large);
        assert_eq!(Class::choose(257 * mib, Some(Class::Small)), Class::Small);
        assert_eq!(Class::choose(1025 * mib, Some(Class::Small)), Class::Medium);
        assert_eq!(Class::choose(200 * mib, Some(Class::Medium)), Class::Medium);
        assert_eq!(Class::choose(60 * mib, Some(Class::Medium)), Class::Small);
        assert_eq!(Class::choose(3 * gib, Some(Class::Large)), Class::Large);
    }
}
