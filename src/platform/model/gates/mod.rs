//! Gates: one closed enum, one file per kind, one question: pass, fail or unknown.
//!
//! A verdict is a pure function of gate, rules, evidence and time of judgement. Unknown means that evidence is missing; it
//! never promotes, and names the command that would make it.

mod approvals;
mod budget;
mod card;
mod code;
mod command;
mod compare;
mod data;
mod metric;
mod reproduce;
mod slices;
mod waiver;

#[cfg(test)]
mod tests;

use serde::Serialize;

use super::{Candidate, Evidence, GateSpec, ModelError, Need, Rules};
use crate::base::{Digest, Name, Time, Verdict, VerdictValue};

/// The phases of a model's life (CRISP-ML(Q), Studer et al., 2021, and an end). Every kind of gate belongs to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// What the data are.
    Understand,
    /// Data made ready.
    Prepare,
    /// A model trained.
    Model,
    /// A model measured.
    Evaluate,
    /// A model taken into use.
    Deploy,
    /// A model watched.
    Monitor,
    /// A model taken out of use.
    Retire,
}

impl Phase {
    /// All phases in order.
    pub const ALL: [Self; 7] = [
        Self::Understand,
        Self::Prepare,
        Self::Model,
        Self::Evaluate,
        Self::Deploy,
        Self::Monitor,
        Self::Retire,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Understand => "understand",
            Self::Prepare => "prepare",
            Self::Model => "model",
            Self::Evaluate => "evaluate",
            Self::Deploy => "deploy",
            Self::Monitor => "monitor",
            Self::Retire => "retire",
        }
    }
}

impl GateSpec {
    /// The phase that this kind of gate belongs to.
    pub fn phase(&self) -> Phase {
        match self {
            Self::Expectations(_) => Phase::Understand,
            Self::Leakage(_) => Phase::Prepare,
            Self::Code(_) | Self::Reproduce(_) | Self::Budget(_) => Phase::Model,
            Self::Metric(_) | Self::Compare(_) | Self::Slices(_) => Phase::Evaluate,
            Self::ModelCard(_) | Self::Approvals(_) | Self::Command(_) => Phase::Deploy,
        }
    }

    /// The key in `mlp.yaml`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Metric(_) => "metric",
            Self::Compare(_) => "compare",
            Self::Slices(_) => "slices",
            Self::Code(_) => "code",
            Self::Reproduce(_) => "reproduce",
            Self::Budget(_) => "budget",
            Self::Expectations(_) => "expectations",
            Self::Leakage(_) => "leakage",
            Self::ModelCard(_) => "model_card",
            Self::Approvals(_) => "approvals",
            Self::Command(_) => "command",
        }
    }

    /// What it wants, for people.
    pub fn wanted(&self) -> String {
        match self {
            Self::Metric(gate) => metric::wanted(gate),
            Self::Compare(gate) => compare::wanted(gate),
            Self::Slices(gate) => slices::wanted(gate),
            Self::Code(_) => code::WANTED.to_owned(),
            Self::Reproduce(gate) => reproduce::wanted(gate),
            Self::Budget(gate) => budget::wanted(gate),
            Self::Expectations(data) => data::expectations_wanted(data),
            Self::Leakage(data) => format!("the parts of `{data}` do not overlap beyond its guard"),
            Self::ModelCard(gate) => card::wanted(gate),
            Self::Approvals(gate) => approvals::wanted(gate),
            Self::Command(command) => format!("`{command}` exits with 0"),
        }
    }

    /// How it judges, in a few sentences.
    pub fn meaning(&self) -> &'static str {
        match self {
            Self::Metric(_) => metric::MEANING,
            Self::Compare(_) => compare::MEANING,
            Self::Slices(_) => slices::MEANING,
            Self::Code(_) => code::MEANING,
            Self::Reproduce(_) => reproduce::MEANING,
            Self::Budget(_) => budget::MEANING,
            Self::Expectations(_) => data::EXPECTATIONS_MEANING,
            Self::Leakage(_) => data::LEAKAGE_MEANING,
            Self::ModelCard(_) => card::MEANING,
            Self::Approvals(_) => approvals::MEANING,
            Self::Command(_) => command::MEANING,
        }
    }
}

/// What one gate said, with what it rests on.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// The verdict, as it is recorded.
    pub verdict: Verdict,
    /// Digests of the records and files it rests on.
    pub evidence: Vec<Digest>,
    /// Evidence that is missing and that mlp can make.
    pub need: Option<Need>,
    /// The phase of the gate.
    pub phase: Phase,
}

