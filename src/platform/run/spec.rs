//! `steps:` in `mlp.yaml`.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::{Resources, Retry};

/// A parameter of a step, given to it in `$MLP_PARAMS` (a JSON file).
pub type Param = serde_json::Value;

/// Any program as a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepSpec {
    /// A command line for `sh -c`, run in the project's root.
    pub run: String,
    /// Files and folders it reads.
    #[serde(default, rename = "in", skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<String>,
    /// Files and folders it makes.
    #[serde(default, rename = "out", skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<String>,
    /// Parameters.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub params: IndexMap<String, Param>,
    /// Variables passed through from the caller's environment; their values belong to the cache key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// Names of secrets that it gets as environment variables. Their values are looked up where the command is typed, are written
    /// nowhere, are `***` in its log and events, and do not belong to the cache key: another value runs nothing again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// What it needs, and how much it may take.
    #[serde(default, skip_serializing_if = "Resources::is_default")]
    pub resources: Resources,
    /// When it is started again by itself.
    #[serde(default, skip_serializing_if = "Retry::is_default")]
    pub retry: Retry,
}
