//! What differs between two runs.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use crate::base::Run;

/// One thing that differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// `config`, `input`, `code`, `metric`, …
    pub what: String,
    /// Which of them: `train.epochs`, a dataset, a metric.
    pub name: String,
    /// In the first run; absent if it is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<Value>,
    /// In the second run; absent if it is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub second: Option<Value>,
}

/// What differs between two runs: first what they depended on, then what came of it.
pub fn compare(first: &Run, second: &Run) -> Vec<Difference> {
    let (one, other) = (parts(first), parts(second));
    let keys: BTreeSet<&(u8, String, String)> = one.keys().chain(other.keys()).collect();
    keys.into_iter()
        .filter(|key| one.get(*key) != other.get(*key))
        .map(|key| Difference {
            what: key.1.clone(),
            name: key.2.clone(),
            first: one.get(key).cloned(),
            second: other.get(key).cloned(),
        })
        .collect()
}

fn parts(run: &Run) -> BTreeMap<(u8, String, String), Value> {
    let mut parts = BTreeMap::new();
    let mut put = |rank: u8, what: &str, name: &str, value: Value| {
        if !value.is_null() {
            parts.insert((rank, what.to_owned(), name.to_owned()), value);
        }
    };
    let mut leaves = BTreeMap::new();
    flatten("", &run.config["config"], &mut leaves);
    for (path, value) in leaves {
        put(0, "config", path.strip_prefix("model.").unwrap_or(&path), value);
    }
    put(1, "seed", "", run.seed.into());
    for (name, id) in &run.data {
        put(2, "input", name, id.to_string().into());
    }
    for (what, rank) in [("settings", 3), ("env", 4)] {
        for (name, value) in run.config[what].as_object().into_iter().flatten() {
            put(rank, what, name, value.clone());
        }
    }
    put(5, "code", "", run.config["code"].clone());
    put(6, "commit", "", run.git.commit.clone().into());
    put(6, "uncommitted", "", run.git.dirty.map(|dirty| dirty.to_string()).into());
    put(7, "device", "", run.device.clone().into());
    put(7, "binary", "", run.binary.to_string().into());
    put(8, "state", "", run.end.state.to_string().into());
    for (name, value) in &run.metrics {
        put(9, "metric", name, (*value).into());
    }
    for (name, id) in &run.outputs {
        put(10, "output", name, id.to_string().into());
    }
    parts
}

/// The leaves of a JSON value by dotted path.
fn flatten(path: &str, value: &Value, leaves: &mut BTreeMap<String, Value>) {
    let join = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| flatten(&join(key), value, leaves)),
        Value::Array(list) if list.iter().any(|value| value.is_object() || value.is_array()) => {
            list.iter().enumerate().for_each(|(at, value)| flatten(&join(&at.to_string()), value, leaves));
        }
        value => {
            leaves.insert(path.to_owned(), value.clone());
        }
    }
}

/// Which parts of a plan are not those of an earlier run: `input data/raw, code changed`.
pub fn changes(earlier: &Run, plan: &super::Plan) -> String {
    let old = &earlier.config;
    let new = serde_json::to_value(plan).unwrap_or_default();
    let mut changed: Vec<String> = Vec::new();
    for (what, key) in [("input", "inputs"), ("variable", "env"), ("settings of", "settings")] {
        let names = |value: &Value| -> BTreeMap<String, Value> {
            value[key].as_object().into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect()
        };
        let (before, after) = (names(old), names(&new));
        let all: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        changed.extend(
            all.iter()
                .filter(|name| before.get(**name) != after.get(**name))
                .map(|name| format!("{what} {name}")),
        );
    }
    for (what, key) in [("command", "run"), ("parameters", "params"), ("outputs", "out"), ("model", "model")]
    {
        if old["config"][key] != new["config"][key] {
            changed.push(what.to_owned());
        }
    }
    for what in ["code", "seed", "binary", "device"] {
        if old[what] != new[what] {
            changed.push(what.to_owned());
        }
    }
    match changed.is_empty() {
        true => "another version of mlp planned it".to_owned(),
        false => format!("{} changed", changed.join(", ")),
    }
}
