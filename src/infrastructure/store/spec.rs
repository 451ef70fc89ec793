//! `stores:` in `mlp.yaml`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One remote store. Credentials never stand here: they come from `MLP_STORE_<NAME>_<KEY>`, the service's own
/// provider chain, or the personal configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StoreSpec {
    /// `s3://bucket/prefix`, `fs:///absolute/path`, `memory://name`.
    pub url: String,
    /// Endpoint of an S3-compatible service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Region of the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
}
