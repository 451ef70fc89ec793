//! Collecting what nobody needs in the local store.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::super::catalog::{Catalog, names};
use super::super::codec::decode_object;
use super::super::writer::publish_index;
use super::super::{Local, Location, StoreError, Writer, files};
use super::accounts::{Account, accounts};
use super::{reach, roots};
use crate::base::{Digest, Id, Sink, Unit};
use crate::infrastructure::durable::TEMPORARY;

/// What was written less than this ago stays, whatever it is: its pointer may be about to be written.
const YOUNG: Duration = Duration::from_secs(3600);
/// Temporary files older than this belong to processes that were killed.
const LEFT_OVER: Duration = Duration::from_secs(24 * 3600);

/// What a collection of the local store found and did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Swept {
    /// Pins taken away.
    pub retired: u64,
    /// Objects that are needed.
    pub live_objects: u64,
    /// Packs before.
    pub packs: u64,
    /// Their bytes.
    pub stored: u64,
    /// Bytes of them that nobody needs.
    pub waste: u64,
    /// Packs removed, or that would be.
    pub removed: u64,
    /// Bytes that were packed anew, because too little of their pack was needed.
    pub repacked_bytes: u64,
    /// Bytes by which the store shrank, or would.
    pub freed: u64,
    /// Files left by commands that were killed.
    pub left_over: u64,
}

/// Collects in the local store. What pins, ledgers, `extra` trees and their records need stays, and what is younger than an hour.
///
/// # Errors
/// [`StoreError::InUse`] while another process uses the store: it may rest on what is about to be removed.
pub fn sweep(
    local: &Local,
    extra: &[Digest],
    retire: &[Id],
    dry_run: bool,
    sink: &dyn Sink,
) -> Result<Swept, StoreError> {
    let _alone = if dry_run { None } else { Some(local.alone()?) };
    let mut done = Swept::default();
    let pins = local.pins()?;
    done.retired = pins.iter().filter(|pin| retire.contains(&pin.id)).count() as u64;
    let kept = pins.iter().filter(|pin| !retire.contains(&pin.id));
    let mut roots = roots::here(local, kept)?;
    roots.required.extend(extra);
    roots.required.append(&mut roots.optional);
    let reach = reach::here(local, &roots.required, sink)?;
    if let Some((id, detail)) = reach.damaged.first() {
        return Err(StoreError::damaged(format!("object `{id}`"), detail.clone()));
    }
    done.live_objects = reach.live.len() as u64;
    let catalog = local.reload()?;
    let accounts = accounts(catalog.indexes.iter().map(Arc::as_ref), &reach.live, |_| true);
    done.packs = accounts.len() as u64;
    done.stored = accounts.values().map(|account| account.stored).sum();
    done.waste = accounts.values().map(Account::waste).sum();
    let removed: BTreeMap<Digest, Account> = accounts
        .into_iter()
        .filter(|(pack, account)| account.is_sparse() && !is_young(&local.pack_path(pack), YOUNG))
        .collect();
    done.removed = removed.len() as u64;
    done.repacked_bytes = removed.values().map(|account| account.live).sum();
    done.freed = removed.values().map(Account::waste).sum();
    let left_over = left_over(local, &catalog)?;
    done.left_over = left_over.len() as u64;
    done.freed +=
        left_over.iter().filter_map(|path| path.metadata().ok()).map(|found| found.len()).sum::<u64>();
    if dry_run {
        return Ok(done);
    }
    if !removed.is_empty() {
        remove(local, &removed, &reach.live, sink)?;
    }
    for pin in retire {
        local.remove_pin(*pin)?;
    }
    for path in left_over {
        // Housekeeping: what cannot be removed now will be another time.
        let _ = fs::remove_file(path);
    }
    Ok(done)
}

/// Packs anew what is needed of the packs, takes them out of the indexes, then removes them.
pub(super) fn remove(
    local: &Local,
    removed: &BTreeMap<Digest, Account>,
    live: &reach::Ids,
    sink: &dyn Sink,
) -> Result<(), StoreError> {
    // A writer that knows of nothing stores everything that it is given.
    let mut writer = Writer::new(local, Arc::new(Catalog::default()));
    let total = removed.values().map(|account| account.live).sum();
    let mut moved = 0;
    for (pack, account) in removed {
        for entry in account.entries.iter().filter(|entry| live.contains(&entry.id)) {
            let location = Location { pack: *pack, entry: *entry };
            let stored = match local.stored(&location) {
                // It is set aside now: what is sound in another pack needs no copy.
                Err(StoreError::Damaged { .. }) if local.object(&entry.id).is_ok() => continue,
                stored => stored?,
            };
            decode_object(entry, &stored, "a pack")?;
            writer.object(entry, &stored)?;
            moved += u64::from(entry.stored);
            sink.progress("packing anew", moved, Some(total), Unit::Bytes);
        }
    }
    writer.finish()?;
    let after = local.reload()?;
    let gone: HashSet<Digest> = removed.keys().copied().collect();
    let old: Vec<_> =
        after.indexes.iter().filter(|index| index.packs().iter().any(|pack| gone.contains(pack))).collect();
    let stay = accounts(old.iter().map(|index| index.as_ref()), live, |pack| !gone.contains(pack));
    let packs: Vec<_> = stay.into_iter().map(|(pack, account)| (pack, account.entries)).collect();
    let written = publish_index(local.root(), &packs)?;
    for index in old.iter().filter(|index| !written.contains(&index.id())) {
        files::remove(&local.root().join("index").join(index.id().hex()))?;
    }
    drop(after);
    for pack in removed.keys() {
        local.forget_damage(pack)?;
        files::remove(&local.pack_path(pack))?;
    }
    local.reload().map(drop)
}

/// Files of commands that were killed: temporary ones, and packs that no index lists.
fn left_over(local: &Local, catalog: &Catalog) -> Result<Vec<PathBuf>, StoreError> {
    let root = local.root();
    let listed: HashSet<Digest> = catalog.indexes.iter().flat_map(|index| index.packs()).copied().collect();
    let mut found = Vec::new();
    let packs = root.join("packs");
    for fan in names(&packs)? {
        for name in names(&packs.join(&fan))? {
            let path = packs.join(&fan).join(&name);
            let unlisted = Digest::from_hex(&name).is_ok_and(|id| !listed.contains(&id));
            if unlisted && !is_young(&path, LEFT_OVER) {
                found.push(path);
            }
        }
    }
    let mut folders = vec![root.to_owned(), root.join("tmp"), root.join("index"), root.join("bad")];
    for fan in ["packs", "records"] {
        folders.extend(names(&root.join(fan))?.into_iter().map(|name| root.join(fan).join(name)));
    }
    for folder in folders {
        for name in names(&folder)? {
            let path = folder.join(&name);
            if name.starts_with(TEMPORARY) && !is_young(&path, LEFT_OVER) {
                found.push(path);
            }
        }
    }
    Ok(found)
}

/// Whether a file was written less than `limit` ago, or cannot be looked at.
fn is_young(path: &Path, limit: Duration) -> bool {
    let written = path.metadata().and_then(|found| found.modified());
    written.map_or(true, |time| SystemTime::now().duration_since(time).map_or(true, |age| age < limit))
}
