//! Ledgers: per model an append-only, hash-chained sequence of entries, made by create-if-absent.

use std::path::PathBuf;

use super::{Remote, StoreError};
use crate::base::{Entry, Id, Name};

/// Where a project's ledgers live.
pub enum LedgerHome {
    /// In the local store, whose folder this is: no remote is configured.
    Local(PathBuf),
    /// On the project's first store, with a local copy as cache.
    Remote {
        /// The first of `stores:`.
        remote: Remote,
        /// The folder of the local store, which holds a copy.
        cache: PathBuf,
    },
}

/// One model's ledger.
pub struct Ledger<'a> {
    /// Where it lives.
    pub home: &'a LedgerHome,
    /// The project.
    pub project: Id,
    /// The model.
    pub model: Name,
}

/// What an append came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// The entry stands.
    Yes,
    /// Another entry has that number: judge again on top of it.
    Lost,
}

impl LedgerHome {
    /// Names of the models that have a ledger here, as far as the local copy knows.
    pub fn models(&self, project: Id) -> Result<Vec<Name>, StoreError> {
        let _ = project;
        todo!()
    }
}

impl Ledger<'_> {
    /// All entries in order, verified: numbers without gaps, each naming the digest of the one before.
    pub fn entries(&self) -> Result<Vec<Entry>, StoreError> {
        todo!()
    }

    /// Makes `entry` the entry `entry.seq`, if there is none yet. A lost answer is recognised by `entry.op`.
    pub fn append(&self, entry: &Entry) -> Result<Appended, StoreError> {
        let _ = entry;
        todo!()
    }
}
