//! Long files that share their blocks with the work tree, where the file system can (reflinks: XFS, Btrfs): a version that was here
//! is put back without writing its bytes again.
//!
//! `objects/ab/<file id>` beside the packs is a cache: whatever is taken from it is hashed first, everything in it is in the packs too,
//! and it can be removed at any time. A clone costs nothing until the file of the work tree changes; then it holds the old blocks, so
//! that all together may take a tenth of the file system.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use super::super::files;
use crate::base::Digest;
use crate::infrastructure::durable;

/// All clones together may have so many bytes for each that the file system has: one in ten.
const SHARE: u64 = 10;
/// Bytes that are hashed at a time.
const WINDOW: usize = 4 << 20;

/// The clones of a local store.
pub(in crate::infrastructure::store) struct Clones {
    folder: PathBuf,
    /// Whether the file system was found to share no blocks, or there is no room.
    none: AtomicBool,
    /// Whether old ones were looked for.
    trimmed: AtomicBool,
}

impl Clones {
    /// The clones below the store's folder `root`.
    pub(in crate::infrastructure::store) fn new(root: &Path) -> Self {
        Self { folder: root.join("objects"), none: AtomicBool::new(false), trimmed: AtomicBool::new(false) }
    }

    /// Keeps the blocks of `file`, which has the content `id`. That it cannot is no error: it saves work later, no more.
    pub(super) fn keep(&self, id: &Digest, file: &File) {
        if self.none.load(Ordering::Relaxed) {
            return;
        }
        let path = files::fanned(&self.folder, &id.hex());
        if path.exists() {
            return;
        }
        if self.share(file, &path).is_err() {
            self.none.store(true, Ordering::Relaxed);
        } else if !self.trimmed.swap(true, Ordering::Relaxed) {
            self.trim();
        }
    }

    /// One more name for the blocks of `file`.
    fn share(&self, file: &File, path: &Path) -> std::io::Result<()> {
        let clone = durable::temporary(durable::folder_of(&self.folder))?;
        reflink(clone.as_file(), file)?;
        durable::make_folders(durable::folder_of(path))?;
        // Not synced: what a crash leaves of it is hashed before it is used.
        durable::set_aside(&clone.into_temp_path().keep()?, path)
    }

    /// Fills the empty `file` (open for reading, too) with the content `id`; whether that was here and right.
    pub(super) fn give(&self, id: &Digest, file: &mut File) -> std::io::Result<bool> {
        let path = files::fanned(&self.folder, &id.hex());
        let Ok(clone) = File::open(&path) else { return Ok(false) };
        if reflink(file, &clone).is_err() {
            return Ok(false);
        }
        file.seek(SeekFrom::Start(0))?;
        if hash(file)? == *id {
            // Used last: removed last.
            let _ = clone.set_modified(SystemTime::now());
            return Ok(true);
        }
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        durable::remove(&path)?;
        Ok(false)
    }

    /// How many there are and their bytes.
    pub(in crate::infrastructure::store) fn figures(&self) -> (u64, u64) {
        let all = self.all();
        (all.len() as u64, all.iter().map(|(_, size, _)| size).sum())
    }

    /// Removes what was not used for the longest time, until the rest is small enough.
    fn trim(&self) {
        let most = rustix::fs::statvfs(&self.folder)
            .map_or(0, |system| system.f_blocks.saturating_mul(system.f_frsize) / SHARE);
        let mut all = self.all();
        all.sort_unstable();
        let mut total: u64 = all.iter().map(|(_, size, _)| size).sum();
        for (_, size, path) in all {
            if total <= most {
                break;
            }
            if durable::remove(&path).is_ok() {
                total -= size;
            }
        }
    }

    /// When each was used last, its size and place.
    fn all(&self) -> Vec<(SystemTime, u64, PathBuf)> {
        let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten();
        let below = entries(&self.folder).flat_map(|folder| entries(&folder.path()).collect::<Vec<_>>());
        below
            .filter_map(|entry| {
                let metadata = entry.metadata().ok()?;
                Some((metadata.modified().ok()?, metadata.len(), entry.path()))
            })
            .collect()
    }
}

#[cfg(target_os = "linux")]
fn reflink(to: &File, from: &File) -> std::io::Result<()> {
    Ok(rustix::fs::ioctl_ficlone(to, from)?)
}

#[cfg(not(target_os = "linux"))]
fn reflink(_: &File, _: &File) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

fn hash(file: &mut File) -> std::io::Result<Digest> {
    use std::io::Read;
    let (mut hasher, mut window) = (blake3::Hasher::new(), Vec::with_capacity(WINDOW));
    loop {
        window.clear();
        if file.take(WINDOW as u64).read_to_end(&mut window)? == 0 {
            return Ok(Digest::from_bytes(*hasher.finalize().as_bytes()));
        }
        hasher.update_rayon(&window);
    }
}
