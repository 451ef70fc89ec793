//! Records and pins.

use std::collections::BTreeSet;

use super::parallel::parallel;
use super::{Transfer, fanned};
use crate::base::{AnyRecord, Digest, Id, Level, Sink};
use crate::infrastructure::store::pin;
use crate::infrastructure::store::{Local, Pin, Remote, StoreError};

/// Bytes a record may have.
const LIMIT: u64 = 64 << 20;

/// The key of a record.
pub(super) fn key(id: &Digest) -> String {
    fanned("records", &id.hex())
}

/// The key of a pin.
pub(super) fn pin_key(project: Id, pin: Id) -> String {
    format!("pins/{project}/{}", Pin::file_name(pin))
}

/// Pins of `project` on the remote: one listing.
pub(super) fn remote_pins(remote: &Remote, project: Id) -> Result<BTreeSet<Id>, StoreError> {
    let names = remote.list(&format!("pins/{project}/"))?;
    Ok(names.iter().filter_map(|name| Pin::parse_file_name(name)).collect())
}

/// What some records rest on.
#[derive(Default)]
pub(in crate::infrastructure::store) struct Closure {
    /// The records and those they name, as far as they are here.
    pub(in crate::infrastructure::store) records: Vec<Digest>,
    /// Everything else that they name: trees, blobs, and records that are not here.
    pub(in crate::infrastructure::store) objects: BTreeSet<Digest>,
}

/// The closure of `roots` among the local records, without those in `known` and what only they name.
pub(in crate::infrastructure::store) fn closure(
    local: &Local,
    roots: impl Iterator<Item = Digest>,
    known: &BTreeSet<Digest>,
) -> Result<Closure, StoreError> {
    let mut closure = Closure::default();
    let mut seen = known.clone();
    let mut waiting: Vec<(Digest, bool)> = roots.map(|id| (id, true)).collect();
    while let Some((id, required)) = waiting.pop() {
        if !seen.insert(id) {
            continue;
        }
        match local.any_record(&id) {
            Ok(record) => {
                closure.records.push(id);
                waiting.extend(record.inputs.iter().map(|input| (*input, false)));
            }
            Err(StoreError::Missing(_)) if !required => drop(closure.objects.insert(id)),
            Err(error) => return Err(error),
        }
    }
    Ok(closure)
}

/// Records that are on the remote because pins that are there name them.
pub(super) fn known(local: &Local, there: &BTreeSet<Id>) -> Result<BTreeSet<Digest>, StoreError> {
    let pins = local.pins()?;
    let roots = pins.iter().filter(|pin| there.contains(&pin.id)).flat_map(|pin| pin.records.iter().copied());
    let here: Vec<Digest> = roots.filter(|id| local.any_record(id).is_ok()).collect();
    Ok(closure(local, here.into_iter(), &BTreeSet::new())?.records.into_iter().collect())
}

/// Gets the pins of `project` that are not known here, with the records they name, so that evidence made by a
/// colleague can be found; their trees stay where they are until somebody fetches them.
pub fn fetch_pins(
    local: &Local,
    remote: &Remote,
    project: Id,
    sink: &dyn Sink,
) -> Result<Transfer, StoreError> {
    // Of a place that is no store yet nobody has pushed anything.
    remote.is_store(local.root())?;
    let before = remote.requests();
    let mut transfer = Transfer::default();
    let here: BTreeSet<Id> = local.pin_ids()?.into_iter().collect();
    let new = remote_pins(remote, project)?.into_iter().filter(|id| !here.contains(id)).map(Ok);
    let mut pins = Vec::new();
    let get = |id: Id| {
        let key = pin_key(project, id);
        let bytes = remote.get(&key, pin::LIMIT)?.unwrap_or_default();
        Ok((Pin::from_bytes(&bytes, id, &remote.place(&key)), bytes.len()))
    };
    parallel(8, new, get, |(pin, length)| {
        match pin {
            Ok(pin) => {
                transfer.moved(length);
                pins.push(pin);
            }
            // One that cannot be read, or is of a newer mlp, is no evidence; the others are.
            Err(error) => sink.log(Level::Warn, &format!("{error}; it is left out")),
        }
        Ok(())
    })?;
    let records: Vec<Digest> = pins.iter().flat_map(|pin| pin.records.iter().copied()).collect();
    fetch_records(local, remote, &records, &mut transfer)?;
    // Only now: a pin that is here says that its records are.
    for pin in &pins {
        local.put_pin(pin)?;
    }
    Ok(transfer.since(remote, before))
}

/// Gets records and the records that they name; those named may turn out to be trees, which are left alone.
pub(in crate::infrastructure::store) fn fetch_records(
    local: &Local,
    remote: &Remote,
    roots: &[Digest],
    transfer: &mut Transfer,
) -> Result<(), StoreError> {
    let mut seen: BTreeSet<Digest> = BTreeSet::new();
    let mut required = true;
    let mut wave: Vec<Digest> = roots.to_vec();
    while !wave.is_empty() {
        wave.retain(|id| seen.insert(*id));
        let mut next = Vec::new();
        let mut absent = Vec::new();
        for id in &wave {
            match local.any_record(id) {
                Ok(record) => next.extend(record.inputs),
                Err(StoreError::Missing(_)) => {
                    if required || !local.has(id)? {
                        absent.push(*id);
                    }
                }
                // A damaged record is fetched again.
                Err(StoreError::Damaged { .. }) => absent.push(*id),
                Err(error) => return Err(error),
            }
        }
        let get = |id: Digest| Ok((id, verified(remote, id)?));
        parallel(8, absent.into_iter().map(Ok), get, |(id, bytes)| {
            match bytes {
                Some(bytes) => {
                    let record = parse(remote, id, &bytes)?;
                    local.put_record_bytes(&bytes)?;
                    transfer.moved(bytes.len());
                    next.extend(record.inputs);
                }
                None if required => {
                    return Err(StoreError::NotOnRemote { store: remote.name.to_string(), id });
                }
                None => {}
            }
            Ok(())
        })?;
        required = false;
        wave = next;
    }
    Ok(())
}

/// The bytes of a record, if it is there; damage on the way is mended by asking once more.
fn verified(remote: &Remote, id: Digest) -> Result<Option<Vec<u8>>, StoreError> {
    for _ in 0..2 {
        match remote.get(&key(&id), LIMIT)? {
            Some(bytes) if Digest::of(&bytes) != id => {}
            other => return Ok(other),
        }
    }
    Err(damaged(remote, id, "its bytes do not have the digest in its name".to_owned()))
}

fn parse(remote: &Remote, id: Digest, bytes: &[u8]) -> Result<AnyRecord, StoreError> {
    AnyRecord::parse(bytes).map_err(|error| damaged(remote, id, error.to_string()))
}

fn damaged(remote: &Remote, id: Digest, detail: String) -> StoreError {
    StoreError::Damaged { what: format!("record `{}`", remote.place(&key(&id))), detail }
}
