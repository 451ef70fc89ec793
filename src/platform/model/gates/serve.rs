//! `serve: {…}`: a real server gives the answers of a golden file.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::card::commit;
use super::{Case, Finding};
use crate::platform::model::Need;

pub(super) const MEANING: &str = "`mlp serve` is started with the version on loopback and asked what the golden file asks, as it \
     stands on the trust branch: lines of JSON with `request`, a body for `POST /predict`, and `answer`, of which `predictions` are \
     compared. Classes must be the same, numbers within `max_abs_diff`, 95 of 100 answers within `p95_ms`. `mlp gate check` and \
     `mlp promote` do it where nobody has, and again where it failed.";

/// A real server gives the answers of a golden file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServeGate {
    /// The golden file, relative to `mlp.yaml`.
    pub golden: String,
    /// How far a number may be from the expected one.
    #[serde(default = "close")]
    pub max_abs_diff: f64,
    /// At most so many milliseconds for 95 of 100 answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p95_ms: Option<f64>,
}

fn close() -> f64 {
    1e-4
}

pub(super) fn wanted(gate: &ServeGate) -> String {
    let time = gate.p95_ms.map_or_else(String::new, |ms| format!(", 95 % within {ms} ms"));
    format!("served answers as in {}, numbers within {}{time}", gate.golden, gate.max_abs_diff)
}

pub(super) fn find(gate: &ServeGate, case: &Case<'_>) -> Finding {
    let file = case.rules.files.get(&gate.golden);
    let Some(digest) = file.and_then(|file| file.digest) else {
        let observed = format!("`{}` is not on {}", gate.golden, case.rules.branch());
        return Finding::decided(false, observed).next(commit(&gate.golden, case));
    };
    let need = || Need::Smoke { golden: gate.golden.clone() };
    let Some((id, record)) = case.evidence.smoke(case.candidate.version.tree, digest) else {
        return Finding::unknown("not asked yet").resting_on([digest]).next(case.check()).needing(need());
    };
    let body = &record.body;
    let (close, quick) = (
        body.max_abs_diff <= gate.max_abs_diff,
        gate.p95_ms.is_none_or(|most| 1000.0 * body.latency.p95 <= most),
    );
    let observed = match &body.first_wrong {
        Some(first) => format!("{} of {} answers are wrong: {first}", body.wrong, body.requests),
        None => format!(
            "{} answers, numbers within {:.1e}, 95 % within {:.2} ms on {}",
            body.requests,
            body.max_abs_diff,
            1000.0 * body.latency.p95,
            body.device
        ),
    };
    let passes = body.requests > 0 && body.wrong == 0 && close && quick;
    let finding = Finding::decided(passes, observed).resting_on([digest, *id]).next(case.check());
    if passes { finding } else { finding.needing(need()) }
}
