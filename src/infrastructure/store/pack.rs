//! Packs: many objects in one immutable file, its header at the end.

use std::path::{Path, PathBuf};

use super::{ObjectKind, StoreError};
use crate::base::Digest;

/// A data pack is closed when it has reached this size.
pub(crate) const DATA_TARGET: usize = 32 << 20;
/// A metadata pack is closed when it has reached this size.
pub(crate) const METADATA_TARGET: usize = 4 << 20;
/// No pack is larger.
pub(crate) const PACK_LIMIT: usize = 64 << 20;

/// One object of a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackEntry {
    /// The object.
    pub id: Digest,
    /// What it is.
    pub kind: ObjectKind,
    /// How it is encoded (`codec.rs`).
    pub codec: u8,
    /// Where its stored bytes begin in the pack.
    pub offset: u32,
    /// Stored (encoded) bytes.
    pub stored: u32,
    /// Decoded bytes.
    pub length: u32,
}

/// Puts a pack together in memory.
pub(crate) struct PackBuilder {
    bytes: Vec<u8>,
    entries: Vec<PackEntry>,
}

/// A finished pack in memory.
pub(crate) struct Pack {
    /// Its name.
    pub(crate) id: Digest,
    /// The whole file.
    pub(crate) bytes: Vec<u8>,
    /// What it holds, in the order of offsets.
    pub(crate) entries: Vec<PackEntry>,
}

/// A pack file opened for reading; its header has been verified.
pub(crate) struct PackFile {
    path: PathBuf,
    entries: Vec<PackEntry>,
}

impl PackBuilder {
    /// An empty pack.
    pub(crate) fn new() -> Self {
        Self { bytes: Vec::new(), entries: Vec::new() }
    }

    /// Bytes so far.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was added.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds an encoded object. The caller sees to it that no id is added twice and that the pack stays below its limit.
    pub(crate) fn push(&mut self, id: Digest, kind: ObjectKind, codec: u8, length: u32, stored: &[u8]) {
        let _ = (id, kind, codec, length, stored);
        todo!()
    }

    /// Closes the pack.
    pub(crate) fn finish(self) -> Pack {
        todo!()
    }
}

impl Pack {
    /// Reads and verifies a whole pack that arrived as bytes: name, header, no object twice. The objects themselves are
    /// verified when they are decoded ([`super::codec::decode_object`]).
    pub(crate) fn parse(id: Digest, bytes: Vec<u8>) -> Result<Self, StoreError> {
        let _ = (id, bytes);
        todo!()
    }
}

impl PackFile {
    /// Opens a pack and verifies its header; reads nothing else.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { path: path.to_owned(), entries: Vec::new() })
    }

    /// What it holds, in the order of offsets.
    pub(crate) fn entries(&self) -> &[PackEntry] {
        &self.entries
    }

    /// The stored (encoded) bytes of an entry, not verified.
    pub(crate) fn stored(&self, entry: &PackEntry) -> Result<Vec<u8>, StoreError> {
        let _ = (&self.path, entry);
        todo!()
    }

    /// The decoded and verified bytes of an entry.
    pub(crate) fn read(&self, entry: &PackEntry) -> Result<Vec<u8>, StoreError> {
        let _ = (&self.path, entry);
        todo!()
    }
}
