//! A ledger on a remote store: an object per entry.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::chain::{LIMIT, damaged, decode, encode};
use super::shared::Far;
use super::{Appended, StoredEntry, count, folder, number, parse_number};
use crate::base::{Entry, Id, Name};
use crate::infrastructure::store::transfer::parallel::parallel;
use crate::infrastructure::store::{Remote, StoreError};

/// Attempts to write an entry when neither success nor defeat can be read back.
const ATTEMPTS: u32 = 8;
/// What stands in the place of the next entry once the ledger has moved to git: nobody can append here any more.
pub(super) const MOVED: &[u8] = b"{\"schema\":\"mlp/ledger-moved/1\",\"to\":\"git\"}\n";

/// One model's ledger on a store.
pub(super) struct Bucket<'a> {
    remote: &'a Remote,
    store: PathBuf,
    pub(super) key: String,
    pub(super) model: Name,
}

impl<'a> Bucket<'a> {
    /// The ledger `key` on `remote`; what is known about it is kept below the local store's folder `store`.
    pub(super) fn new(remote: &'a Remote, store: &Path, key: String, model: &Name) -> Self {
        Self { remote, store: store.to_owned(), key, model: model.clone() }
    }

    /// Closes the ledger after entry `last`; whether nobody was quicker with an entry.
    pub(super) fn close(&self, last: u64) -> Result<bool, StoreError> {
        match self.remote.prove(&self.store) {
            // It cannot have held a ledger, and nobody can begin one.
            Err(StoreError::NoCreateIfAbsent { .. }) => return Ok(true),
            proof => proof?,
        }
        let key = self.entry_key(last + 1);
        let created = self.remote.create(&key, MOVED);
        match self.remote.get(&key, LIMIT)? {
            Some(there) => Ok(there == MOVED),
            None => created,
        }
    }

    /// Whether something stands where entry `seq` would.
    pub(super) fn has(&self, seq: u64) -> Result<bool, StoreError> {
        Ok(self.remote.get(&self.entry_key(seq), LIMIT)?.is_some())
    }

    fn entry_key(&self, seq: u64) -> String {
        format!("{}/{}", self.key, number(seq))
    }

    /// Whatever goes wrong is settled by reading back: an answer may be lost while the entry stands, and a repeated request
    /// then looks like a defeat.
    fn write(&self, entry: &Entry) -> Result<Appended, StoreError> {
        self.remote.prove(&self.store)?;
        let (key, bytes) = (self.entry_key(entry.seq), encode(entry));
        for attempt in 1.. {
            let error = match self.remote.create(&key, &bytes) {
                Ok(true) => return Ok(Appended::Yes),
                Ok(false) => {
                    self.remote.failed("create", &key, "the service says it is there and it is not".into())
                }
                Err(error @ (StoreError::Credentials { .. } | StoreError::ReadOnly(_))) => return Err(error),
                Err(error) => error,
            };
            if let Some(there) = self.remote.get(&key, LIMIT)? {
                if there == MOVED {
                    return Err(self.moved());
                }
                let there = decode(&there)
                    .map_err(|detail| damaged(&self.model, entry.seq, &self.place(entry.seq), detail))?;
                return Ok(if there.op == entry.op { Appended::Yes } else { Appended::Lost });
            }
            if attempt == ATTEMPTS {
                return Err(error);
            }
            std::thread::sleep(std::time::Duration::from_millis(50 << attempt));
        }
        unreachable!("the loop ends by returning")
    }

    fn moved(&self) -> StoreError {
        StoreError::LedgerMoved { store: self.remote.name.to_string(), model: self.model.to_string() }
    }
}

impl Far for Bucket<'_> {
    fn numbers(&self) -> Result<Vec<u64>, StoreError> {
        if !self.remote.is_store(&self.store)? {
            return Ok(Vec::new());
        }
        let names = self.remote.list(&format!("{}/", self.key))?;
        let mut numbers: Vec<u64> = names.iter().filter_map(|name| parse_number(name)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn count(&self) -> Result<u64, StoreError> {
        if !self.remote.is_store(&self.store)? {
            return Ok(0);
        }
        count(
            &self.model,
            || self.remote.list(&format!("{}/", self.key)),
            |seq| Ok(self.remote.get(&self.entry_key(seq), LIMIT)?.is_some()),
            |seq| self.place(seq),
        )
    }

    fn bytes(&self, seq: u64) -> Result<Vec<u8>, StoreError> {
        let read = self.remote.get(&self.entry_key(seq), LIMIT).map_err(|error| match error {
            // One that is too long is this entry's damage, not the store's.
            StoreError::Damaged { detail, .. } => damaged(&self.model, seq, &self.place(seq), detail),
            error => error,
        });
        match read? {
            Some(bytes) if bytes == MOVED => Err(self.moved()),
            Some(bytes) => Ok(bytes),
            None => {
                let detail = "it is listed and cannot be read".to_owned();
                Err(damaged(&self.model, seq, &self.place(seq), detail))
            }
        }
    }

    fn stored(&self, numbers: &[u64]) -> Vec<Result<StoredEntry, StoreError>> {
        let failed = AtomicBool::new(false);
        let get = |seq: u64| {
            let stored = StoredEntry::of(seq, self.place(seq), self.bytes(seq));
            failed.fetch_or(stored.is_err(), Ordering::Relaxed);
            Ok((seq, stored))
        };
        let wanted = numbers.iter().take_while(|_| !failed.load(Ordering::Relaxed));
        let mut stored = BTreeMap::new();
        let done = parallel(8, wanted.copied().map(Ok), get, |(seq, entry)| {
            stored.insert(seq, entry);
            Ok(())
        });
        stored.into_values().chain(done.err().map(Err)).collect()
    }

    fn publish(&self, entries: &[Entry]) -> Result<Option<u64>, StoreError> {
        for entry in entries {
            if self.write(entry)? == Appended::Lost {
                return Ok(Some(entry.seq));
            }
        }
        Ok(None)
    }

    fn place(&self, seq: u64) -> String {
        self.remote.place(&self.entry_key(seq))
    }

    fn name(&self) -> String {
        self.remote.name.to_string()
    }

    fn seen_path(&self) -> PathBuf {
        self.remote.cache(&self.store).join(&self.key)
    }
}

/// Models with a ledger on the remote, or in the copy waiting to be published.
pub(super) fn models(remote: &Remote, store: &Path, project: Id) -> Result<Vec<Name>, StoreError> {
    let mut models = folder::models(store, project)?;
    if !remote.is_store(store)? {
        return Ok(models);
    }
    let known: Vec<String> = models.iter().map(super::hash).collect();
    for name in remote.list(&format!("ledger/{project}/"))? {
        let Some(hash) = name.strip_suffix('/').filter(|hash| !known.iter().any(|known| known == hash))
        else {
            continue;
        };
        let key = format!("ledger/{project}/{hash}/{}", number(1));
        if let Some(bytes) = remote.get(&key, LIMIT)?.filter(|bytes| bytes != MOVED) {
            models.push(folder::model(&bytes, hash, &remote.place(&key))?);
        }
    }
    Ok(models)
}
