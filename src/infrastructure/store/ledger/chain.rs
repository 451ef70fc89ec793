//! The bytes of an entry: one line of JSON, one line with its digest; and how a chain of them is verified.
//!
//! The digest line finds damage in the last entry, which no later entry names yet.

use super::StoredEntry;
use crate::base::{Digest, Entry, Name};
use crate::infrastructure::store::{StoreError, sealed};

/// Bytes an entry may have.
pub(super) const LIMIT: u64 = 256 * 1024;

/// The stored bytes of `entry`.
pub(super) fn encode(entry: &Entry) -> Vec<u8> {
    sealed::seal(&entry.to_bytes())
}

/// Verifies a chain entry by entry.
pub(super) struct Verifier<'a> {
    model: &'a Name,
    /// Entries verified so far.
    pub(super) seq: u64,
    /// The digest of the last of them.
    pub(super) last: Option<Digest>,
}

impl<'a> Verifier<'a> {
    /// A verifier that has seen nothing.
    pub(super) fn new(model: &'a Name) -> Self {
        Self { model, seq: 0, last: None }
    }

    /// A verifier of what follows `last`.
    pub(super) fn after(model: &'a Name, last: Option<&Entry>) -> Self {
        Self { model, seq: last.map_or(0, |last| last.seq), last: last.map(Entry::digest) }
    }

    /// The next entry from its stored bytes; `place` names it in errors.
    pub(super) fn next(&mut self, bytes: &[u8], place: &str) -> Result<Entry, StoreError> {
        let seq = self.seq + 1;
        let entry = decode(bytes).and_then(|entry| {
            if entry.seq != seq {
                Err(format!("it says it is entry {}", entry.seq))
            } else if entry.subject.model != *self.model {
                Err(format!("it is about the model `{}`", entry.subject.model))
            } else if entry.prev != self.last {
                Err("it does not follow the entry before it".to_owned())
            } else {
                Ok(entry)
            }
        });
        let entry = entry.map_err(|detail| damaged(self.model, seq, place, detail))?;
        self.seq = seq;
        self.last = Some(entry.digest());
        Ok(entry)
    }
}

impl Verifier<'_> {
    /// The next entry, as it is stored.
    pub(super) fn take(&mut self, stored: &StoredEntry) -> Result<Entry, StoreError> {
        match &stored.bytes {
            Ok(bytes) => self.next(bytes, &stored.place),
            Err(detail) => Err(damaged(self.model, stored.seq, &stored.place, detail.clone())),
        }
    }
}

/// An entry from its stored bytes, whatever its place in the chain.
pub(super) fn decode(bytes: &[u8]) -> Result<Entry, String> {
    if bytes.len() as u64 > LIMIT {
        return Err(format!("it has more than {} KiB", LIMIT >> 10));
    }
    let json = sealed::open(bytes)?;
    let entry: Entry = serde_json::from_str(json).map_err(|error| format!("it is not an entry: {error}"))?;
    if entry.schema != Entry::SCHEMA {
        return Err(format!(
            "its schema `{}` is not known to this version of mlp",
            entry.schema.escape_debug()
        ));
    }
    if entry.to_bytes() != json.as_bytes() {
        return Err("it holds something that this version of mlp does not know; update mlp".to_owned());
    }
    Ok(entry)
}

/// A damaged entry.
pub(super) fn damaged(model: &Name, seq: u64, path: &str, detail: String) -> StoreError {
    StoreError::LedgerDamaged { model: model.to_string(), seq, path: path.to_owned(), detail }
}
