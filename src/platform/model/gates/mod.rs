//! Gates: one closed enum, one file per kind, one question: pass, fail or unknown.
//!
//! A verdict is a pure function of gate, rules, evidence and time of judgement. Unknown means that evidence is missing; it
//! never promotes, and names the command that would make it.

mod approvals;
mod attestation;
mod budget;
mod calibration;
mod card;
mod charter;
mod code;
mod command;
mod compare;
mod data;
mod data_card;
mod groups;
mod inputs;
mod latency;
mod licence;
mod metric;
mod reproduce;
mod rollback_drill;
mod seed;
mod serve;
mod shadow;
mod size;
mod slices;
mod waiver;

#[cfg(test)]
mod tests;

pub(super) use approvals::does_not_verify;
pub use attestation::AttestationState;
pub use calibration::Calibration;
pub use charter::Charter;
pub use data_card::DataCard;
pub use groups::Groups;
pub use inputs::InputState;
pub use latency::LatencyGate;
pub use licence::LicenceState;
pub use rollback_drill::RollbackDrill;
pub use seed::SeedGate;
pub use serve::{Expected, GoldenLine, ServeGate, golden};
pub use shadow::ShadowGate;
pub use size::Size;
pub(super) use waiver::{is_waived, standing_waiver};

use serde::Serialize;

