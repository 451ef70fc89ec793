//! Records of finished runs in the store.

use std::collections::BTreeMap;

use super::RunError;
use crate::base::{Body, Digest, Id, Record, RecordKind, Run};
use crate::infrastructure::store::{Local, Pin, PinKind};

/// Stores `record` and pins it together with `roots` (trees and blobs it rests on), so that it is found again and kept.
/// Publishing the same record again changes nothing.
pub fn publish<B: Body>(
    store: &Local,
    record: &Record<B>,
    name: &str,
    roots: &[Digest],
) -> Result<Digest, RunError> {
    let id = store.put_record(record)?;
    let kind = PinKind::Record(B::KIND);
    if store.pins()?.iter().any(|pin| pin.kind == kind && pin.records.contains(&id)) {
        return Ok(id);
    }
    let pin = Pin { roots: roots.to_vec(), records: vec![id], ..Pin::new(kind, name) };
    store.put_pin(&pin)?;
    Ok(id)
}

/// Finished runs, newest first. A run that was resumed appears once, as it ended last.
pub fn runs(store: &Local) -> Result<Vec<(Digest, Record<Run>)>, RunError> {
    let mut newest: BTreeMap<Id, (Digest, Record<Run>)> = BTreeMap::new();
    for id in store.records(RecordKind::Run)? {
        let record = store.record::<Run>(&id)?;
        let end = &record.body.end;
        let later = newest.get(&record.body.run).is_none_or(|(_, held)| {
            (end.attempts, end.ended) > (held.body.end.attempts, held.body.end.ended)
        });
        if later {
            newest.insert(record.body.run, (id, record));
        }
    }
    Ok(newest.into_values().rev().collect())
}
