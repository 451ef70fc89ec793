//! `compare`: a paired test against what is live.

use super::card::commit;
use super::metric::evaluation;
use super::{Case, Finding};
use crate::base::{Digest, Evaluation};
use crate::platform::model::statistics::Paired;
use crate::platform::model::{AtLeast, Compare, ModelError, Need, Test};

pub(super) const MEANING: &str = "Both models answer the same examples: the test part of the data this version was \
     trained with. McNemar's exact test looks at the examples that only one of them gets right, and compares accuracy. The paired \
     bootstrap compares any metric that the stored predictions give: the same examples are drawn again and again for both models, \
     and the interval of the gain says how sure it is. `not_worse` fails if the live model is significantly better; `better` \
     passes only if this one is. With nothing live the gate passes and says so.";

/// The part on which models are compared.
const PART: &str = "test";

pub(super) fn wanted(gate: &Compare) -> String {
    let asked = match gate.require {
        AtLeast::NotWorse => "not significantly worse",
        AtLeast::Better => "significantly better",
    };
    let test = match gate.test {
        Test::Mcnemar => "McNemar",
        Test::Bootstrap => "paired bootstrap",
    };
    format!("{} {asked} than what is live in {} ({test}, alpha {})", gate.metric, gate.to, gate.alpha)
}

pub(super) fn find(gate: &Compare, case: &Case<'_>) -> Result<Finding, ModelError> {
    let candidate = case.candidate;
    if gate.test == Test::Mcnemar && gate.metric != "accuracy" {
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
    let mut found = Vec::new();
    for version in [candidate.version, live] {
        let (id, record) = match evaluation(case, version.tree, version.number, PART) {
            Ok(found) => found,
            Err(missing) => return Ok(missing),
        };
        let body = &record.body;
        if !case.evidence.holds(&body.predictions)? {
            let observed = format!("the predictions of version {} are not here", version.number);
            let again = format!("mlp eval {}@{} --force", candidate.history.model(), version.number);
            let need = Need::Files { id: body.predictions };
            return Ok(Finding::unknown(observed).resting_on([*id]).next(again).needing(need));
        }
        found.push((*id, body));
    }
    let records = found.iter().map(|(id, _)| *id);
    let evidence: Vec<Digest> = records.chain(found.iter().map(|(_, body)| body.predictions)).collect();
    let (own, other) = (found[0].1, found[1].1);
    let finding = match gate.test {
        Test::Mcnemar => by_mcnemar(gate, case, own, other, live.number)?,
        Test::Bootstrap => by_bootstrap(gate, case, own, other, live.number)?,
    };
    Ok(finding.resting_on(evidence))
}

fn by_mcnemar(
    gate: &Compare,
    case: &Case<'_>,
    own: &Evaluation,
    other: &Evaluation,
    live: u64,
) -> Result<Finding, ModelError> {
    let (one, two) = (case.evidence.answers(own)?, case.evidence.answers(other)?);
    let Some(paired) = Paired::join(&one, &two) else {
        let observed = format!("the evaluations of this version and of {live} have other examples");
        let model = case.candidate.history.model();
        let own = case.candidate.version.number;
        let again = format!("mlp eval {model}@{own} --force && mlp eval {model}@{live} --force");
        return Ok(Finding::unknown(observed).next(again));
    };
    let p = paired.p_value();
    let (fewer, more) = (paired.candidate < paired.other, paired.candidate > paired.other);
    let passes = match gate.require {
        AtLeast::NotWorse => !(fewer && p < gate.alpha),
        AtLeast::Better => more && p < gate.alpha,
    };
    let observed = format!(
        "{:.4} against {:.4} of version {live}: {} only this one, {} only the live one, p = {}",
        paired.candidate_accuracy(),
        paired.other_accuracy(),
        paired.candidate,
        paired.other,
        probability(p)
    );
    Ok(Finding::decided(passes, observed).next(super::another(case)))
}

fn by_bootstrap(
    gate: &Compare,
    case: &Case<'_>,
    own: &Evaluation,
    other: &Evaluation,
    live: u64,
) -> Result<Finding, ModelError> {
    let found = match case.evidence.gain(&gate.metric, gate.alpha, own, other)? {
        Ok(found) => found,
        Err(why) => {
            let next =
                format!("name another metric in the gate `{}`, then {}", case.gate, commit("mlp.yaml", case));
            return Ok(Finding::unknown(why).next(next));
        }
    };
    let passes = match gate.require {
        AtLeast::NotWorse => found.upper >= 0.0,
        AtLeast::Better => found.lower > 0.0,
    };
    let observed = format!(
        "{:.4} against {:.4} of version {live}: better by {:.4} ({:.4} to {:.4}, {} resamples)",
        found.first, found.second, found.gain, found.lower, found.upper, found.resamples
    );
    Ok(Finding::decided(passes, observed).next(super::another(case)))
}

fn probability(p: f64) -> String {
    if p >= 0.0001 { format!("{p:.4}") } else { format!("{p:.1e}") }
}
