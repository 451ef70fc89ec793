//! Collecting what nobody needs on a remote, in two phases without locks.
//!
//! First, packs that hold nothing (or little: then the rest is packed anew) that is needed are named in a `gc/<ulid>.json`. From
//! then on they count as absent for whoever pushes. A week later, by the remote's own clock, a further collection looks once more at
//! what is needed, saves what came to rest on such a pack nevertheless, and deletes it. A push looks for such decisions
//! before it writes its pin and sends again what it lost, so that one that slept through all of it comes out right, too.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::Serialize;

use super::super::pack::{DATA_TARGET, METADATA_TARGET, PackBuilder};
use super::super::pack_index::PackIndex;
use super::super::transfer::doomed::{self, Doom};
use super::super::transfer::fetch::get;
use super::super::transfer::index::{RemoteIndex, keep, new_name};
use super::super::transfer::{Transfer, fanned};
use super::super::{Local, Location, PackEntry, Remote, StoreError, ledger};
use super::accounts::{Account, accounts};
use super::compact::rewrite;
use super::reach::{self, Reach};
use super::roots;
use crate::base::{Digest, Id, Sink, Unit};

/// How long a doomed pack stays, in milliseconds by the remote's clock: longer than any push can sleep on an old plan.
const GRACE: i64 = 7 * 24 * 3600 * 1000;
/// Decisions are kept this long after that, for pushes that slept even longer.
const REMEMBERED: i64 = 30 * 24 * 3600 * 1000;
/// Bytes of a store in which waste up to a twentieth is tolerated: packing anew costs more than it brings.
const TOLERATED: u64 = 20;
/// At most a tenth of a store is packed anew at a time.
const REPACKED: u64 = 10;

/// What a collection may do.
#[derive(Clone, Debug, Default)]
pub struct CollectOptions {
    /// Only say what would be done.
    pub dry_run: bool,
    /// Delete what is doomed at once, instead of a week later. Only when nobody pushes.
    pub now: bool,
    /// Pins of the project that nothing needs any more.
    pub retire: Vec<Id>,
    /// Trees that stay, as far as they are there, besides what pins and ledgers on the remote name.
    pub extra: Vec<Digest>,
}

/// What a collection found and did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Collected {
    /// Pins on the remote, of all projects.
    pub pins: u64,
    /// Pins taken away.
    pub retired: u64,
    /// Objects that are needed.
    pub live_objects: u64,
    /// Packs on the remote.
    pub packs: u64,
    /// Their bytes, as far as indexes list them.
    pub stored: u64,
    /// Bytes of them that nobody needs.
    pub waste: u64,
    /// Packs doomed by this collection.
    pub doomed: u64,
    /// Their bytes.
    pub doomed_bytes: u64,
    /// Bytes that were packed anew, because too little of their pack was needed.
    pub repacked_bytes: u64,
    /// Packs that were doomed before and wait for the end of their week.
    pub waiting: u64,
    /// Packs deleted.
    pub deleted: u64,
    /// Their bytes, as far as indexes list them.
    pub deleted_bytes: u64,
    /// Objects that came to rest on a doomed pack and were saved.
    pub saved: u64,
}

/// Collects on a remote, for `project`.
///
/// # Errors
/// Whatever cannot be listed or read, and whatever is needed and missing, ends it before anything is changed.
pub fn collect(
    local: &Local,
    remote: &Remote,
    project: Id,
    options: &CollectOptions,
    sink: &dyn Sink,
) -> Result<Collected, StoreError> {
    remote.expect(local.root())?;
    let mut done = Collected::default();
    let look = Look::at(local, remote, project, options, sink)?;
    done.pins = look.pins;
    done.live_objects = look.reach.live.len() as u64;
    done.packs = look.there.len() as u64;
    let decided = look.decide(remote, &mut done)?;
    done.retired = look.retired.len() as u64;
    if options.dry_run {
        let due = look.due(remote, options)?;
        done.deleted = due.len() as u64;
        done.waiting = look.doomed_there().count() as u64 - done.deleted;
        return Ok(done);
    }
    let decided_something = !decided.is_empty() || !look.retired.is_empty();
    look.doom(local, remote, decided, &mut done, sink)?;
    // What is deleted at once has to be looked at after everybody can see that it is doomed.
    let look = match decided_something && options.now {
        true => {
            Look::at(local, remote, project, &CollectOptions { retire: Vec::new(), ..options.clone() }, sink)?
        }
        false => look,
    };
    look.delete(local, remote, options, &mut done, sink)?;
    Ok(done)
}

