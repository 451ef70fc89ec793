//! Bytes of a file, mapped into memory. The only `unsafe` of the store.
#![allow(unsafe_code)]

use std::fs::File;
use std::ops::Deref;
use std::path::Path;

use super::StoreError;

/// Immutable bytes, owned or mapped.
pub(crate) enum Bytes {
    /// In memory.
    Owned(Vec<u8>),
    /// A mapped file.
    Mapped(memmap2::Mmap),
}

impl Bytes {
    /// Maps the file at `path`, which must be one that mlp only ever replaces by renaming, never writes in place; none if there
    /// is no such file.
    pub(crate) fn map(path: &Path) -> Result<Option<Self>, StoreError> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::io("read", path)(error)),
        };
        if file.metadata().map_err(StoreError::io("read", path))?.len() == 0 {
            return Ok(Some(Self::Owned(Vec::new())));
        }
        // SAFETY: indexes and stat caches are written once under a temporary name and then renamed; nothing of mlp changes
        // the bytes of such a file afterwards. Another program that truncates one can end this process (SIGBUS), not more.
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(StoreError::io("map", path))?;
        Ok(Some(Self::Mapped(map)))
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Owned(bytes) => bytes,
            Self::Mapped(map) => map,
        }
    }
}
