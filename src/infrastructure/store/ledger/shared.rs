//! A ledger on a remote, with a copy in the local store.
//!
//! The copy saves reading old entries again and remembers what the remote once had: a remote with less, or with
//! something else, was rolled back. A file beside it holds the number of entries that this remote was seen to have;
//! entries of the copy beyond it were made before the remote became the home and are published.

use std::path::{Path, PathBuf};

use super::chain::{LIMIT, Verifier, damaged, decode, encode};
use super::folder::{self, Folder};
use super::{Appended, count, number};
use crate::base::{Entry, Id, Name};
use crate::infrastructure::durable;
use crate::infrastructure::store::{Remote, StoreError};

/// Attempts to write an entry when neither success nor defeat can be read back.
const ATTEMPTS: u32 = 4;

/// One model's ledger on a remote.
pub(super) struct Shared<'a> {
    remote: &'a Remote,
    store: PathBuf,
    copy: Folder,
    key: String,
    model: Name,
}

impl<'a> Shared<'a> {
    /// The ledger `key` on `remote`, copied below the local store's folder `store`.
    pub(super) fn new(remote: &'a Remote, store: &Path, key: String, model: &Name) -> Self {
        let copy = Folder::new(store, &key, model);
        Self { remote, store: store.to_owned(), copy, key, model: model.clone() }
    }

    /// Brings copy and remote to the same chain and returns it.
    pub(super) fn synchronise(&self) -> Result<Vec<Entry>, StoreError> {
        self.remote.ensure(&self.store)?;
        let mut entries = self.copy.entries()?;
        let seen = self.seen();
        let there = count(
            &self.model,
            || self.remote.list(&format!("{}/", self.key)),
            |seq| Ok(self.remote.get(&self.entry_key(seq), LIMIT)?.is_some()),
            |seq| self.remote.place(&self.entry_key(seq)),
        )?;
        if there < seen {
            return Err(self.rolled_back(format!("it has {there} entries and had {seen}")));
        }
        let common = there.min(entries.len() as u64);
        self.agree(&entries, common, seen)?;

        let mut verifier = Verifier::new(&self.model);
        if let Some(last) = entries.last().filter(|_| there > common) {
            verifier.seq = last.seq;
            verifier.last = Some(last.digest());
        }
        for seq in common + 1..=there {
            let entry = verifier.next(&self.bytes(seq)?, &self.remote.place(&self.entry_key(seq)))?;
            self.copy.keep(&entry)?;
            entries.push(entry);
        }
        self.saw(there.max(seen))?;
        for entry in &entries[there as usize..] {
            // Made before this remote was the home.
            if self.write(entry)? == Appended::Lost {
                return Err(self.forked(entry.seq));
            }
            self.saw(entry.seq)?;
        }
        Ok(entries)
    }

    /// Appends on the remote, then to the copy.
    pub(super) fn append(&self, entry: &Entry) -> Result<Appended, StoreError> {
        if !self.copy.follows(entry)? {
            // The copy is behind, or a local ledger waits to be published.
            self.synchronise()?;
            if !self.copy.follows(entry)? {
                return Ok(Appended::Lost);
            }
        }
        let outcome = self.write(entry)?;
        if outcome == Appended::Yes {
            self.copy.keep(entry)?;
            self.saw(entry.seq)?;
        }
        Ok(outcome)
    }

    /// Creates the entry on the remote. Whatever goes wrong is settled by reading it back: an answer may be lost while
    /// the entry stands, and a repeated request then looks like a defeat.
    fn write(&self, entry: &Entry) -> Result<Appended, StoreError> {
        self.remote.prove(&self.store)?;
        let (key, bytes) = (self.entry_key(entry.seq), encode(entry));
        for attempt in 1.. {
            let error = match self.remote.create(&key, &bytes) {
                Ok(true) => return Ok(Appended::Yes),
                Ok(false) => {
                    self.remote.failed("create", &key, "the service says it is there and it is not".into())
                }
                Err(error) => error,
            };
            if let Some(there) = self.remote.get(&key, LIMIT)? {
                let there = decode(&there)
                    .map_err(|detail| damaged(&self.model, entry.seq, &self.remote.place(&key), detail))?;
                return Ok(if there.op == entry.op { Appended::Yes } else { Appended::Lost });
            }
            if attempt == ATTEMPTS {
                return Err(error);
            }
            std::thread::sleep(std::time::Duration::from_millis(100 << attempt));
        }
        unreachable!("the loop ends by returning")
    }

    /// Both chains are one up to entry `common`: as each entry names the one before, the last tells for all.
    fn agree(&self, copy: &[Entry], common: u64, seen: u64) -> Result<(), StoreError> {
        let mut differs = None;
        for seq in (1..=common).rev() {
            let place = self.remote.place(&self.entry_key(seq));
            let there =
                decode(&self.bytes(seq)?).map_err(|detail| damaged(&self.model, seq, &place, detail))?;
            if there.digest() == copy[seq as usize - 1].digest() {
                break;
            }
            differs = Some(seq);
        }
        match differs {
            None => Ok(()),
            Some(seq) if seq <= seen => Err(self.rolled_back(format!("entry {seq} is not the one it had"))),
            Some(seq) => Err(self.forked(seq)),
        }
    }

    fn bytes(&self, seq: u64) -> Result<Vec<u8>, StoreError> {
        let key = self.entry_key(seq);
        self.remote.get(&key, LIMIT)?.ok_or_else(|| {
            damaged(&self.model, seq, &self.remote.place(&key), "it is listed and cannot be read".to_owned())
        })
    }

    fn entry_key(&self, seq: u64) -> String {
        format!("{}/{}", self.key, number(seq))
    }

    /// How many entries this remote was seen to have.
    fn seen(&self) -> u64 {
        let text = std::fs::read_to_string(self.seen_path()).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }

    fn saw(&self, count: u64) -> Result<(), StoreError> {
        if count > self.seen() {
            let path = self.seen_path();
            durable::replace_through(&self.store.join("tmp"), &path, format!("{count}\n").as_bytes())
                .map_err(StoreError::io("write", path))?;
        }
        Ok(())
    }

    fn seen_path(&self) -> PathBuf {
        self.remote.cache(&self.store).join(&self.key)
    }

    fn rolled_back(&self, detail: String) -> StoreError {
        StoreError::LedgerRolledBack {
            store: self.remote.name.to_string(),
            model: self.model.to_string(),
            detail,
        }
    }

    fn forked(&self, seq: u64) -> StoreError {
        StoreError::LedgerForked { store: self.remote.name.to_string(), model: self.model.to_string(), seq }
    }
}

/// Models with a ledger on the remote, or in the copy waiting to be published.
pub(super) fn models(remote: &Remote, store: &Path, project: Id) -> Result<Vec<Name>, StoreError> {
    remote.ensure(store)?;
    let mut models = folder::models(store, project)?;
    let known: Vec<String> = models.iter().map(super::hash).collect();
    for name in remote.list(&format!("ledger/{project}/"))? {
        let Some(hash) = name.strip_suffix('/').filter(|hash| !known.iter().any(|known| known == hash))
        else {
            continue;
        };
        let key = format!("ledger/{project}/{hash}/{}", number(1));
        if let Some(bytes) = remote.get(&key, LIMIT)? {
            models.push(folder::model(&bytes, hash, &remote.place(&key))?);
        }
    }
    Ok(models)
}
