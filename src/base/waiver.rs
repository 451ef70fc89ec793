//! A gate that somebody suspended for one version until a day.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Body, Digest, Name, RecordKind};

/// A signed waiver of one gate for one model version. The signature is in the envelope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SignedWaiver {
    /// The model.
    pub model: Name,
    /// The version.
    pub version: u64,
    /// Tree of the version's files: a waiver for other bytes is void.
    pub tree: Digest,
    /// The stage the gate belongs to.
    pub stage: Name,
    /// The gate.
    pub gate: Name,
    /// The last day it holds, in UTC: `2026-12-31`.
    pub until: String,
    /// Why.
    pub reason: String,
    /// The principal in `allowed_signers` that signed.
    pub principal: String,
}

impl Body for SignedWaiver {
    const KIND: RecordKind = RecordKind::Waiver;
}
