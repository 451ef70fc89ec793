//! Getting single objects when they are needed: a file of a large version, or the folders that an edit touches.

use super::index::RemoteIndex;
use super::{Transfer, fetch};
use crate::base::{Digest, Sink};
use crate::infrastructure::store::{Local, Node, Remote, StoreError};

/// The local store with a remote behind it. Nothing is asked of the remote while everything needed is here.
///
/// What it gets is kept in the local store, trees without what they name: a version that is here in part.
pub struct OnDemand<'a> {
    local: &'a Local,
    remote: Option<Remote>,
    index: Option<RemoteIndex>,
    transfer: Transfer,
}

impl<'a> OnDemand<'a> {
    /// Both stores; without a remote what is not here is an error.
    pub fn new(local: &'a Local, remote: Option<Remote>) -> Self {
        Self { local, remote, index: None, transfer: Transfer::default() }
    }

    /// The local store.
    pub fn local(&self) -> &'a Local {
        self.local
    }

    /// What was moved so far.
    pub fn transfer(&self) -> Transfer {
        let requests = self.remote.as_ref().map_or(0, |remote| remote.requests().total());
        Transfer { requests, ..self.transfer.clone() }
    }

    /// What `ask` finds out; it is asked again after each object that it lacked.
    ///
    /// # Errors
    /// Those of `ask`; [`StoreError::NotOnRemote`] for what is nowhere.
    pub fn with<T>(&mut self, mut ask: impl FnMut(&Local) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut last = None;
        loop {
            match ask(self.local) {
                // An object that was got and is lacking still would be asked for without end.
                Err(StoreError::Missing(id)) if last != Some(id) && self.remote.is_some() => {
                    self.get(&[id])?;
                    last = Some(id);
                }
                answer => return answer,
            }
        }
    }

    /// The node at `path` (`a/b/c`) below the tree `root`: gets the trees on the way and nothing else.
    pub fn find(&mut self, root: &Digest, path: &str) -> Result<Option<Node>, StoreError> {
        self.with(|local| local.find(root, path))
    }

    /// Gets these objects, and nothing that they name.
    pub fn get(&mut self, ids: &[Digest]) -> Result<(), StoreError> {
        let Some(remote) = &self.remote else {
            return ids.first().map_or(Ok(()), |id| Err(StoreError::Missing(*id)));
        };
        let index = match &mut self.index {
            Some(index) => index,
            none => {
                remote.expect(self.local.root())?;
                none.insert(RemoteIndex::read(self.local, remote)?)
            }
        };
        let mut there = Vec::with_capacity(ids.len());
        for id in ids {
            let store = || remote.name.to_string();
            there.push(index.find(id)?.ok_or_else(|| StoreError::NotOnRemote { store: store(), id: *id })?);
        }
        let mut writer = self.local.writer()?.in_line();
        fetch::get(remote, there, &mut self.transfer, &mut |location, stored, _| {
            writer.object(&location.entry, stored)
        })?;
        writer.finish()
    }

    /// Gets all that `roots` rest on, as far as it is not here.
    pub fn complete(&mut self, roots: &[Digest], sink: &dyn Sink) -> Result<(), StoreError> {
        let Some(remote) = &self.remote else { return self.local.closure(roots, &mut |_| Ok(())) };
        if self.local.is_complete(roots)? {
            return Ok(());
        }
        let moved = super::fetch(self.local, remote, roots, &[], sink)?;
        self.transfer.objects += moved.objects;
        self.transfer.bytes += moved.bytes;
        Ok(())
    }
}