use super::{Absent, Candidate, Evidence, GateSpec, ModelError, Need, Rules};
use crate::base::{Digest, Name, Record, Time, Verdict, VerdictValue};

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
            Self::Charter(_) | Self::DataCard(_) | Self::Expectations(_) => Phase::Understand,
            Self::Leakage(_) => Phase::Prepare,
            Self::Inputs(_) | Self::Code(_) | Self::Seed(_) | Self::Reproduce(_) | Self::Budget(_) => {
                Phase::Model
            }
            Self::Metric(_) | Self::Compare(_) | Self::Slices(_) => Phase::Evaluate,
            Self::Groups(_) | Self::Calibration(_) | Self::Size(_) | Self::Latency(_) => Phase::Evaluate,
            Self::Licence(_) | Self::Serve(_) | Self::RollbackDrill(_) | Self::Shadow(_) => Phase::Deploy,
            Self::ModelCard(_) | Self::Approvals(_) | Self::Attestation(_) | Self::Command(_) => {
                Phase::Deploy
            }
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
            Self::Inputs(_) => "inputs",
            Self::Seed(_) => "seed",
            Self::Calibration(_) => "calibration",
            Self::Groups(_) => "groups",
            Self::Size(_) => "size",
            Self::DataCard(_) => "data_card",
            Self::Charter(_) => "charter",
            Self::Licence(_) => "licence",
            Self::Latency(_) => "latency",
            Self::Serve(_) => "serve",
            Self::RollbackDrill(_) => "rollback_drill",
            Self::Shadow(_) => "shadow",
            Self::Attestation(_) => "attestation",
        }
    }

    /// Whether it holds a measured property of the model against a bound: what a criterion of success can be.
    pub fn measures(&self) -> bool {
        matches!(
            self,
            Self::Metric(_)
                | Self::Compare(_)
                | Self::Slices(_)
                | Self::Groups(_)
                | Self::Calibration(_)
                | Self::Size(_)
                | Self::Latency(_)
        )
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
            Self::Inputs(_) => inputs::WANTED.to_owned(),
            Self::Seed(gate) => seed::wanted(gate),
            Self::Calibration(gate) => calibration::wanted(gate),
            Self::Groups(gate) => groups::wanted(gate),
            Self::Size(gate) => size::wanted(gate),
            Self::DataCard(gate) => data_card::wanted(gate),
            Self::Charter(gate) => charter::wanted(gate),
            Self::Licence(_) => licence::WANTED.to_owned(),
            Self::Latency(gate) => latency::wanted(gate),
            Self::Serve(gate) => serve::wanted(gate),
            Self::RollbackDrill(gate) => rollback_drill::wanted(gate),
            Self::Shadow(gate) => shadow::wanted(gate),
            Self::Attestation(_) => attestation::WANTED.to_owned(),
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
            Self::Inputs(_) => inputs::MEANING,
            Self::Seed(_) => seed::MEANING,
            Self::Calibration(_) => calibration::MEANING,
            Self::Groups(_) => groups::MEANING,
            Self::Size(_) => size::MEANING,
            Self::DataCard(_) => data_card::MEANING,
            Self::Charter(_) => charter::MEANING,
            Self::Licence(_) => licence::MEANING,
            Self::Latency(_) => latency::MEANING,
            Self::Serve(_) => serve::MEANING,
            Self::RollbackDrill(_) => rollback_drill::MEANING,
            Self::Shadow(_) => shadow::MEANING,
            Self::Attestation(_) => attestation::MEANING,
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
    /// The record of the verdict. It has neither time nor author: the same bytes wherever it is made.
    pub fn record(&self) -> Record<Verdict> {
        Record::timeless(self.evidence.clone(), self.verdict.clone())
    }

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

    /// What was not here decides nothing.
    fn absent(absent: Absent, case: &Case<'_>) -> Self {
        Self::unknown(absent.what).resting_on(case.candidate.run.iter().map(|(id, _)| *id)).next(absent.next)
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

/// The commands that make a next version of the candidate's model, which is another one only if something was changed.
fn another(case: &Case<'_>) -> String {
    format!("{}  # after a change of its settings, code or data", trained(case, ""))
}

/// The same with an option for the training: `--force ` where the plan is the same, and done, so that it would be offered again.
fn trained(case: &Case<'_>, option: &str) -> String {
    let model = case.candidate.history.model();
    let is_step = case.candidate.run.as_ref().is_some_and(|(_, run)| run.body.task == "step");
    let make = if is_step { "run" } else { "train" };
    format!("mlp {make} {option}{model} && mlp model register {model}")
}

/// Nothing is known of how the version was made.
fn no_run() -> Finding {
    let Absent { what, next } = Absent::run();
    Finding::unknown(what).next(next)
}

/// Judges every gate that a promotion of `candidate` to `target` must pass, in order.
pub fn judge(
    rules: &Rules,
    candidate: &Candidate<'_>,
    evidence: &Evidence<'_>,
    target: &Name,
    at: Time,
) -> Result<Vec<Judgement>, ModelError> {
    let gates = rules.gates(target);
    gates
        .map(|(stage, name, gate)| judge_one(rules, candidate, evidence, (stage, name, gate), target, at))
        .collect()
}

/// Judges one gate, given as its stage, name and rule.
pub fn judge_one(
    rules: &Rules,
    candidate: &Candidate<'_>,
    evidence: &Evidence<'_>,
    (stage, name, gate): (&Name, &Name, &GateSpec),
    target: &Name,
    at: Time,
) -> Result<Judgement, ModelError> {
    let case = Case { rules, candidate, evidence, stage, gate: name, target, at };
    let finding = waiver::apply(&case, find(gate, &case)?)?;
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
        GateSpec::Inputs(_) => inputs::find(case)?,
        GateSpec::Seed(gate) => seed::find(gate, case)?,
        GateSpec::Calibration(gate) => calibration::find(gate, case),
        GateSpec::Groups(gate) => groups::find(gate, case),
        GateSpec::Size(gate) => size::find(gate, case)?,
        GateSpec::DataCard(gate) => data_card::find(gate, case),
        GateSpec::Charter(gate) => charter::find(gate, case),
        GateSpec::Licence(_) => licence::find(case),
        GateSpec::Latency(gate) => latency::find(gate, case),
        GateSpec::Serve(gate) => serve::find(gate, case),
        GateSpec::RollbackDrill(gate) => rollback_drill::find(gate, case),
        GateSpec::Shadow(gate) => shadow::find(gate, case),
        GateSpec::Attestation(_) => attestation::find(case)?,
    })
}
