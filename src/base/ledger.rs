//! The envelope of ledger entries: one append-only numbered sequence per model, each entry naming the digest of the one before.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Digest, Id, Name, Time};

/// What an entry does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// Makes the next version from a run.
    Register,
    /// States a signed approval.
    Approve,
    /// Puts a version into a stage.
    Promote,
    /// Puts the previous version of a stage back.
    Rollback,
    /// Suspends a gate until a date.
    Waive,
    /// Takes a version out of use.
    Retire,
    /// Notes that bytes of old versions were collected.
    Gc,
}

impl std::fmt::Display for EntryKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Register => "register",
            Self::Approve => "approve",
            Self::Promote => "promote",
            Self::Rollback => "rollback",
            Self::Waive => "waive",
            Self::Retire => "retire",
            Self::Gc => "gc",
        })
    }
}

/// What an entry is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Subject {
    /// The model.
    pub model: Name,
    /// The version, counted from 1.
    pub version: u64,
    /// The tree of the version's files.
    pub tree: Digest,
    /// The Record of the run that made it; on `register`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Digest>,
    /// The stage it enters or leaves; on `approve`, `promote` and `rollback`. On `waive` the stage of the gate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Name>,
    /// The git commit of the code that made it, on `register`; of the trust branch whose rules were judged by, on `promote`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Why, in the actor's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// One ledger entry. Its id is the BLAKE3 digest of the bytes that [`Entry::to_bytes`] gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Entry {
    /// `mlp/ledger/1`.
    pub schema: String,
    /// Position, counted from 1.
    pub seq: u64,
    /// Digest of entry `seq - 1`; absent on the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev: Option<Digest>,
    /// Identifies the operation, so that a writer whose answer was lost recognises its own entry.
    pub op: Id,
    /// When it was written: the `at` of every verdict in it.
    pub time: Time,
    /// Who wrote it: git's `Name <email>`, or the signer's principal where the entry is signed.
    pub actor: String,
    /// What it does.
    pub kind: EntryKind,
    /// What it is about.
    pub subject: Subject,
    /// Digests of the records (verdicts, evaluations, approvals) it rests on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Digest>,
    /// Armoured SSHSIG over the bytes without this key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
}

impl Entry {
    /// The version written into `schema`.
    pub const SCHEMA: &'static str = "mlp/ledger/1";

    /// The stored bytes: compact JSON.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Plain strings, numbers and lists: writing cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The entry's id.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.to_bytes())
    }

    /// The bytes that a signature covers: the entry without `signature`.
    pub fn signed_bytes(&self) -> Vec<u8> {
        Self { signature: None, ..self.clone() }.to_bytes()
    }
}
