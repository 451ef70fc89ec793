//! `slices`: a metric has a bound on every slice.

use super::metric::{again, evaluated, evaluation, no_metric};
use super::{Case, Finding};
use crate::base::{Digest, Evaluation, Record, Slice};
use crate::platform::model::SliceGate;

pub(super) const MEANING: &str = "As `metric`, but on every slice that `evaluate: {slices: …}` of the model makes: the \
     worst one decides. With `by: corruption` they are all examples with their inputs corrupted, once per corruption and severity.";

pub(super) fn wanted(gate: &SliceGate) -> String {
    let by = gate.by.as_ref().map_or_else(String::new, |by| format!(" by {by}"));
    format!("{} on every slice{by} of {} at least {}", gate.metric, gate.on, gate.min)
}

pub(super) fn find(gate: &SliceGate, case: &Case<'_>) -> Finding {
    let version = case.candidate.version;
    let (id, record) = match evaluation(case, version.tree, version.number, &gate.on) {
        Ok(found) => found,
        Err(missing) => return missing,
    };
    let slices = match chosen(gate.by.as_deref(), *id, record, case) {
        Ok(slices) => slices,
        Err(missing) => return missing,
    };
    let mut worst: Option<(f64, String)> = None;
    let mut below = 0;
    for slice in &slices {
        let Some(estimate) = slice.metrics.get(&gate.metric) else {
            return no_metric(&gate.metric, slice.metrics.keys(), case)
                .resting_on([*id])
                .needing(again(record, case));
        };
        let meets = estimate.value >= gate.min;
        below += usize::from(!meets);
        // A value that is not a number is worse than any.
        let value = if estimate.value.is_nan() { f64::NEG_INFINITY } else { estimate.value };
        if worst.as_ref().is_none_or(|(least, _)| value < *least) {
            let text =
                format!("{} {}: {:.4} ({} examples)", slice.by, slice.value, estimate.value, slice.examples);
            worst = Some((value, text));
        }
    }
    let worst = worst.map(|(_, text)| text).unwrap_or_default();
    let observed = match below {
        0 => format!("worst of {} is {worst}", slices.len()),
        below => format!("{below} of {} below, worst is {worst}", slices.len()),
    };
    Finding::decided(below == 0, observed).resting_on([*id]).next(super::another(case))
}

/// The slices of an evaluation by `by`, all but corruptions if that is absent, or what is missing.
pub(super) fn chosen<'a>(
    by: Option<&str>,
    id: Digest,
    record: &'a Record<Evaluation>,
    case: &Case<'_>,
) -> Result<Vec<&'a Slice>, Finding> {
    let wanted = |slice: &&Slice| match by {
        Some(by) => slice.by == by,
        None => slice.by != Slice::CORRUPTION,
    };
    let slices: Vec<&Slice> = record.body.slices.iter().filter(wanted).collect();
    if !slices.is_empty() {
        return Ok(slices);
    }
    let (what, why) = match by {
        Some(Slice::CORRUPTION) => {
            (" by corruption".to_owned(), "{corruptions: [gaussian_noise]}".to_owned())
        }
        Some(by) => (format!(" by {by}"), format!("{{slices: {{by: {by}}}}}")),
        None => (String::new(), "{slices: {by: label}}".to_owned()),
    };
    Err(Finding::unknown(format!("the evaluation has no slices{what}"))
        .because(format!("`evaluate: {why}` of the model makes them"))
        .resting_on([id])
        .next(evaluated(&why, case))
        .needing(again(record, case)))
}
