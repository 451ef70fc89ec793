//! Judging again what was judged before: the verdicts that a promotion names must come out the same, byte for byte.

use serde::Serialize;
use serde_json::Value;

use super::{Candidate, Evidence, Need, Rules, judge_one};
use crate::base::{Digest, Entry, Failure, Name, Record, RecordKind, Verdict};
use crate::infrastructure::store::{Local, StoreError};

/// One gate of a promotion, judged again.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Recomputed {
    /// The stage of the gate.
    pub stage: Name,
    /// The gate.
    pub gate: Name,
    /// The record of the verdict; absent if the promotion names none for this gate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<Digest>,
    /// The first place where the record and what was judged now are not the same; absent where every byte is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference: Option<Difference>,
}

/// Where two verdicts are not the same.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The key, from the record's root: `body.observed`.
    pub at: String,
    /// What is recorded; absent if nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recorded: Option<Value>,
    /// What was judged now; absent if nothing was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub now: Option<Value>,
}

/// The codes of errors about an object that is nowhere.
const GONE: [&str; 2] = ["store::missing", "store::not-on-remote"];

/// Judges the gates of the promotion `entry` again: by `rules` as they stood, of a `candidate` whose history ends before the entry,
/// at the entry's time, each gate on the evidence that its recorded verdict names and on nothing else.
///
/// `get` makes a tree or file present in the local store that is only in the project's.
///
/// # Errors
/// Damaged evidence, and what `get` fails with, unless it is that nobody has the object. Evidence that is missing makes another verdict, not an error.
pub fn recompute(
    store: &Local,
    rules: &Rules,
    candidate: &Candidate<'_>,
    entry: &Entry,
    get: &dyn Fn(Digest) -> Result<(), Failure>,
) -> Result<Vec<Recomputed>, Failure> {
    let mut recorded = Vec::new();
    for id in &entry.evidence {
        match store.any_record(id) {
            Ok(record) if record.kind == RecordKind::Verdict => {
                recorded.push((*id, store.record::<Verdict>(id)?));
            }
            // Other evidence of the entry, or a verdict that is not here: its gate is missed below.
            Ok(_) | Err(StoreError::Missing(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let mut found = Vec::new();
    let target = entry.subject.stage.as_ref().unwrap_or(&entry.subject.model);
    for (stage, gate, spec) in rules.gates(target) {
        let of_gate = |(_, record): &(Digest, Record<Verdict>)| {
            (&record.body.stage, &record.body.gate) == (stage, gate)
        };
        let there = recorded.iter().position(of_gate).map(|at| recorded.remove(at));
        let inputs = there.as_ref().map_or(&[][..], |(_, record)| &record.inputs);
        let judge = || {
            judge_one(
                rules,
                candidate,
                &Evidence::of(store, inputs)?,
                (stage, gate, spec),
                target,
                entry.time,
            )
        };
        let mut now = judge()?;
        // Two models have two files of predictions.
        for _ in 0..2 {
            let Some(Need::Files { id }) = now.need else { break };
            match get(id) {
                Ok(()) => now = judge()?,
                // Nobody has it any more: the gate stays unknown, which is not what is recorded.
                Err(error) if GONE.contains(&error.0.code()) => break,
                Err(error) => return Err(error),
            }
        }
        let difference = match &there {
            None => {
                Some(Difference { at: String::new(), recorded: None, now: value(&now.record().to_bytes()) })
            }
            Some((id, _)) => different(&store.record_bytes(id)?, &now.record().to_bytes()),
        };
        let record = there.map(|(id, _)| id);
        found.push(Recomputed { stage: stage.clone(), gate: gate.clone(), record, difference });
    }
    // Verdicts of gates that the rules do not have.
    found.extend(recorded.into_iter().map(|(id, record)| Recomputed {
        stage: record.body.stage.clone(),
        gate: record.body.gate.clone(),
        record: Some(id),
        difference: Some(Difference {
            at: String::new(),
            recorded: serde_json::to_value(record).ok(),
            now: None,
        }),
    }));
    Ok(found)
}

/// Where the bytes of two records are not the same; none if all are.
fn different(recorded: &[u8], now: &[u8]) -> Option<Difference> {
    if recorded == now {
        return None;
    }
    let (recorded, now) = (value(recorded), value(now));
    let first = match (&recorded, &now) {
        (Some(recorded), Some(now)) => first_difference(recorded, now, ""),
        _ => None,
    };
    // The same values in another order of keys.
    first.or(Some(Difference { at: String::new(), recorded, now }))
}

fn value(bytes: &[u8]) -> Option<Value> {
    serde_json::from_slice(bytes).ok()
}

/// The first value that is not the same, in the order of the first one's keys.
fn first_difference(recorded: &Value, now: &Value, at: &str) -> Option<Difference> {
    let below = |key: &str| if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") };
    match (recorded, now) {
        (Value::Object(one), Value::Object(other)) => {
            let keys = one.keys().chain(other.keys().filter(|key| !one.contains_key(*key)));
            keys.into_iter().find_map(|key| match (one.get(key), other.get(key)) {
                (Some(one), Some(other)) => first_difference(one, other, &below(key)),
                (one, other) => {
                    Some(Difference { at: below(key), recorded: one.cloned(), now: other.cloned() })
                }
            })
        }
        (one, other) if one == other => None,
        (one, other) => {
            Some(Difference { at: at.to_owned(), recorded: Some(one.clone()), now: Some(other.clone()) })
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_value_that_is_not_the_same_is_named_by_its_keys() {
        let one = json!({"inputs": ["a"], "body": {"observed": "1", "wanted": "w"}});
        assert_eq!(first_difference(&one, &one, ""), None);
        for (other, at) in [
            (json!({"inputs": ["b"], "body": {"observed": "2", "wanted": "w"}}), "inputs"),
            (json!({"inputs": ["a"], "body": {"observed": "2", "wanted": "w"}}), "body.observed"),
            (json!({"inputs": ["a"], "body": {"observed": "1"}}), "body.wanted"),
            (
                json!({"inputs": ["a"], "body": {"observed": "1", "wanted": "w", "reason": "r"}}),
                "body.reason",
            ),
        ] {
            assert_eq!(first_difference(&one, &other, "").map(|found| found.at).as_deref(), Some(at));
        }
    }
}
