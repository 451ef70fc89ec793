//! in-toto statements (<https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md>) about a model version.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::bundle::STATEMENT;
use super::files::ModelFile;
use crate::base::{Digest, Entry, Name, Record, Run, Verdict, VerdictValue};

/// SLSA provenance v1 (<https://slsa.dev/spec/v1.0/provenance>).
const PROVENANCE: &str = "https://slsa.dev/provenance/v1";
/// What its parameters mean: those of a run record.
const BUILD_TYPE: &str = "urn:mlp:run:1";
/// Results of tests (<https://github.com/in-toto/attestation/blob/main/spec/predicates/test-result.md>).
const TEST_RESULT: &str = "https://in-toto.io/attestation/test-result/v0.1";

fn subjects(files: &[ModelFile]) -> Vec<Value> {
    let subject = |file: &ModelFile| json!({"name": file.path, "digest": {"sha256": file.sha256, "blake3": file.id.hex()}});
    files.iter().map(subject).collect()
}

fn statement(files: &[ModelFile], predicate_type: &str, predicate: Value) -> Value {
    json!({
        "_type": STATEMENT,
        "subject": subjects(files),
        "predicateType": predicate_type,
        "predicate": predicate,
    })
}

/// Where `files` come from: the code, data, configuration and machine of the run in `record`, whose id is `id`.
///
/// The digests of datasets and of other trees are those of mlp's store, under `mlpTree`; those of records and programs are BLAKE3.
pub fn provenance(files: &[ModelFile], id: Digest, record: &Record<Run>) -> Value {
    let run = &record.body;
    let mut materials = Vec::new();
    if let Some(commit) = &run.git.commit {
        let mut code = json!({"name": "code", "digest": {"gitCommit": commit}});
        if let Some(dirty) = run.git.dirty {
            code["annotations"] = json!({"uncommittedChanges": {"blake3": dirty.hex()}});
        }
        materials.push(code);
    }
    for (name, tree) in &run.data {
        materials.push(json!({"name": name, "digest": {"mlpTree": tree.hex()}}));
    }
    let mut parameters = Map::new();
    parameters.insert("name".into(), json!(run.name));
    parameters.insert("task".into(), json!(run.task));
    parameters.insert("config".into(), run.config.clone());
    if let Some(dataset) = &run.dataset {
        parameters.insert("dataset".into(), dataset.clone());
    }
    if let Some(seed) = run.seed {
        parameters.insert("seed".into(), json!(seed));
    }
    let predicate = json!({
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": parameters,
            "internalParameters": {"plan": {"blake3": run.plan.hex()}, "device": run.device},
            "resolvedDependencies": materials,
        },
        "runDetails": {
            "builder": {
                "id": format!("urn:mlp:host:{}", run.host),
                "builderDependencies": [{"name": "mlp", "digest": {"blake3": run.binary.hex()}}],
            },
            "metadata": {
                "invocationId": run.run.to_string(),
                "startedOn": run.end.started.to_string(),
                "finishedOn": run.end.ended.to_string(),
            },
            "byproducts": [{"name": "run record", "digest": {"blake3": id.hex()}}],
        },
    });
    statement(files, PROVENANCE, predicate)
}

/// What the gates said when `promotion` put `files` into its stage, by the verdicts that it names.
pub fn verdicts(
    files: &[ModelFile],
    promotion: &Entry,
    records: &BTreeMap<Digest, Record<Verdict>>,
) -> Value {
    let gate = |record: &Record<Verdict>| format!("{}/{}", record.body.stage, record.body.gate);
    let named = |value: VerdictValue| -> Vec<String> {
        let open = promotion.evidence.iter().filter_map(|id| records.get(id));
        open.filter(|record| record.body.verdict == value).map(gate).collect()
    };
    let configuration = |id: &Digest| {
        let record = records.get(id)?;
        Some(
            json!({"name": gate(record), "digest": {"blake3": id.hex()}, "annotations": {"rule": record.body.rule}}),
        )
    };
    let values = promotion.evidence.iter().map(|id| records.get(id).map(|record| record.body.verdict));
    let result = if values.clone().flatten().any(|value| value != VerdictValue::Pass) {
        "FAILED"
    } else if promotion.evidence.is_empty() || values.clone().any(|value| value.is_none()) {
        // Nothing failed, and not everything can be seen to have passed.
        "WARNED"
    } else {
        "PASSED"
    };
    let stage: Option<&Name> = promotion.subject.stage.as_ref();
    let predicate = json!({
        "result": result,
        "configuration": promotion.evidence.iter().filter_map(configuration).collect::<Vec<_>>(),
        "passedTests": named(VerdictValue::Pass),
        "warnedTests": named(VerdictValue::Unknown),
        "failedTests": named(VerdictValue::Fail),
        "stage": stage,
        "ledgerEntry": {"number": promotion.seq, "blake3": promotion.digest().hex(), "time": promotion.time.to_string()},
    });
    statement(files, TEST_RESULT, predicate)
}
