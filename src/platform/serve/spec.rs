//! `serve:` in `mlp.yaml`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::platform::monitor::LogSpec;

/// Limits of the prediction server.
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
}

impl Default for ServeSpec {
    fn default() -> Self {
        Self { max_body: 8 << 20, timeout_s: 30, log: None }
    }
}
