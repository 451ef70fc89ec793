//! A rollback that was rehearsed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Body, Digest, Name, RecordKind};

/// A rollback was rehearsed with real servers: one version answered, then the one that a rollback puts back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Drill {
    /// The model.
    pub model: Name,
    /// The stage that was rehearsed for.
    pub stage: Name,
    /// Tree of the version that would be rolled back.
    pub from: Digest,
    /// Tree of the version that a rollback puts back.
    pub to: Digest,
    /// Seconds from the decision to the first answer of the version that was put back, its files verified.
    pub seconds: f64,
    /// Host name.
    pub host: String,
}

impl Body for Drill {
    const KIND: RecordKind = RecordKind::Drill;
}
