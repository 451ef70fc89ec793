//! All ledgers of a store, whatever project and model they belong to: for upkeep.

use std::path::Path;

use super::chain::{LIMIT, Verifier, damaged, decode};
use super::parse_number;
use crate::base::Entry;
use crate::infrastructure::store::catalog::names;
use crate::infrastructure::store::{Remote, StoreError};

/// The folder of a chain, and its entries or what is wrong with it.
type Chain = (String, Result<Vec<Entry>, StoreError>);

/// Every chain of ledger entries in the local store, verified: its folder and its entries, or what is wrong with it.
pub(in crate::infrastructure::store) fn chains(store: &Path) -> Result<Vec<Chain>, StoreError> {
    let top = store.join("ledger");
    let mut chains = Vec::new();
    for project in names(&top)? {
        for model in names(&top.join(&project))? {
            let folder = top.join(&project).join(&model);
            let mut numbers: Vec<u64> =
                names(&folder)?.iter().filter_map(|name| parse_number(name)).collect();
            numbers.sort_unstable();
            if !numbers.is_empty() {
                chains.push((folder.display().to_string(), chain(&folder, &numbers)));
            }
        }
    }
    Ok(chains)
}

/// Every entry of the local store's ledgers.
pub(in crate::infrastructure::store) fn copied(store: &Path) -> Result<Vec<Entry>, StoreError> {
    let mut entries = Vec::new();
    for (_, chain) in chains(store)? {
        entries.extend(chain?);
    }
    Ok(entries)
}

/// The entry at a key of a remote; none if the key is not that of an entry.
pub(in crate::infrastructure::store) fn entry_at(
    remote: &Remote,
    key: &str,
) -> Result<Option<Entry>, StoreError> {
    let Some(seq) = key.rsplit('/').next().and_then(parse_number) else { return Ok(None) };
    let place = remote.place(key);
    let wrong = |detail: String| StoreError::damaged(format!("ledger entry `{place}`"), detail);
    let bytes = remote.get(key, LIMIT)?.ok_or_else(|| wrong("it is listed and cannot be read".to_owned()))?;
    let entry = decode(&bytes).map_err(wrong)?;
    if entry.seq == seq { Ok(Some(entry)) } else { Err(wrong(format!("it says it is entry {}", entry.seq))) }
}

fn chain(folder: &Path, numbers: &[u64]) -> Result<Vec<Entry>, StoreError> {
    let path = |seq: u64| folder.join(super::number(seq));
    let read = |seq: u64| std::fs::read(path(seq)).map_err(StoreError::io("read", path(seq)));
    let model = decode(&read(numbers[0])?)
        .map_err(|detail| {
            StoreError::damaged(format!("ledger entry `{}`", path(numbers[0]).display()), detail)
        })?
        .subject
        .model;
    let mut verifier = Verifier::new(&model);
    let mut entries = Vec::with_capacity(numbers.len());
    for (seq, expected) in numbers.iter().zip(1..) {
        if *seq != expected {
            let place = path(expected).display().to_string();
            return Err(damaged(
                &model,
                expected,
                &place,
                "it is missing, and later entries are there".to_owned(),
            ));
        }
        entries.push(verifier.next(&read(*seq)?, &path(*seq).display().to_string())?);
    }
    Ok(entries)
}
