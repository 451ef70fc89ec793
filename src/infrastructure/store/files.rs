//! Files of the local store, with the errors of the store.

use std::fs;
use std::path::{Path, PathBuf};

use super::StoreError;
use crate::infrastructure::durable;

/// The bytes of a file; none if there is no such file.
pub(crate) fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::io("read", path)(error)),
    }
}

/// Makes `dir` and its parents, each durable in its own.
pub(crate) fn make_dir(dir: &Path) -> Result<(), StoreError> {
    durable::make_folders(dir).map_err(StoreError::io("make the folder", dir))
}

/// Writes `bytes` as `path`, replacing what is there: after a crash there is the old or the new file, never a part. The
/// file is durable; its name is only after [`sync_dir`], so that a batch syncs a folder once.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let mut file = temporary(path)?;
    durable::write(&mut file, bytes)
        .and_then(|()| durable::persist(file, path))
        .map_err(StoreError::io("write", path))
}

/// A temporary file beside `path`; a missing folder is made.
pub(crate) fn temporary(path: &Path) -> Result<tempfile::NamedTempFile, StoreError> {
    let dir = durable::folder_of(path);
    match durable::temporary(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            make_dir(dir)?;
            durable::temporary(dir)
        }
        made => made,
    }
    .map_err(StoreError::io("write", path))
}

/// Removes a file; one that is not there is not an error.
pub(crate) fn remove(path: &Path) -> Result<(), StoreError> {
    durable::remove(path).map(drop).map_err(StoreError::io("remove", path))
}

/// Moves a damaged file out of the way; it need not survive a crash.
pub(crate) fn set_aside(from: &Path, to: &Path) -> Result<(), StoreError> {
    make_dir(durable::folder_of(to))?;
    durable::set_aside(from, to).map_err(StoreError::io("move", from))
}

/// Makes the names in `dir` durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    durable::sync_folder(dir).map_err(StoreError::io("sync", dir))
}

/// The folder of `path`.
pub(crate) fn parent(path: &Path) -> PathBuf {
    durable::folder_of(path).to_owned()
}

/// `dir/ab/abcd…`: how objects named by a digest are spread over folders.
pub(crate) fn fanned(dir: &Path, hex: &str) -> PathBuf {
    dir.join(&hex[..2]).join(hex)
}
