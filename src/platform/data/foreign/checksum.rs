//! Whether a file is what another tool's id says.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use md5::{Digest, Md5};
use sha2::Sha256;

use super::{Algorithm, ForeignId};
use crate::base::hex;

/// DVC 2 read in pieces of this size and looked for line ends within each.
const PIECE: usize = 1 << 20;
/// How much of a file DVC 2 looked at to tell texts.
const LOOK: usize = 512;

/// Whether the bytes of `file` have the id.
pub(super) fn matches(file: &Path, id: &ForeignId) -> io::Result<bool> {
    let found = match id.algorithm {
        Algorithm::Md5 => digest(file, Md5::new(), |hash, piece| hash.update(piece))?,
        Algorithm::Sha256 => digest(file, Sha256::new(), |hash, piece| hash.update(piece))?,
        Algorithm::Md5Text => {
            let raw = digest(file, Md5::new(), |hash, piece| hash.update(piece))?;
            match raw == id.hex {
                true => raw,
                false => md5_of_text(file)?,
            }
        }
    };
    Ok(found == id.hex)
}

/// MD5 of bytes in memory, hexadecimal.
pub(super) fn md5_hex(bytes: &[u8]) -> String {
    hex(&Md5::digest(bytes))
}

/// MD5 of a file, hexadecimal.
pub(super) fn md5_of(file: &Path) -> io::Result<String> {
    digest(file, Md5::new(), |hash, piece| hash.update(piece))
}

/// What DVC 2 took for the MD5 of a file: that of the bytes, except that in a text every `\r\n` counts as `\n`
/// (`dos2unix` in `dvc.utils`, `istextblock` in `dvc.istextfile`).
fn md5_of_text(file: &Path) -> io::Result<String> {
    let mut text = None;
    digest(file, Md5::new(), |hash, piece| {
        let text = *text.get_or_insert_with(|| is_text(&piece[..piece.len().min(LOOK)]));
        match text {
            false => hash.update(piece),
            true => {
                let mut rest = piece;
                while let Some(at) = rest.windows(2).position(|two| two == b"\r\n") {
                    hash.update(&rest[..at]);
                    rest = &rest[at + 1..];
                }
                hash.update(rest);
            }
        }
    })
}

/// No NUL, and at most three tenths of the bytes neither printable ASCII nor white space.
fn is_text(block: &[u8]) -> bool {
    let is_plain = |byte: &u8| matches!(byte, 32..=126 | b'\n' | b'\r' | b'\t' | 0x0c | 0x08);
    let strange = block.iter().filter(|byte| !is_plain(byte)).count();
    !block.contains(&0) && strange * 10 <= block.len() * 3
}

fn digest<D: Digest>(file: &Path, mut hash: D, mut update: impl FnMut(&mut D, &[u8])) -> io::Result<String> {
    let mut file = File::open(file)?;
    let mut piece = vec![0; PIECE];
    loop {
        // Full pieces, as the text rule wants them.
        let mut length = 0;
        while length < PIECE {
            match file.read(&mut piece[length..])? {
                0 => break,
                read => length += read,
            }
        }
        if length == 0 {
            return Ok(hex(&hash.finalize()));
        }
        update(&mut hash, &piece[..length]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(algorithm: Algorithm, hex: &str) -> ForeignId {
        ForeignId::new(algorithm, hex).expect("an id")
    }

    #[test]
    fn ids_are_those_of_the_tools() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("file");
        std::fs::write(&file, "one\r\ntwo\r\n").expect("writes");
        // md5sum, and md5sum of the text after dos2unix.
        let raw = md5_hex(b"one\r\ntwo\r\n");
        let unix = md5_hex(b"one\ntwo\n");
        assert_eq!(unix, "2094b601daac3d68f5aed51d3c20f7cd".to_owned());
        assert!(matches(&file, &id(Algorithm::Md5, &raw)).expect("reads"));
        assert!(!matches(&file, &id(Algorithm::Md5, &unix)).expect("reads"));
        assert!(matches(&file, &id(Algorithm::Md5Text, &raw)).expect("reads"));
        assert!(matches(&file, &id(Algorithm::Md5Text, &unix)).expect("reads"));
        std::fs::write(&file, "one\0\r\ntwo\r\n").expect("writes");
        assert!(!matches(&file, &id(Algorithm::Md5Text, &md5_hex(b"one\0\ntwo\n"))).expect("reads"));
        std::fs::write(&file, "abc").expect("writes");
        let sha = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert!(matches(&file, &id(Algorithm::Sha256, sha)).expect("reads"));
    }

    #[test]
    fn a_line_end_across_two_pieces_counts_as_dvc_counted_it() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("file");
        let mut text = vec![b'a'; PIECE - 1];
        text.extend_from_slice(b"\r\nb\r\n");
        std::fs::write(&file, &text).expect("writes");
        let mut wanted = vec![b'a'; PIECE - 1];
        wanted.extend_from_slice(b"\r\nb\n");
        assert_eq!(md5_of_text(&file).expect("reads"), md5_hex(&wanted));
    }
}
