//! `compare`: a paired test against what is live.

use super::metric::evaluation;
use super::{Case, Finding};
use crate::platform::model::statistics::Paired;
use crate::platform::model::{AtLeast, Compare, ModelError, Need};

pub(super) const MEANING: &str = "Both models answer the same examples: the test part of the data this version was \
     trained with. McNemar's exact test looks at the examples that only one of them gets right. `not_worse` fails if \
     the live model is right significantly more often (two-sided p below alpha); `better` passes only if this one is. \
     With nothing live the gate passes and says so.";

/// The part on which models are compared.
const PART: &str = "test";

pub(super) fn wanted(gate: &Compare) -> String {
    let asked = match gate.require {
        AtLeast::NotWorse => "not significantly worse",
        AtLeast::Better => "significantly better",
    };
    format!("{} {asked} than what is live in {} (McNemar, alpha {})", gate.metric, gate.to, gate.alpha)
}

pub(super) fn find(gate: &Compare, case: &Case<'_>) -> Result<Finding, ModelError> {
    let candidate = case.candidate;
    if gate.metric != "accuracy" {
        return Ok(Finding::unknown(format!("McNemar's test compares accuracy, not `{}`", gate.metric))
            .next("mlp check"));
    }
    if !case.rules.stages.contains_key(&gate.to) {
        return Ok(Finding::unknown(format!("there is no stage `{}`", gate.to)).next("mlp check"));
    }
    let Some(live) = candidate.history.live(&gate.to) else {
        return Ok(Finding::decided(true, "nothing to compare with").because("nothing live"));
    };
    if live.tree == candidate.version.tree {
        let observed = format!("version {} is live in {}", live.number, gate.to);
        return Ok(Finding::decided(true, observed).because("these are the live files"));
    }
    let mut answers = Vec::new();
    let mut evidence = Vec::new();
    for version in [candidate.version, live] {
        let (id, record) = match evaluation(case, version.tree, version.number, PART) {
            Ok(found) => found,
            Err(missing) => return Ok(missing),
        };
        let body = &record.body;
        let Some(found) = case.evidence.answers(body)? else {
            let need = Need::Evaluation {
                model: version.tree,
                version: version.number,
                data: body.data.clone(),
                tree: body.tree,
                part: PART.to_owned(),
            };
            let observed = format!("the predictions of version {} are not here", version.number);
            return Ok(Finding::unknown(observed).next(case.check()).needing(need));
        };
        answers.push(found);
        evidence.push(*id);
    }
    let Some(paired) = Paired::join(&answers[0], &answers[1]) else {
        let observed = format!("the evaluations of this version and of {} have other examples", live.number);
        return Ok(Finding::unknown(observed).resting_on(evidence).next(case.check()));
    };
    let p = paired.p_value();
    let (fewer, more) = (paired.candidate < paired.other, paired.candidate > paired.other);
    let passes = match gate.require {
        AtLeast::NotWorse => !(fewer && p < gate.alpha),
        AtLeast::Better => more && p < gate.alpha,
    };
    let observed = format!(
        "{:.4} against {:.4} of version {}: {} only this one, {} only the live one, p = {}",
        paired.candidate_accuracy(),
        paired.other_accuracy(),
        live.number,
        paired.candidate,
        paired.other,
        probability(p)
    );
    Ok(Finding::decided(passes, observed).resting_on(evidence).next(super::another(case)))
}

fn probability(p: f64) -> String {
    if p >= 0.0001 { format!("{p:.4}") } else { format!("{p:.1e}") }
}