/// A remote at one moment.
struct Look {
    pins: u64,
    /// Pins to take away, `<project>/<pin>`.
    retired: Vec<String>,
    reach: Reach,
    index: RemoteIndex,
    /// All packs that are there.
    there: BTreeSet<Digest>,
    dooms: BTreeMap<Id, Doom>,
    doomed: HashSet<Digest>,
    /// The time by the remote's clock, if it tells.
    clock: Option<i64>,
}

impl Look {
    fn at(
        local: &Local,
        remote: &Remote,
        project: Id,
        options: &CollectOptions,
        sink: &dyn Sink,
    ) -> Result<Self, StoreError> {
        let clock = if options.dry_run { None } else { remote.clock()? };
        let dooms = doomed::read(local, remote)?;
        let doomed: HashSet<Digest> = dooms.values().flat_map(|doom| &doom.packs).copied().collect();
        let mut index = RemoteIndex::read(local, remote)?;
        let there: BTreeSet<Digest> = remote
            .list_all("packs/")?
            .iter()
            .filter_map(|key| Digest::from_hex(key.rsplit('/').next()?).ok())
            .collect();
        // What an index lists and is not there is worth no more than what is doomed.
        let listed = index.objects().flat_map(|(_, index)| index.packs()).copied();
        let gone: HashSet<Digest> = listed.filter(|pack| !there.contains(pack)).collect();
        index.doom(doomed.union(&gone).copied().collect());
        // Pins last: what one names was there before it.
        let pins = roots::there(local, remote, false)?.all()?;
        if pins.is_empty() && !there.is_empty() {
            let detail =
                "it lists packs and no pins: nothing would be needed, which is not believed".to_owned();
            return Err(remote.failed("collect", "pins/", detail));
        }
        let retire = |name: &str| options.retire.iter().any(|id| *name == format!("{project}/{id}"));
        let (retired, kept): (Vec<_>, Vec<_>) = pins.into_iter().partition(|(name, _)| retire(name));
        let chains = ledger::chains_there(remote)?;
        let (roots, lost) = roots::of(local, remote, kept.iter().map(|(_, pin)| pin), &chains, &mut Err)?;
        if let Some(error) = lost.into_values().next() {
            return Err(error);
        }
        let mut all = roots.required;
        for id in roots.optional.iter().chain(&options.extra) {
            if index.find(id)?.is_some() {
                all.push(*id);
            }
        }
        let reach = reach::there(local, remote, &index, &all, sink)?;
        if let Some(id) = reach.missing.first() {
            return Err(StoreError::NotOnRemote { store: remote.name.to_string(), id: *id });
        }
        if let Some((id, detail)) = reach.damaged.first() {
            return Err(StoreError::damaged(
                format!("object `{id}` on store `{}`", remote.name),
                detail.clone(),
            ));
        }
        let pins = (kept.len() + retired.len()) as u64;
        let retired = retired.into_iter().map(|(name, _)| name).collect();
        Ok(Self { pins, retired, reach, index, there, dooms, doomed, clock })
    }

