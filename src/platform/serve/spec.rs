//! `serve:` in `mlp.yaml`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::platform::monitor::LogSpec;

/// The prediction server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ServeSpec {
    /// Largest request body in bytes.
    pub max_body: usize,
    /// Seconds a request may take, from its first byte to its answer.
    pub timeout_s: u64,
    /// What is kept of answers; nothing where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<LogSpec>,
    /// How requests are computed together.
    pub batch: BatchSpec,
    /// Seconds between two looks at a ledger that does not live on this machine, when a stage is followed. What happens on
    /// this machine is seen at once.
    pub follow_s: u64,
    /// By how much numbers that two versions predict may differ and still agree, as a share of the larger one; classes agree
    /// if they are the same.
    pub tolerance: f64,
    /// Seconds between two records of a shadow or canary; one more is written at its end.
    pub record_s: u64,
    /// When a canary ends by itself.
    pub canary: CanarySpec,
}

impl Default for ServeSpec {
    fn default() -> Self {
        Self {
            max_body: 8 << 20,
            timeout_s: 30,
            log: None,
            batch: BatchSpec::default(),
            follow_s: 5,
            tolerance: 0.01,
            record_s: 600,
            canary: CanarySpec::default(),
        }
    }
}

/// How requests that wait are computed together. The answers are the same, bit for bit, as without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BatchSpec {
    /// Instances computed together at most; 1 for none.
    pub max: usize,
    /// Milliseconds that a request waits for others although a thread is free; 0 joins only what waits anyway.
    pub wait_ms: u64,
}

impl Default for BatchSpec {
    fn default() -> Self {
        Self { max: 64, wait_ms: 0 }
    }
}

/// When a canary is taken out of service by itself. It is never promoted by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CanarySpec {
    /// Requests of the canary before any rule counts.
    pub min_requests: usize,
    /// The last requests that rules look at.
    pub window: usize,
    /// The rules; any of them ends the canary.
    pub abort: Vec<AbortRule>,
}

impl Default for CanarySpec {
    fn default() -> Self {
        let abort =
            vec![AbortRule::ErrorRate(AtMost { max: 0.01 }), AbortRule::P95Ratio(AtMost { max: 2.0 })];
        Self { min_requests: 50, window: 1000, abort }
    }
}

/// A bound that a canary must keep.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum AbortRule {
    /// The share of its requests that the canary fails to answer by its own fault.
    ErrorRate(AtMost),
    /// The 95th percentile of its latency, divided by that of the live version.
    P95Ratio(AtMost),
    /// The share of instances on which it disagrees with the live version.
    Disagreement(AtMost),
}

/// An upper bound.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AtMost {
    /// At most.
    pub max: f64,
}

impl AbortRule {
    /// Its name as written.
    pub fn name(self) -> &'static str {
        match self {
            Self::ErrorRate(_) => "error_rate",
            Self::P95Ratio(_) => "p95_ratio",
            Self::Disagreement(_) => "disagreement",
        }
    }

    /// Its bound.
    pub fn max(self) -> f64 {
        match self {
            Self::ErrorRate(bound) | Self::P95Ratio(bound) | Self::Disagreement(bound) => bound.max,
        }
    }
}
