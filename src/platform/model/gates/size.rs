//! `size: {max: …}`: bytes of the model.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Case, Finding};
use crate::base::Bytes;
use crate::platform::model::{ModelError, Need};

pub(super) const MEANING: &str = "All files of the version together have no more bytes than this.";

/// The model has no more bytes than this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Size {
    /// At most: `20MB`, `512KiB`.
    pub max: Bytes,
}

pub(super) fn wanted(gate: &Size) -> String {
    format!("a model of at most {}", gate.max)
}

pub(super) fn find(gate: &Size, case: &Case<'_>) -> Result<Finding, ModelError> {
    let tree = case.candidate.version.tree;
    let Some(bytes) = case.evidence.size(&tree)? else {
        return Ok(Finding::unknown("the files of the version are not here")
            .next(case.check())
            .needing(Need::Files { id: tree }));
    };
    Ok(Finding::decided(bytes <= gate.max.0, format!("{bytes} bytes"))
        .resting_on([tree])
        .next(super::another(case)))
}
