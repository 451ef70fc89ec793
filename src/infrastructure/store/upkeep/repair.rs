//! Mending what a look over a store found.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;

use super::super::ledger::{self, Chain};
use super::super::pack::{DATA_TARGET, PACK_LIMIT, PackBuilder};
use super::super::transfer::doomed::{self, Doom};
use super::super::transfer::fetch::{fetch, get};
use super::super::transfer::index::RemoteIndex;
use super::super::transfer::records::fetch_records;
use super::super::transfer::{Transfer, fanned};
use super::super::{Local, PackEntry, Remote, StoreError, codec, pack};
use super::accounts::accounts;
use super::collect::publish;
use super::compact::rewrite;
use super::fsck::{Checked, Depth, Finding, fsck, fsck_remote, locations};
use super::reach::Ids;
use super::roots;
use super::sweep::remove;
use crate::base::{Digest, Entry, Sink, Unit};

/// What was mended.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Repaired {
    /// What was wrong.
    pub found: Vec<Finding>,
    /// Packs whose index was made anew from their headers.
    pub reindexed: u64,
    /// Objects that were got from elsewhere.
    pub objects: u64,
    /// Records that were got from elsewhere.
    pub records: u64,
    /// Pins that were got from elsewhere.
    pub pins: u64,
    /// Ledger entries that were got from elsewhere.
    pub entries: u64,
    /// What is still wrong: nobody who was asked has it.
    pub left: Vec<Finding>,
}

/// Mends the local store: indexes anew from the headers of packs, lost objects and records from the remotes.
pub fn repair(
    local: &Local,
    remotes: &[Remote],
    depth: Depth,
    dry_run: bool,
    sink: &dyn Sink,
) -> Result<Repaired, StoreError> {
    let look = |depth| fsck(local, depth, sink);
    let (checked, depth) = deepened(&look, depth)?;
    let mut done = Repaired { found: checked.findings.clone(), ..Repaired::default() };
    if dry_run {
        done.left = checked.findings;
        return Ok(done);
    }
    done.reindexed = local.rebuild_index()? as u64;
    let mut lost: Vec<Digest> = Vec::new();
    for id in &checked.lost {
        // Another pack, or one that is indexed again, may have it.
        if local.object(id).is_err() {
            lost.push(*id);
        }
    }
    let mut lost_records: Vec<Digest> = checked.lost_records.iter().copied().collect();
    let mut ledgers = checked.bad_ledgers;
    for remote in remotes {
        if !ledgers.is_empty() {
            let put = |ledger: &Chain, entries: &[Entry]| ledger::put(local.root(), ledger, entries);
            done.entries += bring(&mut ledgers, &ledger::chains_there(remote)?, put)?;
        }
        if lost.is_empty() && lost_records.is_empty() {
            continue;
        }
        let index = RemoteIndex::read(local, remote)?;
        let (mut has, mut lacks) = (Vec::new(), Vec::new());
        for id in lost {
            if index.find(&id)?.is_some() { has.push(id) } else { lacks.push(id) }
        }
        fetch(local, remote, &has, &[], sink)?;
        done.objects += has.len() as u64;
        lost = lacks;
        let (mut has, mut lacks) = (Vec::new(), Vec::new());
        for id in lost_records {
            if remote.has(&fanned("records", &id.hex()))? { has.push(id) } else { lacks.push(id) }
        }
        let left = fetch_records(local, remote, &has, &mut Transfer::default())?;
        done.records += has.iter().filter(|id| !left.contains_key(id)).count() as u64;
        lost_records = lacks;
        lost_records.extend(left.into_keys().filter(|id| has.contains(id)));
    }
    retire_healed(local, &checked.bad_packs, sink)?;
    done.left = fsck(local, depth, sink)?.findings;
    Ok(done)
}

/// What `look` finds. A damaged pack is seldom alone: if a sample has one, all are read.
fn deepened(
    look: &dyn Fn(Depth) -> Result<Checked, StoreError>,
    depth: Depth,
) -> Result<(Checked, Depth), StoreError> {
    let checked = look(depth)?;
    match depth {
        Depth::Sample if !checked.bad_packs.is_empty() => Ok((look(Depth::Full)?, Depth::Full)),
        depth => Ok((checked, depth)),
    }
}

