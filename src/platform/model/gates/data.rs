//! `expectations` and `leakage`: the data that the model was trained with.

use super::{Case, Finding};
use crate::base::{Digest, Name};
use crate::platform::model::Need;
use crate::platform::model::rules::DataRule;

pub(super) const EXPECTATIONS_MEANING: &str = "Every line of the dataset's `expect:` holds for the very data the model \
     was trained with.";

pub(super) const LEAKAGE_MEANING: &str = "At most as many examples of one part (train, val, test) stand in another one \
     as the dataset's `guard: {overlap: …}` allows, and with `near: {distance: …, max: …}` at most so many images are \
     nearly those of another part, in the very data the model was trained with.";

pub(super) fn expectations_wanted(data: &Name) -> String {
    format!("every expectation of `{data}` is met")
}

pub(super) fn expectations(data: &Name, case: &Case<'_>) -> Finding {
    let (tree, rule) = match used(data, case) {
        Ok(found) => found,
        Err(missing) => return missing,
    };
    if rule.expectations == 0 {
        return Finding::decided(true, "none is written").because("`expect:` is empty");
    }
    let need = Need::Expectations { data: data.clone(), tree };
    let Some((id, record)) = case.evidence.expectations(data, tree) else {
        return Finding::unknown("not looked at yet").next(case.check()).needing(need);
    };
    let outcomes = &record.body.outcomes;
    if outcomes.len() != rule.expectations {
        let observed =
            format!("{} expectations were looked at, {} are written", outcomes.len(), rule.expectations);
        return Finding::unknown(observed).next(case.check()).needing(need);
    }
    let mut broken = outcomes.iter().filter(|outcome| !outcome.met);
    let observed = match (broken.next(), broken.count()) {
        (None, _) => format!("{} met", outcomes.len()),
        (Some(first), 0) => format!("{}: {}", first.expectation, first.observed),
        (Some(first), more) => format!("{}: {}, and {more} more", first.expectation, first.observed),
    };
    Finding::decided(outcomes.iter().all(|outcome| outcome.met), observed)
        .resting_on([*id])
        .next(format!("mlp data info {data}"))
}

pub(super) fn leakage(data: &Name, case: &Case<'_>) -> Finding {
    let (tree, rule) = match used(data, case) {
        Ok(found) => found,
        Err(missing) => return missing,
    };
    let distance = rule.near.map(|near| near.distance);
    let Some((id, record)) = case.evidence.leakage(data, tree, rule.settings, distance) else {
        let need = Need::Leakage { data: data.clone(), tree };
        return Finding::unknown("not looked at yet").next(case.check()).needing(need);
    };
    let found = &record.body;
    let mut observed =
        format!("{} of {} examples overlap, {} allowed", found.overlap, found.examples, rule.overlap);
    let mut holds = found.overlap <= rule.overlap;
    if let (Some(near), Some(allowed)) = (&found.near, rule.near) {
        observed += &format!("; {} nearly, {} allowed", near.found, allowed.max);
        holds &= near.found <= allowed.max;
    }
    Finding::decided(holds, observed).resting_on([*id]).next(format!("mlp data info {data}"))
}

/// The tree of `data` that the run used, and what the rules say of the dataset.
fn used<'a>(data: &Name, case: &'a Case<'_>) -> Result<(Digest, &'a DataRule), Finding> {
    let model = case.candidate.history.model();
    // A stage has the gates of all models' data: those of another model's say nothing about this one.
    if case.rules.dataset.as_ref().is_some_and(|own| own != data) && case.candidate.data(data).is_none() {
        return Err(Finding::decided(true, format!("`{model}` does not use it")).because("not its data"));
    }
    let Some(rule) = case.rules.data.get(data) else {
        let observed = format!("no dataset `{data}` on {}", case.rules.branch());
        return Err(Finding::unknown(observed).next("mlp check"));
    };
    if case.candidate.run.is_none() {
        return Err(super::no_run());
    }
    match case.candidate.data(data) {
        Some(tree) => Ok((tree, rule)),
        None => {
            let observed = format!("the run did not use the dataset `{data}`");
            Err(Finding::unknown(observed).next(super::trained(case, "")))
        }
    }
}
