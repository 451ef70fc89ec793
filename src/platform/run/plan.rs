//! What a run depends on, by digest: the plan, whose own digest is the cache key.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::{Digest, Name};

/// Everything a run depends on. The number of threads is not among it: it does not change a result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// `mlp/plan/1`.
    pub schema: String,
    /// The model or step.
    pub name: Name,
    /// `model`, `fold` (a model on all folds of its data but one), `reproduction` (a model trained again), `evaluation` (a model judged on
    /// a host) or `step`.
    pub task: String,
    /// The resolved model and the fold, or the step's command, parameters and output paths.
    pub config: Value,
    /// Ids of the inputs by dataset name or path.
    pub inputs: BTreeMap<String, Digest>,
    /// Digests of what decides how inputs are read: the settings of datasets, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, Digest>,
    /// Digests of the values of declared environment variables, by name; a variable that is not set is absent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, Digest>,
    /// Digest of the project's code (steps only: what a model does is in `config` and `binary`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Digest>,
    /// The random seed (models only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Digest of the mlp executable (models only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binary: Option<Digest>,
    /// What it runs on (models only): instruction sets differ in rounding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
}

impl Plan {
    /// The version written into `schema`.
    pub const SCHEMA: &str = "mlp/plan/1";

    /// The cache key: equal for equal plans, whatever the order of keys in `mlp.yaml`.
    pub fn digest(&self) -> Digest {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        value.sort_all_objects();
        Digest::derive("mlp plan 1", value.to_string().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn plan(config: Value) -> Plan {
        Plan {
            schema: "mlp/plan/1".into(),
            name: "digits".parse().expect("a name"),
            task: "model".into(),
            config,
            inputs: BTreeMap::from([("mnist".to_owned(), Digest::of(b"tree"))]),
            settings: BTreeMap::new(),
            env: BTreeMap::new(),
            code: None,
            seed: Some(1),
            binary: None,
            device: None,
        }
    }

    #[test]
    fn the_order_of_keys_does_not_change_the_digest() {
        let one = plan(json!({"a": 1, "b": {"c": 2, "d": 3}}));
        let other = plan(json!({"b": {"d": 3, "c": 2}, "a": 1}));
        assert_eq!(one.digest(), other.digest());
    }

    #[test]
    fn every_part_changes_the_digest() {
        let base = plan(json!({"a": 1}));
        let changes: Vec<Plan> = vec![
            Plan { config: json!({"a": 2}), ..base.clone() },
            Plan { seed: Some(2), ..base.clone() },
            Plan { seed: None, ..base.clone() },
            Plan { binary: Some(Digest::of(b"x")), ..base.clone() },
            Plan { code: Some(Digest::of(b"x")), ..base.clone() },
            Plan { device: Some("cpu".into()), ..base.clone() },
            Plan { task: "step".into(), ..base.clone() },
            Plan { inputs: BTreeMap::new(), ..base.clone() },
            Plan { env: BTreeMap::from([("A".to_owned(), Digest::of(b"1"))]), ..base.clone() },
            Plan { settings: BTreeMap::from([("mnist".to_owned(), Digest::of(b"1"))]), ..base.clone() },
        ];
        let mut digests: Vec<Digest> = changes.iter().map(Plan::digest).collect();
        digests.push(base.digest());
        digests.sort();
        digests.dedup();
        assert_eq!(digests.len(), changes.len() + 1);
    }

    #[test]
    fn the_digest_is_the_same_in_every_version() {
        assert_eq!(plan(json!({"a": 1})).digest().short(), "ed40a0b68eb2");
    }
}