/// Puts into `ledgers` what they lack and `sources` have, with `put`; those that are whole then are taken off the list. Returns how many
/// entries that were.
fn bring(
    ledgers: &mut Vec<Chain>,
    sources: &[Chain],
    put: impl Fn(&Chain, &[Entry]) -> Result<(), StoreError>,
) -> Result<u64, StoreError> {
    let mut brought = 0;
    let mut left = Vec::new();
    for ledger in ledgers.drain(..) {
        let source = sources.iter().find(|source| source.key == ledger.key).map(Chain::verified);
        let lacks = source.and_then(Result::ok).and_then(|source| ledger.lacks(&source));
        match lacks {
            Some(lacks) => {
                put(&ledger, &lacks)?;
                brought += lacks.len() as u64;
            }
            None => left.push(ledger),
        }
    }
    *ledgers = left;
    Ok(brought)
}

/// Packs anew what is sound of damaged packs and removes these, if everything that they held is somewhere now.
fn retire_healed(local: &Local, bad: &HashSet<Digest>, sink: &dyn Sink) -> Result<(), StoreError> {
    let catalog = local.reload()?;
    let everything =
        accounts(catalog.indexes.iter().map(AsRef::as_ref), &Ids::default(), |pack| bad.contains(pack));
    let (mut healed, mut held) = (BTreeMap::new(), Ids::default());
    for (pack, account) in everything {
        let is_here = |entry: &PackEntry| local.object(&entry.id).is_ok();
        if account.entries.iter().all(is_here) {
            held.extend(account.entries.iter().map(|entry| entry.id));
            healed.insert(pack, account);
        }
    }
    if healed.is_empty() { Ok(()) } else { remove(local, &healed, &held, sink) }
}

/// Mends a remote with what is here: indexes anew from packs that no sound one lists, new packs instead of damaged and lost ones,
/// records. No pack is overwritten: damaged ones are doomed and no longer listed.
pub fn repair_remote(
    local: &Local,
    remote: &Remote,
    depth: Depth,
    dry_run: bool,
    sink: &dyn Sink,
) -> Result<Repaired, StoreError> {
    let look = |depth| fsck_remote(local, remote, depth, sink);
    let (mut checked, depth) = deepened(&look, depth)?;
    let mut done = Repaired { found: checked.findings.clone(), ..Repaired::default() };
    if dry_run || checked.findings.is_empty() {
        done.left = checked.findings;
        return Ok(done);
    }
    if remote.marker_fault(local.root())?.is_some() {
        remote.remark(local.root())?;
    }
    // Nobody can read them; what they listed is listed anew.
    for name in &checked.bad_indexes {
        remote.remove(&format!("index/{name}"))?;
    }
    done.reindexed = reindex(local, remote, sink)?;
    if done.reindexed > 0 {
        checked = fsck_remote(local, remote, depth, sink)?;
    }
    done.pins = repin(local, remote, &checked.bad_pins)?;
    if done.pins > 0 {
        // What they name is looked at too, now that it is known.
        checked = fsck_remote(local, remote, depth, sink)?;
    }
    for id in &checked.lost_records {
        if let Ok(bytes) = local.record_bytes(id) {
            put_record(remote, id, bytes)?;
            done.records += 1;
        }
    }
    let put = |ledger: &Chain, entries: &[Entry]| ledger::put_there(remote, ledger, entries);
    done.entries = bring(&mut checked.bad_ledgers, &ledger::chains(local.root())?, put)?;
    if !checked.lost.is_empty() || !checked.bad_packs.is_empty() {
        done.objects = replace(local, remote, &checked, sink)?;
    }
    done.left = fsck_remote(local, remote, Depth::Quick, sink)?.findings;
    Ok(done)
}

/// Puts the pins with these names back that are here; how many.
fn repin(local: &Local, remote: &Remote, names: &[String]) -> Result<u64, StoreError> {
    let mut put = 0;
    for name in names {
        let id = name.rsplit('/').next().and_then(|id| id.parse().ok());
        let Some(Ok(pin)) = id.map(|id| local.pin(id)) else { continue };
        let key = roots::pin_key(name);
        remote.remove(&key)?;
        remote.put(&key, pin.to_bytes())?;
        put += 1;
    }
    Ok(put)
}

/// A record's name says its content: a damaged one under that name is taken away first.
fn put_record(remote: &Remote, id: &Digest, bytes: Vec<u8>) -> Result<(), StoreError> {
    let key = fanned("records", &id.hex());
    remote.remove(&key)?;
    remote.put(&key, bytes)
}

