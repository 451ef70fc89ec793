//! `shadow: {…}`: the version answered what the live one was asked, unseen by any client.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Case, Finding};
use crate::base::Name;

pub(super) const MEANING: &str = "`mlp serve MODEL@STAGE --shadow MODEL@N` mirrors the requests of the live version to this one and writes \
     down how often they disagree. The newest record of these files beside those that are live now counts: enough requests, at most \
     that share of disagreement, no more failures, and if asked a latency that is not so many times that of the live version. With \
     nothing live the gate passes and says so.";

/// The version answered what the live one was asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ShadowGate {
    /// The stage whose live version answered; the stage of the gate if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<Name>,
    /// Requests that both must have answered.
    pub requests: u64,
    /// The largest share of instances on which they may disagree.
    pub max_disagreement: f64,
    /// Requests that this version may have failed to answer.
    pub max_failures: u64,
    /// How many times the live version's 95 % latency this version's may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_latency_ratio: Option<f64>,
}

impl Default for ShadowGate {
    fn default() -> Self {
        Self { stage: None, requests: 1000, max_disagreement: 0.05, max_failures: 0, max_latency_ratio: None }
    }
}

pub(super) fn wanted(gate: &ShadowGate) -> String {
    let stage = gate.stage.as_ref().map_or_else(String::new, |stage| format!(" in {stage}"));
    let latency = gate
        .max_latency_ratio
        .map_or_else(String::new, |ratio| format!(", at most {ratio} times its latency"));
    format!(
        "{} requests in the shadow of what is live{stage}, at most {} in disagreement{latency}",
        gate.requests, gate.max_disagreement
    )
}

pub(super) fn find(gate: &ShadowGate, case: &Case<'_>) -> Finding {
    let stage = gate.stage.as_ref().unwrap_or(case.stage);
    if !case.rules.stages.contains_key(stage) {
        return Finding::unknown(format!("there is no stage `{stage}`")).next("mlp check");
    }
    let (candidate, model) = (case.candidate, case.candidate.history.model());
    let Some(live) = candidate.history.live(stage) else {
        return Finding::decided(true, "nothing to be the shadow of").because("nothing live");
    };
    if live.tree == candidate.version.tree {
        let observed = format!("version {} is live in {stage}", live.number);
        return Finding::decided(true, observed).because("these are the live files");
    }
    let command = format!("mlp serve {model}@{stage} --shadow {}", case.reference());
    let Some((id, record)) = case.evidence.shadow(candidate.version.tree, live.tree) else {
        let observed = format!("never was the shadow of version {}", live.number);
        return Finding::unknown(observed).next(command);
    };
    let found = &record.body.comparison;
    let share = found.disagreement().unwrap_or(0.0);
    let ratio = found.latency.zip(found.live_latency).map(|(own, live)| own.p95 / live.p95);
    let mut observed = format!(
        "{} requests, {:.4} in disagreement with version {}, {} failed",
        found.requests, share, live.number, found.failures
    );
    if let Some(ratio) = ratio {
        observed += &format!(", {ratio:.2} times its latency");
    }
    let slow = match gate.max_latency_ratio {
        None => false,
        Some(most) => !ratio.is_some_and(|ratio| ratio <= most),
    };
    let failed = share > gate.max_disagreement || found.failures > gate.max_failures;
    let finding = if failed {
        Finding::decided(false, observed).next(super::another(case))
    } else if found.requests < gate.requests {
        Finding::unknown(observed).because(format!("{} are asked for", gate.requests)).next(command)
    } else {
        Finding::decided(!slow, observed).next(command)
    };
    finding.resting_on([*id])
}
