//! Between a folder of the user and the store: snapshot, compare, check out; with the stat cache.

use std::path::{Path, PathBuf};

use super::{Local, Node, StoreError};
use crate::base::Sink;

/// What a snapshot found and stored.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The folder or file as a root node (empty name).
    pub root: Node,
    /// Files in it.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Files that had to be read, the others being known by the stat cache.
    pub hashed: u64,
    /// Bytes newly written to the store (after deduplication and compression).
    pub stored: u64,
}

/// One difference between two trees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Path below the root, `/`-separated, escaped for printing by whoever prints it.
    pub path: Vec<u8>,
    /// The node before, if there was one.
    pub old: Option<Node>,
    /// The node after, if there is one.
    pub new: Option<Node>,
}

/// The stat cache of one work tree (`<git dir>/mlp/index`).
pub struct StatCache {
    /// Where it lies.
    pub path: PathBuf,
}

/// How a checkout treats what is in the way.
#[derive(Clone, Copy, Debug, Default)]
pub struct CheckoutOptions {
    /// Replace files that differ from what the cache says mlp wrote (they are moved to the trash first).
    pub force: bool,
}

/// What a checkout did.
#[derive(Clone, Debug, Default)]
pub struct Checkout {
    /// Files written.
    pub written: u64,
    /// Files removed.
    pub removed: u64,
    /// Files left alone because they were right already.
    pub kept: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Files with local edits that were left alone (without `force`), relative to the destination.
    pub dirty: Vec<String>,
}

impl StatCache {
    /// The cache at `path`; nothing is read before it is needed.
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }
}

/// Hashes `path` (folder or file) using the cache, without storing anything: the id it would have.
pub fn identify(path: &Path, cache: &StatCache, sink: &dyn Sink) -> Result<Snapshot, StoreError> {
    let _ = (path, cache, sink);
    todo!()
}

/// Stores `path` (folder or file): hash, chunk, compress, pack; then updates the cache.
pub fn snapshot(
    path: &Path,
    store: &Local,
    cache: Option<&StatCache>,
    sink: &dyn Sink,
) -> Result<Snapshot, StoreError> {
    let _ = (path, store, cache, sink);
    todo!()
}

/// Makes `path` equal to `root`.
pub fn checkout(
    root: &Node,
    path: &Path,
    store: &Local,
    cache: Option<&StatCache>,
    options: CheckoutOptions,
    sink: &dyn Sink,
) -> Result<Checkout, StoreError> {
    let _ = (root, path, store, cache, options, sink);
    todo!()
}

/// Differences between two stored roots (either may be absent), sorted by path; descends only where ids differ.
pub fn diff(store: &Local, old: Option<&Node>, new: Option<&Node>) -> Result<Vec<Change>, StoreError> {
    let _ = (store, old, new);
    todo!()
}

/// Differences between a stored root and the folder or file as it is now, sorted by path.
pub fn status(
    root: &Node,
    path: &Path,
    store: &Local,
    cache: &StatCache,
    sink: &dyn Sink,
) -> Result<Vec<Change>, StoreError> {
    let _ = (root, path, store, cache, sink);
    todo!()
}
