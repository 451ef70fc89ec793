//! One line about a record, for people.

use serde_json::Value;

use crate::base::{
    AnyRecord, Approval, Evaluation, Expectations, Leakage, RecordKind, Reproduction, Run, Verdict,
    VerdictValue,
};

/// What is to be known of `record`, in a line.
pub(in crate::platform::model) fn summary(record: &AnyRecord) -> String {
    let told = match record.kind {
        RecordKind::Run => read(record, run),
        RecordKind::Evaluation => read(record, evaluation),
        RecordKind::Expectations => read(record, |body: Expectations| {
            let met = body.outcomes.iter().filter(|outcome| outcome.met).count();
            format!("{}: {met} of {} expectations met", body.data, body.outcomes.len())
        }),
        RecordKind::Leakage => read(record, |body: Leakage| {
            format!("{}: {} of {} examples in two parts", body.data, body.overlap, body.examples)
        }),
        RecordKind::Approval => read(record, |body: Approval| {
            let words = body.comment.map(|words| format!(": {words}")).unwrap_or_default();
            format!("{}@{} for {} by {}{words}", body.model, body.version, body.stage, body.principal)
        }),
        RecordKind::Verdict => read(record, |body: Verdict| {
            let value = match body.verdict {
                VerdictValue::Pass => "pass",
                VerdictValue::Fail => "fail",
                VerdictValue::Unknown => "unknown",
            };
            let reason = body.reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
            format!("{} for {}: {value}, {}{reason}", body.gate, body.stage, body.observed)
        }),
        RecordKind::Reproduction => read(record, |body: Reproduction| {
            let outcome = if body.identical { "identical, bit for bit" } else { "other weights" };
            let changed: Vec<&str> = body.changed.keys().map(String::as_str).collect();
            match changed.as_slice() {
                [] => outcome.to_owned(),
                changed => format!("{outcome}, with another {}", changed.join(", another ")),
            }
        }),
        _ => None,
    };
    let told = told.unwrap_or_else(|| plain(&record.body));
    match (record.kind, record.time) {
        (RecordKind::Run, _) | (_, None) => told,
        (_, Some(time)) => format!("{told}, {time}"),
    }
}

fn read<B: serde::de::DeserializeOwned>(
    record: &AnyRecord,
    tell: impl FnOnce(B) -> String,
) -> Option<String> {
    serde_json::from_value(record.body.clone()).ok().map(tell)
}

fn run(body: Run) -> String {
    let seed = body.seed.map(|seed| format!(", seed {seed}")).unwrap_or_default();
    let what = if body.task == "model" { "training" } else { &body.task };
    let sweep = if body.sweep.is_some() { ", trial of a sweep" } else { "" };
    let place = format!("{} ({})", body.host, body.device);
    format!(
        "{} of {} {}, {}{seed}{sweep}, on {place}, {}",
        what,
        body.name,
        body.run,
        body.end.words(),
        body.end.ended
    )
}

/// Metrics of an evaluation that are told; its record has them all.
const METRICS: usize = 4;

fn evaluation(body: Evaluation) -> String {
    let metrics = body.metrics.iter().take(METRICS);
    let metrics =
        metrics.map(|(name, of)| format!("{name} {:.4} ({:.4} to {:.4})", of.value, of.lower, of.upper));
    let metrics: Vec<String> = metrics.collect();
    let more = match body.metrics.len().saturating_sub(METRICS) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{} {}, {} examples: {}{more}", body.data, body.part, body.examples, metrics.join(", "))
}

/// The plain values of a body whose kind has no words of its own.
fn plain(body: &Value) -> String {
    let Value::Object(fields) = body else { return String::new() };
    let value = |value: &Value| match value {
        Value::String(text) if !text.starts_with("b3:") => Some(text.chars().take(60).collect()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(yes) => Some(yes.to_string()),
        _ => None,
    };
    let told = fields.iter().filter_map(|(key, of)| Some(format!("{key} {}", value(of)?)));
    told.take(6).collect::<Vec<_>>().join(", ")
}
