//! Decoded images that are kept between runs: decoding a version of a dataset takes long, and its pixels never change.
//!
//! ```text
//! per image, in order: its pixels | its key u64 little-endian
//! then BLAKE3 of all that, 32 bytes
//! ```
//! A file here is a copy that can be made again: what is damaged or cut off is decoded anew, what nobody used for long gives way.

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tempfile::NamedTempFile;

use crate::base::Digest;

/// All files together take no more than this, and no more than a quarter of the room that is left.
const MOST: u64 = 20 << 30;
/// Bytes of a digest.
const DIGEST: u64 = 32;

/// Where decoded images of a version are kept.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// The folder of all such files.
    pub folder: PathBuf,
    /// The version of the dataset.
    pub version: Digest,
}

/// Decoded images as they are read, or as they are written.
pub(super) enum Kept {
    /// They are there.
    Read { file: BufReader<File>, hasher: Box<blake3::Hasher>, path: PathBuf },
    /// They are being made.
    Write { file: BufWriter<NamedTempFile>, hasher: Box<blake3::Hasher>, path: PathBuf },
    /// Nobody wants to keep them, or there is no room.
    Not,
}

impl Decoded {
    /// What is kept of `images` images of this shape, or the place for it.
    pub(super) fn open(&self, shape: &[usize], images: usize) -> Kept {
        let words: Vec<String> = shape.iter().map(usize::to_string).collect();
        let path = self.folder.join(format!("{}-{}", self.name(), words.join("x")));
        let width = shape.iter().product::<usize>() as u64;
        let length = (width + 8) * images as u64 + DIGEST;
        let hasher = Box::new(blake3::Hasher::new());
        if let Ok(file) = File::open(&path)
            && file.metadata().is_ok_and(|meta| meta.len() == length)
        {
            // Whoever makes room begins with what was not used for the longest time.
            let _ = file.set_modified(SystemTime::now());
            return Kept::Read { file: BufReader::with_capacity(1 << 20, file), hasher, path };
        }
        if !self.makes_room(length) {
            return Kept::Not;
        }
        match NamedTempFile::new_in(&self.folder) {
            Ok(file) => Kept::Write { file: BufWriter::with_capacity(1 << 20, file), hasher, path },
            Err(_) => Kept::Not,
        }
    }

    /// Forgets what is kept of the version: it may be of other files, which came while they were read.
    pub fn forget(&self) {
        let name = self.name();
        let of_version =
            |path: &PathBuf| path.file_name().is_some_and(|file| file.to_string_lossy().starts_with(&name));
        for path in files(&self.folder).into_iter().map(|(_, _, path)| path).filter(of_version) {
            let _ = fs::remove_file(path);
        }
    }

    fn name(&self) -> String {
        self.version.hex()[..32].to_owned()
    }

    /// Whether there is room for so many bytes, after those that were not used for the longest time have gone.
    fn makes_room(&self, length: u64) -> bool {
        if fs::create_dir_all(&self.folder).is_err() {
            return false;
        }
        let mut there: Vec<(SystemTime, u64, PathBuf)> = files(&self.folder);
        there.sort();
        let taken =
            |there: &[(SystemTime, u64, PathBuf)]| there.iter().map(|(_, bytes, _)| bytes).sum::<u64>();
        let free = crate::infrastructure::store::worktree::available(&self.folder).unwrap_or(u64::MAX);
        let most = MOST.min((free.saturating_add(taken(&there))) / 4);
        if length > most {
            return false;
        }
        let mut first = 0;
        while taken(&there[first..]) + length > most {
            let _ = fs::remove_file(&there[first].2);
            first += 1;
        }
        true
    }
}

fn files(folder: &Path) -> Vec<(SystemTime, u64, PathBuf)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let known = entries.filter_map(|entry| {
        let meta = entry.metadata().ok()?;
        Some((meta.modified().ok()?, meta.len(), entry.path()))
    });
    known.collect()
}

impl Kept {
    /// The next images, whose pixels fill `values`, `width` each, and their keys; none if they are not kept.
    pub(super) fn next(&mut self, values: &mut [u8], width: usize) -> Option<Vec<u64>> {
        let Self::Read { file, hasher, .. } = self else { return None };
        let mut keys = Vec::with_capacity(values.len() / width);
        for pixels in values.chunks_exact_mut(width) {
            let mut key = [0; 8];
            file.read_exact(pixels).and_then(|()| file.read_exact(&mut key)).ok()?;
            hasher.update(pixels).update(&key);
            keys.push(u64::from_le_bytes(key));
        }
        Some(keys)
    }

    /// Keeps images that were decoded.
    pub(super) fn keep(&mut self, values: &[u8], width: usize, keys: &[u64]) {
        let Self::Write { file, hasher, .. } = self else { return };
        let written = values.chunks_exact(width).zip(keys).try_for_each(|(pixels, key)| {
            let key = key.to_le_bytes();
            hasher.update(pixels).update(&key);
            file.write_all(pixels).and_then(|()| file.write_all(&key))
        });
        if written.is_err() {
            // No training fails for it.
            *self = Self::Not;
        }
    }

    /// Whether what was read is what was written: else it is removed. What was written stays from now on.
    pub(super) fn finish(self) -> bool {
        match self {
            Self::Read { mut file, hasher, path } => {
                let mut end = [0; DIGEST as usize];
                let whole = file.read_exact(&mut end).is_ok() && *hasher.finalize().as_bytes() == end;
                if !whole {
                    let _ = fs::remove_file(path);
                }
                whole
            }
            Self::Write { mut file, hasher, path } => {
                let end = file.write_all(hasher.finalize().as_bytes());
                if let (Ok(()), Ok(file)) = (end, file.into_inner()) {
                    let _ = file.persist(path);
                }
                true
            }
            Self::Not => true,
        }
    }
}
