//! Indexes: where objects lie, sorted by id. One format locally (`index/<hex>`) and on remotes.

use super::{PackEntry, StoreError};
use crate::base::Digest;

/// Where an object lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// The pack.
    pub pack: Digest,
    /// The object in it.
    pub entry: PackEntry,
}

/// An immutable, verified index.
pub(crate) struct PackIndex {}

impl PackIndex {
    /// The bytes of an index of `packs`; its id is [`super::object::index_id`] of them.
    pub(crate) fn encode(packs: &[(Digest, Vec<PackEntry>)]) -> Vec<u8> {
        let _ = packs;
        todo!()
    }

    /// Verifies and takes the bytes of an index. `place` names it in errors.
    pub(crate) fn parse(bytes: Vec<u8>, place: &str) -> Result<Self, StoreError> {
        let _ = (bytes, place);
        todo!()
    }

    /// Its id.
    pub(crate) fn id(&self) -> Digest {
        todo!()
    }

    /// The packs it lists.
    pub(crate) fn packs(&self) -> Vec<Digest> {
        todo!()
    }

    /// Number of objects.
    pub(crate) fn len(&self) -> usize {
        todo!()
    }

    /// The `position`th object in the order of ids.
    pub(crate) fn get(&self, position: usize) -> Location {
        let _ = position;
        todo!()
    }

    /// Where `id` lies.
    pub(crate) fn find(&self, id: &Digest) -> Option<Location> {
        let _ = id;
        todo!()
    }
}
