//! Joining index objects of a remote: each push leaves one or two, and whoever comes new reads all of them.

use serde::Serialize;

use super::super::pack_index::{MOST_PACKS, PackIndex};
use super::super::transfer::index::RemoteIndex;
use super::super::transfer::push::INDEX_ENTRIES;
use super::super::{Local, Remote, StoreError};
use super::accounts::accounts;
use super::collect::publish;
use super::reach::Ids;
use crate::base::Digest;

/// Index objects were joined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Compacted {
    /// Index objects before.
    pub before: u64,
    /// Index objects after.
    pub after: u64,
}

/// Joins the index objects of a remote into as few as their size allows. The new ones are written before the old ones go, so that
/// readers find everything at any moment; one that listed an object which is gone lists again.
pub fn compact(local: &Local, remote: &Remote, dry_run: bool) -> Result<Compacted, StoreError> {
    remote.expect(local.root())?;
    let index = RemoteIndex::read(local, remote)?;
    let small = |index: &PackIndex| index.len() < INDEX_ENTRIES / 2;
    let before = index.objects().count() as u64;
    let joined = index.objects().filter(|(_, index)| small(index)).count() as u64;
    if joined < 2 {
        return Ok(Compacted { before, after: before });
    }
    if dry_run {
        let entries: usize =
            index.objects().map(|(_, index)| index).filter(|index| small(index)).map(PackIndex::len).sum();
        let after = before - joined + (entries as u64).div_ceil(INDEX_ENTRIES as u64).max(1);
        return Ok(Compacted { before, after });
    }
    let made = rewrite(local, remote, &index, small, |_| true)?;
    Ok(Compacted { before, after: before - joined + made })
}

/// Writes the chosen index objects anew, without the packs that `stays` refuses, then removes the old ones; returns how many were
/// written.
pub(super) fn rewrite(
    local: &Local,
    remote: &Remote,
    index: &RemoteIndex,
    chosen: impl Fn(&PackIndex) -> bool,
    stays: impl Fn(&Digest) -> bool,
) -> Result<u64, StoreError> {
    let old: Vec<(&str, &PackIndex)> = index.objects().filter(|(_, index)| chosen(index)).collect();
    let packs = accounts(old.iter().map(|(_, index)| *index), &Ids::default(), stays);
    let mut packs: Vec<_> = packs.into_iter().map(|(pack, account)| (pack, account.entries)).collect();
    // As in a push: who finds a tree finds what it names.
    packs.sort_by_key(|(_, entries)| entries.iter().any(|entry| entry.kind.is_metadata()));
    let (mut made, mut rest) = (0, &packs[..]);
    while !rest.is_empty() {
        let mut count = 0;
        let fits = rest.iter().take(MOST_PACKS).take_while(|(_, entries)| {
            count += entries.len();
            count <= INDEX_ENTRIES
        });
        let (group, later) = rest.split_at(fits.count().max(1));
        publish(local, remote, group)?;
        (made, rest) = (made + 1, later);
    }
    for (name, _) in old {
        remote.remove(&format!("index/{name}"))?;
    }
    Ok(made)
}
