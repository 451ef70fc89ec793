//! `calibration: {…}`: probabilities mean what they say.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Case, Finding, metric};
use crate::platform::model::{Bound, MetricGate};

pub(super) const MEANING: &str = "The expected calibration error (Naeini et al., 2015; Guo et al., 2017) of the newest evaluation of \
     these very files: answers are put into 15 bins of equal width by the probability of the predicted class, and the distance of \
     mean probability and share of right answers is averaged over the bins. The upper end of its 95 % interval is held against \
     the bound, unless `bound` says otherwise.";

/// Probabilities mean what they say: the expected calibration error has a bound.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// The part of the data.
    #[serde(default = "test_part")]
    pub on: String,
    /// At most.
    pub max: f64,
    /// What is held against the bound.
    #[serde(default = "upper")]
    pub bound: Bound,
}

fn test_part() -> String {
    "test".to_owned()
}

fn upper() -> Bound {
    Bound::Upper95
}

impl Calibration {
    /// The same as a bound on the metric `ece`.
    fn as_metric(&self) -> MetricGate {
        MetricGate {
            name: "ece".to_owned(),
            on: self.on.clone(),
            min: None,
            max: Some(self.max),
            bound: self.bound,
        }
    }
}

pub(super) fn wanted(gate: &Calibration) -> String {
    metric::wanted(&gate.as_metric()).replacen("ece", "expected calibration error", 1)
}

pub(super) fn find(gate: &Calibration, case: &Case<'_>) -> Finding {
    metric::find(&gate.as_metric(), case)
}
