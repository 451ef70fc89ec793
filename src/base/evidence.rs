//! The bodies of all kinds of evidence records.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Body, Cause, Cost, Digest, Id, JobState, Name, RecordKind, Time, Usage};

/// A finished run: everything it depended on, by digest, and everything it made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Run {
    /// The run's identifier; a plan may have been run more than once.
    pub run: Id,
    /// The model or step that was run.
    pub name: Name,
    /// `model`, `fold` (a model on all folds of its data but one), `reproduction` (a model trained again), `evaluation` (a model judged on
    /// a host) or `step`.
    pub task: String,
    /// Digest of the plan: the cache key.
    pub plan: Digest,
    /// The sweep that it is a trial of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sweep: Option<Digest>,
    /// Code at submission.
    pub git: GitState,
    /// Ids of the input trees by dataset name or path.
    pub data: BTreeMap<String, Digest>,
    /// The resolved configuration (model and training settings, or the step's command and parameters).
    pub config: Value,
    /// How the dataset of a model was read: its settings as written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<Value>,
    /// The random seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// What it ran on: `cpu x86-64 avx512 2 threads`.
    pub device: String,
    /// Digest of the mlp executable.
    pub binary: Digest,
    /// Host name.
    pub host: String,
    /// How it ended.
    pub end: RunEnd,
    /// What it cost; absent where its host has no price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
    /// Last value of each metric by name.
    pub metrics: BTreeMap<String, f64>,
    /// Tree of the job's outputs, events and log; absent if nothing was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Digest>,
    /// Trees of declared outputs by name: `model` for a trained model, else the step's `out` paths.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, Digest>,
}

/// The code that a run, registration or judgement saw.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GitState {
    /// Commit id in hexadecimal; absent before the first commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Branch name, if on one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Digest of the uncommitted changes; absent if the work tree is clean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dirty: Option<Digest>,
}

/// How and when a run ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunEnd {
    /// Final state.
    pub state: JobState,
    /// Why it did not succeed; absent if it did, was cancelled, or ended before causes were told apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// Exit code of the worker, if it exited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// Signal that ended the worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// Reason, for people: the error message of a failed run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When the first attempt began.
    pub started: Time,
    /// When it ended.
    pub ended: Time,
    /// Seconds that its attempts took, without the time between them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// CPU seconds of the worker, user and system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_seconds: Option<f64>,
    /// Attempts, 1 if it was never resumed.
    pub attempts: u32,
    /// What it used; absent where nobody counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

impl RunEnd {
    /// Seconds that it took: of its attempts, where they were counted, else from its first start to its end.
    pub fn took(&self) -> f64 {
        self.seconds.unwrap_or_else(|| self.ended.seconds_since(self.started))
    }

    /// How it ended, in a word or two: the cause where there is one.
    pub fn words(&self) -> String {
        self.cause.map_or_else(|| self.state.to_string(), |cause| cause.to_string())
    }
}

impl Body for Run {
    const KIND: RecordKind = RecordKind::Run;
}

/// A measured value with a two-sided 95 % confidence interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Estimate {
    /// The value.
    pub value: f64,
    /// Lower end of the interval.
    pub lower: f64,
    /// Upper end of the interval.
    pub upper: f64,
}

/// Metrics of one group of examples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Slice {
    /// The column or property the slices are made by: `label`; `corruption` of all examples with their inputs corrupted.
    pub by: String,
    /// The group's value; of a corruption its name and severity, `gaussian_noise 3`.
    pub value: String,
    /// How many examples it holds.
    pub examples: u64,
    /// Metrics by name.
    pub metrics: BTreeMap<String, Estimate>,
}

impl Slice {
    /// `by` of slices that are all examples with corrupted inputs; their values are `gaussian_noise 3`.
    pub const CORRUPTION: &str = "corruption";
}

/// Counts of predictions: `counts[truth][predicted]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Confusion {
    /// Class names in order.
    pub labels: Vec<String>,
    /// Square matrix, rows are truth.
    pub counts: Vec<Vec<u64>>,
}

/// Metrics of one class against all others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PerClass {
    /// The class.
    pub label: String,
    /// How many examples are of it.
    pub support: u64,
    /// `precision`, `recall` and `f1`, as far as they are defined.
    pub metrics: BTreeMap<String, Estimate>,
}

/// One bin of a reliability curve: the answers whose confidence, the probability of the predicted class, is over `lower`
/// and up to `upper`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CalibrationBin {
    /// Lower end, not in the bin.
    pub lower: f64,
    /// Upper end, in the bin.
    pub upper: f64,
    /// How many answers are in it.
    pub examples: u64,
    /// Their mean confidence.
    pub confidence: f64,
    /// The share of them that is right.
    pub accuracy: Estimate,
}

/// Metrics of a model on one part of a dataset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Evaluation {
    /// Tree of the model's files.
    pub model: Digest,
    /// Dataset name.
    pub data: Name,
    /// Id of the dataset's tree.
    pub tree: Digest,
    /// Digest of the resolved dataset settings (format, split): the same part of the same tree.
    pub settings: Digest,
    /// `train`, `val` or `test`.
    pub part: String,
    /// How many examples.
    pub examples: u64,
    /// Metrics by name, as far as they are defined: `accuracy`, `macro_f1`, `auc`, …; `mae`, `rmse`, `r2`, ….
    pub metrics: BTreeMap<String, Estimate>,
    /// Metrics per slice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slices: Vec<Slice>,
    /// For classifiers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confusion: Option<Confusion>,
    /// For classifiers, each class in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub per_class: Vec<PerClass>,
    /// For classifiers, the reliability curve: the bins that hold answers, by rising confidence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calibration: Vec<CalibrationBin>,
    /// Blob with one line per example, in dataset order: see `platform::train::Prediction`.
    pub predictions: Digest,
}

