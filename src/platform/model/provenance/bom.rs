//! A bill of materials of a model version: CycloneDX 1.6 (ECMA-424, <https://cyclonedx.org/docs/1.6/json/>), its machine-learning part.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::files::ModelFile;
use crate::base::{Digest, Evaluation, Name, Record, Run};
use crate::platform::model::Version;

/// The bill of `version` of `model`, whose run is `run`, with what `evaluations` of it measured.
pub fn bom(
    model: &Name,
    version: &Version,
    files: &[ModelFile],
    run: Option<&Record<Run>>,
    evaluations: &[(Digest, Record<Evaluation>)],
) -> Value {
    let reference = format!("{model}@{}", version.number);
    let data: BTreeMap<&str, Digest> = run
        .map(|record| record.body.data.iter().map(|(name, tree)| (name.as_str(), *tree)).collect())
        .unwrap_or_default();
    let datum = |name: &str| format!("data:{name}");
    let datasets: Vec<Value> = data.keys().map(|name| json!({"ref": datum(name)})).collect();
    let mut parameters = json!({"approach": {"type": "supervised"}});
    if !datasets.is_empty() {
        parameters["datasets"] = datasets.into();
    }
    let metrics: Vec<Value> = evaluations
        .iter()
        .flat_map(|(_, record)| {
            let slice = format!("{} of {}", record.body.part, record.body.data);
            record.body.metrics.iter().map(move |(name, estimate)| {
                json!({
                    "type": name,
                    "value": estimate.value.to_string(),
                    "slice": slice,
                    "confidenceInterval": {
                        "lowerBound": estimate.lower.to_string(),
                        "upperBound": estimate.upper.to_string(),
                    },
                })
            })
        })
        .collect();
    let mut properties = vec![json!({"name": "mlp:ledger-entry", "value": version.entry.to_string()})];
    if let Some(run) = version.run {
        properties.push(json!({"name": "mlp:run-record", "value": run.to_string()}));
    }
    if let Some(commit) = &version.commit {
        properties.push(json!({"name": "mlp:git-commit", "value": commit}));
    }
    let mut card = json!({"modelParameters": parameters});
    if !metrics.is_empty() {
        card["quantitativeAnalysis"] = json!({"performanceMetrics": metrics});
    }
    let mut components: Vec<Value> = files
        .iter()
        .map(|file| {
            json!({
                "type": "file",
                "bom-ref": format!("file:{}", file.path),
                "name": file.path,
                "hashes": [{"alg": "SHA-256", "content": file.sha256}, {"alg": "BLAKE3", "content": file.id.hex()}],
            })
        })
        .collect();
    components.extend(data.iter().map(|(name, tree)| {
        json!({
            "type": "data",
            "bom-ref": datum(name),
            "name": name,
            "version": tree.to_string(),
            "data": [{"type": "dataset", "name": name}],
        })
    }));
    let parts: Vec<Value> = components.iter().map(|component| component["bom-ref"].clone()).collect();
    json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": urn(version.entry),
        "version": 1,
        "metadata": {
            "timestamp": version.time.to_string(),
            "component": {
                "type": "machine-learning-model",
                "bom-ref": reference,
                "name": model,
                "version": version.number.to_string(),
                "modelCard": card,
                "properties": properties,
            },
        },
        "components": components,
        "dependencies": [{"ref": reference, "dependsOn": parts}],
    })
}

/// A UUID of version 8 (RFC 9562: one's own) from a digest, so that the same version has the same number anywhere.
fn urn(digest: Digest) -> String {
    let hex = digest.hex();
    format!("urn:uuid:{}-{}-8{}-8{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..32])
}
