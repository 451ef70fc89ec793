//! A ledger that is shared with others, with a copy in the local store.
//!
//! The copy saves reading old entries again and remembers what the far side once had: one with less, or with something
//! else, was rolled back. A file beside it holds the number of entries that the far side was seen to have; entries of the
//! copy beyond it were made before that was the home and are published.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::chain::{Verifier, damaged, decode, encode};
use super::folder::Folder;
use super::{Appended, Care, StoredEntry};
use crate::base::{Entry, Name};
use crate::infrastructure::durable;
use crate::infrastructure::store::StoreError;

/// Entries that are held in memory as they are stored.
const BATCH: usize = 256;

/// Where others find the entries: on a store, or in git refs.
pub(super) trait Far {
    /// The numbers of the entries that are there, in order, whether or not some are missing; asked anew.
    fn numbers(&self) -> Result<Vec<u64>, StoreError>;
    /// How many entries there are, asked anew.
    fn count(&self) -> Result<u64, StoreError>;
    /// The stored bytes of an entry that was counted.
    fn bytes(&self, seq: u64) -> Result<Vec<u8>, StoreError>;
    /// What is stored as the entries with these numbers, in this order, up to an error.
    fn stored(&self, numbers: &[u64]) -> Vec<Result<StoredEntry, StoreError>> {
        let stored = |seq: &u64| StoredEntry::of(*seq, self.place(*seq), self.bytes(*seq));
        numbers.iter().map(stored).collect()
    }
    /// Makes entries that follow one another, the first of them following what is there. Returns the first number that
    /// somebody else's entry has; none if all of them stand. After any error they are read back.
    fn publish(&self, entries: &[Entry]) -> Result<Option<u64>, StoreError>;
    /// Where an entry is, for messages.
    fn place(&self, seq: u64) -> String;
    /// What it is called, for messages.
    fn name(&self) -> String;
    /// Where this clone keeps the number of entries that it was seen to have.
    fn seen_path(&self) -> PathBuf;
}

/// One model's ledger: the far side and the copy.
pub(super) struct Shared<'a> {
    far: &'a dyn Far,
    store: PathBuf,
    copy: Folder,
    model: Name,
}

impl<'a> Shared<'a> {
    /// The ledger on `far`, copied as `key` below the local store's folder `store`.
    pub(super) fn new(far: &'a dyn Far, store: &Path, key: String, model: &Name) -> Self {
        let copy = Folder::new(store, &key, model);
        Self { far, store: store.to_owned(), copy, model: model.clone() }
    }

    /// Brings copy and far side to the same chain and returns it; `known` are entries of the copy that were read already.
    pub(super) fn synchronise(&self, known: Vec<Entry>, care: Care) -> Result<Vec<Entry>, StoreError> {
        let (entries, there) = self.pull(known, care)?;
        // Made before this was the home.
        let waiting = &entries[there as usize..];
        if let Some(last) = waiting.last() {
            if let Some(seq) = self.far.publish(waiting)? {
                return Err(self.forked(seq));
            }
            self.saw(last.seq)?;
        }
        Ok(entries)
    }

    /// Brings the copy up to the far side; returns its entries, and how many of them the far side has.
    pub(super) fn pull(&self, known: Vec<Entry>, care: Care) -> Result<(Vec<Entry>, u64), StoreError> {
        // In this order: another process of this clone may append at any moment.
        let seen = self.seen();
        let there = self.far.count()?;
        let mut entries = self.copy.entries_after(known)?;
        if there < seen {
            return Err(self.rolled_back(format!("it has {there} entries and had {seen}")));
        }
        let common = there.min(entries.len() as u64);
        self.agree(&entries, common, seen)?;
        if care == Care::All {
            self.same(&entries[..common as usize])?;
        }

        let mut verifier = Verifier::after(&self.model, entries.last());
        self.each(common + 1..=there, |stored| {
            let entry = verifier.take(&stored)?;
            self.copy.keep(&entry)?;
            entries.push(entry);
            Ok(())
        })?;
        self.saw(there.max(seen))?;
        Ok((entries, there))
    }