/// Lists packs that no index object lists, from their own headers; returns how many.
fn reindex(local: &Local, remote: &Remote, sink: &dyn Sink) -> Result<u64, StoreError> {
    let index = RemoteIndex::read(local, remote)?;
    let listed: HashSet<Digest> = index.objects().flat_map(|(_, index)| index.packs()).copied().collect();
    let doomed = doomed::packs(local, remote)?;
    let mut packs = Vec::new();
    for key in remote.list_all("packs/")? {
        let Some(id) = key.rsplit('/').next().and_then(|hex| Digest::from_hex(hex).ok()) else { continue };
        if listed.contains(&id) || doomed.contains(&id) {
            continue;
        }
        let Some(bytes) = remote.get(&key, PACK_LIMIT as u64)? else { continue };
        if let Some(entries) = pack::entries_of(&bytes, &id) {
            packs.push((id, entries));
        }
        sink.progress("reading packs", packs.len() as u64, None, Unit::Items);
    }
    publish(local, remote, &packs)?;
    Ok(packs.len() as u64)
}

/// Puts what was lost, as far as it is here, and what is sound of damaged packs into new packs; the damaged ones are doomed and no
/// longer listed. Returns how many lost objects are there again.
fn replace(local: &Local, remote: &Remote, checked: &Checked, sink: &dyn Sink) -> Result<u64, StoreError> {
    let index = RemoteIndex::read(local, remote)?;
    let mut doomed = doomed::packs(local, remote)?;
    doomed.extend(&checked.bad_packs);
    let mut fill = Fill {
        remote,
        doomed: &doomed,
        builder: PackBuilder::new(),
        added: HashSet::new(),
        packs: Vec::new(),
    };
    let mut healed = 0;
    for id in &checked.lost {
        if let Some(here) = local.locate(id)?
            && let Ok(stored) = local.stored(&here)
        {
            fill.add(&here.entry, &stored)?;
            healed += 1;
        }
    }
    for location in locations(&index, &checked.bad_packs) {
        if checked.lost.contains(&location.entry.id) {
            continue;
        }
        let taken = get(remote, vec![location], &mut Transfer::default(), &mut |location, stored, place| {
            codec::decode_object(&location.entry, stored, place)?;
            fill.add(&location.entry, stored)
        });
        match taken {
            // What nobody needs may be damaged, or gone with its pack; a remote that does not answer proves nothing.
            Ok(()) | Err(StoreError::Damaged { .. }) => {}
            Err(StoreError::Remote { .. }) if !remote.has(&fanned("packs", &location.pack.hex()))? => {}
            Err(error) => return Err(error),
        }
        sink.progress("packing anew", fill.added.len() as u64, None, Unit::Items);
    }
    let packs = fill.finish()?;
    publish(local, remote, &packs)?;
    if !checked.bad_packs.is_empty() {
        let doom = Doom::new(checked.bad_packs.iter().copied().collect(), Vec::new());
        remote.put(&doom.key(), doom.to_bytes())?;
        let index = RemoteIndex::read(local, remote)?;
        let lists_bad = |index: &super::super::pack_index::PackIndex| {
            index.packs().iter().any(|pack| checked.bad_packs.contains(pack))
        };
        rewrite(local, remote, &index, lists_bad, |pack| !checked.bad_packs.contains(pack))?;
    }
    Ok(healed)
}

/// New packs of a remote, of whatever objects are given.
struct Fill<'a> {
    remote: &'a Remote,
    doomed: &'a HashSet<Digest>,
    builder: PackBuilder,
    added: HashSet<Digest>,
    packs: Vec<(Digest, Vec<PackEntry>)>,
}

impl Fill<'_> {
    fn add(&mut self, entry: &PackEntry, stored: &[u8]) -> Result<(), StoreError> {
        if self.added.insert(entry.id) {
            self.builder.push(entry.id, entry.kind, entry.codec, entry.length, stored);
        }
        if self.builder.size() >= DATA_TARGET { self.put() } else { Ok(()) }
    }

    fn put(&mut self) -> Result<(), StoreError> {
        let pack = std::mem::replace(&mut self.builder, PackBuilder::new()).finish_unlike(self.doomed);
        self.remote.put(&fanned("packs", &pack.id.hex()), pack.bytes)?;
        self.packs.push((pack.id, pack.entries));
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<(Digest, Vec<PackEntry>)>, StoreError> {
        if !self.builder.is_empty() {
            self.put()?;
        }
        Ok(self.packs)
    }
}
