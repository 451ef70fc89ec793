//! `stages:`, `trust:` and `waivers:` in `mlp.yaml`.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::gates::{
    AttestationState, Calibration, Charter, DataCard, Groups, InputState, LatencyGate, LicenceState,
    RollbackDrill, SeedGate, ServeGate, ShadowGate, Size,
};
use crate::base::Name;

/// One stage; stages are in the order written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StageSpec {
    /// Gates by name, besides those of the profile; one of the same name replaces the profile's.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub gates: IndexMap<Name, GateSpec>,
    /// How many past versions of this stage keep their bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep: Option<u32>,
}

/// One gate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum GateSpec {
    /// A metric has a bound.
    Metric(MetricGate),
    /// Not worse, or better, than what is live.
    Compare(Compare),
    /// A metric has a bound on every slice.
    Slices(SliceGate),
    /// The code that trained the model is committed.
    Code(CodeState),
    /// Training again gives the same model.
    Reproduce(Reproduce),
    /// The run that trained the model used no more than this.
    Budget(Budget),
    /// The dataset meets its `expect:`.
    Expectations(Name),
    /// The dataset's parts do not overlap more than its `guard:` allows.
    Leakage(Name),
    /// The model card is complete.
    ModelCard(ModelCard),
    /// People have signed.
    Approvals(Approvals),
    /// A command exits with 0.
    Command(String),
    /// Everything the run read is a known version.
    Inputs(InputState),
    /// The run names its seed, and other seeds come to much the same.
    Seed(SeedGate),
    /// Probabilities mean what they say.
    Calibration(Calibration),
    /// No group of examples is served much worse than another.
    Groups(Groups),
    /// The model has no more bytes than this.
    Size(Size),
    /// The card of the model's data is complete.
    DataCard(DataCard),
    /// The charter is complete, and its criteria are gates.
    Charter(Charter),
    /// The licences of the data allow that of the model.
    Licence(LicenceState),
    /// How long one prediction takes.
    Latency(LatencyGate),
    /// A real server gives the answers of a golden file.
    Serve(ServeGate),
    /// Going back from this version was rehearsed.
    RollbackDrill(RollbackDrill),
    /// The version answered what the live one was asked.
    Shadow(ShadowGate),
    /// A signer has signed the files as other tools verify it.
    Attestation(AttestationState),
}

/// A metric has a bound. At least one of `min` and `max`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MetricGate {
    /// The metric.
    pub name: String,
    /// The part of the data.
    #[serde(default = "test_part")]
    pub on: String,
    /// At least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// At most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// What is held against the bound.
    #[serde(default)]
    pub bound: Bound,
}

fn test_part() -> String {
    "test".to_owned()
}

/// What is held against a bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Bound {
    /// The measured value.
    #[default]
    #[serde(rename = "value")]
    Value,
    /// The lower end of the 95 % interval.
    #[serde(rename = "lower-95")]
    Lower95,
    /// The upper end of the 95 % interval.
    #[serde(rename = "upper-95")]
    Upper95,
}

/// Not worse than what is live in another stage, by a paired test on the same examples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Compare {
    /// The stage whose live version is compared with.
    pub to: Name,
    /// The metric.
    pub metric: String,
    /// The test.
    #[serde(default)]
    pub test: Test,
    /// Level of significance.
    #[serde(default = "alpha")]
    pub alpha: f64,
    /// What is asked.
    #[serde(default)]
    pub require: AtLeast,
}

fn alpha() -> f64 {
    0.05
}

/// A paired test.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Test {
    /// McNemar's exact test (binomial on the discordant pairs; McNemar, 1947).
    #[default]
    Mcnemar,
    /// The paired bootstrap of the stored predictions, for any metric (percentile interval; Efron and Tibshirani, 1993).
    Bootstrap,
}

/// What a comparison asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AtLeast {
    /// Not significantly worse.
    #[default]
    NotWorse,
    /// Significantly better.
    Better,
}

/// A metric has a bound on every slice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SliceGate {
    /// The metric.
    pub metric: String,
    /// The part of the data.
    #[serde(default = "test_part")]
    pub on: String,
    /// Which slices, where there are others: `label`, a column, or `corruption` for those that `evaluate: {corruptions: …}`
    /// makes; all but those if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// At least, on each slice.
    pub min: f64,
}

/// State of the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CodeState {
    /// The run began with a clean work tree.
    Committed,
}

/// Training again gives the same model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Reproduce {
    /// By how much metrics may differ where the weights do; 0 asks for the same weights, bit for bit.
    pub tolerance: f64,
}

/// What a run may have used at most. At least one bound.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Budget {
    /// Hours with GPUs, times their number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_hours: Option<f64>,
    /// Hours with machines, times their number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hours: Option<f64>,
    /// What it cost by the price of its host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
    /// The currency of `cost`; any if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// kWh, where its host measures them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kwh: Option<f64>,
}

/// The model card is complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelCard {
    /// Sections that must be there and not empty: `intended_use` is the heading `Intended use`.
    #[serde(default)]
    pub fields: Vec<String>,
    /// Whether placeholders (`TODO`, `TBD`, `<…>`) may stay.
    #[serde(default)]
    pub placeholders: Placeholders,
}

/// Whether placeholders may stay in a card.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Placeholders {
    /// They may not.
    #[default]
    Forbid,
    /// They may.
    Allow,
}

/// People have signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Approvals {
    /// The role the approvers must have.
    pub role: Name,
    /// How many of them.
    #[serde(default = "one")]
    pub count: u32,
    /// Another group that must sign too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub also: Option<Box<Approvals>>,
}

fn one() -> u32 {
    1
}

/// Where trust comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TrustSpec {
    /// The `allowed_signers` file (see ssh-keygen(1)).
    pub signers: String,
    /// The branch gates, roles and signers are read from.
    pub branch: String,
    /// Who may approve.
    pub separation: Separation,
}

impl Default for TrustSpec {
    fn default() -> Self {
        Self {
            signers: ".mlp/allowed_signers".to_owned(),
            branch: "main".to_owned(),
            separation: Separation::AuthorNotApprover,
        }
    }
}

/// Who may approve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Separation {
    /// Whoever trained the model does not approve it.
    #[default]
    AuthorNotApprover,
    /// Anybody with the role.
    None,
}

/// Suspends a gate until a date.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Waiver {
    /// The gate.
    pub gate: Name,
    /// The stage the gate belongs to.
    pub stage: Name,
    /// Why.
    pub reason: String,
    /// The principal who answers for it.
    pub signer: String,
    /// The last day it holds: `2026-12-31`.
    pub until: String,
}
