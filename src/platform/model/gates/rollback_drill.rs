//! `rollback_drill: {…}`: going back from this version was rehearsed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Case, Finding};
use crate::base::Name;

pub(super) const MEANING: &str = "`mlp rollback MODEL@N --drill` rehearsed what a rollback of this version would do: a real server of \
     it answered, then one of the version that is live now and would be put back, its files verified and answering by itself. With \
     `max_seconds` that took no longer, with `max_days` it was no longer ago. With nothing live the gate passes and says so.";

/// Going back from this version was rehearsed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RollbackDrill {
    /// The stage whose live version would be put back; the stage of the gate if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<Name>,
    /// At most so many seconds to the first answer of the version that is put back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_seconds: Option<f64>,
    /// At most so many days ago.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_days: Option<u32>,
}

pub(super) fn wanted(gate: &RollbackDrill) -> String {
    let stage = gate.stage.as_ref().map_or_else(String::new, |stage| format!(" in {stage}"));
    let time = gate.max_seconds.map_or_else(String::new, |most| format!(" within {most} s"));
    let age = gate.max_days.map_or_else(String::new, |days| format!(", at most {days} days ago"));
    format!("a rehearsed rollback{stage} to what is live{time}{age}")
}

pub(super) fn find(gate: &RollbackDrill, case: &Case<'_>) -> Finding {
    let stage = gate.stage.as_ref().unwrap_or(case.stage);
    if !case.rules.stages.contains_key(stage) {
        return Finding::unknown(format!("there is no stage `{stage}`")).next("mlp check");
    }
    let Some(live) = case.candidate.history.live(stage) else {
        return Finding::decided(true, "nothing to go back to").because("nothing live");
    };
    let tree = case.candidate.version.tree;
    if live.tree == tree {
        let observed = format!("version {} is live in {stage}", live.number);
        return Finding::decided(true, observed).because("these are the live files");
    }
    let command = format!("mlp rollback {} --stage {stage} --drill", case.reference());
    let Some((id, record)) = case.evidence.drill(tree, live.tree) else {
        return Finding::unknown(format!("going back to version {} was not rehearsed", live.number))
            .next(command);
    };
    let seconds = record.body.seconds;
    let days = record.time.map_or(f64::INFINITY, |time| case.at.seconds_since(time) / 86_400.0);
    let late = gate.max_days.is_some_and(|most| days > f64::from(most));
    let observed = format!("back to version {} in {seconds:.2} s on {}", live.number, record.body.host);
    let passes = !late && gate.max_seconds.is_none_or(|most| seconds <= most);
    let finding = Finding::decided(passes, observed).resting_on([*id]).next(command);
    if late { finding.because(format!("that was {days:.0} days ago")) } else { finding }
}
