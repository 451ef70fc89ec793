//! What monitoring says: the newest answers of a model held against what it was trained on.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Body, Digest, Estimate, Id, Latency, Name, RecordKind, Time};

/// A statistic and how likely one as large is where nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Tested {
    /// The statistic.
    pub value: f64,
    /// Its p-value.
    pub p: f64,
}

/// The newest answers of a model version, held against the sketches of its training and the limits of `monitor:`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Drift {
    /// The model.
    pub model: Name,
    /// The version.
    pub version: u64,
    /// Tree of the version's files.
    pub tree: Digest,
    /// The answers that were looked at.
    pub window: Window,
    /// The limits, as JSON.
    pub limits: serde_json::Value,
    /// The inputs' features, then those of the answers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<FeatureDrift>,
    /// Maximum mean discrepancy of the embeddings, where there are enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedding: Option<EmbeddingDrift>,
    /// By the labels that have come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<Quality>,
    /// From the request to the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// Limits that are broken, in words; empty where all is well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub breaches: Vec<String>,
    /// What cannot be said yet, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<String>,
}

/// The newest answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Window {
    /// How many.
    pub answers: u64,
    /// Time of the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<Time>,
    /// Time of the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Time>,
    /// Answers of that time that were not logged, because the disk was too slow or full.
    #[serde(default)]
    pub dropped: u64,
    /// Lines of the log that could not be read.
    #[serde(default)]
    pub damaged: u64,
    /// Blob with the lines of the window, one answer each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lines: Option<Digest>,
}

/// How far one feature has drifted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FeatureDrift {
    /// The feature: `brightness`, a column, `class`, `confidence`.
    pub name: String,
    /// Whether it is one of the answers, else of the inputs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub answer: bool,
    /// Population stability index.
    pub psi: Tested,
    /// Distance of Kolmogorov and Smirnov; of numbers alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ks: Option<Tested>,
    /// Cramér's V, with the p-value of the chi-square test.
    pub chi_square: Tested,
    /// Whether it has drifted by the limits.
    #[serde(default)]
    pub drifted: bool,
}

/// How far the embeddings have drifted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EmbeddingDrift {
    /// Points of the baseline.
    pub baseline: u64,
    /// Points of the window.
    pub window: u64,
    /// Squared maximum mean discrepancy, with the p-value of its permutation test.
    pub mmd: Tested,
    /// Whether they have drifted by the limits.
    #[serde(default)]
    pub drifted: bool,
}

/// How good the answers were, by labels that came later.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Quality {
    /// Answers that have a label.
    pub labelled: u64,
    /// Labels whose answer is not in the window.
    pub unmatched: u64,
    /// The metric.
    pub metric: String,
    /// Its value with the 95 % interval.
    pub estimate: Estimate,
}

impl Body for Drift {
    const KIND: RecordKind = RecordKind::Drift;
}

/// Part of the prediction log of a model: what one machine has answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Predictions {
    /// The model.
    pub model: Name,
    /// The machine.
    pub host: String,
    /// The log: a machine may have several, of several clones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Id>,
    /// Bytes of its files.
    #[serde(default)]
    pub bytes: u64,
    /// Tree of the log's files.
    pub log: Digest,
}

impl Body for Predictions {
    const KIND: RecordKind = RecordKind::Predictions;
}
