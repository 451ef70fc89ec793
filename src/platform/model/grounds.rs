//! Whether a promotion rests on what the rules of its time asked for: a verdict of each gate, and a waiver where one says so.

use super::gates::{is_waived, standing_waiver};
use super::{Candidate, GateSpec, ModelError, Rules};
use crate::base::{Entry, Name, Time, Verdict, VerdictValue};
use crate::infrastructure::store::Local;

/// A gate that a promotion went past.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Its stage.
    pub stage: Name,
    /// The gate; none if the rules have no such stage.
    pub gate: Option<Name>,
    /// What is missing.
    pub why: String,
}

impl std::fmt::Display for Gap {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.gate {
            Some(gate) => write!(to, "`{gate}` of {}: {}", self.stage, self.why),
            None => write!(to, "{}: {}", self.stage, self.why),
        }
    }
}

/// The gates of `rules` that the promotion `entry` names no verdict of its own for, or one that was no pass. A verdict is an unsigned
/// record: that it was waived is believed where a waiver stood at the time of the entry, and stands at `today` where that is asked.
/// `candidate` makes what was promoted, with its history before the entry; it is called where something was waived.
pub fn gaps<'c>(
    store: &Local,
    rules: &Rules,
    entry: &Entry,
    today: Option<Time>,
    candidate: &dyn Fn() -> Result<Candidate<'c>, ModelError>,
) -> Vec<Gap> {
    let subject = &entry.subject;
    let target = subject.stage.as_ref().unwrap_or(&subject.model);
    if !rules.stages.contains_key(target) {
        let why = "the rules of the promotion have no such stage".to_owned();
        return vec![Gap { stage: target.clone(), gate: None, why }];
    }
    let named: Vec<Verdict> = entry
        .evidence
        .iter()
        .filter_map(|id| Some(store.record::<Verdict>(id).ok()?.body))
        .filter(|verdict| {
            (&verdict.model, verdict.version, verdict.tree) == (&subject.model, subject.version, subject.tree)
        })
        .collect();
    let why = |stage: &Name, gate: &Name, spec: &GateSpec| {
        let own: Vec<&Verdict> =
            named.iter().filter(|verdict| (&verdict.stage, &verdict.gate) == (stage, gate)).collect();
        let Some(verdict) = own.first() else {
            return Some("the promotion names no verdict of it that is at hand".to_owned());
        };
        if own.len() > 1 {
            return Some("the promotion names several verdicts of it".to_owned());
        }
        if serde_json::from_value::<GateSpec>(verdict.rule.clone()).ok().as_ref() != Some(spec) {
            return Some("its verdict is by another rule".to_owned());
        }
        if verdict.verdict != VerdictValue::Pass {
            return Some(format!("it was not open: {}", verdict.observed));
        }
        if !is_waived(verdict) {
            return None;
        }
        let stands = |at| {
            let found = candidate()
                .and_then(|candidate| standing_waiver(store, rules, &candidate, (stage, gate), target, at));
            match found {
                Ok(found) => found.err(),
                Err(error) => Some(error.to_string()),
            }
        };
        let void = stands(entry.time).or_else(|| today.and_then(stands))?;
        Some(format!("its verdict says that it was waived, and no waiver stands: {void}"))
    };
    let gates = rules.gates(target);
    gates
        .filter_map(|(stage, gate, spec)| {
            Some(Gap { stage: stage.clone(), gate: Some(gate.clone()), why: why(stage, gate, spec)? })
        })
        .collect()
}
