//! Whether something fits on a file system, before it is written.

use std::path::Path;

use super::super::StoreError;

/// Refuses to write `needed` bytes to `path` (which need not be there yet) if its file system has less left. A file system that does not
/// say, or a quota that it does not know of, is found out by writing.
pub(in crate::infrastructure::store) fn check(path: &Path, needed: u64) -> Result<(), StoreError> {
    match available(path) {
        Some(available) if available < needed => {
            Err(StoreError::Space { path: path.to_owned(), needed, available })
        }
        _ => Ok(()),
    }
}

/// Bytes that this user can still write where `path` is or will be; none if the file system does not say.
pub fn available(path: &Path) -> Option<u64> {
    let path = std::path::absolute(path).ok()?;
    let there = path.ancestors().find(|path| path.exists())?;
    let stat = rustix::fs::statvfs(there).ok()?;
    (stat.f_blocks > 0).then(|| stat.f_bavail.saturating_mul(stat.f_frsize))
}
