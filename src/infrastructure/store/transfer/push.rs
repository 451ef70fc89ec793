//! Sending.

use std::collections::{BTreeSet, HashSet};

use bytes::Bytes;

use super::index::{RemoteIndex, keep, new_name};
use super::journal::Journal;
use super::parallel::parallel;
use super::records::{self, known};
use super::{Transfer, doomed, fanned};
use crate::base::{Digest, Id, Level, Sink, Unit};
use crate::infrastructure::store::pack::{DATA_TARGET, METADATA_TARGET, Pack, PackBuilder};
use crate::infrastructure::store::pack_index::PackIndex;
use crate::infrastructure::store::{Local, Location, Pin, Remote, StoreError, spare};

/// Packs under way at once. Each takes 36 MiB of memory, and at most 64.
const UPLOADS: usize = 4;
/// Objects in one index object, at most.
pub(in crate::infrastructure::store) const INDEX_ENTRIES: usize = 200_000;
/// How often a push begins again because a collection has doomed what it rests on.
const ATTEMPTS: usize = 3;

/// What a remote lacks of some pins.
#[derive(Debug, Default)]
pub struct Missing {
    /// Pins that are not there, oldest first.
    pub pins: Vec<Pin>,
    /// Records that are not there.
    pub records: Vec<Digest>,
    /// Data objects (blobs, chunks), in the order of the trees.
    pub data: Vec<Location>,
    /// Trees and recipes.
    pub metadata: Vec<Location>,
}

impl Missing {
    /// Bytes of the objects as they are stored.
    pub fn bytes(&self) -> u64 {
        self.data.iter().chain(&self.metadata).map(|location| u64::from(location.entry.stored)).sum()
    }
}

/// Computes what `remote` lacks of `pins` and of all that they rest on, from its pins and indexes alone.
pub fn missing(local: &Local, remote: &Remote, project: Id, pins: &[Pin]) -> Result<Missing, StoreError> {
    plan(local, remote, project, pins, &BTreeSet::new()).map(|plan| plan.missing)
}

/// Makes the closure of `pins` present on the remote, then writes the pins under `project`: packs, index, records,
/// pins last. Pins that are already there cost nothing.
pub fn push(
    local: &Local,
    remote: &Remote,
    project: Id,
    pins: &[Pin],
    sink: &dyn Sink,
) -> Result<Transfer, StoreError> {
    let before = remote.requests();
    let mut transfer = Transfer::default();
    if remote.ensure(local.root())? {
        let text = format!("`{}` is a new store: there was none at `{}`", remote.name, remote.url());
        sink.log(Level::Info, &text);
    }
    let mut written = BTreeSet::new();
    for _ in 0..ATTEMPTS {
        let mut plan = plan(local, remote, project, pins, &written)?;
        if plan.missing.pins.is_empty() {
            return Ok(transfer.since(remote, before));
        }
        send_packs(local, remote, &mut plan, &mut transfer, sink)?;
        plan.rests_on.extend(plan.journal.packs.iter().map(|(pack, _)| *pack));
        let indexes = send_indexes(local, remote, plan.journal, &mut transfer)?;
        send_records(local, remote, &plan.missing.records, &mut transfer)?;
        // What a collection has doomed since the plan was made may be gone when somebody reads the pin. It is looked for before the
        // pin is written and once more after: then either the collection sees the pin, or this push sees the collection.
        if doomed::packs(local, remote)?.is_disjoint(&plan.rests_on) {
            for pin in plan.missing.pins.iter().filter(|pin| !written.contains(&pin.id)) {
                let bytes = pin.to_bytes();
                transfer.moved(bytes.len());
                remote.put(&records::pin_key(project, pin.id), bytes)?;
            }
            written.extend(plan.missing.pins.iter().map(|pin| pin.id));
            if doomed::packs(local, remote)?.is_disjoint(&plan.rests_on) {
                return Ok(transfer.since(remote, before));
            }
        }
        // They list packs that are gone. What else they list is sent again: this is rare.
        for name in indexes {
            remote.remove(&format!("index/{name}"))?;
        }
    }
    Err(remote.failed("push to", "packs/", "it is collected again and again meanwhile".to_owned()))
}

/// What a push will do.
struct Plan {
    missing: Missing,
    journal: Journal,
    /// Packs on the remote that hold what need not be sent.
    rests_on: HashSet<Digest>,
    /// Packs that will be deleted: they count as absent, and no new pack may have the name of one.
    doomed: HashSet<Digest>,
}

