//! Which files stay in the store because a version that stays has them.

use std::cell::OnceCell;
use std::collections::HashSet;

use super::super::{Local, NodeKind, StoreError};
use crate::base::Digest;

/// The files of some versions, found when they are first asked for: most checkouts never ask.
pub(super) struct Kept<'a> {
    store: &'a Local,
    roots: &'a dyn Fn() -> Vec<Digest>,
    files: OnceCell<HashSet<Digest>>,
}

impl<'a> Kept<'a> {
    pub(super) fn new(store: &'a Local, roots: &'a dyn Fn() -> Vec<Digest>) -> Self {
        Self { store, roots, files: OnceCell::new() }
    }

    /// Whether one of the versions has the file.
    pub(super) fn holds(&self, file: &Digest) -> Result<bool, StoreError> {
        if let Some(files) = self.files.get() {
            return Ok(files.contains(file));
        }
        let found = files(self.store, (self.roots)())?;
        Ok(self.files.get_or_init(|| found).contains(file))
    }
}

/// All files below some roots, as far as their trees are here.
fn files(store: &Local, roots: Vec<Digest>) -> Result<HashSet<Digest>, StoreError> {
    let mut files = HashSet::new();
    let (mut seen, mut todo) = (HashSet::new(), roots);
    while let Some(id) = todo.pop() {
        if !seen.insert(id) {
            continue;
        }
        let tree = match store.tree(&id) {
            Ok(tree) => tree,
            // A root may be a file; and of what is not here nothing is known.
            Err(StoreError::Missing(_) | StoreError::Damaged { .. }) => {
                files.insert(id);
                continue;
            }
            Err(error) => return Err(error),
        };
        for node in tree.nodes {
            match node.kind {
                NodeKind::Directory => todo.push(node.id),
                NodeKind::File | NodeKind::Executable | NodeKind::Link => drop(files.insert(node.id)),
            }
        }
    }
    Ok(files)
}
