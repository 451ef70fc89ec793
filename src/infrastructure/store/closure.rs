//! The closure of a root: every object needed to check it out.

use std::collections::HashSet;

use super::recipe::Recipe;
use super::{Local, Location, NodeKind, ObjectKind, StoreError, tree};
use crate::base::Digest;

impl Local {
    /// Visits every object that the trees and files `roots` rest on, each once, parents before their children: tree nodes (and
    /// ranges of large directories), recipes, chunks, blobs. Every tree and recipe is read and verified; blobs and
    /// chunks are only located. A missing object is an error.
    pub(crate) fn closure(
        &self,
        roots: &[Digest],
        visit: &mut dyn FnMut(&Location) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.closure_with(roots, visit, &mut |id| Err(self.absent(&id)?))
    }

    /// Whether all that `roots` rest on is here.
    pub fn is_complete(&self, roots: &[Digest]) -> Result<bool, StoreError> {
        match self.closure(roots, &mut |_| Ok(())) {
            Ok(()) => Ok(true),
            Err(StoreError::Missing(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// As [`Local::closure`], with `absent` to decide about what is not here: a version may be here in part.
    pub(super) fn closure_with(
        &self,
        roots: &[Digest],
        visit: &mut dyn FnMut(&Location) -> Result<(), StoreError>,
        absent: &mut dyn FnMut(Digest) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut seen = HashSet::new();
        let mut todo = roots.to_vec();
        todo.reverse();
        while let Some(id) = todo.pop() {
            if !seen.insert(id) {
                continue;
            }
            let Some(location) = self.locate(&id)? else {
                absent(id)?;
                continue;
            };
            visit(&location)?;
            if location.entry.kind.is_metadata() {
                let (kind, bytes) = self.object(&id)?;
                let children = references(kind, &bytes)?;
                todo.extend(children.into_iter().rev().map(|(_, child)| child));
            }
        }
        Ok(())
    }
}

impl Local {
    /// Whether all that the trees and files `roots` rest on is here.
    pub fn holds(&self, roots: &[Digest]) -> Result<bool, StoreError> {
        match self.closure(roots, &mut |_| Ok(())) {
            Err(StoreError::Missing(_)) => Ok(false),
            other => other.map(|()| true),
        }
    }
}

/// Ids of the objects that a tree node or recipe names, from its decoded bytes (`(kind, id)`; a file's id is given as
/// `Blob` and may turn out to be a recipe). Nothing for blobs and chunks. For whoever walks a closure on a remote.
pub(crate) fn references(kind: ObjectKind, bytes: &[u8]) -> Result<Vec<(ObjectKind, Digest)>, StoreError> {
    Ok(match kind {
        ObjectKind::Blob | ObjectKind::Chunk => Vec::new(),
        ObjectKind::Recipe => {
            Recipe::decode(bytes)?.chunks.into_iter().map(|(id, _)| (ObjectKind::Chunk, id)).collect()
        }
        ObjectKind::Tree => tree::decode(bytes)?
            .nodes
            .into_iter()
            .map(|node| match node.kind {
                NodeKind::Directory => (ObjectKind::Tree, node.id),
                NodeKind::File | NodeKind::Executable | NodeKind::Link => (ObjectKind::Blob, node.id),
            })
            .collect(),
    })
}
