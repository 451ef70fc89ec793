//! JSON Schemas, generated from the types.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;

use super::Manifest;
use crate::base::{
    Approval, Attestation, Canary, CommandOutput, Drift, Drill, Evaluation, Event, Expectations, Leakage,
    Predictions, Record, Reproduction, Run, Shadow, SignedWaiver, Smoke, Timing, Verdict,
};

/// What a schema describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `mlp.yaml`.
    Manifest,
    /// Records.
    Record,
    /// Lines of event streams.
    Event,
}

/// A record of any kind; only its schema is used.
#[derive(JsonSchema, Serialize)]
#[serde(untagged)]
#[allow(dead_code, clippy::large_enum_variant)]
enum AnyKind {
    Run(Record<Run>),
    Evaluation(Record<Evaluation>),
    Expectations(Record<Expectations>),
    Leakage(Record<Leakage>),
    Approval(Record<Approval>),
    Attestation(Record<Attestation>),
    Verdict(Record<Verdict>),
    Command(Record<CommandOutput>),
    Shadow(Record<Shadow>),
    Canary(Record<Canary>),
    Reproduction(Record<Reproduction>),
    Timing(Record<Timing>),
    Smoke(Record<Smoke>),
    Drill(Record<Drill>),
    Waiver(Record<SignedWaiver>),
    Drift(Box<Record<Drift>>),
    Predictions(Record<Predictions>),
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Manifest, Self::Record, Self::Event];

    /// `manifest`, `record`, `event`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::Record => "record",
            Self::Event => "event",
        }
    }
}

/// The schema as indented JSON (draft 2020-12) with a line end.
pub fn text(kind: Kind) -> String {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = match kind {
        Kind::Manifest => generator.into_root_schema_for::<Manifest>(),
        Kind::Record => generator.into_root_schema_for::<AnyKind>(),
        Kind::Event => generator.into_root_schema_for::<Event>(),
    };
    let title = match kind {
        Kind::Manifest => "mlp.yaml, version 1",
        Kind::Record => "A record of mlp, version 1",
        Kind::Event => "One line of an event stream of mlp",
    };
    schema.insert("title".to_owned(), title.into());
    // A schema is a JSON value: writing it cannot fail.
    serde_json::to_string_pretty(&schema).unwrap_or_default() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_name_every_key_of_the_manifest() {
        let schema: serde_json::Value = serde_json::from_str(&text(Kind::Manifest)).expect("is JSON");
        for key in ["mlp", "project", "data", "models", "steps", "stages", "waivers"] {
            assert!(schema["properties"][key].is_object(), "{key}");
        }
        assert_eq!(schema["additionalProperties"], false);
    }

    #[test]
    fn schemas_of_records_hold_all_kinds() {
        let schema: serde_json::Value = serde_json::from_str(&text(Kind::Record)).expect("is JSON");
        assert_eq!(schema["anyOf"].as_array().map(Vec::len), Some(17));
    }
}