    /// Packs to doom; of those of which something is needed, with what.
    fn decide(&self, remote: &Remote, done: &mut Collected) -> Result<BTreeMap<Digest, Account>, StoreError> {
        let counts = |pack: &Digest| self.there.contains(pack) && !self.doomed.contains(pack);
        let accounts = accounts(self.index.objects().map(|(_, index)| index), &self.reach.live, counts);
        done.stored = accounts.values().map(|account| account.stored).sum();
        done.waste = accounts.values().map(Account::waste).sum();
        let worth = done.waste > done.stored / TOLERATED;
        let mut budget = done.stored / REPACKED + DATA_TARGET as u64;
        let mut decided = BTreeMap::new();
        let listed: HashSet<Digest> = accounts.keys().copied().collect();
        for (pack, account) in accounts {
            let sparse = worth && account.is_sparse() && account.live <= budget;
            if account.is_dead() || sparse {
                budget -= account.live;
                done.doomed += 1;
                done.doomed_bytes += account.stored;
                decided.insert(pack, account);
            }
        }
        // Packs that no index lists: of pushes that died, or of some that are under way.
        for pack in &self.there {
            if listed.contains(pack) || self.doomed.contains(pack) {
                continue;
            }
            let written = remote.modified(&fanned("packs", &pack.hex()))?;
            if self.clock.zip(written).is_some_and(|(now, written)| now - written > GRACE) {
                done.doomed += 1;
                decided.insert(*pack, Account::default());
            }
        }
        Ok(decided)
    }

    /// Packs anew what is needed of the decided packs, then dooms them and takes the pins away.
    fn doom(
        &self,
        local: &Local,
        remote: &Remote,
        decided: BTreeMap<Digest, Account>,
        done: &mut Collected,
        sink: &dyn Sink,
    ) -> Result<(), StoreError> {
        if decided.is_empty() && self.retired.is_empty() {
            return Ok(());
        }
        let mut rest = Vec::new();
        for (pack, account) in &decided {
            let needed = account.entries.iter().filter(|entry| self.reach.live.contains(&entry.id));
            rest.extend(needed.map(|entry| Location { pack: *pack, entry: *entry }));
        }
        let doomed: HashSet<Digest> = self.doomed.iter().chain(decided.keys()).copied().collect();
        done.repacked_bytes += repack(local, remote, rest, &doomed, sink)?;
        let doom = Doom::new(decided.into_keys().collect(), self.retired.clone());
        remote.put(&doom.key(), doom.to_bytes())?;
        for name in &self.retired {
            remote.remove(&format!("pins/{name}.json"))?;
        }
        Ok(())
    }

    /// Doomed packs that are still there.
    fn doomed_there(&self) -> impl Iterator<Item = &Digest> {
        self.there.iter().filter(|pack| self.doomed.contains(*pack))
    }

    /// Doomed packs whose time has come.
    fn due(&self, remote: &Remote, options: &CollectOptions) -> Result<HashSet<Digest>, StoreError> {
        let mut due = HashSet::new();
        let clock = match self.clock {
            None if !options.now && !self.dooms.is_empty() && !options.dry_run => remote.clock()?,
            clock => clock,
        };
        for doom in self.dooms.values() {
            let old = options.now || {
                let written = remote.modified(&doom.key())?;
                clock.zip(written).is_some_and(|(now, written)| now - written > GRACE)
            };
            if old {
                due.extend(doom.packs.iter().filter(|pack| self.there.contains(*pack)));
            }
        }
        Ok(due)
    }

