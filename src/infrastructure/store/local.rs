//! The local store: `<state dir>/store`, plain files, shared by all work trees of a repository.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::{Location, Node, ObjectKind, StoreError, Tree};
use crate::base::{AnyRecord, Body, Digest, Record, RecordKind};

/// The local store.
pub struct Local {
    root: PathBuf,
}

/// Collects new objects into packs; nothing is visible before [`Writer::finish`].
pub struct Writer<'a> {
    #[expect(dead_code)]
    store: &'a Local,
}

impl Local {
    /// Opens the store in `dir`, making it if it is not there.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        Ok(Self { root: dir.to_owned() })
    }

    /// The store's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether the blob or tree `id` is here.
    pub fn has(&self, id: &Digest) -> Result<bool, StoreError> {
        let _ = id;
        todo!()
    }

    /// The verified bytes of a blob.
    pub fn read(&self, id: &Digest) -> Result<Vec<u8>, StoreError> {
        let _ = id;
        todo!()
    }

    /// Writes the verified bytes of a blob to `out`; returns their number.
    pub fn copy(&self, id: &Digest, out: &mut dyn Write) -> Result<u64, StoreError> {
        let _ = (id, out);
        todo!()
    }

    /// A verified directory.
    pub fn tree(&self, id: &Digest) -> Result<Tree, StoreError> {
        let _ = id;
        todo!()
    }

    /// The node at `path` (`a/b/c`) below the tree `root`; none if there is no such entry.
    pub fn find(&self, root: &Digest, path: &str) -> Result<Option<Node>, StoreError> {
        let _ = (root, path);
        todo!()
    }

    /// Where an object lies; none if it is not here.
    pub(crate) fn locate(&self, id: &Digest) -> Result<Option<Location>, StoreError> {
        let _ = id;
        todo!()
    }

    /// The decoded and verified bytes of any object: blob, chunk, tree node or recipe.
    pub(crate) fn object(&self, id: &Digest) -> Result<(ObjectKind, Vec<u8>), StoreError> {
        let _ = id;
        todo!()
    }

    /// The stored (encoded) bytes at `location`, verified by decoding them: what goes into a pack for a remote.
    pub(crate) fn stored(&self, location: &Location) -> Result<Vec<u8>, StoreError> {
        let _ = location;
        todo!()
    }

    /// Takes a pack that was downloaded: verifies it and makes its objects visible.
    pub(crate) fn adopt_pack(&self, id: Digest, bytes: Vec<u8>) -> Result<(), StoreError> {
        let mut writer = self.writer()?;
        writer.adopt(id, bytes)?;
        writer.finish()
    }

    /// Ids of all packs that this store's indexes list.
    pub(crate) fn packs(&self) -> Result<Vec<Digest>, StoreError> {
        todo!()
    }

    /// Starts adding objects.
    pub fn writer(&self) -> Result<Writer<'_>, StoreError> {
        todo!()
    }

    /// Stores one small blob durably.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let mut writer = self.writer()?;
        let id = writer.blob(bytes)?;
        writer.finish()?;
        Ok(id)
    }

    /// Stores a record durably and returns its id.
    pub fn put_record<B: Body>(&self, record: &Record<B>) -> Result<Digest, StoreError> {
        let _ = record;
        todo!()
    }

    /// The verified record `id`, which must be of kind `B`.
    pub fn record<B: Body>(&self, id: &Digest) -> Result<Record<B>, StoreError> {
        let _ = id;
        todo!()
    }

    /// The verified record `id`, whatever its kind.
    pub fn any_record(&self, id: &Digest) -> Result<AnyRecord, StoreError> {
        let _ = id;
        todo!()
    }

    /// Ids of all local records of one kind, oldest pin first.
    pub fn records(&self, kind: RecordKind) -> Result<Vec<Digest>, StoreError> {
        let _ = kind;
        todo!()
    }
}

impl Writer<'_> {
    /// Adds a blob; returns its id.
    pub fn blob(&mut self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let _ = bytes;
        todo!()
    }

    /// Adds a directory whose children are already added; returns its id.
    pub fn tree(&mut self, tree: &Tree) -> Result<Digest, StoreError> {
        let _ = tree;
        todo!()
    }

    /// Takes a whole downloaded pack as it is; every object in it is decoded and verified.
    pub(crate) fn adopt(&mut self, id: Digest, bytes: Vec<u8>) -> Result<(), StoreError> {
        let _ = (id, bytes);
        todo!()
    }

    /// Takes one encoded object (a range of a remote pack), verified by decoding it; nothing happens if it is here.
    pub(crate) fn object(&mut self, entry: &super::PackEntry, stored: &[u8]) -> Result<(), StoreError> {
        let _ = (entry, stored);
        todo!()
    }

    /// Stored bytes added so far: after deduplication and compression.
    pub fn stored_bytes(&self) -> u64 {
        todo!()
    }

    /// Makes everything added visible and durable: packs, then their index.
    pub fn finish(self) -> Result<(), StoreError> {
        todo!()
    }
}
