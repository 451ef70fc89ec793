//! `metric`: a metric has a bound.

use super::card::commit;
use super::{Case, Finding};
use crate::base::{Digest, Evaluation, Name, Record, nearest};
use crate::platform::model::evidence::Filed;
use crate::platform::model::{Bound, MetricGate, Need};

pub(super) const MEANING: &str = "The newest evaluation of these very files, on that part of the data the model was \
     trained with, is held against the bound. With `bound: lower-95` (or `upper-95`) the end of the 95 % confidence \
     interval is held against it, so that a small test part does not pass by luck.";

pub(super) fn wanted(gate: &MetricGate) -> String {
    let held = match gate.bound {
        Bound::Value => "",
        Bound::Lower95 => " (lower 95 % bound)",
        Bound::Upper95 => " (upper 95 % bound)",
    };
    let bound = match (gate.min, gate.max) {
        (Some(min), Some(max)) => format!("between {min} and {max}"),
        (Some(min), None) => format!("at least {min}"),
        (None, Some(max)) => format!("at most {max}"),
        (None, None) => "bounded".to_owned(),
    };
    format!("{} on {}{held} {bound}", gate.name, gate.on)
}

pub(super) fn find(gate: &MetricGate, case: &Case<'_>) -> Finding {
    let (id, record) =
        match evaluation(case, case.candidate.version.tree, case.candidate.version.number, &gate.on) {
            Ok(found) => found,
            Err(missing) => return missing,
        };
    let Some(estimate) = record.body.metrics.get(&gate.name) else {
        return no_metric(&gate.name, record.body.metrics.keys(), case)
            .resting_on([*id])
            .needing(again(record, case));
    };
    if gate.min.is_none() && gate.max.is_none() {
        return Finding::unknown("a gate with neither `min` nor `max`").next("mlp check");
    }
    let held = match gate.bound {
        Bound::Value => estimate.value,
        Bound::Lower95 => estimate.lower,
        Bound::Upper95 => estimate.upper,
    };
    let observed = format!(
        "{:.4} ({:.4} to {:.4}, {} examples)",
        estimate.value, estimate.lower, estimate.upper, record.body.examples
    );
    let next = match meets(gate, estimate.value) && !meets(gate, held) {
        // Training again cannot help: with so few examples nothing is sure enough.
        true => {
            format!("add examples to the {} part: the value is good enough, its 95 % bound is not", gate.on)
        }
        false => super::another(case),
    };
    Finding::decided(meets(gate, held), observed).resting_on([*id]).next(next)
}

/// Whether a value is within the bounds; one that is not a number never is.
pub(super) fn meets(gate: &MetricGate, held: f64) -> bool {
    !held.is_nan() && gate.min.is_none_or(|min| held >= min) && gate.max.is_none_or(|max| held <= max)
}

/// The evaluation of the model `tree` on `part` of what the candidate's run was trained with, or what is missing.
pub(super) fn evaluation<'a>(
    case: &'a Case<'_>,
    model: Digest,
    version: u64,
    part: &str,
) -> Result<&'a Filed<Evaluation>, Finding> {
    let (name, tree, settings) = dataset(case)?;
    if let Some(found) = case.evidence.evaluation(model, name, tree, settings, part) {
        return Ok(found);
    }
    let reference = format!("{}@{version}", case.candidate.history.model());
    let mut missing = Finding::unknown(format!("no evaluation of {reference} on {part}"))
        .next(case.check())
        .needing(Need::Evaluation { model, version, data: name.clone(), tree, part: part.to_owned() });
    if let Some((_, stray)) = case.evidence.stray_evaluation(model) {
        let stray = &stray.body;
        let what = if (&stray.data, stray.tree) != (name, tree) {
            Some("other data")
        } else if stray.settings != settings {
            Some("other settings of the data")
        } else {
            None
        };
        missing.reason = what.map(|what| format!("there is an evaluation on {what}"));
    }
    Err(missing)
}

/// The model's dataset: its name, the tree that the run used, its settings on the trust branch.
fn dataset<'a>(case: &'a Case<'_>) -> Result<(&'a Name, Digest, Digest), Finding> {
    let model = case.candidate.history.model();
    let unknown = |observed: String, next: String| Err(Finding::unknown(observed).next(next));
    let Some(name) = &case.rules.dataset else {
        let is_step = case.candidate.run.as_ref().is_some_and(|(_, run)| run.body.task == "step");
        let next = match is_step {
            true => {
                "write a gate `command: …` in its place: mlp evaluates no model that a step made".to_owned()
            }
            false => commit("mlp.yaml", case),
        };
        return unknown(format!("`{model}` is not among the models on {}", case.rules.branch()), next);
    };
    let Some(rule) = case.rules.data.get(name) else {
        return unknown(format!("no dataset `{name}` on {}", case.rules.branch()), commit("mlp.yaml", case));
    };
    if case.candidate.run.is_none() {
        return Err(super::no_run());
    }
    let Some(tree) = case.candidate.data(name) else {
        return unknown(format!("the run did not use the dataset `{name}`"), super::trained(case, ""));
    };
    Ok((name, tree, rule.settings))
}

/// The same evaluation again: the model may ask for other metrics or slices by now.
pub(super) fn again(record: &Record<Evaluation>, case: &Case<'_>) -> Need {
    let body = &record.body;
    Need::Evaluation {
        model: body.model,
        version: case.candidate.version.number,
        data: body.data.clone(),
        tree: body.tree,
        part: body.part.clone(),
    }
}

pub(super) fn no_metric<'a>(
    wanted: &str,
    known: impl Iterator<Item = &'a String> + Clone,
    case: &Case<'_>,
) -> Finding {
    let near = nearest(wanted, known.clone().map(String::as_str));
    let list = known.cloned().collect::<Vec<_>>().join(", ");
    let observed = match near {
        Some(near) => format!("the evaluation has no `{wanted}`; did you mean `{near}`?"),
        None => format!("the evaluation has no `{wanted}`, only {list}"),
    };
    let found = Finding::unknown(observed);
    match wanted {
        "mean_corruption_error" => found
            .because("`evaluate: {corruptions: …}` of the model makes it")
            .next(evaluated("{corruptions: [gaussian_noise]}", case)),
        _ if wanted.starts_with("top_") => {
            let asked = format!("{{metrics: [{wanted}]}}");
            found
                .because(format!("`evaluate: {asked}` of the model asks for it"))
                .next(evaluated(&asked, case))
        }
        _ => found.next(format!(
            "name another metric in the gate `{}`, then {}",
            case.gate,
            commit("mlp.yaml", case)
        )),
    }
}

/// What makes an evaluation hold more: the same one again would not.
pub(super) fn evaluated(asked: &str, case: &Case<'_>) -> String {
    let model = case.candidate.history.model();
    format!(
        "add `evaluate: {asked}` to `{model}` in mlp.yaml, then {} && {}",
        commit("mlp.yaml", case),
        case.check()
    )
}