    /// Deletes the doomed packs whose time has come.
    fn delete(
        &self,
        local: &Local,
        remote: &Remote,
        options: &CollectOptions,
        done: &mut Collected,
        sink: &dyn Sink,
    ) -> Result<(), StoreError> {
        let due = self.due(remote, options)?;
        done.waiting = (self.doomed_there().count() - due.len()) as u64;
        let mut stranded = Vec::new();
        for id in &self.reach.live {
            if self.index.find_kept(id)?.is_none()
                && let Some(location) = self.index.find(id)?
            {
                stranded.push(location);
            }
        }
        done.saved = stranded.len() as u64;
        repack(local, remote, stranded, &self.doomed, sink)?;
        if !due.is_empty() {
            let bytes = accounts(self.index.objects().map(|(_, index)| index), &self.reach.live, |pack| {
                due.contains(pack)
            });
            done.deleted_bytes = bytes.values().map(|account| account.stored).sum();
            let lists_some = |index: &PackIndex| index.packs().iter().any(|pack| due.contains(pack));
            rewrite(local, remote, &self.index, lists_some, |pack| !due.contains(pack))?;
            for (at, pack) in due.iter().enumerate() {
                remote.remove(&fanned("packs", &pack.hex()))?;
                done.deleted += 1;
                sink.progress("deleting packs", at as u64 + 1, Some(due.len() as u64), Unit::Items);
            }
        }
        for doom in self.dooms.values() {
            // Who took a pin away is remembered: others have seen the pin.
            let gone = doom.retired.is_empty() && doom.packs.iter().all(|pack| !self.there.contains(pack));
            if gone && self.clock.is_some_and(|now| now - doom.id.timestamp_ms() as i64 > GRACE + REMEMBERED)
            {
                remote.remove(&doom.key())?;
            }
        }
        Ok(())
    }
}

/// Reads objects of a remote, verified, and writes them into new packs with an index object; returns their bytes.
pub(super) fn repack(
    local: &Local,
    remote: &Remote,
    objects: Vec<Location>,
    doomed: &HashSet<Digest>,
    sink: &dyn Sink,
) -> Result<u64, StoreError> {
    let mut packs = Repack { remote, doomed, finished: Vec::new(), bytes: 0 };
    let total: u64 = objects.iter().map(|location| u64::from(location.entry.stored)).sum();
    let (metadata, data): (Vec<_>, Vec<_>) =
        objects.into_iter().partition(|location| location.entry.kind.is_metadata());
    for (objects, target) in [(data, DATA_TARGET), (metadata, METADATA_TARGET)] {
        let (mut builder, mut added) = (PackBuilder::new(), HashSet::new());
        get(remote, objects, &mut Transfer::default(), &mut |location, stored, place| {
            super::super::codec::decode_object(&location.entry, stored, place)?;
            if added.insert(location.entry.id) {
                let PackEntry { id, kind, codec, length, .. } = location.entry;
                builder.push(id, kind, codec, length, stored);
                packs.bytes += stored.len() as u64;
                sink.progress("packing anew", packs.bytes, Some(total), Unit::Bytes);
            }
            if builder.size() >= target {
                packs.put(std::mem::replace(&mut builder, PackBuilder::new()))?;
            }
            Ok(())
        })?;
        if !builder.is_empty() {
            packs.put(builder)?;
        }
    }
    publish(local, remote, &packs.finished)?;
    Ok(packs.bytes)
}

/// Packs that are made anew.
struct Repack<'a> {
    remote: &'a Remote,
    doomed: &'a HashSet<Digest>,
    finished: Vec<(Digest, Vec<PackEntry>)>,
    bytes: u64,
}

impl Repack<'_> {
    fn put(&mut self, builder: PackBuilder) -> Result<(), StoreError> {
        let pack = builder.finish_unlike(self.doomed);
        self.remote.put(&fanned("packs", &pack.id.hex()), pack.bytes)?;
        self.finished.push((pack.id, pack.entries));
        Ok(())
    }
}

/// Writes an index object that lists some packs.
pub(super) fn publish(
    local: &Local,
    remote: &Remote,
    packs: &[(Digest, Vec<PackEntry>)],
) -> Result<(), StoreError> {
    if packs.is_empty() {
        return Ok(());
    }
    let bytes = PackIndex::encode(packs);
    let name = new_name(&bytes);
    remote.put(&format!("index/{name}"), bytes.clone())?;
    keep(local, remote, &name, &bytes)
}
