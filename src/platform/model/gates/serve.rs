//! `serve: {…}`: a real server gives the answers of a golden file.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::card::commit;
use super::{Case, Finding, another};
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

/// One line of a golden file. Keys of `answer` that are not `predictions` may stand there, as they do where an answer was copied.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoldenLine {
    /// The body of `POST /predict`.
    pub request: Value,
    /// What a right server says.
    pub answer: Expected,
}

/// What a right server says.
#[derive(Debug, Deserialize)]
pub struct Expected {
    /// What is compared.
    pub predictions: Value,
}

/// The lines of a golden file, or why it is none.
pub fn golden(text: &str) -> Result<Vec<GoldenLine>, String> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let lines: Result<Vec<GoldenLine>, String> = lines
        .map(|(index, line)| {
            serde_json::from_str(line).map_err(|error| format!("line {}: {error}", index + 1))
        })
        .collect();
    lines.and_then(|lines| if lines.is_empty() { Err("it is empty".to_owned()) } else { Ok(lines) })
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
        return Finding::decided(false, observed)
            .because("`mlp explain model::golden` shows a line of one")
            .next(format!("write {}, then {}", gate.golden, commit(&gate.golden, case)));
    };
    let text = file.and_then(|file| file.text.as_deref()).unwrap_or_default();
    if let Err(why) = golden(text) {
        return Finding::decided(false, format!("`{}` is no golden file: {why}", gate.golden))
            .because("`mlp explain model::golden` shows a line of one")
            .resting_on([digest])
            .next(format!("edit {}, then {}", gate.golden, commit(&gate.golden, case)));
    }
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
    let next = match body.wrong == 0 && close {
        true => format!("{}  # on a machine that is quicker, or less busy", case.check()),
        false => format!("{}; or correct {} if its answers are not right", another(case), gate.golden),
    };
    let finding = Finding::decided(passes, observed).resting_on([digest, *id]).next(next);
    if passes { finding } else { finding.needing(need()) }
}

#[cfg(test)]
mod tests {
    use super::golden;

    #[test]
    fn lines_that_are_none_are_named() {
        let line = r#"{"request": {"instances": [[1]]}, "answer": {"model": "m", "predictions": []}}"#;
        assert_eq!(golden(&format!("{line}\n\n{line}\n")).map(|lines| lines.len()), Ok(2));
        assert_eq!(golden("\n").err().as_deref(), Some("it is empty"));
        assert!(golden(&format!("{line}\n{{}}")).err().is_some_and(|why| why.starts_with("line 2: ")));
        assert!(golden(r#"{"request": 1, "answer": {"predictions": 1}, "extra": 1}"#).is_err());
    }
}
