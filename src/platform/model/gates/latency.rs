//! `latency: {…}`: how long one prediction takes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Case, Finding};
use crate::platform::model::Need;

pub(super) const MEANING: &str = "mlp loads the model and times predictions of one example each, preprocessing included, HTTP not. \
     The newest measurement of these very files counts, of a device that `device` names if it does. `mlp gate check` and `mlp promote` \
     measure where nobody has, and again where it was too slow: do it on a machine like the one that serves, while nothing else runs.";

/// How long one prediction takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LatencyGate {
    /// At most so many milliseconds for 95 of 100 predictions.
    pub p95_ms: f64,
    /// Words in the name of the device, as `mlp runs show` tells it: `avx512`; any device if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
}

pub(super) fn wanted(gate: &LatencyGate) -> String {
    let device = gate.device.as_ref().map_or_else(String::new, |device| format!(" on {device}"));
    format!("95 % of predictions within {} ms{device}", gate.p95_ms)
}

pub(super) fn find(gate: &LatencyGate, case: &Case<'_>) -> Finding {
    let device = gate.device.as_deref().unwrap_or_default();
    let Some((id, record)) = case.evidence.timing(case.candidate.version.tree, device) else {
        let (observed, next) = match device {
            "" => ("not measured yet".to_owned(), case.check()),
            device => (
                format!("not measured on `{device}` yet"),
                format!("{}  # on a machine whose device is `{device}`", case.check()),
            ),
        };
        return Finding::unknown(observed).next(next).needing(Need::Latency);
    };
    let body = &record.body;
    let observed = format!(
        "{:.3} ms (median {:.3}), {} predictions on {} ({})",
        1000.0 * body.latency.p95,
        1000.0 * body.latency.p50,
        body.predictions,
        body.device,
        body.host
    );
    let meets = 1000.0 * body.latency.p95 <= gate.p95_ms;
    let finding = Finding::decided(meets, observed).resting_on([*id]).next(case.check());
    if meets { finding } else { finding.needing(Need::Latency) }
}
