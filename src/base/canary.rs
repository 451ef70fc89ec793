//! Evidence from serving: a version that answered a share of the requests.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Body, Comparison, Digest, Id, Name, RecordKind, Time};

/// What became of a canary: a version that answered a share of the clients in place of the live one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Canary {
    /// The model.
    pub model: Name,
    /// The version that was tried.
    pub version: u64,
    /// Tree of its files.
    pub tree: Digest,
    /// The version that was live.
    pub live_version: u64,
    /// Tree of the live version's files.
    pub live: Digest,
    /// The trial that this record is a state of.
    pub session: Id,
    /// The share of clients that it was given, from 0 to 1.
    pub share: f64,
    /// When it began.
    pub started: Time,
    /// When this was written.
    pub ended: Time,
    /// Requests that it was asked.
    pub requests: u64,
    /// Requests of these that it failed to answer by its own fault.
    pub errors: u64,
    /// What the live version said to the same requests, asked after the answer.
    pub comparison: Comparison,
    /// The rule that ended it; absent if none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aborted: Option<Aborted>,
}

/// A rule that ended a canary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Aborted {
    /// `error_rate`, `p95_ratio` or `disagreement`.
    pub rule: String,
    /// The most that it allows.
    pub max: f64,
    /// What was found.
    pub observed: f64,
    /// When.
    pub time: Time,
}

impl Body for Canary {
    const KIND: RecordKind = RecordKind::Canary;
}