impl Judgement {
    /// Whether the gate is open.
    pub fn passed(&self) -> bool {
        self.verdict.verdict == VerdictValue::Pass
    }
}

/// What a gate may look at.
pub(super) struct Case<'a> {
    pub(super) rules: &'a Rules,
    pub(super) candidate: &'a Candidate<'a>,
    pub(super) evidence: &'a Evidence<'a>,
    /// The stage the gate belongs to.
    pub(super) stage: &'a Name,
    pub(super) gate: &'a Name,
    /// The stage that is asked for; approvals are for it.
    pub(super) target: &'a Name,
    /// The time of judgement.
    pub(super) at: Time,
}

impl Case<'_> {
    /// `digits@3`
    fn reference(&self) -> String {
        format!("{}@{}", self.candidate.history.model(), self.candidate.version.number)
    }

    /// The command that judges again, making what evidence it can.
    fn check(&self) -> String {
        format!("mlp gate check {} --to {}", self.reference(), self.target)
    }
}

/// What a gate found.
pub(super) struct Finding {
    value: VerdictValue,
    observed: String,
    reason: Option<String>,
    next: Option<String>,
    evidence: Vec<Digest>,
    need: Option<Need>,
}

impl Finding {
    fn new(value: VerdictValue, observed: impl Into<String>) -> Self {
        Self { value, observed: observed.into(), reason: None, next: None, evidence: Vec::new(), need: None }
    }

    fn decided(passes: bool, observed: impl Into<String>) -> Self {
        Self::new(if passes { VerdictValue::Pass } else { VerdictValue::Fail }, observed)
    }

    fn unknown(observed: impl Into<String>) -> Self {
        Self::new(VerdictValue::Unknown, observed)
    }

    fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// The command that helps, unless the gate passes.
    fn next(mut self, command: impl Into<String>) -> Self {
        if self.value != VerdictValue::Pass {
            self.next = Some(command.into());
        }
        self
    }

    fn resting_on(mut self, evidence: impl IntoIterator<Item = Digest>) -> Self {
        self.evidence.extend(evidence);
        self
    }

    fn needing(mut self, need: Need) -> Self {
        self.need = Some(need);
        self
    }
}

/// The commands that make a next version of the candidate's model.
fn another(case: &Case<'_>) -> String {
    let model = case.candidate.history.model();
    format!("mlp train {model} && mlp model register {model}")
}

/// Judges every gate that a promotion of `candidate` to `target` must pass, in order.
pub fn judge(
    rules: &Rules,
    candidate: &Candidate<'_>,
    evidence: &Evidence<'_>,
    target: &Name,
    at: Time,
) -> Result<Vec<Judgement>, ModelError> {
    rules
        .gates(target)
        .map(|(stage, name, gate)| {
            let case = Case { rules, candidate, evidence, stage, gate: name, target, at };
            let finding = waiver::apply(&case, find(gate, &case)?);
            let version = candidate.version;
            let verdict = Verdict {
                model: candidate.history.model().clone(),
                version: version.number,
                tree: version.tree,
                stage: stage.clone(),
                gate: name.clone(),
                // Plain keys and values: writing cannot fail.
                rule: serde_json::to_value(gate).unwrap_or_default(),
                verdict: finding.value,
                wanted: gate.wanted(),
                observed: finding.observed,
                reason: finding.reason,
                next: finding.next,
            };
            Ok(Judgement { verdict, evidence: finding.evidence, need: finding.need, phase: gate.phase() })
        })
        .collect()
}

fn find(gate: &GateSpec, case: &Case<'_>) -> Result<Finding, ModelError> {
    Ok(match gate {
        GateSpec::Metric(gate) => metric::find(gate, case),
        GateSpec::Compare(gate) => compare::find(gate, case)?,
        GateSpec::Slices(gate) => slices::find(gate, case),
        GateSpec::Code(_) => code::find(case),
        GateSpec::Reproduce(gate) => reproduce::find(gate, case),
        GateSpec::Budget(gate) => budget::find(gate, case),
        GateSpec::Expectations(data) => data::expectations(data, case),
        GateSpec::Leakage(data) => data::leakage(data, case),
        GateSpec::ModelCard(gate) => card::find(gate, case),
        GateSpec::Approvals(gate) => approvals::find(gate, case)?,
        GateSpec::Command(command) => command::find(command, case),
    })
}
