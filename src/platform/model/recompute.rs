//! Judging again what was judged before: the verdicts that a promotion names must come out the same. Only the words that tell people
//! of them may be those of another version of mlp.

use serde::Serialize;
use serde_json::Value;

use super::gates::is_waived;
use super::{Candidate, Evidence, GateSpec, Need, Rules, judge_one};
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
    /// The first place where the record and what was judged now are not the same; absent where all that was found is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference: Option<Difference>,
    /// The first place where the same is told in other words; absent where every byte is the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wording: Option<Difference>,
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
        let now = now.record();
        let bytes = now.to_bytes();
        let (difference, wording) = match &there {
            None => (Some(Difference { at: String::new(), recorded: None, now: value(&bytes) }), None),
            Some((id, recorded)) => {
                let then = store.record_bytes(id)?;
                let difference = different(&then, &bytes);
                match without(&WORDS, &then) == without(&WORDS, &bytes) && same_finding(recorded, &now) {
                    true => (None, difference),
                    false => (found_other(&then, &bytes).or(difference), None),
                }
            }
        };
        let record = there.map(|(id, _)| id);
        found.push(Recomputed { stage: stage.clone(), gate: gate.clone(), record, difference, wording });
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
        wording: None,
    }));
    Ok(found)
}

/// Whether two verdicts found the same on the same evidence, in whatever words: the figures in the words are the same, too, and a
/// waiver, which only words tell of, is the same to the letter.
fn same_finding(one: &Record<Verdict>, other: &Record<Verdict>) -> bool {
    let (said, says) = (&one.body, &other.body);
    let waived = is_waived(said) || is_waived(says);
    let reason = |verdict: &Verdict| figures(verdict.reason.as_deref().unwrap_or_default());
    figures(&said.observed) == figures(&says.observed)
        && if waived { said.reason == says.reason } else { reason(said) == reason(says) }
}

/// What of a verdict is words; the last two say nothing of what was found.
const WORDS: [&str; 4] = ["observed", "reason", "wanted", "next"];

/// The first place where what was found is not the same.
fn found_other(recorded: &[u8], now: &[u8]) -> Option<Difference> {
    first_difference(&without(&WORDS[2..], recorded)?, &without(&WORDS[2..], now)?, "")
}

/// A record of a verdict without these of its keys.
fn without(keys: &[&str], bytes: &[u8]) -> Option<Value> {
    let mut record = value(bytes)?;
    let body = record.get_mut("body")?.as_object_mut()?;
    body.retain(|key, _| !keys.contains(&key.as_str()));
    // An option that a later mlp knows is written with its default.
    let rule = body.get_mut("rule")?;
    if let Ok(gate) = serde_json::from_value::<GateSpec>(rule.clone()) {
        *rule = serde_json::to_value(gate).ok()?;
    }
    Some(record)
}

/// What is no mere word in a text: all that has a digit.
fn figures(text: &str) -> Vec<String> {
    let parts = text.split(|c: char| !c.is_alphanumeric() && !matches!(c, '.' | '-' | '+'));
    let figures = parts
        .map(|part| part.trim_end_matches('.'))
        .filter(|part| part.contains(|c: char| c.is_ascii_digit()));
    figures.map(str::to_owned).collect()
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
    fn other_words_are_no_other_finding_and_other_figures_are() {
        let body = json!({
            "model": "digits", "version": 1, "tree": Digest::of(b"tree"), "stage": "staging", "gate": "it",
            "rule": {"metric": {"name": "accuracy", "min": 0.9}}, "verdict": "fail", "wanted": "accuracy",
            "observed": "0.8500 (0.8300 to 0.8700, 10 examples)", "next": "mlp train digits",
        });
        let record = |change: &[(&str, Value)]| {
            let mut body = body.clone();
            change.iter().for_each(|(key, value)| body[*key] = value.clone());
            Record::timeless(
                vec![Digest::of(b"evaluation")],
                serde_json::from_value::<Verdict>(body).expect("reads"),
            )
        };
        let same = |one: &Record<Verdict>, other: &Record<Verdict>| {
            without(&WORDS, &one.to_bytes()) == without(&WORDS, &other.to_bytes()) && same_finding(one, other)
        };
        let one = record(&[]);
        for words in [
            record(&[("wanted", json!("an accuracy of 0.9")), ("next", json!("mlp status"))]),
            record(&[("observed", json!("0.8500, between 0.8300 and 0.8700, of 10 examples"))]),
            record(&[("reason", json!("too low")), ("next", Value::Null)]),
            record(&[("rule", json!({"metric": {"name": "accuracy", "min": 0.9, "on": "test"}}))]),
        ] {
            assert!(same(&one, &words), "{words:?}");
        }
        for other in [
            record(&[("observed", json!("0.9500 (0.8300 to 0.8700, 10 examples)"))]),
            record(&[("verdict", json!("pass"))]),
            record(&[("rule", json!({"metric": {"name": "accuracy", "min": 0.8}}))]),
            record(&[("reason", json!("waived until 2999-12-31 by max: later"))]),
            record(&[("gate", json!("that"))]),
            Record { inputs: vec![], ..one.clone() },
        ] {
            assert!(!same(&one, &other), "{other:?}");
        }
        let other = record(&[("wanted", json!("an accuracy")), ("observed", json!("0.95"))]);
        let at = found_other(&one.to_bytes(), &other.to_bytes()).map(|found| found.at);
        assert_eq!(at.as_deref(), Some("body.observed"), "not where only words are other ones");
        let waived =
            |words: &str| record(&[("reason", json!(format!("waived until 2999-12-31 by {words}")))]);
        assert!(!same(&waived("max: later"), &waived("eva: later")));
    }

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
