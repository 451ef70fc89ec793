//! `reproduce`: training again gives the same model.

use super::{Case, Finding};
use crate::platform::model::Reproduce;

pub(super) const MEANING: &str = "`mlp reproduce` trained the version again from the record of its run, and the weights were the \
     same bit for bit, or with a `tolerance` no metric of the run moved by more than that. The newest answer about these files \
     counts. No gate trains by itself: the command is named.";

pub(super) fn wanted(gate: &Reproduce) -> String {
    match gate.tolerance {
        0.0 => "trained again with the same weights".to_owned(),
        tolerance => {
            format!("trained again with the same weights, or metrics that differ by at most {tolerance}")
        }
    }
}

pub(super) fn find(gate: &Reproduce, case: &Case<'_>) -> Finding {
    let command = format!("mlp reproduce {}", case.reference());
    let Some((id, record)) = case.evidence.reproduction(case.candidate.version) else {
        return Finding::unknown("not trained again yet").next(command);
    };
    let body = &record.body;
    let observed = match (body.identical, body.farthest()) {
        (true, _) => "identical".to_owned(),
        (false, None) => "diverged".to_owned(),
        (false, Some((name, by))) => format!("diverged: {name} moved by {by:.6}"),
    };
    let changed: Vec<&str> = body.changed.keys().map(String::as_str).collect();
    let again =
        format!("{command}  # where nothing differs from the run: the executable, the device, the settings");
    let finding = Finding::decided(body.holds(gate.tolerance), observed).resting_on([*id]).next(again);
    if changed.is_empty() || body.identical {
        return finding;
    }
    finding.because(format!("with another {}", changed.join(", another ")))
}
