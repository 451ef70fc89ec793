//! All ledgers of a store, whatever project and model they belong to: for upkeep.

use std::collections::BTreeMap;
use std::path::Path;

use super::bucket::MOVED;
use super::chain::{LIMIT, Verifier, damaged, encode};
use super::{StoredEntry, hash, number, parse_number};
use crate::base::Entry;
use crate::infrastructure::durable::{self, Sync};
use crate::infrastructure::store::catalog::names;
use crate::infrastructure::store::transfer::parallel::parallel;
use crate::infrastructure::store::{Remote, StoreError};

/// One ledger of a store, as anybody may have left it.
#[derive(Clone, Debug)]
pub(in crate::infrastructure::store) struct Chain {
    /// `ledger/<project>/<model>`, the same in every store.
    pub(in crate::infrastructure::store) key: String,
    stored: Vec<StoredEntry>,
    /// It goes on in git: what is here is all that ever will be.
    moved: bool,
}

impl Chain {
    /// One of which nothing is left.
    pub(in crate::infrastructure::store) fn gone(key: &str) -> Self {
        Self { key: key.to_owned(), stored: Vec::new(), moved: false }
    }

    /// All entries, verified.
    pub(in crate::infrastructure::store) fn verified(&self) -> Result<Vec<Entry>, StoreError> {
        verified(&self.key, &self.stored)
    }

    /// The entries that can be read, whatever their place in the chain.
    pub(in crate::infrastructure::store) fn readable(&self) -> impl Iterator<Item = Entry> {
        self.stored.iter().filter_map(|stored| stored.decode().ok())
    }

    /// Whether something stands as entry `seq`.
    fn has(&self, seq: u64) -> bool {
        self.stored.iter().any(|stored| stored.seq == seq)
    }

    /// The first entry of `copy` that is another one here.
    pub(in crate::infrastructure::store) fn differs<'a>(&self, copy: &'a [Entry]) -> Option<&'a Entry> {
        let is_other = |(entry, stored): &(&Entry, &StoredEntry)| {
            stored.bytes.as_ref().is_ok_and(|stored| *stored != encode(entry))
        };
        copy.iter().zip(&self.stored).find(is_other).map(|(entry, _)| entry)
    }

    /// The entries of `copy`, which was verified, that stand in this one for changed and missing ones, if it is whole with them. None if
    /// it is another chain: one that can be read and that nothing here contradicts was written on purpose.
    pub(in crate::infrastructure::store) fn lacks(&self, copy: &[Entry]) -> Option<Vec<Entry>> {
        // Nobody can tell how many of the copy's were here before it went on in git.
        if self.moved {
            return None;
        }
        let mut there: BTreeMap<u64, &StoredEntry> =
            self.stored.iter().map(|stored| (stored.seq, stored)).collect();
        let mut lacks = Vec::new();
        let mut whole = Vec::new();
        // An entry that is the same, or one that others have appended since, proves those before it.
        let mut unproved = false;
        for entry in copy {
            let bytes = encode(entry);
            match there.remove(&entry.seq) {
                Some(stored) if stored.bytes.as_ref().is_ok_and(|stored| *stored == bytes) => {
                    unproved = false
                }
                Some(stored) => {
                    unproved |= stored.decode().is_ok_and(|other| other.seq == entry.seq);
                    lacks.push(entry.clone());
                }
                None => lacks.push(entry.clone()),
            }
            whole.push(StoredEntry { seq: entry.seq, place: String::new(), bytes: Ok(bytes) });
        }
        if unproved && there.is_empty() {
            return None;
        }
        for (seq, stored) in there {
            whole.push(StoredEntry { seq, place: stored.place.clone(), bytes: stored.bytes.clone() });
        }
        verified(&self.key, &whole).is_ok().then_some(lacks)
    }
}

fn verified(key: &str, stored: &[StoredEntry]) -> Result<Vec<Entry>, StoreError> {
    let name = key.rsplit('/').next().unwrap_or(key);
    let mut models = stored.iter().filter_map(|stored| Some(stored.decode().ok()?.subject.model));
    let Some(model) = models.find(|model| hash(model) == name) else {
        return Err(StoreError::damaged(format!("ledger `{key}`"), "it has no entry that can be read"));
    };
    let mut verifier = Verifier::new(&model);
    let mut entries = Vec::with_capacity(stored.len());
    for (stored, seq) in stored.iter().zip(1..) {
        if stored.seq != seq {
            let place = format!("{key}/{}", number(seq));
            return Err(damaged(
                &model,
                seq,
                &place,
                "it is missing, and later entries are there".to_owned(),
            ));
        }
        entries.push(verifier.take(stored)?);
    }
    Ok(entries)
}

