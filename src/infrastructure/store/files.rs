//! Durable files: temporary file, fsync, rename or link, fsync of the folder.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::StoreError;

/// The bytes of a file; none if there is no such file.
pub(crate) fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::io("read", path)(error)),
    }
}

/// Makes `dir` and its parents.
pub(crate) fn make_dir(dir: &Path) -> Result<(), StoreError> {
    fs::create_dir_all(dir).map_err(StoreError::io("make the folder", dir))
}

/// Writes `bytes` as `path`, replacing what is there: after a crash there is the old or the new file, never a part. The
/// file is durable; its name is only after [`sync_dir`].
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let mut file = temporary(path)?;
    file.write_all(bytes).map_err(StoreError::io("write", path))?;
    persist(file, path)
}

/// A temporary file beside `path`, with the mode of an ordinary new file.
pub(crate) fn temporary(path: &Path) -> Result<tempfile::NamedTempFile, StoreError> {
    let dir = parent(path);
    let mut builder = tempfile::Builder::new();
    builder.prefix(".tmp-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    match builder.tempfile_in(&dir) {
        Ok(file) => Ok(file),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            make_dir(&dir)?;
            builder.tempfile_in(&dir).map_err(StoreError::io("write", path))
        }
        Err(error) => Err(StoreError::io("write", path)(error)),
    }
}

/// Makes a temporary file durable and gives it its name.
pub(crate) fn persist(file: tempfile::NamedTempFile, path: &Path) -> Result<(), StoreError> {
    file.as_file().sync_all().map_err(StoreError::io("write", path))?;
    file.persist(path).map_err(|error| StoreError::io("write", path)(error.error))?;
    Ok(())
}

/// Makes the names in `dir` durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    if cfg!(unix) {
        File::open(dir).and_then(|file| file.sync_all()).map_err(StoreError::io("sync", dir))?;
    }
    Ok(())
}

/// The folder of `path`.
pub(crate) fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// `dir/ab/abcd…`: how objects named by a digest are spread over folders.
pub(crate) fn fanned(dir: &Path, hex: &str) -> PathBuf {
    dir.join(&hex[..2]).join(hex)
}