    /// The entries on the far side, verified; the copy stays as it is.
    pub(super) fn there(&self) -> Result<Vec<Entry>, StoreError> {
        let (mut verifier, mut entries) = (Verifier::new(&self.model), Vec::new());
        self.each(1..=self.far.count()?, |stored| {
            entries.push(verifier.take(&stored)?);
            Ok(())
        })?;
        Ok(entries)
    }

    /// Everything that is stored as an entry on the far side.
    pub(super) fn stored(&self) -> Result<Vec<StoredEntry>, StoreError> {
        self.far.stored(&self.far.numbers()?).into_iter().collect()
    }

    /// Forgets what the far side had; the copy goes to `place`, if there is one.
    pub(super) fn forget(&self, place: &Path) -> Result<Option<PathBuf>, StoreError> {
        let moved = self.copy.move_to(place)?;
        let path = self.far.seen_path();
        durable::remove(&path).map_err(StoreError::io("remove", path))?;
        Ok(moved.then(|| place.to_owned()))
    }

    /// Appends on the far side, then to the copy.
    pub(super) fn append(&self, entry: &Entry) -> Result<Appended, StoreError> {
        if !self.copy.follows(entry)? {
            // The copy is behind, or a local ledger waits to be published.
            self.synchronise(Vec::new(), Care::Last)?;
            if !self.copy.follows(entry)? {
                return Ok(Appended::Lost);
            }
        }
        if self.far.publish(std::slice::from_ref(entry))?.is_some() {
            return Ok(Appended::Lost);
        }
        self.copy.keep(entry)?;
        self.saw(entry.seq)?;
        Ok(Appended::Yes)
    }

    /// Gives what is stored on the far side as these entries to `work`, one after the other.
    fn each(
        &self,
        numbers: RangeInclusive<u64>,
        mut work: impl FnMut(StoredEntry) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let numbers: Vec<u64> = numbers.collect();
        for some in numbers.chunks(BATCH) {
            self.far.stored(some).into_iter().try_for_each(|stored| work(stored?))?;
        }
        Ok(())
    }

    /// Fails if the far side has not each of these entries of the copy: one that was changed in the middle, the last does not tell.
    fn same(&self, copy: &[Entry]) -> Result<(), StoreError> {
        self.each(1..=copy.len() as u64, |there| {
            if there.bytes.as_ref().is_ok_and(|bytes| *bytes == encode(&copy[there.seq as usize - 1])) {
                return Ok(());
            }
            let other = || "it is not the entry that this clone has and that the next one follows".to_owned();
            let detail = there.decode().err().unwrap_or_else(other);
            Err(damaged(&self.model, there.seq, &there.place, detail))
        })
    }

    /// Both chains are one up to entry `common`: as each entry names the one before, the last tells for all.
    fn agree(&self, copy: &[Entry], common: u64, seen: u64) -> Result<(), StoreError> {
        let mut differs = None;
        for seq in (1..=common).rev() {
            let there = decode(&self.far.bytes(seq)?)
                .map_err(|detail| damaged(&self.model, seq, &self.far.place(seq), detail))?;
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

    /// How many entries the far side was seen to have.
    fn seen(&self) -> u64 {
        let text = std::fs::read_to_string(self.far.seen_path()).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }

    fn saw(&self, count: u64) -> Result<(), StoreError> {
        if count > self.seen() {
            let path = self.far.seen_path();
            durable::replace_through(&self.store.join("tmp"), &path, format!("{count}\n").as_bytes())
                .map_err(StoreError::io("write", path))?;
        }
        Ok(())
    }

    fn rolled_back(&self, detail: String) -> StoreError {
        StoreError::LedgerRolledBack {
            place: format!("on `{}`", self.far.name()),
            model: self.model.to_string(),
            detail,
        }
    }

    fn forked(&self, seq: u64) -> StoreError {
        StoreError::LedgerForked { store: self.far.name(), model: self.model.to_string(), seq }
    }
}