/// Every ledger in the local store.
pub(in crate::infrastructure::store) fn chains(store: &Path) -> Result<Vec<Chain>, StoreError> {
    let top = store.join("ledger");
    let mut chains = Vec::new();
    for project in names(&top)? {
        for model in names(&top.join(&project))? {
            let folder = top.join(&project).join(&model);
            let mut numbers: Vec<u64> =
                names(&folder)?.iter().filter_map(|name| parse_number(name)).collect();
            numbers.sort_unstable();
            let read = |seq: u64| {
                let path = folder.join(number(seq));
                let bytes = std::fs::read(&path).map_err(StoreError::io("read", &path))?;
                Ok(StoredEntry { seq, place: path.display().to_string(), bytes: Ok(bytes) })
            };
            let stored: Vec<StoredEntry> =
                numbers.into_iter().map(read).collect::<Result<_, StoreError>>()?;
            if !stored.is_empty() {
                chains.push(Chain { key: format!("ledger/{project}/{model}"), stored, moved: false });
            }
        }
    }
    Ok(chains)
}

/// Every entry of the local store's ledgers.
pub(in crate::infrastructure::store) fn copied(store: &Path) -> Result<Vec<Entry>, StoreError> {
    let mut entries = Vec::new();
    for chain in chains(store)? {
        entries.extend(chain.verified()?);
    }
    Ok(entries)
}

/// Every ledger on a remote.
pub(in crate::infrastructure::store) fn chains_there(remote: &Remote) -> Result<Vec<Chain>, StoreError> {
    let keys = remote.list_all("ledger/")?;
    let entry = |key: String| {
        let (chain, name) = key.rsplit_once('/')?;
        Some(Ok((chain.to_owned(), parse_number(name)?, key.clone())))
    };
    let get = |(chain, seq, key): (String, u64, String)| {
        let place = remote.place(&key);
        let bytes = match remote.get(&key, LIMIT) {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => Err("it is listed and cannot be read".to_owned()),
            Err(StoreError::Damaged { detail, .. }) => Err(detail),
            Err(error) => return Err(error),
        };
        Ok((chain, StoredEntry { seq, place, bytes }))
    };
    let mut found: BTreeMap<String, Chain> = BTreeMap::new();
    parallel(8, keys.into_iter().filter_map(entry), get, |(key, stored)| {
        let chain = found.entry(key).or_insert_with_key(|key| Chain::gone(key));
        match stored.bytes.as_deref() == Ok(MOVED) {
            true => chain.moved = true,
            false => chain.stored.push(stored),
        }
        Ok(())
    })?;
    let mut chains: Vec<Chain> = found.into_values().filter(|chain| !chain.stored.is_empty()).collect();
    chains.iter_mut().for_each(|chain| chain.stored.sort_unstable_by_key(|stored| stored.seq));
    Ok(chains)
}

/// Whether this clone has seen entries of the ledger `key` on `remote`.
pub(in crate::infrastructure::store) fn was_seen(remote: &Remote, store: &Path, key: &str) -> bool {
    remote.cache(store).join(key).is_file()
}

/// Puts `entries`, which `ledger` lacks, into the local store. Where nothing stood, whoever appends meanwhile is not overwritten.
pub(in crate::infrastructure::store) fn put(
    store: &Path,
    ledger: &Chain,
    entries: &[Entry],
) -> Result<(), StoreError> {
    let scratch = store.join("tmp");
    for entry in entries {
        let path = store.join(&ledger.key).join(number(entry.seq));
        let put = match ledger.has(entry.seq) {
            true => durable::replace_through(&scratch, &path, &encode(entry)),
            false => durable::create(&scratch, &path, &encode(entry), Sync::Disk).map(drop),
        };
        put.map_err(StoreError::io("write", path))?;
    }
    Ok(())
}

/// The same on a remote.
pub(in crate::infrastructure::store) fn put_there(
    remote: &Remote,
    ledger: &Chain,
    entries: &[Entry],
) -> Result<(), StoreError> {
    for entry in entries {
        let key = format!("{}/{}", ledger.key, number(entry.seq));
        if ledger.has(entry.seq) {
            remote.remove(&key)?;
        }
        remote.create(&key, &encode(entry))?;
    }
    Ok(())
}
