//! Records: immutable JSON statements about trees and other records, addressed by the digest of their bytes.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Digest, Time};

/// The version written into `schema`.
const SCHEMA: &str = "mlp/record/1";

/// The kinds of records; each has one body type in `evidence`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecordKind {
    /// A finished run of a model or step.
    Run,
    /// Metrics of a model on one part of a dataset.
    Evaluation,
    /// What `expect:` found in a dataset.
    Expectations,
    /// Overlap between the parts of a dataset.
    Leakage,
    /// A signed approval.
    Approval,
    /// What a gate said.
    Verdict,
    /// Exit and output of a `command` gate.
    Command,
    /// What came of training again.
    Reproduction,
    /// What a version said to the requests that the live one answered.
    Shadow,
    /// How a version did that answered a share of the requests.
    Canary,
    /// How long a prediction takes.
    Timing,
    /// What a server said to requests whose answers are known.
    Smoke,
    /// A rollback that was rehearsed.
    Drill,
    /// A signed waiver of a gate.
    Waiver,
    /// A signed statement that other tools verify.
    Attestation,
    /// What monitoring said of a version that answers.
    Drift,
    /// Part of a prediction log.
    Predictions,
}

impl std::fmt::Display for RecordKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Run => "run",
            Self::Evaluation => "evaluation",
            Self::Expectations => "expectations",
            Self::Leakage => "leakage",
            Self::Approval => "approval",
            Self::Verdict => "verdict",
            Self::Command => "command",
            Self::Reproduction => "reproduction",
            Self::Shadow => "shadow",
            Self::Canary => "canary",
            Self::Timing => "timing",
            Self::Smoke => "smoke",
            Self::Drill => "drill",
            Self::Waiver => "waiver",
            Self::Attestation => "attestation",
            Self::Drift => "drift",
            Self::Predictions => "predictions",
        })
    }
}

/// A body of a record.
pub trait Body: Serialize + DeserializeOwned {
    /// The kind written into the envelope.
    const KIND: RecordKind;
}

/// The envelope of every record. Its id is the BLAKE3 digest of the bytes that [`Record::to_bytes`] gives.
///
/// Readers ignore keys they do not know, so that a newer mlp may add some.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Record<B> {
    /// `mlp/record/1`.
    pub schema: String,
    /// What the body is.
    pub kind: RecordKind,
    /// When it was stated. Absent from verdicts, which are a pure function of their evidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
    /// Who stated it: `Name <email>` as git knows it. Absent from verdicts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// The trees and records that the statement rests on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<Digest>,
    /// The statement.
    pub body: B,
    /// SSH signature (armoured SSHSIG) over the record's bytes without this key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
}

/// A record whose body has not been interpreted yet.
pub type AnyRecord = Record<serde_json::Value>;

/// Bytes that are not the record they should be.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Not JSON of a record.
    #[error("not a record: {0}")]
    Malformed(String),
    /// A schema this version cannot read.
    #[error("record schema `{0}` is not known to this version of mlp")]
    Schema(String),
    /// Another kind than asked for.
    #[error("a record of kind `{found}` where `{wanted}` was expected")]
    Kind {
        /// What was asked for.
        wanted: RecordKind,
        /// What the envelope says.
        found: RecordKind,
    },
}

impl<B: Body> Record<B> {
    /// A record of now by `author`, about `inputs`.
    pub fn new(author: impl Into<String>, inputs: Vec<Digest>, body: B) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            kind: B::KIND,
            time: Some(Time::now()),
            author: Some(author.into()),
            inputs,
            body,
            signature: None,
        }
    }

    /// A record without time and author: the same bytes wherever and whenever it is made.
    pub fn timeless(inputs: Vec<Digest>, body: B) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            kind: B::KIND,
            time: None,
            author: None,
            inputs,
            body,
            signature: None,
        }
    }

    /// Reads a record of this kind from its bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        let any = AnyRecord::parse(bytes)?;
        if any.kind != B::KIND {
            return Err(RecordError::Kind { wanted: B::KIND, found: any.kind });
        }
        serde_json::from_slice(bytes).map_err(|error| RecordError::Malformed(error.to_string()))
    }
}

impl AnyRecord {
    /// Reads a record of any kind from its bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, RecordError> {
        let any: Self =
            serde_json::from_slice(bytes).map_err(|error| RecordError::Malformed(error.to_string()))?;
        if any.schema != SCHEMA {
            return Err(RecordError::Schema(any.schema));
        }
        Ok(any)
    }
}

impl<B: Serialize> Record<B> {
    /// The bytes that are stored and whose digest is the record's id: compact JSON, keys in the order of the types.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Bodies hold maps with string keys and plain values only, so that writing cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The record's id.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.to_bytes())
    }

    /// The bytes that a signature covers: the record without `signature`.
    pub fn signed_bytes(&self) -> Vec<u8>
    where
        B: Clone,
    {
        Self { signature: None, ..self.clone() }.to_bytes()
    }
}
