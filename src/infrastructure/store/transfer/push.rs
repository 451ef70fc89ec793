//! Sending.

use std::collections::BTreeSet;

use super::index::{RemoteIndex, keep, new_name};
use super::journal::Journal;
use super::parallel::parallel;
use super::records::{self, known};
use super::{Transfer, fanned};
use crate::base::{Digest, Id, Sink, Unit};
use crate::infrastructure::store::pack::{DATA_TARGET, METADATA_TARGET, Pack, PackBuilder};
use crate::infrastructure::store::pack_index::PackIndex;
use crate::infrastructure::store::{Local, Location, Pin, Remote, StoreError};

/// Packs under way at once. Each takes up to 64 MiB of memory.
const UPLOADS: usize = 4;
/// Objects in one index object, at most.
const INDEX_ENTRIES: usize = 200_000;

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
    plan(local, remote, project, pins).map(|(missing, _)| missing)
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
    let (missing, mut journal) = plan(local, remote, project, pins)?;
    if missing.pins.is_empty() {
        return Ok(transfer.since(remote, before));
    }
    send_packs(local, remote, &missing, &mut journal, &mut transfer, sink)?;
    send_indexes(local, remote, journal, &mut transfer)?;
    let records = missing.records.iter().copied().map(Ok);
    parallel(
        8,
        records,
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
    )?;
    for pin in &missing.pins {
        let bytes = pin.to_bytes();
        transfer.moved(bytes.len());
        remote.put(&records::pin_key(project, pin.id), bytes)?;
    }
    Ok(transfer.since(remote, before))
}

fn plan(local: &Local, remote: &Remote, project: Id, pins: &[Pin]) -> Result<(Missing, Journal), StoreError> {
    remote.ensure(local.root())?;
    let there = records::remote_pins(remote, project)?;
    let mut missing = Missing::default();
    missing.pins.extend(pins.iter().filter(|pin| !there.contains(&pin.id)).cloned());
    missing.pins.sort_by_key(|pin| pin.id);
    let journal = Journal::read(local, remote)?;
    if missing.pins.is_empty() {
        return Ok((missing, journal));
    }
    let mut index = RemoteIndex::read(local, remote)?;
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
    local.closure(&roots, &mut |location| {
        if index.find(&location.entry.id)?.is_none() {
            match location.entry.kind.is_metadata() {
                true => missing.metadata.push(*location),
                false => missing.data.push(*location),
            }
        }
        Ok(())
    })?;
    Ok((missing, journal))
}

/// Packs what is missing and sends it, data before what names them.
fn send_packs(
    local: &Local,
    remote: &Remote,
    missing: &Missing,
    journal: &mut Journal,
    transfer: &mut Transfer,
    sink: &dyn Sink,
) -> Result<(), StoreError> {
    let total = missing.bytes();
    let mut sent = 0;
    let packs = Packer::new(local, &missing.data, DATA_TARGET).chain(Packer::new(
        local,
        &missing.metadata,
        METADATA_TARGET,
    ));
    parallel(
        UPLOADS,
        packs,
        |pack: Pack| {
            let length = pack.bytes.len();
            remote.put(&fanned("packs", &pack.id.hex()), pack.bytes)?;
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

/// Sends index objects of all packs of the journal. The ones with trees come last, so that whoever finds a tree finds
/// what it names.
fn send_indexes(
    local: &Local,
    remote: &Remote,
    mut journal: Journal,
    transfer: &mut Transfer,
) -> Result<(), StoreError> {
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
    }
    journal.listed();
    Ok(())
}

/// Fills packs with stored objects, in order; each is verified as it is read.
struct Packer<'a> {
    local: &'a Local,
    objects: std::slice::Iter<'a, Location>,
    target: usize,
}

impl<'a> Packer<'a> {
    fn new(local: &'a Local, objects: &'a [Location], target: usize) -> Self {
        Self { local, objects: objects.iter(), target }
    }
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
        (!pack.is_empty()).then(|| Ok(pack.finish()))
    }
}
