//! `monitor:` and `serve: {log: …}` in `mlp.yaml`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::Bytes;

/// When a model that answers is no longer what was trained. Nothing is ever promoted or rolled back by it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MonitorSpec {
    /// Inputs and answers against those of the training.
    pub drift: DriftSpec,
    /// Answers against the labels that come later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quality: Option<QualitySpec>,
    /// Time that answers take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<LatencySpec>,
    /// Who is told of a breach.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alert: Option<AlertSpec>,
}

/// When inputs or answers have drifted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DriftSpec {
    /// The statistic that judges. All are shown.
    pub test: DriftTest,
    /// Its largest value: by default 0.2 for `psi`, 0.1 for `ks` and `chi_square`, 0.01 for `mmd`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// The newest answers that are looked at.
    pub window: usize,
    /// A value over `max` counts only if it is less likely than this without a drift: so few answers are no alarm. The features share
    /// it between them.
    pub alpha: f64,
}

impl Default for DriftSpec {
    fn default() -> Self {
        Self { test: DriftTest::Psi, max: None, window: 1000, alpha: 0.01 }
    }
}

impl DriftSpec {
    /// The largest value of the statistic.
    pub fn bound(&self) -> f64 {
        self.max.unwrap_or(self.test.bound())
    }
}

/// The statistic that judges drift. Embeddings are always judged by `mmd`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DriftTest {
    /// Population stability index of each feature.
    #[default]
    Psi,
    /// Distance of Kolmogorov and Smirnov of numbers; categories by `chi_square`.
    Ks,
    /// Cramér's V of each feature, with the chi-square test.
    ChiSquare,
    /// Maximum mean discrepancy of the embeddings alone; features are shown and not judged.
    Mmd,
}

impl DriftTest {
    /// The largest value that is no drift where `max` says nothing.
    pub fn bound(self) -> f64 {
        match self {
            Self::Psi => 0.2,
            Self::Ks | Self::ChiSquare => 0.1,
            Self::Mmd => 0.01,
        }
    }
}

/// How good answers must be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QualitySpec {
    /// A metric of `mlp eval`: `accuracy`, `macro_f1`, `rmse`.
    pub metric: String,
    /// Its smallest value. It is broken when the whole 95 % interval is below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// Its largest value, for metrics of which less is better.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
}

/// How long answers may take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LatencySpec {
    /// Largest 95th percentile, in milliseconds.
    pub p95_ms: f64,
}

/// Who is told of a breach.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AlertSpec {
    /// Name of the secret that holds the URL; it is sent what `--json` shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<String>,
    /// A command line for `sh -c`; its standard input is what `--json` shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

/// What a server keeps of its answers, for `mlp monitor`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogSpec {
    /// Share of the requests that is kept.
    pub sample: f64,
    /// Whether inputs are kept whole; else their features and an embedding.
    pub inputs: bool,
    /// Size of a file at which the next one is begun; 64 KiB at least.
    pub rotate: Bytes,
    /// Size of all files of a model; beyond it the oldest go.
    pub keep: Bytes,
}

impl Default for LogSpec {
    fn default() -> Self {
        Self { sample: 1.0, inputs: false, rotate: Bytes(16 << 20), keep: Bytes(1 << 30) }
    }
}
