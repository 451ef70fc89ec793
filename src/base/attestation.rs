//! The body of a signed statement about a model version that other tools verify.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Body, Digest, Name, RecordKind};

/// A signature over the files of one model version, as other tools take it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Attestation {
    /// The model.
    pub model: Name,
    /// The version.
    pub version: u64,
    /// Tree of the version's files.
    pub tree: Digest,
    /// What is stated: the type of the predicate, `https://model_signing/signature/v1.0`.
    pub predicate: String,
    /// A sigstore bundle (v0.3, JSON) with the statement in a DSSE envelope.
    pub bundle: Value,
}

impl Body for Attestation {
    const KIND: RecordKind = RecordKind::Attestation;
}
