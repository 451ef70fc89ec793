//! What a remote has, from its lists alone: one listing of pins, one of indexes, and what of both is new here.

use std::collections::HashSet;

use super::index::RemoteIndex;
use super::records::{fetch_pins, remote_pins};
use crate::base::{Digest, Id, Sink};
use crate::infrastructure::store::{Local, Remote, StoreError};

/// What a remote has and keeps.
pub struct Presence {
    index: RemoteIndex,
    kept: HashSet<Digest>,
}

impl Presence {
    /// Asks `remote`: two listings when nothing is new. New index objects are copied, new pins with the records that they
    /// name become known here, data stay where they are.
    pub fn read(local: &Local, remote: &Remote, project: Id, sink: &dyn Sink) -> Result<Self, StoreError> {
        remote.is_store(local.root())?;
        let there = remote_pins(remote, project)?;
        let here: HashSet<Id> = local.pin_ids()?.into_iter().collect();
        if there.iter().any(|id| !here.contains(id)) {
            fetch_pins(local, remote, project, sink)?;
        }
        let pins = local.pins()?;
        let kept =
            pins.iter().filter(|pin| there.contains(&pin.id)).flat_map(|pin| pin.roots.iter().copied());
        Ok(Self { kept: kept.collect(), index: RemoteIndex::read(local, remote)? })
    }

    /// Whether the object is there. Indexes with trees are written after all that the trees name, so that this answers
    /// for whole trees.
    pub fn has(&self, id: &Digest) -> Result<bool, StoreError> {
        Ok(self.index.find(id)?.is_some())
    }

    /// Whether a pin of the project keeps this root: without one the store may drop what nothing else needs.
    pub fn keeps(&self, root: &Digest) -> bool {
        self.kept.contains(root)
    }
}
