//! What a server said to requests whose answers are known.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Body, Digest, Latency, RecordKind};

/// A real server of a model was started and asked what a golden file asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Smoke {
    /// Tree of the model's files.
    pub model: Digest,
    /// Digest of the golden file.
    pub golden: Digest,
    /// How many requests it has.
    pub requests: u64,
    /// How many were answered with another class, another shape, or an error.
    pub wrong: u64,
    /// The first of these, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_wrong: Option<String>,
    /// The largest distance of a number in an answer to the expected one, over the other answers.
    pub max_abs_diff: f64,
    /// Quantiles of the seconds from sending a request to having its answer, over loopback.
    pub latency: Latency,
    /// What it ran on: `cpu x86-64 avx512 2 threads`.
    pub device: String,
    /// Host name.
    pub host: String,
}

impl Body for Smoke {
    const KIND: RecordKind = RecordKind::Smoke;
}
