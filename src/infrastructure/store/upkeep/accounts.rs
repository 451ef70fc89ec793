//! Which bytes of which packs are needed.

use std::collections::BTreeMap;

use super::super::PackEntry;
use super::super::pack_index::PackIndex;
use super::reach::Ids;
use crate::base::Digest;

/// One pack, with what is needed of it.
#[derive(Default)]
pub(super) struct Account {
    /// Everything that it holds.
    pub(super) entries: Vec<PackEntry>,
    /// Stored bytes of all of it.
    pub(super) stored: u64,
    /// Stored bytes of what is needed.
    pub(super) live: u64,
}

impl Account {
    /// Bytes that nobody needs.
    pub(super) fn waste(&self) -> u64 {
        self.stored - self.live
    }

    /// Whether nothing of it is needed.
    pub(super) fn is_dead(&self) -> bool {
        self.live == 0
    }

    /// Whether less than half of it is needed.
    pub(super) fn is_sparse(&self) -> bool {
        self.live * 2 < self.stored
    }
}

/// The packs that some indexes list, without those that `count` refuses. An object that lies in several packs is needed in the
/// first of them by name.
pub(super) fn accounts<'a>(
    indexes: impl Iterator<Item = &'a PackIndex>,
    live: &Ids,
    count: impl Fn(&Digest) -> bool,
) -> BTreeMap<Digest, Account> {
    let mut accounts: BTreeMap<Digest, Account> = BTreeMap::new();
    for index in indexes {
        let mut listed: BTreeMap<Digest, Vec<PackEntry>> =
            index.packs().iter().map(|pack| (*pack, Vec::new())).collect();
        for location in (0..index.len()).map(|position| index.get(position)) {
            listed.entry(location.pack).or_default().push(location.entry);
        }
        for (pack, entries) in listed.into_iter().filter(|(pack, _)| count(pack)) {
            // Two index objects may list one pack.
            let account = accounts.entry(pack).or_default();
            if account.entries.len() < entries.len() {
                account.entries = entries;
            }
        }
    }
    let mut counted = Ids::default();
    for account in accounts.values_mut() {
        account.entries.sort_unstable_by_key(|entry| entry.offset);
        for entry in &account.entries {
            account.stored += u64::from(entry.stored);
            if live.contains(&entry.id) && counted.insert(entry.id) {
                account.live += u64::from(entry.stored);
            }
        }
    }
    accounts
}
