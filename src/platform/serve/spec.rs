//! `serve:` in `mlp.yaml`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Limits of the prediction server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ServeSpec {
    /// Largest request body in bytes.
    pub max_body: usize,
    /// Seconds a request may take, from its first byte to its answer.
    pub timeout_s: u64,
}

impl Default for ServeSpec {
    fn default() -> Self {
        Self { max_body: 8 << 20, timeout_s: 30 }
    }
}
