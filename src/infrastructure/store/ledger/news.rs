//! Whether a ledger has grown, told without reading it.

use super::bucket::Bucket;
use super::refs::Refs;
use super::shared::Far;
use super::{Ledger, LedgerHome, StoreError};

impl Ledger<'_> {
    /// Whether the copy in the local store has more than `count` entries: one look at a file name. Of a ledger that lives
    /// here it is the whole truth, of a shared one what was made or read on this machine.
    pub fn is_longer_here(&self, count: u64) -> bool {
        let store = match self.home {
            LedgerHome::Local(store) => store,
            LedgerHome::Remote { cache, .. } | LedgerHome::Git { cache, .. } => cache,
        };
        self.folder(store).has(count + 1)
    }

    /// Whether the ledger has more than `count` entries where it lives: one request to a store.
    pub fn is_longer(&self, count: u64) -> Result<bool, StoreError> {
        match self.home {
            LedgerHome::Local(_) => Ok(self.is_longer_here(count)),
            LedgerHome::Remote { remote, cache } => {
                Bucket::new(remote, cache, self.key(), &self.model).has(count + 1)
            }
            LedgerHome::Git { repo, origin, store, cache } => {
                let bucket = Bucket::new(store, cache, self.key(), &self.model);
                Ok(Refs::new(repo, origin, cache, self.key(), &bucket)?.count()? > count)
            }
        }
    }
}
