//! checkout
use super::super::{Local, Node, StoreError};
use super::StatCache;
use crate::base::Sink;
use std::path::Path;

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
