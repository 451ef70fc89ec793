//! Which checkouts of a work tree were begun and have not come to their end: `<work tree's git dir>/mlp/unfinished/<digest of the path>`.

use std::io::ErrorKind;
use std::path::PathBuf;

use super::super::{StoreError, files};
use crate::base::Digest;

/// The notes, one file each.
pub struct Unfinished {
    folder: PathBuf,
}

impl Unfinished {
    /// The notes in `folder`, which need not be there.
    pub fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Notes that a checkout of the data at `path` (relative to the root of the repository) begins. Where nothing can be written there
    /// is no note: a checkout that has nothing to do goes well there, too.
    pub fn begin(&self, path: &str) -> Result<(), StoreError> {
        match files::replace(&self.note(path), path.as_bytes()) {
            Err(StoreError::Io { source, .. })
                if matches!(source.kind(), ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied) =>
            {
                Ok(())
            }
            noted => noted,
        }
    }

    /// Takes the note away.
    pub fn end(&self, path: &str) -> Result<(), StoreError> {
        if self.has(path) { files::remove(&self.note(path)) } else { Ok(()) }
    }

    /// Whether the last checkout of the data at `path` was cut off, or is still under way.
    pub fn has(&self, path: &str) -> bool {
        self.note(path).exists()
    }

    fn note(&self, path: &str) -> PathBuf {
        self.folder.join(Digest::of(path.as_bytes()).hex())
    }
}
