//! Reading single directories, from here or from a remote, without what they hold.

use std::collections::HashMap;

use super::Transfer;
use super::fetch::get;
use super::index::RemoteIndex;
use crate::base::Digest;
use crate::infrastructure::store::codec::decode_object;
use crate::infrastructure::store::{Local, ObjectKind, Remote, StoreError, Tree, tree};

/// Directories by their id. What is not here is read from the remote, node by node, and kept in memory only: a tree in
/// the local store would say that somebody wanted what it names.
pub struct Trees<'a> {
    local: &'a Local,
    remote: Option<&'a Remote>,
    index: Option<RemoteIndex>,
    read: HashMap<Digest, Vec<u8>>,
}

impl<'a> Trees<'a> {
    /// Directories of `local` and, if it is given, of `remote`. Nothing is asked of the remote before it is needed.
    pub fn new(local: &'a Local, remote: Option<&'a Remote>) -> Self {
        Self { local, remote, index: None, read: HashMap::new() }
    }

    /// One whole directory, its ranges joined; every node is verified.
    pub fn tree(&mut self, id: &Digest) -> Result<Tree, StoreError> {
        let wrong = || StoreError::damaged(format!("tree `{id}`"), "its ranges are not in order");
        let mut level: Option<u8> = None;
        let mut ids = vec![*id];
        loop {
            self.obtain(&ids)?;
            let nodes = ids.iter().map(|id| self.node(id)).collect::<Result<Vec<_>, _>>()?;
            let here = nodes.first().ok_or_else(wrong)?.level;
            let descends = level.is_none_or(|above| above == here + 1);
            if !descends || nodes.iter().any(|node| node.level != here) {
                return Err(wrong());
            }
            let entries: Vec<_> = nodes.into_iter().flat_map(|node| node.nodes).collect();
            if entries.windows(2).any(|pair| pair[0].name >= pair[1].name) {
                return Err(wrong());
            }
            if here == 0 {
                return Ok(Tree { nodes: entries });
            }
            ids = entries.into_iter().map(|range| range.id).collect();
            level = Some(here);
        }
    }

    /// How many nodes were read from the remote.
    pub fn fetched(&self) -> usize {
        self.read.len()
    }

    fn node(&self, id: &Digest) -> Result<tree::Stored, StoreError> {
        match self.read.get(id) {
            Some(bytes) => tree::decode(bytes),
            None => self.local.tree_node(id),
        }
    }

    /// Reads from the remote which of these nodes are not here, in as few requests as their places allow.
    fn obtain(&mut self, ids: &[Digest]) -> Result<(), StoreError> {
        let mut absent = Vec::new();
        for id in ids.iter().filter(|id| !self.read.contains_key(*id)) {
            // What is damaged here counts as absent.
            match self.local.object(id) {
                Ok(_) => {}
                Err(StoreError::Missing(_) | StoreError::Damaged { .. }) => absent.push(*id),
                Err(error) => return Err(error),
            }
        }
        let Some(first) = absent.first() else { return Ok(()) };
        let Some(remote) = self.remote else { return Err(StoreError::Missing(*first)) };
        let index = match &mut self.index {
            Some(index) => index,
            none => {
                remote.expect(self.local.root())?;
                none.insert(RemoteIndex::read(self.local, remote)?)
            }
        };
        let mut places = Vec::new();
        for id in absent {
            let place = index
                .find(&id)?
                .ok_or_else(|| StoreError::NotOnRemote { store: remote.name.to_string(), id })?;
            if place.entry.kind != ObjectKind::Tree {
                return Err(StoreError::damaged(format!("tree `{id}`"), "it is not a tree"));
            }
            places.push(place);
        }
        let read = &mut self.read;
        get(remote, places, &mut Transfer::default(), &mut |location, stored, place| {
            let bytes = decode_object(&location.entry, stored, place)?;
            read.insert(location.entry.id, bytes);
            Ok(())
        })
    }
}
