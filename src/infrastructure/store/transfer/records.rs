//! Records and pins.

use std::collections::{BTreeMap, BTreeSet};

use super::parallel::parallel;
use super::{Transfer, fanned};
use crate::base::{AnyRecord, Digest, Id, Level, Sink};
use crate::infrastructure::store::pin;
use crate::infrastructure::store::{Local, Pin, Remote, StoreError};

/// Bytes a record may have.
const LIMIT: u64 = 64 << 20;

/// Records that could not be had of a remote that was asked, and why: each is missing or damaged there.
pub type Lost = BTreeMap<Digest, StoreError>;

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
///
/// A pin with a record that is missing or damaged on the remote is left out, and asked for again the next time; the others are had.
pub fn fetch_pins(
    local: &Local,
    remote: &Remote,
    project: Id,
    sink: &dyn Sink,
) -> Result<(Transfer, Lost), StoreError> {
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
    let lost = fetch_records(local, remote, &records, &mut transfer)?;
    if let Some(error) = lost.values().next() {
        let more = match lost.len() - 1 {
            0 => String::new(),
            more => format!(", and {more} more like it"),
        };
        let text = format!(
            "{error}{more}: evidence is left out; `mlp store repair --store {}` in a clone that has it brings it back",
            remote.name
        );
        sink.log(Level::Warn, &text);
    }
    // Only now: a pin that is here says that its records are.
    for pin in &pins {
        let is_whole = || {
            let rests_on = closure(local, pin.records.iter().copied(), &BTreeSet::new());
            rests_on.is_ok_and(|rests_on| rests_on.objects.iter().all(|id| !lost.contains_key(id)))
        };
        if lost.is_empty() || is_whole() {
            local.put_pin(pin)?;
        }
    }
    Ok((transfer.since(remote, before), lost))
}

/// Gets the records among `ids` that are not here, whatever pins there are, with what they rest on.
pub fn fetch_evidence(
    local: &Local,
    remote: &Remote,
    ids: impl Iterator<Item = Digest>,
) -> Result<Lost, StoreError> {
    let missing: Vec<Digest> = ids.filter(|id| !local.has_record(id)).collect();
    if missing.is_empty() {
        return Ok(Lost::new());
    }
    fetch_records(local, remote, &missing, &mut Transfer::default())
}

/// Gets records and the records that they name; those named may turn out to be trees, which are left alone. What is missing or
/// damaged on the remote is returned.
pub(in crate::infrastructure::store) fn fetch_records(
    local: &Local,
    remote: &Remote,
    roots: &[Digest],
    transfer: &mut Transfer,
) -> Result<Lost, StoreError> {
    let mut lost = Lost::new();
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
        let get = |id: Digest| match verified(remote, id) {
            Err(error @ StoreError::Damaged { .. }) => Ok((id, Err(error))),
            read => Ok((id, Ok(read?))),
        };
        parallel(8, absent.into_iter().map(Ok), get, |(id, read)| {
            match read {
                Ok(Some((record, bytes))) => {
                    local.put_record_bytes(&bytes)?;
                    transfer.moved(bytes.len());
                    next.extend(record.inputs);
                }
                Ok(None) if required => {
                    lost.insert(id, StoreError::NotOnRemote { store: remote.name.to_string(), id });
                }
                Ok(None) => {}
                Err(error) => drop(lost.insert(id, error)),
            }
            Ok(())
        })?;
        required = false;
        wave = next;
    }
    Ok(lost)
}

/// A record and its bytes, if it is there; damage on the way is mended by asking once more.
fn verified(remote: &Remote, id: Digest) -> Result<Option<(AnyRecord, Vec<u8>)>, StoreError> {
    let damaged = |detail| StoreError::damaged(format!("record `{}`", remote.place(&key(&id))), detail);
    for _ in 0..2 {
        let Some(bytes) = remote.get(&key(&id), LIMIT)? else { return Ok(None) };
        if Digest::of(&bytes) == id {
            let record = AnyRecord::parse(&bytes).map_err(|error| damaged(error.to_string()))?;
            return Ok(Some((record, bytes)));
        }
    }
    Err(damaged("its bytes do not have the digest in its name".to_owned()))
}
