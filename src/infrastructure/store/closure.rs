//! The closure of a root: every object needed to check it out.

use super::{Local, Location, ObjectKind, StoreError};
use crate::base::Digest;

impl Local {
    /// Visits every object that the trees and files `roots` rest on, each once, children after their parents: tree nodes
    /// (and ranges of large directories), recipes, chunks, blobs. Every tree and recipe is read and verified; blobs and
    /// chunks are only located. A missing object is an error.
    pub(crate) fn closure(
        &self,
        roots: &[Digest],
        visit: &mut dyn FnMut(&Location) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let _ = (roots, visit);
        todo!()
    }
}

/// Ids of the objects that a tree node or recipe names, from its decoded bytes (`(kind, id)`; a file's id is given as
/// `Blob` and may turn out to be a recipe). Nothing for blobs and chunks. For whoever walks a closure on a remote.
pub(crate) fn references(kind: ObjectKind, bytes: &[u8]) -> Result<Vec<(ObjectKind, Digest)>, StoreError> {
    let _ = (kind, bytes);
    todo!()
}
