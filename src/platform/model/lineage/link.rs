//! The digests that a record names, and as what.

use serde_json::Value;

use crate::base::{AnyRecord, Digest, RecordKind};

/// A digest that a record names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    /// The keys that lead to it in the body: `data.mnist`, `outputs.model`, `tree`; `input` for one of the envelope alone.
    pub(super) role: String,
    /// The digest.
    pub(super) to: Digest,
}

/// All digests that `record` names: those of its body by their keys, then what the envelope has besides.
pub(super) fn links(record: &AnyRecord) -> Vec<Link> {
    let mut found = Vec::new();
    // A run's configuration is its plan, which names again what the record does.
    let skipped: &[&str] =
        if record.kind == RecordKind::Run { &["config", "dataset"] } else { &["rule", "config"] };
    if let Value::Object(body) = &record.body {
        for (key, value) in body.iter().filter(|(key, _)| !skipped.contains(&key.as_str())) {
            gather(key, value, &mut found);
        }
    }
    for input in &record.inputs {
        if found.iter().all(|link: &Link| link.to != *input) {
            found.push(Link { role: "input".to_owned(), to: *input });
        }
    }
    found
}

fn gather(role: &str, value: &Value, found: &mut Vec<Link>) {
    match value {
        Value::String(text) => {
            if let Ok(to) = text.parse() {
                found.push(Link { role: role.to_owned(), to });
            }
        }
        Value::Object(fields) => {
            fields.iter().for_each(|(key, value)| gather(&format!("{role}.{key}"), value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| gather(role, value, found)),
        _ => {}
    }
}

/// Whether a digest in this role came of the record, and is nothing it rests on.
pub(super) fn is_made(role: &str) -> bool {
    role == "output" || role.starts_with("outputs.") || role == "predictions"
}