/// Plans to send what the remote lacks. Pins that this push has `written` count as absent: what they need may be gone again.
fn plan(
    local: &Local,
    remote: &Remote,
    project: Id,
    pins: &[Pin],
    written: &BTreeSet<Id>,
) -> Result<Plan, StoreError> {
    let mut there = records::remote_pins(remote, project)?;
    let mut index = RemoteIndex::read(local, remote)?;
    there.retain(|id| !written.contains(id));
    // A pin cannot keep what no index lists any more: that is sent again, if it is here.
    for pin in pins.iter().filter(|pin| !pin.roots.is_empty()) {
        if there.contains(&pin.id) && !index.lists(&pin.roots)? && local.holds(&pin.roots)? {
            there.remove(&pin.id);
        }
    }
    let mut missing = Missing::default();
    missing.pins.extend(pins.iter().filter(|pin| !there.contains(&pin.id)).cloned());
    missing.pins.sort_by_key(|pin| pin.id);
    let mut journal = Journal::read(local, remote)?;
    let mut rests_on = HashSet::new();
    if missing.pins.is_empty() {
        return Ok(Plan { missing, journal, rests_on, doomed: HashSet::new() });
    }
    let doomed = doomed::packs(local, remote)?;
    journal.forget(&doomed);
    index.doom(doomed.clone());
    if !journal.packs.is_empty() {
        index.add(PackIndex::parse(PackIndex::encode(&journal.packs), "the journal of an earlier push")?);
    }
    let known = known(local, &there)?;
    let closure =
        records::closure(local, missing.pins.iter().flat_map(|pin| pin.records.iter().copied()), &known)?;
    let mut roots: BTreeSet<Digest> = missing.pins.iter().flat_map(|pin| pin.roots.iter().copied()).collect();
    for root in closure.objects {
        // A record may rest on data that this clone never had; the pins' own roots must be here.
        if local.has(&root)? {
            roots.insert(root);
        }
    }
    missing.records = closure.records;
    let roots: Vec<Digest> = roots.into_iter().collect();
    let mut rests = HashSet::new();
    let mut visit = |location: &Location| {
        match index.find_kept(&location.entry.id)? {
            Some(there) => drop(rests_on.insert(there.pack)),
            None if location.entry.kind.is_metadata() => missing.metadata.push(*location),
            None => missing.data.push(*location),
        }
        Ok(())
    };
    // A version made without having all of the one before rests on what the remote has: whoever put a tree there had put all below it
    // there before. While a collection is under way that may be about to end, and nobody here can tell what lies below.
    let mut absent = |id| match index.find_kept(&id)? {
        Some(there) if doomed.is_empty() => {
            rests.insert(there.pack);
            Ok(())
        }
        _ => Err(local.absent(&id)?),
    };
    local.closure_with(&roots, &mut visit, &mut absent)?;
    rests_on.extend(rests);
    Ok(Plan { missing, journal, rests_on, doomed })
}

/// Packs what is missing and sends it, data before what names them.
fn send_packs(
    local: &Local,
    remote: &Remote,
    plan: &mut Plan,
    transfer: &mut Transfer,
    sink: &dyn Sink,
) -> Result<(), StoreError> {
    let Plan { missing, journal, doomed, .. } = plan;
    let total = missing.bytes();
    let mut sent = 0;
    let packer = |objects, target| Packer { local, objects, target: remote.pack_target(target), doomed };
    let packs =
        packer(missing.data.iter(), DATA_TARGET).chain(packer(missing.metadata.iter(), METADATA_TARGET));
    parallel(
        UPLOADS,
        packs,
        |pack: Pack| {
            let length = pack.bytes.len();
            let bytes = Bytes::from(pack.bytes);
            remote.put(&fanned("packs", &pack.id.hex()), bytes.clone())?;
            if bytes.is_unique() {
                spare::give(bytes.into());
            }
            Ok((pack.id, pack.entries, length))
        },
        |(id, entries, length)| {
            journal.arrived(id, entries)?;
            transfer.moved(length);
            sent += length as u64;
            sink.progress("pushing", sent.min(total), Some(total), Unit::Bytes);
            Ok(())
        },
    )
}

/// Sends index objects of all packs of the journal; returns their names below `index/`. The ones with trees come last, so that whoever finds a tree finds
/// what it names.
fn send_indexes(
    local: &Local,
    remote: &Remote,
    mut journal: Journal,
    transfer: &mut Transfer,
) -> Result<Vec<String>, StoreError> {
    let mut names = Vec::new();
    journal.packs.sort_by_key(|(_, entries)| entries.iter().any(|entry| entry.kind.is_metadata()));
    let mut rest = &journal.packs[..];
    while !rest.is_empty() {
        let mut count = 0;
        let fits = rest.iter().take_while(|(_, entries)| {
            count += entries.len();
            count <= INDEX_ENTRIES
        });
        let (group, later) = rest.split_at(fits.count().max(1));
        rest = later;
        let bytes = PackIndex::encode(group);
        let name = new_name(&bytes);
        transfer.moved(bytes.len());
        remote.put(&format!("index/{name}"), bytes.clone())?;
        keep(local, remote, &name, &bytes)?;
        names.push(name);
    }
    journal.listed();
    Ok(names)
}

/// Sends records.
fn send_records(
    local: &Local,
    remote: &Remote,
    records: &[Digest],
    transfer: &mut Transfer,
) -> Result<(), StoreError> {
    parallel(
        8,
        records.iter().copied().map(Ok),
        |id| {
            let bytes = local.record_bytes(&id)?;
            let length = bytes.len();
            remote.put(&records::key(&id), bytes)?;
            Ok(length)
        },
        |length| {
            transfer.moved(length);
            Ok(())
        },
    )
}

/// Fills packs with stored objects, in order; each is verified as it is read.
struct Packer<'a> {
    local: &'a Local,
    objects: std::slice::Iter<'a, Location>,
    target: usize,
    doomed: &'a HashSet<Digest>,
}

impl Iterator for Packer<'_> {
    type Item = Result<Pack, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut pack = PackBuilder::new();
        while pack.size() < self.target {
            let Some(location) = self.objects.next() else { break };
            let entry = &location.entry;
            match self.local.stored(location) {
                Ok(stored) => pack.push(entry.id, entry.kind, entry.codec, entry.length, &stored),
                Err(error) => return Some(Err(error)),
            }
        }
        (!pack.is_empty()).then(|| Ok(pack.finish_unlike(self.doomed)))
    }
}