impl Body for Evaluation {
    const KIND: RecordKind = RecordKind::Evaluation;
}

/// The result of one expectation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExpectationOutcome {
    /// The expectation as written: `rows: {min: 60000}`.
    pub expectation: String,
    /// Whether the data meet it.
    pub met: bool,
    /// What was found.
    pub observed: String,
}

/// What `expect:` found in a dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Expectations {
    /// Dataset name.
    pub data: Name,
    /// Id of the dataset's tree.
    pub tree: Digest,
    /// One outcome per expectation, in the order written.
    pub outcomes: Vec<ExpectationOutcome>,
}

impl Body for Expectations {
    const KIND: RecordKind = RecordKind::Expectations;
}

/// Examples that stand in more than one part of a dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Leakage {
    /// Dataset name.
    pub data: Name,
    /// Id of the dataset's tree.
    pub tree: Digest,
    /// Digest of the resolved dataset settings (format, split).
    pub settings: Digest,
    /// How many examples of `test` or `val` are byte for byte in `train`, or of `test` in `val`.
    pub overlap: u64,
    /// How many examples were compared.
    pub examples: u64,
    /// Some of the overlapping examples, for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<String>,
    /// Images that are nearly those of another part, where `guard: {near: …}` asks for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub near: Option<Near>,
}

/// Images that are nearly those of another part of a dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Near {
    /// In how many bits perceptual hashes could differ to be nearly the same.
    pub distance: u32,
    /// How many images of `test` or `val` are nearly one of `train`, or of `test` one of `val`, without being it.
    pub found: u64,
    /// Some of them, for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<String>,
}

impl Body for Leakage {
    const KIND: RecordKind = RecordKind::Leakage;
}

/// A signed approval of one model version for one stage. The signature is in the envelope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Approval {
    /// The model.
    pub model: Name,
    /// The version.
    pub version: u64,
    /// Tree of the version's files: an approval of other bytes is void.
    pub tree: Digest,
    /// The stage it is approved for.
    pub stage: Name,
    /// The principal in `allowed_signers` that signed.
    pub principal: String,
    /// Words of the approver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

impl Body for Approval {
    const KIND: RecordKind = RecordKind::Approval;
}

/// The three values of a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum VerdictValue {
    /// The gate is open.
    Pass,
    /// The gate is closed.
    Fail,
    /// Evidence is missing; never promotes.
    Unknown,
}

/// What one gate said about one model version: a pure function of gate, evidence and time of judgement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// The model.
    pub model: Name,
    /// The version.
    pub version: u64,
    /// Tree of the version's files.
    pub tree: Digest,
    /// The stage the gate belongs to.
    pub stage: Name,
    /// The gate's name.
    pub gate: Name,
    /// The resolved gate, as JSON.
    pub rule: Value,
    /// The verdict.
    pub verdict: VerdictValue,
    /// What the gate wants, for people: `accuracy on test (lower 95 % bound) at least 0.985`.
    pub wanted: String,
    /// What was found: `0.9897 (0.9875 to 0.9915, 10000 examples)`.
    pub observed: String,
    /// Why, if it needs a word: `nothing live`, `evidence is for other data`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The command that would make missing evidence or mend what failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl Body for Verdict {
    const KIND: RecordKind = RecordKind::Verdict;
}

/// Exit and output of a `command` gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CommandOutput {
    /// The model.
    pub model: Name,
    /// Tree of the version's files.
    pub tree: Digest,
    /// The command line.
    pub command: String,
    /// The code the command was run in.
    pub git: GitState,
    /// Exit code, or 128 plus the signal.
    pub code: i32,
    /// The last 4096 bytes of output.
    pub output: String,
}

impl Body for CommandOutput {
    const KIND: RecordKind = RecordKind::Command;
}

/// A model trained again from the record of its run, held against the files of then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Reproduction {
    /// Tree of the files that the run of then made.
    pub model: Digest,
    /// Record of the run of then.
    pub run: Digest,
    /// Record of the run that trained again.
    pub again: Digest,
    /// Whether both have the same weights, bit for bit.
    pub identical: bool,
    /// What the run depended on and was not the same again: `binary`, `device`, as `mlp runs diff` names it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub changed: BTreeMap<String, ThenNow<String>>,
    /// The metrics of both runs, without the speed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, ThenNow<f64>>,
}

/// The same thing in a run and in the one that trained again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ThenNow<T> {
    /// In the run of then.
    pub then: T,
    /// In the run that trained again.
    pub now: T,
}

impl Reproduction {
    /// The metric that moved most, and by how much.
    pub fn farthest(&self) -> Option<(&str, f64)> {
        let moved = self.metrics.iter().map(|(name, of)| (name.as_str(), (of.then - of.now).abs()));
        moved.max_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// Whether the weights are the same, or no metric moved by more than `tolerance`.
    pub fn holds(&self, tolerance: f64) -> bool {
        self.identical || tolerance > 0.0 && self.farthest().is_some_and(|(_, by)| by <= tolerance)
    }
}

impl Body for Reproduction {
    const KIND: RecordKind = RecordKind::Reproduction;
}
